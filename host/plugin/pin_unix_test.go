//go:build unix

package plugin

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// makePipe makes a named pipe.
func makePipe(path string) error { return syscall.Mkfifo(path, 0o600) }

func TestWritable(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path string // below the directory above the plugin directory
		mode os.FileMode
		fine bool
	}{
		"executable":                  {"plugins/x/notation-x", 0o775, false},
		"plugin's directory":          {"plugins/x", 0o777, false},
		"plugin's directory, sticky":  {"plugins/x", 0o777 | os.ModeSticky, false},
		"plugin directory":            {"plugins", 0o775, false},
		"lock file":                   {"plugins/" + lockFileName, 0o666, false},
		"directory above":             {".", 0o777, false},
		"directory above, sticky":     {".", 0o777 | os.ModeSticky, true},
		"directory above, own writes": {".", 0o700, true},
	} {
		t.Run("Hostile writable by others: "+name, func(t *testing.T) {
			base := tempDir(t)
			dir := filepath.Join(base, "plugins")
			writePlugin(t, dir, "x", "1.0.0", 0o755)
			write(t, filepath.Join(dir, lockFileName), []byte(`{"version":"1","plugins":{}}`), 0o644)
			if err := os.Chmod(filepath.Join(base, c.path), c.mode); err != nil {
				t.Fatal(err)
			}
			var warned []error
			m := NewManager(dir, Options{Warn: func(err error) { warned = append(warned, err) }})
			if _, err := m.Get(t.Context(), "x"); err != nil {
				t.Fatal(err)
			}
			found := false
			for _, warning := range warned {
				if writable, ok := errors.AsType[*WritableError](warning); ok {
					found = true
					if want := filepath.Join(base, c.path); writable.Path != want || writable.Owner {
						t.Errorf("%+v", writable)
					}
				}
			}
			if found == c.fine {
				t.Error(warned)
			}
			if _, err := m.Pin(t.Context(), "x"); err != nil {
				t.Fatal(err)
			}
			if c.path == "plugins/"+lockFileName {
				// Pinning replaced the file by a proper one.
				if err := os.Chmod(filepath.Join(base, c.path), c.mode); err != nil {
					t.Fatal(err)
				}
			}
			_, err := NewManager(dir, Options{RequirePins: true}).Get(t.Context(), "x")
			if _, ok := errors.AsType[*WritableError](err); ok == c.fine {
				t.Error(err)
			}
		})
	}
	t.Run("Hostile owned by somebody else", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{RequirePins: true})
		path := writePlugin(t, m.dir, "x", "1.0.0", 0o755)
		if _, err := m.Pin(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		check := func(err error) {
			t.Helper()
			if writable, ok := errors.AsType[*WritableError](err); !ok || !writable.Owner || writable.Path != path {
				t.Error(err)
			}
		}
		// Only root can give files away; anybody else looks at this one as another would.
		if user := os.Geteuid(); user != 0 {
			check(checkOwnerFor(user+1, "x", path, 0))
			return
		}
		if err := os.Chown(path, 12345, -1); err != nil {
			t.Fatal(err)
		}
		_, err := m.Get(t.Context(), "x")
		check(err)
	})
	for _, path := range []string{"lib/a.so", "lib"} {
		t.Run("Hostile writable by others: "+path+" of a plugin with a pin", func(t *testing.T) {
			var warned []error
			m := pinned(t, Options{Warn: func(err error) { warned = append(warned, err) }})
			path := filepath.Join(m.dir, "x", filepath.FromSlash(path))
			if err := os.Chmod(path, 0o777); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Pin(t.Context(), "x"); err != nil {
				t.Fatal(err)
			}
			check := func(err error) {
				t.Helper()
				if writable, ok := errors.AsType[*WritableError](err); !ok || writable.Owner || writable.Path != path {
					t.Error(err)
				}
			}
			if _, err := m.Get(t.Context(), "x"); err != nil || len(warned) != 1 {
				t.Fatal(err, warned)
			}
			check(warned[0])
			strict := NewManager(m.dir, Options{RequirePins: true})
			_, err := strict.Get(t.Context(), "x")
			check(err)
			reports, err := strict.Verify(t.Context(), "x")
			if err != nil || !reports[0].Refused {
				t.Fatal(reports, err)
			}
			check(reports[0].Exposed)
		})
	}
	t.Run("Hostile reached by a link in a directory others can write", func(t *testing.T) {
		base, elsewhere := tempDir(t), tempDir(t)
		writePlugin(t, filepath.Join(elsewhere, "plugins"), "x", "1.0.0", 0o755)
		if err := os.Symlink(elsewhere, filepath.Join(base, "link")); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(base, 0o777); err != nil {
			t.Fatal(err)
		}
		m := NewManager(filepath.Join(base, "link", "plugins"), Options{})
		if _, err := m.Pin(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		m.opts.RequirePins = true
		_, err := m.Get(t.Context(), "x")
		if writable, ok := errors.AsType[*WritableError](err); !ok || writable.Path != base {
			t.Error(err)
		}
	})
}
