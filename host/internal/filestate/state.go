// Package filestate tells whether a file is still as it was when it was read: by
// device, inode, size, mode, modification time and, where the system has one, the
// change time, which nobody can set.
package filestate

import (
	"io/fs"
	"time"
)

// Settled is how old a file's last change must be when the file is read for the same
// state to mean the same content later: within the granularity of file times, two
// changes look like one.
const Settled = 2 * time.Second

// Same tells whether two looks at a file saw the same file in the same state.
func Same(a, b fs.FileInfo) bool { return Of(a).Same(Of(b)) }

// SettledAt tells whether a file that was read at some time, when it was in this
// state, had then not been changed for long enough.
func (s State) SettledAt(read time.Time) bool { return read.Sub(s.Touched()) >= Settled }
