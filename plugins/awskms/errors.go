package awskms

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/smithy-go"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// operation is one request of the plugin: what it does, followed by "key", and
// the permission that it takes.
type operation struct{ what, permission string }

var (
	getPublicKey = operation{"read the public key of", "kms:GetPublicKey"}
	sign         = operation{"sign with", "kms:Sign"}
)

// meaning is what an error code of AWS says to a host and a user.
type meaning struct {
	code protocol.ErrorCode
	// advice follows what the service said.
	advice string
	// quiet leaves out what the service said: it repeats the request's headers,
	// a session token among them.
	quiet bool
}

const (
	wrongCredentials   = "the credentials are wrong, or were withdrawn: check AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
	expiredCredentials = "the credentials have expired: log in again, or get new ones"
	wrongSignature     = "the request's signature was refused: check the secret access key, the region, and the clock of this machine"
	tryAgain           = "AWS asks to try again later"
)

// meanings holds the error codes that mean more than that something failed (KMS
// API reference, errors of GetPublicKey and Sign, and common errors). Those
// that limit requests are in retry.DefaultThrottleErrorCodes.
var meanings = map[string]meaning{
	"AccessDeniedException": {code: protocol.CodeAccessDenied},
	"AccessDenied":          {code: protocol.CodeAccessDenied},

	"UnrecognizedClientException": {code: protocol.CodeAccessDenied, advice: wrongCredentials},
	"InvalidClientTokenId":        {code: protocol.CodeAccessDenied, advice: wrongCredentials},
	"MissingAuthenticationToken":  {code: protocol.CodeAccessDenied, advice: wrongCredentials},
	"OptInRequired":               {code: protocol.CodeAccessDenied, advice: "the account has no access to KMS in this region"},
	"ExpiredTokenException":       {code: protocol.CodeAccessDenied, advice: expiredCredentials},
	"ExpiredToken":                {code: protocol.CodeAccessDenied, advice: expiredCredentials},
	"InvalidIdentityToken":        {code: protocol.CodeAccessDenied, advice: "the web identity token is not accepted: check AWS_WEB_IDENTITY_TOKEN_FILE and the identity provider's settings"},
	"IDPRejectedClaim":            {code: protocol.CodeAccessDenied, advice: "the identity provider refused the web identity token"},
	"InvalidSignatureException":   {code: protocol.CodeAccessDenied, advice: wrongSignature, quiet: true},
	"SignatureDoesNotMatch":       {code: protocol.CodeAccessDenied, advice: wrongSignature, quiet: true},
	"IncompleteSignature":         {code: protocol.CodeAccessDenied, advice: wrongSignature, quiet: true},
	"RequestExpired":              {code: protocol.CodeAccessDenied, advice: "check the clock of this machine"},

	"NotFoundException":             {code: protocol.CodeValidation, advice: "check the key id and the region"},
	"DisabledException":             {code: protocol.CodeValidation, advice: "enable the key, or name another one"},
	"KMSInvalidStateException":      {code: protocol.CodeValidation, advice: "the key is in a state in which it cannot be used"},
	"InvalidKeyUsageException":      {code: protocol.CodeValidation, advice: "the key was not made to sign with this algorithm"},
	"UnsupportedOperationException": {code: protocol.CodeValidation, advice: "it is not an asymmetric key: make one with --key-usage SIGN_VERIFY"},
	"InvalidArnException":           {code: protocol.CodeValidation, advice: "check the key's ARN and the region"},
	"ValidationException":           {code: protocol.CodeValidation},
	"ValidationError":               {code: protocol.CodeValidation},

	"KeyUnavailableException":     {code: protocol.CodeThrottled, advice: tryAgain},
	"ServiceUnavailableException": {code: protocol.CodeThrottled, advice: tryAgain},
	"ServiceUnavailable":          {code: protocol.CodeThrottled, advice: tryAgain},
	"DependencyTimeoutException":  {code: protocol.CodeTimeout},
	"RequestTimeout":              {code: protocol.CodeTimeout},
}

