package scenarios

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ocsp"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/internal/cli"
	"github.com/signet-project/signet/internal/testocsp"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testtsa"
	"github.com/signet-project/signet/plugins/example"
	"github.com/signet-project/signet/protocol"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"signet": func() {
			home, _ := os.UserHomeDir()
			os.Exit(cli.Run(context.Background(), cli.Env{
				Args: os.Args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ(), Home: home,
			}))
		},
		"notation-example": func() { protocol.Serve(example.New(os.Getenv)) },
	})
}

func TestScenarios(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata", RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			return setUp(t, env)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// deny SERIAL FILE puts a serial number on a deny list.
			"deny": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(args[0]+"\n"), 0o600))
			},
		},
	})
}

// setUp gives a script an artifact in an OCI layout, signers, an OCSP responder
// and a timestamp authority:
//
//	layout, $DIGEST   the artifact, tagged v1
//	root.pem          the authority that issued the signers' certificates
//	good, revoked, silent   NAME.key and NAME.crt; their OCSP responder vouches, says
//	                  revoked, or is not there
//	a, b, c           signers without a responder, CN=a and so on
//	old               a layout with a signature by a certificate that has expired,
//	                  timestamped while it was valid
//	$TSA, tsa.pem     the timestamp authority and its root
func setUp(t *testing.T, env *testscript.Env) error {
	signet, err := exec.LookPath("signet")
	if err != nil {
		return err
	}
	home := filepath.Join(env.WorkDir, "home")
	for name, value := range map[string]string{
		"PATH": filepath.Dir(signet), "HOME": home, "USERPROFILE": home, "BIN": filepath.Dir(signet),
		"NOTATION_CONFIG": filepath.Join(env.WorkDir, "config"), "NOTATION_CACHE": filepath.Join(env.WorkDir, "cache"),
		"DOCKER_CONFIG": filepath.Join(env.WorkDir, "docker"),
	} {
		env.Setenv(name, value)
	}
	for _, dir := range []string{home, filepath.Join(env.WorkDir, "config")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	write(t, env, "config/config.json", []byte(`{"ocspTimeout":"1m"}`)) // a busy machine answers late
	target := layout(t, filepath.Join(env.WorkDir, "layout"))
	layout(t, filepath.Join(env.WorkDir, "old"))
	env.Setenv("DIGEST", target.Digest.String())

	now := time.Now()
	longValid := testpki.Validity(now.Add(-1000*time.Hour), now.Add(1000*time.Hour))
	root := testpki.Root(t, "Root", longValid)
	write(t, env, "root.pem", root.CertPEM())
	responder := newResponder(t, root)
	for _, name := range []string{"good", "revoked"} {
		leaf := root.Leaf(t, name, protocol.KeySpecEC256, func(c *x509.Certificate) { c.OCSPServer = []string{responder.URL + "/" + name} })
		leaf.WriteFiles(t, env.WorkDir, name)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	root.Leaf(t, "silent", protocol.KeySpecEC256, func(c *x509.Certificate) { c.OCSPServer = []string{gone.URL} }).WriteFiles(t, env.WorkDir, "silent")
	for _, name := range []string{"a", "b", "c"} {
		leaf := root.Leaf(t, name, protocol.KeySpecEC256)
		leaf.WriteFiles(t, env.WorkDir, name)
		env.Setenv("SERIAL_"+name, leaf.Cert.SerialNumber.Text(16))
	}

	authority := testpki.Root(t, "Time root", longValid).TSA(t, "Time", protocol.KeySpecEC256, longValid)
	write(t, env, "tsa.pem", authority.Issuer.CertPEM())
	env.Setenv("TSA", testtsa.NewServer(t, testtsa.Options{Signer: authority}, testtsa.Behaviour{}).URL)
	signInThePast(t, filepath.Join(env.WorkDir, "old"), root, authority, now.Add(-30*time.Hour).Truncate(time.Second))
	return nil
}

// write puts a file where a script finds it.
func write(t *testing.T, env *testscript.Env, name string, data []byte) {
	if err := os.WriteFile(filepath.Join(env.WorkDir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// layout makes an OCI layout with one artifact, tagged v1.
func layout(t *testing.T, dir string) ocispec.Descriptor {
	blob := func(mediaType string, data []byte) ocispec.Descriptor {
		desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
		path := filepath.Join(dir, "blobs", "sha256", desc.Digest.Encoded())
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return desc
	}
	marshal := func(value any) []byte {
		data, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	manifest := blob(ocispec.MediaTypeImageManifest, marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "text/plain",
		Config: blob(ocispec.MediaTypeEmptyJSON, []byte("{}")), Layers: []ocispec.Descriptor{blob("text/plain", []byte("hello"))},
	}))
	tagged := manifest
	tagged.Annotations = map[string]string{ocispec.AnnotationRefName: "v1"}
	for name, data := range map[string][]byte{
		ocispec.ImageLayoutFile: marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}),
		ocispec.ImageIndexFile:  marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{tagged}}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return manifest
}

// newResponder answers OCSP requests for certificates of root: those asked for at
// the path /revoked are, all others are not.
func newResponder(t *testing.T, root *testpki.Entity) *httptest.Server {
	server := httptest.NewServer(testocsp.Handler(func() *testpki.Entity { return root }, func(name string, answer *ocsp.Response) {
		if name == "revoked" {
			answer.Status, answer.RevokedAt, answer.RevocationReason = ocsp.Revoked, time.Now().Add(-time.Hour), ocsp.KeyCompromise
		}
	}))
	t.Cleanup(server.Close)
	return server
}

// signInThePast signs the artifact of a layout by a certificate that expired a
// day ago, with a timestamp of the time it was valid.
func signInThePast(t *testing.T, dir string, root, authority *testpki.Entity, then time.Time) {
	leaf := root.Leaf(t, "old", protocol.KeySpecEC256, testpki.Validity(then.Add(-time.Hour), then.Add(time.Hour)))
	key, err := host.NewLocalKey(leaf.Key, leaf.Chain())
	if err != nil {
		t.Fatal(err)
	}
	repo, err := artifact.OpenLayout(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	signer := &host.Signer{Key: key, Now: func() time.Time { return then }, Timestamper: pastAuthority{t, authority, then}}
	if _, err := signer.SignArtifact(t.Context(), repo, "v1"); err != nil {
		t.Fatal(err)
	}
}

// pastAuthority countersigns as of a time.
type pastAuthority struct {
	t      *testing.T
	signer *testpki.Entity
	then   time.Time
}

// Timestamp makes a token.
func (a pastAuthority) Timestamp(_ context.Context, signature []byte, hash crypto.Hash) ([]byte, error) {
	return testtsa.Token(a.t, testtsa.Options{Signer: a.signer, GenTime: a.then}, signature, hash), nil
}
