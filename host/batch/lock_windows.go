package batch

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lockFile keeps other runs from the file as long as it is open. The byte locked
// lies far behind its end, so that the file can be read meanwhile.
func lockFile(file *os.File) error {
	err := windows.LockFileEx(windows.Handle(file.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, &windows.Overlapped{OffsetHigh: 1 << 30})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errLocked
	}
	return err
}
