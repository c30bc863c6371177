package envelope

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

func TestCOSEStructure(t *testing.T) {
	t.Parallel()
	self := testpki.SelfSigned(t, "self", ec256)
	good := cparts(self, SchemeX509).encode(t)
	edited := func(edit func(p *coseParts)) []byte {
		p := cparts(self, SchemeX509)
		edit(p)
		return p.encode(t)
	}
	unprotected := func(label, value any) []byte {
		return edited(func(p *coseParts) { p.Unprotected[label] = value })
	}
	rawProtected := func(raw ...[]byte) []byte {
		return edited(func(p *coseParts) { p.raw = append([]byte{}, slices.Concat(raw...)...) })
	}
	encodedHeader := marshalCBOR(t, cparts(self, SchemeX509).Protected)
	deep := bytes.Repeat([]byte{0x81}, 40)
	deep = append(deep, 0)
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"ENV-32 untagged", good[1:], "not a COSE_Sign1_Tagged"},
		{"ENV-32 other tag", append([]byte{0xd1}, good[1:]...), "not a COSE_Sign1_Tagged"},
		{"ENV-32 tag in a longer form", slices.Concat([]byte{0xd8, 18}, good[1:]), "not a COSE_Sign1_Tagged"},
		{"ENV-32 array of five", slices.Concat([]byte{0xd2, 0x85}, good[2:], []byte{0}), "not a COSE_Sign1_Tagged"},
		{"ENV-32 empty", nil, "not a COSE_Sign1_Tagged"},
		{"ENV-32 cut", good[:len(good)-1], "unexpected EOF"},
		{"ENV-49 JWS bytes as COSE", golden(t, "x509.jws"), "not a COSE_Sign1_Tagged"},
		{"ENV-35 trailing bytes", append(slices.Clone(good), 0), "extraneous data"},
		{"ENV-35 trailing bytes in the protected header", rawProtected(encodedHeader, []byte{0}), "protected header: cbor: 1 bytes of extraneous data"},
		{"ENV-35 indefinite array", slices.Concat([]byte{0xd2, 0x9f}, good[2:], []byte{0xff}), "not a COSE_Sign1_Tagged"},
		{"ENV-35 indefinite map, protected", rawProtected([]byte{0xbf}, encodedHeader[1:], []byte{0xff}), "indefinite-length"},
		{"ENV-35 indefinite map, unprotected", edited(func(p *coseParts) { p.Unprotected[99] = cbor.RawMessage{0xbf, 0xff} }), "indefinite-length"},
		{"ENV-35 indefinite bytes", edited(func(p *coseParts) { p.Signature = cbor.RawMessage{0x5f, 0x41, 1, 0xff} }), "indefinite-length"},
		{"ENV-35 duplicate key, protected", rawProtected([]byte{encodedHeader[0] + 1}, encodedHeader[1:], []byte{0x01, 0x26}), "header label 1 occurs twice"},
		{"ENV-35 duplicate key in a longer form", rawProtected([]byte{encodedHeader[0] + 1}, encodedHeader[1:], []byte{0x18, 0x01, 0x26}), "header label 1 occurs twice"},
		{"ENV-35 duplicate text key", rawProtected([]byte{encodedHeader[0] + 2}, encodedHeader[1:], []byte{0x61, 'a', 0, 0x61, 'a', 0}), `header label "a" occurs twice`},
		{"ENV-35 duplicate key, unprotected", slices.Concat(good[:2], marshalCBOR(t, encodedHeader), []byte{0xa2, 0x18, 33, 0x80, 0x18, 33, 0x80}, marshalCBOR(t, []byte("{}")), marshalCBOR(t, make([]byte, 64))), "certificate chain is not present"},
		{"ENV-35 nested too deep", unprotected(99, cbor.RawMessage(deep)), "nested level"},
		{"ENV-35 too many elements", unprotected(99, make([]int, 2000)), "max number of elements"},
		{"ENV-33 protected header no byte string", slices.Concat(good[:2], []byte{0xa0, 0xa0, 0x41, 1, 0x41, 1}), "the protected header is not a byte string"},
		{"ENV-33 protected header empty", rawProtected(), "protected header: EOF"},
		{"ENV-33 protected header no map", rawProtected([]byte{0x80}), "a header is not a map"},
		{"ENV-33 protected header null", rawProtected([]byte{0xf6}), "a header is not a map"},
		{"ENV-33 label of another type", rawProtected([]byte{encodedHeader[0] + 1}, encodedHeader[1:], []byte{0x41, 1, 0}), "neither an integer nor a text string"},
		{"ENV-33 label beyond int64", rawProtected([]byte{encodedHeader[0] + 1}, encodedHeader[1:], []byte{0x1b, 255, 255, 255, 255, 255, 255, 255, 255, 0}), "neither an integer nor a text string"},
		{"ENV-33 label of broken UTF-8", rawProtected([]byte{encodedHeader[0] + 1}, encodedHeader[1:], []byte{0x61, 0xff, 0}), "neither an integer nor a text string"},
		{"ENV-38 unprotected header no map", slices.Concat(good[:2], marshalCBOR(t, encodedHeader), []byte{0x80}, marshalCBOR(t, []byte("{}")), marshalCBOR(t, make([]byte, 64))), "a header is not a map"},
		{"ENV-38 token no byte string", unprotected(attrTimestamp, "text"), "timestampSignature is not a byte string"},
		{"ENV-33 signature no byte string", edited(func(p *coseParts) { p.Signature = "text" }), "the signature is not a byte string"},
		{"ENV-33 signature tagged", edited(func(p *coseParts) { p.Signature = cbor.Tag{Number: 24, Content: []byte{1}} }), "the signature is not a byte string"},
		{"ENV-33 payload no byte string", edited(func(p *coseParts) { p.Payload = "text" }), "the payload is not a byte string"},
		{"ENV-33 payload a text whose length reads like null", edited(func(p *coseParts) { p.Payload = "twenty-two characters!" }), "the payload is not a byte string"},
		{"ENV-33 payload an array of numbers", edited(func(p *coseParts) { p.Payload = []int{1} }), "the payload is not a byte string"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.name == "ENV-35 duplicate key, unprotected" {
				wantInvalid(t, MediaTypeCOSE, c.data, c.want)
				return
			}
			wantSyntax(t, MediaTypeCOSE, c.data, c.want)
		})
	}
	t.Run("ENV-35 duplicate unprotected key of no meaning", func(t *testing.T) {
		t.Parallel()
		data := slices.Concat(good[:2], marshalCBOR(t, encodedHeader), []byte{0xa2, 0x18, 99, 0x80, 0x18, 99, 0x80}, marshalCBOR(t, []byte("{}")), marshalCBOR(t, make([]byte, 64)))
		wantSyntax(t, MediaTypeCOSE, data, "header label 99 occurs twice")
	})

	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"ENV-10 empty payload", edited(func(p *coseParts) { p.Payload = []byte{} }), "content not present"},
		{"ENV-10 detached payload", edited(func(p *coseParts) { p.Payload = nil }), "content not present"},
		{"ENV-10 empty signature", edited(func(p *coseParts) { p.Signature = []byte{} }), "signature missing in COSE envelope"},
		{"ENV-10 no chain", edited(func(p *coseParts) { delete(p.Unprotected, 33) }), "certificate chain is not present"},
		{"ENV-38 empty chain", unprotected(33, []any{}), "certificate chain is not present"},
		{"ENV-38 one certificate without an array", unprotected(33, self.Cert.Raw), "certificate chain is not present"},
		{"ENV-38 chain holds no byte strings", unprotected(33, []any{"text"}), "not an array of byte strings"},
		{"ENV-38 malformed certificate", unprotected(33, []any{[]byte{1}}), "certificate 1 of the chain is malformed"},
		{"ENV-38 chain too long", unprotected(33, slices.Repeat([]any{[]byte{1}}, pki.MaxChainLength+1)), "at most 16 are allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			wantInvalid(t, MediaTypeCOSE, c.data, c.want)
		})
	}

	t.Run("ENV-50 unknown unprotected members", func(t *testing.T) {
		t.Parallel()
		for label, value := range map[any]any{"foo": map[string]any{"a": []int{1}}, 4: []byte("kid"), -5: cbor.RawMessage{0xc1, 0x01}, "x": cbor.RawMessage{0xf7}} {
			if e := mustParse(t, MediaTypeCOSE, unprotected(label, value)); len(e.Extended) != 0 {
				t.Errorf("%v became an attribute", label)
			}
		}
	})
	t.Run("ENV-30 agent is never validated", func(t *testing.T) {
		t.Parallel()
		for agent, want := range map[any]string{"\x00 / //": "\x00 / //", 7: "", true: "", "": ""} {
			if e := mustParse(t, MediaTypeCOSE, unprotected(attrAgent, agent)); e.Agent != want {
				t.Errorf("%v: got %q", agent, e.Agent)
			}
		}
	})
	t.Run("ENV-38 token", func(t *testing.T) {
		t.Parallel()
		if e := mustParse(t, MediaTypeCOSE, unprotected(attrTimestamp, []byte{1, 2})); !bytes.Equal(e.Timestamp, []byte{1, 2}) {
			t.Errorf("got %x", e.Timestamp)
		}
		if e := mustParse(t, MediaTypeCOSE, unprotected(attrTimestamp, []byte{})); e.Timestamp != nil {
			t.Errorf("got %x", e.Timestamp)
		}
	})
	t.Run("ENV-35 any key order and number form", func(t *testing.T) {
		t.Parallel()
		raw := []byte{0xa5}
		for _, pair := range [][]byte{
			slices.Concat(marshalCBOR(t, attrScheme), marshalCBOR(t, "notary.x509")),
			slices.Concat([]byte{0x18, 0x03}, marshalCBOR(t, MediaTypePayload)),
			slices.Concat(marshalCBOR(t, attrSigningTime), []byte{0xd8, 0x01, 0x1b, 0, 0, 0, 0}, marshalCBOR(t, uint32(at.Unix()))[1:]),
			slices.Concat([]byte{0x02}, marshalCBOR(t, []any{attrScheme})),
			{0x19, 0x00, 0x01, 0x38, 0x06},
		} {
			raw = append(raw, pair...)
		}
		e := mustParse(t, MediaTypeCOSE, rawProtected(raw))
		if !e.SigningTime.Equal(at) || e.Algorithm != protocol.AlgorithmECDSA256 {
			t.Fatalf("got %+v", e)
		}
	})
}

