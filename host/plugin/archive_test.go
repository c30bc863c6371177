package plugin

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// unpackTo unpacks content into a new directory and lists what is there.
func unpackTo(t testing.TB, content []byte, fileName string) (dir, name, repaired string, err error) {
	t.Helper()
	dir = t.TempDir()
	p := pack{content: bytes.NewReader(content), size: int64(len(content)), fileName: fileName, mode: 0o755}
	name, repaired, err = p.unpack(dir)
	return dir, name, repaired, err
}

func listing(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// formats are the two kinds of archive.
var formats = map[string]func(testing.TB, ...item) []byte{"zip": zipOf, "tar.gz": tarGzOf}

func TestUnpack(t *testing.T) {
	exe := "notation-x" + binarySuffix
	for format, archive := range formats {
		t.Run("PLG-62 recognised by content: "+format, func(t *testing.T) {
			content := archive(t, item{exe, 0o755, []byte("run")}, item{"LICENSE", 0o644, []byte("text")})
			dir, name, _, err := unpackTo(t, content, "package.bin")
			if err != nil || name != "x" {
				t.Fatal(name, err)
			}
			if got := listing(t, dir); !slices.Equal(got, []string{"LICENSE", exe}) {
				t.Error(got)
			}
		})
		t.Run("PLG-65 one executable: "+format, func(t *testing.T) {
			two := archive(t, item{exe, 0o755, []byte("a")}, item{"notation-y" + binarySuffix, 0o755, []byte("b")})
			if _, _, _, err := unpackTo(t, two, ""); err == nil || err.Error() != "found more than one plugin executable files" {
				t.Error(err)
			}
			for _, none := range [][]byte{archive(t), archive(t, item{"x", 0o755, nil}), archive(t, item{"notation-", 0o755, nil}), archive(t, item{"notation-a b" + binarySuffix, 0o755, nil})} {
				if !bytes.HasPrefix(none, []byte("PK\x03\x04")) && !bytes.HasPrefix(none, []byte{0x1f, 0x8b}) {
					continue // an empty zip archive has no local header
				}
				if _, _, _, err := unpackTo(t, none, ""); err == nil || err.Error() != "no plugin executable file was found" {
					t.Error(err)
				}
			}
			same := archive(t, item{exe, 0o755, []byte("a")}, item{exe, 0o755, []byte("b")})
			if _, _, _, err := unpackTo(t, same, ""); !errors.Is(err, errSeveralExecutables) {
				t.Error("two files of one name:", err)
			}
		})
		t.Run("PLG-66 names with dots refused: "+format, func(t *testing.T) {
			for _, bad := range []string{"../notation-x", "a/../../b", "..", "x..y", `..\x`} {
				content := archive(t, item{exe, 0o755, []byte("run")}, item{bad, 0o644, []byte("evil")})
				want := "file name in " + format + " cannot contain '..', but found "
				if _, _, _, err := unpackTo(t, content, ""); err == nil || !strings.HasPrefix(err.Error(), want) {
					t.Errorf("%q: %v", bad, err)
				}
			}
		})
		t.Run("PLG-66 other than regular files skipped: "+format, func(t *testing.T) {
			content := archive(t, item{exe, 0o755, []byte("run")},
				item{"notation-y" + binarySuffix, fs.ModeSymlink | 0o777, []byte("/bin/sh")}, item{"d/", fs.ModeDir | 0o755, nil})
			dir, name, _, err := unpackTo(t, content, "")
			if err != nil || name != "x" {
				t.Fatal(name, err)
			}
			if got := listing(t, dir); !slices.Equal(got, []string{exe}) {
				t.Error(got)
			}
		})
		t.Run("PLG-67 execute permission given to a sole candidate: "+format, func(t *testing.T) {
			if runtime.GOOS == "windows" {
				t.Skip("no execute permission on Windows")
			}
			dir, name, repaired, err := unpackTo(t, archive(t, item{exe, 0o644, []byte("run")}, item{"README", 0o644, nil}), "")
			if err != nil || name != "x" || repaired != exe {
				t.Fatal(name, repaired, err)
			}
			if info, err := os.Stat(filepath.Join(dir, exe)); err != nil || info.Mode().Perm() != 0o744 {
				t.Error(info.Mode(), err)
			}
			two := archive(t, item{exe, 0o644, nil}, item{"notation-y", 0o644, nil})
			if _, _, _, err := unpackTo(t, two, ""); !errors.Is(err, errNoExecutable) {
				t.Error("two candidates:", err)
			}
			one := archive(t, item{exe, 0o755, nil}, item{"notation-y.md", 0o644, nil})
			if _, name, repaired, err := unpackTo(t, one, ""); err != nil || name != "x" || repaired != "" {
				t.Error(name, repaired, err)
			}
		})
		t.Run("PLG-68 modes: "+format, func(t *testing.T) {
			if runtime.GOOS == "windows" {
				t.Skip("no modes on Windows")
			}
			content := archive(t, item{exe, 0o777, nil}, item{"a", 0o666, nil}, item{"b", 0o600, nil}, item{"c", 0o775, nil})
			dir, _, _, err := unpackTo(t, content, "")
			if err != nil {
				t.Fatal(err)
			}
			for file, want := range map[string]fs.FileMode{exe: 0o755, "a": 0o644, "b": 0o600, "c": 0o755} {
				if info, err := os.Stat(filepath.Join(dir, file)); err != nil || info.Mode() != want {
					t.Errorf("%s: %v, %v", file, info.Mode(), err)
				}
			}
		})
		t.Run("file names no file can have: "+format, func(t *testing.T) {
			content := archive(t, item{exe, 0o755, nil}, item{"a\nb", 0o644, nil})
			if _, _, _, err := unpackTo(t, content, ""); err == nil || !strings.Contains(err.Error(), "is not valid") {
				t.Error(err)
			}
		})
		t.Run("too many entries: "+format, func(t *testing.T) {
			many := make([]item, maxArchiveEntries+1)
			for i := range many {
				many[i] = item{name: "d/", mode: fs.ModeDir | 0o755}
			}
			if _, _, _, err := unpackTo(t, archive(t, many...), ""); err == nil || !strings.Contains(err.Error(), "entries") {
				t.Error(err)
			}
		})
		t.Run("cut short: "+format, func(t *testing.T) {
			content := archive(t, item{exe, 0o755, bytes.Repeat([]byte("run"), 1000)})
			for _, n := range []int{4, 20, len(content) / 2, len(content) - 1} {
				if _, _, _, err := unpackTo(t, content[:n], ""); err == nil {
					t.Errorf("%d of %d bytes taken", n, len(content))
				}
			}
		})
	}

	t.Run("PLG-66 zip has files at the root only, tar by base name", func(t *testing.T) {
		items := []item{{exe, 0o755, nil}, {"docs/LICENSE", 0o644, nil}, {"lib/notation-y", 0o644, nil}, {`a\b`, 0o644, nil}}
		dir, _, _, err := unpackTo(t, zipOf(t, items...), "")
		if got := listing(t, dir); err != nil || !slices.Equal(got, []string{exe}) {
			t.Error(got, err)
		}
		dir, _, _, err = unpackTo(t, tarGzOf(t, items...), "")
		if got := listing(t, dir); err != nil || !slices.Equal(got, []string{"LICENSE", "b", exe, "notation-y"}) {
			t.Error(got, err)
		}
		dir, _, _, err = unpackTo(t, tarGzOf(t, item{exe, 0o755, nil}, item{"a/L", 0o644, []byte("1")}, item{"b/L", 0o644, []byte("2")}), "")
		if last, readErr := os.ReadFile(filepath.Join(dir, "L")); err != nil || readErr != nil || string(last) != "2" {
			t.Error("the last of two files remains:", string(last), err, readErr)
		}
	})
	t.Run("PLG-66 what is only like a file in a tar archive is skipped", func(t *testing.T) {
		var out bytes.Buffer
		g := gzip.NewWriter(&out)
		w := tar.NewWriter(g)
		for _, header := range []*tar.Header{
			{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "made by git archive"}},
			{Typeflag: tar.TypeReg, Name: exe, Mode: 0o755},
			{Typeflag: tar.TypeLink, Name: "notation-y" + binarySuffix, Linkname: "/bin/sh", Mode: 0o755},
			{Typeflag: tar.TypeLink, Name: "lib/" + exe, Linkname: exe, Mode: 0o755},
			{Typeflag: tar.TypeChar, Name: "device", Mode: 0o644},
		} {
			if err := w.WriteHeader(header); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(w.Close(), g.Close()); err != nil {
			t.Fatal(err)
		}
		dir, name, _, err := unpackTo(t, out.Bytes(), "")
		if got := listing(t, dir); err != nil || name != "x" || !slices.Equal(got, []string{exe}) {
			t.Error(got, name, err)
		}
	})
	t.Run("PLG-66 absolute names stay inside", func(t *testing.T) {
		dir, _, _, err := unpackTo(t, tarGzOf(t, item{"/tmp/" + exe, 0o755, nil}), "")
		if got := listing(t, dir); err != nil || !slices.Equal(got, []string{exe}) {
			t.Error(got, err)
		}
	})
	t.Run("PLG-62 single executable", func(t *testing.T) {
		dir, name, _, err := unpackTo(t, []byte("\x7fELF"), exe)
		if got := listing(t, dir); err != nil || name != "x" || !slices.Equal(got, []string{exe}) {
			t.Error(got, name, err)
		}
		for _, bad := range []string{"x", "notation-", "notation-../x", ""} {
			if _, _, _, err := unpackTo(t, []byte("#!"), bad); err == nil {
				t.Errorf("file name %q taken", bad)
			}
		}
	})
	t.Run("a gzip file that is no tar archive", func(t *testing.T) {
		if _, _, _, err := unpackTo(t, []byte("\x1f\x8b\x08 and so on"), exe); err == nil || !strings.HasPrefix(err.Error(), "malformed tar.gz") {
			t.Error(err)
		}
	})
}

// zeros is a file of n zero bytes.
type zeros struct{ n int64 }

func (z zeros) ReadAt(p []byte, offset int64) (int, error) {
	n := int(min(int64(len(p)), z.n-offset))
	clear(p[:n])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func TestUnpackLimits(t *testing.T) {
	exe := "notation-x" + binarySuffix
	t.Run("PLG-63 package size", func(t *testing.T) {
		p := pack{content: zeros{MaxPackageSize}, size: MaxPackageSize, fileName: exe, mode: 0o755}
		if _, _, err := p.unpack(t.TempDir()); err == nil || err.Error() != "file size reached the 256 MiB size limit" {
			t.Error(err)
		}
	})
	for format, archive := range formats {
		t.Run("PLG-63 total extracted: "+format, func(t *testing.T) {
			if testing.Short() {
				t.Skip("writes 256 MiB")
			}
			half := make([]byte, MaxPackageSize/2)
			content := archive(t, item{exe, 0o755, half}, item{"b", 0o644, half})
			if _, _, _, err := unpackTo(t, content, ""); err == nil || err.Error() != "total file size reached the 256 MiB size limit" {
				t.Error(err)
			}
		})
	}
	t.Run("PLG-63 just below", func(t *testing.T) {
		u := &unpacker{dir: t.TempDir(), left: 9, written: map[string]bool{}}
		if err := u.write("a", 0o644, strings.NewReader("12345")); err != nil {
			t.Error(err)
		}
		if err := u.write("b", 0o644, strings.NewReader("6789")); err != nil {
			t.Error(err)
		}
		if err := u.write("c", 0o644, strings.NewReader("0")); !errors.Is(err, errTotalSize) {
			t.Error(err)
		}
	})
	t.Run("zip directory of hostile size", func(t *testing.T) {
		// One local file, then directory headers for a million more.
		var out bytes.Buffer
		w := zip.NewWriter(&out)
		if _, err := w.Create(exe); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		content := out.Bytes()
		start := bytes.LastIndex(content, []byte("PK\x01\x02"))
		end := bytes.LastIndex(content, []byte("PK\x05\x06"))
		hostile := slices.Concat(content[:start], bytes.Repeat(content[start:end], maxDirectorySize/(end-start)+1), content[end:])
		if _, _, _, err := unpackTo(t, hostile, ""); err == nil || !strings.Contains(err.Error(), "larger than") {
			t.Error(err)
		}
	})
}

func FuzzUnpack(f *testing.F) {
	exe := "notation-x" + binarySuffix
	for _, archive := range formats {
		f.Add(archive(f, item{exe, 0o755, []byte("run")}, item{"LICENSE", 0o644, []byte("text")}))
		f.Add(archive(f, item{"../x", 0o755, nil}))
		f.Add(archive(f, item{"l", fs.ModeSymlink | 0o777, []byte("/etc/passwd")}, item{"l", 0o644, []byte("x")}))
	}
	f.Add([]byte("#!/bin/sh\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 1<<16 {
			return
		}
		outer := t.TempDir()
		dir := filepath.Join(outer, "in")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		p := pack{content: bytes.NewReader(content), size: int64(len(content)), fileName: exe, mode: 0o755}
		name, _, err := p.unpack(dir)
		if got := listing(t, outer); len(got) != 1 {
			t.Errorf("wrote outside: %q", got)
		}
		for _, file := range listing(t, dir) {
			if info, err := os.Lstat(filepath.Join(dir, file)); err != nil || !info.Mode().IsRegular() {
				t.Errorf("%q is not a regular file", file)
			}
		}
		if err == nil && !ValidName(name) {
			t.Errorf("name %q", name)
		}
	})
}
