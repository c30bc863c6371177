package envelope

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	root := testpki.Root(t, "root").Intermediate(t, "intermediate")
	for _, spec := range testpki.Specs {
		leaf := root.Leaf(t, "leaf", spec)
		for _, mediaType := range formats {
			for _, scheme := range []Scheme{SchemeX509, SchemeSigningAuthority} {
				format, _ := FormatOf(mediaType)
				t.Run(fmt.Sprintf("ENV-02 ENV-25 ENV-40 ALG-01 ALG-02 ALG-07 round trip %s %s %s", spec, format, scheme), func(t *testing.T) {
					t.Parallel()
					roundTrip(t, leaf, spec, mediaType, scheme)
				})
			}
		}
	}
}

func roundTrip(t *testing.T, leaf *testpki.Entity, spec protocol.KeySpec, mediaType string, scheme Scheme) {
	rest := SealOptions{Agent: "signet/1.0.0 plugin/2"}
	if scheme == SchemeX509 {
		rest.Timestamp = []byte("token")
	}
	data := seal(t, mediaType, leaf, DraftOptions{
		Scheme: scheme, SigningTime: at.Add(time.Millisecond).In(time.FixedZone("", 3600)), Expiry: at.Add(time.Hour),
		Extended: []Attribute{{"com.acme.x", "v", true}, {attrPlugin, "p", true}},
	}, rest)
	e := mustVerify(t, mediaType, data)
	want := suite(t, spec)
	target, err := e.Target()
	switch {
	case err != nil:
		t.Fatal(err)
	case e.Algorithm != want.Algorithm || e.Scheme != scheme || e.MediaType != mediaType || e.ContentType != MediaTypePayload:
		t.Errorf("got %s %s %s %s", e.Algorithm, e.Scheme, e.MediaType, e.ContentType)
	case !e.SigningTime.Equal(at) || !e.Expiry.Equal(at.Add(time.Hour)):
		t.Errorf("times %v and %v", e.SigningTime, e.Expiry)
	case !slices.EqualFunc(e.Certificates, leaf.Chain(), (*x509.Certificate).Equal):
		t.Error("other chain")
	case string(e.Timestamp) != string(rest.Timestamp) || e.Agent != rest.Agent || len(e.Signature) != want.SignatureSize():
		t.Errorf("got %q, %q, %d bytes", e.Timestamp, e.Agent, len(e.Signature))
	case len(e.Extended) != 1 || e.Extended[0] != (Attribute{"com.acme.x", "v", true}) || e.VerificationPlugin != "p":
		t.Errorf("got %v, plugin %q", e.Extended, e.VerificationPlugin)
	case target.Digest != plainTarget.Digest || target.Size != plainTarget.Size || target.MediaType != plainTarget.MediaType:
		t.Errorf("got %v", target)
	}
	if err := pki.CheckChain(e.Certificates, pki.CodeSigning); err != nil {
		t.Error(err)
	}
}

func TestAlgorithm(t *testing.T) {
	t.Parallel()
	p256, p384 := testpki.SelfSigned(t, "256", ec256), testpki.SelfSigned(t, "384", protocol.KeySpecEC384)
	for _, mediaType := range formats {
		format, _ := FormatOf(mediaType)
		t.Run("ENV-26 ALG-03 alg of another key "+string(format), func(t *testing.T) {
			t.Parallel()
			// ES256 claimed with a P-384 certificate: by the header alone, and signed so.
			e := mustParse(t, mediaType, seal(t, mediaType, p256, DraftOptions{}, SealOptions{}))
			e.Certificates = p384.Chain()
			err := e.VerifySignature()
			if _, ok := errors.AsType[*InvalidError](err); !ok || !strings.Contains(err.Error(), "mismatch between signature algorithm") {
				t.Fatalf("got %v", err)
			}
		})
		t.Run("ALG-01 ALG-02 unsupported leaf key "+string(format), func(t *testing.T) {
			t.Parallel()
			e := mustParse(t, mediaType, seal(t, mediaType, p256, DraftOptions{}, SealOptions{}))
			e.Certificates = []*x509.Certificate{{PublicKey: "none"}}
			if _, ok := errors.AsType[*InvalidError](e.VerifySignature()); !ok {
				t.Fatal("verified")
			}
		})
	}
}

