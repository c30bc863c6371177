package revocation

import (
	"fmt"
	"time"

	"github.com/signet-project/signet/host/pki"
)

// StatusError names a certificate that is revoked or whose status is unknown.
// It unwraps to the errors of the attempts to find out.
type StatusError struct {
	Purpose pki.Purpose
	// Index is the certificate's place in the chain, the leaf being 0. Of several
	// it is the one nearest to the leaf.
	Index int
	// Subject is the certificate's subject for display.
	Subject string
	// Result is ResultRevoked or ResultUnknown.
	Result Result
	// Attempts lists who was asked, in order.
	Attempts []Attempt
}

// Error names the certificate in the words that scripts look for.
func (e *StatusError) Error() string {
	kind := "signing"
	if e.Purpose == pki.Timestamping {
		kind = "timestamping"
	}
	if e.Result == ResultRevoked {
		return fmt.Sprintf("%s certificate with subject %q is revoked", kind, e.Subject)
	}
	return fmt.Sprintf("%s certificate with subject %q revocation status is unknown", kind, e.Subject)
}

// Unwrap returns the errors of the attempts, each with its method and URL.
func (e *StatusError) Unwrap() []error {
	var causes []error
	for _, attempt := range e.Attempts {
		if attempt.Err != nil {
			causes = append(causes, fmt.Errorf("%s %q: %w", attempt.Method, attempt.URL, attempt.Err))
		}
	}
	return causes
}

// ChainError says that revocation was not checked because the chain itself
// breaks a rule.
type ChainError struct{ Err error }

// Error says which rule does not hold.
func (e *ChainError) Error() string { return "revocation not checked: " + e.Err.Error() }

// Unwrap returns the rule that does not hold.
func (e *ChainError) Unwrap() error { return e.Err }

// Problem says what is wrong with an answer, or with the asking.
type Problem string

// The problems.
const (
	ProblemURL         Problem = "url"         // not an http URL; nobody was asked
	ProblemUnreachable Problem = "unreachable" // no answer, or it broke off
	ProblemTimeout     Problem = "timeout"     // no complete answer in time
	ProblemStatus      Problem = "status"      // an HTTP or OCSP error status
	ProblemSize        Problem = "size"        // larger than is read
	ProblemMalformed   Problem = "malformed"   // not DER of the right form
	ProblemSignature   Problem = "signature"   // not signed by whom it should be
	ProblemMismatch    Problem = "mismatch"    // about another certificate or issuer
	ProblemTime        Problem = "time"        // expired, or from the future
	ProblemResponder   Problem = "responder"   // the OCSP responder's certificate is revoked or unknown
	ProblemUnknown     Problem = "unknown"     // the responder does not know the certificate
	ProblemCritical    Problem = "critical"    // a critical extension that is not understood
	ProblemScope       Problem = "scope"       // a CRL for other certificates or too few reasons
	ProblemDelta       Problem = "delta"       // the delta CRL is missing or does not fit
	ProblemAlgorithm   Problem = "algorithm"   // SHA-1, which OCSP requests need, is not available
	ProblemLimit       Problem = "limit"       // the certificate names too many servers
)

// Error says why one server's answer could not be used.
type Error struct {
	Problem Problem
	// Err has the detail.
	Err error
}

// Error returns the detail.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the detail's error.
func (e *Error) Unwrap() error { return e.Err }

func problem(p Problem, format string, args ...any) error {
	return &Error{Problem: p, Err: fmt.Errorf(format, args...)}
}

func showTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }
