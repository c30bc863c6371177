package artifact

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestManifests lists the members of indexes in both kinds of repository.
func TestManifests(t *testing.T) {
	t.Parallel()
	f, l := newFakeRegistry(t), newTestLayout(t)
	l.index(l.image())
	for kind, place := range map[string]struct {
		repo Repository
		put  func(mediaType, tag string, data []byte) ocispec.Descriptor
	}{
		"registry": {f.open(t), f.put},
		"layout":   {l.open(), func(mediaType, _ string, data []byte) ocispec.Descriptor { return l.blob(mediaType, data) }},
	} {
		entry := func(desc ocispec.Descriptor) string {
			return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"platform":{"os":"linux"}}`, desc.MediaType, desc.Digest, desc.Size)
		}
		image := describe(ocispec.MediaTypeImageManifest, []byte("an image"))
		docker := describe(mediaTypeDockerManifest, []byte("a Docker image"))
		inner := describe(ocispec.MediaTypeImageIndex, []byte("another index"))
		layer := describe(ocispec.MediaTypeImageLayer, []byte("no manifest"))
		index := func(mediaType string, entries ...string) ocispec.Descriptor {
			return place.put(mediaType, "index", []byte(`{"schemaVersion":2,"manifests":[`+strings.Join(entries, ",")+`]}`))
		}
		t.Run("GEN-04 the manifests of an index, each once: "+kind, func(t *testing.T) {
			for _, mediaType := range []string{ocispec.MediaTypeImageIndex, mediaTypeDockerManifestList} {
				got, err := place.repo.Manifests(t.Context(), index(mediaType, entry(image), entry(layer), entry(docker), entry(inner), entry(image)))
				if err != nil || !slices.EqualFunc(got, []ocispec.Descriptor{image, docker, inner}, same) {
					t.Errorf("%s: %v, %v", mediaType, got, err)
				}
			}
			got, err := place.repo.Manifests(t.Context(), place.put(ocispec.MediaTypeImageManifest, "index", []byte(`{"manifests":[`+entry(image)+`]}`)))
			if err != nil || got != nil {
				t.Errorf("what is no index: %v, %v", got, err)
			}
		})
		t.Run("MAN-20 an index that is not what it should be: "+kind, func(t *testing.T) {
			missing := describe(ocispec.MediaTypeImageIndex, []byte("not there"))
			if _, err := place.repo.Manifests(t.Context(), missing); !errors.Is(err, ErrNotFound) {
				t.Errorf("a missing index: %v", err)
			}
			larger := index(ocispec.MediaTypeImageIndex, entry(image))
			larger.Size++
			for name, bad := range map[string]ocispec.Descriptor{
				"of another size":          larger,
				"too large":                {MediaType: ocispec.MediaTypeImageIndex, Digest: image.Digest, Size: MaxManifestSize + 1},
				"not JSON":                 place.put(ocispec.MediaTypeImageIndex, "bad", []byte("x")),
				"with a digest that is no": index(ocispec.MediaTypeImageIndex, `{"mediaType":"`+image.MediaType+`","digest":"sha256:../../x","size":1}`),
				"with an endless member":   index(ocispec.MediaTypeImageIndex, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, image.MediaType, image.Digest, int64(MaxManifestSize+1))),
			} {
				if got, err := place.repo.Manifests(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "index "+bad.Digest.String()) {
					t.Errorf("an index %s: %v, %v", name, got, err)
				}
			}
		})
	}
}

// TestIndexKeeps puts into an index what nothing here knows, and changes the index in
// each way.
func TestIndexKeeps(t *testing.T) {
	t.Parallel()
	there := describe(ocispec.MediaTypeImageManifest, []byte("there"))
	unknown := []string{
		`{ "digest":"", "mediaType":"application/vnd.oci.image.manifest.v1+json", "x":"<&>", "annotations":{"org.opencontainers.image.ref.name":"v1"} }`,
		`{"platform":{"os":"linux"}}`, `{"platform":{"os":"linux"}}`, `null`,
	}
	entry := fmt.Sprintf(`{ "mediaType":%q, "digest":%q, "size":%d, "x":1.50 }`, there.MediaType, there.Digest, there.Size)
	data := fmt.Sprintf(`{"schemaVersion":2,"manifests":[%s,%s],"x":{"y" : 1.0}}`, strings.Join(unknown, ","), entry)
	index, err := parseIndex([]byte(data))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := index.marshal(); err != nil || string(got) != data {
		t.Errorf("unchanged it is %s, %v", got, err)
	}
	other := newIndex()
	if !other.addMissing(index) || len(other.entries) != 1 {
		t.Errorf("an index that lacks the entries has %v", other.entries)
	}
	_, err = index.add(describe(ocispec.MediaTypeImageManifest, []byte("new")))
	if err = errors.Join(err, index.tag(there, "v1")); err != nil {
		t.Fatal(err)
	}
	got, err := index.marshal()
	if err != nil || !strings.HasPrefix(string(got), data[:strings.Index(data, entry)]) {
		t.Errorf("changed it is %s, %v", got, err)
	}
	if found, err := findTag(index, "v1"); err != nil || !same(found, there) {
		t.Errorf("the tag leads to %v, %v", found, err)
	}
	if listed, err := index.manifests(); err != nil || len(listed) != 2 {
		t.Errorf("manifests %v, %v", listed, err)
	}
}
