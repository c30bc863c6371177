//go:build unix

package protocol

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestSignalWhileReading: a plugin ends when it is told to, though the host keeps
// its stdin open.
func TestSignalWhileReading(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), self, "describe-key")
	cmd.Env = append(os.Environ(), serveVariable+"=1")
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	const moreThanPipesHold = 1 << 20 // when all is written, it has begun to read
	if _, err := stdin.Write(bytes.Repeat([]byte(" "), moreThanPipesHold)); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), "context canceled") {
		t.Errorf("%v, %s", cmd.ProcessState, stderr.String())
	}
}
