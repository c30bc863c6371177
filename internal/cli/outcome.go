package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/trust"
)

// reportFlags say how the result of a verification is shown.
type reportFlags struct {
	output  string
	verbose bool
}

func (a *app) reportFlags(cmd *cobra.Command, formats ...string) *reportFlags {
	f := &reportFlags{}
	a.outputFlag(cmd, &f.output, formats...)
	cmd.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "verbose mode: show every signature considered and every check")
	return f
}

// report shows the result of a verification, err being its error, and returns
// the error to end with. A nil outcome means that it did not begin.
func (a *app) report(f *reportFlags, outcome *host.Outcome, err error) error {
	if err != nil && (a.isInterrupted() || host.Interrupted(outcome, err)) {
		return errInterrupted // which is no verdict
	}
	if err != nil {
		err = a.verifyError(outcome, err)
	}
	if err != nil && isRejection(outcome, err) {
		err = &rejected{err}
	}
	switch {
	case outcome == nil:
		return err
	case f.output == "json":
		a.warnLogged(outcome)
		if jsonErr := a.json(viewOutcome(outcome, err)); jsonErr != nil {
			return jsonErr
		}
		return err
	case f.verbose:
		view := viewOutcome(outcome, err)
		view.tree().print(a.Stdout)
	}
	if err != nil {
		a.reportFailures(outcome)
		return err
	}
	a.reportSuccess(outcome)
	return nil
}

// reportFailures says for each signature why it does not count (VER-24), unless the
// fault is a trust store's, which is told once and alone (TS-08).
func (a *app) reportFailures(outcome *host.Outcome) {
	for _, signature := range outcome.Signatures {
		if signature.Err != nil && signature.Digest != "" && storeFault(signature.Err) == nil {
			a.eprintln(fmt.Sprintf("Signature %s does not count: %v", signature.Digest, signature.Err))
		}
	}
}

// reportSuccess prints the result of a verification that passed or was skipped.
func (a *app) reportSuccess(outcome *host.Outcome) {
	if outcome.Skipped {
		a.printf("Trust policy is configured to skip signature verification for %s\n", outcome.Reference)
		return
	}
	if a.warnLogged(outcome) {
		a.printf("\n")
	}
	a.printf("Successfully verified signature for %s\n", outcome.Reference)
	for _, signature := range outcome.Verified {
		metadata := signature.UserMetadata()
		if len(metadata) == 0 {
			continue
		}
		heading := "The artifact was signed with the following user metadata."
		if signature.Digest == "" {
			heading = "The signature contains the following user metadata:"
		}
		a.printf("\n%s\n\n", heading)
		a.table([]string{"KEY", "VALUE"}, pairs(metadata))
	}
}

// warnLogged warns of checks that failed where the policy only logs them
// (VER-22), and tells whether there were any.
func (a *app) warnLogged(outcome *host.Outcome) bool {
	warned := false
	for _, signature := range outcome.Verified {
		for _, warning := range signature.Warnings() {
			a.warnf("%s was set to %q and failed with error: %v", warning.Check, warning.Action, warning.Err)
			warned = true
		}
	}
	return warned
}

// verifyError words the error of a verification as VER-23 has it.
func (a *app) verifyError(outcome *host.Outcome, err error) error {
	if store := a.storeHint(outcome); store != nil {
		return store
	}
	if all, ok := errors.AsType[*host.AllFailedError](err); ok && !all.MetadataMissing {
		return err
	}
	if _, ok := errors.AsType[*host.LimitError](err); ok {
		return err
	}
	if outcome == nil && isPolicyFault(err) {
		return err
	}
	return fmt.Errorf("signature verification failed: %w", err)
}

// isPolicyFault tells, of a verification that did not begin, a policy that is missing
// or cannot be used from one that does not provide for what is to be verified. Such an
// error stands alone (TP-03).
func isPolicyFault(err error) bool {
	_, noStatement := errors.AsType[*trust.NoStatementError](err)
	_, noScope := errors.AsType[*trust.ScopeError](err)
	_, notEnforced := errors.AsType[*host.NotEnforcedError](err)
	return !noStatement && !noScope && !notEnforced
}

// storeHint returns the error of a trust store, with what to do about a missing or
// empty one, when that is what made signatures fail (TS-08).
func (a *app) storeHint(outcome *host.Outcome) error {
	if outcome == nil {
		return nil
	}
	for _, signature := range outcome.Signatures {
		switch fault := storeFault(signature.Err).(type) {
		case nil:
		case *trust.StoreError:
			return fmt.Errorf("%w. Use command '%s cert add' to create and add trusted certificates to the trust store", fault, a.name)
		default:
			return fault
		}
	}
	return nil
}

// storeFault is the error of a trust store within that of a signature, nil if it has
// none.
func storeFault(err error) error {
	if store, ok := errors.AsType[*trust.StoreError](err); ok {
		return store
	}
	if access, ok := errors.AsType[*trust.StoreAccessError](err); ok {
		return access
	}
	if file, ok := errors.AsType[*trust.CertificateFileError](err); ok {
		return file
	}
	return nil
}
