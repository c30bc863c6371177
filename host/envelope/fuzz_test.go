package envelope

import (
	"bytes"
	"slices"
	"testing"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/spec/vectors"
)

// vectorsOf are the test vectors whose envelope is of a format.
func vectorsOf(f *testing.F, mediaType string) []vectors.Vector {
	f.Helper()
	all, err := vectors.All()
	if err != nil {
		f.Fatal(err)
	}
	return slices.DeleteFunc(all, func(v vectors.Vector) bool { return v.Envelope.MediaType != mediaType })
}

func FuzzParseJWS(f *testing.F) { fuzzParse(f, MediaTypeJWS) }

func FuzzParseCOSE(f *testing.F) { fuzzParse(f, MediaTypeCOSE) }

// fuzzParse checks that no bytes make the parser panic, and that what it accepts
// can be written again with the same meaning.
func fuzzParse(f *testing.F, mediaType string) {
	for _, name := range goldenNames {
		data := golden(f, name)
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	for _, v := range vectorsOf(f, mediaType) {
		f.Add(v.Envelope.Data)
	}
	self := testpki.SelfSigned(f, "self", ec256)
	f.Add(seal(f, mediaType, self, DraftOptions{Scheme: SchemeSigningAuthority}, SealOptions{}))
	f.Add(seal(f, mediaType, self, DraftOptions{}, SealOptions{Timestamp: []byte{1}, Agent: "a"}))
	f.Add([]byte(`{"payload":"AA","protected":"e30","header":{"x5c":[]},"signature":"AA"}`))
	f.Add([]byte("\xd2\x84\x41\xa0\xa0\x41\x00\x41\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Parse(mediaType, data)
		if err != nil {
			if e != nil {
				t.Fatal("both an envelope and an error")
			}
			return
		}
		_ = e.VerifySignature()
		_, _ = e.Target()
		rewrite(t, e)
	})
}

// rewrite writes a parsed envelope anew and compares what it then says.
func rewrite(t *testing.T, e *Envelope) {
	t.Helper()
	s, err := protocol.SuiteForKey(e.Certificates[0].PublicKey)
	if err != nil || s.Algorithm != e.Algorithm || len(e.Signature) != s.SignatureSize() {
		return
	}
	options := DraftOptions{Payload: e.Payload, Suite: s, Scheme: e.Scheme, SigningTime: e.SigningTime, Expiry: e.Expiry, Extended: e.Extended}
	for name, value := range map[string]string{attrPlugin: e.VerificationPlugin, attrPluginMinVersion: e.VerificationPluginMinVersion} {
		if value != "" {
			options.Extended = append(options.Extended, Attribute{name, value, true})
		}
	}
	d, err := NewDraft(e.MediaType, options)
	if err != nil {
		return // fractions of a second, too many attributes
	}
	rest := SealOptions{Signature: e.Signature, Chain: e.Certificates, Agent: e.Agent}
	if e.Scheme == SchemeX509 {
		rest.Timestamp = e.Timestamp
	}
	data, err := d.Seal(rest)
	if err != nil {
		t.Fatalf("an envelope that parses cannot be sealed: %v", err)
	}
	again, err := Parse(e.MediaType, data)
	if err != nil {
		t.Fatalf("what was written does not parse: %v", err)
	}
	if !bytes.Equal(again.Payload, e.Payload) || again.Scheme != e.Scheme || again.SigningTime.Unix() != e.SigningTime.Unix() || again.Expiry.Unix() != e.Expiry.Unix() ||
		len(again.Extended) != len(e.Extended) || again.VerificationPlugin != e.VerificationPlugin || again.Agent != e.Agent || !bytes.Equal(again.Signature, e.Signature) {
		t.Fatalf("got  %+v\nwant %+v", again, e)
	}
}

func FuzzPayload(f *testing.F) {
	for _, name := range goldenNames {
		f.Add(mustParse(f, mediaTypeOf(name), golden(f, name)).Payload)
	}
	for _, v := range vectorsOf(f, MediaTypeJWS) {
		if e, err := Parse(MediaTypeJWS, v.Envelope.Data); err == nil && v.Outcome == vectors.Integrity {
			f.Add(e.Payload)
		}
	}
	f.Add([]byte(wrap(members + `,"annotations":{"a":"\u2028"},"artifactType":null,"x":[1]`)))
	f.Add([]byte(`{"targetArtifact":{"size":1e5}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		e := Envelope{Payload: payload}
		first, err := e.Target()
		if err != nil {
			return
		}
		_ = e.CheckUnchanged(first)
		for _, mediaType := range formats {
			data, err := MarshalPayload(mediaType, first)
			if err != nil {
				t.Fatalf("a target that was read cannot be written: %v", err)
			}
			written := Envelope{Payload: data}
			second, err := written.Target()
			if err != nil || describe(first) != describe(second) || first.ArtifactType != second.ArtifactType {
				t.Fatalf("got %v %v, want %v", second, err, first)
			}
			if err := written.CheckUnchanged(first); err != nil {
				t.Fatal(err)
			}
		}
	})
}
