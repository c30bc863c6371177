package host

import (
	"crypto/x509"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/revocation"
	"github.com/signet-project/signet/host/trust"
)

// Outcome tells what a verification looked at and what it found: the statement
// applied, every signature considered and every check of each.
type Outcome struct {
	// Reference is the artifact as the caller named it, with the digest it was
	// resolved to.
	Reference string
	// Artifact is the resolved descriptor; zero when verification was skipped.
	Artifact ocispec.Descriptor
	// Statement is the name of the trust policy statement applied.
	Statement string
	// Level is the statement's verification level ("custom" with overrides).
	Level string
	// Skipped is true when the statement's level is skip: nothing was fetched
	// or checked.
	Skipped bool
	// Signatures lists the signatures considered, in the order found.
	Signatures []*SignatureOutcome
	// Verified lists those of Signatures that satisfy the statement together: one,
	// or as many as its threshold asks for. It is empty when verification was
	// skipped or failed.
	Verified []*SignatureOutcome
}

// SignatureOutcome tells what was found out about one signature.
type SignatureOutcome struct {
	// Digest is the signature manifest's, or empty for a file's signature.
	Digest string
	// Envelope holds the parsed signature; nil when it could not be fetched or
	// parsed. Of one that has more than 64 KiB nothing is kept when it failed, and
	// otherwise types, algorithm, scheme, times and certificates.
	Envelope *envelope.Envelope
	// Target is the descriptor that the payload signs; zero without Envelope.
	Target ocispec.Descriptor
	// Checks lists each check once, in the order of [trust.Checks].
	Checks []CheckResult
	// Anchor is the certificate of the chain that a trust store vouches for, the
	// one nearest to the root; nil when there is none.
	Anchor *x509.Certificate
	// Identity is the entry of trustedIdentities that the leaf matches; empty
	// when it matches none or any is trusted.
	Identity string
	// Timestamp tells what the countersignature proved; nil unless it was verified.
	Timestamp *TimestampOutcome
	// Revocation tells what was found out about the signing chain; nil when the
	// host did not ask.
	Revocation *revocation.Report
	// Plugins lists the plugins called, in order.
	Plugins []PluginUse
	// Err says why the signature does not count; nil when it does.
	Err error
}

// Status is the result of one check.
type Status string

// What a check can come to.
const (
	// StatusPassed: the check was made and succeeded.
	StatusPassed Status = "passed"
	// StatusFailed: the check was made and failed; Action tells the consequence.
	StatusFailed Status = "failed"
	// StatusSkipped: the trust policy skips the check.
	StatusSkipped Status = "skipped"
	// StatusNotRun: an earlier failure, or a chain that is not anchored, kept
	// the check from being made.
	StatusNotRun Status = "not run"
)

// CheckResult is the result of one check of one signature.
type CheckResult struct {
	Check  trust.Check
	Action trust.Action
	Status Status
	// Err says why the check failed, the first reason of several; nil otherwise.
	Err error
	// Detail adds a fact worth showing: the plugin that decided, or why the
	// check was not run.
	Detail string
	// Duration is how long the check took.
	Duration time.Duration
}

// TimestampOutcome is a verified countersignature.
type TimestampOutcome struct {
	// Lower and Upper enclose the time at which the signature was there.
	Lower, Upper time.Time
	// Chain is the authority's, leaf first.
	Chain []*x509.Certificate
	// Revocation tells what was found out about Chain.
	Revocation revocation.Report
}

// PluginUse names a plugin that was called and the version it reported.
type PluginUse struct {
	Name    string
	Version string
	// Required is true when the trust policy demands the plugin, false when the
	// signature names it.
	Required bool
}

// newSignatureOutcome lists every check as not run, or as skipped where level
// skips it.
func newSignatureOutcome(digest string, level trust.Level) *SignatureOutcome {
	outcome := &SignatureOutcome{Digest: digest, Checks: make([]CheckResult, len(trust.Checks))}
	for i, check := range trust.Checks {
		action := level.Action(check)
		status := StatusNotRun
		if action == trust.ActionSkip {
			status = StatusSkipped
		}
		outcome.Checks[i] = CheckResult{Check: check, Action: action, Status: status}
	}
	return outcome
}

// Result returns the result of one check.
func (s *SignatureOutcome) Result(check trust.Check) *CheckResult {
	for i := range s.Checks {
		if s.Checks[i].Check == check {
			return &s.Checks[i]
		}
	}
	return nil
}

// Warnings lists the checks that failed where the trust policy only logs them.
func (s *SignatureOutcome) Warnings() []CheckResult {
	var warnings []CheckResult
	for _, result := range s.Checks {
		if result.Status == StatusFailed && result.Action == trust.ActionLog {
			warnings = append(warnings, result)
		}
	}
	return warnings
}

// UserMetadata returns the annotations that the signer put into the payload.
func (s *SignatureOutcome) UserMetadata() map[string]string { return s.Target.Annotations }

// run makes one check and records what came of it. It returns the error only
// where the trust policy enforces the check.
func (s *SignatureOutcome) run(check trust.Check, now func() time.Time, do func() error) error {
	result := s.Result(check)
	start := now()
	err := do()
	result.Duration += now().Sub(start)
	switch {
	case err != nil:
		if result.Status = StatusFailed; result.Err == nil {
			result.Err = err
		}
		if result.Action == trust.ActionEnforce {
			return err
		}
	case result.Status == StatusNotRun:
		result.Status = StatusPassed
	}
	return nil
}

// trim lets go of what makes an envelope large; err is why the signature does not count.
func (s *SignatureOutcome) trim(err error) {
	if err != nil {
		s.Envelope, s.Target = nil, ocispec.Descriptor{}
		return
	}
	env := s.Envelope
	s.Envelope = &envelope.Envelope{
		MediaType: env.MediaType, ContentType: env.ContentType, Algorithm: env.Algorithm, Scheme: env.Scheme,
		SigningTime: env.SigningTime, Expiry: env.Expiry, Certificates: env.Certificates,
	}
}

// leave records why a check was not made.
func (s *SignatureOutcome) leave(check trust.Check, why string) {
	if result := s.Result(check); result.Status == StatusNotRun {
		result.Detail = why
	}
}
