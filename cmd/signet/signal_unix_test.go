//go:build unix

package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain is the program itself where a test runs it.
func TestMain(m *testing.M) {
	if os.Getenv("BE_SIGNET") != "" {
		main()
	}
	// What is ignored here, as nohup has it, the program would ignore, too. What is caught
	// is as usual in a program that is started.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGPIPE)
	os.Exit(m.Run())
}

// signet prepares a run of the program with directories of its own.
func signet(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), executable, args...)
	cmd.Dir = dir
	cmd.Env = []string{"BE_SIGNET=1", "NOTATION_CONFIG=" + filepath.Join(dir, "config"), "NOTATION_LIBEXEC=" + dir, "NOTATION_CACHE=" + dir, "DOCKER_CONFIG=" + dir}
	return cmd
}

// endedBy wants a process to have ended by a signal.
func endedBy(t *testing.T, cmd *exec.Cmd, want syscall.Signal) {
	t.Helper()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != want {
		t.Errorf("ended with %v, want signal %v", cmd.ProcessState, want)
	}
}

// TestSignals ends the signing of a pipe by a signal: no signature comes of it.
func TestSignals(t *testing.T) {
	dir := t.TempDir()
	if out, err := signet(t, dir, "cert", "generate-test", "--default", "a.example").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(s.String(), func(t *testing.T) {
			cmd := signet(t, dir, "blob", "sign", pipe)
			var errs bytes.Buffer
			cmd.Stderr = &errs
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // waits for the reader
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			if _, err := w.Write(make([]byte, 1<<20)); err != nil { // until it is being hashed
				t.Fatal(err)
			}
			if err := cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			endedBy(t, cmd, s)
			if errs.String() != "Error: interrupted\n" {
				t.Errorf("said %q", errs.String())
			}
		})
	}
	t.Run("the second one", func(t *testing.T) {
		cmd := signet(t, dir, "blob", "sign", pipe)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // of which nothing comes: a read that does not end
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		stop, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			for {
				select {
				case <-stop:
					return
				case <-time.After(10 * time.Millisecond):
					_ = cmd.Process.Signal(syscall.SIGTERM)
				}
			}
		}()
		_ = cmd.Wait()
		close(stop)
		<-ended
		endedBy(t, cmd, syscall.SIGTERM)
	})
	if left, _ := filepath.Glob(filepath.Join(dir, "*sig*")); len(left) != 0 {
		t.Errorf("left %q", left)
	}
}

// TestBrokenPipe lets nobody read what is printed: the program ends as others do then,
// without a word.
func TestBrokenPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	cmd := signet(t, t.TempDir(), "help")
	var errs strings.Builder
	cmd.Stdout, cmd.Stderr = w, io.Writer(&errs)
	_ = cmd.Run()
	w.Close()
	endedBy(t, cmd, syscall.SIGPIPE)
	if errs.String() != "" {
		t.Errorf("said %q", errs.String())
	}
}
