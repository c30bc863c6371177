package wholefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/testlink"
)

func TestRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	regular := func(path string, limit int64) ([]byte, error) {
		data, info, err := ReadRegular(path, limit, false)
		if err == nil && info.Size() != int64(len(data)) {
			t.Errorf("%s: %d bytes of %d", path, len(data), info.Size())
		}
		return data, err
	}
	for name, read := range map[string]func(string, int64) ([]byte, error){"Read": Read, "ReadRegular": regular} {
		if data, err := read(path, 5); err != nil || string(data) != "12345" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
		data, err := read(path, 4)
		if large, ok := errors.AsType[*SizeError](err); !ok || data != nil || large.Error() != path+" has more than 4 bytes" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
		if _, err := read(path+"none", 5); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := regular(dir, 5); !errors.Is(err, ErrNotRegular) {
		t.Error(err)
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	testlink.Symlink(t, path, link)
	if data, _, err := ReadRegular(link, 1, true); err != nil || string(data) != "x" {
		t.Errorf("%q, %v", data, err)
	}
	if _, _, err := ReadRegular(link, 1, false); !errors.Is(err, ErrNotRegular) {
		t.Error(err)
	}
	if data, err := Read(link, 1); err != nil || string(data) != "x" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestReplace(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(dir, "file")
	then := time.Now().Add(-time.Hour).Truncate(time.Second)
	for _, how := range []Replacement{
		{Temp: ".new-*"},
		{Temp: "new-*", Mode: 0o644, Sync: true},
		{Temp: "new-*", Mode: 0o600, Modified: then},
	} {
		if err := Replace(path, []byte("text"), how); err != nil {
			t.Fatal(err)
		}
		data, info, err := ReadRegular(path, 4, false)
		if err != nil || string(data) != "text" {
			t.Fatalf("%q, %v", data, err)
		}
		if want := max(how.Mode, 0o600); runtime.GOOS != "windows" && info.Mode() != want {
			t.Errorf("mode %v, want %v", info.Mode(), want)
		}
		if !how.Modified.IsZero() && !info.ModTime().Equal(then) {
			t.Errorf("changed at %v, want %v", info.ModTime(), then)
		}
	}
	inTheWay := filepath.Join(dir, "directory")
	if err := os.MkdirAll(filepath.Join(inTheWay, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Replace(inTheWay, nil, Replacement{Temp: "new-*"}); err == nil {
		t.Error("a directory was replaced")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
}
