package host

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/host/revocation"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testtsa"
	"github.com/signet-project/signet/protocol"
)

const (
	scope     = "registry.example/app"
	mediaType = "application/vnd.oci.image.manifest.v1+json"
)

// noon is the time at which everything on a stage happens.
var noon = time.Now().UTC().Truncate(time.Minute)

// stage holds what a verification takes, all good; a test spoils what it is about.
type stage struct {
	t          testing.TB
	root, leaf *testpki.Entity
	target     ocispec.Descriptor
	repo       *shelf
	// statement is the policy's only one, as JSON members.
	statement map[string]any
	stores    stores
	plugins   pluginSet
	// revoked answers for the revocation checker; nil vouches for everybody.
	revoked func(revocation.Request) revocation.Result
	asked   []revocation.Request
	now     time.Time
	log     bytes.Buffer
}

func newStage(t testing.TB) *stage {
	t.Helper()
	root := testpki.Root(t, "Root", longValid)
	return &stage{
		t: t, root: root, leaf: root.Leaf(t, "Signer", protocol.KeySpecEC256),
		target: describe("an artifact"),
		repo:   &shelf{tag: "v1"},
		statement: map[string]any{
			"name": "all", "registryScopes": []string{"*"}, "trustStores": []string{"ca:acme"}, "trustedIdentities": []string{"*"},
			"signatureVerification": map[string]any{"level": "strict"},
		},
		stores:  stores{{Type: trust.StoreCA, Name: "acme"}: {root.Cert}},
		plugins: pluginSet{},
		now:     noon,
	}
}

// longValid is the validity of what outlives every test's clock.
var longValid = testpki.Validity(noon.Add(-1000*time.Hour), noon.Add(1000*time.Hour))

func describe(content string) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromString(content), Size: int64(len(content))}
}

// level sets the statement's level, with overrides as check=action.
func (s *stage) level(name string, overrides ...string) {
	verification := map[string]any{"level": name}
	for _, override := range overrides {
		check, action, _ := strings.Cut(override, "=")
		if verification["override"] == nil {
			verification["override"] = map[string]string{}
		}
		verification["override"].(map[string]string)[check] = action
	}
	s.statement["signatureVerification"] = verification
}

// claim is what an envelope is made of.
type claim struct {
	format    envelope.Format
	signer    *testpki.Entity
	target    ocispec.Descriptor
	draft     envelope.DraftOptions
	timestamp *testtsa.Options
	// spoil changes the finished envelope.
	spoil func([]byte) []byte
}

// sign puts a signature on the shelf and returns its envelope.
func (s *stage) sign(edits ...func(*claim)) []byte {
	s.t.Helper()
	c := claim{format: envelope.FormatJWS, signer: s.leaf, target: s.target, draft: envelope.DraftOptions{SigningTime: noon.Add(-time.Minute)}}
	for _, edit := range edits {
		edit(&c)
	}
	data := s.seal(c)
	s.repo.put(&artifact.Signature{MediaType: c.format.MediaType(), Envelope: data, Subject: s.target})
	return data
}

func (s *stage) seal(c claim) []byte {
	s.t.Helper()
	var err error
	fail := func(err error) {
		if err != nil {
			s.t.Helper()
			s.t.Fatal(err)
		}
	}
	c.draft.Suite, err = protocol.SuiteForKey(c.signer.Cert.PublicKey)
	fail(err)
	if c.draft.Payload == nil {
		c.draft.Payload, err = envelope.MarshalPayload(c.format.MediaType(), c.target)
		fail(err)
	}
	draft, err := envelope.NewDraft(c.format.MediaType(), c.draft)
	fail(err)
	signature, err := pki.Sign(c.signer.Key, draft.SigningInput())
	fail(err)
	var token []byte
	if c.timestamp != nil {
		token = testtsa.Token(s.t, *c.timestamp, signature, c.draft.Suite.CryptoHash)
	}
	data, err := draft.Seal(envelope.SealOptions{Signature: signature, Chain: c.signer.Chain(), Timestamp: token, Agent: "test/1.0.0"})
	fail(err)
	if c.spoil != nil {
		data = c.spoil(data)
	}
	return data
}

func by(signer *testpki.Entity) func(*claim)       { return func(c *claim) { c.signer = signer } }
func as(format envelope.Format) func(*claim)       { return func(c *claim) { c.format = format } }
func about(target ocispec.Descriptor) func(*claim) { return func(c *claim) { c.target = target } }

// naming makes the signature name a plugin.
func naming(plugin, minVersion string, more ...envelope.Attribute) func(*claim) {
	return func(c *claim) {
		c.draft.Extended = append(c.draft.Extended, envelope.Attribute{Key: "io.cncf.notary.verificationPlugin", Value: plugin, Critical: true})
		if minVersion != "" {
			c.draft.Extended = append(c.draft.Extended, envelope.Attribute{Key: "io.cncf.notary.verificationPluginMinVersion", Value: minVersion, Critical: true})
		}
		c.draft.Extended = append(c.draft.Extended, more...)
	}
}

