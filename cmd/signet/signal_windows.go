package main

import (
	"os"
	"os/signal"
	"syscall"
)

// notifyEnd lets signals have those that are to end the run: Ctrl-C and Ctrl-Break, and
// the end of the console or the session.
func notifyEnd(signals chan<- os.Signal) { signal.Notify(signals, os.Interrupt, syscall.SIGTERM) }

// output returns the stream: no signal comes of a pipe that nobody reads.
func output(stream *os.File) *os.File { return stream }

// endBySignal does nothing: there are exit statuses alone.
func endBySignal(os.Signal, int) {}
