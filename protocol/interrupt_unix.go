//go:build unix

package protocol

import (
	"os"
	"syscall"
	"time"
)

// dieInterrupted ends the process by SIGINT, whose default has been restored.
func dieInterrupted() {
	if syscall.Kill(os.Getpid(), syscall.SIGINT) == nil {
		time.Sleep(time.Second) // the signal comes any moment
	}
}
