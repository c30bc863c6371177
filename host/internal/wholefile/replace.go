package wholefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/natefinch/atomic"
)

// Replacement says how a file is replaced.
type Replacement struct {
	// Temp is the pattern of the name that the file has while it is written, as in
	// [os.CreateTemp]. A process that is killed leaves such a file.
	Temp string
	// Mode is exactly what the file gets, whatever the umask; 0 is 0600 less the umask.
	Mode fs.FileMode
	// Modified is the time of the last change that it gets; zero is now.
	Modified time.Time
	// Sync has the content outlast a crash of the system, too.
	Sync bool
}

// Replace writes a file, in one step for all who read it. Missing directories are
// made with mode 0700.
func Replace(path string, data []byte, how Replacement) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, how.Temp)
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	if err := errors.Join(how.write(temp, data), temp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, Pathless(err))
	}
	if !how.Modified.IsZero() {
		if err := os.Chtimes(temp.Name(), how.Modified, how.Modified); err != nil {
			return err
		}
	}
	if err := atomic.ReplaceFile(temp.Name(), path); err != nil {
		return err
	}
	if how.Sync {
		return syncDir(dir)
	}
	return nil
}

func (r Replacement) write(temp *os.File, data []byte) error {
	if _, err := temp.Write(data); err != nil {
		return err
	}
	if r.Mode != 0 {
		if err := temp.Chmod(r.Mode); err != nil {
			return err
		}
	}
	if r.Sync {
		return temp.Sync()
	}
	return nil
}

// Pathless drops the path from an error of the file system, for messages that name
// the file another way.
func Pathless(err error) error {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return failed.Err
	}
	return err
}
