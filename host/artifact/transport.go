package artifact

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"oras.land/oras-go/v2/registry/remote/retry"
)

const (
	// requestTimeout bounds a request with everything it takes: redirects,
	// repetitions and the reading of the answer.
	requestTimeout = 5 * time.Minute
	// transferTimeout is the same for blobs that may be large.
	transferTimeout = 10 * time.Minute
	maxRedirects    = 10
	maxRetries      = 5
	// maxRetryWait is the longest a registry can make us wait before a repetition.
	maxRetryWait = 30 * time.Second
)

// newHTTPClient puts repetitions and redirect rules on top of a transport.
func newHTTPClient(base http.RoundTripper, policy *retryPolicy) *http.Client {
	return &http.Client{
		Transport:     &retry.Transport{Base: base, Policy: func() retry.Policy { return policy }},
		CheckRedirect: checkRedirect,
		Timeout:       requestTimeout,
	}
}

// checkRedirect bounds redirects and refuses to leave TLS (REG-16). The
// Authorization header is dropped before this, as soon as the origin changes.
func checkRedirect(request *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return errors.New("too many redirects")
	}
	if via[len(via)-1].URL.Scheme == "https" && request.URL.Scheme != "https" {
		return errors.New("the redirect from https to " + request.URL.Scheme + " is refused")
	}
	return nil
}

// retryPolicy repeats requests that may succeed later (REG-18): on HTTP status 408,
// 429 and 5xx, except 501, and when a connection times out or breaks.
type retryPolicy struct {
	now func() time.Time
	// backoff is the wait before a repetition that the registry did not put a time on.
	backoff func(attempt int) time.Duration
}

func newRetryPolicy() *retryPolicy {
	exponential := retry.ExponentialBackoff(250*time.Millisecond, 2, 0.25)
	return &retryPolicy{
		now:     time.Now,
		backoff: func(attempt int) time.Duration { return exponential(attempt, nil) },
	}
}

// Retry returns how long to wait before another attempt, negative for none. A
// registry that asks for more patience than we have is not asked again.
func (p *retryPolicy) Retry(attempt int, response *http.Response, err error) (time.Duration, error) {
	if attempt >= maxRetries || !transient(response, err) {
		return -1, nil
	}
	wait := p.backoff(attempt)
	if response != nil {
		if asked, ok := p.retryAfter(response.Header.Get("Retry-After")); ok {
			wait = asked
		}
	}
	if wait > maxRetryWait {
		return -1, nil
	}
	return max(wait, 0), nil
}

// retryAfter reads the Retry-After header: seconds or a date (RFC 9110, 10.2.3).
func (p *retryPolicy) retryAfter(value string) (time.Duration, bool) {
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil && seconds >= 0 {
		return time.Duration(seconds) * time.Second, true
	}
	if date, err := http.ParseTime(value); err == nil {
		return date.Sub(p.now()), true
	}
	return 0, false
}

func transient(response *http.Response, err error) bool {
	if err != nil {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return false
		}
		failed, ok := errors.AsType[net.Error](err)
		return ok && failed.Timeout() || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.ErrUnexpectedEOF)
	}
	switch code := response.StatusCode; code {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	default:
		return code >= 500 && code != http.StatusNotImplemented
	}
}

const masked = "*****"

// logTransport logs what goes over the wire, without its secrets.
type logTransport struct {
	base http.RoundTripper
	log  *slog.Logger
}

// NewLogTransport returns a transport that passes requests to base and logs each
// of them at debug level: method, URL, headers, status and duration, never
// bodies. Credentials, cookies and what else could be secret in a URL read
// "*****" (GEN-11).
func NewLogTransport(base http.RoundTripper, logger *slog.Logger) http.RoundTripper {
	return &logTransport{base: base, log: logger}
}

// RoundTrip sends the request.
func (t *logTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx := request.Context()
	if !t.log.Enabled(ctx, slog.LevelDebug) {
		return t.base.RoundTrip(request)
	}
	start := time.Now()
	response, err := t.base.RoundTrip(request)
	attrs := []slog.Attr{
		slog.String("method", request.Method),
		slog.String("url", redactURL(request.URL)),
		slog.Duration("duration", time.Since(start)),
		slog.Any("requestHeaders", redactHeaders(request.Header)),
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", oneLine(err.Error())))
	} else {
		attrs = append(attrs, slog.Int("status", response.StatusCode), slog.Any("responseHeaders", redactHeaders(response.Header)))
	}
	t.log.LogAttrs(ctx, slog.LevelDebug, "http exchange", attrs...)
	return response, err
}

// redactHeaders lists headers by name, without secrets.
func redactHeaders(headers http.Header) map[string]string {
	shown := make(map[string]string, len(headers))
	for name, values := range headers {
		switch http.CanonicalHeaderKey(name) {
		case "Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie":
			shown[name] = masked
		case "Location", "Referer", "Content-Location":
			shown[name] = masked
			if u, err := url.Parse(headers.Get(name)); err == nil {
				shown[name] = redactURL(u)
			}
		default:
			shown[name] = oneLine(strings.Join(values, ", "))
		}
	}
	return shown
}

// shownQuery are the parameters of the distribution and token APIs that are no
// secrets. Upload states and signatures of storage services are.
var shownQuery = []string{"artifactType", "digest", "from", "last", "mount", "n", "scope", "service"}

// redactURL writes a URL without user information and secret parameters.
func redactURL(u *url.URL) string {
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	query := u.Query()
	var parameters []string
	for name, values := range query {
		for _, value := range values {
			if slices.Contains(shownQuery, name) {
				value = url.QueryEscape(value)
			} else {
				value = masked
			}
			parameters = append(parameters, url.QueryEscape(name)+"="+value)
		}
	}
	slices.Sort(parameters)
	shown.RawQuery = strings.Join(parameters, "&")
	return shown.String()
}
