package artifact

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"

	"github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/signet-project/signet/protocol/oneline"
)

// What errors of this package can be matched with by [errors.Is].
var (
	// ErrNotFound says that what a reference names does not exist.
	ErrNotFound = errors.New("not found")
	// ErrNotSignature says that a manifest is not a signature manifest.
	ErrNotSignature = errors.New("not a signature manifest")
	// ErrTooLarge says that a declared size exceeds its bound; nothing was read.
	ErrTooLarge = errors.New("too large")
	// ErrContentMismatch says that content has another size or digest than its descriptor.
	ErrContentMismatch = errors.New("content does not match its descriptor")
	// ErrSubjectMismatch says that a signature manifest belongs to another artifact
	// than the one it was listed for (MAN-23).
	ErrSubjectMismatch = errors.New("its subject is not this artifact")
	// ErrPlaintextRefused says that a credential was good, but there is nowhere
	// safe to keep it (REG-14).
	ErrPlaintextRefused = errors.New("the credential could not be saved because a credentials store is required to securely store the password. See https://notaryproject.dev/docs/how-to/registry-authentication/")
)

// CandidateError says that one listed signature is unusable. Others may be fine (VER-08).
type CandidateError struct {
	// Manifest is the signature manifest's digest.
	Manifest digest.Digest
	// Err says why, and is or wraps one of this package's sentinels.
	Err error
}

// Error is the manifest's digest and the reason.
func (e *CandidateError) Error() string {
	return fmt.Sprintf("signature manifest %s: %v", e.Manifest, e.Err)
}

// Unwrap returns the reason.
func (e *CandidateError) Unwrap() error { return e.Err }

// DigestMismatchError says that a digest was asked for and another was answered (MAN-22).
type DigestMismatchError struct {
	Requested, Resolved digest.Digest
}

// Error shows both digests.
func (e *DigestMismatchError) Error() string {
	return fmt.Sprintf("user input digest %s does not match the resolved digest %s", e.Requested, e.Resolved)
}

// RegistryError is a failure of a registry, of its token server, or of the way to them.
type RegistryError struct {
	// Registry is the host, with its port, that failed.
	Registry string
	// Op says what was being done, such as "list signatures".
	Op string
	// Status is the HTTP status, or 0 when there was no answer.
	Status int
	// Message is what the registry itself said, on one line; empty if it said nothing.
	Message string
	// Err is the cause; it is [ErrNotFound] when the registry does not have it.
	Err error
}

// Error says what could not be done, who failed, and with which status and words. For
// the statuses 401 and 403 it says what to do.
func (e *RegistryError) Error() string {
	who := "the registry"
	if e.Registry != "" {
		who = "registry " + e.Registry
	}
	if _, ok := errors.AsType[*CredentialError](e.Err); ok { // it names the registry
		return fmt.Sprintf("failed to %s: %s", e.Op, transportText(e.Err))
	}
	if e.Status == 0 {
		return fmt.Sprintf("failed to %s: %s: %s", e.Op, who, transportText(e.Err))
	}
	text := fmt.Sprintf("failed to %s: %s answered with HTTP status %d %s", e.Op, who, e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		text += fmt.Sprintf(" and said %q", e.Message)
	}
	switch e.Status {
	case http.StatusUnauthorized:
		text += "; log in, or check the user name and password"
	case http.StatusForbidden:
		text += "; check that this user may do so"
	}
	return text
}

// Unwrap returns the cause.
func (e *RegistryError) Unwrap() error { return e.Err }

// PushError says that a signature could not be stored (MAN-18).
type PushError struct {
	Err error
}

// Error is the cause, after the words that scripts look for.
func (e *PushError) Error() string {
	return fmt.Sprintf("failed to push signature to registry with error: %v", e.Err)
}

// Unwrap returns the cause.
func (e *PushError) Unwrap() error { return e.Err }

// LayoutError is a failure of an OCI layout on disk.
type LayoutError struct {
	// Path is the layout's directory.
	Path string
	Err  error
}

// Error is the layout's path and the cause.
func (e *LayoutError) Error() string { return fmt.Sprintf("OCI layout %s: %v", e.Path, e.Err) }

// Unwrap returns the cause.
func (e *LayoutError) Unwrap() error { return e.Err }

