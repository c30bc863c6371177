package host

import (
	"errors"
	"fmt"
	"strings"

	"github.com/signet-project/signet/host/plugin"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/protocol"
)

// NoSignatureError says that an artifact has no signature at all (VER-09).
type NoSignatureError struct {
	// Reference is the artifact's name with its digest.
	Reference string
}

// Error names the artifact and asks whether it was signed at all.
func (e *NoSignatureError) Error() string {
	return fmt.Sprintf("no signature is associated with %q, make sure the artifact was signed successfully", e.Reference)
}

// AllFailedError says that none of an artifact's signatures passed (VER-23);
// the outcome has the reason for each.
type AllFailedError struct {
	// Reference is the artifact's name with its digest.
	Reference string
	// MetadataMissing is true when signatures passed every check but none of those
	// carried the user metadata asked for (CLI-17).
	MetadataMissing bool
}

// Error names the artifact, or says that the metadata asked for was nowhere found.
// What failed is in the outcome alone.
func (e *AllFailedError) Error() string {
	if e.MetadataMissing {
		return "unable to find specified metadata in any signatures"
	}
	return fmt.Sprintf("signature verification failed for all the signatures associated with %s", e.Reference)
}

// LimitError says that the bound on signatures was reached before one passed (VER-07).
type LimitError struct {
	Max int
}

// Error names the limit.
func (e *LimitError) Error() string {
	return fmt.Sprintf("signature evaluation stopped. The configured limit of %d signatures to verify per artifact exceeded", e.Max)
}

// ThresholdError says that fewer signatures by different signers passed than the
// trust policy statement demands.
type ThresholdError struct {
	// Reference is the artifact's or file's name.
	Reference string
	Threshold trust.Threshold
	// Found is how many signatures by different signers passed.
	Found int
}

// Error says how many signers were found, how many are demanded, and in what they
// have to differ.
func (e *ThresholdError) Error() string {
	apart := "identities and keys"
	if e.Threshold.Distinct == trust.DistinctRoot {
		apart = "identities, keys and trusted roots"
	}
	return fmt.Sprintf("%s has valid signatures by %d different signers where the trust policy demands %d with different %s", e.Reference, e.Found, e.Threshold.Signatures, apart)
}

// NotEnforcedError says that a trust policy statement is too lax for what was to
// be done.
type NotEnforcedError struct {
	// Statement and Level are the names of the statement and of its level.
	Statement, Level string
	// Check would have to be enforced; Action is what the level does with it.
	Check  trust.Check
	Action trust.Action
}

// Error names the statement, its level and the check that has to be enforced.
func (e *NotEnforcedError) Error() string {
	does := "only logs"
	if e.Action == trust.ActionSkip {
		does = "skips"
	}
	return fmt.Sprintf("the trust policy statement %q (level %s) %s the check of %s, which has to be enforced here: give the artifact a statement of level strict or permissive", e.Statement, e.Level, does, e.Check)
}

// ErrUserMetadata says that user metadata asked for is not among a signature's
// annotations (VER-21). It fails the signature at every level.
var ErrUserMetadata = errors.New("unable to find specified metadata in the signature")

// ErrPluginTimestamps says that a plugin which makes whole envelopes cannot sign for a
// Signer with a Timestamper (TSA-18). It comes in a [*PluginSignError].
var ErrPluginTimestamps = errors.New("the plugin makes whole envelopes and has to timestamp them itself: configure the plugin")

// PluginSignError is the failure of a plugin to sign (PLG-11).
type PluginSignError struct {
	Plugin string
	// Err is the plugin's answer or what was wrong with it.
	Err error
}

// Error names the plugin and shows its own words, with its error code.
func (e *PluginSignError) Error() string {
	return fmt.Sprintf("failed to sign with the plugin %s: %s", e.Plugin, shown(e.Err))
}

// Unwrap returns the plugin's answer or what was wrong with it.
func (e *PluginSignError) Unwrap() error { return e.Err }

// PluginVerifyError is the failure of a plugin to verify (PLG-11, PLG-40..51).
// It fails the signature at every level.
type PluginVerifyError struct {
	Plugin string
	// Err is the plugin's answer or what was wrong with it.
	Err error
}

// Error names the plugin and shows its own words, with its error code.
func (e *PluginVerifyError) Error() string {
	return fmt.Sprintf("failed to verify with plugin %s: %s", e.Plugin, shown(e.Err))
}

// Unwrap returns the plugin's answer or what was wrong with it.
func (e *PluginVerifyError) Unwrap() error { return e.Err }

// PluginLocateError says that a plugin needed to verify is not there, or may not be
// run. It fails the signature at every level.
type PluginLocateError struct {
	Plugin string
	Err    error
}

// Error names the plugin and says why it may not or cannot be run.
func (e *PluginLocateError) Error() string {
	return fmt.Sprintf("error while locating the verification plugin %q, make sure the plugin is installed successfully before verifying the signature. error: %v", e.Plugin, e.Err)
}

// Unwrap returns why.
func (e *PluginLocateError) Unwrap() error { return e.Err }

// CriticalAttributesError says that a signature carries critical attributes
// that neither the host nor a plugin has processed (VER-26).
type CriticalAttributesError struct {
	Names []string
}

// Error quotes the first eight attributes, each cut to 200 bytes, and counts the rest.
func (e *CriticalAttributesError) Error() string {
	const most = 8
	names := make([]string, min(len(e.Names), most))
	for i := range names {
		names[i] = brief(e.Names[i])
	}
	more := ""
	if left := len(e.Names) - len(names); left > 0 {
		more = fmt.Sprintf(" and %d more", left)
	}
	return fmt.Sprintf("the signature has critical attributes that nothing here can process: %q%s", names, more)
}

// brief cuts what a signature says to a length that is fit for a message. Whoever
// quotes it has to take care of characters that do not show.
func brief(text string) string {
	const most = 200 // bytes
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// shown is the text of an error for a line that already names the plugin: a
// contract error with its code, anything else as it is.
func shown(err error) string {
	if call, ok := errors.AsType[*protocol.CallError](err); ok {
		return fmt.Sprintf("%s: %s", call.Command, call.Err)
	}
	return err.Error()
}

// PluginVersionError says that a plugin to be published could not be asked for its
// version, and that none was given.
type PluginVersionError struct {
	// Platform is this one, which no build is for.
	Platform plugin.Platform
}

// Error names the platform that no build is for.
func (e *PluginVersionError) Error() string {
	return fmt.Sprintf("no build is for %s, so the plugin cannot be asked for its version", e.Platform)
}

// is tells whether there is an error of type E in err's tree.
func is[E error](err error) bool {
	_, found := errors.AsType[E](err)
	return found
}