func TestCOSEAttributes(t *testing.T) {
	t.Parallel()
	self := testpki.SelfSigned(t, "self", ec256)
	const x5, sa = SchemeX509, SchemeSigningAuthority
	type edit func(p *coseParts)
	set := func(label, value any) edit { return func(p *coseParts) { p.Protected[label] = value } }
	drop := func(label any) edit { return func(p *coseParts) { delete(p.Protected, label) } }
	crit := func(labels ...any) edit { return set(2, labels) }
	both := func(edits ...edit) edit {
		return func(p *coseParts) {
			for _, e := range edits {
				e(p)
			}
		}
	}
	later := tag1(at.Unix() + 86400)
	const required = "these required headers are not marked as critical: "
	for _, c := range []struct {
		name   string
		scheme Scheme
		edit   edit
		want   string
	}{
		{"ENV-09 other content type", x5, set(3, "application/json"), `payload content type "application/json" not supported`},
		{"ENV-16 content type missing", x5, drop(3), "missing content type"},
		{"ENV-16 content type a number", x5, set(3, 50), "content type should be of 'tstr' type"},
		{"ENV-17 crit of another type", x5, set(2, attrScheme), "invalid crit header: it is not an array"},
		{"ENV-17 crit holds bytes", x5, crit(attrScheme, []byte{1}), "invalid crit header: a header label is neither"},
		{"ENV-17 crit too long", x5, crit(slices.Repeat([]any{attrScheme}, maxAttributes+1)...), "it has more than 256 labels"},
		{"ENV-17 crit names signingTime", x5, crit(attrScheme, attrSigningTime), `header "` + attrSigningTime + `" must not be marked critical`},
		{"ENV-17 crit names the scheme twice", x5, crit(attrScheme, attrScheme), `header "` + attrScheme + `" is marked critical more than once`},
		{"ENV-17 crit names a label twice", x5, both(set(99, 1), crit(attrScheme, 99, 99)), "header 99 is marked critical more than once"},
		{"ENV-19 crit names an absent header", x5, crit(attrScheme, "x"), "missing critical header: x"},
		{"ENV-19 crit names an absent label", x5, crit(attrScheme, 99), "missing critical header: 99"},
		{"ENV-19 crit names what would garble a terminal", x5, crit(attrScheme, "a\r\x1b"), `missing critical header: a\u000d\u001b`},
		{"ENV-19 crit names absent expiry", x5, crit(attrScheme, attrExpiry), "missing critical header: " + attrExpiry},
		{"ENV-20 crit absent", x5, drop(2), required + "[" + attrScheme + "]"},
		{"ENV-20 crit empty", x5, set(2, []any{}), "empty crit header"},
		{"ENV-20 expiry not critical", x5, set(attrExpiry, later), required + "[" + attrExpiry + "]"},
		{"ENV-20 authentic time not critical", sa, crit(attrScheme), required + "[" + attrAuthenticTime + "]"},
		{"ENV-22 signingTime missing", x5, drop(attrSigningTime), `"` + attrSigningTime + `" header must be present`},
		{"ENV-22 authentic time under X5", x5, both(set(attrAuthenticTime, later), crit(attrScheme, attrAuthenticTime)), `"` + attrAuthenticTime + `" header must not be present for notary.x509 signing scheme`},
		{"ENV-22 signingTime under SA", sa, set(attrSigningTime, later), `"` + attrSigningTime + `" header must not be present for notary.x509.signingAuthority signing scheme`},
		{"SCH-05 SA without authentic time", sa, both(drop(attrAuthenticTime), crit(attrScheme)), `"` + attrAuthenticTime + `" header must be present`},
		{"SCH-01 other scheme", x5, set(attrScheme, "notary.foo"), "unsupported SigningScheme: `notary.foo`"},
		{"SCH-01 scheme missing", x5, both(drop(attrScheme), set("a", 1), crit("a")), "unsupported SigningScheme: ``"},
		{"SCH-01 scheme of another type", x5, set(attrScheme, 1), "invalid signingScheme"},
		{"ENV-24 expiry equals signing time", x5, both(set(attrExpiry, tag1(at.Unix())), crit(attrScheme, attrExpiry)), "expiry cannot be equal or before the signing time"},
		{"ENV-34 untagged", x5, set(attrSigningTime, at.Unix()), "invalid signingTime: invalid timeValue type"},
		{"ENV-34 untagged expiry", x5, both(set(attrExpiry, at.Unix()+1), crit(attrScheme, attrExpiry)), "invalid expiry: invalid timeValue type"},
		{"ENV-34 tag 0", x5, set(attrSigningTime, cbor.Tag{Number: 0, Content: "2026-11-23T08:20:48Z"}), "only Tag `1` Datetime CBOR object is supported"},
		{"ENV-34 tag 1 around text", x5, set(attrSigningTime, tag1("2026-11-23T08:20:48Z")), "invalid timeValue type"},
		{"ENV-34 tag 1 twice", x5, set(attrSigningTime, tag1(tag1(5))), "invalid timeValue type"},
		{"ENV-34 tag 1 around a bool", x5, set(attrSigningTime, tag1(true)), "invalid timeValue type"},
		{"ENV-34 not a number", x5, set(attrSigningTime, tag1(math.NaN())), "time out of range"},
		{"ENV-34 infinite", x5, set(attrSigningTime, tag1(math.Inf(1))), "time out of range"},
		{"ENV-34 year 10000", x5, set(attrSigningTime, tag1(253402300800)), "time out of range"},
		{"ENV-34 largest integer", x5, set(attrSigningTime, tag1(int64(math.MaxInt64))), "time out of range"},
		{"ENV-34 smallest integer", x5, set(attrSigningTime, tag1(int64(math.MinInt64))), "time out of range"},
		{"ENV-34 beyond int64", x5, set(attrSigningTime, tag1(uint64(math.MaxUint64))), "invalid timeValue type"},
		{"ENV-36 crit names label 1", x5, crit(attrScheme, 1), "header 1 must not be marked critical"},
		{"ENV-36 crit names label 3", x5, crit(attrScheme, 3), "header 3 must not be marked critical"},
		{"ENV-36 crit names label 8, present", x5, both(set(8, 1), crit(attrScheme, 8)), "header 8 must not be marked critical"},
		{"ENV-36 crit names label 0, absent", x5, crit(0, attrScheme), "header 0 must not be marked critical"},
		{"ENV-40 RS256", x5, set(1, -257), "signature algorithm not supported: -257"},
		{"ENV-40 HS256", x5, set(1, 5), "signature algorithm not supported: 5"},
		{"ENV-40 alg as text", x5, set(1, "ES256"), "signature algorithm not supported: it must be an integer"},
		{"ENV-40 alg missing", x5, drop(1), "signature algorithm not supported: it must be an integer"},
		{"ENV-39 protected chain malformed", x5, set(33, "x"), "certificate chain is not present"},
		{"ENV-39 crit names an absent chain", x5, crit(attrScheme, 33), "missing critical header: 33"},
		{"ENV-48 case variant of a time", x5, set("io.cncf.notary.Expiry", later), "unknown name"},
		{"ENV-44 plugin not critical", x5, set(attrPlugin, "p"), attrPlugin + " is not a critical Extended attribute"},
		{"ENV-44 plugin not a string", x5, both(set(attrPlugin, []byte("p")), crit(attrScheme, attrPlugin)), attrPlugin + " from extended attribute is not a string"},
		{"ENV-44 plugin of broken UTF-8", x5, both(set(attrPlugin, cbor.RawMessage{0x61, 0xff}), crit(attrScheme, attrPlugin)), attrPlugin + " from extended attribute is not a string"},
		{"ENV-44 plugin blank", x5, both(set(attrPlugin, " "), crit(attrScheme, attrPlugin)), attrPlugin + " from extended attribute is an empty string"},
		{"ENV-44 min version no SemVer", x5, both(set(attrPluginMinVersion, "1"), crit(attrScheme, attrPluginMinVersion)), attrPluginMinVersion + " from extended attribute is not a valid SemVer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := cparts(self, c.scheme)
			c.edit(p)
			wantInvalid(t, MediaTypeCOSE, p.encode(t), c.want)
		})
	}

	read := func(t *testing.T, scheme Scheme, e edit) *Envelope {
		t.Helper()
		p := cparts(self, scheme)
		e(p)
		return mustParse(t, MediaTypeCOSE, p.encode(t))
	}
	t.Run("ENV-33 SCH-01 both schemes", func(t *testing.T) {
		t.Parallel()
		for _, scheme := range []Scheme{x5, sa} {
			e := read(t, scheme, func(*coseParts) {})
			if e.Scheme != scheme || !e.SigningTime.Equal(at) || !e.Expiry.IsZero() || e.ContentType != MediaTypePayload || e.Algorithm != protocol.AlgorithmECDSA256 || string(e.Payload) != plainBody {
				t.Errorf("got %+v", e)
			}
		}
	})
	t.Run("ENV-40 all algorithms", func(t *testing.T) {
		t.Parallel()
		for number, want := range map[int]protocol.SignatureAlgorithm{
			-37: "RSASSA-PSS-SHA-256", -38: "RSASSA-PSS-SHA-384", -39: "RSASSA-PSS-SHA-512",
			-7: "ECDSA-SHA-256", -35: "ECDSA-SHA-384", -36: "ECDSA-SHA-512",
		} {
			if e := read(t, x5, set(1, number)); e.Algorithm != want {
				t.Errorf("%d: got %s", number, e.Algorithm)
			}
		}
	})
	t.Run("ENV-34 fractions on read", func(t *testing.T) {
		t.Parallel()
		for value, want := range map[any]time.Time{
			float64(at.Unix()) + 0.5: at.Add(500 * time.Millisecond),
			float32(1.5):             time.Unix(1, 500e6),
			-1.5:                     time.Unix(-2, 500e6),
			int64(-1):                time.Unix(-1, 0),
		} {
			if e := read(t, x5, set(attrSigningTime, tag1(value))); !e.SigningTime.Equal(want) {
				t.Errorf("%v: got %v", value, e.SigningTime)
			}
		}
		half := read(t, x5, set(attrSigningTime, tag1(cbor.RawMessage{0xf9, 0x3e, 0x00})))
		if !half.SigningTime.Equal(time.Unix(1, 500e6)) {
			t.Errorf("half float: got %v", half.SigningTime)
		}
	})
	t.Run("ENV-43 extended attributes, integer labels too", func(t *testing.T) {
		t.Parallel()
		e := read(t, x5, both(
			set("a", "text"), set("b", uint64(math.MaxUint64)), set("c", true), set("d", nil), set("e", []int{1}), set("f", 1.5),
			set(-70000, int64(-9007199254740993)), set(77, "label"), set("g", cbor.RawMessage{0x3b, 255, 255, 255, 255, 255, 255, 255, 255}),
			set("h", math.Inf(1)), set("i", cbor.RawMessage{0xf7}), set("j", []byte{1}),
			crit(attrScheme, "a", -70000, 77)))
		want := map[any]Attribute{
			"a": {"a", "text", true}, "b": {"b", json.Number("18446744073709551615"), false}, "c": {"c", true, false}, "d": {"d", nil, false},
			"e": {"e", RawValue{0x81, 1}, false}, "f": {"f", json.Number("1.5"), false},
			int64(-70000): {int64(-70000), json.Number("-9007199254740993"), true}, int64(77): {int64(77), "label", true},
			"g": {"g", json.Number("-18446744073709551616"), false}, "h": {"h", RawValue(marshalCBOR(t, math.Inf(1))), false},
			"i": {"i", RawValue{0xf7}, false}, "j": {"j", RawValue{0x41, 1}, false},
		}
		got := make(map[any]Attribute)
		for _, a := range e.Extended {
			got[a.Key] = a
		}
		if fmt.Sprintf("%#v", slices.SortedFunc(maps.Values(got), byKey)) != fmt.Sprintf("%#v", slices.SortedFunc(maps.Values(want), byKey)) {
			t.Fatalf("got  %#v\nwant %#v", got, want)
		}
	})
	t.Run("ENV-44 plugin attributes are parsed out", func(t *testing.T) {
		t.Parallel()
		e := read(t, x5, both(set(attrPlugin, "com.acme"), set(attrPluginMinVersion, "1.0.0"), crit(attrScheme, attrPlugin, attrPluginMinVersion)))
		if e.VerificationPlugin != "com.acme" || e.VerificationPluginMinVersion != "1.0.0" || e.Extended != nil {
			t.Fatalf("got %+v", e)
		}
	})
	t.Run("ENV-39 chain in the protected header", func(t *testing.T) {
		t.Parallel()
		chain := rawChain(testpki.Root(t, "root").Leaf(t, "leaf", ec256))
		moved := read(t, x5, func(p *coseParts) { p.Protected[33], p.Unprotected = chain, map[any]any{} })
		doubled := read(t, x5, func(p *coseParts) { p.Protected[33], p.Unprotected[33] = chain, chain })
		critical := read(t, x5, func(p *coseParts) {
			p.Protected[33], p.Protected[2], p.Unprotected = chain, []any{33, attrScheme}, map[any]any{}
		})
		for _, e := range []*Envelope{moved, doubled, critical} {
			if len(e.Certificates) != 2 || len(e.Extended) != 0 {
				t.Errorf("got %d certificates, %v", len(e.Certificates), e.Extended)
			}
		}
		for _, other := range []any{chain[:1], rawChain(self), []any{chain[1], chain[0]}} {
			p := cparts(self, x5)
			p.Protected[33], p.Unprotected[33] = chain, other
			wantInvalid(t, MediaTypeCOSE, p.encode(t), "the certificate chains in the protected and the unprotected header differ")
		}
	})
}

