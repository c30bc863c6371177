package sessionclient_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
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

func TestSession(t *testing.T) {
	t.Parallel()
	t.Run("many calls, one process", func(t *testing.T) {
		p := install(t, testplugin.Script{})
		for range 5 {
			if err := p.metadata(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if pids := p.processes(t); len(pids) != 1 {
			t.Error(pids)
		}
		if text := p.text.String(); text != "" {
			t.Errorf("on stderr: %q", text)
		}
		p.Close()
		if err := p.metadata(t.Context()); !errors.Is(err, sessionclient.ErrClosed) {
			t.Error(err)
		}
	})
	t.Run("closed before any call", func(t *testing.T) {
		p := install(t, testplugin.Script{})
		p.Close()
		if err := p.metadata(t.Context()); !errors.Is(err, sessionclient.ErrClosed) {
			t.Error(err)
		}
	})
	t.Run("PLG-10 the plugin's errors", func(t *testing.T) {
		p := install(t, testplugin.Script{Any: &testplugin.Reply{Error: &protocol.Error{
			Code: protocol.CodeAccessDenied, Message: "no", Metadata: map[string]string{"a": "b"},
		}}})
		if err := p.metadata(t.Context()); !is(err, func(e *protocol.Error) bool {
			return e.Code == protocol.CodeAccessDenied && e.Message == "no" && e.Metadata["a"] == "b"
		}) {
			t.Error(err)
		}
	})
	t.Run("a panic answers its call and leaves the session", func(t *testing.T) {
		p := install(t, testplugin.Script{Replies: map[protocol.Command]testplugin.Reply{protocol.CommandDescribeKey: {Panic: "oops"}}})
		if err := p.describe(t.Context(), "k"); !is(err, func(e *protocol.Error) bool {
			return e.Code == protocol.CodeGeneric && strings.Contains(e.Message, "plugin crashed during describe-key: oops")
		}) {
			t.Error(err)
		}
		if err := p.metadata(t.Context()); err != nil {
			t.Error(err)
		}
		if pids := p.processes(t); len(pids) != 1 {
			t.Error(pids)
		}
	})
	t.Run("stderr is passed on as text", func(t *testing.T) {
		p := install(t, testplugin.Script{Any: &testplugin.Reply{Stderr: "Touch your key\n"}})
		if err := p.metadata(t.Context()); err != nil {
			t.Error(err)
		}
		p.Close()
		if text := p.text.String(); text != "Touch your key\n" {
			t.Errorf("%q", text)
		}
	})
	t.Run("what the plugin prints does not disturb", func(t *testing.T) {
		p := install(t, testplugin.Script{Session: &testplugin.Session{Noise: true}})
		for range 20 {
			if err := p.metadata(t.Context()); err != nil {
				t.Error(err)
			}
		}
		p.Close()
		if text := p.text.String(); !strings.Contains(text, "noise|") {
			t.Errorf("its stdout is not on stderr: %q", text)
		}
	})
	t.Run("environment", func(t *testing.T) {
		p := install(t, testplugin.Script{})
		p.program.Env = []string{"A=b", "PLUGIN_UNIX_SOCKET_GROUP=staff", "PLUGIN_MULTIPLEX_GRPC=true"}
		if err := p.metadata(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, entry := range testplugin.Records(t, p.file("record"))[0].Env {
			switch name, _, _ := strings.Cut(entry, "="); name {
			case "A", "NOTATION_PLUGIN_SESSION", "PLUGIN_MIN_PORT", "PLUGIN_MAX_PORT", "PLUGIN_PROTOCOL_VERSIONS", "PLUGIN_CLIENT_CERT", "PLUGIN_UNIX_SOCKET_DIR":
			default:
				t.Errorf("the plugin got %q", entry)
			}
		}
	})
	t.Run("the host's certificate is one that every TLS library takes", func(t *testing.T) {
		p := install(t, testplugin.Script{})
		if err := p.metadata(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, entry := range testplugin.Records(t, p.file("record"))[0].Env {
			text, ok := strings.CutPrefix(entry, "PLUGIN_CLIENT_CERT=")
			if !ok {
				continue
			}
			block, _ := pem.Decode([]byte(text))
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			if key, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
				t.Errorf("a key of type %T, not P-256", cert.PublicKey)
			}
			return
		}
		t.Error("there is none")
	})
	t.Run("what is logged", func(t *testing.T) {
		for level, wanted := range map[slog.Level]bool{slog.LevelDebug: true, slog.LevelInfo: false} {
			var log testbuffer.Buffer
			p := install(t, testplugin.Script{})
			p.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level}))
			if err := p.metadata(t.Context()); err != nil {
				t.Fatal(err)
			}
			p.Close()
			if got := log.String(); (got != "") != wanted || strings.Contains(got, "level=INFO") || strings.Contains(got, "level=ERROR") {
				t.Errorf("at %s: %s", level, got)
			}
		}
	})
}

