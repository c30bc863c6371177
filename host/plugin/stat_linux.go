package plugin

import (
	"io/fs"
	"syscall"
	"time"
)

// changeTime is when a file's content or metadata last changed; unlike the
// modification time, nobody can set it.
func changeTime(info fs.FileInfo) time.Time {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(stat.Ctim.Unix())
	}
	return info.ModTime()
}

// identity returns what tells a file from all others of the machine; ok is false
// where that is not known, or a change of the file may not show in its times.
func identity(info fs.FileInfo) (device, inode uint64, ok bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return uint64(stat.Dev), stat.Ino, true
}
