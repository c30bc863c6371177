package trust

import (
	"io/fs"
	"syscall"
	"time"
)

// changeTime is the time of a file's last change of any kind, which cannot be
// set back.
func changeTime(info fs.FileInfo) time.Time {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(stat.Ctimespec.Unix())
	}
	return info.ModTime()
}
