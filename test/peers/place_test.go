package peers

import (
	"context"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	notation "github.com/notaryproject/notation-go/registry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/signet-project/signet/host/artifact"
)

// layoutScope stands for a layout's path in trust policies.
const layoutScope = "local/layout"

// place is a repository with an artifact in it, as each implementation opens it.
type place struct {
	// scope is what trust policies call the repository.
	scope    string
	artifact ocispec.Descriptor
	ours     artifact.Repository
	theirs   notation.Repository
	// store is the repository as oras-go sees it.
	store oras.GraphTarget
	// sign, read and verify are arguments of those commands of signet.
	signArgs, readArgs, verifyArgs []string
}

// reference names the artifact by its digest.
func (p *place) reference() string { return p.scope + "@" + p.artifact.Digest.String() }

// repository makes the name of a test the name of a repository.
func repository(name string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}), "-")
}

// remotely pushes a new artifact to a repository of a registry.
func remotely(t testing.TB, s *server, repository string, credential ...auth.Credential) *place {
	t.Helper()
	scope := s.host + "/" + repository
	repo, err := remote.NewRepository(scope)
	if err != nil {
		t.Fatal(err)
	}
	repo.PlainHTTP = true
	client := &artifact.Client{}
	if len(credential) > 0 {
		source := auth.StaticCredential(s.host, credential[0])
		repo.Client = &auth.Client{Cache: auth.NewCache(), Credential: source, BlockedRealmPrefixes: []netip.Prefix{}}
		client.Credentials = func(context.Context, string) (artifact.Credential, error) {
			return artifact.Credential(credential[0]), nil
		}
	}
	desc := push(t, repo, t.Name())
	ref, err := artifact.ParseReference(scope + "@" + desc.Digest.String())
	if err != nil {
		t.Fatal(err)
	}
	ours, err := client.Open(ref, artifact.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	args := []string{scope + "@" + desc.Digest.String()}
	return &place{
		scope: scope, artifact: desc, ours: ours, theirs: notation.NewRepository(repo), store: repo,
		signArgs: args, readArgs: args, verifyArgs: args,
	}
}

// locally makes a layout with a new artifact in it.
func locally(t testing.TB) *place {
	t.Helper()
	path := filepath.Join(t.TempDir(), "layout")
	store, err := oci.New(path)
	if err != nil {
		t.Fatal(err)
	}
	desc := push(t, store, t.Name())
	ours, err := artifact.OpenLayout(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	theirs := &layout{path: path}
	args := []string{"--oci-layout", path + "@" + desc.Digest.String()}
	return &place{
		scope: layoutScope, artifact: desc, ours: ours, theirs: theirs, store: store,
		signArgs: args, readArgs: args, verifyArgs: append([]string{"--scope", layoutScope}, args...),
	}
}

// push stores an artifact made of text and returns its manifest.
func push(t testing.TB, to oras.Target, text string) ocispec.Descriptor {
	t.Helper()
	layer := ocispec.Descriptor{MediaType: "text/plain", Digest: digest.FromString(text), Size: int64(len(text))}
	if err := to.Push(t.Context(), layer, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	desc, err := oras.PackManifest(t.Context(), to, oras.PackManifestVersion1_1, "application/vnd.example.text", oras.PackManifestOptions{
		Layers:              []ocispec.Descriptor{layer},
		ManifestAnnotations: map[string]string{ocispec.AnnotationCreated: "2026-01-01T00:00:00Z"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}
}
