package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/plugin"
)

// publishFlags say what plugin publish publishes, and where.
type publishFlags struct {
	platforms                 []string
	buildDir, version, output string
	layout, forceTag          bool
	registry                  *registryFlags
	signing                   *signerFlags
}

func (a *app) pluginPublishCommand() *cobra.Command {
	f := &publishFlags{}
	cmd := &cobra.Command{
		Use:   "publish [flags] <reference>",
		Short: "Publish a plugin as a signed artifact for all its platforms",
		Long: `Publish a plugin as a signed artifact for all its platforms

A build is an executable called notation-<name> (notation-<name>.exe for Windows),
or a directory with the executable and the files that go with it, such as a
licence. The artifact is signed as by "sign"; only then the tag points to it. The
same builds give the same digest.`,
		Example: a.examples(
			"Publish two builds, signed with the default key",
			"plugin publish --platform linux/amd64=dist/linux/notation-acme --platform windows/amd64=dist/windows/notation-acme.exe registry.example.com/plugins/acme:1.0.0",
			"Publish the builds in dist/linux_amd64, dist/darwin_arm64 and so on, signed with a key of the key list",
			"plugin publish --build-dir dist --key release registry.example.com/plugins/acme:1.0.0",
			"Publish to an OCI layout on disk, which is made if it is missing",
			"plugin publish --build-dir dist --oci-layout ./layout:1.0.0",
		),
		Args: a.argument("reference for the artifact", "plugin publish"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(f.output, "text", "json"); err != nil {
				return err
			}
			return a.publish(cmd, f, args[0])
		},
	}
	f.registry, f.signing = a.registryFlags(cmd), a.signerFlags(cmd)
	a.debugFlag(cmd)
	a.outputFlag(cmd, &f.output, "text", "json")
	flags := cmd.Flags()
	flags.StringArrayVar(&f.platforms, "platform", nil, "{os}/{architecture}={path} of a build")
	flags.StringVar(&f.buildDir, "build-dir", "", "directory with a build in each directory called {os}_{architecture} or {os}-{architecture}")
	flags.StringVar(&f.version, "plugin-version", "", "version of the plugin, required when no build is for this platform, else asked of the plugin")
	flags.BoolVar(&f.forceTag, "force-referrers-tag", false, "force to store signatures using the referrers tag schema")
	flags.BoolVar(&f.layout, "oci-layout", false, "store the artifact as OCI image layout")
	mustMark(cmd.RegisterFlagCompletionFunc("build-dir", cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)))
	cmd.MarkFlagsMutuallyExclusive("platform", "build-dir")
	cmd.MarkFlagsOneRequired("platform", "build-dir")
	cmd.MarkFlagsMutuallyExclusive("oci-layout", "force-referrers-tag")
	return cmd
}

func (a *app) publish(cmd *cobra.Command, f *publishFlags, argument string) error {
	ctx := cmd.Context()
	builds, err := f.builds()
	if err != nil {
		return err
	}
	manager, err := a.plugins()
	if err != nil {
		return err
	}
	signer, end, err := a.signer(ctx, f.signing, cmd.Flags().Changed, host.KindArtifact, 1)
	if err != nil {
		return err
	}
	defer end()
	place, open, err := a.publicationPlace(f, argument)
	if err != nil {
		return err
	}
	request := host.PublishRequest{Builds: builds, Version: f.version, Plugins: manager, Tag: place.Reference}
	if f.output == "text" {
		request.Status = a.status
	}
	published, err := signer.PublishPlugin(ctx, open, request)
	if err != nil {
		return err
	}
	view := viewPublished(place.Name, builds, published)
	if f.output == "json" {
		return a.json(view)
	}
	a.printf("Successfully published plugin %s, version %s: %s\n", view.Name, view.Version, view.Reference)
	a.printf("Pushed the signature to %s@%s\n", place.Name, view.Signature)
	return nil
}

// publicationPlace finds the place that is to hold the artifact: one with a tag.
// A layout is made by open.
func (a *app) publicationPlace(f *publishFlags, argument string) (place *pluginPlace, open func(context.Context) (artifact.Storage, error), err error) {
	if f.layout {
		ref, err := artifact.ParseLayoutReference(argument)
		if err != nil {
			return nil, nil, err
		}
		place = &pluginPlace{Place: &host.Place{Name: ref.Path, Reference: ref.Reference}}
		open = func(ctx context.Context) (artifact.Storage, error) { return artifact.CreateLayout(ctx, ref.Path) }
	} else {
		place, err = a.pluginRegistry(f.registry, argument, artifact.OpenOptions{ForceReferrersTag: f.forceTag})
		if err != nil {
			return nil, nil, err
		}
		open = func(context.Context) (artifact.Storage, error) { return place.storage, nil }
	}
	if artifact.IsDigest(place.Reference) {
		return nil, nil, errors.New("publish to a tag: the digest is what comes of it")
	}
	return place, open, nil
}

// builds opens the builds that the flags name.
func (f *publishFlags) builds() ([]*plugin.Build, error) {
	if f.buildDir != "" {
		return buildsIn(f.buildDir)
	}
	var builds []*plugin.Build
	for _, pair := range f.platforms {
		name, path, found := strings.Cut(pair, "=")
		if !found || path == "" {
			return nil, fmt.Errorf("could not parse flag platform: %q is not of the form linux/amd64=path", pair)
		}
		platform, err := plugin.ParsePlatform(name)
		if err != nil {
			return nil, fmt.Errorf("could not parse flag platform: %w", err)
		}
		build, err := plugin.OpenBuild(platform, path)
		if err != nil {
			return nil, err
		}
		builds = append(builds, build)
	}
	return builds, nil
}

var buildDirPattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^([a-z0-9]+)[_-]([a-z0-9]+)$`) })

// buildsIn opens the builds in the directories of dir.
func buildsIn(dir string) ([]*plugin.Build, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var builds []*plugin.Build
	for _, entry := range entries {
		match := buildDirPattern().FindStringSubmatch(entry.Name())
		if match == nil || !entry.IsDir() {
			continue
		}
		build, err := plugin.OpenBuild(plugin.Platform{OS: match[1], Architecture: match[2]}, filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		builds = append(builds, build)
	}
	if len(builds) == 0 {
		return nil, fmt.Errorf("%s has no directory called like linux_amd64 with a build", dir)
	}
	return builds, nil
}

// publishedView is the JSON of plugin publish (spec/schemas/plugin-publish.json).
type publishedView struct {
	Name      string   `json:"name"`
	Version   string   `json:"version"`
	Reference string   `json:"reference"`
	MediaType string   `json:"mediaType"`
	Digest    string   `json:"digest"`
	Size      int64    `json:"size"`
	Platforms []string `json:"platforms"`
	Signature string   `json:"signature"`
}

func viewPublished(name string, builds []*plugin.Build, published *host.Published) *publishedView {
	index := published.Artifact
	view := &publishedView{
		Name: published.Name, Version: published.Version, Reference: name + "@" + index.Digest.String(),
		MediaType: index.MediaType, Digest: index.Digest.String(), Size: index.Size,
		Signature: published.Manifest.Digest.String(),
	}
	for _, build := range builds {
		view.Platforms = append(view.Platforms, build.Platform.String())
	}
	return view
}
