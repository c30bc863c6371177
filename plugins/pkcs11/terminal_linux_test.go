//go:build cgo

package pkcs11

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

// terminal makes a pseudo terminal.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

func TestPrompt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.Import(t, testpki.Key(t, protocol.KeySpecEC256), "key", "01")
	request, err := json.Marshal(protocol.GenerateSignatureRequest{ContractVersion: "1.0", KeyID: b.keyID("object=key"), KeySpec: protocol.KeySpecEC256,
		Hash: protocol.HashSHA256, Payload: []byte("payload"), Purpose: protocol.PurposeCSR})
	if err != nil {
		t.Fatal(err)
	}
	for entered, want := range map[string]string{b.PIN: `"signature"`, "9876": "CKR_PIN_INCORRECT", "": "no PIN was entered"} {
		t.Run(want, func(t *testing.T) {
			master, slave := terminal(t)
			cmd := exec.CommandContext(t.Context(), b.plugin.Path, string(protocol.CommandGenerateSignature))
			cmd.Env = b.plugin.Env
			cmd.Stdin = bytes.NewReader(request)
			var answer bytes.Buffer
			cmd.Stdout, cmd.Stderr = &answer, &answer
			cmd.ExtraFiles = []*os.File{slave}
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 3}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			shown := read(t, master, "PIN of token")
			if _, err := master.WriteString(entered + "\n"); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // the answer tells
			slave.Close()
			shown += read(t, master, "")
			if !strings.Contains(answer.String(), want) {
				t.Errorf("answer %s", answer.String())
			}
			if entered != "" && strings.Contains(shown+answer.String(), entered) {
				t.Errorf("the PIN is shown: %q, %s", shown, answer.String())
			}
		})
	}
}

// read reads until text has come, or with "" until the end.
func read(t *testing.T, from *os.File, text string) string {
	t.Helper()
	var got []byte
	buffer := make([]byte, 1<<10)
	for text == "" || !bytes.Contains(got, []byte(text)) {
		n, err := from.Read(buffer)
		got = append(got, buffer[:n]...)
		if err != nil { // EIO: nobody has the other end open
			if text != "" {
				t.Fatalf("%v after %q", err, got)
			}
			break
		}
	}
	return string(got)
}
