package artifact

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gofrs/flock"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/internal/testlink"
)

// testLayout is a layout on disk under construction.
type testLayout struct {
	t    testing.TB
	path string
}

func newTestLayout(t testing.TB) *testLayout {
	l := &testLayout{t, filepath.Join(t.TempDir(), "layout")}
	l.write(ocispec.ImageLayoutFile, []byte(`{"imageLayoutVersion":"1.0.0"}`))
	l.index()
	return l
}

func (l *testLayout) write(name string, data []byte) {
	l.t.Helper()
	path := filepath.Join(l.path, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		l.t.Fatal(err)
	}
}

func (l *testLayout) blob(mediaType string, data []byte) ocispec.Descriptor {
	d := describe(mediaType, data)
	l.write(filepath.Join("blobs", "sha256", d.Digest.Encoded()), data)
	return d
}

func (l *testLayout) index(list ...ocispec.Descriptor) {
	data, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": append([]ocispec.Descriptor{}, list...)})
	if err != nil {
		l.t.Fatal(err)
	}
	l.write(ocispec.ImageIndexFile, data)
}

func (l *testLayout) readIndex() ocispec.Index {
	l.t.Helper()
	data, err := os.ReadFile(filepath.Join(l.path, ocispec.ImageIndexFile))
	if err != nil {
		l.t.Fatal(err)
	}
	var index ocispec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		l.t.Fatal(err)
	}
	return index
}

func (l *testLayout) open() *Layout {
	l.t.Helper()
	opened, err := OpenLayout(l.t.Context(), l.path)
	if err != nil {
		l.t.Fatal(err)
	}
	return opened
}

// files lists the layout's files.
func (l *testLayout) files() []string {
	var all []string
	filepath.WalkDir(l.path, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != lockFile {
			all = append(all, path)
		}
		return nil
	})
	return all
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func tagged(d ocispec.Descriptor, tag string) ocispec.Descriptor {
	d.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
	return d
}

// image puts a tagged image into a layout.
func (l *testLayout) image() ocispec.Descriptor {
	d := l.blob(ocispec.MediaTypeImageManifest, []byte(imageManifest))
	l.index(tagged(d, "v1"))
	return d
}

