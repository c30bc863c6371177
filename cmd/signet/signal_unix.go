//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/signet-project/signet/internal/cli"
)

// notifyEnd lets signals have those that are to end the run.
func notifyEnd(signals chan<- os.Signal) {
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as it is under nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
}

// output returns another descriptor of a standard stream, on which a write to a pipe that
// nobody reads fails, so that the run comes to its end and nothing is left of it. On the
// stream itself it ends the process (os/signal, SIGPIPE).
func output(stream *os.File) *os.File {
	fd, err := unix.FcntlInt(stream.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return stream
	}
	return os.NewFile(uintptr(fd), stream.Name())
}

// endBySignal ends the process by the signal that ended the run, so that a shell knows
// not to go on; received is nil when none did. Of status it tells whether the run ended
// for the like of a signal.
func endBySignal(received os.Signal, status int) {
	switch {
	case received == nil && status == cli.StatusBrokenPipe:
		_, _ = os.Stdout.WriteString("\n") // ends the process now
		return
	case received == nil && status == cli.StatusInterrupted:
		received = os.Interrupt
	case received == nil:
		return
	}
	signal.Reset(received)
	if !signal.Ignored(received) && syscall.Kill(os.Getpid(), received.(syscall.Signal)) == nil {
		time.Sleep(time.Second) // it comes any moment
	}
}
