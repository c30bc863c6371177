package peers

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	notation "github.com/notaryproject/notation-go/registry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/host/envelope"
	hostplugin "github.com/signet-project/signet/host/plugin"
	"github.com/signet-project/signet/protocol"
)

// TestPluginArtifact has plugins published to registries of others and installed
// from there and from copies that another program makes; notation-go verifies them.
func TestPluginArtifact(t *testing.T) {
	t.Parallel()
	root, keys := signers(t)
	directory := newConfig(t, root, "ca:peers")
	key := keys[protocol.KeySpecEC256]
	keyPath, certPath := key.WriteFiles(t, t.TempDir(), "signer")
	if err := config.NewSigningKeys(directory).Add(t.Context(), config.Key{Name: "publisher", KeyPath: keyPath, CertPath: certPath}, true); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "notation-example")
	if err := os.WriteFile(other, []byte("an executable of another system"), 0o755); err != nil {
		t.Fatal(err)
	}
	user := auth.Credential{Username: "user", Password: "p4ssw0rd"}
	for name, c := range map[string]struct {
		server *server
		login  []string
		// ours tells that nobody but signet finds signatures there.
		ours bool
	}{
		"registry with Referrers API":    {withReferrers(t, 0), nil, false},
		"registry that mislabels":        {mislabelling(t), nil, true},
		"registry without, with a login": {withoutReferrers(t, basic(t, user.Username, user.Password)), []string{"--username", user.Username, "--password", user.Password}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program := newCommand(t, directory)
			scope := c.server.host + "/" + repository(t.Name())
			published := program.ok(t, append([]string{
				"plugin", "publish", "--output", "json", "--platform", runtime.GOOS + "/" + runtime.GOARCH + "=" + binary(t, "notation-example"),
				"--platform", "plan9/mips=" + other, scope + ":1.0.0",
			}, c.login...)...)
			var index ocispec.Descriptor
			if err := json.Unmarshal([]byte(published), &index); err != nil {
				t.Fatal(err)
			}
			program.ok(t, append([]string{"plugin", "install", "oci://" + scope + "@" + index.Digest.String()}, c.login...)...)
			program.ok(t, "plugin", "verify", "example")
			if listed := program.ok(t, "plugin", "list"); !strings.Contains(listed, "example") || !strings.Contains(listed, "<nil>") {
				t.Error(listed)
			}
			if c.ours {
				return
			}
			repo, err := remote.NewRepository(scope)
			if err != nil {
				t.Fatal(err)
			}
			repo.PlainHTTP = true
			repo.Client = &auth.Client{Cache: auth.NewCache(), Credential: auth.StaticCredential(c.server.host, user), BlockedRealmPrefixes: []netip.Prefix{}}
			at := &place{scope: scope, artifact: index, theirs: notation.NewRepository(repo), store: repo}
			if _, err := (peer{config: directory}).verify(t, at, nil); err != nil {
				t.Error("notation-go:", err)
			}
			copied := filepath.Join(t.TempDir(), "layout")
			layout, err := oci.New(copied)
			if err != nil {
				t.Fatal(err)
			}
			if err := oras.ExtendedCopyGraph(t.Context(), repo, layout, index, oras.DefaultExtendedCopyGraphOptions); err != nil {
				t.Fatal(err)
			}
			mirrored := newCommand(t, directory)
			mirrored.ok(t, "plugin", "install", "--oci-layout", "--scope", layoutScope, copied+"@"+index.Digest.String())
			mirrored.ok(t, "plugin", "verify", "example")
		})
	}
	t.Run("made by oras, signed by notation-go, for one platform", func(t *testing.T) {
		t.Parallel()
		build, err := hostplugin.OpenBuild(hostplugin.ThisPlatform(), binary(t, "notation-example"))
		if err != nil {
			t.Fatal(err)
		}
		var data bytes.Buffer
		if err := build.Pack(&data); err != nil {
			t.Fatal(err)
		}
		at := remotely(t, withReferrers(t, 0), repository(t.Name()))
		layer := ocispec.Descriptor{MediaType: hostplugin.MediaTypePackage, Digest: digest.FromBytes(data.Bytes()), Size: int64(data.Len())}
		if err := at.store.Push(t.Context(), layer, &data); err != nil {
			t.Fatal(err)
		}
		at.artifact, err = oras.PackManifest(t.Context(), at.store, oras.PackManifestVersion1_1, hostplugin.ArtifactType, oras.PackManifestOptions{Layers: []ocispec.Descriptor{layer}})
		if err != nil {
			t.Fatal(err)
		}
		program := newCommand(t, directory)
		program.fails(t, "no signature is associated with", "plugin", "install", "oci://"+at.reference())
		if err := (peer{config: directory}).sign(t, at, signing{key, envelope.FormatCOSE, time.Hour, nil}); err != nil {
			t.Fatal(err)
		}
		program.ok(t, "plugin", "install", "oci://"+at.reference())
		program.ok(t, "plugin", "verify", "example")
	})
}
