package envelope

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

func TestJWSStructure(t *testing.T) {
	t.Parallel()
	self := testpki.SelfSigned(t, "self", ec256)
	good := parts(t, self, SchemeX509)
	text := string(good.encode(t))
	// with encodes the good envelope with one top-level member replaced.
	with := func(name string, value any) []byte {
		members := good.members(t)
		if members[name] = value; value == nil {
			delete(members, name)
		}
		out, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	header := func(name string, value any) []byte {
		h := maps.Clone(good.Header)
		h[name] = value
		return with("header", h)
	}
	b64s := good.members(t)["payload"].(string)
	for _, c := range []struct {
		name string
		data string
		want string
	}{
		{"ENV-11 extra member", string(with("signatures", []any{})), `unknown member "signatures"`},
		{"ENV-11 payload missing", string(with("payload", nil)), `member "payload" is missing`},
		{"ENV-11 protected missing", string(with("protected", nil)), `member "protected" is missing`},
		{"ENV-11 header missing", string(with("header", nil)), `member "header" is missing`},
		{"ENV-11 signature missing", string(with("signature", nil)), `member "signature" is missing`},
		{"ENV-11 payload of another type", string(with("payload", 1)), `"/payload" is not a string`},
		{"ENV-11 header of another type", string(with("header", "x")), `"/header" is not an object`},
		{"ENV-13 general serialisation", `{"payload":"` + b64s + `","signatures":[{"protected":"e30","signature":"AA"}]}`, `unknown member "signatures"`},
		{"ENV-13 compact serialisation", b64s + "." + b64s + "." + b64s, "malformed jws envelope"},
		{"ENV-13 compact serialisation as a string", `"` + b64s + `"`, "the JSON value is not an object"},
		{"ENV-14 payload padded", string(with("payload", b64s+"=")), "payload: illegal base64"},
		{"ENV-14 payload in the other alphabet", string(with("payload", "+/+/")), "payload: illegal base64"},
		{"ENV-14 payload with a line break", string(with("payload", b64s[:8]+"\n"+b64s[8:])), "payload: base64 text contains a line break"},
		{"ENV-14 stray bits", string(with("payload", "AB")), "payload: illegal base64"},
		{"ENV-14 protected not base64", string(with("protected", "{}")), "protected header: illegal base64"},
		{"ENV-14 signature not base64", string(with("signature", "!")), "signature: illegal base64"},
		{"ENV-14 x5c in base64url", string(header("x5c", []string{"-_-_"})), "x5c: illegal base64"},
		{"ENV-14 x5c unpadded", string(header("x5c", []string{"AA"})), "x5c: illegal base64"},
		{"ENV-28 x5c no array", string(header("x5c", "AA==")), `"/header/x5c" is not an array`},
		{"ENV-28 x5c holds no strings", string(header("x5c", []int{1})), `"/header/x5c/0" is not a string`},
		{"ENV-28 x5c too long", string(header("x5c", slices.Repeat([]string{"AAAA"}, pki.MaxChainLength+2))), "more than 16 certificates"},
		{"ENV-29 token not base64", string(header(attrTimestamp, "?")), "timestampSignature: illegal base64"},
		{"ENV-29 token of another type", string(header(attrTimestamp, 7)), `timestampSignature" is not a string`},
		{"ENV-48 case variant beside", strings.Replace(text, `{"header"`, `{"PAYLOAD":"AA","header"`, 1), `unknown member "PAYLOAD"`},
		{"ENV-48 case variant instead", strings.Replace(text, `"payload"`, `"Payload"`, 1), `unknown member "Payload"`},
		{"ENV-48 duplicate member", strings.Replace(text, `{"header"`, `{"signature":"AA","header"`, 1), "duplicate object member name"},
		{"ENV-48 duplicate member written with an escape", strings.Replace(text, `{"header"`, `{"\u0073ignature":"AA","header"`, 1), "duplicate object member name"},
		{"ENV-48 duplicate unprotected member", strings.Replace(text, `"x5c"`, `"x5c":[],"x5c"`, 1), "duplicate object member name"},
		{"ENV-48 broken UTF-8", strings.Replace(text, `"x5c"`, "\"\xff\":1,\"x5c\"", 1), "invalid UTF-8"},
		{"ENV-48 lone surrogate", strings.Replace(text, `"x5c"`, `"a":"\ud800","x5c"`, 1), "malformed jws envelope"},
		{"ENV-48 trailing data", text + "{}", "after the end"},
		{"ENV-48 trailing garbage", text + "x", "malformed jws envelope"},
		{"ENV-48 nested too deep", strings.Replace(text, `"x5c"`, `"a":`+strings.Repeat("[", 20000)+strings.Repeat("]", 20000)+`,"x5c"`, 1), "depth"},
		{"ENV-48 names without end", strings.Replace(text, `"x5c"`, manyNames()+`,"x5c"`, 1), "it has more than 16384 strings"},
		{"ENV-48 names without end inside another", strings.Replace(text, `"x5c"`, `"a":{`+manyNames()+`},"x5c"`, 1), "it has more than 16384 strings"},
		{"ENV-01 empty", "", "unexpected EOF"},
		{"ENV-01 cut", text[:len(text)-1], "unexpected EOF"},
		{"ENV-49 COSE bytes as JWS", string(golden(t, "x509.cose")), "malformed jws envelope"},
		{"ENV-02 a byte order mark", "\ufeff" + text, "malformed jws envelope"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			wantSyntax(t, MediaTypeJWS, []byte(c.data), c.want)
		})
	}

	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"ENV-10 empty payload", with("payload", ""), "content not present"},
		{"ENV-10 empty signature", with("signature", ""), "signature missing in jws-json envelope"},
		{"ENV-10 empty protected header", with("protected", ""), "can't be decoded"},
		{"ENV-10 no chain", with("header", map[string]any{}), "certificate chain is not present"},
		{"ENV-28 empty x5c", header("x5c", []string{}), "certificate chain is not present"},
		{"ENV-28 null x5c", header("x5c", nil), "certificate chain is not present"},
		{"ENV-28 malformed certificate", header("x5c", []string{"AAAA"}), "certificate 1 of the chain is malformed"},
		{"ENV-28 certificate of hostile size", header("x5c", []string{strings.Repeat("AAAA", maxCertificateSize/3+1)}), "certificate 1 of the chain has 65538 bytes: at most 65536 are allowed"},
		{"ENV-48 case variant in the header", header("X5C", []string{}), `unknown name "X5C": it must be written "x5c"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if strings.HasPrefix(c.name, "ENV-48") {
				wantSyntax(t, MediaTypeJWS, c.data, c.want)
				return
			}
			wantInvalid(t, MediaTypeJWS, c.data, c.want)
		})
	}

	t.Run("ENV-50 unknown unprotected members", func(t *testing.T) {
		t.Parallel()
		e := mustParse(t, MediaTypeJWS, header("foo", map[string]any{"bar": []int{1}}))
		if len(e.Extended) != 0 {
			t.Fatalf("they became attributes: %v", e.Extended)
		}
	})
	t.Run("ENV-30 agent is never validated", func(t *testing.T) {
		t.Parallel()
		for agent, want := range map[any]string{"\x00\U0001F600 / //": "\x00\U0001F600 / //", 7: "", true: "", "": ""} {
			if e := mustParse(t, MediaTypeJWS, header(attrAgent, agent)); e.Agent != want {
				t.Errorf("%v: got %q", agent, e.Agent)
			}
		}
	})
	t.Run("ENV-29 token", func(t *testing.T) {
		t.Parallel()
		for value, want := range map[any][]byte{nil: nil, "": nil, "AQID": {1, 2, 3}} {
			if e := mustParse(t, MediaTypeJWS, header(attrTimestamp, value)); !bytes.Equal(e.Timestamp, want) || (want == nil) != (e.Timestamp == nil) {
				t.Errorf("%v: got %x", value, e.Timestamp)
			}
		}
	})
	t.Run("ENV-14 escapes in JSON strings", func(t *testing.T) {
		t.Parallel()
		escaped := strings.Replace(string(seal(t, MediaTypeJWS, self, DraftOptions{}, SealOptions{})), `"payload":"e`, `"payload":"\u0065`, 1)
		mustVerify(t, MediaTypeJWS, []byte(escaped))
	})
	t.Run("ENV-02 white space around and in JSON", func(t *testing.T) {
		t.Parallel()
		var out bytes.Buffer
		if err := json.Indent(&out, seal(t, MediaTypeJWS, self, DraftOptions{}, SealOptions{}), "\n", "\t"); err != nil {
			t.Fatal(err)
		}
		mustVerify(t, MediaTypeJWS, append(out.Bytes(), '\n'))
	})
}

// manyNames are members of a JSON object, more than an envelope may have.
func manyNames() string {
	names := make([]string, maxQuotes/2)
	for i := range names {
		names[i] = fmt.Sprintf(`"%x":0`, i)
	}
	return strings.Join(names, ",")
}

func TestJWSAttributes(t *testing.T) {
	t.Parallel()
	self := testpki.SelfSigned(t, "self", ec256)
	const x5, sa = SchemeX509, SchemeSigningAuthority
	type edit func(p *jwsParts)
	set := func(name string, value any) edit { return func(p *jwsParts) { p.Protected[name] = value } }
	drop := func(name string) edit { return func(p *jwsParts) { delete(p.Protected, name) } }
	crit := func(names ...any) edit { return set("crit", names) }
	both := func(edits ...edit) edit {
		return func(p *jwsParts) {
			for _, e := range edits {
				e(p)
			}
		}
	}
	raw := func(old, new string) edit {
		return func(p *jwsParts) { p.raw = strings.Replace(p.protected(t), old, new, 1) }
	}
	const marked = " header is marked critical but not present"
	const required = "these required headers are not marked as critical: "
	const expiry = "2026-11-24T08:20:48Z"
	for _, c := range []struct {
		name   string
		scheme Scheme
		edit   edit
		want   string
	}{
		{"ENV-09 other content type", x5, set("cty", "application/json"), `payload content type "application/json" not supported`},
		{"ENV-16 content type missing", x5, drop("cty"), `payload content type "" not supported`},
		{"ENV-16 content type of another type", x5, set("cty", 1), `"/cty" is not a string`},
		{"ENV-17 crit of another type", x5, set("crit", attrScheme), `"/crit" is not an array`},
		{"ENV-17 crit holds no strings", x5, crit(attrScheme, 1), `"/crit/1" is not a string`},
		{"ENV-17 crit names kid", x5, both(set("kid", "k"), crit(attrScheme, "kid")), `header "kid" must not be marked critical`},
		{"ENV-17 crit names x5c", x5, crit(attrScheme, "x5c"), `header "x5c" must not be marked critical`},
		{"ENV-17 crit names an attribute twice", x5, both(set("a", 1), crit(attrScheme, "a", "a")), `header "a" is marked critical more than once`},
		{"ENV-17 crit too long", x5, both(set("a", 1), crit(append(slices.Repeat([]any{"a"}, maxAttributes), attrScheme)...)), "crit has more than 256 names"},
		{"ENV-19 crit names alg", x5, crit(attrScheme, "alg"), `"alg"` + marked},
		{"ENV-19 crit names cty", x5, crit(attrScheme, "cty"), `"cty"` + marked},
		{"ENV-19 crit names signingTime", x5, crit(attrScheme, attrSigningTime), `"` + attrSigningTime + `"` + marked},
		{"ENV-19 crit names an absent header", x5, crit(attrScheme, "x"), `"x"` + marked},
		{"ENV-19 crit names absent expiry", x5, crit(attrScheme, attrExpiry), `"` + attrExpiry + `"` + marked},
		{"ENV-19 crit names the scheme twice", x5, crit(attrScheme, attrScheme), `"` + attrScheme + `"` + marked},
		{"ENV-19 crit names absent authentic time", x5, crit(attrScheme, attrAuthenticTime), `"` + attrAuthenticTime + `"` + marked},
		{"ENV-20 crit absent", x5, drop("crit"), `missing "crit" header`},
		{"ENV-20 crit empty", x5, set("crit", []any{}), `missing "crit" header`},
		{"ENV-20 scheme not critical", x5, both(set("a", 1), crit("a")), required + "[" + attrScheme + "]"},
		{"ENV-20 expiry not critical", x5, set(attrExpiry, expiry), required + "[" + attrExpiry + "]"},
		{"ENV-20 authentic time not critical", sa, crit(attrScheme), required + "[" + attrAuthenticTime + "]"},
		{"ENV-20 two not critical", sa, both(set(attrExpiry, expiry), set("a", 1), crit("a", attrScheme)), required + "[" + attrAuthenticTime + " " + attrExpiry + "]"},
		{"ENV-21 b64", x5, both(set("b64", false), crit(attrScheme, "b64")), `header "b64" must not be marked critical`},
		{"ENV-22 signingTime missing", x5, drop(attrSigningTime), `"` + attrSigningTime + `" header must be present for notary.x509 signing scheme`},
		{"ENV-22 authentic time under X5", x5, set(attrAuthenticTime, expiry), `"` + attrAuthenticTime + `" header must not be present for notary.x509 signing scheme`},
		{"ENV-22 signingTime under SA", sa, set(attrSigningTime, expiry), `"` + attrSigningTime + `" header must not be present for notary.x509.signingAuthority signing scheme`},
		{"SCH-05 SA without authentic time", sa, both(drop(attrAuthenticTime), crit(attrScheme)), `"` + attrAuthenticTime + `" header must be present for notary.x509.signingAuthority signing scheme`},
		{"SCH-01 other scheme", x5, set(attrScheme, "notary.foo"), "unsupported SigningScheme: `notary.foo`"},
		{"SCH-01 scheme that would garble a terminal", x5, set(attrScheme, "a\nb\x1b[2J"), `unsupported SigningScheme: ` + "`" + `a\u000ab\u001b[2J` + "`"},
		{"SCH-01 scheme of a megabyte", x5, set(attrScheme, strings.Repeat("é", 1<<19)), "…"},
		{"SCH-01 scheme missing", x5, drop(attrScheme), "unsupported SigningScheme: ``"},
		{"SCH-01 scheme of another type", x5, set(attrScheme, nil), "is not a string"},
		{"ENV-23 a date", x5, set(attrSigningTime, "2026-11-23"), "is not an RFC 3339 time"},
		{"ENV-23 no zone", x5, set(attrSigningTime, "2026-11-23T08:20:48"), "is not an RFC 3339 time"},
		{"ENV-23 comma fraction", x5, set(attrSigningTime, "2026-11-23T08:20:48,5Z"), "is not an RFC 3339 time"},
		{"ENV-23 short hour", x5, set(attrSigningTime, "2026-11-23T8:20:48Z"), "is not an RFC 3339 time"},
		{"ENV-23 out of range in UTC", x5, set(attrSigningTime, "9999-12-31T23:59:59-01:00"), "is not an RFC 3339 time"},
		{"ENV-23 a number", x5, set(attrSigningTime, at.Unix()), "is not a string"},
		{"ENV-22 zero signing time", x5, set(attrSigningTime, "0001-01-01T00:00:00Z"), "signing-time not present"},
		{"ENV-24 expiry equals signing time", x5, both(set(attrExpiry, "2026-11-23T08:20:48Z"), crit(attrScheme, attrExpiry)), "expiry cannot be equal or before the signing time"},
		{"ENV-24 expiry before authentic time", sa, both(set(attrExpiry, "2026-11-23T08:20:47Z"), crit(attrScheme, attrAuthenticTime, attrExpiry)), "expiry cannot be equal or before the signing time"},
		{"ENV-24 zero expiry is no absent one", x5, both(set(attrExpiry, "0001-01-01T00:00:00Z"), crit(attrScheme, attrExpiry)), "expiry cannot be equal or before the signing time"},
		{"ENV-25 none", x5, set("alg", "none"), `signature algorithm "none" is not supported`},
		{"ENV-25 HS256", x5, set("alg", "HS256"), `signature algorithm "HS256" is not supported`},
		{"ENV-25 RS256", x5, set("alg", "RS256"), `signature algorithm "RS256" is not supported`},
		{"ENV-25 lower case", x5, set("alg", "es256"), `signature algorithm "es256" is not supported`},
		{"ENV-25 missing", x5, drop("alg"), `signature algorithm "" is not supported`},
		{"ENV-48 case variant of alg", x5, set("ALG", "none"), `unknown name "ALG"`},
		{"ENV-48 case variant of a time", x5, set("io.cncf.notary.EXPIRY", expiry), "unknown name"},
		{"ENV-48 case variant by folding", x5, set("io.cncf.notary.ſigningTime", expiry), "unknown name"},
		{"ENV-48 case variant of the plugin", x5, set("io.cncf.notary.verificationplugin", "p"), "unknown name"},
		{"ENV-48 duplicate", x5, raw(`{"alg"`, `{"alg":"none","alg"`), "duplicate object member name"},
		{"ENV-48 trailing data", x5, raw(`"notary.x509"`, `"notary.x509"}{"a":1`), "can't be decoded"},
		{"ENV-48 no object", x5, func(p *jwsParts) { p.raw = "[]" }, "the JSON value is not an object"},
		{"ENV-43 too many attributes", x5, func(p *jwsParts) {
			for i := range maxAttributes + 1 {
				p.Protected[fmt.Sprint("a", i)] = i
			}
		}, "more than 256 extended attributes"},
		{"ENV-44 plugin not critical", x5, set(attrPlugin, "p"), attrPlugin + " is not a critical Extended attribute"},
		{"ENV-44 plugin not a string", x5, both(set(attrPlugin, 1), crit(attrScheme, attrPlugin)), attrPlugin + " from extended attribute is not a string"},
		{"ENV-44 plugin blank", x5, both(set(attrPlugin, " \t"), crit(attrScheme, attrPlugin)), attrPlugin + " from extended attribute is an empty string"},
		{"ENV-44 min version not critical", x5, set(attrPluginMinVersion, "1.0.0"), attrPluginMinVersion + " is not a critical Extended attribute"},
		{"ENV-44 min version null", x5, both(set(attrPluginMinVersion, nil), crit(attrScheme, attrPluginMinVersion)), attrPluginMinVersion + " from extended attribute is not a string"},
		{"ENV-44 min version empty", x5, both(set(attrPluginMinVersion, ""), crit(attrScheme, attrPluginMinVersion)), attrPluginMinVersion + " from extended attribute is an empty string"},
		{"ENV-44 min version with v", x5, both(set(attrPluginMinVersion, "v1.0.0"), crit(attrScheme, attrPluginMinVersion)), attrPluginMinVersion + " from extended attribute is not a valid SemVer"},
		{"ENV-44 min version of two parts", x5, both(set(attrPluginMinVersion, "1.0"), crit(attrScheme, attrPluginMinVersion)), attrPluginMinVersion + " from extended attribute is not a valid SemVer"},
		{"ENV-44 min version with a line break", x5, both(set(attrPluginMinVersion, "1.0.0\n"), crit(attrScheme, attrPluginMinVersion)), attrPluginMinVersion + " from extended attribute is not a valid SemVer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := parts(t, self, c.scheme)
			c.edit(p)
			wantInvalid(t, MediaTypeJWS, p.encode(t), c.want)
		})
	}

	read := func(t *testing.T, scheme Scheme, e edit) *Envelope {
		t.Helper()
		p := parts(t, self, scheme)
		e(p)
		return mustParse(t, MediaTypeJWS, p.encode(t))
	}
	none := func(*jwsParts) {}
	t.Run("ENV-15 SCH-01 both schemes", func(t *testing.T) {
		t.Parallel()
		for _, scheme := range []Scheme{x5, sa} {
			e := read(t, scheme, none)
			if e.Scheme != scheme || !e.SigningTime.Equal(at) || !e.Expiry.IsZero() || e.ContentType != MediaTypePayload || e.Algorithm != protocol.AlgorithmECDSA256 || string(e.Payload) != plainBody {
				t.Errorf("got %+v", e)
			}
		}
	})
	t.Run("ENV-23 fraction and offset on read", func(t *testing.T) {
		t.Parallel()
		e := read(t, x5, both(set(attrSigningTime, "2026-11-23T09:20:48.25+01:00"), set(attrExpiry, "2026-11-23T09:20:49.5+01:00"), crit(attrExpiry, attrScheme)))
		if !e.SigningTime.Equal(at.Add(250*time.Millisecond)) || !e.Expiry.Equal(at.Add(1500*time.Millisecond)) || e.SigningTime.Location() != time.UTC {
			t.Fatalf("got %v and %v", e.SigningTime, e.Expiry)
		}
	})
	t.Run("ENV-43 extended attributes", func(t *testing.T) {
		t.Parallel()
		e := read(t, x5, both(
			set("a", "text"), set("b", json.Number("9007199254740993")), set("c", true), set("d", nil), set("e", map[string]any{"x": 1}), set("f", json.Number("1.50")),
			set("kid", "k"), crit(attrScheme, "a", "d")))
		want := []Attribute{
			{"a", "text", true}, {"b", json.Number("9007199254740993"), false}, {"c", true, false}, {"d", nil, true},
			{"e", RawValue(`{"x":1}`), false}, {"f", json.Number("1.50"), false}, {"kid", "k", false},
		}
		if fmt.Sprintf("%#v", e.Extended) != fmt.Sprintf("%#v", want) {
			t.Fatalf("got  %#v\nwant %#v", e.Extended, want)
		}
	})
	t.Run("ENV-21 unknown critical attribute is reported", func(t *testing.T) {
		t.Parallel()
		e := read(t, x5, both(set("com.acme.x", "v"), crit("com.acme.x", attrScheme)))
		if len(e.Extended) != 1 || !e.Extended[0].Critical {
			t.Fatalf("got %v", e.Extended)
		}
	})
	t.Run("ENV-44 ENV-45 plugin attributes are parsed out", func(t *testing.T) {
		t.Parallel()
		e := read(t, x5, both(set(attrPlugin, "com.acme"), set(attrPluginMinVersion, "1.0.0-rc.1+b"), crit(attrScheme, attrPlugin, attrPluginMinVersion)))
		if e.VerificationPlugin != "com.acme" || e.VerificationPluginMinVersion != "1.0.0-rc.1+b" || e.Extended != nil {
			t.Fatalf("got %+v", e)
		}
		alone := read(t, x5, both(set(attrPluginMinVersion, "1.0.0"), crit(attrScheme, attrPluginMinVersion)))
		if alone.VerificationPlugin != "" || alone.VerificationPluginMinVersion != "1.0.0" {
			t.Fatalf("got %+v", alone)
		}
	})
	t.Run("ENV-48 keys that only look alike", func(t *testing.T) {
		t.Parallel()
		if e := read(t, x5, set("io.cncf.notary.expiry2", "x")); len(e.Extended) != 1 {
			t.Fatalf("got %v", e.Extended)
		}
	})
}

func TestJWSSignature(t *testing.T) {
	t.Parallel()
	self := testpki.SelfSigned(t, "self", ec256)
	good := seal(t, MediaTypeJWS, self, DraftOptions{}, SealOptions{})
	var m map[string]any
	if err := json.Unmarshal(good, &m); err != nil {
		t.Fatal(err)
	}
	with := func(name, value string) *Envelope {
		members := maps.Clone(m)
		members[name] = value
		out, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		return mustParse(t, MediaTypeJWS, out)
	}
	integrity := func(t *testing.T, e *Envelope) {
		t.Helper()
		err := e.VerifySignature()
		if _, ok := errors.AsType[*IntegrityError](err); !ok || !errors.Is(err, pki.ErrSignature) || !strings.HasPrefix(err.Error(), "signature is invalid. Error: ") {
			t.Fatalf("got %v", err)
		}
	}
	t.Run("ENV-01 payload changed", func(t *testing.T) {
		t.Parallel()
		integrity(t, with("payload", b64([]byte(strings.Replace(plainBody, `"size":5`, `"size":6`, 1)))))
	})
	t.Run("ENV-01 protected header changed", func(t *testing.T) {
		t.Parallel()
		raw, err := base64.RawURLEncoding.DecodeString(m["protected"].(string))
		if err != nil {
			t.Fatal(err)
		}
		integrity(t, with("protected", b64(bytes.Replace(raw, []byte("2026"), []byte("2027"), 1))))
	})
	t.Run("ENV-01 protected header of the same meaning", func(t *testing.T) {
		t.Parallel()
		raw, err := base64.RawURLEncoding.DecodeString(m["protected"].(string))
		if err != nil {
			t.Fatal(err)
		}
		integrity(t, with("protected", b64(append(raw, ' '))))
	})
	t.Run("ENV-41 signature cut", func(t *testing.T) {
		t.Parallel()
		integrity(t, with("signature", b64(make([]byte, 63))))
	})
	t.Run("ENV-01 other leaf", func(t *testing.T) {
		t.Parallel()
		e := mustParse(t, MediaTypeJWS, good)
		e.Certificates = testpki.SelfSigned(t, "other", ec256).Chain()
		integrity(t, e)
	})
	t.Run("ENV-42 any salt length", func(t *testing.T) {
		t.Parallel()
		entity := testpki.SelfSigned(t, "self", protocol.KeySpecRSA2048)
		d, err := NewDraft(MediaTypeJWS, DraftOptions{Payload: []byte(plainBody), SigningTime: at, Suite: suite(t, protocol.KeySpecRSA2048)})
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(d.SigningInput())
		signature, err := rsa.SignPSS(rand.Reader, entity.Key.(*rsa.PrivateKey), crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: 20})
		if err != nil {
			t.Fatal(err)
		}
		out, err := d.Seal(SealOptions{Signature: signature, Chain: entity.Chain()})
		if err != nil {
			t.Fatal(err)
		}
		mustVerify(t, MediaTypeJWS, out)
	})
}
