package peers

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/notaryproject/notation-go"
	notationconfig "github.com/notaryproject/notation-go/config"
	"github.com/notaryproject/notation-go/dir"
	"github.com/notaryproject/notation-go/signer"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

// Policies that are to be refused; policy fills in the rest.
const (
	skipEverything = `"registryScopes":["*"],"signatureVerification":{"level":"skip"}`
	overlapping    = `"registryScopes":["*"],"signatureVerification":{"level":"strict"},"trustStores":["ca:peers"],` +
		`"trustedIdentities":["x509.subject:C=US,ST=WA,O=acme,CN=y","x509.subject:C=US,ST=WA,O=acme,OU=x"]`
	multiValued = `"registryScopes":["*"],"signatureVerification":{"level":"strict"},"trustStores":["ca:peers"],` +
		`"trustedIdentities":["x509.subject:C=US,ST=WA,O=acme,OU=a+OU=b"]`
	emptyValue = `"registryScopes":["*"],"signatureVerification":{"level":"strict"},"trustStores":["ca:peers"],` +
		`"trustedIdentities":["x509.subject:C=US,ST=WA,O=acme,CN="]`
)

// policyOf has both validate a policy with one statement.
func policyOf(statement string) func(*testing.T) (theirs, ours string) {
	return func(t *testing.T) (theirs, ours string) {
		data := []byte(`{"version":"1.0","trustPolicies":[{"name":"one",` + statement + `}]}`)
		var document trustpolicy.Document
		if err := json.Unmarshal(data, &document); err != nil {
			t.Fatal(err)
		}
		_, err := trust.ParseOCIPolicy(data)
		return said(document.Validate()), said(err)
	}
}

// storeOf has both read a trust store with one certificate and something else.
func storeOf(more func(t *testing.T, store string)) func(*testing.T) (theirs, ours string) {
	return func(t *testing.T) (theirs, ours string) {
		directory := newConfig(t, testpki.Root(t, "root"), "ca:peers")
		more(t, filepath.Join(directory, "truststore", "x509", "ca", "peers"))
		return readStore(t, directory, "peers")
	}
}

func readStore(t *testing.T, directory, name string) (theirs, ours string) {
	t.Helper()
	say := func(certificates []*x509.Certificate, err error) string {
		if err == nil && len(certificates) != 1 {
			t.Errorf("%d certificates", len(certificates))
		}
		return said(err)
	}
	theirs = say(truststore.NewX509TrustStore(dir.NewSysFS(directory)).GetCertificates(t.Context(), truststore.TypeCA, name))
	ours = say(trust.NewDirStore(filepath.Join(directory, "truststore"), nil).Certificates(t.Context(), trust.StoreRef{Type: trust.StoreCA, Name: name}))
	return theirs, ours
}

func withReadme(t *testing.T, store string) {
	write(t, filepath.Join(store, "README.md"), []byte("These are ours.\n"))
}

func withDirectory(t *testing.T, store string) {
	if err := os.Mkdir(filepath.Join(store, "old"), 0o700); err != nil {
		t.Fatal(err)
	}
}

