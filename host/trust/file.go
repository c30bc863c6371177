package trust

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/signet-project/signet/host/internal/filestate"
)

// errNotRegular says that a path is a directory, a link or a device.
var errNotRegular = errors.New("not a regular file")

// snapshot is what a file or directory looked like when it was read.
type snapshot struct {
	state   filestate.State
	settled bool
}

// newSnapshot takes info, read from the open file at the time now, before its
// content was.
func newSnapshot(info fs.FileInfo, now time.Time) snapshot {
	state := filestate.Of(info)
	return snapshot{state, state.SettledAt(now)}
}

// holds tells whether a file in this state now holds what it held when the snapshot
// was taken.
func (s snapshot) holds(now filestate.State) bool { return s.settled && s.state.Same(now) }

// lookFunc is filestate.Stat where links may be followed, else filestate.Lstat.
func lookFunc(followLinks bool) func(string) (filestate.State, error) {
	if followLinks {
		return filestate.Stat
	}
	return filestate.Lstat
}

// statFunc is os.Stat where links may be followed, else os.Lstat.
func statFunc(followLinks bool) func(string) (fs.FileInfo, error) {
	if followLinks {
		return os.Stat
	}
	return os.Lstat
}

// readRegular reads a regular file of at most limit bytes. info is from before
// the content was read. Errors: errNotRegular, or those of the file system.
func readRegular(path string, limit int64, followLinks bool) (data []byte, info fs.FileInfo, err error) {
	before, err := statFunc(followLinks)(path)
	if err != nil {
		return nil, nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, nil, errNotRegular
	}
	// Between the two calls the path may have become a link or a pipe.
	file, err := os.OpenFile(path, os.O_RDONLY|openNonblock, 0)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() || !os.SameFile(before, info) {
		return nil, nil, fmt.Errorf("%s was replaced while it was opened: try again", path)
	}
	data, err = io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, nil, err
	}
	if int64(len(data)) > limit {
		return nil, nil, fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return data, info, nil
}
