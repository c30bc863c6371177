//go:build unix

package stdio

import (
	"os"
	"syscall"
)

// interrupted tells whether Ctrl-C ended the process.
func interrupted(state *os.ProcessState) bool {
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGINT
}
