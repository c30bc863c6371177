package stdio_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/stdio"
)

// patience is more than any call in these tests takes on a busy machine.
const patience = 30 * time.Second

type call struct {
	transport *stdio.Transport
	log       bytes.Buffer
	pids      string
}

// prepare installs a plugin with one reply for every command.
func prepare(t testing.TB, reply testplugin.Reply) *call {
	t.Helper()
	dir := t.TempDir()
	c := &call{pids: filepath.Join(dir, "pids")}
	path := testplugin.Install(t, dir, "acme", testplugin.Script{Any: &reply, Pids: c.pids})
	c.transport = &stdio.Transport{Path: path, Timeout: patience, Grace: 500 * time.Millisecond, Stderr: &c.log}
	return c
}

func (c *call) metadata(ctx context.Context) error {
	_, err := protocol.NewClient("acme", c.transport).GetMetadata(ctx, nil)
	return err
}

// noneLeft fails the test if a process that noted its id in the pids file still is.
func (c *call) noneLeft(t testing.TB, want int) {
	t.Helper()
	data, _ := os.ReadFile(c.pids)
	pids := strings.Fields(string(data))
	if len(pids) < want {
		t.Errorf("%d processes noted their id, want %d", len(pids), want)
	}
	for _, field := range pids {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		if exists(pid) {
			t.Errorf("process %d is left", pid)
		}
	}
}

func want[E error](check func(E) bool) func(error) bool {
	return func(err error) bool {
		e, ok := errors.AsType[E](err)
		return ok && check(e)
	}
}

func malformed(text string) func(error) bool {
	return want(func(e *protocol.AnswerError) bool { return strings.Contains(e.Error(), text) })
}

func succeeds(err error) bool { return err == nil }

