//go:build linux || darwin

package filestate

import (
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
func Lstat(path string) (State, error) {
	var stat syscall.Stat_t
	err := uninterrupted(func() error { return syscall.Lstat(path, &stat) })
	return seen(&stat, "lstat", path, err)
}

// Stat looks at a file, or the one that a link leads to.
func Stat(path string) (State, error) {
	var stat syscall.Stat_t
	err := uninterrupted(func() error { return syscall.Stat(path, &stat) })
	return seen(&stat, "stat", path, err)
}

// uninterrupted repeats a call that a signal interrupted.
func uninterrupted(call func() error) error {
	for {
		if err := call(); err != syscall.EINTR {
			return err
		}
	}
}

func seen(stat *syscall.Stat_t, name, path string, err error) (State, error) {
	if err != nil {
		return State{}, &os.PathError{Op: name, Path: path, Err: err}
	}
	return of(stat), nil
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