// CredentialError says that the credentials for a registry could not be read. Its
// text holds no secret.
type CredentialError struct {
	// Registry is the host, with its port.
	Registry string
	// Helper is the credential helper's executable, if one was run.
	Helper string
	Err    error
}

// Error names the registry and the helper. What the credentials file says is not
// quoted.
func (e *CredentialError) Error() string {
	if e.Helper == "" {
		// The cause may quote what it could not decode.
		return fmt.Sprintf("cannot read the credentials for %s: the entry in the configuration file is malformed", e.Registry)
	}
	cause := e.Err
	if failed, ok := errors.AsType[*exec.Error](cause); ok { // it begins with the helper's name
		cause = failed.Err
	}
	return fmt.Sprintf("cannot read the credentials for %s: %s: %s", e.Registry, e.Helper, oneLine(cause.Error()))
}

// Unwrap returns the cause.
func (e *CredentialError) Unwrap() error { return e.Err }

// LoginError says that logging in to a registry failed.
type LoginError struct {
	Registry string
	Err      error
}

// Error names the registry, then the cause.
func (e *LoginError) Error() string {
	return fmt.Sprintf("failed to log in to %s: %v", e.Registry, e.Err)
}

// Unwrap returns the cause.
func (e *LoginError) Unwrap() error { return e.Err }

// LogoutError says that a credential could not be removed.
type LogoutError struct {
	Registry string
	Err      error
}

// Error names the registry, then the cause on the same line.
func (e *LogoutError) Error() string {
	return fmt.Sprintf("failed to log out of %s: %s", e.Registry, oneLine(e.Err.Error()))
}

// Unwrap returns the cause.
func (e *LogoutError) Unwrap() error { return e.Err }

// registryError makes a [*RegistryError] of whatever a request to host ended with.
func registryError(host, op string, err error) *RegistryError {
	result := &RegistryError{Registry: host, Op: op, Err: err}
	if response, ok := errors.AsType[*errcode.ErrorResponse](err); ok {
		result.Status = response.StatusCode
		result.Message = words(response.Errors)
		if response.URL != nil && response.URL.Host != "" {
			result.Registry = response.URL.Host
		}
	}
	if errors.Is(err, errdef.ErrNotFound) || result.Status == http.StatusNotFound {
		result.Status = http.StatusNotFound
		result.Err = fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if errors.Is(err, auth.ErrBasicCredentialNotFound) {
		result.Status = http.StatusUnauthorized
	}
	return result
}

// isRegistryFailure tells a registry that failed from content that is not what
// its descriptor promised.
func isRegistryFailure(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, auth.ErrBasicCredentialNotFound) {
		return true
	}
	if _, ok := errors.AsType[*errcode.ErrorResponse](err); ok {
		return true
	}
	if _, ok := errors.AsType[*CredentialError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return true
	}
	_, ok := errors.AsType[net.Error](err)
	return ok
}

// words joins what a registry said in its error response.
func words(errs errcode.Errors) string {
	var all []string
	for _, err := range errs {
		switch {
		case err.Message == "":
			all = append(all, err.Code)
		case err.Code == "":
			all = append(all, err.Message)
		default:
			all = append(all, err.Code+": "+err.Message)
		}
	}
	return oneLine(strings.Join(all, "; "))
}

// transportText is the innermost useful text of a failed request. URLs are left
// out: their queries can hold secrets.
func transportText(err error) string {
	if credential, ok := errors.AsType[*CredentialError](err); ok {
		return credential.Error()
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	if refused, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Sprintf("its certificate is not accepted (%s)", oneLine(strings.TrimPrefix(refused.Err.Error(), "x509: ")))
	}
	// Of "dial tcp ADDRESS: connect: connection refused" the system call tells nothing.
	operation, isOperation := errors.AsType[*net.OpError](err)
	call, isCall := errors.AsType[*os.SyscallError](err)
	if isOperation && operation.Op == "remote error" {
		return oneLine(operation.Error()) // net/http may put a function's name before it
	}
	if isOperation && isCall && operation.Addr != nil {
		return oneLine(fmt.Sprintf("%s %s %s: %v", operation.Op, operation.Net, operation.Addr, call.Err))
	}
	return oneLine(err.Error())
}

// oneLine makes text of others fit to be shown: one line, printable, bounded.
func oneLine(text string) string { return oneline.Of(text, 400) }
