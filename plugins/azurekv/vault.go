package azurekv

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/signet-project/signet/protocol/signer"
)

// maxAnswer bounds an answer of a vault, in MiB.
const maxAnswer = 4

// keyClient is what is used of azkeys.Client.
type keyClient interface {
	GetKey(ctx context.Context, name, version string, options *azkeys.GetKeyOptions) (azkeys.GetKeyResponse, error)
	NewListKeyPropertiesVersionsPager(name string, options *azkeys.ListKeyPropertiesVersionsOptions) *runtime.Pager[azkeys.ListKeyPropertiesVersionsResponse]
	Sign(ctx context.Context, name, version string, parameters azkeys.SignParameters, options *azkeys.SignOptions) (azkeys.SignResponse, error)
}

// certificateClient is what is used of azcertificates.Client. The secret behind a
// certificate, which may hold the private key, is never asked for.
type certificateClient interface {
	GetCertificate(ctx context.Context, name, version string, options *azcertificates.GetCertificateOptions) (azcertificates.GetCertificateResponse, error)
}

// vault is a client of one vault or managed HSM, with one login. It may be used
// by several goroutines at once.
type vault struct {
	hsm          bool
	login        *login
	keys         keyClient
	certificates certificateClient
	timeout      time.Duration
}

func newVault(name keyName, s settings, o Options) (*vault, error) {
	// The host tries again. That a vault's challenge is verified is the default.
	options := azcore.ClientOptions{
		Cloud:     name.service.cloud,
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Telemetry: policy.TelemetryOptions{ApplicationID: "notation-azurekv/" + pluginVersion},
		Transport: o.HTTP,
	}
	login, err := newLogin(s, options)
	if err != nil {
		return nil, err
	}
	options.Transport = bounded{o.HTTP}
	keys, err := azkeys.NewClient(name.vaultURL(), login, &azkeys.ClientOptions{ClientOptions: options})
	if err != nil {
		return nil, err
	}
	certificates, err := azcertificates.NewClient(name.vaultURL(), login, &azcertificates.ClientOptions{ClientOptions: options})
	if err != nil {
		return nil, err
	}
	return &vault{name.service.hsm, login, keys, certificates, s.timeout}, nil
}

// newHTTPClient makes a client with the proxy that the environment names.
func newHTTPClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = exceptMetadata(http.ProxyFromEnvironment)
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	transport.MaxIdleConnsPerHost = 16
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// exceptMetadata takes the address by which a machine asks about itself out of
// what goes by a proxy, which would answer about another machine.
func exceptMetadata(proxy func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		if r.URL.Hostname() == "169.254.169.254" {
			return nil, nil
		}
		return proxy(r)
	}
}

// bounded lets no answer through that azkeys cannot cope with: none that is too
// long, and no challenge whose authority is not a URL with a tenant in it.
type bounded struct{ client *http.Client }

// Do sends a request.
func (b bounded) Do(r *http.Request) (*http.Response, error) {
	response, err := b.client.Do(r)
	if err != nil {
		return nil, err
	}
	if _, authority, ok := strings.Cut(response.Header.Get("WWW-Authenticate"), "authorization="); ok && strings.Count(before(authority, " "), "/") < 3 {
		response.Body.Close()
		return nil, errors.New("its challenge names no tenant")
	}
	response.Body = signer.BoundBody(response.Body, maxAnswer)
	return response, nil
}

// request is one request to a vault.
type request struct {
	// what it does, with which key, for messages.
	what string
	// permission is what it takes, as access policies spell it, and role a role
	// that has it.
	permission, role string
}

// do sends a request and makes of its failure an answer for the host.
func (v *vault) do(ctx context.Context, r request, send func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	err := send(limited)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return v.failure(limited, r, err)
}

// onKeys is a request that needs a permission on keys.
func (v *vault) onKeys(permission, what string) request {
	if v.hsm {
		return request{what, permission, "Managed HSM Crypto User"}
	}
	return request{what, permission, "Key Vault Crypto User"}
}
