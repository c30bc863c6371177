package azurekv

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/signet-project/signet/internal/plugintest"
	"github.com/signet-project/signet/internal/testkeyvault"
	"github.com/signet-project/signet/protocol"
)

const someVersion = "0123456789abcdef0123456789abcdef"

func TestParseKeyID(t *testing.T) {
	for id, want := range map[string]keyName{
		"https://acme.vault.azure.net/keys/release":                                         {host: "acme.vault.azure.net", kind: kindKey, name: "release"},
		"https://acme.vault.azure.net/keys/release/" + someVersion:                          {host: "acme.vault.azure.net", kind: kindKey, name: "release", version: someVersion},
		"https://acme.vault.azure.net/keys/release/" + strings.ToUpper(someVersion):         {host: "acme.vault.azure.net", kind: kindKey, name: "release", version: someVersion},
		"https://Acme-1.Vault.azure.net/certificates/Release-2":                             {host: "acme-1.vault.azure.net", kind: kindCertificate, name: "Release-2"},
		"https://acme.managedhsm.azure.net/keys/release":                                    {host: "acme.managedhsm.azure.net", kind: kindKey, name: "release"},
		"https://acme.vault.azure.cn/keys/release":                                          {host: "acme.vault.azure.cn", kind: kindKey, name: "release"},
		"https://acme.vault.usgovcloudapi.net/certificates/release/" + someVersion:          {host: "acme.vault.usgovcloudapi.net", kind: kindCertificate, name: "release", version: someVersion},
		"https://acme.managedhsm.usgovcloudapi.net/keys/keys":                               {host: "acme.managedhsm.usgovcloudapi.net", kind: kindKey, name: "keys"},
		"https://acme.managedhsm.azure.cn/keys/" + strings.Repeat("n", maxName):             {host: "acme.managedhsm.azure.cn", kind: kindKey, name: strings.Repeat("n", maxName)},
		"https://" + strings.Repeat("v", maxVault) + ".vault.azure.net/keys/" + someVersion: {host: strings.Repeat("v", maxVault) + ".vault.azure.net", kind: kindKey, name: someVersion},
	} {
		got, err := parseKeyID(id)
		domain := got.service.domain
		if got.service = (service{}); got.host != want.host || got.kind != want.kind || got.name != want.name || got.version != want.version || !strings.HasSuffix(want.host, "."+domain) || err != nil {
			t.Errorf("%s: %+v, %v", id, got, err)
		}
	}
	const good = "https://acme.vault.azure.net/keys/release"
	for _, id := range []string{
		"", "release", "http://acme.vault.azure.net/keys/release", "HTTPS://acme.vault.azure.net/keys/release", "//acme.vault.azure.net/keys/release",
		good + "/", good + "?api-version=7.4", good + "#x", good + "/latest", good + "/" + someVersion + "/", good + "/" + someVersion + "/sign", good + "/" + someVersion + "0", good + "/%2e%2e",
		good + "/" + strings.Repeat("g", 32), "https://acme.vault.azure.net/secrets/release", "https://acme.vault.azure.net/Keys/release", "https://acme.vault.azure.net/keys/", "https://acme.vault.azure.net/keys/a b",
		"https://acme.vault.azure.net/keys/..", "https://acme.vault.azure.net/keys/a_b", "https://acme.vault.azure.net/keys/" + strings.Repeat("n", maxName+1), "https://acme.vault.azure.net//keys/release",
		"https://acme.vault.azure.net:443/keys/release", "https://user@acme.vault.azure.net/keys/release", "https://evil.example/keys/release", "https://vault.azure.net/keys/release", "https://.vault.azure.net/keys/release",
		"https://acme.vault.azure.net.evil.example/keys/release", "https://evil.example#.vault.azure.net/keys/release", "https://a.b.vault.azure.net/keys/release", "https://acmevault.azure.net/keys/release",
		"https://acme.vault.azure.net./keys/release", "https://acme.managedhsm.azure.net/certificates/release", "https://acme.vault.azure.net/keys/release\n", good + strings.Repeat("/", 600),
	} {
		if got, err := parseKeyID(id); err == nil || strings.ContainsRune(err.Error(), '\n') {
			t.Errorf("%q: %+v, %v", id, got, err)
		}
	}
}

