package protocol

import (
	"fmt"

	"github.com/signet-project/signet/protocol/oneline"
)

// ErrorCode classifies a plugin's failure for the host.
type ErrorCode string

// The error codes of contract 1.0. A host treats any other as CodeGeneric.
const (
	// CodeValidation: a request field is empty or malformed, or names a key,
	// payload type or envelope type the plugin does not have.
	CodeValidation ErrorCode = "VALIDATION_ERROR"
	// CodeUnsupportedContract: the request's contract version is not spoken.
	CodeUnsupportedContract ErrorCode = "UNSUPPORTED_CONTRACT_VERSION"
	// CodeAccessDenied: no right to use the key or a service called.
	CodeAccessDenied ErrorCode = "ACCESS_DENIED"
	// CodeTimeout: the operation took too long; the host may retry.
	CodeTimeout ErrorCode = "TIMEOUT"
	// CodeThrottled: the backend is limiting requests; the host may retry.
	CodeThrottled ErrorCode = "THROTTLED"
	// CodeGeneric: everything else.
	CodeGeneric ErrorCode = "ERROR"
)

// Known tells whether c is one of the codes of contract 1.0.
func (c ErrorCode) Known() bool {
	switch c {
	case CodeValidation, CodeUnsupportedContract, CodeAccessDenied, CodeTimeout, CodeThrottled, CodeGeneric:
		return true
	}
	return false
}

// Retryable tells whether the contract lets a host send the same request again.
func (c ErrorCode) Retryable() bool { return c == CodeTimeout || c == CodeThrottled }

// Error is the failure a plugin answers with, as its JSON crosses the process
// boundary. A cause wrapped on the plugin's side does not cross: what the host
// shall know has to be in Message or Metadata.
type Error struct {
	Code     ErrorCode         `json:"errorCode"`
	Message  string            `json:"errorMessage,omitempty"`
	Metadata map[string]string `json:"errorMetadata,omitempty"`

	cause error
}

// Errorf makes an Error whose message is formatted like fmt.Errorf's; an error
// given for %w becomes its cause.
func Errorf(code ErrorCode, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	e := &Error{Code: code, Message: err.Error()}
	if u, ok := err.(interface{ Unwrap() error }); ok {
		e.cause = u.Unwrap()
	}
	return e
}

// Error returns "CODE: message", or the code alone, on one line that is fit for a
// terminal: a plugin may have put anything into its message.
func (e *Error) Error() string {
	if e.Message == "" {
		return string(e.Code)
	}
	return string(e.Code) + ": " + oneline.Of(e.Message, 2048)
}

// Unwrap returns the cause on the plugin's side, if any.
func (e *Error) Unwrap() error { return e.cause }
