package cli

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/signet-project/signet/internal/testterminal"
)

// TestInterruptedPassword holds that Ctrl-C at a prompt for a secret ends the
// program and leaves a terminal that shows what is typed.
func TestInterruptedPassword(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("signet")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command(program, "login", "-u", "user", "localhost:1")
	cmd.Env = append(os.Environ(), "NOTATION_CONFIG="+dir, "DOCKER_CONFIG="+dir)
	terminal := testterminal.Start(t, cmd)
	testterminal.ReadUntil(t, terminal, "Password: ", time.Minute)
	if _, err := terminal.Write([]byte("half a secr\x03")); err != nil {
		t.Fatal(err)
	}
	shown := testterminal.ReadUntil(t, terminal, "interrupted", time.Minute)
	if strings.Contains(shown, "secr") {
		t.Errorf("CLI-45 the terminal shows %q", shown)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("CLI-45 %v", err)
	}
	state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	if state.Lflag&unix.ECHO == 0 {
		t.Error("CLI-45 the terminal does not echo any more")
	}
}