func TestHostile(t *testing.T) {
	const limit = 1 << 20
	answer := `{"name":"acme","description":"d","version":"1.0.0","url":"u","supportedContractVersions":["1.0"],"capabilities":["x"]}`
	failed := func(code protocol.ErrorCode, message string) func(error) bool {
		return want(func(e *protocol.Error) bool { return e.Code == code && e.Message == message })
	}
	exited := func(code int) func(error) bool {
		return want(func(e *stdio.ExitError) bool { return e.Code == code })
	}
	for _, c := range []struct {
		name    string
		reply   testplugin.Reply
		timeout time.Duration
		ok      func(error) bool
		left    int // processes that the plugin started
		unix    bool
	}{
		{name: "PLG-05 good answer", ok: succeeds},
		{name: "PLG-05 trailing text", reply: testplugin.Reply{After: "bye"}, ok: malformed("")},
		{name: "PLG-05 white space around", reply: testplugin.Reply{Before: "\n ", After: " \r\n"}, ok: succeeds},
		{name: "PLG-05 garbage before", reply: testplugin.Reply{Before: "DEBUG: hello\n"}, ok: malformed("malformed answer")},
		{name: "PLG-05 two documents", reply: testplugin.Reply{After: answer}, ok: malformed("more text after")},
		{name: "PLG-05 nothing", reply: testplugin.Reply{Mute: true}, ok: malformed("no JSON at all")},
		{name: "PLG-05 null", reply: testplugin.Reply{Stdout: "null"}, ok: malformed("not a JSON object but a null")},
		{name: "PLG-05 list", reply: testplugin.Reply{Stdout: "[]"}, ok: malformed("not a JSON object but a list")},
		{name: "PLG-05 empty object", reply: testplugin.Reply{Stdout: "{}"}, ok: want(func(e *protocol.MetadataError) bool { return e.Reason == "empty name" })},
		{name: "PLG-05 wrong type", reply: testplugin.Reply{Set: map[string]any{"name": 1}}, ok: malformed("malformed answer")},
		{name: "PLG-05 deep nesting", reply: testplugin.Reply{Stdout: strings.Repeat(`{"a":`, 5000)}, ok: malformed("nested deeper")},
		{name: "PLG-05 invalid UTF-8", reply: testplugin.Reply{Raw: []byte("{\"name\":\"\xff\"}")}, ok: malformed("UTF-8")},
		{name: "PLG-05 duplicate members", reply: testplugin.Reply{Stdout: `{"name":"acme",` + answer[1:]}, ok: malformed("duplicate")},
		{name: "PLG-33 log text on stderr", reply: testplugin.Reply{Stderr: "DEBUG\n{\"level\":1}\n"}, ok: succeeds},
		{name: "PLG-07 flood on stdout", reply: testplugin.Reply{Mute: true, FloodStdout: 100 * limit}, ok: malformed("to stdout")},
		{name: "PLG-07 flood on stderr", reply: testplugin.Reply{FloodStderr: 100 * limit}, ok: malformed("to stderr")},
		{name: "PLG-07 as much as allowed", reply: testplugin.Reply{Stderr: "\n", FloodStderr: limit - 1}, ok: succeeds},
		{name: "PLG-07 one byte more", reply: testplugin.Reply{Stderr: "\n", FloodStderr: limit}, ok: malformed("to stderr")},
		{name: "PLG-10 error", reply: testplugin.Reply{Error: protocol.Errorf(protocol.CodeThrottled, "slow down")}, ok: failed(protocol.CodeThrottled, "slow down")},
		{name: "PLG-10 error among log text", reply: testplugin.Reply{Stderr: "{\"level\":\"debug\"}\nlog\n", Error: protocol.Errorf(protocol.CodeAccessDenied, "no"), FloodStderr: 100}, ok: failed(protocol.CodeAccessDenied, "no")},
		{name: "PLG-10 exit 2", reply: testplugin.Reply{Error: protocol.Errorf(protocol.CodeThrottled, "slow down"), Exit: 2}, ok: exited(2)},
		{name: "PLG-10 exit 3 with text that steers terminals", reply: testplugin.Reply{Mute: true, Exit: 3, Stderr: "a\x1b[2J\u009bb\u202e\xffc\r\n"}, ok: want(func(e *stdio.ExitError) bool { return e.Error() == "ended with exit status 3: a[2Jbc" })},
		{name: "PLG-10 exit 1 without error", reply: testplugin.Reply{Mute: true, Exit: 1, Stderr: "boom\n"}, ok: want(func(e *stdio.ExitError) bool { return e.Error() == "ended with exit status 1: boom" })},
		{name: "PLG-10 exit 1 with an answer", reply: testplugin.Reply{Exit: 1}, ok: exited(1)},
		{name: "PLG-10 exit 0 with an error", reply: testplugin.Reply{Stdout: `{"errorCode":"ERROR","errorMessage":"no"}`}, ok: malformed("an error where an answer was due")},
		{name: "PLG-10 kills itself", reply: testplugin.Reply{Kill: true, Mute: true}, ok: func(err error) bool { _, ok := errors.AsType[*stdio.ExitError](err); return ok }},
		{name: "PLG-11 all three absent", reply: testplugin.Reply{Mute: true, Stderr: "{}", Exit: 1}, ok: malformed("malformed error")},
		{name: "PLG-11 message alone", reply: testplugin.Reply{Mute: true, Stderr: `{"errorMessage":"m"}`, Exit: 1}, ok: failed(protocol.CodeGeneric, "m")},
		{name: "PLG-11 on several lines", reply: testplugin.Reply{Mute: true, Stderr: "{\n  \"errorCode\": \"TIMEOUT\",\n  \"errorMetadata\":\n  {\n   \"a\": \"b\"\n  }\n}\n", Exit: 1}, ok: failed(protocol.CodeTimeout, "")},
		{name: "PLG-12 unknown code", reply: testplugin.Reply{Mute: true, Stderr: `{"errorCode":"OUCH","errorMessage":"m"}`, Exit: 1}, ok: failed(protocol.CodeGeneric, "m")},
		{name: "hangs", reply: testplugin.Reply{Hang: true}, timeout: 2 * time.Second, ok: isTimeout},
		{name: "ignores SIGTERM", reply: testplugin.Reply{Hang: true, IgnoreTerm: true}, timeout: 2 * time.Second, ok: isTimeout},
		{name: "leaves a child with stdout", reply: testplugin.Reply{Fork: testplugin.ForkPlain}, ok: succeeds, left: 1},
		{name: "leaves a child by setsid", reply: testplugin.Reply{Fork: testplugin.ForkSetsid}, ok: succeeds, left: 1, unix: true},
		{name: "leaves a child by double fork", reply: testplugin.Reply{Fork: testplugin.ForkDouble}, ok: succeeds, left: 1, unix: true},
		{name: "leaves a daemon", reply: testplugin.Reply{Fork: testplugin.ForkDaemon}, ok: succeeds, left: 1, unix: true},
		{name: "fails and leaves a daemon", reply: testplugin.Reply{Fork: testplugin.ForkDaemon, Exit: 3}, ok: exited(3), left: 1, unix: true},
		{name: "hangs with a daemon", reply: testplugin.Reply{Fork: testplugin.ForkDaemon, Hang: true, IgnoreTerm: true}, timeout: 2 * time.Second, ok: isTimeout, unix: true},
		{name: "floods with a daemon", reply: testplugin.Reply{Fork: testplugin.ForkDouble, Mute: true, FloodStdout: 3 * limit}, ok: malformed("to stdout"), left: 1, unix: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.unix && runtime.GOOS != "linux" {
				return // elsewhere these escape, as the package says
			}
			call := prepare(t, c.reply)
			call.transport.MaxOutput = limit
			if c.timeout != 0 {
				call.transport.Timeout = c.timeout
			}
			start := time.Now()
			if err := call.metadata(t.Context()); !c.ok(err) {
				t.Errorf("error: %v", err)
			}
			if took := time.Since(start); took > patience {
				t.Errorf("took %v", took)
			}
			call.noneLeft(t, c.left)
		})
	}
}

