package plugin

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// exchangeDirectories lets two directories of one file system change places in one step.
func exchangeDirectories(a, b string) error {
	err := unix.RenamexNp(a, b, unix.RENAME_SWAP)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL):
		return errNoExchange
	}
	return &os.LinkError{Op: "exchange", Old: a, New: b, Err: err}
}
