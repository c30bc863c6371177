package host

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/plugin"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/protocol"
)

func TestMain(m *testing.M) { testplugin.Main(m, nil) }

// depot is a layout on disk that notes what is asked of it.
type depot struct {
	artifact.Storage
	calls []string
	// manifests replaces what is said to be stored, by digest.
	manifests map[digest.Digest][]byte
}

func (d *depot) note(format string, args ...any) {
	d.calls = append(d.calls, fmt.Sprintf(format, args...))
}

func (d *depot) Resolve(ctx context.Context, reference string) (ocispec.Descriptor, error) {
	d.note("resolve")
	return d.Storage.Resolve(ctx, reference)
}

func (d *depot) FetchManifest(ctx context.Context, target ocispec.Descriptor) ([]byte, error) {
	d.note("fetch manifest")
	if data, ok := d.manifests[target.Digest]; ok {
		return data, nil
	}
	return d.Storage.FetchManifest(ctx, target)
}

func (d *depot) FetchBlob(ctx context.Context, target ocispec.Descriptor, w io.Writer) error {
	d.note("fetch blob")
	return d.Storage.FetchBlob(ctx, target, w)
}

func (d *depot) PushBlob(ctx context.Context, target ocispec.Descriptor, content io.Reader) error {
	d.note("push blob")
	return d.Storage.PushBlob(ctx, target, content)
}

func (d *depot) PushManifest(ctx context.Context, target ocispec.Descriptor, data []byte) error {
	d.note("push %s", strings.Split(target.MediaType, ".")[3])
	return d.Storage.PushManifest(ctx, target, data)
}

func (*depot) ExpectSignature(context.Context) {}

func (d *depot) PushSignature(ctx context.Context, request artifact.PushRequest) (ocispec.Descriptor, error) {
	d.note("push signature")
	return d.Storage.PushSignature(ctx, request)
}

func (d *depot) Tag(ctx context.Context, target ocispec.Descriptor, tag string) error {
	d.note("tag %s", tag)
	return d.Storage.Tag(ctx, target, tag)
}

// fair is a stage with a depot, a signer and a plugin directory.
type fair struct {
	*stage
	depot   *depot
	signer  *Signer
	plugins *plugin.Manager
	// index is what was published last.
	index  ocispec.Descriptor
	opened bool
}

func newFair(t *testing.T) *fair {
	t.Helper()
	s := newStage(t)
	storage, err := artifact.CreateLayout(t.Context(), filepath.Join(t.TempDir(), "layout"))
	if err != nil {
		t.Fatal(err)
	}
	return &fair{stage: s, depot: &depot{Storage: storage}, signer: s.signerOf(s.leaf), plugins: plugin.NewManager(filepath.Join(t.TempDir(), "plugins"), plugin.Options{})}
}

func (s *stage) signerOf(entity *testpki.Entity) *Signer {
	s.t.Helper()
	key, err := NewLocalKey(entity.Key, entity.Chain())
	if err != nil {
		s.t.Fatal(err)
	}
	return &Signer{Key: key, Agent: "signet/test"}
}

func (f *fair) open(context.Context) (artifact.Storage, error) {
	f.opened = true
	return f.depot, nil
}

// build makes a build of plugin name for a platform, which only runs on this one.
func (f *fair) build(platform plugin.Platform, name, version string) *plugin.Build {
	f.t.Helper()
	dir := f.t.TempDir()
	if platform == plugin.ThisPlatform() {
		testplugin.Build(f.t, dir, name, testplugin.Script{Version: version})
	} else if err := os.WriteFile(filepath.Join(dir, "notation-"+name), []byte(platform.String()+" "+version), 0o644); err != nil {
		f.t.Fatal(err)
	}
	build, err := plugin.OpenBuild(platform, dir)
	if err != nil {
		f.t.Fatal(err)
	}
	return build
}

var (
	plan9 = plugin.Platform{OS: "plan9", Architecture: "mips"}
	haiku = plugin.Platform{OS: "haiku", Architecture: "riscv64"}
)

