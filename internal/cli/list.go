package cli

import (
	"context"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host/artifact"
)

func (a *app) listCommand() *cobra.Command {
	var layout bool
	var output string
	var maxSignatures int
	cmd := &cobra.Command{
		Use:     "list [flags] <reference>",
		Aliases: []string{"ls"},
		Short:   "List signatures of the signed artifact",
		Example: a.examples(
			"List the signatures of an artifact", "list registry.example.com/app@sha256:<digest>",
			"List the signatures of an artifact in an OCI layout", "list --oci-layout ./layout@sha256:<digest>",
			"List them as JSON, with size and annotations", "list --output json registry.example.com/app@sha256:<digest>",
		),
		Args: a.argument("reference to the artifact", "list"),
	}
	registry := a.registryFlags(cmd)
	a.debugFlag(cmd)
	a.outputFlag(cmd, &output, "tree", "json")
	cmd.Flags().BoolVar(&layout, "oci-layout", false, "list signatures stored in OCI image layout")
	maxSignaturesFlag(cmd, &maxSignatures)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkOutput(output, "tree", "json"); err != nil {
			return err
		}
		found, err := a.examine(cmd.Context(), "list", registry, args[0], layout, maxSignatures)
		if err != nil {
			return err
		}
		if output == "json" {
			return a.json(viewList(found))
		}
		if len(found.signatures) == 0 {
			a.printf("%s has no associated signatures\n", found.reference)
			return nil
		}
		root := newNode(found.reference)
		signatures := root.add(artifact.TypeSignature)
		for _, signature := range found.signatures {
			signatures.add(signature.Digest.String())
		}
		root.print(a.Stdout)
		found.warnLimit(a, maxSignatures)
		return nil
	}
	return cmd
}

// listView is the JSON of list (spec/schemas/list.json).
type listView struct {
	Reference  string             `json:"reference"`
	Artifact   ocispec.Descriptor `json:"artifact"`
	Signatures []listedView       `json:"signatures"`
	// LimitExceeded tells that there are more than --max-signatures.
	LimitExceeded bool `json:"limitExceeded"`
}

type listedView struct {
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

func viewList(found *signatures) *listView {
	view := &listView{
		Reference: found.reference, LimitExceeded: found.exceeded, Signatures: []listedView{},
		Artifact: *plainDescriptor(found.artifact),
	}
	for _, desc := range found.signatures {
		view.Signatures = append(view.Signatures, listedView{desc.Digest.String(), desc.Size, desc.Annotations})
	}
	return view
}

// signatures is what was found beside an artifact.
type signatures struct {
	repo       artifact.Repository
	reference  string // with the digest
	artifact   ocispec.Descriptor
	signatures []ocispec.Descriptor
	exceeded   bool
}

// examine resolves a reference and lists its signatures up to a bound.
func (a *app) examine(ctx context.Context, verb string, registry *registryFlags, argument string, layout bool, limit int) (*signatures, error) {
	if limit <= 0 {
		return nil, fmt.Errorf("max-signatures value %d must be a positive number", limit)
	}
	place, err := a.open(ctx, registry, argument, layout, artifact.OpenOptions{})
	if err != nil {
		return nil, err
	}
	desc, err := place.Repository.Resolve(ctx, place.Reference)
	if err != nil {
		return nil, err
	}
	a.warnTag(verb, place)
	found := &signatures{repo: place.Repository, reference: place.Name + "@" + desc.Digest.String(), artifact: desc}
	for signature, err := range place.Repository.Signatures(ctx, desc) {
		if err != nil {
			return nil, err
		}
		if len(found.signatures) == limit {
			found.exceeded = true
			break
		}
		found.signatures = append(found.signatures, signature)
	}
	return found, nil
}

func (s *signatures) warnLimit(a *app, limit int) {
	if s.exceeded {
		a.printf("Warning: exceeded configured limit of max signatures %d to examine\n", limit)
	}
}