func TestNewDraft(t *testing.T) {
	t.Parallel()
	good := func() DraftOptions {
		return DraftOptions{Payload: []byte(plainBody), Suite: suite(t, ec256), SigningTime: at}
	}
	ext := func(list ...Attribute) func(o *DraftOptions) { return func(o *DraftOptions) { o.Extended = list } }
	for _, c := range []struct {
		name      string
		edit      func(o *DraftOptions)
		jws, cose string // errors; "" when accepted
	}{
		{"ENV-10 empty payload", func(o *DraftOptions) { o.Payload = nil }, "content not present", "content not present"},
		{"ALG-01 no suite", func(o *DraftOptions) { o.Suite = protocol.Suite{} }, "signing key is not supported", "signing key is not supported"},
		{"SCH-01 unknown scheme", func(o *DraftOptions) { o.Scheme = "notary.foo" }, "unsupported SigningScheme", "unsupported SigningScheme"},
		{"ENV-22 no signing time", func(o *DraftOptions) { o.SigningTime = time.Time{} }, "signing-time not present", "signing-time not present"},
		{"SCH-05 no authentic time", func(o *DraftOptions) { o.SigningTime, o.Scheme = time.Time{}, SchemeSigningAuthority }, "signing-time not present", "signing-time not present"},
		{"ENV-24 expiry equals signing time", func(o *DraftOptions) { o.Expiry = at }, "expiry cannot be equal or before the signing time", "expiry cannot be equal or before the signing time"},
		{"ENV-24 expiry within the same second", func(o *DraftOptions) { o.Expiry = at.Add(900 * time.Millisecond) }, "expiry cannot be equal or before the signing time", "expiry cannot be equal or before the signing time"},
		{"ENV-23 year 10000", func(o *DraftOptions) { o.Expiry = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, "years 1 to 9999", "years 1 to 9999"},
		{"ENV-43 integer key", ext(Attribute{int64(99), "x", true}), "JWS envelope format only supports key of type string", ""},
		{"ENV-43 key of another type", ext(Attribute{1.5, "x", true}), "only supports key of type string", "neither a text string nor an integer"},
		{"ENV-43 key of broken UTF-8", ext(Attribute{"\xff", "x", true}), "cannot be written", "neither a text string nor an integer"},
		{"ENV-43 the scheme again", ext(Attribute{attrScheme, "x", false}), "repeated", "already exists"},
		{"ENV-43 expiry as an attribute", ext(Attribute{attrExpiry, "x", true}), "repeated", "already exists"},
		{"ENV-43 the other scheme's time", ext(Attribute{attrAuthenticTime, "x", true}), "repeated", "already exists"},
		{"ENV-43 crit as an attribute", ext(Attribute{"crit", "x", false}), "attribute key:crit repeated", ""},
		{"ENV-43 label 2", ext(Attribute{2, "x", false}), "only supports key", "2 already exists in the protected header"},
		{"ENV-43 label 33", ext(Attribute{33, "x", false}), "only supports key", "33 already exists"},
		{"ENV-43 twice", ext(Attribute{"a", 1, false}, Attribute{"a", 2, true}), "attribute key:a repeated", `"a" already exists in the protected header`},
		{"ENV-36 label 4 critical", ext(Attribute{4, "x", true}), "only supports key", "header 4 must not be marked critical"},
		{"ENV-17 kid critical", ext(Attribute{"kid", "x", true}), `header "kid" must not be marked critical`, ""},
		{"ENV-48 case variant", ext(Attribute{"io.cncf.notary.EXPIRY", "x", true}), "unknown name", "unknown name"},
		{"ENV-44 plugin not critical", ext(Attribute{attrPlugin, "x", false}), "is not a critical", "is not a critical"},
		{"ENV-44 min version", ext(Attribute{attrPluginMinVersion, "x", true}), "not a valid SemVer", "not a valid SemVer"},
		{"ENV-43 unsupported value", ext(Attribute{"a", struct{}{}, false}), "cannot be written as JSON", "cannot be written as CBOR"},
		{"ENV-43 text of broken UTF-8", ext(Attribute{"a", "\xff", false}), "cannot be written as JSON", "cannot be written as CBOR"},
		{"ENV-43 malformed number", ext(Attribute{"a", json.Number("1x"), false}), "cannot be written as JSON", "cannot be written as CBOR"},
		{"ENV-43 malformed raw value", ext(Attribute{"a", RawValue("{"), false}), "cannot be written as JSON", "cannot be written as CBOR"},
		{"ENV-43 too many", func(o *DraftOptions) {
			for i := range maxAttributes/2 + 1 {
				o.Extended = append(o.Extended, Attribute{fmt.Sprint("a", i), i, false})
			}
		}, "too many", "too many"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for mediaType, want := range map[string]string{MediaTypeJWS: c.jws, MediaTypeCOSE: c.cose} {
				o := good()
				c.edit(&o)
				d, err := NewDraft(mediaType, o)
				if want == "" {
					if err != nil || d == nil {
						t.Errorf("%s: %v", mediaType, err)
					}
					continue
				}
				if _, ok := errors.AsType[*InvalidError](err); !ok || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: got %v, want %q", mediaType, err, want)
				}
			}
		})
	}
	t.Run("ENV-49 unknown format", func(t *testing.T) {
		t.Parallel()
		_, draftErr := NewDraft("application/pkcs7", good())
		_, parseErr := Parse("application/pkcs7", golden(t, "x509.jws"))
		for _, err := range []error{draftErr, parseErr} {
			if _, ok := errors.AsType[*UnsupportedError](err); !ok || !strings.Contains(err.Error(), `"application/pkcs7" is not supported`) {
				t.Errorf("got %v", err)
			}
		}
	})
	t.Run("ENV-23 times in UTC without fraction", func(t *testing.T) {
		t.Parallel()
		o := good()
		o.SigningTime = at.Add(5 * time.Millisecond).In(time.FixedZone("", -5*3600))
		d, err := NewDraft(MediaTypeJWS, o)
		if err != nil {
			t.Fatal(err)
		}
		header, err := decodeBase64(base64URL, d.header)
		if err != nil || !bytes.Contains(header, []byte(`"io.cncf.notary.signingTime":"2026-11-23T08:20:48Z"`)) {
			t.Fatalf("got %s, %v", header, err)
		}
	})
	t.Run("ENV-43 numbers are written exactly", func(t *testing.T) {
		t.Parallel()
		self := testpki.SelfSigned(t, "self", ec256)
		for _, mediaType := range formats {
			for value, want := range map[any]string{
				json.Number("18446744073709551615"): "18446744073709551615", json.Number("-18446744073709551616"): "-18446744073709551616",
				json.Number("-9007199254740993"): "-9007199254740993", int64(-5): "-5", uint64(5): "5", 0.5: "0.5", json.Number("0.5"): "0.5", 7: "7",
			} {
				e := mustVerify(t, mediaType, seal(t, mediaType, self, DraftOptions{Extended: []Attribute{{"a", value, false}}}, SealOptions{}))
				if e.Extended[0].Value != json.Number(want) {
					t.Errorf("%s: %v became %v", mediaType, value, e.Extended[0].Value)
				}
			}
		}
	})
}

