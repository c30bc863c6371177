// Package testplugin is a plugin that does what a script says, for tests of
// hosts: by default it behaves well, and a script makes it wrong in just the way
// a test asks for.
//
// The plugin is the test binary itself. Its TestMain has to say so:
//
//	func TestMain(m *testing.M) { testplugin.Main(m, nil) }
//
// and then any test can install it under any name, and read what it was asked:
//
//	testplugin.Install(t, pluginsDir, "acme", testplugin.Script{
//		Capabilities: []protocol.Capability{protocol.CapabilitySignatureGenerator},
//		Key: keyPath, Chain: chainPath, // PEM files: now it really signs
//		Record: filepath.Join(t.TempDir(), "calls"),
//		Replies: map[protocol.Command]testplugin.Reply{
//			protocol.CommandDescribeKey: {Set: map[string]any{"keyId": "another"}},
//		},
//	})
//	… testplugin.Records(t, path) …
//
// Install makes a hard link to the running test binary and puts the script
// beside it: quick, but the file must not be written to nor its mode changed. Build
// makes a file of its own with the script inside, for tests that move, copy,
// package or damage the executable.
//
// What a script cannot say, a function can that is given to Main and named in
// Reply.Func; it runs in the plugin's process.
package testplugin

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/signet-project/signet/protocol"
)

// Script is all that a test plugin knows. The zero one is a plugin that answers
// verify-signature with consent.
type Script struct {
	// Name in the metadata; empty for the executable's.
	Name string `json:"name,omitempty"`
	// Version in the metadata; empty for 1.0.0.
	Version string `json:"version,omitempty"`
	// Capabilities in the metadata; nil for the signature generator's with a Key,
	// and for both signature verifier's without.
	Capabilities []protocol.Capability `json:"capabilities,omitempty"`
	// Key and Chain are PEM files with which describe-key and generate-signature
	// work for any key id.
	Key   string `json:"key,omitempty"`
	Chain string `json:"chain,omitempty"`
	// Record is a file that gets a line for each invocation; see Records.
	Record string `json:"record,omitempty"`
	// Pids is a file that gets a line with the process id of each process that a
	// reply started or that hangs.
	Pids string `json:"pids,omitempty"`
	// Replies changes what happens at some commands.
	Replies map[protocol.Command]Reply `json:"replies,omitempty"`
	// Any changes what happens at all commands not in Replies.
	Any *Reply `json:"any,omitempty"`
	// Session offers sessions; nil offers stdio alone.
	Session *Session `json:"session,omitempty"`
}

// Session says what happens when the plugin is started for a session. The zero
// one serves it. In a session the streams of a Reply (Stderr, Before, After and
// the floods) are written to as the call comes, Hang ends with the call's context
// and Exit ends the process.
type Session struct {
	// Stderr and Before are written to stderr and stdout ahead of all else.
	Stderr string `json:"stderr,omitempty"`
	Before string `json:"before,omitempty"`
	// Line is written to stdout in place of the handshake; "{socket}" in it stands
	// for the path of a socket where nobody speaks.
	Line string `json:"line,omitempty"`
	// Silent says nothing; Exit ends the process with that status instead.
	Silent bool `json:"silent,omitempty"`
	Exit   int  `json:"exit,omitempty"`
	// Deaf: neither the end of stdin nor SIGTERM ends the process.
	Deaf bool `json:"deaf,omitempty"`
	// Noise prints to stdout and stderr all the time, from before the handshake on.
	Noise bool `json:"noise,omitempty"`
	// Fork starts a process as in Reply.
	Fork Fork `json:"fork,omitempty"`
}

// Reply says what happens at a command. Things happen in the order of the
// fields; the zero Reply is the good answer.
type Reply struct {
	// Once, if not empty, is a file that the first such reply makes: with it there
	// already, the answer is the good one.
	Once string `json:"once,omitempty"`
	// IgnoreStdin leaves the request unread (then there is no good answer, and
	// Record holds no request); CloseStdin closes it besides.
	IgnoreStdin bool `json:"ignoreStdin,omitempty"`
	CloseStdin  bool `json:"closeStdin,omitempty"`
	// IgnoreTerm makes SIGTERM and SIGINT of no effect.
	IgnoreTerm bool `json:"ignoreTerm,omitempty"`
	// Fork starts a process that sleeps for a minute and holds stdout and stderr.
	Fork Fork `json:"fork,omitempty"`
	// Delay passes before anything is written.
	Delay time.Duration `json:"delay,omitempty"`
	// Stderr is written as it is.
	Stderr string `json:"stderr,omitempty"`
	// Error is written to stderr as the contract has it; the exit status is 1
	// unless Exit says otherwise, and nothing goes to stdout but Stdout.
	Error *protocol.Error `json:"error,omitempty"`
	// Before is written to stdout ahead of the answer.
	Before string `json:"before,omitempty"`
	// Stdout replaces the answer, as does Raw, which need not be UTF-8; Mute
	// leaves it out.
	Stdout string `json:"stdout,omitempty"`
	Raw    []byte `json:"raw,omitempty"`
	Mute   bool   `json:"mute,omitempty"`
	// Func replaces the answer by that of a function given to Main.
	Func string `json:"func,omitempty"`
	// Set and Drop change top-level members of the answer.
	Set  map[string]any `json:"set,omitempty"`
	Drop []string       `json:"drop,omitempty"`
	// After is written to stdout behind the answer.
	After string `json:"after,omitempty"`
	// FloodStdout and FloodStderr write so many bytes more.
	FloodStdout int64 `json:"floodStdout,omitempty"`
	FloodStderr int64 `json:"floodStderr,omitempty"`
	// Hang sleeps for a minute before the end.
	Hang bool `json:"hang,omitempty"`
	// Kill ends the process by SIGKILL (on Windows with exit status 1).
	Kill bool `json:"kill,omitempty"`
	// Panic is what the plugin panics with, in place of the answer.
	Panic string `json:"panic,omitempty"`
	// Exit is the exit status.
	Exit int `json:"exit,omitempty"`
}

