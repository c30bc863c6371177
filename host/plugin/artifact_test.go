package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// described is the descriptor of a manifest's content.
func described(data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{Digest: digest.FromBytes(data), Size: int64(len(data))}
}

// somePackage is the descriptor of a package.
var somePackage = ocispec.Descriptor{MediaType: MediaTypePackage, Digest: digest.FromString("package"), Size: 7}

// publication encodes an artifact for platforms.
func publication(t testing.TB, platforms ...Platform) (index []byte, manifests map[Platform][]byte) {
	t.Helper()
	label := Label{"acme", "1.2.0"}
	manifests = map[Platform][]byte{}
	var entries []ocispec.Descriptor
	for _, p := range platforms {
		desc, data, err := EncodeManifest(somePackage, p, label)
		if err != nil {
			t.Fatal(err)
		}
		manifests[p] = data
		entries = append(entries, desc)
	}
	_, index, err := EncodeIndex(entries, label)
	if err != nil {
		t.Fatal(err)
	}
	return index, manifests
}

func TestArtifact(t *testing.T) {
	linux, mac := Platform{"linux", "arm64"}, Platform{"darwin", "arm64"}
	index, manifests := publication(t, linux, mac)
	t.Run("there and back", func(t *testing.T) {
		for p, data := range manifests {
			found, err := FindManifest(described(index), index, p)
			if err != nil || found.Digest != digest.FromBytes(data) || found.Size != int64(len(data)) || found.MediaType != ocispec.MediaTypeImageManifest {
				t.Errorf("%s: %+v, %v", p, found, err)
			}
			pkg, label, err := FindPackage(found, data)
			if err != nil || label != (Label{"acme", "1.2.0"}) || pkg.Digest != somePackage.Digest || pkg.Size != somePackage.Size || pkg.MediaType != MediaTypePackage {
				t.Errorf("%s: %+v, %+v, %v", p, pkg, label, err)
			}
		}
	})
	t.Run("the order of the builds is no matter", func(t *testing.T) {
		if other, _ := publication(t, mac, linux); string(other) != string(index) {
			t.Errorf("%s\n%s", index, other)
		}
	})
	t.Run("as spec/plugin-distribution.md has it", func(t *testing.T) {
		examples := specExamples(t)
		pkg := ocispec.Descriptor{Digest: somePackage.Digest, Size: 4187213}
		entry, manifest, err := EncodeManifest(pkg, linux, Label{"acme", "1.2.0"})
		if err != nil {
			t.Fatal(err)
		}
		_, index, err := EncodeIndex([]ocispec.Descriptor{entry}, Label{"acme", "1.2.0"})
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range []struct {
			written []byte
			refers  ocispec.Descriptor
		}{{index, entry}, {manifest, pkg}} {
			example := strings.ReplaceAll(examples[i], "sha256:…", c.refers.Digest.String())
			example = strings.Replace(example, `"size": 727`, fmt.Sprintf(`"size": %d`, c.refers.Size), 1)
			var got, want any
			if err := errors.Join(json.Unmarshal(c.written, &got), json.Unmarshal([]byte(example), &want)); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("written\n%s\nthe page has\n%s", c.written, example)
			}
		}
	})
	t.Run("not for this platform", func(t *testing.T) {
		_, err := FindManifest(described(index), index, Platform{"plan9", "mips"})
		if _, ok := errors.AsType[*PlatformError](err); !ok || err.Error() != "the plugin is not published for plan9/mips, only for darwin/arm64, linux/arm64: ask its publisher for a build" {
			t.Error(err)
		}
	})
	t.Run("an index of containers", func(t *testing.T) {
		data := []byte(strings.Replace(string(index), ArtifactType, "application/vnd.example", 1))
		checkNotPlugin(t, second(FindManifest(described(data), data, linux)), `artifactType is "application/vnd.example"`)
	})
	t.Run("a platform twice", func(t *testing.T) {
		data := []byte(strings.Replace(string(index), "darwin", "linux", 1))
		checkNotPlugin(t, second(FindManifest(described(data), data, linux)), "2 manifests for linux/arm64")
	})
	for name, text := range badIndexes(string(index)) {
		t.Run("index: "+name, func(t *testing.T) {
			checkNotPlugin(t, second(FindManifest(described([]byte(text)), []byte(text), linux)), "")
		})
	}
	for name, c := range badManifests(string(manifests[linux])) {
		t.Run("manifest: "+name, func(t *testing.T) {
			_, _, err := FindPackage(described([]byte(c.text)), []byte(c.text))
			checkNotPlugin(t, err, c.want)
		})
	}
	t.Run("a manifest made with another tool needs no label", func(t *testing.T) {
		pkg, label, err := FindPackage(described([]byte(unlabelled)), []byte(unlabelled))
		if err != nil || label != (Label{}) || pkg.Digest != somePackage.Digest {
			t.Error(pkg, label, err)
		}
	})
}

