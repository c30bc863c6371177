package vault

import (
	"cmp"
	"context"
	"crypto/tls"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/vault/api"
	"golang.org/x/sync/semaphore"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// maxAnswer bounds an answer of the server, in MiB.
const maxAnswer = 4

// server is a client of one server, with one way to log in. It may be used by
// several goroutines at once.
type server struct {
	client   *api.Client
	settings *settings
	now      func() time.Time

	turn    *semaphore.Weighted // of 1; guards the rest, held while logging in
	token   string
	expires time.Time // zero when the token doesn't, or isn't known to
}

// newServer makes a client. The api package reads some of VAULT_* by itself; all
// of it that counts is set here, so that BAO_* and plugin configuration come
// first.
func newServer(s *settings, now func() time.Time) (*server, error) {
	address, err := url.Parse(s.address())
	if err != nil || (address.Scheme != "unix" && (address.Host == "" || (address.Scheme != "http" && address.Scheme != "https"))) {
		return nil, protocol.Errorf(protocol.CodeValidation, "the server's address %q is not a URL like https://vault.example.com:8200", s.address())
	}
	transport, err := s.transport()
	if err != nil {
		return nil, err
	}
	config := &api.Config{
		Address:    s.address(),
		HttpClient: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		Timeout:    s.timeout,
		MaxRetries: 0, // the host tries again
	}
	err = config.ConfigureTLS(&api.TLSConfig{
		CACert: s.get(ConfigCACert), CAPath: s.get(ConfigCAPath),
		ClientCert: s.get(ConfigClientCert), ClientKey: s.get(ConfigClientKey),
		TLSServerName: s.get(ConfigTLSServerName), Insecure: s.insecure,
	})
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeValidation, "TLS settings: %w", err)
	}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeValidation, "settings of the client: %w", err)
	}
	config.HttpClient.Transport = bounded{config.HttpClient.Transport}
	client.ClearToken()
	client.SetNamespace(s.get(ConfigNamespace))
	return &server{client: client, settings: s, now: now, turn: semaphore.NewWeighted(1)}, nil
}

// transport makes the HTTP transport, with the proxy that the environment names.
func (s *settings) transport() (*http.Transport, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone() // with ProxyFromEnvironment
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	transport.MaxIdleConnsPerHost = 16
	if proxy := cmp.Or(s.env("PROXY_ADDR"), s.env("HTTP_PROXY")); proxy != "" {
		u, err := url.Parse(proxy)
		if err != nil || u.Host == "" {
			return nil, protocol.Errorf(protocol.CodeValidation, "VAULT_PROXY_ADDR or VAULT_HTTP_PROXY is not a URL")
		}
		transport.Proxy = http.ProxyURL(u)
	}
	return transport, nil
}

// bounded cuts answers off that are too long.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		response.Body = signer.BoundBody(response.Body, maxAnswer)
	}
	return response, err
}

// String is the server as messages name it.
func (s *server) String() string {
	name := s.settings.address()
	if u, err := url.Parse(name); err == nil {
		name = u.Redacted()
	}
	if namespace := s.settings.get(ConfigNamespace); namespace != "" {
		name += ", namespace " + namespace
	}
	return name
}

// request is one request to the server.
type request struct {
	// what it does, with which key, for messages.
	what string
	path string
	// body is nil for a read.
	body map[string]any
}

// do sends a request, logged in, and returns the answer's data; nil when there
// is nothing at the path.
func (s *server) do(ctx context.Context, r request) (map[string]any, error) {
	if err := s.login(ctx); err != nil {
		return nil, err
	}
	var secret *api.Secret
	var err error
	if r.body == nil {
		secret, err = s.client.Logical().ReadWithContext(ctx, r.path)
	} else {
		secret, err = s.client.Logical().WriteWithContext(ctx, r.path, r.body)
	}
	if err != nil {
		if status(err) == http.StatusForbidden {
			s.forgetToken()
		}
		return nil, s.failure(ctx, r, err)
	}
	if secret == nil || secret.Data == nil {
		return nil, nil
	}
	return secret.Data, nil
}
