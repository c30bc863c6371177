package cli

import (
	"context"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/batch"
	"github.com/signet-project/signet/host/plugin"
)

// signFlags are the flags of sign.
type signFlags struct {
	registry         *registryFlags
	signer           *signerFlags
	bulk             *bulkFlags
	forceTag, layout bool
	output           string
}

func (a *app) signCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sign [flags] <reference>...",
		Short: "Sign artifacts",
		Long: `Sign artifacts

A key must be chosen: one of the key list (see "key add") by --key or as the
default, or a plugin's by --plugin and --id.

` + bulkHelp("sign", "signed"),
		Example: a.examples(
			"Sign an artifact with the default key", "sign registry.example.com/app@sha256:<digest>",
			"Sign with a key of the key list, in a COSE envelope", "sign --key build --signature-format cose registry.example.com/app@sha256:<digest>",
			"Sign with a key that only a plugin can reach", "sign --plugin awskms --id alias/build registry.example.com/app@sha256:<digest>",
			"Sign an artifact in an OCI layout on disk, for one day", "sign --oci-layout --expiry 24h ./layout@sha256:<digest>",
			"Sign with a timestamp countersignature", "sign --timestamp-url http://tsa.example.com --timestamp-root-cert tsa.crt registry.example.com/app@sha256:<digest>",
			"Sign an image for several platforms: its index and each manifest in it", "sign --recursive registry.example.com/app@sha256:<digest>",
			"Sign the artifacts listed in a file, and go on from there when interrupted", "sign --from-file references.txt --resume signed.jsonl",
		),
		Args: a.references("sign"),
	}
	f := &signFlags{registry: a.registryFlags(cmd), signer: a.signerFlags(cmd), bulk: a.bulkFlags(cmd, "sign", 8)}
	a.debugFlag(cmd)
	cmd.Flags().BoolVar(&f.forceTag, "force-referrers-tag", false, "force to store signatures using the referrers tag schema")
	cmd.Flags().BoolVar(&f.layout, "oci-layout", false, "sign the artifact stored as OCI image layout")
	a.outputFlag(cmd, &f.output, "text", "json", "jsonl")
	cmd.MarkFlagsMutuallyExclusive("oci-layout", "force-referrers-tag")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkOutput(f.output, "text", "json", "jsonl"); err != nil {
			return err
		}
		many, signatures := f.bulk.wanted(cmd, args, f.output), 1
		if many {
			var err error
			if args, err = a.prepare(cmd.Context(), f.bulk, f.output, args); err != nil {
				return err
			}
			signatures = len(args)
			if f.bulk.recursive {
				signatures = max(signatures, plugin.SessionWorth)
			}
		}
		signer, end, err := a.signer(cmd.Context(), f.signer, cmd.Flags().Changed, host.KindArtifact, signatures)
		if err != nil {
			return err
		}
		defer end()
		if many {
			return a.signMany(cmd.Context(), f, signer, args)
		}
		return a.signOne(cmd.Context(), f, signer, args[0])
	}
	return cmd
}

// signOne signs one artifact.
func (a *app) signOne(ctx context.Context, f *signFlags, signer *host.Signer, reference string) error {
	place, err := a.open(ctx, f.registry, reference, f.layout, artifact.OpenOptions{ForceReferrersTag: f.forceTag})
	if err != nil {
		return err
	}
	repository := &warningRepository{Repository: place.Repository, warn: func() { a.warnTag("sign", place) }}
	signed, err := signer.SignArtifact(ctx, repository, place.Reference)
	if err != nil {
		return err
	}
	if f.output == "json" {
		return a.json(&signView{
			Reference: place.Name + "@" + signed.Artifact.Digest.String(), Artifact: plainDescriptor(signed.Artifact), Signature: signed.Manifest.Digest.String(),
		})
	}
	a.printf("%s", signedText(place.Name, signed))
	return nil
}

// signView is the JSON of a new signature (spec/schemas/sign.json).
type signView struct {
	Reference string              `json:"reference"`
	Artifact  *ocispec.Descriptor `json:"artifact"`
	Signature string              `json:"signature"`
}

// signedText says what was signed (CLI-06).
func signedText(name string, signed *host.Signed) string {
	return fmt.Sprintf("Successfully signed %s@%s\nPushed the signature to %s@%s\n", name, signed.Artifact.Digest, name, signed.Manifest.Digest)
}

// signMany signs all that is listed.
func (a *app) signMany(ctx context.Context, f *signFlags, signer *host.Signer, references []string) error {
	directory, err := layoutDirectory(f.layout)
	if err != nil {
		return err
	}
	settings := []string{"sign", f.signer.format, f.signer.expiry.String(), f.signer.timestampURL, directory, fmt.Sprintf("%q", pairs(signer.UserMetadata))}
	basis := batch.NewBasis(append(settings, f.signer.chosen...)...)
	return a.runBulk(ctx, f.bulk, &bulkJob{
		verb: "sign", done: "Signed", references: references, output: f.output, basis: basis.String(),
		opener: a.opener(f.registry, f.layout, artifact.OpenOptions{ForceReferrersTag: f.forceTag}),
		start:  signer.SignBatch,
		view: func(result *host.BatchResult) *bulkView {
			view := newBulkView(result)
			if signed := result.Signed; signed != nil {
				view.line.Result, view.line.Signature = "signed", signed.Manifest.Digest.String()
				view.line.Artifact = plainDescriptor(signed.Artifact)
				view.text.stdout = signedText(result.Place.Name, signed)
			}
			return view
		},
	})
}