func (f *fair) publish(request PublishRequest) (*Published, error) {
	request.Plugins = f.plugins
	return f.signer.PublishPlugin(f.t.Context(), f.open, request)
}

// published publishes a version for this platform and another.
func (f *fair) published(version string) *fair {
	f.t.Helper()
	published, err := f.publish(PublishRequest{Builds: []*plugin.Build{f.build(plugin.ThisPlatform(), "acme", version), f.build(plan9, "acme", version)}, Tag: version})
	if err != nil {
		f.t.Fatal(err)
	}
	f.index = published.Artifact
	return f
}

func (f *fair) install(edits ...func(*PluginRequest)) (*plugin.InstallResult, *Outcome, error) {
	f.t.Helper()
	request := PluginRequest{ArtifactRequest: f.request(), Source: "oci://" + scope}
	request.Reference = f.index.Digest.String()
	for _, edit := range edits {
		edit(&request)
	}
	f.depot.calls = nil
	return f.verifier().InstallPlugin(f.t.Context(), f.depot, f.plugins, request)
}

// refused wants an installation to fail before anything was fetched that is no
// signature, and to leave nothing.
func (f *fair) refused(calls ...string) error {
	f.t.Helper()
	result, _, err := f.install(func(r *PluginRequest) {
		r.Force = true // which is about versions alone
		r.Verified = func(*Outcome) { f.t.Error("said to be verified") }
	})
	if err == nil || result != nil {
		f.t.Fatalf("installed: %+v", result)
	}
	if !slices.Equal(f.depot.calls, calls) {
		f.t.Errorf("the storage was asked to %q", f.depot.calls)
	}
	if names, _ := f.plugins.Names(); len(names) != 0 {
		f.t.Error("installed", names)
	}
	return err
}