func critical(key string, value any) envelope.Attribute {
	return envelope.Attribute{Key: key, Value: value, Critical: true}
}

func (s *stage) verifier() *Verifier {
	s.t.Helper()
	data, err := json.Marshal(map[string]any{"version": "1.0", "trustPolicies": []any{s.statement}})
	if err != nil {
		s.t.Fatal(err)
	}
	policy, err := trust.ParseOCIPolicy(data)
	if err != nil {
		s.t.Fatal(err)
	}
	return &Verifier{
		Policies: policies{oci: policy}, Stores: s.stores, Plugins: s.plugins, Revocation: s,
		Now:    func() time.Time { return s.now },
		Logger: slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// request asks about the stage's artifact.
func (s *stage) request() ArtifactRequest {
	return ArtifactRequest{Reference: "v1", Name: scope, Scope: scope, MaxSignatures: DefaultMaxSignatures}
}

func (s *stage) verify(edits ...func(*ArtifactRequest)) (*Outcome, error) {
	s.t.Helper()
	request := s.request()
	for _, edit := range edits {
		edit(&request)
	}
	s.repo.resolved = s.target
	return s.verifier().VerifyArtifact(s.t.Context(), s.repo, request)
}

// passes verifies and expects success.
func (s *stage) passes(edits ...func(*ArtifactRequest)) *Outcome {
	s.t.Helper()
	outcome, err := s.verify(edits...)
	if err != nil {
		s.t.Fatalf("verification failed: %v%s", err, reasons(outcome))
	}
	if !outcome.Skipped && len(outcome.Verified) == 0 {
		s.t.Fatal("no error and no signature verified")
	}
	return outcome
}

// fails verifies and expects the first signature to fail with a reason that
// contains want.
func (s *stage) fails(want string, edits ...func(*ArtifactRequest)) *Outcome {
	s.t.Helper()
	outcome, err := s.verify(edits...)
	if err == nil {
		s.t.Fatalf("verification passed, want failure with %q", want)
	}
	if len(outcome.Verified) != 0 {
		s.t.Errorf("error %v together with a verified signature", err)
	}
	if got := reasons(outcome); !strings.Contains(got, want) {
		s.t.Errorf("reasons are %s, want %q", got, want)
	}
	return outcome
}

func reasons(outcome *Outcome) string {
	var out strings.Builder
	if outcome != nil {
		for _, signature := range outcome.Signatures {
			fmt.Fprintf(&out, "\n  %v", signature.Err)
		}
	}
	return out.String()
}

// Check is the stage as a revocation checker.
func (s *stage) Check(_ context.Context, request revocation.Request) revocation.Report {
	s.asked = append(s.asked, request)
	result := revocation.ResultOK
	if s.revoked != nil {
		result = s.revoked(request)
	}
	return revocation.Report{Purpose: request.Purpose, Result: result, Certificates: []revocation.CertificateReport{
		{Certificate: request.Chain[0], Result: result},
	}}
}

// policies hands out what it was given.
type policies struct {
	oci  *trust.OCIPolicy
	blob *trust.BlobPolicy
}

func (p policies) OCIPolicy(context.Context) (*trust.OCIPolicy, error)   { return p.oci, nil }
func (p policies) BlobPolicy(context.Context) (*trust.BlobPolicy, error) { return p.blob, nil }

// stores are trust stores in memory.
type stores map[trust.StoreRef][]*x509.Certificate

func (s stores) Certificates(_ context.Context, ref trust.StoreRef) ([]*x509.Certificate, error) {
	certs, ok := s[ref]
	if !ok {
		return nil, &trust.StoreError{Ref: ref, Missing: true}
	}
	return certs, nil
}

// shelf is a repository in memory that can misbehave.
type shelf struct {
	tag        string
	resolved   ocispec.Descriptor
	signatures []*artifact.Signature
	// errs are what fetching a signature fails with, by place.
	errs    map[int]error
	listErr error
	pushed  []artifact.PushRequest
	fetched []digest.Digest
	touched bool
}

func (r *shelf) put(signature *artifact.Signature) {
	signature.Manifest = describe(fmt.Sprintf("signature %d", len(r.signatures)))
	signature.Manifest.Annotations = signature.Annotations
	r.signatures = append(r.signatures, signature)
}

func (r *shelf) Resolve(_ context.Context, reference string) (ocispec.Descriptor, error) {
	r.touched = true
	if reference != r.tag && reference != r.resolved.Digest.String() {
		return ocispec.Descriptor{}, artifact.ErrNotFound
	}
	return r.resolved, nil
}

func (r *shelf) Signatures(context.Context, ocispec.Descriptor) iter.Seq2[ocispec.Descriptor, error] {
	return func(yield func(ocispec.Descriptor, error) bool) {
		for _, signature := range r.signatures {
			if !yield(signature.Manifest, nil) {
				return
			}
		}
		if r.listErr != nil {
			yield(ocispec.Descriptor{}, r.listErr)
		}
	}
}

func (r *shelf) FetchSignature(_ context.Context, manifest, _ ocispec.Descriptor, _ artifact.Reserve) (*artifact.Signature, error) {
	r.fetched = append(r.fetched, manifest.Digest)
	for i, signature := range r.signatures {
		if signature.Manifest.Digest == manifest.Digest {
			return signature, r.errs[i]
		}
	}
	return nil, artifact.ErrNotFound
}

func (r *shelf) Manifests(context.Context, ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	return nil, nil
}

func (*shelf) ExpectSignature(context.Context) {}

func (r *shelf) PushSignature(_ context.Context, request artifact.PushRequest) (ocispec.Descriptor, error) {
	r.pushed = append(r.pushed, request)
	r.put(&artifact.Signature{MediaType: request.MediaType, Envelope: request.Envelope, Subject: request.Subject, Annotations: request.Annotations})
	return r.signatures[len(r.signatures)-1].Manifest, nil
}

// pluginSet finds the plugins of a stage.
type pluginSet map[string]*mockPlugin

func (p pluginSet) Get(_ context.Context, name string) (*protocol.Client, error) {
	plugin, ok := p[name]
	if !ok {
		return nil, errors.New("plugin " + name + " is not installed")
	}
	return protocol.NewClient(name, plugin), nil
}

// mockPlugin answers with what a test gave it, by command. It is a transport:
// what carries real messages to real processes has tests of its own.
type mockPlugin struct {
	mu      sync.Mutex
	answers map[protocol.Command]func(request map[string]any) (any, error)
	// requests are those received, by command.
	requests map[protocol.Command][]map[string]any
}

// plugin installs a plugin with these capabilities.
func (s *stage) plugin(name, version string, capabilities ...protocol.Capability) *mockPlugin {
	p := &mockPlugin{requests: map[protocol.Command][]map[string]any{}, answers: map[protocol.Command]func(map[string]any) (any, error){}}
	p.answer(protocol.CommandGetMetadata, protocol.Metadata{
		Name: name, Description: "a test", Version: version, URL: "https://example.com",
		SupportedContractVersions: []string{"1.0"}, Capabilities: capabilities,
	})
	s.plugins[name] = p
	return p
}

// answer fixes the answer to a command.
func (p *mockPlugin) answer(command protocol.Command, answer any) {
	p.answers[command] = func(map[string]any) (any, error) { return answer, nil }
}

// verdicts makes the plugin answer verify-signature; a reason means failure.
func (p *mockPlugin) verdicts(reasons map[protocol.Capability]string, processed ...string) {
	results := map[protocol.Capability]*protocol.VerificationResult{}
	for capability, reason := range reasons {
		results[capability] = &protocol.VerificationResult{Success: reason == "", Reason: reason}
	}
	p.answer(protocol.CommandVerifySignature, map[string]any{"verificationResults": results, "processedAttributes": append([]string{}, processed...)})
}

func (p *mockPlugin) Call(_ context.Context, command protocol.Command, request []byte) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var received map[string]any
	if err := json.Unmarshal(request, &received); err != nil {
		return nil, err
	}
	p.requests[command] = append(p.requests[command], received)
	answer, ok := p.answers[command]
	if !ok {
		return nil, protocol.Errorf(protocol.CodeValidation, "%s is not supported", command)
	}
	response, err := answer(received)
	if err != nil {
		return nil, err
	}
	return json.Marshal(response)
}

// calls counts the requests received.
func (p *mockPlugin) calls() int {
	n := 0
	for _, requests := range p.requests {
		n += len(requests)
	}
	return n
}

// reseal replaces a piece of the first signature's protected header, of the same
// length, and signs again: the envelope is sound but for that piece.
func reseal(t testing.TB, s *stage, old, new []byte) []byte {
	t.Helper()
	var env struct {
		Payload   string          `json:"payload"`
		Protected string          `json:"protected"`
		Header    json.RawMessage `json:"header"`
		Signature string          `json:"signature"`
	}
	if err := json.Unmarshal(s.repo.signatures[0].Envelope, &env); err != nil {
		t.Fatal(err)
	}
	header, err := base64.RawURLEncoding.DecodeString(env.Protected)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(header, old) {
		t.Fatalf("%s is not in %s", old, header)
	}
	env.Protected = base64.RawURLEncoding.EncodeToString(bytes.ReplaceAll(header, old, new))
	signature, err := pki.Sign(s.leaf.Key, []byte(env.Protected+"."+env.Payload))
	if err != nil {
		t.Fatal(err)
	}
	env.Signature = base64.RawURLEncoding.EncodeToString(signature)
	data, err := json.Marshal(env)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// signBytes signs as the stage's leaf does.
func (s *stage) signBytes(message []byte) ([]byte, error) { return pki.Sign(s.leaf.Key, message) }
