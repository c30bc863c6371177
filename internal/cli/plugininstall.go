package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/plugin"
)

// installFlags say what plugin install installs, and how.
type installFlags struct {
	file, url, layout, force, verbose bool
	checksum, scope                   string
	withhold, pluginConfig            []string
	maxSignatures                     int
	registry                          *registryFlags
}

func (a *app) pluginInstallCommand() *cobra.Command {
	f := &installFlags{}
	cmd := &cobra.Command{
		Use:     "install [flags] <plugin_source>",
		Aliases: []string{"add"},
		Short:   "Install a plugin",
		Long: `Install a plugin

The source is one of

  a file (--file): a .zip or .tar.gz archive, or a single executable called
  notation-<name>; or the same at an HTTPS URL (--url), with its checksum

  an artifact in a registry, oci://<registry>/<repository>@<digest>, or in an OCI
  layout (--oci-layout): its signature is verified by the trust policy statement
  for that repository, or for --scope, before anything is unpacked or run. The
  statement has to enforce authenticity.

What is installed is pinned: it runs only as long as its files stay as they are
(see "plugin verify"). An update takes effect in one step, or not at all.`,
		Example: a.examples(
			"Install from a file", "plugin install --file notation-example",
			"Install from a URL; the checksum is required", "plugin install --url https://example.com/notation-example.tar.gz --sha256sum <hex>",
			"Verify an artifact of a registry and install from it", "plugin install oci://registry.example.com/plugins/example@sha256:<digest>",
			"The same from an OCI layout, by the policy for a scope", "plugin install --oci-layout --scope registry.example.com/plugins/example ./layout@sha256:<digest>",
		),
		Args: f.checkArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(args[0]); err != nil {
				return usage(cmd, err)
			}
			result, err := a.installPlugin(cmd.Context(), f, args[0])
			if err != nil {
				return err
			}
			a.printf("%s\n", result)
			return nil
		},
		ValidArgsFunction: f.complete,
	}
	f.registry = a.registryFlags(cmd)
	a.debugFlag(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&f.file, "file", false, "install plugin from a file on file system")
	flags.BoolVar(&f.url, "url", false, "install plugin from an HTTPS URL. The plugin download timeout is 10m0s")
	flags.StringVar(&f.checksum, "sha256sum", "", `must match SHA256 of the plugin source, required when "--url" flag is set`)
	flags.BoolVar(&f.force, "force", false, "force the installation of the plugin")
	flags.BoolVar(&f.layout, "oci-layout", false, "install plugin from an artifact stored as OCI image layout")
	flags.StringVar(&f.scope, "scope", "", `set trust policy scope for artifact verification, required and can only be used when flag "--oci-layout" is set`)
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "verbose mode: show every signature of an artifact and every check")
	flags.StringArrayVar(&f.withhold, "withhold", nil, `environment variable that the plugin does not get, with * at its end for any rest; see "plugin withhold"`)
	flags.StringArrayVar(&f.pluginConfig, "plugin-config", nil, "{key}={value} pairs for the plugins that take part in verifying an artifact")
	flags.IntVar(&f.maxSignatures, "max-signatures", host.DefaultMaxSignatures, "maximum number of signatures of an artifact to evaluate or examine")
	cmd.MarkFlagsMutuallyExclusive("file", "url")
	cmd.MarkFlagsMutuallyExclusive("file", "oci-layout")
	cmd.MarkFlagsMutuallyExclusive("url", "oci-layout")
	cmd.MarkFlagsRequiredTogether("oci-layout", "scope")
	return cmd
}

func (f *installFlags) checkArgs(_ *cobra.Command, args []string) error {
	switch {
	case len(args) == 1:
		return nil
	case len(args) > 1:
		return fmt.Errorf("can only install one plugin at a time, but got %v", args)
	case f.file:
		return errors.New("missing plugin file path")
	case f.url:
		return errors.New("missing plugin URL")
	}
	return errors.New("missing plugin source location")
}