func FuzzParseKeyID(f *testing.F) {
	for _, seed := range []string{"https://acme.vault.azure.net/keys/release/" + someVersion, "https://acme.vault.azure.cn/certificates/c", "https://acme.managedhsm.azure.net/keys/k", "https://x@y/keys/k", "https://acme.vault.azure.net/keys/.."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		n, err := parseKeyID(id)
		if err != nil {
			return
		}
		// What a URL parser makes of it is the same.
		u, err := url.Parse(id)
		if err != nil || u.Scheme != "https" || !strings.EqualFold(u.Host, n.host) || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			t.Fatalf("%q became %+v, a URL parser has %+v, %v", id, n, u, err)
		}
		if path := strings.TrimSuffix("/"+string(n.kind)+"/"+n.name+"/"+n.version, "/"); !strings.EqualFold(u.EscapedPath(), path) {
			t.Errorf("%q became %s, a URL parser has %s", id, path, u.EscapedPath())
		}
	})
}

func TestSettings(t *testing.T) {
	for _, c := range []struct {
		name   string
		config map[string]string
		want   settings
	}{
		{"default", nil, settings{credential: "DefaultAzureCredential"}},
		{"default in a tenant", map[string]string{ConfigTenantID: "t"}, settings{credential: "DefaultAzureCredential", tenantID: "t"}},
		{"in lower case", map[string]string{ConfigCredential: "azureclicredential"}, settings{credential: "AzureCLICredential"}},
		{"managed identity", map[string]string{ConfigCredential: "ManagedIdentityCredential", ConfigClientID: "c"}, settings{credential: "ManagedIdentityCredential", clientID: "c"}},
		{"workload identity", map[string]string{ConfigCredential: "WorkloadIdentityCredential", ConfigClientID: "c", ConfigTenantID: "t", ConfigFederatedTokenFile: "f", ConfigTimeout: "1m"}, settings{"WorkloadIdentityCredential", "t", "c", "f", time.Minute}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.timeout = cmp.Or(c.want.timeout, defaultTimeout)
			if got, err := readSettings(c.config); got != c.want || err != nil {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	for name, c := range map[string]struct {
		config map[string]string
		want   string
	}{
		"a slip":                          {map[string]string{"tenant": "x"}, `"tenant" is not known: there are certificate_chain, client_id, credential`},
		"a secret":                        {map[string]string{"client_secret": "x"}, "no secret"},
		"a timeout":                       {map[string]string{ConfigTimeout: "soon"}, `timeout: "soon"`},
		"no time":                         {map[string]string{ConfigTimeout: "0s"}, `timeout: "0s"`},
		"a credential":                    {map[string]string{ConfigCredential: "InteractiveBrowserCredential"}, "there are DefaultAzureCredential, EnvironmentCredential, Work"},
		"a client with the default":       {map[string]string{ConfigClientID: "x"}, "it goes with credential WorkloadIdentityCredential, ManagedIdentityCredential"},
		"a tenant with the environment":   {map[string]string{ConfigCredential: "EnvironmentCredential", ConfigTenantID: "x"}, "EnvironmentCredential takes it from the environment"},
		"a tenant with managed identity":  {map[string]string{ConfigCredential: "ManagedIdentityCredential", ConfigTenantID: "x"}, "has no use for it"},
		"a token file with the Azure CLI": {map[string]string{ConfigCredential: "AzureCLICredential", ConfigFederatedTokenFile: "x"}, "it goes with credential WorkloadIdentityCredential"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readSettings(c.config)
			plugintest.WantError(t, err, protocol.CodeValidation, c.want)
		})
	}
}

// TestCredentials opens each credential: what it is called here is what it is.
func TestCredentials(t *testing.T) {
	for _, c := range credentials {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("AZURE_TENANT_ID", "contoso.example")
			t.Setenv("AZURE_CLIENT_ID", "client")
			t.Setenv("AZURE_CLIENT_SECRET", "s3cr3t")
			t.Setenv("AZURE_FEDERATED_TOKEN_FILE", "file")
			l, err := newLogin(settings{credential: c.name}, azcore.ClientOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got, want := fmt.Sprintf("%T", l.tokens), "*azidentity."+c.name; got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
	const keyID = "https://acme.vault.azure.net/keys/k"
	t.Run("none in the environment", func(t *testing.T) {
		_, err := plugin(testkeyvault.New(t).Front).DescribeKey(t.Context(), &protocol.DescribeKeyRequest{KeyID: keyID, PluginConfig: map[string]string{ConfigCredential: "EnvironmentCredential"}})
		plugintest.WantError(t, err, protocol.CodeAccessDenied, keyID, "log in by EnvironmentCredential", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET")
	})
	t.Run("no tenant", func(t *testing.T) {
		_, err := plugin(testkeyvault.New(t).Front).DescribeKey(t.Context(), &protocol.DescribeKeyRequest{KeyID: keyID, PluginConfig: map[string]string{ConfigCredential: "AzureCLICredential", ConfigTenantID: "a b"}})
		plugintest.WantError(t, err, protocol.CodeAccessDenied, keyID, "log in by AzureCLICredential", "tenantID")
	})
}
