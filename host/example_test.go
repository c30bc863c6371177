package host_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/host/revocation"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

// An artifact in an OCI layout is signed with a local key: build.key is its PEM file,
// build.crt holds its certificate and the issuers up to the root.
func ExampleSigner() {
	dir, _ := workspace()
	defer os.RemoveAll(dir)

	keyPEM, err := os.ReadFile(filepath.Join(dir, "build.key"))
	if err != nil {
		log.Fatal(err)
	}
	private, err := pki.ParsePrivateKey(keyPEM)
	if err != nil {
		log.Fatal(err)
	}
	chainPEM, err := os.ReadFile(filepath.Join(dir, "build.crt"))
	if err != nil {
		log.Fatal(err)
	}
	chain, err := pki.ParseCertificateChain(chainPEM)
	if err != nil {
		log.Fatal(err)
	}
	key, err := host.NewLocalKey(private, chain)
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	layout, err := artifact.OpenLayout(ctx, filepath.Join(dir, "layout"))
	if err != nil {
		log.Fatal(err)
	}
	signer := host.Signer{Key: key, Agent: "acme-release/1.0.0"}
	signed, err := signer.SignArtifact(ctx, layout, "v1")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(signed.Artifact.Digest)
	fmt.Println(signed.Envelope.MediaType, signed.Envelope.Algorithm)
	// Output:
	// sha256:dff9de10919148711140d349bf03f1a99eb06f94b03e51715ccebfa7cdc518e2
	// application/jose+json ECDSA-SHA-256
}

// An artifact in an OCI layout is verified by the trust policy and the trust stores of
// a configuration directory. A layout has no name of its own, so that the caller says
// by which scope of the policy it is judged.
func ExampleVerifier() {
	dir := signedWorkspace()
	defer os.RemoveAll(dir)
	config := filepath.Join(dir, "config")

	ctx := context.Background()
	layout, err := artifact.OpenLayout(ctx, filepath.Join(dir, "layout"))
	if err != nil {
		log.Fatal(err)
	}
	verifier := host.Verifier{
		Policies:   trust.FilePolicies{Dir: config},
		Stores:     trust.NewDirStore(filepath.Join(config, "truststore"), nil),
		Revocation: &revocation.Checker{},
	}
	outcome, err := verifier.VerifyArtifact(ctx, layout, host.ArtifactRequest{
		Reference: "v1", Name: "layout", Scope: "local/app", MaxSignatures: host.DefaultMaxSignatures,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("verified by statement", outcome.Statement)
	for _, check := range outcome.Verified[0].Checks {
		fmt.Println(check.Check, check.Status)
	}
	// Output:
	// verified by statement apps
	// integrity passed
	// authenticity passed
	// expiry passed
	// authenticTimestamp passed
	// revocation passed
}

// workspace makes a directory with what the examples work on: the artifact v1 in an
// OCI layout, a key with its certificates, and a configuration that trusts it.
func workspace() (dir string, build *testpki.Entity) {
	dir, err := os.MkdirTemp("", "signet-example-*")
	if err != nil {
		log.Fatal(err)
	}
	root := testpki.Root(must{}, "acme root")
	build = root.Leaf(must{}, "build", protocol.KeySpecEC256)
	build.WriteFiles(must{}, dir, "build")

	config := filepath.Join(dir, "config")
	policy, err := trust.NewOCIPolicy(trust.OCIPolicyInit{
		Name: "apps", Scopes: []string{"local/app"}, TrustStores: []string{"ca:acme"}, TrustedIdentities: []string{"*"},
	})
	store := filepath.Join(config, "truststore", "x509", "ca", "acme")
	err = errors.Join(err, os.MkdirAll(store, 0o700),
		os.WriteFile(filepath.Join(config, trust.OCIPolicyFile), policy, 0o600),
		os.WriteFile(filepath.Join(store, "root.crt"), root.CertPEM(), 0o600))
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	layout, err := artifact.CreateLayout(ctx, filepath.Join(dir, "layout"))
	if err != nil {
		log.Fatal(err)
	}
	manifest := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`)
	target := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromBytes(manifest), Size: int64(len(manifest))}
	if err := errors.Join(layout.PushManifest(ctx, target, manifest), layout.Tag(ctx, target, "v1")); err != nil {
		log.Fatal(err)
	}
	return dir, build
}

// signedWorkspace is a workspace whose artifact has been signed.
func signedWorkspace() string {
	ctx := context.Background()
	dir, build := workspace()
	layout, err := artifact.OpenLayout(ctx, filepath.Join(dir, "layout"))
	if err != nil {
		log.Fatal(err)
	}
	key, err := host.NewLocalKey(build.Key, build.Chain())
	if err != nil {
		log.Fatal(err)
	}
	if _, err := (&host.Signer{Key: key}).SignArtifact(ctx, layout, "v1"); err != nil {
		log.Fatal(err)
	}
	return dir
}

// must ends the examples when their certificates cannot be made.
type must struct{ testing.TB }

func (must) Helper()           {}
func (must) Fatal(args ...any) { log.Fatal(args...) }
