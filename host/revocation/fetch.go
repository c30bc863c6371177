package revocation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// maxRedirects bounds the redirects that one request follows.
const maxRedirects = 3

// fetch sends a request and returns the body of a 200 answer. The timeout
// covers everything from looking up the name to the last byte; larger answers
// than limit bytes are refused. The error is an *Error.
func (c *Checker) fetch(request *http.Request, timeout time.Duration, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(request.Context(), timeout)
	defer cancel()
	if c.UserAgent != "" {
		request.Header.Set("User-Agent", c.UserAgent)
	}
	response, err := c.client().Do(request.WithContext(ctx))
	if err != nil {
		return nil, transportError(ctx, timeout, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, &Error{ProblemStatus, &HTTPError{Code: response.StatusCode}}
	}
	if response.ContentLength > limit {
		return nil, problem(ProblemSize, "the answer has %d bytes, more than the %d allowed", response.ContentLength, limit)
	}
	body, err := readBody(response, limit)
	if err != nil {
		return nil, transportError(ctx, timeout, err)
	}
	if int64(len(body)) > limit {
		return nil, problem(ProblemSize, "the answer has more than the %d bytes allowed", limit)
	}
	return body, nil
}

// readBody reads up to one byte more than limit, without growing a buffer by
// and by where the length is known.
func readBody(response *http.Response, limit int64) ([]byte, error) {
	if response.ContentLength < 0 {
		return io.ReadAll(io.LimitReader(response.Body, limit+1))
	}
	body := make([]byte, response.ContentLength)
	_, err := io.ReadFull(response.Body, body)
	return body, err
}

// client returns the caller's HTTP client with our rules for redirects, and
// without cookies.
func (c *Checker) client() *http.Client {
	client := http.Client{}
	if c.HTTPClient != nil {
		client = *c.HTTPClient
	}
	client.Jar = nil
	callers := client.CheckRedirect
	client.CheckRedirect = func(request *http.Request, via []*http.Request) error {
		if request.URL.Scheme != "http" {
			return problem(ProblemURL, "redirected to a URL that is not http")
		}
		if len(via) > maxRedirects {
			return fmt.Errorf("redirected more than %d times", maxRedirects)
		}
		if callers != nil {
			return callers(request, via)
		}
		return nil
	}
	return &client
}

// HTTPError is an HTTP status other than 200.
type HTTPError struct{ Code int }

// Error gives the status.
func (e *HTTPError) Error() string {
	return fmt.Sprintf("HTTP status %d %s", e.Code, http.StatusText(e.Code))
}

// transportError says why no whole answer came.
func transportError(ctx context.Context, timeout time.Duration, err error) error {
	if refused, ok := errors.AsType[*Error](err); ok {
		return refused
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		if wrapped.Timeout() && ctx.Err() == nil { // the client's own timeout
			return problem(ProblemTimeout, "no complete answer in time: %w", context.DeadlineExceeded)
		}
		err = wrapped.Err // the attempt names the URL already
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return problem(ProblemTimeout, "no complete answer within %v: %w", timeout, context.DeadlineExceeded)
	}
	return problem(ProblemUnreachable, "no answer: %w", err)
}
