package cli

import (
	"cmp"
	"context"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/trust"
)

// verifyFlags are the flags of verify.
type verifyFlags struct {
	registry      *registryFlags
	report        *reportFlags
	bulk          *bulkFlags
	layout        bool
	scope         string
	maxSignatures int
	// pluginConfig and metadata are as given, configuration and required as read.
	pluginConfig, metadata  []string
	configuration, required map[string]string
}

func (a *app) verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify [flags] <reference>...",
		Short: "Verify artifacts",
		Long: `Verify artifacts

Needs a trust policy (see "policy init") and the certificates it refers to in
trust stores (see "cert add"). One signature that passes is enough, unless the
policy has a threshold.

` + bulkHelp("verify", "verified"),
		Example: a.examples(
			"Verify the signatures of an artifact", "verify registry.example.com/app@sha256:<digest>",
			"Require that the signer put a pair into the signature", "verify --user-metadata build=42 registry.example.com/app@sha256:<digest>",
			"Verify an artifact in an OCI layout by the policy for a scope", "verify --oci-layout --scope local/app ./layout@sha256:<digest>",
			"Verify an image for several platforms: its index and each manifest in it", "verify --recursive registry.example.com/app@sha256:<digest>",
			"Verify the artifacts listed in a file, with one JSON line for each", "verify --from-file references.txt --output jsonl",
			"Verify a quarter of them, and go on from there when interrupted", "verify --from-file references.txt --shard 0/4 --resume results-0.jsonl",
		),
		Args: a.references("verify"),
	}
	f := &verifyFlags{registry: a.registryFlags(cmd), bulk: a.bulkFlags(cmd, "verify", 16)}
	a.debugFlag(cmd)
	flags := cmd.Flags()
	pluginConfigFlag(cmd, &f.pluginConfig)
	flags.StringArrayVarP(&f.metadata, "user-metadata", "m", nil, "user defined {key}={value} pairs that must be present in the signature for successful verification if provided")
	maxSignaturesFlag(cmd, &f.maxSignatures)
	flags.BoolVar(&f.layout, "oci-layout", false, "verify the artifact stored as OCI image layout")
	flags.StringVar(&f.scope, "scope", "", "set trust policy scope for artifact verification, required and can only be used when flag \"--oci-layout\" is set")
	cmd.MarkFlagsRequiredTogether("oci-layout", "scope")
	f.report = a.reportFlags(cmd, "text", "json", "jsonl")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.check(); err != nil {
			return err
		}
		if f.bulk.wanted(cmd, args, f.report.output) {
			references, err := a.prepare(cmd.Context(), f.bulk, f.report.output, args)
			if err != nil {
				return err
			}
			return a.verifyMany(cmd.Context(), f, references)
		}
		return a.verifyOne(cmd.Context(), f, args[0])
	}
	return cmd
}

// check reads the flags' values.
func (f *verifyFlags) check() (err error) {
	if err := checkOutput(f.report.output, "text", "json", "jsonl"); err != nil {
		return err
	}
	if f.maxSignatures <= 0 {
		return fmt.Errorf("max-signatures value %d must be a positive number", f.maxSignatures)
	}
	if f.configuration, err = keyValues("plugin-config", f.pluginConfig); err != nil {
		return err
	}
	f.required, err = keyValues("user-metadata", f.metadata)
	return err
}

// request says what to verify at a place.
func (f *verifyFlags) request(place *host.Place) host.ArtifactRequest {
	return host.ArtifactRequest{
		Reference: place.Reference, Name: place.Name, Scope: cmp.Or(f.scope, place.Name),
		MaxSignatures: f.maxSignatures, UserMetadata: f.required, PluginConfig: f.configuration,
	}
}

// verifySettings are what results rest on besides policy and trust stores.
func (a *app) verifySettings(f *verifyFlags) ([]string, error) {
	directory, err := layoutDirectory(f.layout)
	if err != nil {
		return nil, err
	}
	configured, err := a.settings()
	if err != nil {
		return nil, err
	}
	settings := []string{f.scope, fmt.Sprint(f.maxSignatures, configured.RequirePins), directory}
	for _, values := range []map[string]string{f.required, f.configuration} {
		settings = append(settings, fmt.Sprintf("%q", pairs(values)))
	}
	return settings, nil
}

// verifyOne verifies one artifact.
func (a *app) verifyOne(ctx context.Context, f *verifyFlags, reference string) error {
	place, err := a.open(ctx, f.registry, reference, f.layout, artifact.OpenOptions{})
	if err != nil {
		return err
	}
	verifier, err := a.verifier()
	if err != nil {
		return err
	}
	repository := &warningRepository{Repository: place.Repository, warn: func() { a.warnTag("verify", place) }}
	outcome, err := verifier.VerifyArtifact(ctx, repository, f.request(place))
	return a.report(f.report, outcome, err)
}

// verifyMany verifies all that is listed.
func (a *app) verifyMany(ctx context.Context, f *verifyFlags, references []string) error {
	verifier, err := a.verifier()
	if err != nil {
		return err
	}
	pool, end, err := a.pluginPool()
	if err != nil {
		return err
	}
	defer end()
	verifier.Plugins = pool
	settings, err := a.verifySettings(f)
	if err != nil {
		return err
	}
	basis, err := verifier.Basis(ctx, settings...)
	if err != nil {
		return a.verifyError(nil, err)
	}
	return a.runBulk(ctx, f.bulk, &bulkJob{
		verb: "verify", done: "Verified", references: references, output: f.report.output, basis: basis,
		unchanged: func() bool {
			now, err := verifier.Basis(ctx, settings...)
			return err == nil && now == basis
		},
		opener: a.opener(f.registry, f.layout, artifact.OpenOptions{}),
		start: func(ctx context.Context, b *host.Batch, report func(*host.BatchResult) error) error {
			return verifier.VerifyBatch(ctx, b, f.request, report)
		},
		view: func(result *host.BatchResult) *bulkView { return a.viewVerified(result, f.report.verbose) },
	})
}

// verifier makes the Verifier of a run.
func (a *app) verifier() (*host.Verifier, error) {
	checker, err := a.revocationChecker()
	if err != nil {
		return nil, err
	}
	plugins, err := a.plugins()
	if err != nil {
		return nil, err
	}
	return &host.Verifier{
		Policies:   trust.NewPolicyCache(a.policies(), a.Now),
		Stores:     a.stores(),
		Plugins:    plugins,
		Revocation: checker,
		Now:        a.Now,
		Logger:     a.log(),
	}, nil
}

// warningRepository calls warn once a reference has been resolved: a policy that
// skips verification never gets there.
type warningRepository struct {
	artifact.Repository
	warn func()
}

// Resolve resolves and warns.
func (r *warningRepository) Resolve(ctx context.Context, reference string) (ocispec.Descriptor, error) {
	desc, err := r.Repository.Resolve(ctx, reference)
	if err == nil {
		r.warn()
	}
	return desc, err
}
