//go:build !linux && !darwin

package filestate

import (
	"io/fs"
	"os"
	"time"
)

// State is how a file looked. The zero State is no file's.
type State struct{ info fs.FileInfo }

// Of returns the state that info is about.
func Of(info fs.FileInfo) State { return State{info} }

// Lstat looks at a file, and at a link itself.
func Lstat(path string) (State, error) { return look(os.Lstat(path)) }

// Stat looks at a file, or the one that a link leads to.
func Stat(path string) (State, error) { return look(os.Stat(path)) }

func look(info fs.FileInfo, err error) (State, error) {
	if err != nil {
		return State{}, err
	}
	return State{info}, nil
}

// Same tells whether both are the same file in the same state.
func (s State) Same(other State) bool {
	return s.info != nil && other.info != nil && os.SameFile(s.info, other.info) &&
		s.info.Size() == other.info.Size() && s.info.Mode() == other.info.Mode() && s.info.ModTime().Equal(other.info.ModTime())
}

// Touched is when the file was last changed as far as its times tell.
func (s State) Touched() time.Time { return s.info.ModTime() }

// Identity returns what tells the file from all others of the machine, and its change
// time; ok is false where a change may not show in what is known of a file, as here.
func (s State) Identity() (device, inode uint64, changed time.Time, ok bool) {
	return 0, 0, time.Time{}, false
}
