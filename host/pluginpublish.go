package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/plugin"
	"github.com/signet-project/signet/host/semver"
)

// PublishRequest is a plugin to be published.
type PublishRequest struct {
	// Builds of one plugin, each for another platform.
	Builds []*plugin.Build
	// Version of the plugin, SemVer 2; empty asks the build for this platform.
	Version string
	// Plugins runs the build for this platform, which has to say the same version.
	Plugins *plugin.Manager
	// Tag that is to point to the artifact.
	Tag string
	// Status is called with lines for the user; nil drops them.
	Status func(line string)
}

// Published is a plugin artifact that was stored, signed and tagged.
type Published struct {
	plugin.Label
	// Signed has the index, and its signature.
	*Signed
}

// PublishPlugin packs the builds of a plugin and stores them as one artifact for
// all platforms (spec/plugin-distribution.md), signs its index, and only then lets
// the tag point to it. The same builds give an artifact with the same digest.
//
// The place is opened when all builds are packed and the key has answered.
func (s *Signer) PublishPlugin(ctx context.Context, open func(context.Context) (artifact.Storage, error), req PublishRequest) (*Published, error) {
	label, err := req.label(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := s.Key.Suite(ctx); err != nil {
		return nil, err
	}
	packages := make([]packed, len(req.Builds))
	for i, build := range req.Builds {
		if packages[i], err = pack(build); err != nil {
			return nil, err
		}
		defer packages[i].discard()
	}
	storage, err := open(ctx)
	if err != nil {
		return nil, err
	}
	index, err := push(ctx, storage, req, packages, label)
	if err != nil {
		return nil, err
	}
	signed, err := s.SignArtifact(ctx, storage, index.Digest.String())
	if err != nil {
		return nil, err
	}
	if err := storage.Tag(ctx, index, req.Tag); err != nil {
		return nil, err
	}
	return &Published{Label: label, Signed: signed}, nil
}

// label says what the builds are, which has to be one plugin.
func (r PublishRequest) label(ctx context.Context) (plugin.Label, error) {
	if len(r.Builds) == 0 {
		return plugin.Label{}, errors.New("there is nothing to publish: name at least one build")
	}
	label := plugin.Label{Name: r.Builds[0].Name(), Version: r.Version}
	platforms := map[plugin.Platform]bool{}
	for _, build := range r.Builds {
		if build.Name() != label.Name {
			return label, fmt.Errorf("the builds are of two plugins, %s and %s: publish each by itself", label.Name, build.Name())
		}
		if platforms[build.Platform] {
			return label, fmt.Errorf("there are two builds for %s", build.Platform)
		}
		platforms[build.Platform] = true
		if build.Platform != plugin.ThisPlatform() {
			continue
		}
		metadata, err := r.Plugins.Ask(ctx, build)
		if err != nil {
			return label, err
		}
		if r.Version != "" && r.Version != metadata.Version {
			return label, fmt.Errorf("plugin %s says that it is version %s, not %s", label.Name, metadata.Version, r.Version)
		}
		label.Version = metadata.Version
	}
	if label.Version == "" {
		return label, &PluginVersionError{Platform: plugin.ThisPlatform()}
	}
	if _, err := semver.Parse(label.Version); err != nil {
		return label, &plugin.VersionError{Version: label.Version}
	}
	return label, nil
}

func (r PublishRequest) status(format string, args ...any) {
	if r.Status != nil {
		r.Status(fmt.Sprintf(format, args...))
	}
}

// packed is a package in a file that has no name any more, where the system allows
// that: it is gone with the process, however that ends.
type packed struct {
	file     *os.File
	named    bool // the system keeps the name of an open file
	platform plugin.Platform
	desc     ocispec.Descriptor
}

// pack writes a build's package to a file.
func pack(build *plugin.Build) (_ packed, err error) {
	file, err := os.CreateTemp("", "notation-plugin-publish-*")
	if err != nil {
		return packed{}, err
	}
	p := packed{file: file, named: os.Remove(file.Name()) != nil, platform: build.Platform}
	defer func() {
		if err != nil {
			p.discard()
		}
	}()
	hash := sha256.New()
	if err := build.Pack(io.MultiWriter(file, hash)); err != nil {
		return packed{}, err
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return packed{}, err
	}
	p.desc = ocispec.Descriptor{MediaType: plugin.MediaTypePackage, Digest: digest.NewDigest(digest.SHA256, hash), Size: size}
	return p, nil
}

// discard ends the use of the file.
func (p packed) discard() {
	p.file.Close()
	if p.named {
		os.Remove(p.file.Name())
	}
}

// push stores packages, manifests and index, each after what it refers to.
func push(ctx context.Context, storage artifact.Storage, req PublishRequest, packages []packed, label plugin.Label) (ocispec.Descriptor, error) {
	config := ocispec.DescriptorEmptyJSON
	if err := storage.PushBlob(ctx, config, bytes.NewReader(config.Data)); err != nil {
		return ocispec.Descriptor{}, err
	}
	var manifests []ocispec.Descriptor
	for _, p := range packages {
		req.status("Pushing the plugin for %s", p.platform)
		if err := storage.PushBlob(ctx, p.desc, io.NewSectionReader(p.file, 0, p.desc.Size)); err != nil {
			return ocispec.Descriptor{}, err
		}
		manifest, data, err := plugin.EncodeManifest(p.desc, p.platform, label)
		if err == nil {
			err = storage.PushManifest(ctx, manifest, data)
		}
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		manifests = append(manifests, manifest)
	}
	index, data, err := plugin.EncodeIndex(manifests, label)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return index, storage.PushManifest(ctx, index, data)
}