// Fork says how the started process tries to get away.
type Fork string

// The ways to get away. All but ForkPlain need unix and are like it on Windows.
const (
	// ForkPlain: an ordinary child.
	ForkPlain Fork = "plain"
	// ForkSetsid: in a session, and so a process group, of its own.
	ForkSetsid Fork = "setsid"
	// ForkDouble: besides, its parent is gone by the time the plugin goes on.
	ForkDouble Fork = "double"
	// ForkDaemon: besides, it holds no stream and has an empty environment.
	ForkDaemon Fork = "daemon"
)

// Func makes the answer of a command from the request, both JSON. A
// *protocol.Error goes to the host as such.
type Func func(command protocol.Command, request []byte) ([]byte, error)

// Record is what a test plugin was asked in one call.
type Record struct {
	Command protocol.Command `json:"command"`
	// Pid is the process's, Session tells whether it was started for a session.
	Pid     int  `json:"pid"`
	Session bool `json:"session,omitempty"`
	// Cancelled marks a line of its own: the context of such a call, which hangs,
	// was cancelled.
	Cancelled bool `json:"cancelled,omitempty"`
	// Args are the arguments after the command.
	Args    []string        `json:"args,omitempty"`
	Request json.RawMessage `json:"request,omitempty"`
	Env     []string        `json:"env,omitempty"`
}

// scriptSuffix is added to the executable's path for the file beside it.
const scriptSuffix = ".script"

// trailer follows a script inside an executable, after its length in 8 bytes.
const trailer = "signet test plugin script\n"

// Install puts a plugin into dir/name/ and returns the path of its executable.
func Install(t testing.TB, dir, name string, script Script) string {
	t.Helper()
	path := Link(t, filepath.Join(dir, name), name)
	if err := os.WriteFile(path+scriptSuffix, encode(t, script), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Link puts the test binary into dir as the executable of a plugin, in place of one
// that is there, and returns its path: a hard link where that can be, else a copy.
// What the binary does under that name is for its TestMain to say.
func Link(t testing.TB, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, fileName(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	os.Remove(path)
	if err := os.Link(self(t), path); err != nil {
		if err := os.WriteFile(path, read(t, self(t)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// Build writes an executable with the script inside to dir/notation-name and
// returns its path. Different scripts give different contents.
func Build(t testing.TB, dir, name string, script Script) string {
	t.Helper()
	path := filepath.Join(dir, fileName(name))
	data := encode(t, script)
	whole := bytes.Join([][]byte{read(t, self(t)), data, binary.BigEndian.AppendUint64(nil, uint64(len(data))), []byte(trailer)}, nil)
	if err := os.WriteFile(path, whole, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// Records reads what a Script.Record file has; nothing if there is none.
func Records(t testing.TB, path string) []Record {
	t.Helper()
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var records []Record
	for line := range bytes.Lines(data) {
		var record Record
		if err := json.Unmarshal(line, &record); err != nil {
			t.Fatal(err)
		}
		records = append(records, record)
	}
	return records
}

// Main runs the tests of m and ends the process, unless this process is a test
// plugin: then it does what the script says, with funcs for Reply.Func.
func Main(m *testing.M, funcs map[string]Func) {
	Become(funcs)
	os.Exit(m.Run())
}

// Become is for a TestMain that does more than Main: it does what the script says
// and ends the process if this process is a test plugin, and returns otherwise.
func Become(funcs map[string]Func) { runIfPlugin(funcs) }

func fileName(name string) string {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return protocol.BinaryPrefix + name
}

func self(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func encode(t testing.TB, script Script) []byte {
	t.Helper()
	data, err := json.Marshal(script)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// loadScript finds the script of the executable at path: beside it, or in it.
func loadScript(path string) (Script, bool) {
	var script Script
	data, err := os.ReadFile(path + scriptSuffix)
	if err != nil {
		data = embeddedScript(path)
	}
	return script, data != nil && json.Unmarshal(data, &script) == nil
}

// embeddedScript reads the script of the file that runs, which on Linux need not
// be the one at path any more.
func embeddedScript(path string) []byte {
	file, err := os.Open("/proc/self/exe")
	if err != nil {
		file, err = os.Open(path)
	}
	if err != nil {
		return nil
	}
	defer file.Close()
	end := make([]byte, 8+len(trailer))
	size, err := file.Seek(-int64(len(end)), io.SeekEnd)
	if err != nil {
		return nil
	}
	if _, err := io.ReadFull(file, end); err != nil || string(end[8:]) != trailer {
		return nil
	}
	data := make([]byte, binary.BigEndian.Uint64(end))
	if _, err := file.ReadAt(data, size-int64(len(data))); err != nil {
		return nil
	}
	return data
}

// pluginName is the name that the executable's file name gives.
func pluginName(path string) string {
	name, _ := strings.CutPrefix(strings.TrimSuffix(filepath.Base(path), ".exe"), protocol.BinaryPrefix)
	return name
}
