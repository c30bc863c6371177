package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/trust"
)

func (a *app) policyExplainCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "explain [flags] <reference>",
		Short: "Tell which trust policy statement applies to an artifact, and what it has checked",
		Long: `Tell which trust policy statement applies to an artifact, and what it has checked

The artifact is a reference or a repository, or what is given as --scope for an
OCI layout. Nothing is fetched and nothing is run.`,
		Example: a.examples("See what is checked for a repository", "policy explain registry.example.com/app"),
		Args:    exactlyOne("missing reference to the artifact or its repository: use `"+a.name+" policy explain --help` to see what parameters are required", "one reference at a time"),
	}
	a.debugFlag(cmd)
	a.outputFlag(cmd, &output, "text", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkOutput(output, "text", "json"); err != nil {
			return err
		}
		policy, err := a.policies().OCIPolicy(cmd.Context())
		if err != nil {
			return err
		}
		scope := args[0]
		if reference, err := artifact.ParseReference(scope); err == nil {
			scope = reference.Name()
		}
		statement, err := policy.Statement(scope)
		if err != nil {
			return err
		}
		view := explain(cmd.Context(), a.stores(), scope, statement)
		if output == "json" {
			return a.json(view)
		}
		view.tree().print(a.Stdout)
		return nil
	}
	return cmd
}

// policyView is what policy explain shows (spec/schemas/policy-explain.json).
type policyView struct {
	Scope             string              `json:"scope"`
	Statement         statementView       `json:"statement"`
	Checks            []explainedCheck    `json:"checks"`
	TrustStores       []explainedStore    `json:"trustStores"`
	TrustedIdentities []string            `json:"trustedIdentities"`
	SignaturePlugins  string              `json:"signaturePlugins"`
	Threshold         *explainedThreshold `json:"threshold,omitempty"`
}

type explainedCheck struct {
	Check       string   `json:"check"`
	Action      string   `json:"action"`
	By          []string `json:"by"`
	Consequence string   `json:"consequence"`
}

type explainedStore struct {
	Store        string `json:"store"`
	Certificates int    `json:"certificates"`
	Error        string `json:"error,omitempty"`
}

type explainedThreshold struct {
	Signatures int    `json:"signatures"`
	Distinct   string `json:"distinct"`
}

// explain says what a statement has checked, by whom, and what comes of it.
func explain(ctx context.Context, stores trust.Store, scope string, statement *trust.Statement) *policyView {
	view := &policyView{
		Scope: scope, Statement: statementView{statement.Name, statement.Level.Name},
		TrustStores: []explainedStore{}, TrustedIdentities: append([]string{}, statement.TrustedIdentities...), SignaturePlugins: statement.SignaturePlugins.String(),
	}
	for _, check := range trust.Checks {
		view.Checks = append(view.Checks, explainCheck(statement, check))
	}
	for _, ref := range statement.TrustStores {
		certificates, err := stores.Certificates(ctx, ref)
		entry := explainedStore{Store: ref.String(), Certificates: len(certificates)}
		if err != nil {
			entry.Error = err.Error()
		}
		view.TrustStores = append(view.TrustStores, entry)
	}
	if t := statement.Threshold; t != nil {
		view.Threshold = &explainedThreshold{t.Signatures, string(t.Distinct)}
	}
	return view
}

func explainCheck(statement *trust.Statement, check trust.Check) explainedCheck {
	action := statement.Level.Action(check)
	explained := explainedCheck{Check: string(check), Action: string(action), By: []string{}}
	switch action {
	case trust.ActionEnforce:
		explained.Consequence = "a failure fails the signature"
	case trust.ActionLog:
		explained.Consequence = "a failure is a warning"
	default:
		explained.Consequence = "not checked"
		return explained
	}
	delegable := check == trust.CheckRevocation || check == trust.CheckAuthenticity
	switch {
	case delegable && statement.SignaturePlugins.String() != "none":
		explained.By = append(explained.By, "signet, or a plugin that the signature names")
	case check == trust.CheckAuthenticTimestamp:
		explained.By = append(explained.By, "signet, "+whenTimestamped(statement))
	default:
		explained.By = append(explained.By, "signet")
	}
	for _, plugin := range statement.VerificationPlugins {
		if slices.Contains(plugin.Checks, check) {
			explained.By = append(explained.By, strings.TrimSpace("plugin "+plugin.Name+" "+plugin.MinVersion)+" besides")
		}
	}
	return explained
}

// whenTimestamped says when a timestamp decides whether the chain was valid.
func whenTimestamped(statement *trust.Statement) string {
	stamped := slices.ContainsFunc(statement.TrustStores, func(ref trust.StoreRef) bool { return ref.Type == trust.StoreTSA })
	switch {
	case !stamped:
		return "by the clock: the certificates must be valid now"
	case statement.VerifyTimestamp == trust.TimestampAfterCertExpiry:
		return "by the timestamp once a certificate has expired, by the clock until then"
	}
	return "by the timestamp, which every signature must have"
}

// tree shows a statement as text.
func (v *policyView) tree() *node {
	root := newNode(v.Scope)
	root.pair("trust policy statement", fmt.Sprintf("%s (%s)", v.Statement.Name, v.Statement.Level))
	checks := root.add("checks")
	for _, check := range v.Checks {
		entry := checks.pair(check.Check, check.Action+", "+check.Consequence)
		for _, by := range check.By {
			entry.pair("by", by)
		}
	}
	stores := root.add("trust stores")
	for _, store := range v.TrustStores {
		text := plural(store.Certificates, "certificate")
		if store.Error != "" {
			text = store.Error
		}
		stores.pair(store.Store, text)
	}
	identities := root.add("trusted identities")
	for _, identity := range v.TrustedIdentities {
		identities.add(identity)
	}
	root.pair("plugins that a signature may call for", v.SignaturePlugins)
	if v.Threshold != nil {
		root.pair("threshold", fmt.Sprintf("%d signatures, distinct by %s", v.Threshold.Signatures, v.Threshold.Distinct))
	}
	return root
}
