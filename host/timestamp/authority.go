package timestamp

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/signet-project/signet/host/pki"
)

// The media types of RFC 3161, section 3.4.
const (
	mediaTypeQuery = "application/timestamp-query"
	mediaTypeReply = "application/timestamp-reply"
)

// DefaultTimeout is how long an authority has for its whole answer.
const DefaultTimeout = 15 * time.Second

// maxReply is the size in bytes that an answer must stay below.
const maxReply = 1 << 20

// Authority is a time-stamping authority reached over HTTP (RFC 3161) and how to
// judge its answers. URL and Roots are required.
type Authority struct {
	// URL is where requests are posted, http or https.
	URL string
	// Roots are the self-signed certificates that the authority's chain may end in.
	Roots []*x509.Certificate
	// HTTPClient sends the requests; nil means http.DefaultClient.
	HTTPClient *http.Client
	// Timeout is how long the whole answer may take; 0 means DefaultTimeout.
	Timeout time.Duration
	// Rand is where nonces come from; nil means crypto/rand.
	Rand io.Reader
	// Now is the clock by which the authority's certificates must be valid; nil
	// means time.Now.
	Now func() time.Time
	// UserAgent is sent along unless empty.
	UserAgent string
	// Revocation judges the authority's chain, leaf first: an error refuses the
	// token. The specification demands such a check; nil omits it.
	Revocation func(ctx context.Context, chain []*x509.Certificate) error
}

// AuthorityError names the authority that did not deliver a usable token. Err is
// a *RejectedError where the authority declined, an error of Verify where its
// token is no good, or what went wrong with the request.
type AuthorityError struct {
	URL string
	Err error
}

// Error names the authority and the reason.
func (e *AuthorityError) Error() string {
	return fmt.Sprintf("timestamp authority %q: %v", e.URL, e.Err)
}

// Unwrap returns the reason.
func (e *AuthorityError) Unwrap() error { return e.Err }

// Timestamp obtains a token over the bytes of a signature, by the given hash:
// SHA-256, SHA-384 or SHA-512. The token is returned as received, after every
// check of Verify, that of its nonce and that of its chain's revocation. Every
// error is an *AuthorityError.
func (a *Authority) Timestamp(ctx context.Context, signature []byte, hash crypto.Hash) ([]byte, error) {
	token, err := a.timestamp(ctx, signature, hash)
	if err != nil {
		return nil, &AuthorityError{URL: displayURL(a.URL), Err: err}
	}
	return token, nil
}

func (a *Authority) timestamp(ctx context.Context, signature []byte, hash crypto.Hash) ([]byte, error) {
	if err := checkURL(a.URL); err != nil {
		return nil, err
	}
	if len(a.Roots) == 0 {
		return nil, errors.New("no root certificate to judge it by: pass the authority's root certificate")
	}
	random := a.Rand
	if random == nil {
		random = rand.Reader
	}
	req, err := newRequest(signature, hash, random)
	if err != nil {
		return nil, err
	}
	reply, err := a.post(ctx, req)
	if err != nil {
		return nil, err
	}
	token, err := parseReply(reply)
	if err != nil {
		return nil, err
	}
	verified, err := Verify(token, VerifyOptions{Message: signature, Roots: a.Roots})
	if err != nil {
		return nil, err
	}
	if err := req.checkReply(verified); err != nil {
		return nil, err
	}
	if err := a.checkChain(ctx, verified.Chain); err != nil {
		return nil, err
	}
	return token, nil
}

// checkChain checks what a fresh token needs of its chain besides the checks of
// Verify, which go by the authority's own clock.
func (a *Authority) checkChain(ctx context.Context, chain []*x509.Certificate) error {
	now := time.Now
	if a.Now != nil {
		now = a.Now
	}
	if err := pki.CheckValidity(chain, now()); err != nil {
		return fmt.Errorf("timestamping %w", err)
	}
	if a.Revocation == nil {
		return nil
	}
	return a.Revocation(ctx, chain)
}

// post sends a request and returns the body of the answer.
func (a *Authority) post(ctx context.Context, req *request) ([]byte, error) {
	query, err := req.marshal()
	if err != nil {
		return nil, err
	}
	timeout := cmp.Or(a.Timeout, DefaultTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no complete answer within %v, try again later or use another authority", timeout))
	defer cancel()
	httpReq, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL, bytes.NewReader(query))
	if err != nil {
		return nil, err
	}
	httpReq.Header.Set("Content-Type", mediaTypeQuery)
	if a.UserAgent != "" {
		httpReq.Header.Set("User-Agent", a.UserAgent)
	}
	resp, err := a.client().Do(httpReq)
	if err != nil {
		return nil, transportError(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer has status %q where 200 OK belongs: check the URL", resp.Status)
	}
	if contentType := resp.Header.Get("Content-Type"); contentType != mediaTypeReply {
		return nil, fmt.Errorf("the answer has content type %q where %q belongs: check the URL", contentType, mediaTypeReply)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return nil, transportError(ctx, err)
	}
	if len(body) == maxReply {
		return nil, fmt.Errorf("the answer is too large: it must stay below %d bytes", maxReply)
	}
	return body, nil
}

// client returns the HTTP client. A redirect that would turn the POST into a GET
// is not followed: it shows as a status that is not 200.
func (a *Authority) client() *http.Client {
	client := *cmp.Or(a.HTTPClient, http.DefaultClient)
	inner := client.CheckRedirect
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if req.Method != http.MethodPost {
			return http.ErrUseLastResponse
		}
		if inner != nil {
			return inner(req, via)
		}
		if len(via) >= 10 {
			return errors.New("more than 10 redirects")
		}
		return nil
	}
	return &client
}

// transportError drops the URL that net/http puts into its errors and says what
// ended the request when that was the deadline or the caller.
func transportError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("the request failed (%w)", failed.Err)
	}
	return fmt.Errorf("the answer was cut off: %w", err)
}

// checkURL checks an authority's URL before any request.
func checkURL(raw string) error {
	parsed, err := url.Parse(raw)
	switch {
	case err != nil:
		return errors.New("the URL does not parse")
	case parsed.Scheme != "http" && parsed.Scheme != "https":
		return fmt.Errorf("the URL's scheme must be http or https, but is %q", parsed.Scheme)
	case parsed.Hostname() == "":
		return errors.New("the URL must have a host")
	}
	return nil
}

// displayURL hides the password of a URL.
func displayURL(raw string) string {
	parsed, err := url.Parse(raw)
	if err != nil {
		return "(malformed)"
	}
	return parsed.Redacted()
}

// ParseRootFile reads a file that names the root of an authority's chain: exactly
// one certificate in PEM or DER, self-signed and a certificate authority.
func ParseRootFile(data []byte) (*x509.Certificate, error) {
	certs, err := pki.ParseCertificates(data)
	if err != nil {
		return nil, fmt.Errorf("timestamp root certificate file: %w", err)
	}
	if len(certs) != 1 {
		return nil, fmt.Errorf("timestamp root certificate file: it has %d certificates where exactly one belongs, the authority's root", len(certs))
	}
	if !pki.IsCA(certs[0]) || !pki.IsSelfSigned(certs[0]) {
		return nil, fmt.Errorf("timestamp root certificate file: certificate with subject %q is not a self-signed root certificate authority", pki.DisplayName(certs[0].RawSubject))
	}
	return certs[0], nil
}
