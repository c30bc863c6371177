package artifact

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gofrs/flock"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// storages are a registry and a layout, both empty.
func storages(t *testing.T) map[string]Storage {
	layout, err := CreateLayout(t.Context(), filepath.Join(t.TempDir(), "layout"))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]Storage{"registry": newFakeRegistry(t).open(t).(Storage), "layout": layout}
}

func mustPushBlob(t *testing.T, s Storage, data []byte) ocispec.Descriptor {
	t.Helper()
	desc := describe("application/octet-stream", data)
	if err := s.PushBlob(t.Context(), desc, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	return desc
}

func mustPushManifest(t *testing.T, s Storage, note string) ocispec.Descriptor {
	t.Helper()
	data := []byte(strings.Replace(imageManifest, `"layers":[]`, fmt.Sprintf(`"layers":[],"annotations":{"note":%q}`, note), 1))
	desc := describe(ocispec.MediaTypeImageManifest, data)
	if err := s.PushManifest(t.Context(), desc, data); err != nil {
		t.Fatal(err)
	}
	return desc
}

func TestStorage(t *testing.T) {
	t.Parallel()
	for kind, s := range storages(t) {
		t.Run(kind+": blobs", func(t *testing.T) {
			data := bytes.Repeat([]byte("blob "), 100_000)
			desc := mustPushBlob(t, s, data)
			var out bytes.Buffer
			if err := s.FetchBlob(t.Context(), desc, &out); err != nil || !bytes.Equal(out.Bytes(), data) {
				t.Errorf("%d bytes, %v", out.Len(), err)
			}
			mustPushBlob(t, s, data)
			absent := describe("application/octet-stream", []byte("absent"))
			if err := s.FetchBlob(t.Context(), absent, io.Discard); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), absent.Digest.String()) {
				t.Error(err)
			}
		})
		t.Run(kind+": blobs that are something else", func(t *testing.T) {
			desc := mustPushBlob(t, s, []byte("some content"))
			for _, change := range []int64{-1, 1} {
				other := desc
				other.Size += change
				var out bytes.Buffer
				if err := s.FetchBlob(t.Context(), other, &out); !errors.Is(err, ErrContentMismatch) || int64(out.Len()) > other.Size {
					t.Errorf("%d bytes more: %v, %d bytes written", change, err, out.Len())
				}
			}
			bad := desc
			bad.Digest = "sha256:../x"
			if err := s.FetchBlob(t.Context(), bad, io.Discard); err == nil {
				t.Error("malformed digest taken")
			}
			bad = desc
			bad.Size = -1
			if err := s.FetchBlob(t.Context(), bad, io.Discard); !errors.Is(err, ErrTooLarge) {
				t.Error(err)
			}
		})
		t.Run(kind+": a failure to write is nobody else's", func(t *testing.T) {
			desc := mustPushBlob(t, s, []byte("to a full disk"))
			full := errors.New("no space left")
			if err := s.FetchBlob(t.Context(), desc, failingWriter{full}); err != full {
				t.Error(err)
			}
		})
		t.Run(kind+": manifests", func(t *testing.T) {
			desc := mustPushManifest(t, s, "a")
			if found, err := s.Resolve(t.Context(), desc.Digest.String()); err != nil || !same(found, desc) {
				t.Error(found, err)
			}
			data, err := s.FetchManifest(t.Context(), desc)
			if err != nil || !same(describe(desc.MediaType, data), desc) {
				t.Errorf("%s, %v", data, err)
			}
			if _, err := s.FetchManifest(t.Context(), describe(desc.MediaType, []byte("absent"))); !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
			huge := desc
			huge.Size = MaxManifestSize + 1
			if _, err := s.FetchManifest(t.Context(), huge); !errors.Is(err, ErrTooLarge) {
				t.Error(err)
			}
			shorter := desc
			shorter.Size--
			if _, err := s.FetchManifest(t.Context(), shorter); !errors.Is(err, ErrContentMismatch) {
				t.Error(err)
			}
		})
		t.Run(kind+": tags", func(t *testing.T) {
			first, second := mustPushManifest(t, s, "first"), mustPushManifest(t, s, "second")
			if _, err := s.Resolve(t.Context(), "latest"); !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
			points := func(tag string, want ocispec.Descriptor) {
				t.Helper()
				if found, err := s.Resolve(t.Context(), tag); err != nil || !same(found, want) {
					t.Errorf("%s: %v, %v", tag, found.Digest, err)
				}
			}
			for _, step := range []struct {
				tag    string
				target ocispec.Descriptor
			}{{"1.0", first}, {"latest", first}, {"latest", first}, {"2.0", second}, {"latest", second}} {
				if err := s.Tag(t.Context(), step.target, step.tag); err != nil {
					t.Fatal(err)
				}
				points(step.tag, step.target)
			}
			points("1.0", first)
			points(first.Digest.String(), first)
			for _, tag := range []string{"", "a b", "../x", first.Digest.String()} {
				if err := s.Tag(t.Context(), first, tag); err == nil {
					t.Errorf("%q taken", tag)
				}
			}
			absent := describe(ocispec.MediaTypeImageManifest, []byte("absent"))
			if err := s.Tag(t.Context(), absent, "latest"); !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
			points("latest", second)
		})
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestRegistryStorage(t *testing.T) {
	t.Parallel()
	t.Run("a blob that is there is not uploaded again", func(t *testing.T) {
		f := newFakeRegistry(t)
		s := f.open(t).(Storage)
		mustPushBlob(t, s, []byte("x"))
		mustPushBlob(t, s, []byte("x"))
		if n := f.count("POST /blobs/uploads/"); n != 1 {
			t.Errorf("%d uploads", n)
		}
	})
	t.Run("one token for reading and writing", func(t *testing.T) {
		f := newFakeRegistry(t)
		var challenges int
		f.authorization = func(r *http.Request) string {
			if user, secret, _ := r.BasicAuth(); user == "user" && secret == "pass" {
				return ""
			}
			challenges++
			return `Basic realm="test"`
		}
		s := f.open(t, password("user", "pass")).(Storage)
		desc := mustPushBlob(t, s, []byte("x"))
		if err := s.FetchBlob(t.Context(), desc, io.Discard); err != nil || challenges != 1 {
			t.Errorf("%v, %d challenges", err, challenges)
		}
	})
	t.Run("REG-16 no secrets of storage services in errors", func(t *testing.T) {
		f := newFakeRegistry(t)
		desc := f.putBlob([]byte("content"))
		f.hook = func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasPrefix(r.URL.Path, "/store") {
				fmt.Fprint(w, "longer than it should be")
				return true
			}
			http.Redirect(w, r, "/store?signature=hunter2", http.StatusTemporaryRedirect)
			return true
		}
		err := f.open(t).(Storage).FetchBlob(t.Context(), desc, io.Discard)
		if !errors.Is(err, ErrContentMismatch) || strings.Contains(err.Error(), "hunter2") {
			t.Error(err)
		}
	})
	t.Run("REG-09 a manifest declared too large is not asked for", func(t *testing.T) {
		f := newFakeRegistry(t)
		desc := image(f)
		desc.Size = MaxManifestSize + 1
		if _, err := f.open(t).(Storage).FetchManifest(t.Context(), desc); !errors.Is(err, ErrTooLarge) || len(f.seen()) != 0 {
			t.Error(err, f.seen())
		}
	})
	t.Run("a registry that fails is named", func(t *testing.T) {
		f := newFakeRegistry(t)
		desc := f.putBlob([]byte("content"))
		f.hook = func(w http.ResponseWriter, _ *http.Request) bool {
			registryFault(w, http.StatusForbidden, "DENIED", "not for you")
			return true
		}
		s := f.open(t).(Storage)
		for name, err := range map[string]error{
			"fetch blob":     s.FetchBlob(t.Context(), desc, io.Discard),
			"push blob":      s.PushBlob(t.Context(), desc, strings.NewReader("content")),
			"push manifest":  s.PushManifest(t.Context(), desc, []byte("content")),
			"fetch manifest": s.Tag(t.Context(), desc, "v1"),
		} {
			failed, ok := errors.AsType[*RegistryError](err)
			if !ok || failed.Status != http.StatusForbidden || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), f.host()) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestCreateLayout(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"missing/below/missing", "empty"} {
		path := filepath.Join(dir, name)
		if name == "empty" {
			if err := os.Mkdir(path, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		layout, err := CreateLayout(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		desc := mustPushManifest(t, layout, name)
		for _, open := range []*Layout{second(CreateLayout(t.Context(), path)), second(OpenLayout(t.Context(), path))} {
			if found, err := open.Resolve(t.Context(), desc.Digest.String()); err != nil || !same(found, desc) {
				t.Error(found, err)
			}
		}
	}
	full := filepath.Join(dir, "full")
	if err := os.MkdirAll(filepath.Join(full, "something"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{full, filepath.Join(full, "something", "\x00")} {
		if _, err := CreateLayout(t.Context(), path); err == nil {
			t.Errorf("%q taken for a layout", path)
		}
	}
	if entries, err := os.ReadDir(full); err != nil || len(entries) != 1 {
		t.Error(entries, err)
	}
}

// readerFunc is called when it is read, and then empty.
type readerFunc func()

func (f readerFunc) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}

// second is the result of a function that must not have failed.
func second[T any](result T, err error) T {
	if err != nil {
		panic(err)
	}
	return result
}

func TestLayoutStorage(t *testing.T) {
	t.Parallel()
	t.Run("MAN-21 what others put into index.json stays", func(t *testing.T) {
		l := newTestLayout(t)
		a, b := l.blob(ocispec.MediaTypeImageManifest, []byte(imageManifest)), l.blob(ocispec.MediaTypeImageManifest, []byte(imageManifest+" "))
		l.write(ocispec.ImageIndexFile, fmt.Appendf(nil, `{"schemaVersion":2,"x":[1.50],"manifests":[
			{"mediaType":%q,"digest":%q,"size":%d,"x":1e2,"annotations":{"note":"a","org.opencontainers.image.ref.name":"latest"}},
			{"mediaType":%q,"digest":%q,"size":%d,"x":2}]}`, a.MediaType, a.Digest, a.Size, b.MediaType, b.Digest, b.Size))
		layout := second(OpenLayout(t.Context(), l.path))
		if err := layout.Tag(t.Context(), b, "latest"); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(l.path, ocispec.ImageIndexFile))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`"x":[1.50]`, `"x":1e2`, `"x":2`, `"annotations":{"note":"a"}`} {
			if !strings.Contains(string(data), want) {
				t.Errorf("no %s in\n%s", want, data)
			}
		}
		if index := l.readIndex(); len(index.Manifests) != 2 || index.Manifests[1].Annotations[ocispec.AnnotationRefName] != "latest" {
			t.Errorf("%+v", index.Manifests)
		}
	})
	t.Run("nothing is stored that is something else", func(t *testing.T) {
		l := newTestLayout(t)
		layout := second(OpenLayout(t.Context(), l.path))
		desc := describe("application/octet-stream", []byte("content"))
		for _, content := range []string{"Content", "conten", "contents", ""} {
			if err := layout.PushBlob(t.Context(), desc, strings.NewReader(content)); err == nil {
				t.Errorf("%q taken", content)
			}
			if err := layout.PushManifest(t.Context(), desc, []byte(content)); err == nil {
				t.Errorf("%q taken", content)
			}
		}
		if len(l.readIndex().Manifests) != 0 || layout.holds(desc) {
			t.Error("stored")
		}
		left, err := filepath.Glob(filepath.Join(l.path, ".signet-*"))
		if err != nil || len(left) != 0 {
			t.Error(left, err)
		}
	})
	t.Run("who puts a link in the place of a file being written changes nothing outside", func(t *testing.T) {
		l := newTestLayout(t)
		layout := second(OpenLayout(t.Context(), l.path))
		outside := filepath.Join(t.TempDir(), "private")
		if err := os.WriteFile(outside, []byte("private"), 0o400); err != nil {
			t.Fatal(err)
		}
		before := second(os.Stat(outside)).Mode()
		content := readerFunc(func() {
			for _, temp := range second(filepath.Glob(filepath.Join(l.path, ".signet-*"))) {
				if err := errors.Join(os.Rename(temp, temp+"-moved"), os.Symlink(outside, temp)); err != nil {
					t.Error(err)
				}
			}
		})
		_ = layout.PushBlob(t.Context(), describe("", nil), content) // may fail, or come to nothing
		if after := second(os.Stat(outside)).Mode(); after != before {
			t.Errorf("the file outside has mode %v, before %v", after, before)
		}
	})
	t.Run("a blob that was damaged is stored again", func(t *testing.T) {
		l := newTestLayout(t)
		layout := second(OpenLayout(t.Context(), l.path))
		desc := mustPushBlob(t, layout, []byte("content"))
		l.write(layout.blobName(desc.Digest), []byte("c0ntent"))
		mustPushBlob(t, layout, []byte("content"))
		if !layout.holds(desc) {
			t.Error("still damaged")
		}
	})
	t.Run("what killed writers left is removed, and nothing else", func(t *testing.T) {
		for name, write := range map[string]func(*Layout) error{
			"PushBlob": func(l *Layout) error {
				return l.PushBlob(t.Context(), describe("", []byte("content")), strings.NewReader("content"))
			},
			"PushManifest": func(l *Layout) error {
				return l.PushManifest(t.Context(), describe(ocispec.MediaTypeImageManifest, []byte(imageManifest)), []byte(imageManifest))
			},
		} {
			l := newTestLayout(t)
			l.write(tempPrefix+"123", []byte("half of a bl"))
			l.write("signet", nil)
			l.write(tempPrefix+"dir/file", nil)
			if err := write(l.open()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if exists(filepath.Join(l.path, tempPrefix+"123")) || !exists(filepath.Join(l.path, "signet")) || !exists(filepath.Join(l.path, tempPrefix+"dir/file")) {
				t.Errorf("%s: left are %v", name, l.files())
			}
		}
	})
	t.Run("who stores a blob has the layout alone", func(t *testing.T) {
		l := newTestLayout(t)
		locked := readerFunc(func() {
			lock := flock.New(filepath.Join(l.path, lockFile))
			if free, err := lock.TryLock(); free || err != nil {
				t.Errorf("the lock is free: %v, %v", free, err)
				lock.Unlock()
			}
		})
		if err := l.open().PushBlob(t.Context(), describe("", nil), locked); err != nil {
			t.Error(err)
		}
	})
	t.Run("many make the same layout", func(t *testing.T) {
		for range 10 {
			l := &testLayout{t, filepath.Join(t.TempDir(), "layout")}
			var all sync.WaitGroup
			for i := range 4 {
				all.Go(func() {
					layout, err := CreateLayout(t.Context(), l.path)
					for err != nil && t.Context().Err() == nil { // another is still at it
						layout, err = CreateLayout(t.Context(), l.path)
					}
					if err == nil {
						mustPushManifest(t, layout, fmt.Sprint(i))
					}
				})
			}
			all.Wait()
			if found := len(l.readIndex().Manifests); found != 4 {
				t.Fatalf("%d of 4 manifests", found)
			}
		}
	})
	t.Run("many at once", func(t *testing.T) {
		l := newTestLayout(t)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				layout := second(OpenLayout(t.Context(), l.path))
				desc := mustPushManifest(t, layout, fmt.Sprint(i))
				if err := layout.Tag(t.Context(), desc, fmt.Sprintf("t%d", i)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		var tags []string
		for _, entry := range l.readIndex().Manifests {
			tags = append(tags, entry.Annotations[ocispec.AnnotationRefName])
		}
		slices.Sort(tags)
		if want := []string{"t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"}; !slices.Equal(tags, want) {
			t.Error(tags)
		}
	})
}
