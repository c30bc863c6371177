//go:build unix

package process

import (
	"os"
	"syscall"
)

// Interrupted tells whether Ctrl-C ended the process.
func Interrupted(state *os.ProcessState) bool {
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGINT
}
