package plugintest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/conformance"
	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// concurrent is how many signatures are made at once.
const concurrent = 50

// Run runs the suite.
func Run(t *testing.T, b Backend) {
	s := &suite{Backend: b, root: testpki.Root(t, "root")}
	s.issuer = s.root.Intermediate(t, "intermediate")
	t.Run("PLG-76 metadata", s.metadata)
	for _, spec := range testpki.Specs {
		if id, ok := b.Keys[spec]; ok {
			t.Run(string(spec), func(t *testing.T) { s.key(t, spec, id) })
		}
	}
	t.Run("PLG-12 no such key", func(t *testing.T) {
		_, err := s.client(t).DescribeKey(t.Context(), &protocol.DescribeKeyRequest{KeyID: b.MissingKey, PluginConfig: b.Config})
		WantError(t, err, protocol.CodeValidation, b.MissingKey)
	})
	t.Run("secrets in plugin config", s.secretConfig)
	for _, f := range b.Failures {
		t.Run("PLG-12 "+f.Name, func(t *testing.T) { s.failure(t, f) })
	}
	t.Run("concurrent signatures", s.concurrent)
	if process, ok := b.Transport.(*Process); ok {
		t.Run("PLG-33 PLG-76 conformance", func(t *testing.T) { s.conformance(t, process) })
	}
	if b.Rotate != nil {
		t.Run("rotated key", s.rotated)
	}
}

type suite struct {
	Backend
	root, issuer *testpki.Entity
}

func (s *suite) client(t *testing.T) *protocol.Client { return s.over(t, s.Transport) }

func (s *suite) over(t *testing.T, transport protocol.Transport) *protocol.Client {
	return protocol.NewClient(s.Name, discreet{t, transport, s.Secrets})
}

// any returns the key that costs least.
func (s *suite) any() (protocol.KeySpec, string) {
	for _, spec := range []protocol.KeySpec{protocol.KeySpecEC256, protocol.KeySpecEC384, protocol.KeySpecRSA2048, protocol.KeySpecRSA3072} {
		if id, ok := s.Keys[spec]; ok {
			return spec, id
		}
	}
	panic("plugintest: Backend.Keys has no key of a common spec")
}

// config is the backend's plugin configuration with a certificate file, if any.
func (s *suite) config(chain string) map[string]string {
	config := maps.Clone(s.Config)
	if config == nil {
		config = map[string]string{}
	}
	if chain != "" {
		config[signer.ConfigCertificateChain] = chain
	}
	return config
}

