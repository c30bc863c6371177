//go:build !linux && !darwin

package plugin

import (
	"io/fs"
	"time"
)

// changeTime is the modification time where the system offers nothing better.
func changeTime(info fs.FileInfo) time.Time { return info.ModTime() }

// identity is not known where there is no change time: there nothing may be
// remembered.
func identity(fs.FileInfo) (device, inode uint64, ok bool) { return 0, 0, false }