func TestPublishPlugin(t *testing.T) {
	t.Parallel()
	f := newFair(t)
	builds := func() []*plugin.Build {
		return []*plugin.Build{f.build(plan9, "acme", "1.0.0"), f.build(haiku, "acme", "1.0.0")}
	}
	t.Run("each after what it refers to, the tag last", func(t *testing.T) {
		published, err := f.publish(PublishRequest{Builds: builds(), Version: "1.0.0", Tag: "latest"})
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"push blob", "push blob", "push manifest", "push blob", "push manifest", "push index", "resolve", "push signature", "tag latest"}; !slices.Equal(f.depot.calls, want) {
			t.Errorf("%q", f.depot.calls)
		}
		if found, err := f.depot.Resolve(t.Context(), "latest"); err != nil || found.Digest != published.Artifact.Digest || published.Name != "acme" || published.Version != "1.0.0" {
			t.Errorf("%+v, %+v, %v", published, found, err)
		}
		data, err := f.depot.FetchManifest(t.Context(), published.Artifact)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []plugin.Platform{plan9, haiku} {
			manifest, err := plugin.FindManifest(published.Artifact, data, p)
			if err != nil {
				t.Fatal(err)
			}
			pkg, _, err := findPackage(t.Context(), f.depot, manifest, p)
			if err != nil {
				t.Fatal(err)
			}
			var content bytes.Buffer
			if err := f.depot.FetchBlob(t.Context(), pkg, &content); err != nil || content.Len() == 0 {
				t.Error(content.Len(), err)
			}
		}
	})
	t.Run("the same builds in another order give the same digest", func(t *testing.T) {
		first, err := f.publish(PublishRequest{Builds: builds(), Version: "1.0.0", Tag: "a"})
		if err != nil {
			t.Fatal(err)
		}
		reversed := builds()
		slices.Reverse(reversed)
		second, err := newFairLike(t, f).publish(PublishRequest{Builds: reversed, Version: "1.0.0", Tag: "b"})
		if err != nil || first.Artifact.Digest != second.Artifact.Digest {
			t.Error(first.Artifact, second, err)
		}
	})
	for name, c := range map[string]struct {
		request PublishRequest
		want    string
	}{
		"no build":                         {PublishRequest{Version: "1.0.0"}, "there is nothing to publish"},
		"two plugins":                      {PublishRequest{Version: "1.0.0", Builds: []*plugin.Build{f.build(plan9, "acme", ""), f.build(haiku, "other", "")}}, "the builds are of two plugins, acme and other"},
		"a platform twice":                 {PublishRequest{Version: "1.0.0", Builds: []*plugin.Build{f.build(plan9, "acme", ""), f.build(plan9, "acme", "")}}, "there are two builds for plan9/mips"},
		"PLG-41 no semantic version":       {PublishRequest{Version: "v1", Builds: builds()}, "v1 is not a valid semantic version"},
		"nobody knows the version":         {PublishRequest{Builds: builds()}, "cannot be asked for its version"},
		"the plugin says another version":  {PublishRequest{Version: "1.0.0", Builds: []*plugin.Build{f.build(plugin.ThisPlatform(), "acme", "1.1.0")}}, "plugin acme says that it is version 1.1.0, not 1.0.0"},
		"PLG-41 the plugin's is none":      {PublishRequest{Builds: []*plugin.Build{f.build(plugin.ThisPlatform(), "acme", "1")}}, "1 is not a valid semantic version"},
		"PLG-16 the plugin has other name": {PublishRequest{Builds: []*plugin.Build{f.misnamed()}}, `executable file name must be "notation-other`},
	} {
		t.Run("nothing is stored: "+name, func(t *testing.T) {
			f := newFairLike(t, f)
			c.request.Tag = "latest"
			if _, err := f.publish(c.request); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Error(err)
			}
			if f.opened {
				t.Error("opened")
			}
		})
	}
	t.Run("nothing is stored: a key that does not answer", func(t *testing.T) {
		f := newFairLike(t, f)
		f.signer.Key = brokenKey{}
		if _, err := f.publish(PublishRequest{Builds: builds(), Version: "1.0.0", Tag: "latest"}); !errors.Is(err, errBrokenKey) || f.opened {
			t.Error(err, f.opened)
		}
	})
	t.Run("no tag points to what could not be signed", func(t *testing.T) {
		f := newFairLike(t, f)
		f.signer.Key = brokenKey{describes: f.signer.Key}
		if _, err := f.publish(PublishRequest{Builds: builds(), Version: "1.0.0", Tag: "latest"}); !errors.Is(err, errBrokenKey) {
			t.Error(err)
		}
		if _, err := f.depot.Resolve(t.Context(), "latest"); !errors.Is(err, artifact.ErrNotFound) {
			t.Error(err)
		}
	})
}

// newFairLike is another fair with its own storage and the same signer.
func newFairLike(t *testing.T, other *fair) *fair {
	t.Helper()
	f := newFair(t)
	*f.signer = *other.signer
	return f
}

// misnamed is a build whose metadata has another name than its executable.
func (f *fair) misnamed() *plugin.Build {
	f.t.Helper()
	dir := f.t.TempDir()
	testplugin.Build(f.t, dir, "acme", testplugin.Script{Name: "other"})
	build, err := plugin.OpenBuild(plugin.ThisPlatform(), dir)
	if err != nil {
		f.t.Fatal(err)
	}
	return build
}

// brokenKey cannot sign, nor say what it is unless another key does so for it.
type brokenKey struct{ describes Key }

var errBrokenKey = errors.New("the token is gone")

func (k brokenKey) Suite(ctx context.Context) (protocol.Suite, error) {
	if k.describes != nil {
		return k.describes.Suite(ctx)
	}
	return protocol.Suite{}, errBrokenKey
}

func (brokenKey) Seal(context.Context, SealRequest) (*Sealed, error) { return nil, errBrokenKey }

