package azurekv

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/plugintest"
	"github.com/signet-project/signet/internal/testkeyvault"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testservers"
	"github.com/signet-project/signet/protocol"
)

// These tests run the plugin in a process of its own, which finds the tenant as in
// a company's network: by HTTPS_PROXY, with the company's CA in SSL_CERT_FILE,
// which counts on Linux alone. What azidentity reads from the environment is there
// as its documentation has it.

// process is the plugin in a process of its own, with an environment.
func (b *bench) process(t *testing.T, env ...string) *plugintest.Process {
	t.Helper()
	return plugintest.Start(t, "azurekv", append(append(b.Env(), "HOME="+t.TempDir()), env...)...)
}

func TestLogins(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	keyID := unversioned(b.vault.AddKey("k", testpki.FreshKey(t, protocol.KeySpecEC256)))
	assigned := b.NewPrincipal()
	application := []string{"AZURE_TENANT_ID=" + testkeyvault.TenantID, "AZURE_CLIENT_ID=" + b.app.ClientID}
	file := "AZURE_FEDERATED_TOKEN_FILE=" + writeFile(t, []byte(b.app.Assertion))
	managed := b.ManagedIdentity(b.app, assigned)
	dir := func(token string) string { return "PATH=" + azureCLI(t, token) + ":" + os.Getenv("PATH") }
	withCLI := dir(b.Token(b.app, "https://vault.azure.net"))
	for _, c := range []struct {
		name   string
		config map[string]string
		env    []string
		code   protocol.ErrorCode // "" for a login that works
		want   []string
	}{
		{"default, a client secret", nil, append(application, "AZURE_CLIENT_SECRET="+b.app.Secret), "", nil},
		{"default, a federated token", nil, append(application, file), "", nil},
		{"default, a managed identity", nil, managed, "", nil},
		{"default, the Azure CLI", nil, []string{"AZURE_TOKEN_CREDENTIALS=dev", withCLI}, "", nil},
		{"default, nothing", nil, []string{"AZURE_TOKEN_CREDENTIALS=dev", "PATH=" + t.TempDir()}, protocol.CodeAccessDenied, []string{"log in by DefaultAzureCredential", "AzureCLICredential", "az login"}},
		{"environment", map[string]string{ConfigCredential: "EnvironmentCredential"}, append(application, "AZURE_CLIENT_SECRET="+b.app.Secret), "", nil},
		{"environment, a wrong secret", map[string]string{ConfigCredential: "EnvironmentCredential"}, append(application, "AZURE_CLIENT_SECRET=wrong-secret"), protocol.CodeAccessDenied, []string{"AADSTS7000215", "AZURE_CLIENT_SECRET"}},
		{"environment, nothing", map[string]string{ConfigCredential: "EnvironmentCredential"}, nil, protocol.CodeAccessDenied, []string{"AZURE_TENANT_ID"}},
		{"workload identity", map[string]string{ConfigCredential: "WorkloadIdentityCredential"}, append(application, file), "", nil},
		{"managed identity of the system", map[string]string{ConfigCredential: "ManagedIdentityCredential"}, managed, "", nil},
		{"managed identity of the user", map[string]string{ConfigCredential: "ManagedIdentityCredential", ConfigClientID: assigned.ClientID}, managed, "", nil},
		{"managed identity that is not there", map[string]string{ConfigCredential: "ManagedIdentityCredential", ConfigClientID: "none"}, managed, protocol.CodeAccessDenied, []string{"Identity not found", "client_id"}},
		{"Azure CLI", map[string]string{ConfigCredential: "AzureCLICredential"}, []string{withCLI}, "", nil},
		{"Azure CLI that is not logged in", map[string]string{ConfigCredential: "AzureCLICredential"}, []string{dir("")}, protocol.CodeAccessDenied, []string{"Please run 'az login'"}},
		{"Azure CLI that is not there", map[string]string{ConfigCredential: "AzureCLICredential"}, []string{"PATH=" + t.TempDir()}, protocol.CodeAccessDenied, []string{"executable not found on path"}},
		{"token of another tenant", map[string]string{ConfigCredential: "AzureCLICredential"}, []string{dir(b.ForeignToken(b.app, "https://vault.azure.net"))}, protocol.CodeAccessDenied, []string{"AKV10032", "tenant_id"}},
		{"token of another service", map[string]string{ConfigCredential: "AzureCLICredential"}, []string{dir(b.Token(b.app, "https://managedhsm.azure.net"))}, protocol.CodeAccessDenied, []string{"AKV10022"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			process := b.process(t, c.env...)
			_, err := plugintest.Sign(t, protocol.NewClient("azurekv", process), keyID, with(c.config, ConfigTimeout, patience), true)
			if c.code == "" && err != nil {
				t.Fatal(err)
			}
			if c.code != "" {
				plugintest.WantError(t, err, c.code, append(c.want, keyID)...)
			}
			for _, secret := range []string{b.app.Secret, b.app.Assertion, "wrong-secret", "token-"} {
				if strings.Contains(fmt.Sprint(err)+process.Printed(), secret) {
					t.Errorf("a secret is in %q or %v", process.Printed(), err)
				}
			}
		})
	}
}

// azureCLI makes a folder with a program az that gives out a token, or asks for a
// login.
func azureCLI(t *testing.T, token string) string {
	t.Helper()
	answer := fmt.Sprintf(`printf '%%s' '{"accessToken":%q,"expires_on":%d,"expiresOn":"x","subscription":"s","tenant":%q,"tokenType":"Bearer"}'`, token, time.Now().Add(time.Hour).Unix(), testkeyvault.TenantID)
	if token == "" {
		answer = `echo "ERROR: Please run 'az login' to setup account." >&2; exit 1`
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "az"), []byte("#!/bin/sh\n"+answer+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	keyID := unversioned(b.vault.AddKey("k", testpki.FreshKey(t, protocol.KeySpecEC256)))
	config := b.as(b.app)
	t.Run("proxy and CA", func(t *testing.T) {
		if _, err := plugintest.Sign(t, protocol.NewClient("azurekv", b.process(t)), keyID, config, true); err != nil {
			t.Fatal(err)
		}
		if b.Proxy.Tunnels.Load() == 0 {
			t.Error("the proxy saw nothing")
		}
	})
	t.Run("unknown CA", func(t *testing.T) {
		other := writeFile(t, testpki.Root(t, "other").CertPEM())
		process := plugintest.Start(t, "azurekv", "HTTPS_PROXY="+b.Proxy.URL, "SSL_CERT_FILE="+other, "HOME="+t.TempDir())
		_, err := plugintest.Sign(t, protocol.NewClient("azurekv", process), keyID, config, true)
		plugintest.WantError(t, err, protocol.CodeGeneric, "unknown authority", "SSL_CERT_FILE")
	})
	t.Run("proxy that refuses", func(t *testing.T) {
		_, err := plugintest.Sign(t, protocol.NewClient("azurekv", b.process(t)), "https://acme.managedhsm.azure.cn/keys/k", config, true)
		plugintest.WantError(t, err, protocol.CodeGeneric, "no answer", "Forbidden")
	})
	t.Run("proxy that is down", func(t *testing.T) {
		process := plugintest.Start(t, "azurekv", "HTTPS_PROXY="+testservers.ClosedAddress(t), "HOME="+t.TempDir())
		_, err := plugintest.Sign(t, protocol.NewClient("azurekv", process), keyID, config, true)
		plugintest.WantError(t, err, protocol.CodeGeneric, "proxyconnect", "refused")
	})
}
