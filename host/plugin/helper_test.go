package plugin

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// script is a plugin as a shell script: its metadata is all it can answer.
func script(name, version string) []byte {
	return []byte("#!/bin/sh\ncat >/dev/null\necho '" + metadataJSON(name, version) + "'\n")
}

// needsScripts skips where shell scripts are not executables.
func needsScripts(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("shell scripts do not run on Windows")
	}
}

// write makes a file with its directories and exactly that mode.
func write(t testing.TB, path string, content []byte, mode fs.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// writePlugin puts a plugin where a manager of dir finds it.
func writePlugin(t testing.TB, dir, name, version string, mode fs.FileMode) string {
	t.Helper()
	return write(t, filepath.Join(dir, name, BinaryName(name)), script(name, version), mode)
}

// item is a file for an archive.
type item struct {
	name    string
	mode    fs.FileMode
	content []byte
}

func zipOf(t testing.TB, items ...item) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, i := range items {
		header := &zip.FileHeader{Name: i.name, Method: zip.Deflate}
		header.SetMode(i.mode)
		f, err := w.CreateHeader(header)
		if err == nil {
			_, err = f.Write(i.content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func tarGzOf(t testing.TB, items ...item) []byte {
	t.Helper()
	var out bytes.Buffer
	g := gzip.NewWriter(&out)
	w := tar.NewWriter(g)
	for _, i := range items {
		header := &tar.Header{Name: i.name, Mode: int64(i.mode.Perm()), Size: int64(len(i.content)), Typeflag: tar.TypeReg}
		switch i.mode.Type() {
		case fs.ModeDir:
			header.Typeflag = tar.TypeDir
		case fs.ModeSymlink:
			header.Typeflag, header.Linkname, header.Size, i.content = tar.TypeSymlink, string(i.content), 0, nil
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(i.content); err != nil {
			t.Fatal(err)
		}
	}
	for _, closer := range []interface{ Close() error }{w, g} {
		if err := closer.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// later is a clock an hour ahead, by which files just written are settled.
func later() time.Time { return time.Now().Add(time.Hour) }

// tempDir is t.TempDir that nobody else can write, whatever the umask.
func tempDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
