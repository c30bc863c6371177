//go:build unix

package process

import (
	"errors"
	"syscall"
)

// isBusy tells whether a program could not be started since it is being written to.
func isBusy(err error) bool { return errors.Is(err, syscall.ETXTBSY) }
