package azurekv

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// Plugin configuration, besides signer.ConfigCertificateChain. What is not set
// here comes from the environment, as azidentity has it.
const (
	ConfigCredential         = "credential"           // name of a credential, default DefaultAzureCredential
	ConfigTenantID           = "tenant_id"            // AZURE_TENANT_ID
	ConfigClientID           = "client_id"            // AZURE_CLIENT_ID
	ConfigFederatedTokenFile = "federated_token_file" // AZURE_FEDERATED_TOKEN_FILE
	ConfigTimeout            = "timeout"              // of one request, the login before it included, like 25s
)

// defaultTimeout leaves a host time to try again within its own minute.
const defaultTimeout = 25 * time.Second

// settings are the plugin configuration, the certificates aside.
type settings struct {
	credential, tenantID, clientID, federatedTokenFile string
	timeout                                            time.Duration
}

// credential is a kind of login.
type credential struct {
	// name is the one in azidentity.
	name string
	// takes lists the configuration that it has a use for.
	takes []string
	// advice says what to do when it has no token to give.
	advice string
	open   func(settings, azcore.ClientOptions) (azcore.TokenCredential, error)
}

// credentials are those of azidentity that work without anybody at a browser.
// Their secrets, where they have any, come from the environment, from files or
// from other programs.
var credentials = []credential{
	{"DefaultAzureCredential", []string{ConfigTenantID},
		`log in with "az login", give the machine an identity, or set AZURE_TENANT_ID (the vault's) and AZURE_CLIENT_ID with AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE; plugin config credential chooses one way`,
		func(s settings, o azcore.ClientOptions) (azcore.TokenCredential, error) {
			return azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: o, TenantID: s.tenantID})
		}},
	{"EnvironmentCredential", nil,
		"set AZURE_TENANT_ID (the vault's) and AZURE_CLIENT_ID, with AZURE_CLIENT_SECRET or AZURE_CLIENT_CERTIFICATE_PATH",
		func(_ settings, o azcore.ClientOptions) (azcore.TokenCredential, error) {
			return azidentity.NewEnvironmentCredential(&azidentity.EnvironmentCredentialOptions{ClientOptions: o})
		}},
	{"WorkloadIdentityCredential", []string{ConfigTenantID, ConfigClientID, ConfigFederatedTokenFile},
		"set AZURE_TENANT_ID (the vault's), AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE, or plugin config tenant_id, client_id and federated_token_file, and check the application's federated credential",
		func(s settings, o azcore.ClientOptions) (azcore.TokenCredential, error) {
			return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
				ClientOptions: o, TenantID: s.tenantID, ClientID: s.clientID, TokenFilePath: s.federatedTokenFile,
			})
		}},
	{"ManagedIdentityCredential", []string{ConfigClientID},
		"give the machine a managed identity; one that is assigned by the user needs plugin config client_id",
		func(s settings, o azcore.ClientOptions) (azcore.TokenCredential, error) {
			options := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: o}
			if s.clientID != "" {
				options.ID = azidentity.ClientID(s.clientID)
			}
			return azidentity.NewManagedIdentityCredential(options)
		}},
	{"AzureCLICredential", []string{ConfigTenantID},
		`log in with "az login", in the vault's tenant`,
		func(s settings, _ azcore.ClientOptions) (azcore.TokenCredential, error) {
			return azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{TenantID: s.tenantID})
		}},
	{"AzureDeveloperCLICredential", []string{ConfigTenantID},
		`log in with "azd auth login", in the vault's tenant`,
		func(s settings, _ azcore.ClientOptions) (azcore.TokenCredential, error) {
			return azidentity.NewAzureDeveloperCLICredential(&azidentity.AzureDeveloperCLICredentialOptions{TenantID: s.tenantID})
		}},
	{"AzurePowerShellCredential", []string{ConfigTenantID},
		"log in with Connect-AzAccount, in the vault's tenant",
		func(s settings, _ azcore.ClientOptions) (azcore.TokenCredential, error) {
			return azidentity.NewAzurePowerShellCredential(&azidentity.AzurePowerShellCredentialOptions{TenantID: s.tenantID})
		}},
}

// find returns the credential of a name, in whatever case; nil for none.
func find(name string) *credential {
	for i := range credentials {
		if strings.EqualFold(credentials[i].name, name) {
			return &credentials[i]
		}
	}
	return nil
}

// readSettings checks a plugin configuration.
func readSettings(config map[string]string) (settings, error) {
	if err := signer.CheckConfig(config, ConfigCredential, ConfigTenantID, ConfigClientID, ConfigFederatedTokenFile, ConfigTimeout); err != nil {
		return settings{}, err
	}
	chosen := &credentials[0]
	if name := config[ConfigCredential]; name != "" {
		if chosen = find(name); chosen == nil {
			return settings{}, protocol.Errorf(protocol.CodeValidation, "plugin config %s: %q is not known: there are %s", ConfigCredential, name, names(credentials))
		}
	}
	for _, name := range []string{ConfigTenantID, ConfigClientID, ConfigFederatedTokenFile} {
		if config[name] == "" || slices.Contains(chosen.takes, name) {
			continue
		}
		var others []credential
		for _, c := range credentials {
			if slices.Contains(c.takes, name) {
				others = append(others, c)
			}
		}
		return settings{}, protocol.Errorf(protocol.CodeValidation, "plugin config %s: %s takes it from the environment or has no use for it: it goes with %s %s", name, chosen.name, ConfigCredential, names(others))
	}
	timeout := defaultTimeout
	if text := config[ConfigTimeout]; text != "" {
		var err error
		if timeout, err = time.ParseDuration(text); err != nil || timeout <= 0 {
			return settings{}, protocol.Errorf(protocol.CodeValidation, "plugin config %s: %q is not a duration like 25s", ConfigTimeout, text)
		}
	}
	return settings{chosen.name, config[ConfigTenantID], config[ConfigClientID], config[ConfigFederatedTokenFile], timeout}, nil
}

func names(credentials []credential) string {
	var all []string
	for _, c := range credentials {
		all = append(all, c.name)
	}
	return strings.Join(all, ", ")
}

// login is a credential whose failures can be told from those of a vault.
type login struct {
	*credential
	tokens azcore.TokenCredential
}

// loginError is the failure of a login.
type loginError struct {
	*credential
	cause error
}

func (e *loginError) Error() string { return e.name + ": " + e.cause.Error() }
func (e *loginError) Unwrap() error { return e.cause }

// newLogin opens the credential that the settings choose.
func newLogin(s settings, options azcore.ClientOptions) (*login, error) {
	c := find(s.credential)
	tokens, err := c.open(s, options)
	if err != nil {
		return nil, &loginError{c, err}
	}
	return &login{c, tokens}, nil
}

// GetToken asks for a token.
func (l *login) GetToken(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := l.tokens.GetToken(ctx, options)
	if err != nil {
		return azcore.AccessToken{}, &loginError{l.credential, err}
	}
	return token, nil
}
