package envelope

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host/pki"
)

// The files in testdata were written by notation-core-go v1.3.0 with the key and
// chain beside them and deterministic signatures; signet must write the same.

// goldenOptions returns what was asked of notation-core-go for a file.
func goldenOptions(t *testing.T, name string) (DraftOptions, SealOptions) {
	t.Helper()
	target := plainTarget
	draft := DraftOptions{Scheme: SchemeX509, SigningTime: at, Suite: suite(t, ec256)}
	rest := SealOptions{}
	if strings.HasPrefix(name, "sa") {
		draft.Scheme = SchemeSigningAuthority
	}
	if name == "x509.jws" || name == "x509.cose" || strings.HasPrefix(name, "sa-full") {
		rest.Agent = "signet/1.0.0"
	}
	if strings.HasPrefix(name, "x509-full") {
		rest.Agent = "signet/1.0.0 <p>/2"
		draft.SigningTime = at.Add(999 * time.Millisecond)
	}
	if strings.Contains(name, "full") {
		draft.Expiry = at.Add(24 * time.Hour)
		draft.Extended = []Attribute{
			{"com.acme.zone", "<a&b>", true},
			{"com.acme.count", 7, false},
			{attrPlugin, "com.acme.check", true},
			{attrPluginMinVersion, "1.2.3", true},
			{"a", nil, false},
			{"b", true, true},
			{"f", 1.5, false},
		}
		if mediaTypeOf(name) == MediaTypeCOSE {
			draft.Extended = append(draft.Extended, Attribute{int64(-70000), "label", true}, Attribute{99, json.Number("-8"), false})
		}
		target = ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageManifest, Digest: someDig, Size: 9007199254740991,
			Annotations: map[string]string{"z": "<&>", "a": "é\u2028\"", "build": "1"},
		}
	}
	var err error
	if draft.Payload, err = MarshalPayload(mediaTypeOf(name), target); err != nil {
		t.Fatal(err)
	}
	if rest.Chain, err = pki.ParseCertificateChain(golden(t, "golden.crt")); err != nil {
		t.Fatal(err)
	}
	return draft, rest
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for _, name := range goldenNames {
		t.Run("ENV-12 ENV-18 ENV-27 ENV-35 same bytes as the reference "+name, func(t *testing.T) {
			t.Parallel()
			mediaType, want := mediaTypeOf(name), golden(t, name)
			read := mustVerify(t, mediaType, want)
			options, rest := goldenOptions(t, name)
			d, err := NewDraft(mediaType, options)
			if err != nil {
				t.Fatal(err)
			}
			rest.Signature = read.Signature
			got, err := d.Seal(rest)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("got  %q\nwant %q", got, want)
			}
			// The key signs our input as well: both cover the same bytes.
			key, err := pki.ParsePrivateKey(golden(t, "golden.key"))
			if err != nil {
				t.Fatal(err)
			}
			if rest.Signature, err = pki.Sign(key, d.SigningInput()); err != nil {
				t.Fatal(err)
			}
			again, err := d.Seal(rest)
			if err != nil {
				t.Fatal(err)
			}
			mustVerify(t, mediaType, again)
		})
	}
	t.Run("ENV-07 payload bytes of both formats", func(t *testing.T) {
		t.Parallel()
		target := plainTarget
		target.Annotations = map[string]string{"b": "<&>", "a": "1"}
		for mediaType, want := range map[string]string{
			MediaTypeJWS:  `{"targetArtifact":{"annotations":{"a":"1","b":"\u003c\u0026\u003e"},"digest":"` + someDig + `","mediaType":"application/octet-stream","size":5}}`,
			MediaTypeCOSE: `{"targetArtifact":{"mediaType":"application/octet-stream","digest":"` + someDig + `","size":5,"annotations":{"a":"1","b":"\u003c\u0026\u003e"}}}`,
		} {
			got, err := MarshalPayload(mediaType, target)
			if err != nil || string(got) != want {
				t.Errorf("got %s, %v\nwant %s", got, err, want)
			}
		}
	})
	t.Run("ENV-31 agent as given", func(t *testing.T) {
		t.Parallel()
		for _, name := range []string{"x509-full.jws", "x509-full.cose"} {
			if e := mustParse(t, mediaTypeOf(name), golden(t, name)); e.Agent != "signet/1.0.0 <p>/2" {
				t.Errorf("%s: agent %q", name, e.Agent)
			}
		}
	})
	t.Run("ENV-12 timestamp before x5c before agent, no trailing newline", func(t *testing.T) {
		t.Parallel()
		options, rest := goldenOptions(t, "x509.jws")
		d, err := NewDraft(MediaTypeJWS, options)
		if err != nil {
			t.Fatal(err)
		}
		rest.Timestamp, rest.Signature = []byte{1, 2, 3}, make([]byte, 64)
		got, err := d.Seal(rest)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(got, []byte(`"header":{"io.cncf.notary.timestampSignature":"AQID","x5c":["`)) || !bytes.HasSuffix(got, []byte(`"}`)) {
			t.Fatalf("got %s", got)
		}
	})
	t.Run("ENV-32 ENV-33 ENV-34 first bytes of COSE", func(t *testing.T) {
		t.Parallel()
		options, rest := goldenOptions(t, "x509.cose")
		d, err := NewDraft(MediaTypeCOSE, options)
		if err != nil {
			t.Fatal(err)
		}
		rest.Signature = make([]byte, 64)
		got, err := d.Seal(rest)
		if err != nil {
			t.Fatal(err)
		}
		want := "\xd2\x84\x58\x9d\xa5\x01\x26\x02\x81\x78\x1cio.cncf.notary.signingScheme\x03\x78\x2b" + MediaTypePayload +
			"\x78\x1aio.cncf.notary.signingTime\xc1\x1a\x6b\x03\xf7\x60\x78\x1cio.cncf.notary.signingScheme\x6bnotary.x509\xa2\x18\x21\x82\x59"
		if !bytes.HasPrefix(got, []byte(want)) {
			t.Fatalf("got  %q\nwant %q…", got[:len(want)], want)
		}
	})
	t.Run("ENV-37 Sig_structure", func(t *testing.T) {
		t.Parallel()
		options, _ := goldenOptions(t, "x509.cose")
		d, err := NewDraft(MediaTypeCOSE, options)
		if err != nil {
			t.Fatal(err)
		}
		want := marshalCBOR(t, []any{"Signature1", d.header, []byte{}, d.payload})
		if !bytes.Equal(d.SigningInput(), want) {
			t.Fatalf("got %x\nwant %x", d.SigningInput(), want)
		}
	})
	t.Run("ENV-14 JWS signing input", func(t *testing.T) {
		t.Parallel()
		var m struct{ Protected, Payload string }
		if err := json.Unmarshal(golden(t, "sa.jws"), &m); err != nil {
			t.Fatal(err)
		}
		options, _ := goldenOptions(t, "sa.jws")
		d, err := NewDraft(MediaTypeJWS, options)
		if err != nil || string(d.SigningInput()) != m.Protected+"."+m.Payload {
			t.Fatalf("got %s, %v", d.SigningInput(), err)
		}
	})
}
