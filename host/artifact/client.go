package artifact

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials/trace"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// clientID names us to token servers (REG-05).
const clientID = "notation"

// hostClient sends requests to one registry: it authenticates them, and checks
// that the registry answers with the digest that was asked for.
type hostClient struct {
	// oauth asks for tokens by OAuth 2.0 (REG-06), legacy as Docker always did.
	// They share their tokens.
	oauth, legacy *auth.Client
	// noOAuth is set once the token server turned out to know only the latter.
	noOAuth atomic.Bool
}

func newHostClient(host string, base *auth.Client) *hostClient {
	oauth := *base
	oauth.ForceAttemptOAuth2 = true
	oauth.BlockedRealmPrefixes = blockedRealms(host)
	legacy := oauth
	legacy.ForceAttemptOAuth2 = false
	return &hostClient{oauth: &oauth, legacy: &legacy}
}

// patient returns a client with the same tokens that bounds each request by limit.
func (c *hostClient) patient(limit time.Duration) *hostClient {
	extend := func(client *auth.Client) *auth.Client {
		longer, sender := *client, *client.Client
		sender.Timeout = limit
		longer.Client = &sender
		return &longer
	}
	return &hostClient{oauth: extend(c.oauth), legacy: extend(c.legacy)}
}

// blockedRealms are the networks where no token server is believed to be. One on
// the loopback interface is, when the registry itself is there.
func blockedRealms(host string) []netip.Prefix {
	prefixes := auth.DefaultBlockedRealmPrefixes()
	if isLoopback(host) {
		prefixes = slices.DeleteFunc(prefixes, func(p netip.Prefix) bool { return p.Addr().IsLoopback() })
	}
	return prefixes
}

// isLoopback tells whether a registry is on this machine.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && address.IsLoopback()
}

// Do sends a request. It follows the rules of [net/http.Client.Do].
func (c *hostClient) Do(request *http.Request) (*http.Response, error) {
	response, err := c.authorize(request)
	if err != nil {
		return nil, err
	}
	if err := checkDigest(request, response); err != nil {
		response.Body.Close()
		return nil, err
	}
	return response, nil
}

// authorize sends a request with what the registry wants to see. A token server
// that does not take OAuth 2.0 requests with a password gets the older kind.
func (c *hostClient) authorize(request *http.Request) (*http.Response, error) {
	if c.noOAuth.Load() {
		return c.legacy.Do(request)
	}
	response, err := c.oauth.Do(request)
	if err == nil || !refusesOAuth(err) {
		return response, err
	}
	again := request.Clone(request.Context())
	if request.GetBody != nil {
		body, err := request.GetBody()
		if err != nil {
			return nil, err
		}
		again.Body = body
	}
	response, err = c.legacy.Do(again)
	if err == nil {
		c.noOAuth.Store(true)
	}
	return response, err
}

// refusesOAuth tells whether a request failed because the token server answered
// an OAuth 2.0 request, but not with a token. Servers without OAuth 2.0 answer
// with any of 400, 401, 403, 404, 405, 415, 501, or with something that is no token at all.
func refusesOAuth(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, auth.ErrBasicCredentialNotFound) {
		return false
	}
	if _, ok := errors.AsType[*CredentialError](err); ok {
		return false
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return false
	}
	if response, ok := errors.AsType[*errcode.ErrorResponse](err); ok {
		return response.Method == http.MethodPost && !transient(&http.Response{StatusCode: response.StatusCode}, nil)
	}
	return true
}

// checkDigest compares the digest in the path of a request for a manifest or
// blob with the one that the registry says it answered with (REG-04, MAN-22).
func checkDigest(request *http.Request, response *http.Response) error {
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusCreated {
		return nil
	}
	path := request.URL.Path
	slash := strings.LastIndexByte(path, '/')
	if parent := path[:max(slash, 0)]; !strings.HasSuffix(parent, "/manifests") && !strings.HasSuffix(parent, "/blobs") {
		return nil
	}
	asked, err := digest.Parse(path[slash+1:])
	if err != nil {
		return nil
	}
	answered, err := digest.Parse(response.Header.Get("Docker-Content-Digest"))
	if err != nil || answered == asked {
		return nil
	}
	return &DigestMismatchError{Requested: asked, Resolved: answered}
}

// guardCredentials makes errors of a credential source fit to be shown, and
// tells when a credential goes over a network in the clear (REG-16).
func guardCredentials(source func(ctx context.Context, host string) (Credential, error), plainHTTP func(host string) bool, warn func(string)) auth.CredentialFunc {
	if source == nil {
		return nil
	}
	return func(ctx context.Context, host string) (auth.Credential, error) {
		var helper string
		ctx = trace.WithExecutableTrace(ctx, &trace.ExecutableTrace{
			ExecuteStart: func(name, _ string) { helper = name },
		})
		credential, err := source(ctx, host)
		if err != nil {
			return auth.EmptyCredential, &CredentialError{Registry: host, Helper: helper, Err: err}
		}
		if credential != (Credential{}) && plainHTTP(host) && !isLoopback(host) {
			warn("The credentials for " + host + " are sent without encryption, since it is contacted by plain HTTP.")
		}
		return auth.Credential(credential), nil
	}
}
