//go:build linux || darwin

package plugin

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/testplugin"
)

// filesRead opens a plugin as a new run does, and tells how many of its files were
// read for that.
func filesRead(t *testing.T, dir string, opts Options) int {
	t.Helper()
	if opts.Now == nil {
		opts.Now = later
	}
	m := NewManager(dir, opts)
	if _, err := m.Get(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	record, _ := m.trees.Load("x")
	return record.(*treeRecord).last.read
}

func TestMemory(t *testing.T) {
	t.Parallel()
	const files = 3
	// remembering is a plugin directory and the options with which a run has been.
	remembering := func(t *testing.T) (dir string, opts Options) {
		m := pinned(t, Options{})
		opts = Options{MemoryDir: filepath.Join(tempDir(t), "cache", "plugins")}
		if n := filesRead(t, m.dir, opts); n != files {
			t.Fatal(n, "files were read")
		}
		return m.dir, opts
	}
	t.Run("what nobody touched is not read again by the next run", func(t *testing.T) {
		dir, opts := remembering(t)
		if n := filesRead(t, dir, opts); n != 0 {
			t.Error(n, "files were read")
		}
		m := NewManager(dir, opts)
		m.opts.Environ = append(systemEnviron(), answerVariable+"="+metadataJSON("x", "1.0.0"))
		if _, err := m.metadata(t.Context(), "x"); err != nil {
			t.Error("it does not run:", err)
		}
		if entries, err := os.ReadDir(opts.MemoryDir); err != nil || len(entries) != 1 {
			t.Error(entries, err)
		}
	})
	t.Run("what was touched is", func(t *testing.T) {
		dir, opts := remembering(t)
		if err := os.Chtimes(filepath.Join(dir, "x", "LICENSE"), time.Time{}, time.Now()); err != nil {
			t.Fatal(err)
		}
		if n := filesRead(t, dir, opts); n != 1 {
			t.Error(n, "files were read")
		}
		if n := filesRead(t, dir, opts); n != 0 {
			t.Error(n, "files were read once that was remembered")
		}
	})
	t.Run("what was changed a moment ago is not remembered", func(t *testing.T) {
		m := pinned(t, Options{})
		opts := Options{MemoryDir: tempDir(t), Now: time.Now}
		for range 2 {
			if n := filesRead(t, m.dir, opts); n != files {
				t.Error(n, "files were read")
			}
		}
	})
	for name, forget := range map[string]func(t *testing.T, memory string, opts *Options){
		"pins are required":  func(_ *testing.T, _ string, opts *Options) { opts.RequirePins = true },
		"it is kept nowhere": func(_ *testing.T, _ string, opts *Options) { opts.MemoryDir = "" },
		"it is garbage":      func(t *testing.T, memory string, _ *Options) { write(t, memory, []byte(`{"files":{`), 0o600) },
		"others could have written it": func(t *testing.T, memory string, _ *Options) {
			if err := os.Chmod(memory, 0o666); err != nil {
				t.Fatal(err)
			}
		},
		"others can write its directory": func(t *testing.T, memory string, _ *Options) {
			if err := os.Chmod(filepath.Dir(memory), 0o777); err != nil {
				t.Fatal(err)
			}
		},
		"it is a link": func(t *testing.T, memory string, _ *Options) {
			if err := errors.Join(os.Rename(memory, memory+".old"), os.Symlink(memory+".old", memory)); err != nil {
				t.Fatal(err)
			}
		},
		"it is a directory": func(t *testing.T, memory string, _ *Options) {
			if err := errors.Join(os.Remove(memory), os.Mkdir(memory, 0o755)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run("forgotten when "+name, func(t *testing.T) {
			dir, opts := remembering(t)
			forget(t, filepath.Join(opts.MemoryDir, "x.json"), &opts)
			if n := filesRead(t, dir, opts); n != files {
				t.Error(n, "files were read")
			}
		})
	}
	t.Run("forgotten when others can write the plugin", func(t *testing.T) {
		dir, opts := remembering(t)
		if err := os.Chmod(filepath.Join(dir, "x"), 0o777); err != nil {
			t.Fatal(err)
		}
		if n := filesRead(t, dir, opts); n != files {
			t.Error(n, "files were read")
		}
	})
	t.Run("a change before the next run is found", func(t *testing.T) {
		dir, opts := remembering(t)
		path := filepath.Join(dir, "x", "lib", "a.so")
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, []byte("evil"), 0o644)
		if err := os.Chtimes(path, time.Time{}, info.ModTime()); err != nil {
			t.Fatal(err)
		}
		_, err = NewManager(dir, opts).Get(t.Context(), "x")
		if _, ok := errors.AsType[*PinError](err); !ok {
			t.Error(err)
		}
	})
	t.Run("forgotten when others can write one of its files, which shows in no time while they have it mapped", func(t *testing.T) {
		dir, opts := remembering(t)
		path := filepath.Join(dir, "x", "lib", "a.so")
		if err := os.Chmod(path, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := NewManager(dir, opts).Pin(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		content, err := syscall.Mmap(int(file.Fd()), 0, len("code"), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Munmap(content)
		copy(content, "code") // only the first write to a page touches the file
		filesRead(t, dir, opts)
		copy(content, "evil")
		_, err = NewManager(dir, opts).Get(t.Context(), "x")
		if _, ok := errors.AsType[*PinError](err); !ok {
			t.Error(err)
		}
	})
	t.Run("it does not decide: the pin does", func(t *testing.T) {
		dir, opts := remembering(t)
		path := filepath.Join(opts.MemoryDir, "x.json")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var remembered memory
		if err := json.Unmarshal(data, &remembered); err != nil {
			t.Fatal(err)
		}
		entry := remembered.Files["LICENSE"]
		entry.SHA256 = strings.Repeat("0", 64)
		remembered.Files["LICENSE"] = entry
		if err := replaceMemory(path, &remembered); err != nil {
			t.Fatal(err)
		}
		_, err = NewManager(dir, opts).Get(t.Context(), "x")
		if _, ok := errors.AsType[*PinError](err); !ok {
			t.Error(err)
		}
	})
	t.Run("a directory that cannot be made costs nothing but time", func(t *testing.T) {
		m := pinned(t, Options{})
		opts := Options{MemoryDir: filepath.Join(write(t, filepath.Join(tempDir(t), "file"), nil, 0o644), "below")}
		for range 2 {
			if n := filesRead(t, m.dir, opts); n != files {
				t.Error(n, "files were read")
			}
		}
	})
}

// BenchmarkUntouched is what the look at a plugin that nobody touched costs a call, by
// a session and by stdio, beside that of the first call of a run.
func BenchmarkUntouched(b *testing.B) {
	m := NewManager(tempDir(b), Options{Now: later})
	testplugin.Install(b, m.dir, "x", testplugin.Script{})
	if _, err := m.Pin(b.Context(), "x"); err != nil {
		b.Fatal(err)
	}
	o, err := m.open(b.Context(), "x")
	if err != nil {
		b.Fatal(err)
	}
	defer o.close()
	b.Run("by=session", func(b *testing.B) {
		for b.Loop() {
			if !o.untouched() {
				b.Fatal("touched")
			}
		}
	})
	for name, open := range map[string]func() (*opened, error){
		"stdio": func() (*opened, error) { return m.open(b.Context(), "x") },
		"first": func() (*opened, error) { return m.tryOpen("x") },
	} {
		b.Run("by="+name, func(b *testing.B) {
			for b.Loop() {
				again, err := open()
				if err != nil {
					b.Fatal(err)
				}
				again.close()
			}
		})
	}
}

// BenchmarkOpen is what the look at a plugin of the size of ours costs a run before
// it starts it, remembered and not.
func BenchmarkOpen(b *testing.B) {
	m := NewManager(tempDir(b), Options{Now: later})
	testplugin.Install(b, m.dir, "x", testplugin.Script{})
	if _, err := m.Pin(b.Context(), "x"); err != nil {
		b.Fatal(err)
	}
	for name, dir := range map[string]string{"hashed": "", "remembered": tempDir(b)} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := NewManager(m.dir, Options{Now: later, MemoryDir: dir}).Get(b.Context(), "x"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
