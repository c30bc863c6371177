package vault

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// status returns the HTTP status of an answer that is an error, else 0.
func status(err error) int {
	if answer, ok := errors.AsType[*api.ResponseError](err); ok {
		return answer.StatusCode
	}
	return 0
}

// failure makes the answer for the host of a failed request.
func (s *server) failure(ctx context.Context, r request, err error) error {
	answer, ok := errors.AsType[*api.ResponseError](err)
	if !ok {
		return s.unreachable(ctx, r, err)
	}
	prefix := fmt.Sprintf("%s at %s", r.what, s)
	said := reasons(answer)
	switch answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		capability := "read"
		if r.body != nil {
			capability = "update"
		}
		return protocol.Errorf(protocol.CodeAccessDenied, `%s: %s: the token has expired, or its policies lack path %q { capabilities = [%q] }`, prefix, said, r.path, capability)
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnprocessableEntity:
		return protocol.Errorf(protocol.CodeValidation, "%s: %s", prefix, said)
	case http.StatusTooManyRequests, http.StatusPreconditionFailed: // a rate limit; a replica that lags behind
		return protocol.Errorf(protocol.CodeThrottled, "%s: %s", prefix, said)
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return protocol.Errorf(protocol.CodeTimeout, "%s: %s", prefix, said)
	case http.StatusServiceUnavailable:
		return protocol.Errorf(protocol.CodeGeneric, "%s: %s: the server is sealed or under maintenance", prefix, said)
	}
	return protocol.Errorf(protocol.CodeGeneric, "%s: %s", prefix, said)
}

// loginFailure is failure for a login, where a bad request means bad
// credentials and no policy can be lacking.
func (s *server) loginFailure(ctx context.Context, r request, err error) error {
	switch status(err) {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		answer, _ := errors.AsType[*api.ResponseError](err)
		return protocol.Errorf(protocol.CodeAccessDenied, "%s at %s: %s: check the credentials, and that the auth method is at %s", r.what, s, reasons(answer), strings.TrimSuffix(r.path, "/login"))
	}
	return s.failure(ctx, r, err)
}

// unreachable is the failure of a request that got no answer.
func (s *server) unreachable(ctx context.Context, r request, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	cause := err
	if request, ok := errors.AsType[*url.Error](err); ok { // whose text repeats the URL
		cause = request.Err
	}
	prefix := fmt.Sprintf("%s at %s", r.what, s)
	timeout, ok := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return protocol.Errorf(protocol.CodeTimeout, "%s: no answer within %s", prefix, s.settings.timeout)
	case ok && timeout.Timeout():
		return protocol.Errorf(protocol.CodeTimeout, "%s: no answer in time: %w", prefix, cause)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return protocol.Errorf(protocol.CodeGeneric, "%s: %w: name the server's CA by plugin config %s or VAULT_CACERT", prefix, cause, ConfigCACert)
	}
	return protocol.Errorf(protocol.CodeGeneric, "%s: no answer: %w", prefix, cause)
}

// reasons renders what the server said, on one line of bounded length.
func reasons(answer *api.ResponseError) string {
	text := fmt.Sprintf("status %d", answer.StatusCode)
	if name := http.StatusText(answer.StatusCode); name != "" {
		text += " " + name
	}
	if answer.RawError {
		return text // a page of some proxy
	}
	for _, reason := range answer.Errors {
		if reason != "" {
			text += ", " + reason
		}
	}
	return signer.OneLine(text)
}