func TestSeal(t *testing.T) {
	t.Parallel()
	self := testpki.SelfSigned(t, "self", ec256)
	for _, c := range []struct {
		name   string
		scheme Scheme
		edit   func(o *SealOptions)
		want   string
	}{
		{"ENV-10 no chain", "", func(o *SealOptions) { o.Chain = nil }, "certificate chain is not present"},
		{"ENV-28 chain too long", "", func(o *SealOptions) { o.Chain = slices.Repeat(o.Chain, pki.MaxChainLength+1) }, "at most 16"},
		{"ENV-10 empty signature", "", func(o *SealOptions) { o.Signature = nil }, "the signature has 0 bytes"},
		{"ENV-41 DER signature", "", func(o *SealOptions) { o.Signature = make([]byte, 71) }, "the signature has 71 bytes, ECDSA-SHA-256 has 64"},
		{"ENV-26 leaf of another algorithm", "", func(o *SealOptions) {
			o.Chain, o.Signature = testpki.SelfSigned(t, "other", protocol.KeySpecEC384).Chain(), make([]byte, 96)
		}, "mismatch between signature algorithm"},
		{"ALG-02 leaf of an unsupported key", "", func(o *SealOptions) { o.Chain = []*x509.Certificate{{PublicKey: "x"}} }, "is not supported"},
		{"SCH-01 timestamp under SA", SchemeSigningAuthority, func(o *SealOptions) { o.Timestamp = []byte{1} }, "only with signing scheme notary.x509"},
		{"ENV-30 agent of broken UTF-8", "", func(o *SealOptions) { o.Agent = "\xff" }, "not valid UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, mediaType := range formats {
				d, err := NewDraft(mediaType, DraftOptions{Payload: []byte(plainBody), Suite: suite(t, ec256), SigningTime: at, Scheme: c.scheme})
				if err != nil {
					t.Fatal(err)
				}
				o := SealOptions{Signature: make([]byte, 64), Chain: self.Chain()}
				c.edit(&o)
				_, err = d.Seal(o)
				if _, ok := errors.AsType[*InvalidError](err); !ok || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: got %v, want %q", mediaType, err, c.want)
				}
			}
		})
	}
	t.Run("ENV-29 ENV-30 token and agent omitted when absent", func(t *testing.T) {
		t.Parallel()
		for _, mediaType := range formats {
			data := seal(t, mediaType, self, DraftOptions{}, SealOptions{Timestamp: []byte{}})
			if bytes.Contains(data, []byte("timestampSignature")) || bytes.Contains(data, []byte("signingAgent")) {
				t.Errorf("%s: %q", mediaType, data)
			}
		}
	})
	t.Run("ENV-47 a signature of another key is found by the self-check", func(t *testing.T) {
		t.Parallel()
		for _, mediaType := range formats {
			data := seal(t, mediaType, self, DraftOptions{}, SealOptions{Chain: testpki.SelfSigned(t, "other", ec256).Chain()})
			if err := mustParse(t, mediaType, data).VerifySignature(); !errors.Is(err, pki.ErrSignature) {
				t.Errorf("%s: got %v", mediaType, err)
			}
		}
	})
}

