package peers

import (
	"crypto/x509"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/notaryproject/notation-go/dir"
	"github.com/notaryproject/notation-go/plugin"
	notationsigner "github.com/notaryproject/notation-go/signer"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testservers"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
	"github.com/signet-project/signet/protocol/stdio"
)

// keys are those of a key service, and what its plugin needs to reach them.
type keys struct {
	ids    map[protocol.KeySpec]string
	config map[string]string
	// env is added to the environment, as "NAME=value".
	env []string
}

// keyPlugin is the plugin of a key service, with a function that starts the service
// and makes a key of every spec.
type keyPlugin struct {
	name  string
	start func(*testing.T) keys
}

var keyPlugins = []keyPlugin{
	{"awskms", kmsKeys},
	{"pkcs11", tokenKeys},
	{"vault", vaultKeys},
}

func kmsKeys(t *testing.T) keys {
	server := testservers.LocalKMS(t)
	none := filepath.Join(t.TempDir(), "none")
	k := keys{
		ids:    map[protocol.KeySpec]string{},
		config: map[string]string{"endpoint": server.URL, "timeout": "5m"},
		env:    []string{"AWS_ACCESS_KEY_ID=AKIDTEST", "AWS_SECRET_ACCESS_KEY=secret", "AWS_CONFIG_FILE=" + none, "AWS_SHARED_CREDENTIALS_FILE=" + none},
	}
	for spec, name := range map[protocol.KeySpec]string{
		protocol.KeySpecRSA2048: "RSA_2048", protocol.KeySpecRSA3072: "RSA_3072", protocol.KeySpecRSA4096: "RSA_4096",
		protocol.KeySpecEC256: "ECC_NIST_P256", protocol.KeySpecEC384: "ECC_NIST_P384", protocol.KeySpecEC521: "ECC_NIST_P521",
	} {
		k.ids[spec] = server.CreateKey(t, name, "SIGN_VERIFY")
	}
	return k
}

func tokenKeys(t *testing.T) keys {
	hsm := testservers.SoftHSM(t)
	pin := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(pin, []byte(hsm.PIN), 0o600); err != nil {
		t.Fatal(err)
	}
	k := keys{
		ids:    map[protocol.KeySpec]string{},
		config: map[string]string{"module_path": hsm.ModulePath, "pin_source": pin},
		env:    append([]string{hsm.ConfigEnv}, hsm.Env...),
	}
	for i, spec := range testpki.Specs {
		hsm.Import(t, testpki.Key(t, spec), string(spec), fmt.Sprintf("%02x", i+1))
		k.ids[spec] = fmt.Sprintf("pkcs11:token=%s;object=%s", hsm.TokenLabel, spec)
	}
	return k
}

func vaultKeys(t *testing.T) keys {
	bao := testservers.OpenBao(t)
	bao.Do(t, "POST", "sys/mounts/transit", map[string]any{"type": "transit"})
	k := keys{
		ids:    map[protocol.KeySpec]string{},
		config: map[string]string{"address": bao.Addr},
		env:    []string{"VAULT_TOKEN=" + bao.Token, "VAULT_CLIENT_TIMEOUT=300s"},
	}
	for spec, kind := range map[protocol.KeySpec]string{
		protocol.KeySpecRSA2048: "rsa-2048", protocol.KeySpecRSA3072: "rsa-3072", protocol.KeySpecRSA4096: "rsa-4096",
		protocol.KeySpecEC256: "ecdsa-p256", protocol.KeySpecEC384: "ecdsa-p384", protocol.KeySpecEC521: "ecdsa-p521",
	} {
		bao.Do(t, "POST", "transit/keys/"+string(spec), map[string]any{"type": kind})
		k.ids[spec] = "transit/keys/" + string(spec)
	}
	return k
}

// TestKeyPlugins has both implementations sign with every key of every service, in
// both formats, and both verify. notation-go gives its plugins the environment of
// its own process, so this test changes that and has no other beside it.
func TestKeyPlugins(t *testing.T) {
	for _, p := range keyPlugins {
		t.Run(p.name, func(t *testing.T) {
			k := p.start(t)
			for _, entry := range k.env {
				name, value, _ := strings.Cut(entry, "=")
				t.Setenv(name, value)
			}
			root := testpki.Root(t, "root")
			directory := newConfig(t, root, "ca:peers")
			program := newCommand(t, directory).with(k.env...)
			program.ok(t, "plugin", "install", "--file", binary(t, "notation-"+p.name))
			manager := plugin.NewCLIManager(dir.NewSysFS(filepath.Join(program.libexec, "plugins")))
			for _, spec := range testpki.Specs {
				leaf := root.LeafFor(t, "signer", describe(t, p.name, k, spec))
				chain := filepath.Join(t.TempDir(), "chain.pem")
				if err := os.WriteFile(chain, leaf.ChainPEM(), 0o600); err != nil {
					t.Fatal(err)
				}
				config := maps.Clone(k.config)
				config[signer.ConfigCertificateChain] = chain
				for _, format := range formats {
					s := signing{leaf, format, time.Hour, map[string]string{"build": "42"}}
					t.Run(fmt.Sprintf("PLG-20 notation-go drives the plugin, %s, %s", spec, format), func(t *testing.T) {
						at := locally(t)
						found, err := manager.Get(t.Context(), p.name)
						if err != nil {
							t.Fatal(err)
						}
						key, err := notationsigner.NewPluginSigner(found, k.ids[spec], config)
						if err != nil {
							t.Fatal(err)
						}
						if err := (peer{config: directory}).signWith(t, key, at, s); err != nil {
							t.Fatal(err)
						}
						expect(t, library{config: directory}, at, s)
						expect(t, peer{config: directory}, at, s)
					})
					t.Run(fmt.Sprintf("PLG-20 signet drives the plugin, %s, %s", spec, format), func(t *testing.T) {
						at := locally(t)
						program.ok(t, append(signArguments(p.name, k.ids[spec], config, s), at.signArgs...)...)
						expect(t, library{config: directory}, at, s)
						expect(t, peer{config: directory}, at, s)
					})
				}
			}
		})
	}
}

// signArguments are those of "signet sign" with a key of a plugin.
func signArguments(plugin, id string, config map[string]string, s signing) []string {
	arguments := []string{"sign", "--plugin", plugin, "--id", id, "--signature-format", string(s.format), "--expiry", s.expiry.String()}
	for name, value := range config {
		arguments = append(arguments, "--plugin-config", name+"="+value)
	}
	for name, value := range s.metadata {
		arguments = append(arguments, "--user-metadata", name+"="+value)
	}
	return arguments
}

// describe returns the public key of a key, as the plugin has it.
func describe(t *testing.T, name string, k keys, spec protocol.KeySpec) any {
	t.Helper()
	client := protocol.NewClient(name, &stdio.Transport{Path: binary(t, "notation-"+name), Env: os.Environ(), Timeout: 5 * time.Minute})
	described, err := client.DescribeKey(t.Context(), &protocol.DescribeKeyRequest{KeyID: k.ids[spec], PluginConfig: k.config})
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(described.PublicKey)
	if err != nil || described.KeySpec != spec {
		t.Fatalf("key spec %s, %v", described.KeySpec, err)
	}
	return public
}