// complete offers what the flags say the source is.
func (f *installFlags) complete(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	switch {
	case f.file:
		return nil, cobra.ShellCompDirectiveDefault
	case f.layout:
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// ociScheme begins the name of an artifact in a registry where it could be
// something else.
const ociScheme = "oci://"

// check says what flags do not go together with a source.
func (f *installFlags) check(source string) error {
	if f.file || f.url {
		return nil
	}
	switch {
	case !f.layout && !strings.HasPrefix(source, ociScheme):
		return fmt.Errorf("at least one of the flags in the group [file url] is required, or --oci-layout, or a source that begins with %q", ociScheme)
	case f.checksum != "":
		return errors.New("--sha256sum is for files and URLs: name an artifact by its digest")
	}
	return nil
}

func (a *app) installPlugin(ctx context.Context, f *installFlags, source string) (*plugin.InstallResult, error) {
	manager, err := a.plugins()
	if err != nil {
		return nil, err
	}
	if !f.file && !f.url {
		return a.installArtifact(ctx, f, source, manager)
	}
	request := plugin.InstallRequest{SHA256: f.checksum, Force: f.force, WithheldEnvironment: f.withhold, Status: a.status}
	if f.url {
		request.URL = source
	} else {
		request.File = source
	}
	return manager.Install(ctx, request)
}

// status prints a line about the progress of a command.
func (a *app) status(line string) { a.printf("%s\n", line) }

// installArtifact installs from an artifact that is verified first.
func (a *app) installArtifact(ctx context.Context, f *installFlags, source string, manager *plugin.Manager) (*plugin.InstallResult, error) {
	configuration, err := keyValues("plugin-config", f.pluginConfig)
	if err != nil {
		return nil, err
	}
	place, err := a.pluginPlace(ctx, f.registry, source, f.layout)
	if err != nil {
		return nil, err
	}
	verifier, err := a.verifier()
	if err != nil {
		return nil, err
	}
	a.warnTag("install", place.Place)
	scope := place.Name
	if f.layout {
		scope = f.scope
	}
	shown := &reportFlags{output: "text", verbose: f.verbose}
	verified := false
	result, outcome, err := verifier.InstallPlugin(ctx, place.storage, manager, host.PluginRequest{
		ArtifactRequest: host.ArtifactRequest{
			Reference: place.Reference, Name: place.Name, Scope: scope,
			MaxSignatures: f.maxSignatures, PluginConfig: configuration,
		},
		Source: place.source, Force: f.force, WithheldEnvironment: f.withhold, Status: a.status,
		Verified: func(outcome *host.Outcome) {
			verified = true
			_ = a.report(shown, outcome, nil) // its error is the verification's
		},
	})
	if err != nil && !verified {
		err = a.report(shown, outcome, err)
	}
	return result, err
}

// pluginPlace is where a plugin artifact is, or is to be.
type pluginPlace struct {
	*host.Place
	// storage is the place's repository.
	storage artifact.Storage
	// source names it for the lock file, without tag or digest.
	source string
}

// pluginPlace finds the place that an argument names. A layout must exist.
func (a *app) pluginPlace(ctx context.Context, f *registryFlags, argument string, layout bool) (*pluginPlace, error) {
	if layout {
		ref, err := artifact.ParseLayoutReference(argument)
		if err != nil {
			return nil, err
		}
		storage, err := artifact.OpenLayout(ctx, ref.Path)
		if err != nil {
			return nil, err
		}
		return &pluginPlace{&host.Place{Repository: storage, Name: ref.Path, Reference: ref.Reference}, storage, "oci-layout:" + ref.Path}, nil
	}
	return a.pluginRegistry(f, argument, artifact.OpenOptions{})
}

// pluginRegistry finds a place in a registry.
func (a *app) pluginRegistry(f *registryFlags, argument string, opts artifact.OpenOptions) (*pluginPlace, error) {
	ref, err := artifact.ParseReference(strings.TrimPrefix(argument, ociScheme))
	if err != nil {
		return nil, err
	}
	client, err := a.client(f)
	if err != nil {
		return nil, err
	}
	storage, err := client.Open(ref, opts)
	if err != nil {
		return nil, err
	}
	return &pluginPlace{&host.Place{Repository: storage, Name: ref.Name(), Reference: ref.Reference}, storage, ociScheme + ref.Name()}, nil
}
