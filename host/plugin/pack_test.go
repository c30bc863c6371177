package plugin

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// buildDir makes a directory with the plugin "x" and a licence.
func buildDir(t *testing.T, version string) string {
	t.Helper()
	dir := tempDir(t)
	write(t, filepath.Join(dir, BinaryName("x")), script("x", version), 0o755)
	write(t, filepath.Join(dir, "LICENSE"), []byte("do what you like"), 0o640)
	return dir
}

func mustOpenBuild(t *testing.T, path string) *Build {
	t.Helper()
	b, err := OpenBuild(ThisPlatform(), path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustPack(t *testing.T, b *Build) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := b.Pack(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestPack(t *testing.T) {
	t.Parallel()
	t.Run("what is packed can be unpacked", func(t *testing.T) {
		b := mustOpenBuild(t, buildDir(t, "1.0.0"))
		data := mustPack(t, b)
		dir := tempDir(t)
		name, repaired, err := pack{content: bytes.NewReader(data), size: int64(len(data)), fileName: "package"}.unpack(dir)
		if err != nil || name != "x" || b.Name() != "x" || repaired != "" {
			t.Fatal(name, b.Name(), repaired, err)
		}
		for file, mode := range map[string]os.FileMode{BinaryName("x"): 0o755, "LICENSE": 0o644} {
			if info, err := os.Stat(filepath.Join(dir, file)); err != nil || info.Mode() != mode {
				t.Errorf("%s: %v, %v", file, info, err)
			}
		}
		if got := listing(t, dir); len(got) != 2 {
			t.Error(got)
		}
	})
	t.Run("the same files give the same bytes", func(t *testing.T) {
		first, second := buildDir(t, "1.0.0"), buildDir(t, "1.0.0")
		if err := os.Chmod(filepath.Join(second, "LICENSE"), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(second, BinaryName("x")), time.Unix(1, 0), time.Unix(2, 0)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(mustPack(t, mustOpenBuild(t, first)), mustPack(t, mustOpenBuild(t, second))) {
			t.Error("times, modes or owners made a difference")
		}
		if bytes.Equal(mustPack(t, mustOpenBuild(t, first)), mustPack(t, mustOpenBuild(t, buildDir(t, "1.0.1")))) {
			t.Error("content made none")
		}
	})
	t.Run("nothing of the publisher's machine", func(t *testing.T) {
		compressed, err := gzip.NewReader(bytes.NewReader(mustPack(t, mustOpenBuild(t, buildDir(t, "1.0.0")))))
		if err != nil {
			t.Fatal(err)
		}
		if h := compressed.Header; h.Name != "" || h.Comment != "" || !h.ModTime.IsZero() {
			t.Errorf("%+v", h)
		}
		for archive := tar.NewReader(compressed); ; {
			h, err := archive.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" || h.ModTime.Unix() != 0 || len(h.PAXRecords) != 0 {
				t.Errorf("%+v, %v", h, err)
			}
		}
	})
	t.Run("an executable alone", func(t *testing.T) {
		dir := buildDir(t, "1.0.0")
		if b := mustOpenBuild(t, filepath.Join(dir, BinaryName("x"))); b.Name() != "x" || len(b.files) != 1 {
			t.Errorf("%+v", b)
		}
	})
	t.Run("for a system whose executables have a suffix", func(t *testing.T) {
		dir := tempDir(t)
		write(t, filepath.Join(dir, "notation-x.exe"), []byte("MZ"), 0o644)
		write(t, filepath.Join(dir, "notation-notes"), []byte("no executable there"), 0o644)
		b, err := OpenBuild(Platform{"windows", "amd64"}, dir)
		if err != nil || b.Name() != "x" {
			t.Error(b, err)
		}
	})
	for name, c := range map[string]struct {
		change func(dir string) error
		want   string
	}{
		"PLG-65 two executables": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, BinaryName("y")), nil, 0o755)
		}, "more than one plugin executable"},
		"PLG-65 no executable": {func(dir string) error { return os.Remove(filepath.Join(dir, BinaryName("x"))) }, "no plugin executable file was found"},
		"a directory inside":   {func(dir string) error { return os.Mkdir(filepath.Join(dir, "lib"), 0o755) }, `"lib" is not a regular file`},
		"a dangling link":      {func(dir string) error { return os.Symlink("nowhere", filepath.Join(dir, "link")) }, `"link" is not a regular file`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := buildDir(t, "1.0.0")
			if err := c.change(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenBuild(ThisPlatform(), dir); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Error(err)
			}
		})
	}
	t.Run("nothing there", func(t *testing.T) {
		if _, err := OpenBuild(ThisPlatform(), filepath.Join(tempDir(t), "missing")); !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	})
	t.Run("PLG-63 limits", func(t *testing.T) {
		dir := buildDir(t, "1.0.0")
		large := filepath.Join(dir, "large")
		if err := os.WriteFile(large, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(large, MaxPackageSize-1); err != nil { // together with the others too much
			t.Fatal(err)
		}
		if err := mustOpenBuild(t, dir).Pack(io.Discard); !errors.Is(err, errTotalSize) {
			t.Error(err)
		}
	})
	t.Run("a disk that is full", func(t *testing.T) {
		full := errors.New("no space left")
		if err := mustOpenBuild(t, buildDir(t, "1.0.0")).Pack(writerFunc(func([]byte) (int, error) { return 0, full })); !errors.Is(err, full) {
			t.Error(err)
		}
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestAsk(t *testing.T) {
	needsScripts(t)
	t.Parallel()
	dir := buildDir(t, "1.0.0")
	m := NewManager(tempDir(t), Options{})
	if metadata, err := m.Ask(t.Context(), mustOpenBuild(t, dir)); err != nil || metadata.Version != "1.0.0" {
		t.Error(metadata, err)
	}
	other, err := OpenBuild(Platform{"plan9", "mips"}, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Ask(t.Context(), other); err == nil || !strings.Contains(err.Error(), "the build for plan9/mips does not run on") {
		t.Error(err)
	}
	if err := os.Chmod(filepath.Join(dir, BinaryName("x")), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, ok := errors.AsType[*ExecutableError](second(m.Ask(t.Context(), mustOpenBuild(t, dir)))); !ok {
		t.Error("ran without execute permission")
	}
	if names, err := m.Names(); err != nil || len(names) != 0 {
		t.Error(names, err)
	}
}
