package stdio_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/internal/testterminal"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/stdio"
)

// hostVariable makes the test binary a host that calls the plugin it names.
const hostVariable = "SIGNET_TEST_HOST"

// askPIN is a plugin that asks at the terminal, and answers what was typed.
func askPIN(protocol.Command, []byte) ([]byte, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer tty.Close()
	fmt.Fprint(tty, "PIN: ")
	line, err := bufio.NewReader(tty).ReadString('\n')
	return fmt.Appendf(nil, `{"keyId":%q,"keySpec":"EC-256"}`, strings.TrimSpace(line)), err
}

// host calls the plugin and reports on its terminal, or stdout without one.
func host(path string) {
	out := os.Stdout
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err == nil {
		out = tty
	}
	transport := &stdio.Transport{Path: path, Terminal: tty, Timeout: patience}
	answer, err := transport.Call(context.Background(), protocol.CommandDescribeKey, []byte("{}"))
	foreground := "no"
	if tty != nil && testterminal.Foreground(tty) {
		foreground = "yes"
	}
	fmt.Fprintf(out, "answer=%s interrupted=%t foreground=%s err=%v\n", answer, errors.Is(err, stdio.ErrInterrupted), foreground, err)
	os.Exit(0)
}

// onTerminal starts the test binary as a host with a new pseudo terminal, whose
// other end it returns.
func onTerminal(t *testing.T, plugin string) *os.File {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), hostVariable+"="+plugin)
	return testterminal.Start(t, cmd)
}

func readUntil(t *testing.T, terminal *os.File, text string) string {
	t.Helper()
	return testterminal.ReadUntil(t, terminal, text, patience)
}

func TestTerminal(t *testing.T) {
	plugin := testplugin.Install(t, t.TempDir(), "acme", testplugin.Script{Any: &testplugin.Reply{Func: "pin"}})
	t.Run("prompt", func(t *testing.T) {
		t.Parallel()
		terminal := onTerminal(t, plugin)
		readUntil(t, terminal, "PIN: ")
		terminal.WriteString("1234\n")
		said := readUntil(t, terminal, "err=")
		if !strings.Contains(said, `answer={"keyId":"1234"`) || !strings.Contains(said, "foreground=yes") {
			t.Errorf("%q", said)
		}
	})
	t.Run("Ctrl-C", func(t *testing.T) {
		t.Parallel()
		terminal := onTerminal(t, plugin)
		readUntil(t, terminal, "PIN: ")
		terminal.WriteString("\x03")
		said := readUntil(t, terminal, "err=")
		if !strings.Contains(said, "interrupted=true foreground=yes") {
			t.Errorf("%q", said)
		}
	})
}

// TestHostKilled makes sure that the plugin does not outlive a host killed hard.
func TestHostKilled(t *testing.T) {
	dir := t.TempDir()
	pids := filepath.Join(dir, "pids")
	plugin := testplugin.Install(t, dir, "acme", testplugin.Script{Any: &testplugin.Reply{Hang: true, Mute: true, IgnoreTerm: true}, Pids: pids})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), hostVariable+"="+plugin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // without a terminal
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for !hasLines(pids) {
		time.Sleep(time.Millisecond)
	}
	cmd.Process.Kill()
	cmd.Wait()
	data, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	fmt.Sscan(string(data), &pid)
	for deadline := time.Now().Add(patience); exists(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("plugin %d is left", pid)
		}
	}
}

// TestOpenFile makes sure that the file that was opened runs, not the one that
// its path names by then.
func TestOpenFile(t *testing.T) {
	dir := t.TempDir()
	path := testplugin.Build(t, dir, "acme", testplugin.Script{Name: "acme", Version: "1.0.0"})
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	other := testplugin.Build(t, t.TempDir(), "acme", testplugin.Script{Name: "acme", Version: "6.6.6"})
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, path); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "notation-script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho \"{\\\"ran\\\":\\\"$1\\\"}\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	scriptFile, err := os.Open(script)
	if err != nil {
		t.Fatal(err)
	}
	defer scriptFile.Close()
	t.Run("program", func(t *testing.T) {
		metadata, err := protocol.NewClient("acme", &stdio.Transport{Path: path, File: file}).GetMetadata(t.Context(), nil)
		if err != nil || metadata.Version != "1.0.0" {
			t.Errorf("%+v, %v", metadata, err)
		}
	})
	t.Run("script", func(t *testing.T) {
		answer, err := (&stdio.Transport{Path: script, File: scriptFile}).Call(t.Context(), protocol.CommandGetMetadata, nil)
		if err != nil || string(answer) != "{\"ran\":\"get-plugin-metadata\"}\n" {
			t.Errorf("%q, %v", answer, err)
		}
	})
}