func byKey(a, b Attribute) int { return bytes.Compare(fmt.Append(nil, a.Key), fmt.Append(nil, b.Key)) }

func TestCOSESignature(t *testing.T) {
	t.Parallel()
	self := testpki.SelfSigned(t, "self", ec256)
	good := seal(t, MediaTypeCOSE, self, DraftOptions{}, SealOptions{})
	integrity := func(t *testing.T, e *Envelope) {
		t.Helper()
		err := e.VerifySignature()
		if _, ok := errors.AsType[*IntegrityError](err); !ok || !errors.Is(err, pki.ErrSignature) {
			t.Fatalf("got %v", err)
		}
	}
	t.Run("ENV-01 payload changed", func(t *testing.T) {
		t.Parallel()
		integrity(t, mustParse(t, MediaTypeCOSE, bytes.Replace(good, []byte(`"size":5`), []byte(`"size":6`), 1)))
	})
	t.Run("ENV-01 protected header changed", func(t *testing.T) {
		t.Parallel()
		changed := bytes.Replace(good, []byte("\xc1\x1a\x6b"), []byte("\xc1\x1a\x6c"), 1)
		if bytes.Equal(changed, good) {
			t.Fatal("nothing changed")
		}
		integrity(t, mustParse(t, MediaTypeCOSE, changed))
	})
	t.Run("ENV-37 string heads are written anew", func(t *testing.T) {
		t.Parallel()
		// The payload's length in a longer form does not alter what is signed.
		at := bytes.Index(good, []byte(plainBody))
		if good[at-2] != 0x58 {
			t.Fatalf("unexpected head %x", good[at-2])
		}
		mustVerify(t, MediaTypeCOSE, slices.Concat(good[:at-2], []byte{0x59, 0x00}, good[at-1:]))
	})
	t.Run("ENV-42 salt must be as long as the hash", func(t *testing.T) {
		t.Parallel()
		entity := testpki.SelfSigned(t, "self", protocol.KeySpecRSA2048)
		d, err := NewDraft(MediaTypeCOSE, DraftOptions{Payload: []byte(plainBody), SigningTime: at, Suite: suite(t, protocol.KeySpecRSA2048)})
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(d.SigningInput())
		for salt, valid := range map[int]bool{20: false, 32: true} {
			signature, err := rsa.SignPSS(rand.Reader, entity.Key.(*rsa.PrivateKey), crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: salt})
			if err != nil {
				t.Fatal(err)
			}
			out, err := d.Seal(SealOptions{Signature: signature, Chain: entity.Chain()})
			if err != nil {
				t.Fatal(err)
			}
			if valid {
				mustVerify(t, MediaTypeCOSE, out)
			} else {
				integrity(t, mustParse(t, MediaTypeCOSE, out))
			}
		}
	})
}