// meaningOf finds what an error code means, or else the status of its answer.
func meaningOf(code string, status int) meaning {
	if m, ok := meanings[code]; ok {
		return m
	}
	if _, ok := retry.DefaultThrottleErrorCodes[code]; ok {
		return meaning{code: protocol.CodeThrottled}
	}
	switch status {
	case 0: // from a source of credentials on this machine
		return meaning{code: protocol.CodeAccessDenied}
	case http.StatusUnauthorized, http.StatusForbidden:
		return meaning{code: protocol.CodeAccessDenied}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return meaning{code: protocol.CodeThrottled, advice: tryAgain}
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return meaning{code: protocol.CodeTimeout}
	}
	return meaning{code: protocol.CodeGeneric}
}

// failure makes the answer for the host of a failed request, and has the
// credentials looked for anew if they are the reason.
func (k *key) failure(ctx context.Context, op operation, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	failure := k.service.failure(op, k.id, err)
	if failure.Code == protocol.CodeAccessDenied {
		k.denied()
	}
	return failure
}

func (s *service) failure(op operation, keyID string, err error) *protocol.Error {
	prefix := fmt.Sprintf("%s key %s in %s", op.what, keyID, s.place)
	source, ofCredentials := errors.AsType[*credentialsError](err)
	if ofCredentials {
		prefix, err = prefix+": get credentials", source.cause
	}
	status := 0
	if answer, ok := errors.AsType[statusError](err); ok {
		status = answer.HTTPStatusCode()
	}
	const noCode = "UnknownError" // is what the SDK says when an answer has none
	if answer, ok := errors.AsType[smithy.APIError](err); ok && answer.ErrorCode() != "" && answer.ErrorCode() != noCode {
		return answered(prefix, op, ofCredentials, answer, status)
	}
	noRole := ofCredentials && status == http.StatusNotFound // attached to the instance
	if status != 0 && !noRole {
		return protocol.Errorf(meaningOf("", status).code, "%s: the answer is not one of AWS: status %d %s", prefix, status, http.StatusText(status))
	}
	return s.unanswered(prefix, ofCredentials, err)
}

// statusError is an error that came with an HTTP status.
type statusError interface {
	error
	HTTPStatusCode() int
}

// answered is the failure of a request that AWS refused.
func answered(prefix string, op operation, ofCredentials bool, answer smithy.APIError, status int) *protocol.Error {
	m := meaningOf(answer.ErrorCode(), status)
	text := fmt.Sprintf("%s: %s", prefix, signer.OneLine(answer.ErrorCode()))
	if said := strings.TrimRight(answer.ErrorMessage(), ". \n"); said != "" && !m.quiet {
		text += ", " + signer.OneLine(said)
	}
	switch {
	case m.advice != "":
		text += ": " + m.advice
	case m.code == protocol.CodeAccessDenied && ofCredentials:
		text += ": the credentials at hand need the permission to assume the role, and the role's trust policy has to name them"
	case m.code == protocol.CodeAccessDenied:
		text += ": the permission " + op.permission + " is missing, from an IAM policy or the key policy"
	}
	return protocol.Errorf(m.code, "%s", text)
}

// unanswered is the failure of a request that got no answer, or was not sent.
func (s *service) unanswered(prefix string, ofCredentials bool, err error) *protocol.Error {
	timeout, ok := errors.AsType[net.Error](err)
	if errors.Is(err, context.DeadlineExceeded) || (ok && timeout.Timeout()) {
		return protocol.Errorf(protocol.CodeTimeout, "%s: no answer within %s", prefix, s.timeout)
	}
	cause := err
	if request, ok := errors.AsType[*url.Error](err); ok { // the rest repeats what prefix says
		cause = request.Err
	}
	text := signer.OneLine(cause.Error())
	if _, ok := errors.AsType[*processcreds.ProviderError](err); ok { // whose text has what was printed, secrets and all
		text = "the profile's credential_process failed, or printed something else"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return protocol.Errorf(protocol.CodeGeneric, "%s: %s: name the CA of the server, or of the proxy, by AWS_CA_BUNDLE", prefix, text)
	}
	if ofCredentials {
		return protocol.Errorf(protocol.CodeAccessDenied, "%s: there are none: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in with the AWS command line (%s)", prefix, text)
	}
	return protocol.Errorf(protocol.CodeGeneric, "%s: no answer: %s: check the region, the endpoint and the proxy", prefix, text)
}
