package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/notaryproject/notation-go/dir"
	"github.com/notaryproject/notation-go/plugin"
	notationsigner "github.com/notaryproject/notation-go/signer"
	framework "github.com/notaryproject/notation-plugin-framework-go/plugin"

	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/plugins/example"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// TestPlugin has both implementations drive notation-example.
func TestPlugin(t *testing.T) {
	t.Parallel()
	root, keys := signers(t)
	directory := newConfig(t, root, "ca:peers")
	program := newCommand(t, directory)
	plugins := filepath.Join(program.libexec, "plugins")
	manager := plugin.NewCLIManager(dir.NewSysFS(plugins))

	t.Run("PLG-64 each installs what the other finds", func(t *testing.T) {
		program.ok(t, "plugin", "install", "--file", binary(t, "notation-example"))
		found, err := manager.Get(t.Context(), "example")
		if err != nil {
			t.Fatal(err)
		}
		metadata, err := found.GetMetadata(t.Context(), &framework.GetMetadataRequest{})
		if err != nil || metadata.Name != "example" {
			t.Fatalf("%+v, %v", metadata, err)
		}
		program.ok(t, "plugin", "uninstall", "--yes", "example")
		if _, _, err := manager.Install(t.Context(), plugin.CLIInstallOptions{PluginPath: binary(t, "notation-example")}); err != nil {
			t.Fatal(err)
		}
		if listed := program.ok(t, "plugin", "list"); !strings.Contains(listed, "example") || !strings.Contains(listed, "<nil>") {
			t.Error(listed)
		}
	})
	if t.Failed() {
		return
	}
	for _, spec := range testpki.Specs {
		for _, format := range formats {
			s := signing{keys[spec], format, time.Hour, map[string]string{"build": "42"}}
			keyPath, chainPath := s.key.WriteFiles(t, t.TempDir(), "signer")
			configuration := map[string]string{signer.ConfigCertificateChain: chainPath}
			t.Run(fmt.Sprintf("PLG-20 notation-go drives the plugin, %s, %s", spec, format), func(t *testing.T) {
				at := locally(t)
				found, err := manager.Get(t.Context(), "example")
				if err != nil {
					t.Fatal(err)
				}
				key, err := notationsigner.NewPluginSigner(found, keyPath, configuration)
				if err != nil {
					t.Fatal(err)
				}
				if err := (peer{config: directory}).signWith(t, key, at, s); err != nil {
					t.Fatal(err)
				}
				expect(t, library{config: directory}, at, s)
			})
			t.Run(fmt.Sprintf("PLG-20 signet drives the plugin, %s, %s", spec, format), func(t *testing.T) {
				at := locally(t)
				program.ok(t, append([]string{
					"sign", "--plugin", "example", "--id", keyPath, "--plugin-config", signer.ConfigCertificateChain + "=" + chainPath,
					"--signature-format", string(format), "--expiry", "1h", "--user-metadata", "build=42",
				}, at.signArgs...)...)
				expect(t, peer{config: directory}, at, s)
			})
		}
	}
}

// TestVerificationPlugin has signatures demand a check by notation-example.
func TestVerificationPlugin(t *testing.T) {
	t.Parallel()
	root := testpki.Root(t, "root")
	leaf := root.Leaf(t, "signer", protocol.KeySpecEC256)
	directory := newConfig(t, root, "ca:peers")
	program := newCommand(t, directory)
	program.ok(t, "plugin", "install", "--file", binary(t, "notation-example"))
	for _, format := range formats {
		for _, denied := range []bool{false, true} {
			serial := "0A1B"
			if denied {
				serial = fmt.Sprintf("%X", leaf.Cert.SerialNumber)
			}
			list := filepath.Join(t.TempDir(), "denied")
			if err := os.WriteFile(list, []byte(serial+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Run(fmt.Sprintf("PLG-48 certificate denied: %t, %s", denied, format), func(t *testing.T) {
				at := locally(t)
				one := crafted{leaf, at.artifact, envelope.SchemeX509, time.Now(), time.Now().Add(time.Hour), []envelope.Attribute{
					{Key: "io.cncf.notary.verificationPlugin", Value: "example", Critical: true},
					{Key: "io.cncf.notary.verificationPluginMinVersion", Value: "1.0.0", Critical: true},
				}, envelope.MediaTypePayload}
				data, err := one.byPeer(format)
				if err != nil {
					t.Fatal(err)
				}
				attach(t, at, format, data, leaf)
				_, stderr, status := program.run(t, "", append([]string{"verify", "--plugin-config", example.ConfigDenyList + "=" + list}, at.verifyArgs...)...)
				if (status == 0) == denied {
					t.Errorf("signet: exit status %d: %s", status, stderr)
				}
				theirs := peer{config: directory}
				theirs.plugins, theirs.pluginConfig = filepath.Join(program.libexec, "plugins"), map[string]string{example.ConfigDenyList: list}
				if _, err := theirs.verify(t, at, nil); (err == nil) == denied {
					t.Errorf("notation-go: %v", err)
				}
			})
		}
	}
}

// expect verifies a signature made as s says.
func expect(t *testing.T, by party, at *place, s signing) {
	t.Helper()
	got, err := by.verify(t, at, s.metadata)
	if err != nil {
		t.Fatal(err)
	}
	if want := s.want(t); !reflect.DeepEqual(*got, want) {
		t.Errorf("verified %+v\nwant     %+v", *got, want)
	}
}
