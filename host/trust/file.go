package trust

import (
	"io/fs"
	"os"
	"time"

	"github.com/signet-project/signet/host/internal/filestate"
)

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
