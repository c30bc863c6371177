package plugin

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-project/signet/host/internal/filestate"
	"github.com/signet-project/signet/internal/testplugin"
)

// pinned is a manager of a pinned plugin "x" with some files; its clock is ahead,
// so that what was read counts as settled.
func pinned(t *testing.T, opts Options) *Manager {
	t.Helper()
	return pinnedAs(t, opts, runtime.GOOS == "windows")
}

// pinnedAs is pinned with a program or a script as plugin.
func pinnedAs(t *testing.T, opts Options, program bool) *Manager {
	t.Helper()
	opts.Now = later
	opts.Environ = append(systemEnviron(), answerVariable+"="+metadataJSON("x", "1.0.0"))
	m := NewManager(tempDir(t), opts)
	dir := filepath.Join(m.dir, "x")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if program {
		testplugin.Build(t, dir, "x", testplugin.Script{})
	} else {
		writePlugin(t, m.dir, "x", "1.0.0", 0o755)
	}
	write(t, filepath.Join(dir, "LICENSE"), []byte("text"), 0o644)
	write(t, filepath.Join(dir, "lib", "a.so"), []byte("code"), 0o644)
	if _, err := m.Pin(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPin(t *testing.T) {
	t.Parallel()
	t.Run("a pinned plugin runs", func(t *testing.T) {
		var warned warnings
		m := pinned(t, Options{RequirePins: true, Warn: warned.add})
		for range 2 {
			if _, err := m.metadata(t.Context(), "x"); err != nil {
				t.Error(err)
			}
		}
		if len(warned.texts) != 0 {
			t.Error(warned.texts)
		}
	})
	t.Run("the lock file lists every file", func(t *testing.T) {
		m := pinned(t, Options{})
		lock, err := m.store.load()
		if err != nil {
			t.Fatal(err)
		}
		pin := lock.Plugins["x"].Pins[0]
		var paths []string
		for _, f := range pin.Files {
			paths = append(paths, f.Path)
		}
		if !slices.Equal(paths, []string{"LICENSE", "lib/a.so", BinaryName("x")}) || pin.Digest != treeDigest(pin.Files) {
			t.Errorf("%+v", pin)
		}
	})
	dir := func(m *Manager, path ...string) string {
		return filepath.Join(append([]string{m.dir, "x"}, path...)...)
	}
	unixOnly := runtime.GOOS != "windows"
	for name, c := range map[string]struct {
		change func(*Manager) error
		want   Change
		unix   bool
	}{
		"content of the same size": {func(m *Manager) error { return os.WriteFile(dir(m, "LICENSE"), []byte("TEXT"), 0o644) }, Change{"LICENSE", Modified}, false},
		"executable": {func(m *Manager) error {
			f, err := os.OpenFile(dir(m, BinaryName("x")), os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString("x")
			return errors.Join(err, f.Close())
		}, Change{BinaryName("x"), Modified}, false},
		"file in a sub-directory": {func(m *Manager) error { return os.WriteFile(dir(m, "lib", "a.so"), []byte("evil"), 0o644) }, Change{"lib/a.so", Modified}, false},
		"new file":                {func(m *Manager) error { return os.WriteFile(dir(m, "lib", "b.so"), nil, 0o644) }, Change{"lib/b.so", Added}, false},
		"file removed":            {func(m *Manager) error { return os.Remove(dir(m, "LICENSE")) }, Change{"LICENSE", Removed}, false},
		"mode":                    {func(m *Manager) error { return os.Chmod(dir(m, "LICENSE"), 0o755) }, Change{"LICENSE", Modified}, true},
		"file becomes a link to the same": {func(m *Manager) error {
			return errors.Join(os.Rename(dir(m, "LICENSE"), dir(m, "lib", "L")), os.Symlink("lib/L", dir(m, "LICENSE")), os.Chmod(dir(m, "lib", "L"), 0o644))
		}, Change{"LICENSE", Modified}, true},
		"modification time set back": {func(m *Manager) error {
			info, err := os.Stat(dir(m, "LICENSE"))
			if err != nil {
				return err
			}
			return errors.Join(os.WriteFile(dir(m, "LICENSE"), []byte("TEXT"), 0o644), os.Chtimes(dir(m, "LICENSE"), time.Time{}, info.ModTime()))
		}, Change{"LICENSE", Modified}, true},
	} {
		t.Run("Hostile changed: "+name, func(t *testing.T) {
			if c.unix && !unixOnly {
				t.Skip("needs unix")
			}
			m := pinned(t, Options{})
			client, err := m.Get(t.Context(), "x")
			if err != nil {
				t.Fatal(err)
			}
			o, err := m.open(t.Context(), "x")
			if err != nil {
				t.Fatal(err)
			}
			defer o.close()
			if !o.untouched() && unixOnly {
				t.Error("touched already")
			}
			if err := c.change(m); err != nil {
				t.Fatal(err)
			}
			if o.untouched() && unixOnly {
				t.Error("the change is not seen at a glance")
			}
			check := func(err error) {
				t.Helper()
				broken, ok := errors.AsType[*PinError](err)
				if !ok || broken.Name != "x" || !slices.Contains(broken.Changes, c.want) {
					t.Fatal(err)
				}
				for _, part := range []string{c.want.Path, "signet plugin pin x", "signet plugin verify", broken.Dir} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("no %q in %v", part, err)
					}
				}
			}
			_, err = client.GetMetadata(t.Context(), nil) // a client from before
			check(err)
			_, err = m.Get(t.Context(), "x")
			check(err)
			if reports, err := m.Verify(t.Context()); err != nil || len(reports) != 1 || reports[0].Status != PinBroken {
				t.Error(reports, err)
			}
			if _, err := m.Pin(t.Context(), "x"); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Get(t.Context(), "x"); err != nil {
				t.Error("accepted, and yet:", err)
			}
		})
	}
	t.Run("a new lock file is seen at a glance", func(t *testing.T) {
		m := pinned(t, Options{})
		o, err := m.open(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		defer o.close()
		if err := m.Withhold(t.Context(), "x", []string{"SECRET"}); err != nil {
			t.Fatal(err)
		}
		if o.untouched() {
			t.Error("it is not")
		}
	})
	t.Run("what was changed a moment ago is not judged at a glance", func(t *testing.T) {
		m := pinned(t, Options{})
		m.opts.Now = time.Now
		o, err := m.open(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		defer o.close()
		if o.untouched() {
			t.Error("it is")
		}
	})
	t.Run("links made to a file meanwhile do not change it", func(t *testing.T) {
		if !unixOnly {
			t.Skip("a link does not touch a file on Windows")
		}
		path := write(t, filepath.Join(tempDir(t), "file"), make([]byte, 1<<20), 0o644)
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		stop := make(chan struct{})
		var linking sync.WaitGroup
		linking.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					other := fmt.Sprint(path, i)
					if err := errors.Join(os.Link(path, other), os.Remove(other)); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
		for range 20 {
			if _, err := readFile(f, later); err != nil {
				t.Error(err)
			}
		}
		close(stop)
		linking.Wait()
	})
	t.Run("files are hashed once", func(t *testing.T) {
		m := pinned(t, Options{})
		root, err := os.OpenRoot(dir(m))
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		first, err := readTree(root, new(tree).recall, later)
		if err != nil {
			t.Fatal(err)
		}
		for path, seen := range first.seen {
			seen.sha256 = "remembered"
			first.seen[path] = seen
		}
		again, err := readTree(root, first.recall, later)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range again.files {
			if f.SHA256 != "remembered" {
				t.Errorf("%s was read again", f.Path)
			}
		}
		// A file touched just before it was read is read again.
		for path, seen := range first.seen {
			seen.readAt = filestate.Of(seen.info).Touched().Add(filestate.Settled - time.Millisecond)
			first.seen[path] = seen
		}
		if again, err = readTree(root, first.recall, later); err != nil {
			t.Fatal(err)
		}
		for _, f := range again.files {
			if f.SHA256 == "remembered" {
				t.Errorf("%s was not read again", f.Path)
			}
		}
	})
	t.Run("unpinned runs with a warning, once", func(t *testing.T) {
		var warned []error
		m := NewManager(tempDir(t), Options{Environ: systemEnviron(), Warn: func(err error) { warned = append(warned, err) }})
		testplugin.Install(t, m.dir, "x", testplugin.Script{})
		for range 2 {
			if _, err := m.metadata(t.Context(), "x"); err != nil {
				t.Fatal(err)
			}
		}
		if len(warned) != 1 {
			t.Fatal(warned)
		}
		if unpinned, ok := errors.AsType[*UnpinnedError](warned[0]); !ok || unpinned.Name != "x" || !strings.Contains(unpinned.Error(), "signet plugin pin x") {
			t.Error(warned)
		}
	})
	t.Run("pins required: none for the plugin", func(t *testing.T) {
		m := pinned(t, Options{RequirePins: true})
		testplugin.Install(t, m.dir, "y", testplugin.Script{})
		_, err := m.Get(t.Context(), "y")
		if _, ok := errors.AsType[*UnpinnedError](err); !ok {
			t.Error(err)
		}
	})
	t.Run("pins required: no lock file", func(t *testing.T) {
		m := pinned(t, Options{RequirePins: true})
		if err := os.Remove(m.store.path()); err != nil {
			t.Fatal(err)
		}
		_, err := m.Get(t.Context(), "x")
		if _, ok := errors.AsType[*UnpinnedError](err); !ok {
			t.Error(err)
		}
	})
	for _, require := range []bool{true, false} {
		t.Run("a corrupt lock file refuses", func(t *testing.T) {
			m := pinned(t, Options{RequirePins: require})
			if err := os.WriteFile(m.store.path(), []byte("{"), 0o644); err != nil {
				t.Fatal(err)
			}
			for _, err := range []error{
				second(m.Get(t.Context(), "x")), second(m.Verify(t.Context())), second(m.Pin(t.Context(), "x")),
				m.Uninstall(t.Context(), "x"), m.Withhold(t.Context(), "x", nil),
			} {
				if _, ok := errors.AsType[*LockError](err); !ok {
					t.Error(err)
				}
			}
		})
	}
	t.Run("verify", func(t *testing.T) {
		m := pinned(t, Options{})
		testplugin.Install(t, m.dir, "y", testplugin.Script{})
		lock, err := m.store.load()
		if err != nil {
			t.Fatal(err)
		}
		lock.Plugins["gone"] = lock.Plugins["x"]
		if err := m.store.save(lock); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(dir(m, "..", "empty"), 0o755); err != nil {
			t.Fatal(err)
		}
		reports, err := m.Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, report := range reports {
			got = append(got, report.Name+" "+string(report.Status))
			if (report.Err == nil) != (report.Status == PinHolds) {
				t.Errorf("%+v", report)
			}
		}
		if want := []string{"empty unreadable", "gone not installed", "x ok", "y not pinned"}; !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	})
	t.Run("verify what is named", func(t *testing.T) {
		m := pinned(t, Options{})
		testplugin.Install(t, m.dir, "y", testplugin.Script{})
		reports, err := m.Verify(t.Context(), "y", "x", "y")
		if err != nil || len(reports) != 2 || reports[0].Name != "x" || reports[1].Name != "y" {
			t.Errorf("%+v, %v", reports, err)
		}
		if pin := reports[0].Pin; pin == nil || pin.Digest != reports[0].Digest || reports[1].Pin != nil {
			t.Errorf("%+v", reports)
		}
		if _, ok := errors.AsType[*NotInstalledError](second(m.Verify(t.Context(), "x", "z"))); !ok {
			t.Error("nobody missed z")
		}
		if _, ok := errors.AsType[*NameError](second(m.Verify(t.Context(), "../x"))); !ok {
			t.Error("../x is a name")
		}
	})
	t.Run("verify tells what would be refused", func(t *testing.T) {
		for _, required := range []bool{false, true} {
			m := pinned(t, Options{RequirePins: required})
			testplugin.Install(t, m.dir, "loose", testplugin.Script{})
			testplugin.Install(t, m.dir, "changed", testplugin.Script{})
			testplugin.Install(t, m.dir, "gone", testplugin.Script{})
			testplugin.Install(t, m.dir, "open", testplugin.Script{})
			for _, name := range []string{"changed", "gone", "open"} {
				if _, err := m.Pin(t.Context(), name); err != nil {
					t.Fatal(err)
				}
			}
			write(t, dir(m, "..", "changed", "more"), nil, 0o644)
			if err := errors.Join(os.RemoveAll(dir(m, "..", "gone")), os.Chmod(dir(m, "..", "open"), 0o777)); err != nil {
				t.Fatal(err)
			}
			reports, err := m.Verify(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, report := range reports {
				_, err := m.Get(t.Context(), report.Name)
				if report.Refused != (err != nil) {
					t.Errorf("required %t: %s is refused: %t, but %v", required, report.Name, report.Refused, err)
				}
				if exposed := report.Exposed != nil; exposed != (report.Name == "open" && unixOnly) {
					t.Errorf("%s: %v", report.Name, report.Exposed)
				}
			}
		}
	})
	t.Run("pin what was looked at", func(t *testing.T) {
		m := pinned(t, Options{})
		write(t, dir(m, "more"), []byte("1"), 0o644)
		seen, err := m.Verify(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir(m, "more"), []byte("2"), 0o644)
		if _, err := m.PinDigest(t.Context(), "x", seen[0].Digest); err == nil || !strings.Contains(err.Error(), seen[0].Digest) {
			t.Error(err)
		}
		if _, ok := errors.AsType[*PinError](second(m.Get(t.Context(), "x"))); !ok {
			t.Error("accepted")
		}
		write(t, dir(m, "more"), []byte("1"), 0o644)
		if pin, err := m.PinDigest(t.Context(), "x", seen[0].Digest); err != nil || pin.Digest != seen[0].Digest {
			t.Error(pin, err)
		}
		if _, err := m.Get(t.Context(), "x"); err != nil {
			t.Error(err)
		}
	})
	t.Run("who may accept changed files", func(t *testing.T) {
		m := pinned(t, Options{})
		write(t, dir(m, "more"), nil, 0o644)
		err := second(m.Get(t.Context(), "x"))
		want := "if whoever owns " + dir(m) + " meant that"
		if unixOnly {
			owner, err := user.Current()
			if err != nil {
				t.Fatal(err)
			}
			want = "if user " + owner.Username + ", who owns " + dir(m) + ", meant that"
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v says nothing like %q", err, want)
		}
	})
	t.Run("pinning again keeps what is known", func(t *testing.T) {
		needsScripts(t)
		m := NewManager(tempDir(t), Options{})
		mustInstall(t, m, fetching(tarGzOf(t, item{"notation-x", 0o755, script("x", "1.0.0")}), Label{}))
		if pin, err := m.Pin(t.Context(), "x"); err != nil || pin.PluginVersion != "1.0.0" || pin.Source == "" {
			t.Errorf("%+v, %v", pin, err)
		}
		write(t, dir(m, "more"), nil, 0o644)
		if pin, err := m.Pin(t.Context(), "x"); err != nil || pin.PluginVersion != "" || pin.Source != "" {
			t.Errorf("other files, %+v, %v", pin, err)
		}
	})
	t.Run("what cannot be pinned", func(t *testing.T) {
		m := pinned(t, Options{})
		for name, make := range map[string]func(path string) error{
			"link outside":  func(path string) error { return os.Symlink("/etc/passwd", path) },
			"link upwards":  func(path string) error { return os.Symlink("../../"+lockFileName, path) },
			"dangling link": func(path string) error { return os.Symlink("nowhere", path) },
			"named pipe":    makePipe,
		} {
			if !unixOnly {
				t.Skip("needs unix")
			}
			path := dir(m, "odd")
			if err := make(path); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Pin(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), `"odd"`) {
				t.Errorf("%s: %v", name, err)
			}
			os.Remove(path)
		}
	})
	t.Run("withhold", func(t *testing.T) {
		record := filepath.Join(tempDir(t), "calls")
		m := NewManager(tempDir(t), Options{Environ: append(systemEnviron(), "A=1", "B=2")})
		testplugin.Install(t, m.dir, "x", testplugin.Script{Record: record})
		if err := m.Withhold(t.Context(), "x", []string{"A"}); err != nil {
			t.Fatal(err)
		}
		if _, err := m.metadata(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		if env := testplugin.Records(t, record)[0].Env; slices.Contains(env, "A=1") || !slices.Contains(env, "B=2") {
			t.Error(env)
		}
		if err := m.Withhold(t.Context(), "x", []string{"A=1"}); err == nil {
			t.Error("taken")
		}
		if err := m.Withhold(t.Context(), "x", nil); err != nil {
			t.Fatal(err)
		}
		if lock, err := m.store.load(); err != nil || len(lock.Plugins) != 0 {
			t.Error(lock, err)
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestReplacedOnDisk(t *testing.T) {
	t.Parallel()
	t.Run("Hostile script replaced between check and run", func(t *testing.T) {
		needsScripts(t)
		m := NewManager(tempDir(t), Options{})
		path := writePlugin(t, m.dir, "x", "1.0.0", 0o755)
		if _, err := m.Pin(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		m.step = func(string) {
			other := writePlugin(t, tempDir(t), "x", "2.0.0", 0o755)
			if err := os.Rename(other, path); err != nil {
				t.Error(err)
			}
		}
		if _, err := m.metadata(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "its answer is not used") {
			t.Error(err)
		}
	})
	t.Run("a script knows its directory", func(t *testing.T) {
		needsScripts(t)
		m := NewManager(tempDir(t), Options{Environ: []string{"PATH=" + os.Getenv("PATH")}})
		write(t, filepath.Join(m.dir, "x", "notation-x"), []byte("#!/bin/sh\n. \"$(dirname \"$0\")/lib.sh\"\n"), 0o755)
		write(t, filepath.Join(m.dir, "x", "lib.sh"), script("x", "1.0.0"), 0o644)
		if _, err := m.Pin(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		if version := versionOf(t, m, "x"); version != "1.0.0" {
			t.Error(version)
		}
	})
	t.Run("an upgrade during a call is no attack", func(t *testing.T) {
		needsScripts(t)
		m := pinnedAs(t, Options{}, true)
		client, err := m.Get(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		var once sync.Once
		m.step = func(step string) {
			if step == "about to run" {
				once.Do(func() {
					other := NewManager(m.dir, Options{Environ: systemEnviron()})
					mustInstall(t, other, InstallRequest{File: scriptPackage(t, "2.0.0")})
				})
			}
		}
		for _, want := range []string{"1.0.0", "2.0.0"} {
			if metadata, err := client.GetMetadata(t.Context(), nil); runtime.GOOS == "linux" && (err != nil || metadata.Version != want) {
				t.Error(metadata, err)
			}
		}
	})
}
