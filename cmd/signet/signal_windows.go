package main

import (
	"os"
	"os/signal"
	"syscall"
)

// notifyEnd lets signals have those that are to end the run: Ctrl-C and Ctrl-Break, and
// the end of the console or the session.
func notifyEnd(signals chan<- os.Signal) { signal.Notify(signals, os.Interrupt, syscall.SIGTERM) }

func keepBrokenPipe() {}

// endBySignal does nothing: there are exit statuses alone.
func endBySignal(os.Signal, int) {}
