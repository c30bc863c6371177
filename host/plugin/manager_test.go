package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/testlink"
	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/stdio"
)

func TestFind(t *testing.T) {
	t.Parallel()
	t.Run("PLG-01 path", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		want := writePlugin(t, m.dir, "com.acme.x", "1.0.0", 0o755)
		if got, err := m.Find("com.acme.x"); err != nil || got != want {
			t.Error(got, err)
		}
		if runtime.GOOS == "windows" && !strings.HasSuffix(want, ".exe") {
			t.Error(want)
		}
	})
	t.Run("PLG-01 not installed", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		if err := os.Mkdir(filepath.Join(m.dir, "empty"), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"absent", "empty"} {
			_, err := m.Get(t.Context(), name)
			if missing, ok := errors.AsType[*NotInstalledError](err); !ok || missing.Name != name || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "signet plugin install") {
				t.Error(name, err)
			}
		}
	})
	t.Run("PLG-04 another spelling is another name, whatever the file system thinks", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		writePlugin(t, m.dir, "x", "1.0.0", 0o755)
		for _, name := range []string{"X", "x."} {
			if _, err := m.Find(name); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v", name, err)
			}
			if err := checkListed(m.dir, name); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is listed: %v", name, err)
			}
		}
		if err := checkListed(m.dir, "x"); err != nil {
			t.Error(err)
		}
	})
	refused := func(t *testing.T, m *Manager, name, reason string) {
		t.Helper()
		_, err := m.Get(t.Context(), name)
		if failure, ok := errors.AsType[*ExecutableError](err); !ok || failure.Name != name || !strings.Contains(failure.Reason, reason) {
			t.Error(err)
		}
	}
	t.Run("PLG-02 linked directory", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		outside := writePlugin(t, tempDir(t), "x", "1.0.0", 0o755)
		testlink.Symlink(t, filepath.Dir(outside), filepath.Join(m.dir, "x"))
		refused(t, m, "x", "is not a directory but a symbolic link")
	})
	t.Run("PLG-03 linked executable", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		outside := writePlugin(t, tempDir(t), "x", "1.0.0", 0o755)
		if err := os.Mkdir(filepath.Join(m.dir, "x"), 0o755); err != nil {
			t.Fatal(err)
		}
		testlink.Symlink(t, outside, filepath.Join(m.dir, "x", BinaryName("x")))
		refused(t, m, "x", "is not a regular file but a symbolic link")
	})
	t.Run("PLG-03 directory as executable", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		if err := os.MkdirAll(filepath.Join(m.dir, "x", BinaryName("x")), 0o755); err != nil {
			t.Fatal(err)
		}
		refused(t, m, "x", "is not a regular file but a directory")
	})
	t.Run("PLG-03 no execute permission", func(t *testing.T) {
		needsScripts(t)
		m := NewManager(tempDir(t), Options{})
		writePlugin(t, m.dir, "x", "1.0.0", 0o655)
		refused(t, m, "x", "has no execute permission")
	})
}

