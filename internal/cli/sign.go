package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/artifact"
)

// argument wants one argument, by the text of CLI-48 when there is none.
func (a *app) argument(what, command string) cobra.PositionalArgs {
	return exactlyOne(
		fmt.Sprintf("missing %s: use `%s %s --help` to see what parameters are required", what, a.name, command),
		fmt.Sprintf("%s takes one %s", command, what),
	)
}

func (a *app) signCommand() *cobra.Command {
	var forceTag, layout bool
	cmd := &cobra.Command{
		Use:   "sign [flags] <reference>",
		Short: "Sign artifacts",
		Long: `Sign artifacts

A key must be chosen: one of the key list (see "key add") by --key or as the
default, or a plugin's by --plugin and --id.`,
		Example: a.examples(
			"Sign an artifact with the default key", "sign registry.example.com/app@sha256:<digest>",
			"Sign with a key of the key list, in a COSE envelope", "sign --key build --signature-format cose registry.example.com/app@sha256:<digest>",
			"Sign with a key that only a plugin can reach", "sign --plugin awskms --id alias/build registry.example.com/app@sha256:<digest>",
			"Sign an artifact in an OCI layout on disk, for one day", "sign --oci-layout --expiry 24h ./layout@sha256:<digest>",
			"Sign with a timestamp countersignature", "sign --timestamp-url http://tsa.example.com --timestamp-root-cert tsa.crt registry.example.com/app@sha256:<digest>",
		),
		Args: a.argument("reference to the artifact", "sign"),
	}
	registry, signing := a.registryFlags(cmd), a.signerFlags(cmd)
	a.debugFlag(cmd)
	cmd.Flags().BoolVar(&forceTag, "force-referrers-tag", false, "force to store signatures using the referrers tag schema")
	cmd.Flags().BoolVar(&layout, "oci-layout", false, "sign the artifact stored as OCI image layout")
	cmd.MarkFlagsMutuallyExclusive("oci-layout", "force-referrers-tag")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		signer, err := a.signer(ctx, signing, cmd.Flags().Changed, host.TargetArtifact)
		if err != nil {
			return err
		}
		t, err := a.open(ctx, registry, args[0], layout, artifact.OpenOptions{ForceReferrersTag: forceTag})
		if err != nil {
			return err
		}
		a.warnTag("sign", t)
		signed, err := signer.SignArtifact(ctx, t.repo, t.reference)
		if err != nil {
			return err
		}
		a.printf("Successfully signed %s@%s\n", t.name, signed.Artifact.Digest)
		a.printf("Pushed the signature to %s@%s\n", t.name, signed.Manifest.Digest)
		return nil
	}
	return cmd
}

// examples renders pairs of description and command line for help.
func (a *app) examples(pairs ...string) string {
	text := ""
	for i := 0; i+1 < len(pairs); i += 2 {
		if i > 0 {
			text += "\n\n"
		}
		text += "  # " + pairs[i] + "\n  " + a.name + " " + pairs[i+1]
	}
	return text
}

func (a *app) verifyCommand() *cobra.Command {
	var (
		layout                 bool
		scope                  string
		maxSignatures          int
		pluginConfig, metadata []string
	)
	cmd := &cobra.Command{
		Use:   "verify [flags] <reference>",
		Short: "Verify artifacts",
		Long: `Verify artifacts

Needs a trust policy (see "policy import") and the certificates it refers to in
trust stores (see "cert add"). One signature that passes is enough.`,
		Example: a.examples(
			"Verify the signatures of an artifact", "verify registry.example.com/app@sha256:<digest>",
			"Require that the signer put a pair into the signature", "verify --user-metadata build=42 registry.example.com/app@sha256:<digest>",
			"Verify an artifact in an OCI layout by the policy for a scope", "verify --oci-layout --scope local/app ./layout@sha256:<digest>",
		),
		Args: a.argument("reference to the artifact", "verify"),
	}
	registry := a.registryFlags(cmd)
	a.debugFlag(cmd)
	flags := cmd.Flags()
	flags.StringArrayVar(&pluginConfig, "plugin-config", nil, "{key}={value} pairs that are passed as it is to a plugin, refer plugin's documentation to set appropriate values")
	flags.StringArrayVarP(&metadata, "user-metadata", "m", nil, "user defined {key}={value} pairs that must be present in the signature for successful verification if provided")
	flags.IntVar(&maxSignatures, "max-signatures", host.DefaultMaxSignatures, "maximum number of signatures to evaluate or examine")
	flags.BoolVar(&layout, "oci-layout", false, "verify the artifact stored as OCI image layout")
	flags.StringVar(&scope, "scope", "", "set trust policy scope for artifact verification, required and can only be used when flag \"--oci-layout\" is set")
	cmd.MarkFlagsRequiredTogether("oci-layout", "scope")
	report := a.reportFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkOutput(report.output, "text", "json"); err != nil {
			return err
		}
		if maxSignatures <= 0 {
			return fmt.Errorf("max-signatures value %d must be a positive number", maxSignatures)
		}
		configuration, err := keyValues("plugin-config", pluginConfig)
		if err != nil {
			return err
		}
		required, err := keyValues("user-metadata", metadata)
		if err != nil {
			return err
		}
		t, err := a.open(cmd.Context(), registry, args[0], layout, artifact.OpenOptions{})
		if err != nil {
			return err
		}
		if scope == "" {
			scope = t.name
		}
		verifier, err := a.verifier()
		if err != nil {
			return err
		}
		outcome, err := verifier.VerifyArtifact(cmd.Context(), &warningRepository{Repository: t.repo, warn: func() { a.warnTag("verify", t) }}, host.ArtifactRequest{
			Reference: t.reference, Name: t.name, Scope: scope,
			MaxSignatures: maxSignatures, UserMetadata: required, PluginConfig: configuration,
		})
		return a.report(report, outcome, err)
	}
	return cmd
}
