package plugin

import (
	stdjson "encoding/json"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Types of plugin artifacts (spec/plugin-distribution.md).
const (
	// ArtifactType marks an OCI image index or image manifest as a plugin.
	ArtifactType = "application/vnd.signet.plugin.v1"
	// MediaTypePackage is that of a plugin's package for one platform.
	MediaTypePackage = "application/vnd.signet.plugin.package.v1.tar+gzip"
)

// Platform is an operating system on a processor, by the names that Go and OCI
// share: "linux" and "amd64".
type Platform struct{ OS, Architecture string }

var platformPattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^([a-z0-9]+)/([a-z0-9]+)$`) })

// ParsePlatform reads a platform in the form "linux/amd64".
func ParsePlatform(text string) (Platform, error) {
	match := platformPattern().FindStringSubmatch(text)
	if match == nil {
		return Platform{}, fmt.Errorf("%q is not a platform: write it like linux/amd64", text)
	}
	return Platform{match[1], match[2]}, nil
}

// ThisPlatform is the one this program runs on.
func ThisPlatform() Platform { return Platform{runtime.GOOS, runtime.GOARCH} }

// String returns the form that ParsePlatform reads, "linux/amd64".
func (p Platform) String() string { return p.OS + "/" + p.Architecture }

// Label says which plugin a package holds. Empty members say nothing.
type Label struct{ Name, Version string }

// The annotations of a manifest that hold its label, and the name of a package.
const (
	annotationName    = ocispec.AnnotationTitle
	annotationVersion = ocispec.AnnotationVersion
)

func (l Label) annotations() map[string]string {
	return map[string]string{annotationName: l.Name, annotationVersion: l.Version}
}

// check compares what a package turned out to be with its label.
func (l Label) check(found Label) error {
	for _, pair := range [][3]string{{"name", l.Name, found.Name}, {"version", l.Version, found.Version}} {
		if pair[1] != "" && pair[2] != "" && pair[1] != pair[2] {
			return fmt.Errorf("the artifact says that the plugin's %s is %q, but it is %q: ask its publisher for a correct one", pair[0], pair[1], pair[2])
		}
	}
	return nil
}

// ArtifactError says that a manifest is not that of a plugin artifact.
type ArtifactError struct {
	Digest digest.Digest
	Reason string
}

// Error names the manifest and says what it lacks.
func (e *ArtifactError) Error() string {
	return fmt.Sprintf("%s is not a plugin artifact: %s", e.Digest, e.Reason)
}

// PlatformError says that a plugin is not published for a platform.
type PlatformError struct {
	Platform Platform
	// Published lists the platforms it is published for.
	Published []Platform
}

// Error lists the platforms that the plugin is published for.
func (e *PlatformError) Error() string {
	return fmt.Sprintf("the plugin is not published for %s, only for %s: ask its publisher for a build", e.Platform, joinPlatforms(e.Published))
}

func joinPlatforms(platforms []Platform) string {
	texts := make([]string, len(platforms))
	for i, p := range platforms {
		texts[i] = p.String()
	}
	return strings.Join(texts, ", ")
}

// maxListedPlatforms bounds what a PlatformError lists.
const maxListedPlatforms = 20

// FindManifest returns the manifest for a platform that the index of a plugin
// artifact lists, which must be one alone. The index is the content of target.
// Errors are [*ArtifactError] and [*PlatformError].
func FindManifest(target ocispec.Descriptor, data []byte, platform Platform) (ocispec.Descriptor, error) {
	bad := func(format string, args ...any) (ocispec.Descriptor, error) {
		return ocispec.Descriptor{}, &ArtifactError{target.Digest, fmt.Sprintf(format, args...)}
	}
	var index ocispec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return bad("the index is not valid: %v", err)
	}
	if index.ArtifactType != ArtifactType {
		return bad("its artifactType is %q, not %q", index.ArtifactType, ArtifactType)
	}
	var found []ocispec.Descriptor
	var published []Platform
	for _, entry := range index.Manifests {
		if entry.Platform == nil || entry.MediaType != ocispec.MediaTypeImageManifest {
			continue
		}
		p := Platform{entry.Platform.OS, entry.Platform.Architecture}
		if len(published) < maxListedPlatforms && platformPattern().MatchString(p.String()) {
			published = append(published, p)
		}
		if p == platform {
			found = append(found, entry)
		}
	}
	switch {
	case len(published) == 0:
		return bad("it lists no manifest for any platform")
	case len(found) == 0:
		return ocispec.Descriptor{}, &PlatformError{platform, published}
	case len(found) > 1:
		return bad("it lists %d manifests for %s", len(found), platform)
	}
	return ocispec.Descriptor{MediaType: found[0].MediaType, Digest: found[0].Digest, Size: found[0].Size}, nil
}

// FindPackage returns the package that the manifest of a plugin artifact names,
// and what plugin the manifest says it is. The manifest is the content of target.
// Errors are [*ArtifactError].
func FindPackage(target ocispec.Descriptor, data []byte) (ocispec.Descriptor, Label, error) {
	bad := func(format string, args ...any) (ocispec.Descriptor, Label, error) {
		return ocispec.Descriptor{}, Label{}, &ArtifactError{target.Digest, fmt.Sprintf(format, args...)}
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(data, &manifest); err != nil {
		return bad("the manifest is not valid: %v", err)
	}
	if manifest.ArtifactType != ArtifactType {
		return bad("its artifactType is %q, not %q", manifest.ArtifactType, ArtifactType)
	}
	if len(manifest.Layers) != 1 {
		return bad("it has %d layers, not one", len(manifest.Layers))
	}
	layer := manifest.Layers[0]
	switch {
	case layer.MediaType != MediaTypePackage:
		return bad("its layer is %q, not %q", layer.MediaType, MediaTypePackage)
	case layer.Size < 0 || layer.Size >= MaxPackageSize:
		return bad("%v", errFileSize)
	}
	label := Label{manifest.Annotations[annotationName], manifest.Annotations[annotationVersion]}
	if label.Name != "" && !ValidName(label.Name) {
		return bad("its title %q is not a plugin's name", label.Name)
	}
	return ocispec.Descriptor{MediaType: layer.MediaType, Digest: layer.Digest, Size: layer.Size}, label, nil
}

// EncodeManifest makes the manifest of a package for one platform. Its descriptor
// has the platform, for [EncodeIndex].
func EncodeManifest(pkg ocispec.Descriptor, platform Platform, label Label) (ocispec.Descriptor, []byte, error) {
	pkg.MediaType = MediaTypePackage
	pkg.Annotations = map[string]string{
		ocispec.AnnotationTitle: fmt.Sprintf("notation-%s_%s_%s_%s.tar.gz", label.Name, label.Version, platform.OS, platform.Architecture),
	}
	data, err := stdjson.Marshal(ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: ArtifactType,
		Config:       ocispec.DescriptorEmptyJSON,
		Layers:       []ocispec.Descriptor{pkg},
		Annotations:  label.annotations(),
	})
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	return ocispec.Descriptor{
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: ArtifactType,
		Digest:       digest.FromBytes(data),
		Size:         int64(len(data)),
		Platform:     &ocispec.Platform{OS: platform.OS, Architecture: platform.Architecture},
	}, data, nil
}

// EncodeIndex makes the index over the manifests of all platforms, which it puts
// into order.
func EncodeIndex(manifests []ocispec.Descriptor, label Label) (ocispec.Descriptor, []byte, error) {
	manifests = slices.SortedFunc(slices.Values(manifests), func(a, b ocispec.Descriptor) int {
		return strings.Compare(a.Platform.OS+"/"+a.Platform.Architecture, b.Platform.OS+"/"+b.Platform.Architecture)
	})
	data, err := stdjson.Marshal(ocispec.Index{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageIndex,
		ArtifactType: ArtifactType,
		Manifests:    manifests,
		Annotations:  label.annotations(),
	})
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	return ocispec.Descriptor{
		MediaType:    ocispec.MediaTypeImageIndex,
		ArtifactType: ArtifactType,
		Digest:       digest.FromBytes(data),
		Size:         int64(len(data)),
	}, data, nil
}
