package host

import (
	"context"
	"fmt"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/plugin"
	"github.com/signet-project/signet/host/trust"
)

// PluginRequest says which plugin artifact to install, and how.
type PluginRequest struct {
	// ArtifactRequest names the artifact and says how to verify it; authenticity
	// has to be enforced, whatever its MustEnforce says.
	ArtifactRequest
	// Platform to install for; the zero one is this program's.
	Platform plugin.Platform
	// Source is recorded with the pin, with the artifact's digest behind it:
	// "oci://registry.example/plugins/acme".
	Source string
	// Force and WithheldEnvironment are those of [plugin.InstallRequest].
	Force               bool
	WithheldEnvironment []string
	// Verified is called with the outcome once the artifact is verified; nil drops it.
	Verified func(*Outcome)
	// Status is called with lines for the user; nil drops them.
	Status func(line string)
}

// InstallPlugin verifies a plugin artifact and installs the package in it for a
// platform: an index's or a manifest's own signatures are what counts, the digests
// in it lead to the package (spec/plugin-distribution.md). Before a signature has
// passed nothing but signatures is downloaded; nothing is unpacked or run.
//
// The outcome is that of [Verifier.VerifyArtifact]. Errors are of that, of the
// storage, [*NotEnforcedError], [*plugin.ArtifactError], [*plugin.PlatformError] and
// those of [plugin.Manager.Install].
func (v *Verifier) InstallPlugin(ctx context.Context, storage artifact.Storage, plugins *plugin.Manager, req PluginRequest) (*plugin.InstallResult, *Outcome, error) {
	if req.Platform == (plugin.Platform{}) {
		req.Platform = plugin.ThisPlatform()
	}
	verification := req.ArtifactRequest
	verification.MustEnforce = append([]trust.Check{trust.CheckAuthenticity}, verification.MustEnforce...)
	outcome, err := v.VerifyArtifact(ctx, storage, verification)
	if err != nil {
		return nil, outcome, err
	}
	if req.Verified != nil {
		req.Verified(outcome)
	}
	pkg, label, err := findPackage(ctx, storage, outcome.Artifact, req.Platform)
	if err != nil {
		return nil, outcome, err
	}
	if req.Status != nil {
		req.Status(fmt.Sprintf("Downloading plugin for %s", req.Platform))
	}
	result, err := plugins.Install(ctx, plugin.InstallRequest{
		Fetch:               func(ctx context.Context, w io.Writer) error { return storage.FetchBlob(ctx, pkg, w) },
		Label:               label,
		Source:              req.Source + "@" + outcome.Artifact.Digest.String(),
		Force:               req.Force,
		WithheldEnvironment: req.WithheldEnvironment,
		Status:              req.Status,
	})
	return result, outcome, err
}

// findPackage follows the digests from a verified artifact to its package for a platform.
func findPackage(ctx context.Context, storage artifact.Storage, target ocispec.Descriptor, platform plugin.Platform) (ocispec.Descriptor, plugin.Label, error) {
	fail := func(err error) (ocispec.Descriptor, plugin.Label, error) {
		return ocispec.Descriptor{}, plugin.Label{}, err
	}
	if target.MediaType == ocispec.MediaTypeImageIndex {
		index, err := storage.FetchManifest(ctx, target)
		if err != nil {
			return fail(err)
		}
		if target, err = plugin.FindManifest(target, index, platform); err != nil {
			return fail(err)
		}
	}
	if target.MediaType != ocispec.MediaTypeImageManifest {
		return fail(&plugin.ArtifactError{Digest: target.Digest, Reason: fmt.Sprintf("its media type is %q", target.MediaType)})
	}
	manifest, err := storage.FetchManifest(ctx, target)
	if err != nil {
		return fail(err)
	}
	return plugin.FindPackage(target, manifest)
}