func isTimeout(err error) bool {
	_, ok := errors.AsType[*stdio.TimeoutError](err)
	return ok && errors.Is(err, context.DeadlineExceeded)
}

func TestRequestUnread(t *testing.T) {
	request := bytes.Repeat([]byte(" "), 4<<20) // more than a pipe holds
	answer := `{"keyId":"k","keySpec":"EC-256"}`
	for name, reply := range map[string]testplugin.Reply{
		"never read":                  {IgnoreStdin: true, Stdout: answer},
		"closed":                      {CloseStdin: true, Stdout: answer},
		"held open by a child of its": {IgnoreStdin: true, Stdout: answer, Fork: testplugin.ForkPlain},
	} {
		t.Run("PLG-05 "+name, func(t *testing.T) {
			t.Parallel()
			call := prepare(t, reply)
			got, err := call.transport.Call(t.Context(), protocol.CommandDescribeKey, request)
			if err != nil || string(got) != answer {
				t.Fatalf("%q, %v", got, err)
			}
			call.noneLeft(t, 0)
		})
	}
}

func TestCancel(t *testing.T) {
	reason := errors.New("user went home")
	replies := map[string]testplugin.Reply{
		"obedient":        {Hang: true, Mute: true},
		"ignores SIGTERM": {Hang: true, Mute: true, IgnoreTerm: true},
	}
	if runtime.GOOS == "linux" {
		replies["with a daemon"] = testplugin.Reply{Hang: true, Mute: true, IgnoreTerm: true, Fork: testplugin.ForkDaemon}
	}
	for name, reply := range replies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			call := prepare(t, reply)
			ctx, cancel := context.WithCancelCause(t.Context())
			done := make(chan error)
			go func() { done <- call.metadata(ctx) }()
			for !hasLines(call.pids) { // the plugin is up
				time.Sleep(time.Millisecond)
			}
			cancel(reason)
			if err := <-done; !errors.Is(err, reason) {
				t.Error(err)
			}
			call.noneLeft(t, 1)
		})
	}
	t.Run("before the start", func(t *testing.T) {
		call := prepare(t, testplugin.Reply{Hang: true})
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(reason)
		if err := call.metadata(ctx); !errors.Is(err, reason) || hasLines(call.pids) {
			t.Error(err)
		}
	})
}

func hasLines(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() > 0
}

