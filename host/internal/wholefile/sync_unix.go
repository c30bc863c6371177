//go:build unix

package wholefile

import (
	"errors"
	"os"
	"syscall"
)

// syncDir makes a rename in a directory survive a power cut. File systems that
// cannot do it say EINVAL or ENOTSUP, which is no failure of the write.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, os.ErrPermission) { // may be written and not read
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil
	}
	return err
}