func TestParser(t *testing.T) {
	t.Parallel()
	self := testpki.SelfSigned(t, "self", ec256)
	t.Run("ENV-28 ENV-38 certificates by the caller's parser", func(t *testing.T) {
		t.Parallel()
		for _, mediaType := range formats {
			calls := 0
			parser := Parser{Certificates: func(der []byte) (*x509.Certificate, error) {
				calls++
				if !bytes.Equal(der, self.Cert.Raw) {
					t.Error("other bytes")
				}
				return self.Cert, nil
			}}
			e, err := parser.Parse(mediaType, seal(t, mediaType, self, DraftOptions{}, SealOptions{}))
			if err != nil || calls != 1 || e.Certificates[0] != self.Cert {
				t.Fatalf("%d calls, %v", calls, err)
			}
		}
	})
	t.Run("ENV-01 over the bound", func(t *testing.T) {
		t.Parallel()
		wantSyntax(t, MediaTypeJWS, make([]byte, MaxSize+1), "at most 33554432 are allowed")
	})
	t.Run("ENV-02 formats and media types", func(t *testing.T) {
		t.Parallel()
		for _, mediaType := range formats {
			if f, ok := FormatOf(mediaType); !ok || f.MediaType() != mediaType {
				t.Errorf("%s: %s", mediaType, f)
			}
		}
		if _, ok := FormatOf("x"); ok || Format("x").MediaType() != "" {
			t.Error("unknown format known")
		}
	})
}
