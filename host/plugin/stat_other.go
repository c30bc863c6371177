//go:build !linux && !darwin

package plugin

import (
	"io/fs"
	"time"
)

// changeTime is the modification time where the system offers nothing better.
func changeTime(info fs.FileInfo) time.Time { return info.ModTime() }