func TestStderrText(t *testing.T) {
	failure := protocol.Errorf(protocol.CodeGeneric, "no")
	for _, c := range []struct {
		name  string
		reply testplugin.Reply
		want  string
	}{
		{"text without line feed", testplugin.Reply{Stderr: "Touch your key"}, "Touch your key"},
		{"error alone", testplugin.Reply{Error: failure}, ""},
		{"text and error", testplugin.Reply{Stderr: "log 1\n\nlog 2\n", Error: failure}, "log 1\n\nlog 2\n"},
		{"JSON log and error", testplugin.Reply{Stderr: "{\"level\":1}\n", Error: failure}, "{\"level\":1}\n"},
		{"JSON log, good answer", testplugin.Reply{Stderr: "{\"level\":1}\nx"}, "{\"level\":1}\nx\n"},
		{"error document, good answer", testplugin.Reply{Stderr: "{\"errorCode\":\"ERROR\"}"}, "{\"errorCode\":\"ERROR\"}\n"},
		{"text around", testplugin.Reply{Stderr: "a\n", Error: failure, FloodStderr: 5}, "a\nflood\n"},
	} {
		t.Run("PLG-33 "+c.name, func(t *testing.T) {
			t.Parallel()
			call := prepare(t, c.reply)
			call.metadata(t.Context())
			if got := call.log.String(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestInvocation(t *testing.T) {
	dir := t.TempDir()
	record := filepath.Join(dir, "record")
	path := testplugin.Install(t, dir, "acme", testplugin.Script{Record: record})
	transport := &stdio.Transport{Path: path, Env: []string{"A=b"}}
	client := protocol.NewClient("acme", transport)
	if _, err := client.GetMetadata(t.Context(), &protocol.GetMetadataRequest{PluginConfig: map[string]string{"k": "v"}}); err != nil {
		t.Fatal(err)
	}
	records := testplugin.Records(t, record)
	if len(records) != 1 {
		t.Fatalf("%d calls", len(records))
	}
	t.Run("PLG-05 the command is the only argument", func(t *testing.T) {
		if records[0].Command != protocol.CommandGetMetadata || len(records[0].Args) != 0 {
			t.Errorf("%+v", records[0])
		}
	})
	t.Run("PLG-08 PLG-56 request", func(t *testing.T) {
		if got := string(records[0].Request); got != `{"contractVersion":"1.0","pluginConfig":{"k":"v"}}` {
			t.Error(got)
		}
	})
	t.Run("environment", func(t *testing.T) {
		if len(records[0].Env) != 1 || records[0].Env[0] != "A=b" {
			t.Error(records[0].Env)
		}
	})
}

func TestNotExecutable(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "notation-acme")
	if err := os.WriteFile(file, []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "notation-script")
	if err := os.WriteFile(script, []byte("#!/does/not/exist\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, script, dir, filepath.Join(dir, "absent")} {
		transport := &stdio.Transport{Path: path}
		if _, err := transport.Call(t.Context(), protocol.CommandGetMetadata, []byte("{}")); err == nil || !strings.HasPrefix(err.Error(), "start ") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestConcurrent makes sure that a call ends only what belongs to it: neither
// other calls' processes nor children that the host has for itself.
func TestConcurrent(t *testing.T) {
	own := exec.Command(installedSleeper(t), "testplugin-sleep")
	if err := own.Start(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			reply := testplugin.Reply{Delay: time.Duration(i%4) * 30 * time.Millisecond}
			if runtime.GOOS == "linux" {
				reply.Fork = []testplugin.Fork{testplugin.ForkPlain, testplugin.ForkSetsid, testplugin.ForkDaemon}[i%3]
			}
			call := prepare(t, reply)
			if err := call.metadata(t.Context()); err != nil {
				t.Error(err)
			}
			call.noneLeft(t, 0)
		})
	}
	wg.Wait()
	if !exists(own.Process.Pid) {
		t.Error("the host's own child is gone")
	}
	own.Process.Kill()
	if state, err := own.Process.Wait(); err != nil || state.Success() {
		t.Errorf("%v, %v", state, err)
	}
}

func installedSleeper(t testing.TB) string {
	return testplugin.Install(t, t.TempDir(), "sleeper", testplugin.Script{})
}

func BenchmarkCall(b *testing.B) {
	path := testplugin.Install(b, b.TempDir(), "acme", testplugin.Script{})
	client := protocol.NewClient("acme", &stdio.Transport{Path: path})
	for b.Loop() {
		if _, err := client.GetMetadata(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBareProcess is what the same process costs with os/exec alone.
func BenchmarkBareProcess(b *testing.B) {
	path := testplugin.Install(b, b.TempDir(), "acme", testplugin.Script{})
	for b.Loop() {
		cmd := exec.Command(path, "get-plugin-metadata")
		cmd.Stdin = strings.NewReader("{}")
		if out, err := cmd.Output(); err != nil {
			b.Fatal(fmt.Errorf("%s: %w", out, err))
		}
	}
}
