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