func TestNames(t *testing.T) {
	t.Parallel()
	t.Run("PLG-02 directories only", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		writePlugin(t, m.dir, "b", "1.0.0", 0o755)
		writePlugin(t, m.dir, "a", "1.0.0", 0o755)
		write(t, filepath.Join(m.dir, "notation-c"), nil, 0o755)
		for _, dir := range []string{"~install-1", "not valid"} {
			if err := os.Mkdir(filepath.Join(m.dir, dir), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		os.Symlink(filepath.Join(m.dir, "a"), filepath.Join(m.dir, "linked"))
		if names, err := m.Names(); err != nil || !slices.Equal(names, []string{"a", "b"}) {
			t.Error(names, err)
		}
	})
	t.Run("PLG-75 no directory, no plugins", func(t *testing.T) {
		m := NewManager(filepath.Join(tempDir(t), "absent"), Options{})
		if entries, err := m.List(t.Context()); err != nil || len(entries) != 0 {
			t.Error(entries, err)
		}
	})
}

func TestList(t *testing.T) {
	t.Parallel()
	t.Run("PLG-75 metadata or error of each", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		testplugin.Install(t, m.dir, "b", testplugin.Script{Version: "2.0.0"})
		testplugin.Install(t, m.dir, "a", testplugin.Script{Name: "other"})
		if err := os.Mkdir(filepath.Join(m.dir, "c"), 0o755); err != nil {
			t.Fatal(err)
		}
		entries, err := m.List(t.Context())
		if err != nil || len(entries) != 3 {
			t.Fatal(entries, err)
		}
		if e := entries[0]; e.Name != "a" || e.Metadata != nil || e.Err == nil || !strings.Contains(e.Err.Error(), "notation-other") {
			t.Errorf("%+v", e)
		}
		if e := entries[1]; e.Name != "b" || e.Err != nil || e.Metadata.Version != "2.0.0" {
			t.Errorf("%+v", e)
		}
		if _, ok := errors.AsType[*NotInstalledError](entries[2].Err); !ok {
			t.Errorf("%+v", entries[2])
		}
	})
	t.Run("Hostile one plugin hangs", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{ListTimeout: 3 * time.Second})
		testplugin.Install(t, m.dir, "hangs", testplugin.Script{Any: &testplugin.Reply{Hang: true, IgnoreTerm: true}})
		// More than run at a time, so that all but one worker have to go on.
		broken := 3 * listWorkers
		for i := range broken {
			if err := os.Mkdir(filepath.Join(m.dir, fmt.Sprintf("broken%02d", i)), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		entries, err := m.List(t.Context())
		if err != nil || len(entries) != broken+1 {
			t.Fatal(len(entries), err)
		}
		last := entries[broken]
		if late, ok := errors.AsType[*stdio.TimeoutError](last.Err); !ok || late.Timeout != 3*time.Second {
			t.Errorf("%+v", last)
		}
	})
	t.Run("Hostile thousands of directories", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		for i := range 2000 {
			if err := os.Mkdir(filepath.Join(m.dir, fmt.Sprintf("p%d", i)), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if entries, err := m.List(t.Context()); err != nil || len(entries) != 2000 {
			t.Error(len(entries), err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		testplugin.Install(t, m.dir, "x", testplugin.Script{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := m.List(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestGet(t *testing.T) {
	t.Parallel()
	t.Run("CLI-04 environment of a call", func(t *testing.T) {
		record := filepath.Join(tempDir(t), "calls")
		m := NewManager(tempDir(t), Options{
			Environ:  append(systemEnviron(), "NOTATION_USERNAME=secret", "NOTATION_PASSWORD=secret", "DOCKER_AUTH_CONFIG=secret", "MINE=secret", "KEPT=yes"),
			Withhold: []string{"MINE"},
		})
		testplugin.Install(t, m.dir, "x", testplugin.Script{Record: record})
		if _, err := m.metadata(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		records := testplugin.Records(t, record)
		if len(records) != 1 || !slices.Contains(records[0].Env, "KEPT=yes") || strings.Contains(strings.Join(records[0].Env, "\n"), "secret") {
			t.Errorf("%+v", records)
		}
	})
	t.Run("CLI-04 no environment means none", func(t *testing.T) {
		needsScripts(t)
		record := filepath.Join(tempDir(t), "calls")
		m := NewManager(tempDir(t), Options{})
		testplugin.Install(t, m.dir, "x", testplugin.Script{Record: record})
		if _, err := m.metadata(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		if records := testplugin.Records(t, record); len(records) != 1 || len(records[0].Env) != 0 {
			t.Errorf("%+v", records)
		}
	})
	t.Run("PLG-13 how long a call may take", func(t *testing.T) {
		for name, c := range map[string]struct {
			opts Options
			want time.Duration
		}{
			"by default":    {Options{}, time.Minute},
			"on a terminal": {Options{Terminal: os.Stdin}, 5 * time.Minute},
			"as said":       {Options{Terminal: os.Stdin, Timeout: time.Second}, time.Second},
		} {
			if got := NewManager(tempDir(t), c.opts).opts.Timeout; got != c.want {
				t.Errorf("%s: %v", name, got)
			}
		}
	})
	t.Run("PLG-33 what it writes to stderr reaches the user as text", func(t *testing.T) {
		var text bytes.Buffer
		m := NewManager(tempDir(t), Options{Environ: systemEnviron(), Stderr: &text})
		testplugin.Install(t, m.dir, "x", testplugin.Script{Any: &testplugin.Reply{Stderr: "Touch your key\n"}})
		if _, err := m.metadata(t.Context(), "x"); err != nil || text.String() != "Touch your key\n" {
			t.Errorf("%q, %v", text.String(), err)
		}
	})
	t.Run("PLG-13 a throttled plugin is asked again", func(t *testing.T) {
		record := filepath.Join(tempDir(t), "calls")
		m := NewManager(tempDir(t), Options{Environ: systemEnviron()})
		testplugin.Install(t, m.dir, "x", testplugin.Script{Record: record, Any: &testplugin.Reply{Func: "throttle once"}})
		client, err := m.Get(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		config := map[string]string{"marker": filepath.Join(tempDir(t), "asked")}
		if _, err := client.GetMetadata(t.Context(), &protocol.GetMetadataRequest{PluginConfig: config}); err != nil {
			t.Error(err)
		}
		if n := len(testplugin.Records(t, record)); n != 2 {
			t.Errorf("asked %d times", n)
		}
	})
	t.Run("Hostile a plugin that hangs", func(t *testing.T) {
		record := filepath.Join(tempDir(t), "calls")
		m := NewManager(tempDir(t), Options{Timeout: 2 * time.Second, Environ: systemEnviron()})
		testplugin.Install(t, m.dir, "x", testplugin.Script{Record: record, Any: &testplugin.Reply{Hang: true}})
		client, err := m.Get(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.GetMetadata(t.Context(), nil)
		if late, ok := errors.AsType[*stdio.TimeoutError](err); !ok || late.Timeout != 2*time.Second {
			t.Error(err)
		}
		if n := len(testplugin.Records(t, record)); n > 1 {
			t.Errorf("an overrun deadline was tried again: %d calls", n)
		}
	})
}

// systemEnviron is what Windows needs to start a process at all.
func systemEnviron() []string {
	if runtime.GOOS == "windows" {
		return []string{"SystemRoot=" + os.Getenv("SystemRoot")}
	}
	return nil
}
