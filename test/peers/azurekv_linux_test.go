package peers

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/signet-project/signet/internal/testkeyvault"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

// The vault's CA is trusted by SSL_CERT_FILE, which counts on Linux alone.
func init() {
	keyPlugins = append(keyPlugins, keyPlugin{"azurekv", azureKeys})
}

func azureKeys(t *testing.T) keys {
	azure := testkeyvault.New(t)
	application, vault := azure.NewPrincipal(), azure.NewVault("signet-peers.vault.azure.net")
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(application.Assertion), 0o600); err != nil {
		t.Fatal(err)
	}
	k := keys{
		ids:    map[protocol.KeySpec]string{},
		config: map[string]string{"timeout": "5m"},
		env:    append(azure.Env(), "AZURE_TENANT_ID="+testkeyvault.TenantID, "AZURE_CLIENT_ID="+application.ClientID, "AZURE_FEDERATED_TOKEN_FILE="+token),
	}
	for _, spec := range testpki.Specs {
		k.ids[spec] = vault.AddKey(string(spec), testpki.Key(t, spec))
	}
	return k
}
