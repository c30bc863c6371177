//go:build !linux && !darwin

package trust

import (
	"io/fs"
	"time"
)

// changeTime stands in for the time of a file's last change of any kind, which
// this system does not tell: such files are read again each time.
func changeTime(fs.FileInfo) time.Time { return time.Now() }
