package peers

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/notaryproject/notation-core-go/signature"
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/dir"
	"github.com/notaryproject/notation-go/plugin"
	"github.com/notaryproject/notation-go/signer"
	"github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/host/envelope"
	hostplugin "github.com/signet-project/signet/host/plugin"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

// signing says what signature to make.
type signing struct {
	key      *testpki.Entity
	format   envelope.Format
	expiry   time.Duration
	metadata map[string]string
}

// report is what a verifier says of a signature it accepted.
type report struct {
	mediaType string
	algorithm string
	metadata  map[string]string
	// lifetime is from signing to expiry.
	lifetime time.Duration
	scheme   string
}

// want is the report on a signature made as s says.
func (s signing) want(t testing.TB) report {
	t.Helper()
	suite, err := protocol.SuiteForKey(s.key.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return report{s.format.MediaType(), string(suite.Algorithm), s.metadata, s.expiry, string(envelope.SchemeX509)}
}

// party is an implementation of the specifications.
type party interface {
	sign(t testing.TB, at *place, s signing) error
	// verify demands metadata and reports the signature that passed.
	verify(t testing.TB, at *place, metadata map[string]string) (*report, error)
}

// newConfig makes a configuration directory that all parties read: a policy with
// one statement for everything, and a store of each kind named.
func newConfig(t testing.TB, root *testpki.Entity, stores ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, store := range stores {
		kind, name, _ := strings.Cut(store, ":")
		path := filepath.Join(dir, "truststore", "x509", kind, name)
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "root.crt"), root.CertPEM(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writeJSON(t, filepath.Join(dir, "trustpolicy.json"), trustpolicy.Document{
		Version: "1.0",
		TrustPolicies: []trustpolicy.TrustPolicy{{
			Name:                  "everything",
			RegistryScopes:        []string{"*"},
			SignatureVerification: trustpolicy.SignatureVerification{VerificationLevel: "strict"},
			TrustStores:           stores,
			TrustedIdentities:     []string{"x509.subject: C=US, ST=WA, O=signet test, CN=signer"},
		}},
	})
	return dir
}

// library is signet as a library.
type library struct {
	config string
	now    func() time.Time
	// plugins is the directory of the plugins that signatures may name.
	plugins    string
	revocation host.RevocationChecker
}

func (l library) sign(t testing.TB, at *place, s signing) error {
	key, err := host.NewLocalKey(s.key.Key, s.key.Chain())
	if err != nil {
		return err
	}
	signer := &host.Signer{Key: key, Format: s.format, Expiry: s.expiry, UserMetadata: s.metadata, Agent: "signet/test", Now: l.now}
	_, err = signer.SignArtifact(t.Context(), at.ours, at.artifact.Digest.String())
	return err
}

func (l library) verify(t testing.TB, at *place, metadata map[string]string) (*report, error) {
	outcome, err := l.outcome(t, at, metadata)
	if err != nil {
		return nil, err
	}
	for _, check := range []trust.Check{trust.CheckIntegrity, trust.CheckAuthenticity, trust.CheckAuthenticTimestamp, trust.CheckExpiry, trust.CheckRevocation} {
		if result := outcome.Verified[0].Result(check); result == nil || result.Status != host.StatusPassed {
			return nil, fmt.Errorf("%s: %+v", check, result)
		}
	}
	env := outcome.Verified[0].Envelope
	return &report{env.MediaType, string(env.Algorithm), outcome.Verified[0].UserMetadata(), lifetime(env.SigningTime, env.Expiry), string(env.Scheme)}, nil
}

// outcome verifies; the error says what is wrong with each signature.
func (l library) outcome(t testing.TB, at *place, metadata map[string]string) (*host.Outcome, error) {
	verifier := &host.Verifier{
		Policies:   trust.FilePolicies{Dir: l.config},
		Stores:     trust.NewDirStore(filepath.Join(l.config, "truststore"), nil),
		Revocation: l.revocation,
		Now:        l.now,
	}
	if l.plugins != "" {
		verifier.Plugins = hostplugin.NewManager(l.plugins, hostplugin.Options{Environ: os.Environ()})
	}
	outcome, err := verifier.VerifyArtifact(t.Context(), at.ours, host.ArtifactRequest{
		Reference: at.artifact.Digest.String(), Name: at.scope, Scope: at.scope,
		MaxSignatures: host.DefaultMaxSignatures, UserMetadata: metadata,
	})
	if err != nil && outcome != nil {
		for _, s := range outcome.Signatures {
			err = fmt.Errorf("%w; %v", err, s.Err)
		}
	}
	return outcome, err
}

// program is the signet binary.
type program struct{ *command }

func (p program) sign(t testing.TB, at *place, s signing) error {
	name := filepath.Base(t.TempDir()) + fmt.Sprint(time.Now().UnixNano())
	keyPath, certPath := s.key.WriteFiles(t, t.TempDir(), "signer")
	if err := config.NewSigningKeys(p.config).Add(t.Context(), config.Key{Name: name, KeyPath: keyPath, CertPath: certPath}, true); err != nil {
		return err
	}
	args := []string{"sign", "--key", name, "--signature-format", string(s.format), "--expiry", s.expiry.String()}
	for key, value := range s.metadata {
		args = append(args, "--user-metadata", key+"="+value)
	}
	stdout, stderr, status := p.run(t, "", append(args, at.signArgs...)...)
	if status != 0 || !strings.Contains(stdout, "Successfully signed ") {
		return fmt.Errorf("exit status %d: %s%s", status, stdout, stderr)
	}
	return nil
}

func (p program) verify(t testing.TB, at *place, metadata map[string]string) (*report, error) {
	args := []string{"verify"}
	for key, value := range metadata {
		args = append(args, "--user-metadata", key+"="+value)
	}
	stdout, stderr, status := p.run(t, "", append(args, at.verifyArgs...)...)
	if status != 0 || !strings.Contains(stdout, "Successfully verified signature for ") {
		return nil, fmt.Errorf("exit status %d: %s%s", status, stdout, stderr)
	}
	stdout, stderr, status = p.run(t, "", append([]string{"inspect", "--output", "json"}, at.readArgs...)...)
	if status != 0 {
		return nil, fmt.Errorf("inspect: exit status %d: %s%s", status, stdout, stderr)
	}
	var inspected struct {
		Signatures []struct {
			SignatureAlgorithm    string
			SignatureEnvelopeType string
			UserDefinedAttributes map[string]string
			SignedAttributes      struct {
				SigningScheme       string
				SigningTime, Expiry time.Time
			}
		}
	}
	if err := json.Unmarshal([]byte(stdout), &inspected); err != nil || len(inspected.Signatures) == 0 {
		return nil, fmt.Errorf("inspect: %v\n%s", err, stdout)
	}
	s := inspected.Signatures[0]
	return &report{
		s.SignatureEnvelopeType, s.SignatureAlgorithm, s.UserDefinedAttributes,
		lifetime(s.SignedAttributes.SigningTime, s.SignedAttributes.Expiry), s.SignedAttributes.SigningScheme,
	}, nil
}

// peer is notation-go.
type peer struct {
	config string
	// plugins is the directory of the plugins that signatures may name.
	plugins      string
	pluginConfig map[string]string
}

func (p peer) sign(t testing.TB, at *place, s signing) error {
	local, err := signer.NewGenericSigner(s.key.Key, s.key.Chain())
	if err != nil {
		return err
	}
	return p.signWith(t, local, at, s)
}

func (p peer) signWith(t testing.TB, key notation.Signer, at *place, s signing) error {
	_, err := notation.Sign(t.Context(), key, at.theirs, notation.SignOptions{
		SignerSignOptions: notation.SignerSignOptions{SignatureMediaType: s.format.MediaType(), ExpiryDuration: s.expiry},
		ArtifactReference: at.artifact.Digest.String(),
		UserMetadata:      s.metadata,
	})
	return err
}

func (p peer) verify(t testing.TB, at *place, metadata map[string]string) (*report, error) {
	outcome, err := p.outcome(t, at, metadata)
	if err != nil {
		return nil, err
	}
	signed := outcome.EnvelopeContent.SignerInfo
	found, err := outcome.UserMetadata()
	if err != nil {
		return nil, err
	}
	return &report{
		mediaType(outcome.RawSignature), algorithms[signed.SignatureAlgorithm], found,
		lifetime(signed.SignedAttributes.SigningTime, signed.SignedAttributes.Expiry), string(signed.SignedAttributes.SigningScheme),
	}, nil
}

// outcome verifies and returns what notation-go says of the signature that passed.
func (p peer) outcome(t testing.TB, at *place, metadata map[string]string) (*notation.VerificationOutcome, error) {
	data, err := os.ReadFile(filepath.Join(p.config, "trustpolicy.json"))
	if err != nil {
		return nil, err
	}
	var policy trustpolicy.Document
	if err := json.Unmarshal(data, &policy); err != nil {
		return nil, err
	}
	files := dir.NewSysFS(p.config)
	check, err := verifier.New(&policy, truststore.NewX509TrustStore(files), plugin.NewCLIManager(dir.NewSysFS(p.plugins)))
	if err != nil {
		return nil, err
	}
	_, outcomes, err := notation.Verify(t.Context(), check, at.theirs, notation.VerifyOptions{
		ArtifactReference: at.reference(), MaxSignatureAttempts: 100, UserMetadata: metadata, PluginConfig: p.pluginConfig,
	})
	if err != nil {
		return nil, err
	}
	for _, result := range outcomes[0].VerificationResults {
		if result.Error != nil {
			return nil, fmt.Errorf("%s: %w", result.Type, result.Error)
		}
	}
	return outcomes[0], nil
}

// algorithms are the specification's names of notation-core-go's constants.
var algorithms = map[signature.Algorithm]string{
	signature.AlgorithmPS256: "RSASSA-PSS-SHA-256", signature.AlgorithmPS384: "RSASSA-PSS-SHA-384", signature.AlgorithmPS512: "RSASSA-PSS-SHA-512",
	signature.AlgorithmES256: "ECDSA-SHA-256", signature.AlgorithmES384: "ECDSA-SHA-384", signature.AlgorithmES512: "ECDSA-SHA-512",
}

// mediaType tells the envelope format that the bytes are in.
func mediaType(data []byte) string {
	if len(data) > 0 && data[0] == '{' {
		return envelope.MediaTypeJWS
	}
	return envelope.MediaTypeCOSE
}

func lifetime(from, to time.Time) time.Duration {
	if to.IsZero() {
		return 0
	}
	return to.Sub(from)
}
