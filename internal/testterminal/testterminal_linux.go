// Package testterminal gives a process a terminal of its own, for tests of
// prompts and of Ctrl-C.
package testterminal

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Start starts cmd with a new pseudo terminal for its controlling terminal and those
// standard streams that it does not have yet, and returns the other end. The process
// is killed when the test ends.
func Start(t testing.TB, cmd *exec.Cmd) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	slave, err := other(master)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	if cmd.Stdin == nil {
		cmd.Stdin = slave
	}
	if cmd.Stdout == nil {
		cmd.Stdout = slave
	}
	if cmd.Stderr == nil {
		cmd.Stderr = slave
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return master
}

// other opens the end of a pseudo terminal that programs use.
func other(master *os.File) (slave *os.File, err error) {
	raw, err := master.SyscallConn()
	if err != nil {
		return nil, err
	}
	controlErr := raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err != nil {
			return
		}
		var number int
		if err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
			return
		}
		if number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN); err == nil {
			slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
		}
	})
	if controlErr != nil {
		return nil, controlErr
	}
	return slave, err
}

// ReadUntil reads from a terminal up to the end of text, within the time given,
// and returns all read.
func ReadUntil(t testing.TB, terminal *os.File, text string, patience time.Duration) string {
	t.Helper()
	terminal.SetReadDeadline(time.Now().Add(patience))
	var all strings.Builder
	buffer := make([]byte, 1)
	for !strings.Contains(all.String(), text) {
		n, err := terminal.Read(buffer)
		all.Write(buffer[:n])
		if err != nil {
			t.Fatalf("%v, after %q", err, all.String())
		}
	}
	return all.String()
}

// Foreground tells whether the caller's process group has the terminal.
func Foreground(tty *os.File) bool {
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
