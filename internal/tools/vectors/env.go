package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// structure is about what an envelope consists of, before any attribute.
var structure = []scenario{
	{"ENV-02", "nothing wrong", valid, both, func(s *scene) {}},
	{"ENV-10", "empty payload", malformed, both, func(s *scene) { s.payload = nil }},
	{"ENV-10", "empty signature", malformed, both, func(s *scene) { s.sign = func([]byte) []byte { return nil } }},
	{"ENV-10", "empty certificate chain", malformed, both, func(s *scene) { s.chain = [][]byte{} }},
	{"ENV-10", "no certificate chain", malformed, both, func(s *scene) {
		s.jws.header = func(o *object) { o.drop("x5c") }
		s.cose.unprotected = func(p *[]pair) { dropPair(p, labelX5Chain) }
	}},
	{"ENV-10", "detached payload", malformed, []string{cose}, func(s *scene) {
		s.cose.items = func(items [][]byte) [][]byte { items[2] = cborValue(nil); return items }
	}},
	{"ENV-49", "bytes of the other format", malformed, both, func(s *scene) {
		other := newScene(map[string]string{jws: cose, cose: jws}[s.format])
		s.bytes = func([]byte) []byte { return other.envelope() }
	}},
	{"ENV-49", "no bytes at all", malformed, both, func(s *scene) { s.bytes = func([]byte) []byte { return []byte{} } }},
	{"ENV-28", "certificate that does not parse", malformed, both, func(s *scene) { s.chain = [][]byte{{0x30, 0x03, 0x02, 0x01, 0x01}, root.Cert.Raw} }},
	{"ENV-28", "bytes after a certificate", malformed, both, func(s *scene) { s.chain = [][]byte{append(bytes.Clone(leaf.Cert.Raw), 0), root.Cert.Raw} }},
	{"ENV-29", "countersignature of the wrong type", malformed, both, func(s *scene) {
		s.jws.header = func(o *object) { o.set(attrTimestamp, 7) }
		s.cose.unprotected = func(p *[]pair) { setPair(p, attrTimestamp, "token") }
	}},
	{"ENV-29", "countersignature nobody asks for", valid, both, func(s *scene) { s.token = func([]byte) []byte { return []byte("no token") } }},
	{"ENV-30", "no signing agent", valid, both, func(s *scene) { s.agent = nil }},
	{"ENV-30", "signing agent with control characters", valid, both, func(s *scene) { s.agent = "a\n\x1b[31mb" }},
	{"ENV-50", "unknown unprotected header", valid, both, func(s *scene) {
		s.jws.header = func(o *object) { o.add("com.example.note", []any{1, "x"}) }
		s.cose.unprotected = func(p *[]pair) { *p = append(*p, entry("com.example.note", []any{1, "x"}), entry(4, []byte("kid"))) }
	}},
}