// badIndexes are spoiled forms of the index of a publication for darwin and linux.
func badIndexes(index string) map[string]string {
	return map[string]string{
		"nothing": "", "null": "null", "a list": "[]", "two documents": index + "{}", "no entries": `{"artifactType":"` + ArtifactType + `"}`,
		"entries without platform": `{"artifactType":"` + ArtifactType + `","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json"}]}`,
		"a member twice":           strings.Replace(index, `"schemaVersion":2`, `"schemaVersion":2,"artifactType":"x"`, 1),
		"members in another case":  strings.ReplaceAll(index, "artifactType", "ArtifactType"),
		"nested indexes":           strings.ReplaceAll(index, "image.manifest.v1", "image.index.v1"),
	}
}

// badManifests are spoiled forms of a manifest, and what is said of each.
func badManifests(manifest string) map[string]struct{ text, want string } {
	return map[string]struct{ text, want string }{
		"nothing":            {"", "not valid"},
		"a container image":  {strings.Replace(manifest, ArtifactType, "application/vnd.example", 1), `artifactType is "application/vnd.example"`},
		"no layer":           {`{"artifactType":"` + ArtifactType + `"}`, "0 layers"},
		"another layer":      {strings.Replace(manifest, MediaTypePackage, ocispec.MediaTypeImageLayerGzip, 1), `its layer is "application/vnd.oci.image.layer.v1.tar+gzip"`},
		"PLG-63 a large one": {strings.Replace(manifest, `"size":7`, fmt.Sprintf(`"size":%d`, MaxPackageSize), 1), "256 MiB size limit"},
		"a negative size":    {strings.Replace(manifest, `"size":7`, `"size":-7`, 1), "size limit"},
		"PLG-04 a bad name":  {strings.Replace(manifest, `title":"acme"`, `title":"../acme"`, 1), `"../acme" is not a plugin's name`},
	}
}

// unlabelled is a manifest as another tool makes it.
var unlabelled = fmt.Sprintf(`{"schemaVersion":2,"artifactType":%q,"layers":[{"mediaType":%q,"digest":%q,"size":7,"annotations":{"org.opencontainers.image.title":"x.tar.gz"}}],"x":1}`,
	ArtifactType, MediaTypePackage, somePackage.Digest)

// specExamples are the JSON texts on the page about distribution.
func specExamples(t testing.TB) []string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "spec", "plugin-distribution.md"))
	if err != nil {
		t.Fatal(err)
	}
	var examples []string
	for _, match := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		examples = append(examples, match[1])
	}
	if len(examples) != 2 || !strings.Contains(string(page), "smaller than 256 MiB (268,435,456 bytes)") || MaxPackageSize != 268435456 {
		t.Fatalf("%d examples", len(examples))
	}
	return examples
}

func checkNotPlugin(t *testing.T, err error, want string) {
	t.Helper()
	bad, ok := errors.AsType[*ArtifactError](err)
	if !ok || !strings.Contains(bad.Reason, want) || !strings.Contains(err.Error(), "is not a plugin artifact: ") {
		t.Errorf("%v, not about %q", err, want)
	}
}

func TestParsePlatform(t *testing.T) {
	for text, want := range map[string]Platform{
		"linux/amd64": {"linux", "amd64"}, "plan9/386": {"plan9", "386"},
		"": {}, "linux": {}, "linux/": {}, "/amd64": {}, "linux/arm/v7": {}, "Linux/amd64": {}, "linux/../x": {}, "linux/amd64\n": {},
	} {
		if got, err := ParsePlatform(text); got != want || (err == nil) != (want != Platform{}) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	if p, err := ParsePlatform(ThisPlatform().String()); err != nil || p != ThisPlatform() {
		t.Error(p, err)
	}
}

func FuzzFindManifest(f *testing.F) {
	linux := Platform{"linux", "arm64"}
	index, manifests := publication(f, linux, Platform{"darwin", "arm64"})
	elsewhere, _ := publication(f, Platform{"plan9", "mips"})
	twice := strings.Replace(string(index), "darwin", "linux", 1)
	seeds := []string{string(index), string(elsewhere), twice, string(manifests[linux]), unlabelled}
	for _, text := range badIndexes(string(index)) {
		seeds = append(seeds, text)
	}
	for _, c := range badManifests(string(manifests[linux])) {
		seeds = append(seeds, c.text)
	}
	for _, text := range append(seeds, specExamples(f)...) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		target := described(data)
		found, err := FindManifest(target, data, linux)
		bad, isBad := errors.AsType[*ArtifactError](err)
		missing, isMissing := errors.AsType[*PlatformError](err)
		switch {
		case err == nil:
			if found.MediaType != ocispec.MediaTypeImageManifest {
				t.Errorf("%+v", found)
			}
		case isMissing:
			if n := len(missing.Published); n == 0 || n > maxListedPlatforms || slices.Contains(missing.Published, linux) {
				t.Errorf("%+v", missing)
			}
			for _, p := range missing.Published {
				if again, err := ParsePlatform(p.String()); again != p {
					t.Error(err)
				}
			}
		case !isBad || bad.Digest != target.Digest:
			t.Error(err)
		}
		pkg, label, err := FindPackage(target, data)
		if _, isBad := errors.AsType[*ArtifactError](err); err != nil && !isBad {
			t.Error(err)
		}
		if err == nil && (pkg.MediaType != MediaTypePackage || pkg.Size < 0 || pkg.Size >= MaxPackageSize || label.Name != "" && !ValidName(label.Name)) {
			t.Errorf("%+v, %+v", pkg, label)
		}
	})
}
