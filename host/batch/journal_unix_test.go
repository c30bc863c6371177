//go:build unix

package batch

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestPipe: what is no regular file is not read.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.jsonl")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	if _, err := io.WriteString(pipe, "no result\n"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenJournal(path, basis, time.Now); err == nil || !strings.HasSuffix(err.Error(), ": not a regular file") {
		t.Errorf("got %v", err)
	}
	content := make([]byte, 10)
	if _, err := io.ReadFull(pipe, content); err != nil || string(content) != "no result\n" {
		t.Errorf("left %q, %v", content, err)
	}
}

// TestUnlocked: a process that is being started has what the program has open, until it
// runs a program of its own. It does not keep the next run from a journal that is closed.
func TestUnlocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.jsonl")
	journal, _ := open(t, path)
	child, err := unix.Dup(int(journal.file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(child)
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
	journal, _ = open(t, path)
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
}