// members is about the JSON of JWS envelopes.
var members = []scenario{
	{"ENV-11", "unknown member", malformed, []string{jws}, envelopeEdit(func(o *object) { o.add("extra", 1) })},
	{"ENV-11", "no payload member", malformed, []string{jws}, envelopeEdit(func(o *object) { o.drop("payload") })},
	{"ENV-11", "no protected member", malformed, []string{jws}, envelopeEdit(func(o *object) { o.drop("protected") })},
	{"ENV-11", "no header member", malformed, []string{jws}, envelopeEdit(func(o *object) { o.drop("header") })},
	{"ENV-11", "no signature member", malformed, []string{jws}, envelopeEdit(func(o *object) { o.drop("signature") })},
	{"ENV-11", "members in another order", valid, []string{jws}, envelopeEdit(func(o *object) { slices.Reverse(*o) })},
	{"ENV-11", "signature is a number", malformed, []string{jws}, envelopeEdit(func(o *object) { o.set("signature", 5) })},
	{"ENV-11", "header is an array", malformed, []string{jws}, envelopeEdit(func(o *object) { o.set("header", []any{get[object](*o, "header")}) })},
	{"ENV-13", "general serialisation", malformed, []string{jws}, envelopeEdit(func(o *object) {
		all := *o
		*o = object{all[0], {"signatures", []object{all[1:]}}}
	})},
	{"ENV-13", "flattened and general serialisation at once", malformed, []string{jws}, envelopeEdit(func(o *object) {
		all := slices.Clone(*o)
		o.add("signatures", []object{all[1:]})
	})},
	{"ENV-13", "compact serialisation", malformed, []string{jws}, func(s *scene) {
		s.bytes = func(data []byte) []byte {
			var text struct{ Payload, Protected, Signature string }
			mustNil(json.Unmarshal(data, &text))
			return []byte(text.Protected + "." + text.Payload + "." + text.Signature)
		}
	}},
	{"ENV-14", "padded payload", malformed, []string{jws}, func(s *scene) {
		s.payload = append(s.payload, spaces(len(s.payload))...)
		s.jws.envelope = func(o *object) { o.set("payload", padded(get[string](*o, "payload"))) }
	}},
	{"ENV-14", "padded protected header", malformed, []string{jws}, func(s *scene) {
		s.jws.protectedText = string(s.protectedJWS())
		s.jws.protectedText += spaces(len(s.jws.protectedText))
		s.jws.envelope = func(o *object) { o.set("protected", padded(get[string](*o, "protected"))) }
	}},
	{"ENV-14", "padded texts that are signed with their padding", malformed, []string{jws}, func(s *scene) {
		s.payload = append(s.payload, spaces(len(s.payload))...)
		s.jws.encode = func(data []byte) string { return padded(base64URL(data)) }
	}},
	{"ENV-14", "padded signature", malformed, []string{jws}, envelopeEdit(func(o *object) { o.set("signature", padded(get[string](*o, "signature"))) })},
	{"ENV-14", "signature in the standard alphabet", malformed, []string{jws}, envelopeEdit(func(o *object) {
		text := strings.NewReplacer("-", "+", "_", "/").Replace(get[string](*o, "signature"))
		if !strings.ContainsAny(text, "+/") {
			panic("the alphabets do not differ here")
		}
		o.set("signature", text)
	})},
	{"ENV-14", "line break in the signature", malformed, []string{jws}, envelopeEdit(func(o *object) {
		text := get[string](*o, "signature")
		o.set("signature", text[:40]+"\r\n"+text[40:])
	})},
	{"ENV-14", "stray bits at the end of the signature", malformed, []string{jws}, envelopeEdit(func(o *object) { o.set("signature", strayBits(get[string](*o, "signature"))) })},
	{"ENV-14", "signature over the decoded texts", integrity, []string{jws}, func(s *scene) {
		s.jws.input = func(protected, payload string) []byte {
			return slices.Concat(fromURL(protected), []byte("."), fromURL(payload))
		}
	}},
	{"ENV-14", "certificates in base64url", malformed, []string{jws}, headerEdit(func(o *object) {
		o.set("x5c", []any{base64URL(leaf.Cert.Raw), base64URL(root.Cert.Raw)})
	})},
	{"ENV-28", "x5c is a string", malformed, []string{jws}, headerEdit(func(o *object) { o.set("x5c", leaf.Cert.Raw) })},
	{"ENV-28", "x5c holds a number", malformed, []string{jws}, headerEdit(func(o *object) { o.set("x5c", []any{leaf.Cert.Raw, 1}) })},
	{"ENV-48", "payload twice", malformed, []string{jws}, envelopeEdit(func(o *object) { o.add("payload", get[string](*o, "payload")) })},
	{"ENV-48", "signature twice, the first one wrong", malformed, []string{jws}, envelopeEdit(func(o *object) {
		*o = append(object{{"signature", "AAAA"}}, *o...)
	})},
	{"ENV-48", "member in capitals", malformed, []string{jws}, envelopeEdit(func(o *object) { o.rename("payload", "PAYLOAD") })},
	{"ENV-48", "member in capitals beside the right one", malformed, []string{jws}, envelopeEdit(func(o *object) { o.add("Payload", get[string](*o, "payload")) })},
	{"ENV-48", "x5c twice", malformed, []string{jws}, headerEdit(func(o *object) { o.add("x5c", [][]byte{stranger.Cert.Raw}) })},
	{"ENV-48", "x5c in capitals", malformed, []string{jws}, headerEdit(func(o *object) { o.rename("x5c", "X5C") })},
	{"ENV-48", "attribute twice in the protected header", malformed, []string{jws}, func(s *scene) {
		s.jws.protected = func(o *object) { o.add(attrScheme, schemeX509) }
	}},
	{"ENV-48", "alg in capitals", malformed, []string{jws}, func(s *scene) {
		s.jws.protected = func(o *object) { o.rename("alg", "ALG") }
	}},
	{"ENV-48", "attribute in another case", malformed, both, func(s *scene) { s.set("io.cncf.notary.Expiry", noon.Add(time.Hour)) }},
	{"ENV-48", "value after the end of the JSON", malformed, []string{jws}, func(s *scene) { s.bytes = func(data []byte) []byte { return append(data, "{}"...) } }},
	{"ENV-48", "byte order mark", malformed, []string{jws}, func(s *scene) { s.bytes = func(data []byte) []byte { return append([]byte("\xef\xbb\xbf"), data...) } }},
	{"ENV-48", "invalid UTF-8", malformed, []string{jws}, func(s *scene) {
		s.bytes = func(data []byte) []byte {
			return bytes.Replace(data, []byte("signet vectors"), []byte("signet \xff vectors"), 1)
		}
	}},
	{"ENV-48", "cut short", malformed, both, func(s *scene) { s.bytes = func(data []byte) []byte { return data[:len(data)-1] } }},
	{"ENV-15", "protected header is an array", malformed, []string{jws}, func(s *scene) { s.jws.protectedText = `["alg"]` }},
	{"ENV-15", "protected header is empty", malformed, both, func(s *scene) { s.jws.protectedText, s.cose.protectedBytes = `{}`, []byte{0xa0} }},
	{"ENV-15", "protected header is not JSON", malformed, []string{jws}, func(s *scene) { s.jws.protectedText = `{"alg"` }},
	{"ENV-15", "value after the end of the protected header", malformed, []string{jws}, func(s *scene) {
		s.jws.protectedText = string(s.protectedJWS()) + "{}"
	}},
}