func TestOpenLayout(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, l *testLayout){
		"MAN-21 missing directory": func(t *testing.T, l *testLayout) { l.path += "x" },
		"MAN-21 archive": func(t *testing.T, l *testLayout) {
			l.path = filepath.Join(l.path, ocispec.ImageIndexFile)
		},
		"MAN-21 no oci-layout": func(t *testing.T, l *testLayout) { os.Remove(filepath.Join(l.path, ocispec.ImageLayoutFile)) },
		"MAN-21 malformed":     func(t *testing.T, l *testLayout) { l.write(ocispec.ImageLayoutFile, []byte("{")) },
		"MAN-21 other version": func(t *testing.T, l *testLayout) {
			l.write(ocispec.ImageLayoutFile, []byte(`{"imageLayoutVersion":"2.0.0"}`))
		},
		"MAN-21 oci-layout too big": func(t *testing.T, l *testLayout) { l.write(ocispec.ImageLayoutFile, make([]byte, maxMetadataSize+1)) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newTestLayout(t)
			spoil(t, l)
			_, err := OpenLayout(t.Context(), l.path)
			if failed, ok := errors.AsType[*LayoutError](err); !ok || failed.Path != l.path || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("MAN-21 nothing is created", func(t *testing.T) {
		dir := t.TempDir()
		if _, err := OpenLayout(t.Context(), dir); err == nil {
			t.Error("an empty directory is a layout")
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 0 {
			t.Errorf("created %v", entries)
		}
	})
}

func TestLayoutResolve(t *testing.T) {
	t.Parallel()
	t.Run("MAN-21 tag and digest", func(t *testing.T) {
		l := newTestLayout(t)
		want := l.image()
		for _, reference := range []string{"v1", want.Digest.String()} {
			got, err := l.open().Resolve(t.Context(), reference)
			if err != nil || !same(got, want) || got.Annotations != nil {
				t.Errorf("%s: got %+v, %v", reference, got, err)
			}
		}
	})
	t.Run("GEN-04 manifests of any type", func(t *testing.T) {
		l := newTestLayout(t)
		want := l.blob("application/vnd.example+json", []byte("{}"))
		l.index(tagged(want, "v1"))
		if got, err := l.open().Resolve(t.Context(), "v1"); err != nil || !same(got, want) {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("MAN-21 digest inside an index", func(t *testing.T) {
		l := newTestLayout(t)
		want := l.blob(ocispec.MediaTypeImageManifest, []byte(imageManifest))
		x := newIndex()
		x.add(want)
		data, _ := x.marshal()
		l.index(tagged(l.blob(ocispec.MediaTypeImageIndex, data), "multi"))
		if got, err := l.open().Resolve(t.Context(), want.Digest.String()); err != nil || !same(got, want) {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("MAN-22 artifact must exist", func(t *testing.T) {
		l := newTestLayout(t)
		there := l.image()
		gone := describe(ocispec.MediaTypeImageManifest, []byte("gone"))
		l.index(tagged(there, "v1"), tagged(gone, "gone"))
		for _, reference := range []string{"none", "gone", gone.Digest.String(), someDigest} {
			if got, err := l.open().Resolve(t.Context(), reference); !errors.Is(err, ErrNotFound) {
				t.Errorf("%s: got %+v, %v", reference, got, err)
			}
		}
	})
	t.Run("MAN-22 content must have its digest", func(t *testing.T) {
		l := newTestLayout(t)
		d := l.image()
		l.write(filepath.Join("blobs", "sha256", d.Digest.Encoded()), []byte(strings.Replace(imageManifest, "2", "3", 1)))
		for _, reference := range []string{"v1", d.Digest.String()} {
			if _, err := l.open().Resolve(t.Context(), reference); !errors.Is(err, ErrContentMismatch) {
				t.Errorf("got %v", err)
			}
		}
	})
	t.Run("MAN-22 ambiguous tag", func(t *testing.T) {
		l := newTestLayout(t)
		other := l.blob(ocispec.MediaTypeImageManifest, []byte("{}"))
		l.index(tagged(l.image(), "v1"), tagged(other, "v1"))
		if got, err := l.open().Resolve(t.Context(), "v1"); err == nil {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("MAN-12 declared size", func(t *testing.T) {
		l := newTestLayout(t)
		d := l.image()
		d.Size = MaxManifestSize + 1
		l.index(tagged(d, "v1"))
		if _, err := l.open().Resolve(t.Context(), "v1"); !errors.Is(err, ErrTooLarge) {
			t.Errorf("got %v", err)
		}
	})
	for name, data := range map[string]string{
		"MAN-21 index is not JSON":      "{",
		"MAN-21 index of another shape": `{"manifests":7}`,
		"MAN-21 index too big":          strings.Repeat(" ", maxLayoutIndex) + "{}",
	} {
		t.Run(name, func(t *testing.T) {
			l := newTestLayout(t)
			subject := l.image()
			l.write(ocispec.ImageIndexFile, []byte(data))
			_, err := l.open().Resolve(t.Context(), "v1")
			if _, ok := errors.AsType[*LayoutError](err); !ok {
				t.Errorf("got %v", err)
			}
			if _, err := collect(t.Context(), l.open(), subject); err == nil {
				t.Error("signatures were listed")
			}
		})
	}
	t.Run("MAN-22 paths in digests lead nowhere", func(t *testing.T) {
		l := newTestLayout(t)
		l.write("secret", []byte("x"))
		l.index(ocispec.Descriptor{MediaType: "m", Digest: "sha256:../../secret", Size: 1, Annotations: map[string]string{ocispec.AnnotationRefName: "v1"}})
		if got, err := l.open().Resolve(t.Context(), "v1"); err == nil {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("MAN-22 pipes are not opened", func(t *testing.T) {
		if runtime.GOOS == "windows" {
			t.Skip("Windows has no pipes in directories")
		}
		l := newTestLayout(t)
		d := l.image()
		path := filepath.Join(l.path, "blobs", "sha256", d.Digest.Encoded())
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := exec.Command("mkfifo", path).Run(); err != nil {
			t.Fatal(err)
		}
		if _, err := l.open().Resolve(t.Context(), "v1"); err == nil {
			t.Error("resolved")
		}
	})
}

func TestLayoutLinks(t *testing.T) {
	t.Parallel()
	for _, name := range []string{ocispec.ImageBlobsDir, "blobs/sha256", ocispec.ImageIndexFile, ocispec.ImageLayoutFile} {
		t.Run("MAN-22 a link out of the layout is not followed: "+name, func(t *testing.T) {
			l := newTestLayout(t)
			subject := l.image()
			layout := l.open()
			// What the link leads to would do.
			outside := &testLayout{t, filepath.Join(t.TempDir(), "outside")}
			if err := os.CopyFS(outside.path, os.DirFS(l.path)); err != nil {
				t.Fatal(err)
			}
			before := outside.files()
			link := filepath.Join(l.path, filepath.FromSlash(name))
			if err := os.RemoveAll(link); err != nil {
				t.Fatal(err)
			}
			testlink.Symlink(t, filepath.Join(outside.path, filepath.FromSlash(name)), link)
			if opened, err := OpenLayout(t.Context(), l.path); err == nil {
				if got, err := opened.Resolve(t.Context(), subject.Digest.String()); err == nil {
					t.Errorf("resolved %+v", got)
				}
			}
			if got, err := layout.PushSignature(t.Context(), request(t, subject, "envelope")); err == nil {
				t.Errorf("pushed %+v", got)
			}
			if err := layout.PushBlob(t.Context(), describe("", []byte("blob")), strings.NewReader("blob")); err == nil && strings.HasPrefix(name, ocispec.ImageBlobsDir) {
				t.Error("a blob was pushed")
			}
			if after := outside.files(); !slices.Equal(after, before) {
				t.Errorf("outside are %v, before %v", after, before)
			}
		})
	}
	t.Run("MAN-21 a link that stands for one blob is, and only for reading", func(t *testing.T) {
		l := newTestLayout(t)
		subject := l.image()
		layout := l.open()
		manifest := mustPush(t, layout, request(t, subject, "envelope"))
		blob := filepath.Join(l.path, "blobs", "sha256", manifest.Digest.Encoded())
		outside := filepath.Join(t.TempDir(), "manifest")
		if err := os.Rename(blob, outside); err != nil {
			t.Fatal(err)
		}
		testlink.Symlink(t, outside, blob)
		if _, err := layout.FetchSignature(t.Context(), manifest, subject, nil); err != nil {
			t.Error(err)
		}
		other := bytes.Repeat([]byte{'x'}, int(manifest.Size))
		if err := os.WriteFile(outside, other, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := layout.FetchSignature(t.Context(), manifest, subject, nil); !errors.Is(err, ErrContentMismatch) {
			t.Error("another content:", err)
		}
		mustPush(t, layout, request(t, subject, "envelope"))
		if after, err := os.ReadFile(outside); err != nil || !bytes.Equal(after, other) {
			t.Errorf("the file outside has %q now, %v", after, err)
		}
	})
	t.Run("MAN-21 a link within the layout is", func(t *testing.T) {
		l := newTestLayout(t)
		subject := l.image()
		if err := os.Rename(filepath.Join(l.path, "blobs"), filepath.Join(l.path, "content")); err != nil {
			t.Fatal(err)
		}
		testlink.Symlink(t, "content", filepath.Join(l.path, "blobs"))
		layout := l.open()
		mustPush(t, layout, request(t, subject, "envelope"))
		if got := mustCollect(t, layout, subject); len(got) != 1 {
			t.Errorf("got %v", got)
		}
	})
}

func TestLayoutFetchSignature(t *testing.T) {
	t.Parallel()
	l := newTestLayout(t)
	subject := l.image()
	content := []byte("the envelope")
	envelope := l.blob(mediaTypeJWS, content)
	layout := l.open()
	for name, c := range candidates(envelope) {
		t.Run(name, func(t *testing.T) {
			manifest := l.blob(c.mediaType, signatureJSON(subject, envelope, c.change))
			got, err := layout.FetchSignature(t.Context(), manifest, subject, nil)
			checkFetch(t, c, content, got, err)
		})
	}
}

func TestLayoutSignatures(t *testing.T) {
	t.Parallel()
	t.Run("MAN-21 by subject, also the old kinds and those in an index", func(t *testing.T) {
		l := newTestLayout(t)
		subject := l.image()
		envelope := l.blob(mediaTypeJWS, []byte("the envelope"))
		all := candidates(envelope)
		store := func(row string) ocispec.Descriptor {
			return l.blob(all[row].mediaType, signatureJSON(subject, envelope, all[row].change))
		}
		modern, legacy, retired, nested := store("MAN-01 image manifest"), store("MAN-03 legacy config media type"), store("MAN-11 artifact manifest"), store("MAN-05 COSE")
		modern.ArtifactType = TypeSignature
		x := newIndex()
		x.add(nested)
		x.add(modern)
		data, _ := x.marshal()
		inner := l.blob(ocispec.MediaTypeImageIndex, data)
		list := []ocispec.Descriptor{tagged(subject, "v1"), modern, legacy, retired, tagged(inner, referrersTag(subject))}
		for row := range all {
			if all[row].want != nil {
				list = append(list, store(row))
			}
		}
		missing := describe(ocispec.MediaTypeImageManifest, []byte("missing"))
		missing.ArtifactType = TypeSignature
		list = append(list, missing, describe(ocispec.MediaTypeImageIndex, []byte("missing, too")))
		l.index(list...)

		layout := l.open()
		var warnings []string
		layout.Warn = func(w string) { warnings = append(warnings, w) }
		got := mustCollect(t, layout, subject)
		want := digests([]ocispec.Descriptor{modern, legacy, retired, nested})
		have := digests(got)
		// Those whose envelope or subject turns out bad later claim the subject all the same.
		for _, d := range want {
			if !slices.Contains(have, d) {
				t.Errorf("%s is missing from %v", d, have)
			}
		}
		passed := 0
		for _, d := range got {
			if d.ArtifactType != TypeSignature {
				t.Errorf("listed %+v", d)
			}
			if _, err := layout.FetchSignature(t.Context(), d, subject, nil); err == nil {
				passed++
			} else if _, ok := errors.AsType[*CandidateError](err); !ok {
				t.Errorf("got %v", err)
			}
		}
		if passed != 4 {
			t.Errorf("%d signatures can be fetched", passed)
		}
		if !slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, missing.Digest.String()) }) {
			t.Errorf("warnings %q", warnings)
		}
		t.Run("MAN-04 what is no signature is not listed", func(t *testing.T) {
			for row, c := range all {
				if errors.Is(c.want, ErrNotSignature) && c.mediaType == ocispec.MediaTypeImageManifest && strings.HasPrefix(row, "MAN-04") {
					if d := store(row); slices.Contains(have, d.Digest.String()) {
						t.Errorf("%s is listed", row)
					}
				}
			}
		})
	})
	t.Run("MAN-21 others' changes are seen", func(t *testing.T) {
		l := newTestLayout(t)
		subject := l.image()
		layout := l.open()
		if got := mustCollect(t, layout, subject); len(got) != 0 {
			t.Fatalf("got %v", got)
		}
		mustPush(t, l.open(), request(t, subject, "one"))
		if got := mustCollect(t, layout, subject); len(got) != 1 {
			t.Errorf("got %v", got)
		}
		for range layout.Signatures(t.Context(), subject) {
			break
		}
	})
	t.Run("MAN-12 indexes within indexes end", func(t *testing.T) {
		l := newTestLayout(t)
		subject := l.image()
		inner := subject
		for range 3 * maxLayoutDepth {
			x := newIndex()
			x.add(inner)
			data, _ := x.marshal()
			inner = l.blob(ocispec.MediaTypeImageIndex, data)
		}
		l.index(inner)
		if _, err := l.open().Resolve(t.Context(), subject.Digest.String()); !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
}

func TestLayoutPush(t *testing.T) {
	t.Parallel()
	t.Run("MAN-21 entry without a tag", func(t *testing.T) {
		l := newTestLayout(t)
		subject := l.image()
		if err := os.Chmod(filepath.Join(l.path, ocispec.ImageIndexFile), 0o640); err != nil {
			t.Fatal(err)
		}
		layout := l.open()
		desc := mustPush(t, layout, request(t, subject, "envelope"))
		list := l.readIndex().Manifests
		if len(list) != 2 || list[1].Digest != desc.Digest || list[1].ArtifactType != TypeSignature {
			t.Fatalf("index %+v", list)
		}
		if _, ok := list[1].Annotations[ocispec.AnnotationRefName]; ok || list[1].Annotations[AnnotationThumbprints] == "" {
			t.Errorf("annotations %v", list[1].Annotations)
		}
		signature, err := layout.FetchSignature(t.Context(), mustCollect(t, layout, subject)[0], subject, nil)
		if err != nil || string(signature.Envelope) != "envelope" {
			t.Errorf("got %+v, %v", signature, err)
		}
		t.Run("MAN-02 config blob is stored", func(t *testing.T) {
			if _, err := layout.read(emptyConfig, 2); err != nil {
				t.Error(err)
			}
		})
		t.Run("GEN-01 artifact and tag are as before", func(t *testing.T) {
			if got, err := layout.Resolve(t.Context(), "v1"); err != nil || !same(got, subject) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
		t.Run("GEN-06 nothing but blobs and the index", func(t *testing.T) {
			if got := l.files(); len(got) != 6-1 && len(got) != 6 { // index, image, three blobs; oci-layout where it is not the lock
				t.Errorf("files %v", got)
			}
		})
		if runtime.GOOS != "windows" {
			if info, _ := os.Stat(filepath.Join(l.path, ocispec.ImageIndexFile)); info.Mode().Perm() != 0o640 {
				t.Errorf("mode %v", info.Mode())
			}
		}
	})
	t.Run("MAN-21 what others put into the index is kept", func(t *testing.T) {
		l := newTestLayout(t)
		subject := l.image()
		data := strings.Replace(`{"x":[1.0],"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"DIGEST","size":SIZE,"x-extra":1.0}],"annotations":{}}`, "DIGEST", subject.Digest.String(), 1)
		l.write(ocispec.ImageIndexFile, []byte(strings.Replace(data, "SIZE", fmt.Sprint(subject.Size), 1)))
		mustPush(t, l.open(), request(t, subject, "envelope"))
		got, _ := os.ReadFile(filepath.Join(l.path, ocispec.ImageIndexFile))
		for _, part := range []string{`"x":[1.0]`, `"x-extra":1.0`, `"annotations":{}`} {
			if !strings.Contains(string(got), part) {
				t.Errorf("%s is gone from %s", part, got)
			}
		}
	})
	t.Run("MAN-21 parallel pushes lose nothing", func(t *testing.T) {
		l := newTestLayout(t)
		subject := l.image()
		var wg sync.WaitGroup
		for i := range 10 {
			req := request(t, subject, fmt.Sprintf("envelope %d", i))
			layout := l.open() // as if each were another process
			wg.Go(func() {
				if _, err := layout.PushSignature(t.Context(), req); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := mustCollect(t, l.open(), subject); len(got) != 10 {
			t.Errorf("%d signatures", len(got))
		}
	})
	t.Run("MAN-22 artifact must exist", func(t *testing.T) {
		l := newTestLayout(t)
		l.image()
		before := l.files()
		_, err := l.open().PushSignature(t.Context(), request(t, describe(ocispec.MediaTypeImageManifest, []byte("gone")), "envelope"))
		if _, ok := errors.AsType[*PushError](err); !ok || !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v", err)
		}
		if got := l.files(); !slices.Equal(got, before) {
			t.Errorf("files %v", got)
		}
	})
	t.Run("MAN-21 failing leaves the layout as it was", func(t *testing.T) {
		l := newTestLayout(t)
		subject := l.image()
		req := request(t, subject, "envelope")
		manifest, _, err := encodeManifest(req, describe(req.MediaType, req.Envelope), func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		// A directory where the manifest has to go cannot be replaced by it.
		obstacle := filepath.Join(l.path, "blobs", "sha256", manifest.Digest.Encoded(), "x")
		if err := os.MkdirAll(obstacle, 0o755); err != nil {
			t.Fatal(err)
		}
		before := l.files()
		if _, err := l.open().PushSignature(t.Context(), req); err == nil {
			t.Fatal("pushed")
		}
		if got := l.files(); !slices.Equal(got, before) {
			t.Errorf("files %v, before %v", got, before)
		}
		if got := l.readIndex().Manifests; len(got) != 1 {
			t.Errorf("index %v", got)
		}
	})
	t.Run("MAN-21 failing takes nothing away that others rely on", func(t *testing.T) {
		l := newTestLayout(t)
		subject := l.image()
		// One more entry is more than index.json may have.
		index, _ := json.Marshal(subject)
		const form = `{"schemaVersion":2,"x":"%s","manifests":[%s]}`
		room := maxLayoutIndex - len(fmt.Sprintf(form, "", index))
		l.write(ocispec.ImageIndexFile, fmt.Appendf(nil, form, strings.Repeat("x", room), index))
		// Another writer comes when the config is there and before it has gone again.
		config := filepath.Join(l.path, l.open().blobName(emptyConfig.Digest))
		failed := make(chan struct{})
		var other sync.WaitGroup
		other.Go(func() {
			for !exists(config) {
				select {
				case <-failed:
					return
				default:
				}
			}
			lock := flock.New(filepath.Join(l.path, lockFile))
			for locked := false; !locked; locked, _ = lock.TryLock() {
			}
			defer lock.Unlock()
			if exists(config) {
				t.Error("the other writer finds what is about to be taken away")
			}
		})
		_, err := l.open().PushSignature(t.Context(), request(t, subject, "envelope"))
		close(failed)
		other.Wait()
		if !errors.Is(err, ErrTooLarge) || exists(config) {
			t.Error(err)
		}
	})
	t.Run("MAN-20 corrupt blob that is there already is replaced", func(t *testing.T) {
		l := newTestLayout(t)
		subject := l.image()
		req := request(t, subject, "envelope")
		l.write(filepath.Join("blobs", "sha256", describe("", req.Envelope).Digest.Encoded()), []byte("envelopE"))
		layout := l.open()
		mustPush(t, layout, req)
		if _, err := layout.FetchSignature(t.Context(), mustCollect(t, layout, subject)[0], subject, nil); err != nil {
			t.Error(err)
		}
	})
}
