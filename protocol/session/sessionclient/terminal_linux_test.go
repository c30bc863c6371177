package sessionclient_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/internal/testterminal"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/session/sessionclient"
	"github.com/signet-project/signet/protocol/stdio"
)

// diesWithParent tells whether a process ends with its parent, if it wants or not.
const diesWithParent = true

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

// onTerminal makes two calls and reports on the terminal, if there is one.
func onTerminal(path string) bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil || os.Getenv(terminalVariable) == "" {
		return false
	}
	transport := &sessionclient.Transport{Timeout: patience, Terminal: tty, Open: func(context.Context) (*sessionclient.Program, error) {
		return &sessionclient.Program{Path: path}, nil
	}}
	for range 2 {
		answer, err := transport.Call(context.Background(), protocol.CommandDescribeKey, []byte("{}"))
		fmt.Fprintf(tty, "answer=%s interrupted=%t foreground=%t err=%v\n", answer, errors.Is(err, stdio.ErrInterrupted), testterminal.Foreground(tty), err)
	}
	transport.Close()
	fmt.Fprintf(tty, "closed foreground=%t\n", testterminal.Foreground(tty))
	return true
}

const terminalVariable = "SIGNET_TEST_TERMINAL"

func TestTerminal(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	start := func(t *testing.T) *os.File {
		p := install(t, testplugin.Script{Any: &testplugin.Reply{Func: "pin"}})
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), hostVariable+"="+p.program.Path, terminalVariable+"=1")
		return testterminal.Start(t, cmd)
	}
	t.Run("prompts of two calls; the host has it between them", func(t *testing.T) {
		terminal := start(t)
		for _, pin := range []string{"1234", "5678"} {
			testterminal.ReadUntil(t, terminal, "PIN: ", patience)
			fmt.Fprintln(terminal, pin)
			said := testterminal.ReadUntil(t, terminal, "err=", patience)
			if !strings.Contains(said, fmt.Sprintf(`answer={"keyId":"%s"`, pin)) || !strings.Contains(said, "foreground=true") {
				t.Errorf("%q", said)
			}
		}
		if said := testterminal.ReadUntil(t, terminal, "closed foreground=true", patience); strings.Contains(said, "panic") {
			t.Error(said)
		}
	})
	t.Run("Ctrl-C", func(t *testing.T) {
		terminal := start(t)
		for range 2 {
			testterminal.ReadUntil(t, terminal, "PIN: ", patience)
			fmt.Fprint(terminal, "\x03")
			said := testterminal.ReadUntil(t, terminal, "err=", patience)
			if !strings.Contains(said, "interrupted=true foreground=true") {
				t.Errorf("%q", said)
			}
		}
		testterminal.ReadUntil(t, terminal, "closed", patience) // nothing is left
	})
}
