package filestate

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

func TestState(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	look := func() State {
		t.Helper()
		state, err := Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		return state
	}
	write("one")
	before := look()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if again := look(); !before.Same(again) || !before.Same(Of(info)) || !Same(info, info) {
		t.Errorf("%v, %v, %v", before, again, Of(info))
	}
	if (State{}).Same(State{}) || before.Same(State{}) {
		t.Error("what is not known is the same")
	}
	unix := runtime.GOOS != "windows"
	for name, change := range map[string]func() error{
		"size":  func() error { return os.WriteFile(path, []byte("longer"), 0o600) },
		"times": func() error { return os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)) },
		"mode":  func() error { return os.Chmod(path, 0o400) },
		"another": func() error {
			return errors.Join(os.Rename(path, path+".old"), os.WriteFile(path, []byte("one"), 0o600))
		},
	} {
		before := look()
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if look().Same(before) {
			t.Errorf("a change of %s is not seen", name)
		}
		os.Remove(path)
		write("one")
	}
	if _, _, changed, ok := before.Identity(); ok {
		// Content of the same size, and the modification time set back.
		if err := errors.Join(os.WriteFile(path, []byte("two"), 0o600), os.Chtimes(path, time.Time{}, info.ModTime())); err != nil {
			t.Fatal(err)
		}
		if after := look(); after.Same(before) || !after.Touched().After(info.ModTime()) {
			t.Errorf("%v is taken for %v", after, before)
		}
		if changed.Before(info.ModTime().Add(-time.Second)) {
			t.Error(changed, info.ModTime())
		}
	}
	if now := look(); now.SettledAt(now.Touched().Add(Settled-1)) || !now.SettledAt(now.Touched().Add(Settled)) {
		t.Error("settled too early or too late")
	}
	if unix {
		link := filepath.Join(dir, "link")
		if err := os.Symlink(path, link); err != nil {
			t.Fatal(err)
		}
		itself, err := Lstat(link)
		target, also := Stat(link)
		if err != nil || also != nil || itself.Same(target) || !target.Same(look()) {
			t.Errorf("%v, %v, %v, %v", itself, err, target, also)
		}
	}
	for _, look := range []func(string) (State, error){Lstat, Stat} {
		if _, err := look(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
}