func TestInstallPlugin(t *testing.T) {
	t.Parallel()
	f := newFair(t).published("1.0.0")
	t.Run("nothing is fetched for a policy that does not vouch", func(t *testing.T) {
		statement := f.statement
		defer func() { f.statement = statement }()
		f.statement = map[string]any{"name": "none", "registryScopes": []string{scope}, "signatureVerification": map[string]any{"level": "skip"}}
		if err := f.refused(); errorAs[*NotEnforcedError](err) == nil || !strings.Contains(err.Error(), `the trust policy statement "none" (level skip) skips the check of authenticity`) {
			t.Error(err)
		}
		f.statement = map[string]any{}
		for name, value := range statement {
			f.statement[name] = value
		}
		f.level("audit")
		if err := f.refused(); errorAs[*NotEnforcedError](err) == nil || !strings.Contains(err.Error(), "(level audit) only logs the check of authenticity") {
			t.Error(err)
		}
		f.level("permissive", "authenticity=log")
		if err := f.refused(); errorAs[*NotEnforcedError](err) == nil {
			t.Error(err)
		}
		f.level("strict")
		f.statement["registryScopes"] = []string{"registry.example/other"}
		if err := f.refused(); errorAs[*trust.NoStatementError](err) == nil {
			t.Error(err)
		}
	})
	t.Run("nothing is fetched but signatures when none counts", func(t *testing.T) {
		anchors := f.stores[trust.StoreRef{Type: trust.StoreCA, Name: "acme"}]
		defer func() { f.stores[trust.StoreRef{Type: trust.StoreCA, Name: "acme"}] = anchors }()
		f.stores[trust.StoreRef{Type: trust.StoreCA, Name: "acme"}] = []*x509.Certificate{testpki.Root(t, "Stranger").Cert}
		if err := f.refused("resolve"); errorAs[*AllFailedError](err) == nil {
			t.Error(err)
		}
	})
	t.Run("a threshold counts", func(t *testing.T) {
		statement := f.statement
		defer func() { f.statement = statement }()
		f.statement = map[string]any{
			"name": "two", "registryScopes": []string{scope}, "trustStores": []string{"ca:acme"}, "signatureVerification": map[string]any{"level": "strict"},
			"trustedIdentities": []string{"x509.subject: C=US, ST=WA, O=Acme, CN=a", "x509.subject: C=US, ST=WA, O=Acme, CN=b"},
			"extensions":        []string{"threshold"}, "threshold": map[string]any{"signatures": 2},
		}
		f.refused("resolve")
	})
	t.Run("not published for the platform", func(t *testing.T) {
		result, outcome, err := f.install(func(r *PluginRequest) { r.Platform = haiku })
		if errorAs[*plugin.PlatformError](err) == nil || result != nil || len(outcome.Verified) != 1 {
			t.Error(result, err)
		}
	})
	t.Run("the package of another platform is not run", func(t *testing.T) {
		_, _, err := f.install(func(r *PluginRequest) { r.Platform = plan9 })
		if err == nil || !strings.Contains(err.Error(), "plugin installation failed: ") {
			t.Error(err)
		}
		if names, _ := f.plugins.Names(); len(names) != 0 {
			t.Error(names)
		}
	})
	t.Run("installed, and pinned with its source", func(t *testing.T) {
		var lines []string
		verified := 0
		result, outcome, err := f.install(func(r *PluginRequest) {
			r.Status = func(line string) { lines = append(lines, line) }
			r.Verified = func(*Outcome) {
				verified++
				if !slices.Equal(f.depot.calls, []string{"resolve"}) {
					t.Errorf("fetched before: %q", f.depot.calls)
				}
			}
		})
		if err != nil || result.Name != "acme" || result.Version != "1.0.0" || len(outcome.Verified) != 1 || verified != 1 {
			t.Fatal(result, outcome, err)
		}
		if want := []string{"Downloading plugin for " + plugin.ThisPlatform().String(), "Download completed"}; !slices.Equal(lines, want) {
			t.Errorf("%q", lines)
		}
		reports, err := f.plugins.Verify(t.Context(), "acme")
		if err != nil || reports[0].Status != plugin.PinHolds || reports[0].Pin.Source != "oci://"+scope+"@"+f.index.Digest.String() {
			t.Errorf("%+v, %v", reports, err)
		}
	})
	t.Run("PLG-69 a tag that went back does not bring back an old version", func(t *testing.T) {
		old := f.index
		f.published("1.1.0")
		if _, _, err := f.install(func(r *PluginRequest) { r.Reference = "1.1.0" }); err != nil {
			t.Fatal(err)
		}
		if err := f.depot.Tag(t.Context(), old, "1.1.0"); err != nil {
			t.Fatal(err)
		}
		_, _, err := f.install(func(r *PluginRequest) { r.Reference = "1.1.0" })
		if errorAs[*plugin.DowngradeError](err) == nil {
			t.Error(err)
		}
		result, _, err := f.install(func(r *PluginRequest) { r.Reference, r.Force = "1.1.0", true })
		if err != nil || result.Previous != "1.1.0" {
			t.Error(result, err)
		}
	})
	t.Run("a manifest by itself needs a signature of its own", func(t *testing.T) {
		data, err := f.depot.FetchManifest(t.Context(), f.index)
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := plugin.FindManifest(f.index, data, plugin.ThisPlatform())
		if err != nil {
			t.Fatal(err)
		}
		naming := func(r *PluginRequest) { r.Reference = manifest.Digest.String() }
		if _, _, err := f.install(naming); errorAs[*NoSignatureError](err) == nil {
			t.Error(err)
		}
		if _, err := f.signer.SignArtifact(t.Context(), f.depot, manifest.Digest.String()); err != nil {
			t.Fatal(err)
		}
		if result, _, err := f.install(naming); err != nil || result.Version != "1.1.0" {
			t.Error(result, err)
		}
	})
	t.Run("signed, but of another kind", func(t *testing.T) {
		for mediaType, text := range map[string]string{
			ocispec.MediaTypeImageManifest:                         `{"schemaVersion":2,"artifactType":"application/vnd.example"}`,
			ocispec.MediaTypeImageIndex:                            `{"schemaVersion":2,"manifests":[]}`,
			"application/vnd.docker.distribution.manifest.v2+json": `{"schemaVersion":2,"artifactType":"` + plugin.ArtifactType + `"}`,
		} {
			desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromString(text), Size: int64(len(text))}
			if err := f.depot.Storage.PushManifest(t.Context(), desc, []byte(text)); err != nil {
				t.Fatal(err)
			}
			if _, err := f.signer.SignArtifact(t.Context(), f.depot, desc.Digest.String()); err != nil {
				t.Fatal(err)
			}
			_, _, err := f.install(func(r *PluginRequest) { r.Reference = desc.Digest.String() })
			if errorAs[*plugin.ArtifactError](err) == nil || slices.Contains(f.depot.calls, "fetch blob") {
				t.Errorf("%s: %v, %q", mediaType, err, f.depot.calls)
			}
		}
	})
	t.Run("PLG-63 a package declared too large is not fetched", func(t *testing.T) {
		var index ocispec.Index
		data, err := f.depot.FetchManifest(t.Context(), f.index)
		if err != nil || json.Unmarshal(data, &index) != nil {
			t.Fatal(err)
		}
		manifest, err := plugin.FindManifest(f.index, data, plugin.ThisPlatform())
		if err != nil {
			t.Fatal(err)
		}
		f.depot.manifests = map[digest.Digest][]byte{manifest.Digest: fmt.Appendf(nil, `{"artifactType":%q,"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
			plugin.ArtifactType, plugin.MediaTypePackage, digest.FromString("x"), plugin.MaxPackageSize)}
		defer func() { f.depot.manifests = nil }()
		_, _, err = f.install(func(r *PluginRequest) { r.Force = true })
		if errorAs[*plugin.ArtifactError](err) == nil || slices.Contains(f.depot.calls, "fetch blob") {
			t.Errorf("%v, %q", err, f.depot.calls)
		}
	})
}
