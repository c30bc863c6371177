package envelope

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

const (
	ec256     = protocol.KeySpecEC256
	someDig   = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	plainBody = `{"targetArtifact":{"digest":"` + someDig + `","mediaType":"application/octet-stream","size":5}}`
)

// at is the signing time of envelopes in tests.
var at = time.Date(2026, 11, 23, 8, 20, 48, 0, time.UTC)

var formats = []string{MediaTypeJWS, MediaTypeCOSE}

func suite(t testing.TB, spec protocol.KeySpec) protocol.Suite {
	t.Helper()
	s, ok := protocol.SuiteOf(spec)
	if !ok {
		t.Fatalf("no suite for %s", spec)
	}
	return s
}

// seal drafts, signs and seals an envelope with an entity's key and chain.
func seal(t testing.TB, mediaType string, entity *testpki.Entity, draft DraftOptions, rest SealOptions) []byte {
	t.Helper()
	s, err := protocol.SuiteForKey(entity.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	draft.Suite = s
	if draft.Payload == nil {
		draft.Payload = []byte(plainBody)
	}
	if draft.SigningTime.IsZero() {
		draft.SigningTime = at
	}
	d, err := NewDraft(mediaType, draft)
	if err != nil {
		t.Fatal(err)
	}
	if rest.Signature, err = pki.Sign(entity.Key, d.SigningInput()); err != nil {
		t.Fatal(err)
	}
	if rest.Chain == nil {
		rest.Chain = entity.Chain()
	}
	out, err := d.Seal(rest)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// rewrite drafts a copy of an envelope's parts that tests take apart: JWS.
type jwsParts struct {
	Protected map[string]any
	Payload   []byte
	Header    map[string]any
	Signature []byte
	// raw replaces the JSON of the protected header.
	raw string
}

// parts is a good JWS envelope in pieces.
func parts(t testing.TB, entity *testpki.Entity, scheme Scheme) *jwsParts {
	t.Helper()
	p := &jwsParts{
		Protected: map[string]any{"alg": "ES256", "cty": MediaTypePayload, attrScheme: string(scheme), "crit": []any{attrScheme}},
		Payload:   []byte(plainBody), Header: map[string]any{"x5c": rawChain(entity)}, Signature: make([]byte, 64),
	}
	if scheme == SchemeSigningAuthority {
		p.Protected[attrAuthenticTime] = "2026-11-23T08:20:48Z"
		p.Protected["crit"] = []any{attrScheme, attrAuthenticTime}
	} else {
		p.Protected[attrSigningTime] = "2026-11-23T08:20:48Z"
	}
	return p
}

func rawChain(entity *testpki.Entity) []any {
	var chain []any
	for _, der := range entity.RawChain() {
		chain = append(chain, der)
	}
	return chain
}

func b64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

func (p *jwsParts) protected(t testing.TB) string {
	t.Helper()
	if p.raw != "" {
		return p.raw
	}
	text, err := json.Marshal(p.Protected)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (p *jwsParts) members(t testing.TB) map[string]any {
	return map[string]any{"payload": b64(p.Payload), "protected": b64([]byte(p.protected(t))), "header": p.Header, "signature": b64(p.Signature)}
}

func (p *jwsParts) encode(t testing.TB) []byte {
	t.Helper()
	out, err := json.Marshal(p.members(t))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// coseParts is a COSE envelope in pieces. Values that are cbor.RawMessage go out
// as they are.
type coseParts struct {
	Protected, Unprotected map[any]any
	Payload, Signature     any
	// raw replaces the encoded protected header.
	raw []byte
}

func tag1(value any) cbor.Tag { return cbor.Tag{Number: 1, Content: value} }

func cparts(entity *testpki.Entity, scheme Scheme) *coseParts {
	p := &coseParts{
		Protected: map[any]any{1: -7, 3: MediaTypePayload, attrScheme: string(scheme), 2: []any{attrScheme}},
		Payload:   []byte(plainBody), Unprotected: map[any]any{33: rawChain(entity)}, Signature: make([]byte, 64),
	}
	if scheme == SchemeSigningAuthority {
		p.Protected[attrAuthenticTime] = tag1(at.Unix())
		p.Protected[2] = []any{attrScheme, attrAuthenticTime}
	} else {
		p.Protected[attrSigningTime] = tag1(at.Unix())
	}
	return p
}

func marshalCBOR(t testing.TB, value any) []byte {
	t.Helper()
	out, err := cbor.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (p *coseParts) encode(t testing.TB) []byte {
	t.Helper()
	raw := p.raw
	if raw == nil {
		raw = marshalCBOR(t, p.Protected)
	}
	return marshalCBOR(t, cbor.Tag{Number: 18, Content: []any{raw, p.Unprotected, p.Payload, p.Signature}})
}

// wantInvalid checks that parsing fails with an InvalidError whose text is want.
func wantInvalid(t *testing.T, mediaType string, data []byte, want string) {
	t.Helper()
	_, err := Parse(mediaType, data)
	broken, ok := errors.AsType[*InvalidError](err)
	if !ok || !strings.Contains(broken.Reason, want) {
		t.Fatalf("got %T %v, want InvalidError %q", err, err, want)
	}
	if strings.ContainsAny(err.Error(), "\n\r\x1b") {
		t.Fatalf("text of more than a line: %q", err)
	}
}

// wantSyntax checks that bytes are no envelope at all.
func wantSyntax(t *testing.T, mediaType string, data []byte, want string) {
	t.Helper()
	_, err := Parse(mediaType, data)
	if _, ok := errors.AsType[*SyntaxError](err); !ok || !strings.Contains(err.Error(), want) {
		t.Fatalf("got %T %v, want SyntaxError %q", err, err, want)
	}
	if strings.ContainsAny(err.Error(), "\n\r\x1b") {
		t.Fatalf("text of more than a line: %q", err)
	}
}

func mustParse(t testing.TB, mediaType string, data []byte) *Envelope {
	t.Helper()
	e, err := Parse(mediaType, data)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func mustVerify(t testing.TB, mediaType string, data []byte) *Envelope {
	t.Helper()
	e := mustParse(t, mediaType, data)
	if err := e.VerifySignature(); err != nil {
		t.Fatal(err)
	}
	return e
}

func golden(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

var goldenNames = []string{
	"x509.jws", "x509-full.jws", "sa.jws", "sa-full.jws",
	"x509.cose", "x509-full.cose", "sa.cose", "sa-full.cose",
}

func mediaTypeOf(name string) string {
	return Format(strings.TrimPrefix(filepath.Ext(name), ".")).MediaType()
}

var plainTarget = ocispec.Descriptor{MediaType: "application/octet-stream", Digest: someDig, Size: 5}
