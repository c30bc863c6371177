//go:build linux || darwin

package filestate

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// State is how a file looked. The zero State is no file's.
type State struct {
	device, inode     uint64
	size              int64
	mode              uint32
	modified, changed int64 // nanoseconds since 1970
}

// Of returns the state that info is about.
func Of(info fs.FileInfo) State {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok { // of a file system that is not the system's
		return State{}
	}
	return of(stat)
}

// Lstat looks at a file, and at a link itself. It is os.Lstat for callers who do no
// more than compare, at half of its price.
func Lstat(path string) (State, error) { return look("lstat", path, syscall.Lstat) }

// Stat looks at a file, or the one that a link leads to.
func Stat(path string) (State, error) { return look("stat", path, syscall.Stat) }

func look(name, path string, call func(string, *syscall.Stat_t) error) (State, error) {
	var stat syscall.Stat_t
	for {
		err := call(path, &stat)
		switch {
		case err == nil:
			return of(&stat), nil
		case !errors.Is(err, syscall.EINTR):
			return State{}, &os.PathError{Op: name, Path: path, Err: err}
		}
	}
}

func of(stat *syscall.Stat_t) State {
	modified, changed := times(stat)
	return State{
		device: uint64(stat.Dev), inode: stat.Ino, size: stat.Size, mode: uint32(stat.Mode),
		modified: modified.Nano(), changed: changed.Nano(),
	}
}

// Same tells whether both are the same file in the same state.
func (s State) Same(other State) bool { return s == other && s != State{} }

// Touched is when the file was last changed as far as its times tell.
func (s State) Touched() time.Time { return time.Unix(0, max(s.modified, s.changed)) }

// Identity returns what tells the file from all others of the machine, and its change
// time; ok is false where a change may not show in what is known of a file.
func (s State) Identity() (device, inode uint64, changed time.Time, ok bool) {
	return s.device, s.inode, time.Unix(0, s.changed), s != State{}
}