func TestCrash(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]testplugin.Reply{"killed": {Kill: true}, "exit 0": {Exit: 0, Kill: true}, "exit 3": {Exit: 3}} {
		t.Run(name+" once: the call is repeated", func(t *testing.T) {
			reply := reply
			reply.Once = filepath.Join(t.TempDir(), "once")
			p := install(t, testplugin.Script{Any: &reply})
			if err := p.metadata(t.Context()); err != nil {
				t.Error(err)
			}
			if pids := p.processes(t); len(pids) != 2 {
				t.Error(pids)
			}
		})
		t.Run(name+" twice: an error", func(t *testing.T) {
			p := install(t, testplugin.Script{Any: &reply})
			err := p.metadata(t.Context())
			if !is(err, func(e *stdio.ExitError) bool { return e.Code != 0 }) || !strings.Contains(err.Error(), "crashed, and again when the call was repeated") {
				t.Error(err)
			}
			if records := testplugin.Records(t, p.file("record")); len(records) != 2 {
				t.Errorf("%d calls", len(records))
			}
		})
	}
	t.Run("other calls that were not answered are repeated too, answered ones are not", func(t *testing.T) {
		p := install(t, testplugin.Script{Replies: map[protocol.Command]testplugin.Reply{
			protocol.CommandDescribeKey: {Func: "echo"},
			protocol.CommandGetMetadata: {Kill: true, Once: filepath.Join(t.TempDir(), "once")},
			// Answered when its repetition comes to a process that lives on.
			protocol.CommandGenerateSignature: {Hang: true, Once: filepath.Join(t.TempDir(), "once"), Stdout: "{}"},
		}})
		if err := p.describe(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() {
			_, err := p.Call(t.Context(), protocol.CommandGenerateSignature, []byte("{}"))
			done <- err
		}()
		until(t, "the call that hangs", func() bool { return len(testplugin.Records(t, p.file("record"))) == 2 })
		if err := p.metadata(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-done; !is(err, func(e *protocol.Error) bool { return e.Code == protocol.CodeValidation }) { // {} is no request
			t.Error(err)
		}
		calls := map[protocol.Command]int{}
		for _, record := range testplugin.Records(t, p.file("record")) {
			calls[record.Command]++
		}
		if calls[protocol.CommandDescribeKey] != 1 || calls[protocol.CommandGetMetadata] != 2 || calls[protocol.CommandGenerateSignature] != 2 {
			t.Error(calls)
		}
	})
	t.Run("between calls: the next one goes to a new process", func(t *testing.T) {
		p := install(t, testplugin.Script{})
		if err := p.metadata(t.Context()); err != nil {
			t.Fatal(err)
		}
		process, err := os.FindProcess(p.processes(t)[0])
		if err != nil {
			t.Fatal(err)
		}
		process.Kill()
		until(t, "its end", func() bool { _, closed := p.count(); return closed == 1 })
		if err := p.metadata(t.Context()); err != nil {
			t.Error(err)
		}
		if pids := p.processes(t); len(pids) != 2 {
			t.Error(pids)
		}
	})
}

func TestCancel(t *testing.T) {
	t.Parallel()
	reason := errors.New("user went home")
	t.Run("reaches the plugin, and no other call", func(t *testing.T) {
		p := install(t, testplugin.Script{Replies: map[protocol.Command]testplugin.Reply{protocol.CommandDescribeKey: {Hang: true}}})
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error)
		go func() { done <- p.describe(ctx, "k") }()
		until(t, "the call", func() bool { return len(testplugin.Records(t, p.file("record"))) == 1 })
		if err := p.metadata(t.Context()); err != nil {
			t.Error(err)
		}
		cancel(reason)
		if err := <-done; !errors.Is(err, reason) {
			t.Error(err)
		}
		until(t, "the plugin's context to be cancelled", func() bool {
			records := testplugin.Records(t, p.file("record"))
			return records[len(records)-1].Cancelled
		})
		if err := p.metadata(t.Context()); err != nil {
			t.Error(err)
		}
		if pids := p.processes(t); len(pids) != 1 {
			t.Error("the process did not live on", pids)
		}
	})
	t.Run("before the start", func(t *testing.T) {
		p := install(t, testplugin.Script{})
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(reason)
		if err := p.metadata(ctx); !errors.Is(err, reason) {
			t.Error(err)
		}
		if opened, _ := p.count(); opened != 0 {
			t.Error("a process was started")
		}
	})
	t.Run("of the first call, while the process starts, leaves the second alone", func(t *testing.T) {
		p := install(t, testplugin.Script{})
		starting, go_on := make(chan struct{}), make(chan struct{})
		open := p.Transport.Open
		p.Transport.Open = func(ctx context.Context) (*sessionclient.Program, error) {
			close(starting)
			<-go_on
			return open(ctx)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		first, second := make(chan error), make(chan error)
		go func() { first <- p.metadata(ctx) }()
		<-starting
		go func() { second <- p.metadata(t.Context()) }()
		cancel(reason)
		if err := <-first; !errors.Is(err, reason) {
			t.Error(err)
		}
		close(go_on)
		if err := <-second; err != nil {
			t.Error(err)
		}
	})
}

func TestDeadlines(t *testing.T) {
	t.Parallel()
	for name, deaf := range map[string]bool{"a call that hangs": false, "a call that ignores its context": true} {
		t.Run(name, func(t *testing.T) {
			p := install(t, testplugin.Script{Replies: map[protocol.Command]testplugin.Reply{protocol.CommandDescribeKey: {Hang: true, IgnoreTerm: deaf}}})
			if err := p.metadata(t.Context()); err != nil {
				t.Fatal(err)
			}
			short := time.Second
			p.Timeout = short // of a process that is there already
			err := p.describe(t.Context(), "k")
			if !is(err, func(e *stdio.TimeoutError) bool { return e.Timeout == short }) || !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			until(t, "the end of a process that overran a deadline", func() bool { _, closed := p.count(); return closed == 1 })
			p.Timeout = patience
			if err := p.metadata(t.Context()); err != nil {
				t.Error(err)
			}
			calls := 0
			for _, record := range testplugin.Records(t, p.file("record")) {
				if record.Command == protocol.CommandDescribeKey && !record.Cancelled {
					calls++
				}
			}
			if calls > 1 || len(p.processes(t)) != 2 {
				t.Errorf("%d calls, processes %v", calls, p.processes(t))
			}
		})
	}
	t.Run("idle", func(t *testing.T) {
		p := install(t, testplugin.Script{})
		p.Idle = time.Millisecond
		for want := 1; want <= 2; want++ {
			if err := p.metadata(t.Context()); err != nil {
				t.Fatal(err)
			}
			until(t, "the end of an idle process", func() bool { _, closed := p.count(); return closed == want })
		}
	})
	t.Run("lifetime, with a call under way", func(t *testing.T) {
		p := install(t, testplugin.Script{Replies: map[protocol.Command]testplugin.Reply{
			protocol.CommandDescribeKey: {Func: "echo", Delay: 500 * time.Millisecond},
		}})
		p.Lifetime = time.Millisecond
		if err := p.describe(t.Context(), "k"); err != nil {
			t.Error(err)
		}
		until(t, "the end of an old process", func() bool { _, closed := p.count(); return closed == 1 })
		if opened, _ := p.count(); opened != 1 {
			t.Error(opened)
		}
	})
}

func TestBounds(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	tooMuch := func(text string) func(*protocol.AnswerError) bool {
		return func(e *protocol.AnswerError) bool { return strings.Contains(e.Reason, text) }
	}
	for name, c := range map[string]struct {
		reply testplugin.Reply
		ok    func(*protocol.AnswerError) bool
	}{
		"PLG-07 flood on stdout": {testplugin.Reply{FloodStdout: 3 * limit}, tooMuch("to stdout")},
		"PLG-07 flood on stderr": {testplugin.Reply{FloodStderr: 3 * limit}, tooMuch("to stderr")},
	} {
		t.Run(name, func(t *testing.T) {
			p := install(t, testplugin.Script{Any: &c.reply})
			p.MaxOutput = limit
			if err := p.metadata(t.Context()); !is(err, c.ok) {
				t.Error(err)
			}
			if pids := p.processes(t); len(pids) != 1 {
				t.Error("the call was repeated", pids)
			}
		})
	}
	t.Run("PLG-07 much on stderr, but not at once", func(t *testing.T) {
		p := install(t, testplugin.Script{Any: &testplugin.Reply{FloodStderr: limit / 2}})
		p.MaxOutput = limit
		for range 5 {
			if err := p.metadata(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("PLG-07 answers", func(t *testing.T) {
		p := install(t, testplugin.Script{Any: &testplugin.Reply{Func: "huge"}})
		p.MaxOutput = limit
		if err := p.describe(t.Context(), fmt.Sprint(limit)); err != nil {
			t.Error("as much as allowed:", err)
		}
		for _, size := range []int{limit + 1, 3 * limit} {
			if err := p.describe(t.Context(), fmt.Sprint(size)); !is(err, tooMuch("answered with more than")) {
				t.Error(err)
			}
		}
		if pids := p.processes(t); len(pids) != 1 {
			t.Error(pids)
		}
	})
	t.Run("PLG-07 the bound of the contract, both ways", func(t *testing.T) {
		p := install(t, testplugin.Script{})
		testplugin.Install(t, p.dir, "acme", testplugin.Script{Session: &testplugin.Session{}, Any: &testplugin.Reply{Func: "huge"}}) // records nothing
		for request, want := range map[string]int{
			fmt.Sprintf(`{"keyId":"%d"}`, protocol.MaxMessageSize):                             protocol.MaxMessageSize,
			fmt.Sprintf(`{"keyId":"1000"%s}`, strings.Repeat(" ", protocol.MaxMessageSize-16)): 1000,
		} {
			if answer, err := p.Call(t.Context(), protocol.CommandDescribeKey, []byte(request)); err != nil || len(answer) != want {
				t.Error(len(answer), err)
			}
		}
	})
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	p := install(t, testplugin.Script{Any: &testplugin.Reply{Func: "echo"}})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			for j := range 5 {
				if err := p.describe(t.Context(), fmt.Sprintf("key %d %d", i, j)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if pids := p.processes(t); len(pids) != 1 || len(testplugin.Records(t, p.file("record"))) != 250 {
		t.Error(pids)
	}
}

// TestEnd runs alone: while other sessions run, what a process started before it had its
// mark, on a machine too busy to mark it at once, is found only when the last one ends.
func TestEnd(t *testing.T) {
	t.Run("calls that run fail", func(t *testing.T) {
		p := install(t, testplugin.Script{Any: &testplugin.Reply{Hang: true}})
		done := make(chan error)
		go func() { done <- p.metadata(t.Context()) }()
		until(t, "the call", func() bool { return len(testplugin.Records(t, p.file("record"))) == 1 })
		p.Close()
		if err := <-done; !errors.Is(err, sessionclient.ErrClosed) {
			t.Error(err)
		}
	})
	t.Run("a process that starts is ended", func(t *testing.T) {
		p := install(t, testplugin.Script{Session: &testplugin.Session{Silent: true}})
		done := make(chan error)
		go func() { done <- p.metadata(t.Context()) }()
		until(t, "the process", func() bool { return len(p.noted(t)) == 1 })
		p.Close()
		if err := <-done; !errors.Is(err, sessionclient.ErrClosed) {
			t.Error(err)
		}
	})
	t.Run("one that will not is killed", func(t *testing.T) {
		p := install(t, testplugin.Script{Session: &testplugin.Session{Deaf: true}})
		if err := p.metadata(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.Close()
		p.noneLeft(t)
	})
	t.Run("nothing of the socket is left", func(t *testing.T) {
		p := install(t, testplugin.Script{})
		if err := p.metadata(t.Context()); err != nil {
			t.Fatal(err)
		}
		var dir string
		for _, entry := range testplugin.Records(t, p.file("record"))[0].Env {
			if value, ok := strings.CutPrefix(entry, "PLUGIN_UNIX_SOCKET_DIR="); ok {
				dir = value
			}
		}
		if info, err := os.Stat(dir); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
			t.Error(info, err)
		}
		p.Close()
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	})
	for _, fork := range []testplugin.Fork{testplugin.ForkPlain, testplugin.ForkSetsid, testplugin.ForkDouble, testplugin.ForkDaemon} {
		if fork != testplugin.ForkPlain && runtime.GOOS != "linux" {
			continue // elsewhere these escape, as package stdio says
		}
		for name, script := range map[string]testplugin.Script{
			"started ahead of the handshake": {Session: &testplugin.Session{Fork: fork}},
			"started in a call":              {Any: &testplugin.Reply{Fork: fork}},
			"left by a crash":                {Any: &testplugin.Reply{Fork: fork, Kill: true}},
		} {
			t.Run("grandchildren, "+string(fork)+", "+name, func(t *testing.T) {
				p := install(t, script)
				if err := p.metadata(t.Context()); (err != nil) != (script.Any != nil && script.Any.Kill) {
					t.Error(err)
				}
				if pids := p.noted(t); len(pids) < 2 {
					t.Error(pids)
				}
				p.Close()
				p.noneLeft(t)
			})
		}
	}
}

// TestGoroutines runs alone: nothing else starts any.
func TestGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 3 {
		p := install(t, testplugin.Script{})
		if err := p.metadata(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.Close()
	}
	until(t, "all goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
}

func TestTemporaryDirectory(t *testing.T) {
	t.Run("with a path too long for sockets", func(t *testing.T) {
		if runtime.GOOS == "windows" {
			return // no sockets there
		}
		dir := filepath.Join(t.TempDir(), strings.Repeat("long", 20))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		t.Setenv("TMPDIR", dir)
		p := install(t, testplugin.Script{})
		if err := p.metadata(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("is left as it was", func(t *testing.T) {
		dir, err := os.MkdirTemp("", "t") // short enough for sockets
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		t.TempDir() // those of the test are elsewhere
		t.Setenv("TMPDIR", dir)
		t.Setenv("TMP", dir)
		for name, script := range map[string]testplugin.Script{
			"a good session":  {},
			"crashes":         {Any: &testplugin.Reply{Kill: true}},
			"no handshake":    {Session: &testplugin.Session{Line: "hello"}},
			"ends at once":    {Session: &testplugin.Session{Exit: 3}},
			"silence":         {Session: &testplugin.Session{Silent: true}},
			"cannot be run":   {},
			"is refused then": {},
		} {
			p := install(t, script)
			switch name {
			case "silence":
				p.Timeout = time.Second
			case "cannot be run":
				p.program.Path = p.file("absent")
			case "is refused then":
				p.program.Check = func() error { return errors.New("not the plugin it was") }
			}
			if err := p.metadata(t.Context()); (err == nil) != (name == "a good session") {
				t.Errorf("%s: %v", name, err)
			}
			p.Close()
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
				t.Errorf("%s: %v, %v", name, entries, err)
			}
		}
	})
	t.Run("not there", func(t *testing.T) {
		p := install(t, testplugin.Script{})
		t.Setenv("TMPDIR", "/nonexistent")
		t.Setenv("TMP", `X:\nonexistent`)
		err := p.metadata(t.Context())
		if err == nil || is(err, func(*sessionclient.HandshakeError) bool { return true }) || !strings.Contains(err.Error(), "nonexistent") {
			t.Error("the plugin is not to blame:", err)
		}
	})
}

// BenchmarkCall is one small call of an open sessionclient.
func BenchmarkCall(b *testing.B) {
	p := install(b, testplugin.Script{})
	testplugin.Install(b, p.dir, "acme", testplugin.Script{Session: &testplugin.Session{}}) // records nothing
	if err := p.metadata(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Run("one at a time", func(b *testing.B) {
		for b.Loop() {
			if err := p.metadata(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("8 at a time", func(b *testing.B) {
		b.SetParallelism(4)
		b.RunParallel(func(calls *testing.PB) {
			for calls.Next() {
				if err := p.metadata(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

// BenchmarkOpen is a session with one call.
func BenchmarkOpen(b *testing.B) {
	for b.Loop() {
		p := install(b, testplugin.Script{})
		if err := p.metadata(b.Context()); err != nil {
			b.Fatal(err)
		}
		p.Close()
	}
}
