package plugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/testbuffer"
	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/session/sessionclient"
	"github.com/signet-project/signet/protocol/stdio"
)

// sessions is a manager of an installed plugin "x" that offers sessions, and the
// file that records its calls.
func sessions(t *testing.T, opts Options, script testplugin.Script) (m *Manager, record string) {
	t.Helper()
	record = filepath.Join(tempDir(t), "calls")
	script.Record = record
	if script.Session == nil {
		script.Session = &testplugin.Session{}
	}
	opts.Environ = append(systemEnviron(), opts.Environ...)
	m = NewManager(tempDir(t), opts)
	testplugin.Install(t, m.dir, "x", script)
	return m, record
}

// openSession returns a client that is at its end with the test.
func openSession(t *testing.T, m *Manager) *protocol.Client {
	t.Helper()
	client, end, err := m.Session(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end() })
	return client
}

func TestSession(t *testing.T) {
	t.Parallel()
	t.Run("PLG-18 offered by stdio, then one process", func(t *testing.T) {
		m, record := sessions(t, Options{}, testplugin.Script{})
		client := openSession(t, m)
		for range 3 {
			if _, err := client.GetMetadata(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		records := testplugin.Records(t, record)
		if len(records) != 4 || records[0].Session || records[0].Command != protocol.CommandGetMetadata {
			t.Fatalf("%+v", records)
		}
		for _, record := range records[1:] {
			if !record.Session || record.Pid != records[1].Pid {
				t.Errorf("%+v", record)
			}
		}
	})
	t.Run("PLG-18 not offered: stdio", func(t *testing.T) {
		record := filepath.Join(tempDir(t), "calls")
		m := NewManager(tempDir(t), Options{Environ: systemEnviron()})
		testplugin.Install(t, m.dir, "x", testplugin.Script{Record: record})
		client := openSession(t, m)
		if _, err := client.GetMetadata(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		for _, record := range testplugin.Records(t, record) {
			if record.Session {
				t.Errorf("%+v", record)
			}
		}
	})
	t.Run("a plugin that does not say who it is", func(t *testing.T) {
		m, _ := sessions(t, Options{}, testplugin.Script{Name: "y"})
		if _, _, err := m.Session(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), `"notation-y"`) {
			t.Error(err)
		}
	})
	t.Run("many at once", func(t *testing.T) {
		m, record := sessions(t, Options{}, testplugin.Script{})
		client := openSession(t, m)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := client.GetMetadata(t.Context(), nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		records := testplugin.Records(t, record)
		if len(records) != 51 || slices.ContainsFunc(records[1:], func(r testplugin.Record) bool { return r.Pid != records[1].Pid }) {
			t.Errorf("%d calls", len(records))
		}
	})
	t.Run("PLG-13 THROTTLED is tried again", func(t *testing.T) {
		m, record := sessions(t, Options{}, testplugin.Script{Replies: map[protocol.Command]testplugin.Reply{
			protocol.CommandDescribeKey: {Error: protocol.Errorf(protocol.CodeThrottled, "slow down"), Once: filepath.Join(tempDir(t), "once")},
		}})
		client := openSession(t, m)
		_, err := client.DescribeKey(t.Context(), &protocol.DescribeKeyRequest{KeyID: "k"})
		if failure, ok := errors.AsType[*protocol.Error](err); !ok || failure.Code == protocol.CodeThrottled { // it has no key
			t.Error(err)
		}
		if records := testplugin.Records(t, record); len(records) != 3 || records[1].Pid != records[2].Pid {
			t.Errorf("%+v", records)
		}
	})
	t.Run("a crash is repeated once", func(t *testing.T) {
		m, record := sessions(t, Options{}, testplugin.Script{Replies: map[protocol.Command]testplugin.Reply{protocol.CommandDescribeKey: {Kill: true}}})
		client := openSession(t, m)
		_, err := client.DescribeKey(t.Context(), &protocol.DescribeKeyRequest{KeyID: "k"})
		if _, ok := errors.AsType[*stdio.ExitError](err); !ok || !strings.HasPrefix(err.Error(), "plugin x: describe-key: crashed, and again when the call was repeated: it ended with ") {
			t.Error(err)
		}
		if records := testplugin.Records(t, record); len(records) != 3 || records[1].Pid == records[2].Pid {
			t.Errorf("%+v", records)
		}
	})
	t.Run("cancellation reaches the plugin", func(t *testing.T) {
		m, record := sessions(t, Options{}, testplugin.Script{Replies: map[protocol.Command]testplugin.Reply{protocol.CommandDescribeKey: {Hang: true}}})
		client := openSession(t, m)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := client.DescribeKey(ctx, &protocol.DescribeKeyRequest{KeyID: "k"})
			done <- err
		}()
		until(t, func() bool { return len(testplugin.Records(t, record)) == 2 })
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		until(t, func() bool { records := testplugin.Records(t, record); return records[len(records)-1].Cancelled })
	})
	t.Run("never stdio after a failure to open", func(t *testing.T) {
		for _, broken := range []testplugin.Session{{Exit: 1}, {Line: "hello"}} {
			m, record := sessions(t, Options{}, testplugin.Script{Session: &broken})
			client := openSession(t, m)
			_, err := client.GetMetadata(t.Context(), nil)
			if _, ok := errors.AsType[*sessionclient.HandshakeError](err); !ok || !strings.HasPrefix(err.Error(), "plugin x: get-plugin-metadata: the plugin offers sessions but did not open one: ") {
				t.Error(err)
			}
			if records := testplugin.Records(t, record); len(records) != 1 {
				t.Errorf("%+v", records)
			}
		}
	})
	t.Run("GEN-11 log and text", func(t *testing.T) {
		var log, text testbuffer.Buffer
		m, _ := sessions(t, Options{Stderr: &text, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))},
			testplugin.Script{Any: &testplugin.Reply{Stderr: "Touch your key\n"}})
		client, end, err := m.Session(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.GetMetadata(t.Context(), &protocol.GetMetadataRequest{PluginConfig: map[string]string{"token": "s3cret"}}); err != nil {
			t.Error(err)
		}
		end()
		if got := log.String(); strings.Contains(got, "s3cret") || strings.Count(got, `msg="plugin call"`) != 2 || strings.Count(got, `msg="plugin session"`) != 3 || strings.Contains(got, "Touch") {
			t.Error(got)
		}
		if got := text.String(); got != "Touch your key\nTouch your key\n" {
			t.Errorf("%q", got)
		}
	})
}

func TestSessionPin(t *testing.T) {
	t.Parallel()
	// pinnedSessions is like sessions, with a pin.
	pinnedSessions := func(t *testing.T, opts Options) (m *Manager, record string) {
		record = filepath.Join(tempDir(t), "calls")
		opts.Environ = systemEnviron()
		m = NewManager(tempDir(t), opts)
		if err := os.Mkdir(filepath.Join(m.dir, "x"), 0o755); err != nil {
			t.Fatal(err)
		}
		testplugin.Build(t, filepath.Join(m.dir, "x"), "x", testplugin.Script{Record: record, Session: &testplugin.Session{}})
		if _, err := m.Pin(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		return m, record
	}
	t.Run("Hostile changed before", func(t *testing.T) {
		m, _ := pinnedSessions(t, Options{})
		write(t, filepath.Join(m.dir, "x", "more"), []byte("text"), 0o644)
		if _, _, err := m.Session(t.Context(), "x"); !isPinError(err) {
			t.Error(err)
		}
	})
	t.Run("Hostile changed between the metadata and the session", func(t *testing.T) {
		m, record := pinnedSessions(t, Options{RequirePins: true})
		client := openSession(t, m)
		write(t, filepath.Join(m.dir, "x", "more"), []byte("text"), 0o644)
		if _, err := client.GetMetadata(t.Context(), nil); !isPinError(err) {
			t.Error(err)
		}
		if records := testplugin.Records(t, record); len(records) != 1 {
			t.Errorf("%+v", records)
		}
	})
	t.Run("Hostile changed while a process runs", func(t *testing.T) {
		m, record := pinnedSessions(t, Options{})
		client := openSession(t, m)
		if _, err := client.GetMetadata(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(m.dir, "x", "more"), []byte("text"), 0o644)
		if _, err := client.GetMetadata(t.Context(), nil); !isPinError(err) {
			t.Error(err)
		}
		if _, err := m.Pin(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		if _, err := client.GetMetadata(t.Context(), nil); err != nil {
			t.Error("accepted, and yet:", err)
		}
		if records := testplugin.Records(t, record); len(records) != 3 || records[1].Pid == records[2].Pid {
			t.Errorf("%+v", records)
		}
	})
	t.Run("an upgrade, and a variable to withhold, take effect at the next call", func(t *testing.T) {
		for _, pin := range []bool{true, false} {
			m := NewManager(tempDir(t), Options{Environ: append(systemEnviron(), "A=1")})
			if err := os.Mkdir(filepath.Join(m.dir, "x"), 0o755); err != nil {
				t.Fatal(err)
			}
			record := filepath.Join(tempDir(t), "calls")
			place := func(version string) {
				t.Helper()
				other := testplugin.Build(t, tempDir(t), "x", testplugin.Script{Version: version, Session: &testplugin.Session{}, Record: record})
				if err := os.Rename(other, filepath.Join(m.dir, "x", BinaryName("x"))); err != nil {
					t.Fatal(err)
				}
				if _, err := m.Pin(t.Context(), "x"); pin && err != nil {
					t.Fatal(err)
				}
			}
			place("1.0.0")
			client := openSession(t, m)
			expect := func(version string, processes int) {
				t.Helper()
				for range 2 {
					if metadata, err := client.GetMetadata(t.Context(), nil); err != nil || metadata.Version != version {
						t.Error(metadata, err)
					}
				}
				pids := map[int]bool{}
				for _, record := range testplugin.Records(t, record) {
					pids[record.Pid] = record.Session
				}
				if len(pids) != processes+1 { // one for the metadata by stdio
					t.Errorf("%d processes, want %d", len(pids)-1, processes)
				}
			}
			expect("1.0.0", 1)
			place("2.0.0")
			expect("2.0.0", 2)
			if err := m.Withhold(t.Context(), "x", []string{"A"}); err != nil {
				t.Fatal(err)
			}
			expect("2.0.0", 3)
			records := testplugin.Records(t, record)
			if slices.Contains(records[len(records)-1].Env, "A=1") {
				t.Error("the plugin still gets the variable")
			}
		}
	})
	t.Run("Hostile a script replaced between check and run", func(t *testing.T) {
		needsScripts(t)
		m, record := pinnedSessions(t, Options{})
		program := filepath.Join(tempDir(t), BinaryName("x"))
		if err := os.Rename(filepath.Join(m.dir, "x", BinaryName("x")), program); err != nil {
			t.Fatal(err)
		}
		text := fmt.Appendf(nil, "#!/bin/sh\nexec %s \"$@\"\n", program)
		path := write(t, filepath.Join(m.dir, "x", BinaryName("x")), text, 0o755)
		if _, err := m.Pin(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		client := openSession(t, m)
		if _, err := client.GetMetadata(t.Context(), nil); err != nil {
			t.Fatal("a script may offer sessions:", err)
		}
		other := openSession(t, m)
		m.step = func(string) {
			if err := os.Rename(write(t, filepath.Join(tempDir(t), "y"), text, 0o755), path); err != nil {
				t.Error(err)
			}
		}
		if _, err := other.GetMetadata(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "was replaced while it ran") {
			t.Error(err)
		}
		if records := testplugin.Records(t, record); len(records) != 3 { // two by stdio
			t.Errorf("%+v", records)
		}
	})
	t.Run("Hostile made something else that cannot run", func(t *testing.T) {
		needsScripts(t)
		m, _ := sessions(t, Options{}, testplugin.Script{})
		client := openSession(t, m)
		path := filepath.Join(m.dir, "x", BinaryName("x"))
		os.Remove(path)
		write(t, path, []byte("hello"), 0o755)
		_, err := client.GetMetadata(t.Context(), nil)
		if _, ok := errors.AsType[*ExecutableError](err); !ok || !strings.Contains(err.Error(), runtime.GOARCH) {
			t.Error(err)
		}
		os.Remove(path)
		_, err = client.GetMetadata(t.Context(), nil)
		if _, ok := errors.AsType[*NotInstalledError](err); !ok {
			t.Error(err)
		}
	})
}

func isPinError(err error) bool {
	_, ok := errors.AsType[*PinError](err)
	return ok
}

// until polls for a condition.
func until(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("in vain waited")
		}
	}
}