// items is about the CBOR of COSE envelopes.
var items = []scenario{
	{"ENV-32", "no tag", malformed, []string{cose}, func(s *scene) { s.cose.prefix = []byte{} }},
	{"ENV-32", "tag of several signatures", malformed, []string{cose}, func(s *scene) { s.cose.prefix = []byte{0xd8, 98} }},
	{"ENV-32", "tag twice", malformed, []string{cose}, func(s *scene) { s.cose.prefix = []byte{0xd2, 0xd2} }},
	{"ENV-32", "tag in two bytes", malformed, []string{cose}, func(s *scene) { s.cose.prefix = []byte{0xd8, 18} }},
	{"ENV-32", "three items", malformed, []string{cose}, itemsEdit(func(items [][]byte) [][]byte { return items[:3] })},
	{"ENV-32", "five items", malformed, []string{cose}, itemsEdit(func(items [][]byte) [][]byte { return append(items, cborValue(0)) })},
	{"ENV-32", "signature is a text", malformed, []string{cose}, itemsEdit(func(items [][]byte) [][]byte { items[3] = cborValue("signature"); return items })},
	{"ENV-33", "protected header is a map, not bytes", malformed, []string{cose}, itemsEdit(func(items [][]byte) [][]byte { items[0] = items[0][2:]; return items })},
	{"ENV-33", "protected header is an array in bytes", malformed, []string{cose}, func(s *scene) { s.cose.protectedBytes = cborArray(cborValue(1)) }},
	{"ENV-33", "label is neither a number nor a text", malformed, []string{cose}, protectedEdit(func(p *[]pair) { *p = append(*p, entry(1.5, 1)) })},
	{"ENV-33", "unprotected header is an array", malformed, []string{cose}, itemsEdit(func(items [][]byte) [][]byte { items[1] = cborArray(items[1]); return items })},
	{"ENV-35", "envelope of indefinite length", malformed, []string{cose}, func(s *scene) {
		s.bytes = func(data []byte) []byte { data[1] = 0x9f; return append(data, 0xff) }
	}},
	{"ENV-35", "payload of indefinite length", malformed, []string{cose}, itemsEdit(func(items [][]byte) [][]byte {
		items[2] = slices.Concat([]byte{0x5f}, items[2], []byte{0xff})
		return items
	})},
	{"ENV-35", "protected header of indefinite length", malformed, []string{cose}, func(s *scene) {
		header := s.protectedCOSE()
		header[0] = 0xbf
		s.cose.protectedBytes = append(header, 0xff)
	}},
	{"ENV-35", "label twice in the protected header", malformed, []string{cose}, protectedEdit(func(p *[]pair) { *p = append(*p, entry(attrScheme, schemeX509)) })},
	{"ENV-35", "label twice in the unprotected header", malformed, []string{cose}, unprotectedEdit(func(p *[]pair) { *p = append(*p, entry(labelX5Chain, [][]byte{stranger.Cert.Raw})) })},
	{"ENV-35", "byte after the end of the CBOR", malformed, []string{cose}, func(s *scene) { s.bytes = func(data []byte) []byte { return append(data, 0) } }},
	{"ENV-35", "byte after the end of the protected header", malformed, []string{cose}, func(s *scene) { s.cose.protectedBytes = append(s.protectedCOSE(), 0) }},
	{"ENV-35", "protected header in another order", valid, []string{cose}, func(s *scene) {
		s.cose.protected, s.cose.shuffled = func(p *[]pair) { slices.Reverse(*p) }, true
	}},
	{"ENV-37", "Sig_structure of another context", integrity, []string{cose}, func(s *scene) { s.cose.context = "Signature" }},
	{"ENV-37", "Sig_structure with external data", integrity, []string{cose}, func(s *scene) { s.cose.external = []byte("external") }},
	{"ENV-38", "x5chain is one byte string", malformed, []string{cose}, func(s *scene) {
		s.by(alone)
		s.trust("ca", alone)
		s.cose.unprotected = func(p *[]pair) { setPair(p, labelX5Chain, alone.Cert.Raw) }
	}},
	{"ENV-38", "x5chain holds texts", malformed, []string{cose}, unprotectedEdit(func(p *[]pair) { setPair(p, labelX5Chain, []any{"certificate"}) })},
	{"ENV-38", "certificates in x5bag alone", malformed, []string{cose}, unprotectedEdit(func(p *[]pair) {
		dropPair(p, labelX5Chain)
		setPair(p, labelX5Bag, rawCertificates(leaf.Chain()...))
	})},
	{"ENV-39", "x5chain in the protected header", valid, []string{cose}, func(s *scene) {
		s.cose.protected = func(p *[]pair) { setPair(p, labelX5Chain, s.chain) }
		s.cose.unprotected = func(p *[]pair) { dropPair(p, labelX5Chain) }
	}},
	{"ENV-39", "the same x5chain in both headers", valid, []string{cose}, protectedEdit(func(p *[]pair) { setPair(p, labelX5Chain, leaf.RawChain()) })},
	{"ENV-39", "another x5chain in the protected header", malformed, []string{cose}, protectedEdit(func(p *[]pair) { setPair(p, labelX5Chain, stranger.RawChain()) })},
}

// labelX5Bag holds certificates in no order (RFC 9360, section 2).
const labelX5Bag = 32

func envelopeEdit(edit func(*object)) func(*scene) { return func(s *scene) { s.jws.envelope = edit } }

func headerEdit(edit func(*object)) func(*scene) { return func(s *scene) { s.jws.header = edit } }

func itemsEdit(edit func([][]byte) [][]byte) func(*scene) {
	return func(s *scene) { s.cose.items = edit }
}

func protectedEdit(edit func(*[]pair)) func(*scene) {
	return func(s *scene) { s.cose.protected = edit }
}

func unprotectedEdit(edit func(*[]pair)) func(*scene) {
	return func(s *scene) { s.cose.unprotected = edit }
}

func mustNil(err error) {
	if err != nil {
		panic(err)
	}
}

// spaces makes a text of some length one whose base64 needs padding.
func spaces(length int) string {
	if length%3 == 0 {
		return " "
	}
	return ""
}

// strayBits changes the bits of the last character that encode nothing.
func strayBits(text string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if len(text)%4 == 0 {
		panic("there are no such bits")
	}
	last := strings.IndexByte(alphabet, text[len(text)-1])
	return text[:len(text)-1] + alphabet[last|1:last|1+1]
}
