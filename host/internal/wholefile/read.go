// Package wholefile reads files whole, up to a bound, and replaces them whole.
package wholefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ErrNotRegular says that a path is a directory, a link or a device.
var ErrNotRegular = errors.New("not a regular file")

// SizeError says that a file is larger than is read.
type SizeError struct {
	Path  string
	Limit int64 // bytes
}

// Error names the file and the bound.
func (e *SizeError) Error() string { return fmt.Sprintf("%s has more than %d bytes", e.Path, e.Limit) }

// Read reads what a user names, which may be a link or a pipe, of at most limit bytes.
// Errors are a [*SizeError] and those of the file system.
func Read(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readAll(file, path, limit)
}

// ReadRegular reads a regular file of at most limit bytes; info is from before the
// content was read. A link is only followed if followLinks says so. Errors are
// [ErrNotRegular], a [*SizeError] and those of the file system.
func ReadRegular(path string, limit int64, followLinks bool) (data []byte, info fs.FileInfo, err error) {
	file, info, err := openRegular(path, followLinks)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	data, err = readAll(file, path, limit)
	return data, info, err
}

// openRegular opens the file that was found to be regular: between the two, the path
// may have become another file, as when it is replaced, or a link or a pipe.
func openRegular(path string, followLinks bool) (*os.File, fs.FileInfo, error) {
	stat := os.Lstat
	if followLinks {
		stat = os.Stat
	}
	for range 10 {
		before, err := stat(path)
		if err != nil {
			return nil, nil, err
		}
		if !before.Mode().IsRegular() {
			return nil, nil, ErrNotRegular
		}
		file, err := os.OpenFile(path, os.O_RDONLY|OpenNonblock, 0)
		if err != nil {
			return nil, nil, err
		}
		info, err := file.Stat()
		if err == nil && os.SameFile(before, info) {
			return file, info, nil
		}
		file.Close()
		if err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, fmt.Errorf("%s was replaced while it was opened: try again", path)
}

func readAll(file *os.File, path string, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, &SizeError{path, limit}
	}
	return data, nil
}
