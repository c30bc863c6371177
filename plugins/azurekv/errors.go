package azurekv

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// failure makes the answer for the host of a failed request; ctx is the request's.
func (v *vault) failure(ctx context.Context, r request, err error) error {
	if ctx.Err() != nil {
		return protocol.Errorf(protocol.CodeTimeout, "%s: no answer within %s, the login by %s included", r.what, v.timeout, v.login.name)
	}
	if failed, ok := errors.AsType[*loginError](err); ok {
		return failed.answer(r.what)
	}
	if answer, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return refused(r, answer)
	}
	return unreachable(r, err)
}

// refusal is the body of a vault's answer that is an error.
type refusal struct {
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Inner   struct {
			Code string `json:"code"`
		} `json:"innererror"`
	} `json:"error"`
}

// refused is the failure of a request that was answered with an error.
func refused(r request, answer *azcore.ResponseError) error {
	var body refusal
	_ = json.Unmarshal(payload(answer.RawResponse), &body) // a page of some proxy has none of it
	inner := body.Error.Inner.Code
	if inner == "" {
		inner = body.Error.Code
	}
	// Without a sentence that would push out what counts.
	message := strings.Replace(body.Error.Message, "If role assignments, deny assignments or role definitions were changed recently, please observe propagation time.", "", 1)
	said := shorten(status(answer.StatusCode) + " " + inner + " " + message)
	switch answer.StatusCode {
	case http.StatusUnauthorized:
		return protocol.Errorf(protocol.CodeAccessDenied, "%s: the vault does not take the token: the login has to be in the vault's tenant, see plugin config %s: %s", r.what, ConfigTenantID, said)
	case http.StatusForbidden:
		switch {
		case strings.HasPrefix(body.Error.Message, "Operation "), inner == "KeyDisabled", inner == "KeyExpired", inner == "KeyNotYetValid":
			return protocol.Errorf(protocol.CodeValidation, `%s: %s: "az keyvault key show" tells the key's state, dates and permitted operations, "az keyvault key set-attributes" changes them`, r.what, said)
		case inner == "ForbiddenByFirewall", inner == "ForbiddenByConnection":
			return protocol.Errorf(protocol.CodeAccessDenied, "%s: the vault's network rules keep this machine out: let its address in, or use the vault's private endpoint: %s", r.what, said)
		}
		return protocol.Errorf(protocol.CodeAccessDenied, "%s: permission %s is missing, which role %q has: %s", r.what, r.permission, r.role, said)
	case http.StatusBadRequest, http.StatusNotFound:
		return protocol.Errorf(protocol.CodeValidation, "%s: %s", r.what, said)
	case http.StatusTooManyRequests:
		return protocol.Errorf(protocol.CodeThrottled, "%s: %s", r.what, said)
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return protocol.Errorf(protocol.CodeTimeout, "%s: %s", r.what, said)
	}
	return protocol.Errorf(protocol.CodeGeneric, "%s: %s", r.what, said)
}

// unreachable is the failure of a request that got no answer, or one that is not
// a vault's.
func unreachable(r request, err error) error {
	sent, ok := errors.AsType[*url.Error](err)
	if !ok {
		// The text may advise to switch off a check that stays on.
		text := before(err.Error(), ". Set DisableChallengeResourceVerification")
		return protocol.Errorf(protocol.CodeGeneric, "%s: the answer is not one of a vault: %s", r.what, shorten(text))
	}
	cause := sent.Err // without the URL, which the message has already
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return protocol.Errorf(protocol.CodeTimeout, "%s: no answer in time: %w", r.what, cause)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return protocol.Errorf(protocol.CodeGeneric, "%s: %w: a company's own CA is trusted when it is in the system's store or, on Linux, in the file that SSL_CERT_FILE names", r.what, cause)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return protocol.Errorf(protocol.CodeGeneric, "%s: %w: check the vault's name and the network", r.what, cause)
	}
	return protocol.Errorf(protocol.CodeGeneric, "%s: no answer: %w", r.what, cause)
}

// answer makes the answer for the host of a login that failed.
func (e *loginError) answer(what string) error {
	// A token server's answer that makes no sense may hold a token all the same;
	// the other marks begin advice for programmers.
	code, said := protocol.CodeAccessDenied, e.cause.Error()
	for _, mark := range []string{"raw message was:", ". To enable acquiring tokens", ". To troubleshoot, visit"} {
		said = before(said, mark)
	}
	if failed, ok := errors.AsType[*azidentity.AuthenticationFailedError](e.cause); ok && failed.RawResponse != nil {
		var body struct {
			Description string `json:"error_description"`
		}
		_ = json.Unmarshal(payload(failed.RawResponse), &body) // a page of some proxy has none of it
		said = status(failed.RawResponse.StatusCode) + " " + before(body.Description, "Trace ID:")
		switch {
		case failed.RawResponse.StatusCode == http.StatusTooManyRequests:
			code = protocol.CodeThrottled
		case failed.RawResponse.StatusCode == http.StatusRequestTimeout, failed.RawResponse.StatusCode == http.StatusGatewayTimeout:
			code = protocol.CodeTimeout
		case failed.RawResponse.StatusCode >= 500:
			code = protocol.CodeGeneric
		}
	}
	said = strings.TrimPrefix(strings.TrimPrefix(said, e.name+": "), "failed to acquire a token.\nAttempted credentials:\n")
	said = shorten(said)
	if code != protocol.CodeAccessDenied {
		return protocol.Errorf(code, "%s: log in by %s: %s", what, e.name, said)
	}
	return protocol.Errorf(code, "%s: log in by %s: %s: %s", what, e.name, said, e.advice)
}

// payload is the body of an answer, which has been read before.
func payload(response *http.Response) []byte {
	if response == nil {
		return nil
	}
	body, err := runtime.Payload(response)
	if err != nil {
		return nil
	}
	return body
}

// before returns the part of text in front of a mark, all of it without one.
func before(text, mark string) string {
	text, _, _ = strings.Cut(text, mark)
	return text
}

// status names an HTTP status.
func status(code int) string {
	return strings.TrimSpace(fmt.Sprintf("status %d %s", code, http.StatusText(code)))
}

// shorten makes text fit for a message that goes on after it.
func shorten(text string) string { return strings.TrimSuffix(signer.OneLine(text), ".") }