func (s *suite) metadata(t *testing.T) {
	metadata, err := s.client(t).GetMetadata(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(metadata.Capabilities) == 0 || metadata.Capabilities[0] != protocol.CapabilitySignatureGenerator {
		t.Errorf("capabilities %v", metadata.Capabilities)
	}
	if process, ok := s.Transport.(*Process); ok {
		bare := *process
		bare.Env = []string{}
		if _, err := s.over(t, &bare).GetMetadata(t.Context(), nil); err != nil {
			t.Errorf("with an empty environment: %v", err)
		}
	}
}

// describe returns the public key of a key without a certificate.
func (s *suite) describe(t *testing.T, id string) (protocol.Suite, crypto.PublicKey) {
	t.Helper()
	described, err := s.client(t).DescribeKey(t.Context(), &protocol.DescribeKeyRequest{KeyID: id, PluginConfig: s.Config})
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(described.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	algorithms, err := protocol.SuiteForKey(public)
	if err != nil || algorithms.KeySpec != described.KeySpec {
		t.Fatalf("key spec %s, of the public key %s, %v", described.KeySpec, algorithms.KeySpec, err)
	}
	return algorithms, public
}

func request(id string, algorithms protocol.Suite, payload []byte, config map[string]string) *protocol.GenerateSignatureRequest {
	return &protocol.GenerateSignatureRequest{KeyID: id, KeySpec: algorithms.KeySpec, Hash: algorithms.Hash, Payload: payload, PluginConfig: config}
}

// key is what one key has to pass.
func (s *suite) key(t *testing.T, spec protocol.KeySpec, id string) {
	client := s.client(t)
	algorithms, public := s.describe(t, id)
	if algorithms.KeySpec != spec {
		t.Fatalf("key %s is of spec %s", id, algorithms.KeySpec)
	}
	leaf := s.issuer.LeafFor(t, "leaf "+string(spec), public)
	payload := bytes.Repeat([]byte("more than the 4,096 bytes that some services take. "), 100)

	t.Run("publicKey.v1 csr", func(t *testing.T) {
		r := request(id, algorithms, payload, s.Config)
		r.Purpose = protocol.PurposeCSR
		signed, err := client.GenerateSignature(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if err := signer.Verify(public, algorithms, signer.Digest(algorithms, payload), signed.Signature); err != nil {
			t.Error(err)
		}
	})
	config := s.config(bundle(t, s.root.Cert, leaf.Cert, s.issuer.Cert))
	t.Run("PLG-25 ENV-41 CERT-02 shuffled chain", func(t *testing.T) {
		signed, err := client.GenerateSignature(t.Context(), request(id, algorithms, payload, config))
		if err != nil {
			t.Fatal(err)
		}
		if err := signer.Verify(public, algorithms, signer.Digest(algorithms, payload), signed.Signature); err != nil {
			t.Error(err)
		}
		wantChain(t, signed.CertificateChain, leaf)
	})
	for _, format := range []envelope.Format{envelope.FormatJWS, envelope.FormatCOSE} {
		t.Run("PLG-26 "+string(format), func(t *testing.T) { s.envelope(t, client, id, config, format) })
	}
	if cheapest, _ := s.any(); spec != cheapest {
		return // what follows has nothing to do with the key spec
	}
	stranger := s.root.Leaf(t, "stranger", protocol.KeySpecEC256)
	for _, c := range []struct {
		name  string
		chain []*x509.Certificate
		want  string
	}{
		{"root missing", []*x509.Certificate{leaf.Cert, s.issuer.Cert}, `add the certificate of "CN=root,`},
		{"intermediate missing", []*x509.Certificate{leaf.Cert, s.root.Cert}, `add the certificate of "CN=intermediate,`},
	} {
		t.Run("CERT-02 "+c.name, func(t *testing.T) {
			_, err := client.GenerateSignature(t.Context(), request(id, algorithms, payload, s.config(bundle(t, c.chain...))))
			WantError(t, err, protocol.CodeValidation, c.want)
		})
	}
	t.Run("CERT-02 chain of another key", func(t *testing.T) {
		_, err := client.GenerateSignature(t.Context(), request(id, algorithms, payload, s.config(bundle(t, stranger.Chain()...))))
		WantError(t, err, protocol.CodeValidation)
	})
	t.Run("PLG-24 key spec of another key", func(t *testing.T) {
		r := request(id, algorithms, payload, config)
		r.KeySpec, r.Hash = protocol.KeySpecEC384, protocol.HashSHA384
		if spec == r.KeySpec {
			r.KeySpec, r.Hash = protocol.KeySpecEC256, protocol.HashSHA256
		}
		_, err := client.GenerateSignature(t.Context(), r)
		WantError(t, err, protocol.CodeValidation, id)
	})
}

// conformance runs the kit over the plugin with all its keys.
func (s *suite) conformance(t *testing.T, process *Process) {
	var ids []string
	certs := []*x509.Certificate{s.root.Cert, s.issuer.Cert}
	for _, spec := range testpki.Specs {
		if id, ok := s.Keys[spec]; ok {
			_, public := s.describe(t, id)
			ids, certs = append(ids, id), append(certs, s.issuer.LeafFor(t, "leaf "+string(spec), public).Cert)
		}
	}
	report, err := conformance.Run(t.Context(), conformance.Options{
		Path: process.Path, Keys: ids, UnknownKey: s.MissingKey, Config: s.config(bundle(t, certs...)),
		Environ: process.Env, Secrets: s.Secrets, Timeout: patience, Grace: patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range report.Results {
		if r.Verdict == conformance.Failed || r.Verdict == conformance.NotRun {
			t.Errorf("%s %s: %s: %s%q", r.ID, r.Verdict, r.Text, r.Reason, r.Failures)
		}
	}
}

// envelope signs a file with the host's flows and verifies it with them.
func (s *suite) envelope(t *testing.T, client *protocol.Client, id string, config map[string]string, format envelope.Format) {
	key, err := host.NewPluginKey(t.Context(), client, id, config, host.KindBlob)
	if err != nil {
		t.Fatal(err)
	}
	// The metadata makes what is signed longer than 4,096 bytes.
	flow := host.Signer{Key: key, Format: format, UserMetadata: map[string]string{"padding": strings.Repeat("p", 5000)}}
	signed, err := flow.SignBlob(t.Context(), strings.NewReader("the file"), "text/plain")
	if err != nil {
		t.Fatal(err)
	}
	verifier := host.Verifier{Policies: policy{}, Stores: store{s.root.Cert}}
	verify := func(file io.Reader) error {
		_, err := verifier.VerifyBlob(t.Context(), file, host.BlobRequest{Name: "file", Signature: signed.Signature, SignatureType: format.MediaType()})
		return err
	}
	if err := verify(strings.NewReader("the file")); err != nil {
		t.Error(err)
	}
	if verify(strings.NewReader("another file")) == nil {
		t.Error("another file verifies")
	}
}

func (s *suite) secretConfig(t *testing.T) {
	_, id := s.any()
	for _, name := range []string{"pin", "password", "token", "secret_id", "client_secret", "access_key"} {
		config := s.config("")
		config[name] = "hunter2-hunter2"
		_, err := s.client(t).DescribeKey(t.Context(), &protocol.DescribeKeyRequest{KeyID: id, PluginConfig: config})
		WantError(t, err, protocol.CodeValidation, name, "secret")
		if strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("the value is in the message: %v", err)
		}
	}
}

// failure describes the key and signs with it; one of the two must fail.
func (s *suite) failure(t *testing.T, f Failure) {
	_, id := s.any()
	if f.KeyID != "" {
		id = f.KeyID
	}
	transport := s.Transport
	if f.Transport != nil {
		transport = f.Transport
	}
	config := s.config("")
	maps.Copy(config, f.Config)
	client := s.over(t, transport)
	described, err := client.DescribeKey(t.Context(), &protocol.DescribeKeyRequest{KeyID: id, PluginConfig: config})
	if err == nil {
		algorithms, _ := protocol.SuiteOf(described.KeySpec)
		r := request(id, algorithms, []byte("payload"), config)
		r.Purpose = protocol.PurposeCSR
		_, err = client.GenerateSignature(t.Context(), r)
	}
	if err == nil {
		t.Fatal("signed")
	}
	WantError(t, err, f.Code, f.Text...)
}

func (s *suite) concurrent(t *testing.T) {
	_, id := s.any()
	client := s.client(t)
	if s.Warm != nil {
		client = s.over(t, s.Warm)
	}
	algorithms, public := s.describe(t, id)
	config := s.config(bundle(t, s.issuer.LeafFor(t, "leaf", public).Chain()...))
	var wg sync.WaitGroup
	for i := range concurrent {
		wg.Go(func() {
			payload := fmt.Appendf(nil, "payload %d", i)
			signed, err := client.GenerateSignature(t.Context(), request(id, algorithms, payload, config))
			if err == nil {
				err = signer.Verify(public, algorithms, signer.Digest(algorithms, payload), signed.Signature)
			}
			if err != nil {
				t.Errorf("signature %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

// rotated signs with the version that has a certificate, before and after there
// is one for the newest.
func (s *suite) rotated(t *testing.T) {
	_, id := s.any()
	client := s.client(t)
	algorithms, before := s.describe(t, id)
	oldLeaf := s.issuer.LeafFor(t, "old", before)
	s.Rotate(t, id)
	_, after := s.describe(t, id)
	if same(before, after) {
		t.Fatal("describe-key still answers the old public key")
	}
	sign := func(want *testpki.Entity, certs ...*x509.Certificate) {
		t.Helper()
		signed, err := client.GenerateSignature(t.Context(), request(id, algorithms, []byte("payload"), s.config(bundle(t, certs...))))
		if err != nil {
			t.Fatal(err)
		}
		if err := signer.Verify(want.Cert.PublicKey, algorithms, signer.Digest(algorithms, []byte("payload")), signed.Signature); err != nil {
			t.Error(err)
		}
		wantChain(t, signed.CertificateChain, want)
	}
	sign(oldLeaf, oldLeaf.Chain()...)
	newLeaf := s.issuer.LeafFor(t, "new", after)
	sign(newLeaf, newLeaf.Chain()...)
}

func same(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}

func wantChain(t *testing.T, got [][]byte, leaf *testpki.Entity) {
	t.Helper()
	want := leaf.RawChain()
	if len(got) != len(want) {
		t.Errorf("%d certificates, want %d", len(got), len(want))
		return
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("certificate %d is another one", i)
		}
	}
}

// bundle writes certificates to a PEM file, in the order given.
func bundle(t *testing.T, certs ...*x509.Certificate) string {
	t.Helper()
	var text []byte
	for _, cert := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	path := filepath.Join(t.TempDir(), "chain.pem")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// policy trusts every identity below the store ca:test, for files.
type policy struct{}

func (policy) BlobPolicy(context.Context) (*trust.BlobPolicy, error) {
	return trust.ParseBlobPolicy([]byte(`{"version":"1.0","trustPolicies":[{"name":"test","globalPolicy":true,` +
		`"signatureVerification":{"level":"strict"},"trustStores":["ca:test"],"trustedIdentities":["*"]}]}`))
}

func (policy) OCIPolicy(context.Context) (*trust.OCIPolicy, error) {
	return nil, fmt.Errorf("no policy for artifacts")
}

// store is a trust store of one root.
type store struct{ root *x509.Certificate }

func (s store) Certificates(context.Context, trust.StoreRef) ([]*x509.Certificate, error) {
	return []*x509.Certificate{s.root}, nil
}