// storeCalledDots is a store whose name leads to the directory above, where a
// certificate lies.
func storeCalledDots(t *testing.T) (theirs, ours string) {
	directory := t.TempDir()
	above := filepath.Join(directory, "truststore", "x509")
	if err := os.MkdirAll(above, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(above, "root.crt"), testpki.Root(t, "root").CertPEM())
	return readStore(t, directory, "..")
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// badNeighbours has both look for a good signature behind a manifest that is none.
// The registry lists them in the order in which they were pushed.
func badNeighbours(t *testing.T) (theirs, ours string) {
	root := testpki.Root(t, "root")
	at := remotely(t, withoutReferrers(t, nil), "neighbours")
	pushBadSignature(t, at, "bad")
	sign(t, at, crafted{key: root.Leaf(t, "signer", protocol.KeySpecEC256)})
	if index := referrersTag(t, at); len(index.Manifests) != 2 {
		t.Fatalf("%d signatures", len(index.Manifests))
	}
	return bothVerify(t, newConfig(t, root, "ca:peers"), at)
}

// sign stores a signature in JWS beside the artifact; what is not said is as usual.
func sign(t *testing.T, at *place, c crafted) {
	t.Helper()
	c.target, c.scheme, c.contentType = at.artifact, envelope.SchemeX509, envelope.MediaTypePayload
	if c.signed.IsZero() {
		c.signed = time.Now()
	}
	data, err := c.byPeer(envelope.FormatJWS)
	if err != nil {
		t.Fatal(err)
	}
	attach(t, at, envelope.FormatJWS, data, c.key)
}

// bothVerify has both verify an artifact with the same configuration.
func bothVerify(t *testing.T, directory string, at *place) (theirs, ours string) {
	t.Helper()
	_, theirErr := peer{config: directory}.verify(t, at, nil)
	_, ourErr := library{config: directory}.verify(t, at, nil)
	return said(theirErr), said(ourErr)
}

// strangersThumbprints counts who downloads an envelope that cannot be trusted.
func strangersThumbprints(t *testing.T) (theirs, ours string) {
	root := testpki.Root(t, "root")
	directory := newConfig(t, root, "ca:peers")
	stranger := testpki.Root(t, "root").Leaf(t, "signer", protocol.KeySpecEC256)
	registry := withReferrers(t, 0)
	at := remotely(t, registry, "thumbprints")
	sign(t, at, crafted{key: stranger})
	downloads := func(verify party) string {
		before := registry.count("GET", "/blobs/")
		if _, err := verify.verify(t, at, nil); err == nil {
			t.Error("a stranger's signature was accepted")
		}
		if registry.count("GET", "/blobs/") > before {
			return "downloaded, then refused"
		}
		return "refused without a download"
	}
	return downloads(peer{config: directory}), downloads(library{config: directory})
}

// signedPayloads has both sign a descriptor in JWS and returns the payloads.
func signedPayloads(t *testing.T, desc ocispec.Descriptor) (theirs, ours string) {
	t.Helper()
	key := testpki.SelfSigned(t, "signer", protocol.KeySpecEC256)
	local, err := signer.NewGenericSigner(key.Key, key.Chain())
	if err != nil {
		t.Fatal(err)
	}
	data, _, err := local.Sign(t.Context(), desc, notation.SignerSignOptions{SignatureMediaType: envelope.MediaTypeJWS})
	if err != nil {
		t.Fatal(err)
	}
	theirs = payloadOf(t, data)

	own, err := host.NewLocalKey(key.Key, key.Chain())
	if err != nil {
		t.Fatal(err)
	}
	repository := &described{artifact: desc}
	if _, err := (&host.Signer{Key: own, Agent: "signet/test"}).SignArtifact(t.Context(), repository, desc.Digest.String()); err != nil {
		t.Fatal(err)
	}
	return theirs, payloadOf(t, repository.envelope)
}

// described is a repository with one artifact of any description. It keeps the
// envelope that is pushed.
type described struct {
	artifact.Repository
	artifact ocispec.Descriptor
	envelope []byte
}

func (d *described) Resolve(context.Context, string) (ocispec.Descriptor, error) {
	return d.artifact, nil
}

func (*described) ExpectSignature(context.Context) {}

func (d *described) PushSignature(_ context.Context, request artifact.PushRequest) (ocispec.Descriptor, error) {
	d.envelope = request.Envelope
	return ocispec.Descriptor{}, nil
}

func payloadOf(t *testing.T, jws []byte) string {
	t.Helper()
	var members struct{ Payload string }
	if err := json.Unmarshal(jws, &members); err != nil {
		t.Fatal(err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(members.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return string(payload)
}

var anyArtifact = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("any"), Size: 3}

// signedArtifactType looks for the artifact type among what was signed.
func signedArtifactType(t *testing.T) (theirs, ours string) {
	desc := anyArtifact
	desc.ArtifactType = "application/vnd.example"
	say := func(payload string) string {
		if strings.Contains(payload, desc.ArtifactType) {
			return "signed as well"
		}
		return "left out"
	}
	theirs, ours = signedPayloads(t, desc)
	return say(theirs), say(ours)
}

// signedSize looks for the size among what was signed.
func signedSize(t *testing.T) (theirs, ours string) {
	desc := anyArtifact
	desc.Size = 9007199254740993
	say := func(payload string) string {
		_, after, _ := strings.Cut(payload, `"size":`)
		return "signs " + strings.Trim(after, "}")
	}
	theirs, ours = signedPayloads(t, desc)
	return say(theirs), say(ours)
}

// oldKeyList adds a key and looks what became of the file that had the list before.
func oldKeyList(t *testing.T) (theirs, ours string) {
	keyPath, chainPath := testpki.SelfSigned(t, "signer", protocol.KeySpecEC256).WriteFiles(t, t.TempDir(), "signer")
	say := func(add func(directory string) error) string {
		directory, aside := t.TempDir(), filepath.Join(t.TempDir(), "aside")
		list := filepath.Join(directory, "signingkeys.json")
		before := []byte(`{"keys":[]}`)
		write(t, list, before)
		if err := os.Link(list, aside); err != nil {
			t.Fatal(err)
		}
		if err := add(directory); err != nil {
			t.Fatal(err)
		}
		after, err := os.ReadFile(aside)
		if err != nil {
			t.Fatal(err)
		}
		if string(after) == string(before) {
			return "replaced in one step"
		}
		return "overwritten in place"
	}
	theirs = say(func(directory string) error {
		keys := notationconfig.NewSigningKeys()
		if err := keys.Add("one", keyPath, chainPath, true); err != nil {
			return err
		}
		userConfigDir := dir.UserConfigDir
		dir.UserConfigDir = directory
		defer func() { dir.UserConfigDir = userConfigDir }()
		return keys.Save()
	})
	ours = say(func(directory string) error {
		return config.NewSigningKeys(directory).Add(t.Context(), config.Key{Name: "one", KeyPath: keyPath, CertPath: chainPath}, true)
	})
	return theirs, ours
}
