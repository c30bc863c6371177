package config

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/signet-project/signet/host/internal/wholefile"
)

// maxFileSize bounds a configuration file, in bytes.
const maxFileSize = 16 << 20

// lockPatience is how long the lock of a file is waited for.
const lockPatience = 30 * time.Second

// ErrNotRegular says that a path is a directory, a symbolic link or a device
// where only a plain file is read or replaced.
var ErrNotRegular = errors.New("not a regular file (symlinks are not supported)")

// WriteFile writes a file of exactly that mode so that a reader, and whoever
// comes after a crash, finds either the old content or the new, never a part.
// Missing directories are made with mode 0700. What is there and not a regular
// file stays: the error is then ErrNotRegular.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%q is %w", path, ErrNotRegular)
	}
	return wholefile.Replace(path, data, wholefile.Replacement{Temp: tempPrefix(path) + "*", Mode: mode, Sync: true})
}

// SizeError says that a file is larger than is read.
type SizeError = wholefile.SizeError

// ReadFile reads a file that somebody names, which may be a link or a pipe, of at most
// limit bytes. Errors are a [*SizeError] and those of the file system.
func ReadFile(path string, limit int64) ([]byte, error) { return wholefile.Read(path, limit) }

// tempPrefix begins the names of the temporary files of WriteFile.
func tempPrefix(path string) string { return "." + filepath.Base(path) + "-tmp-" }

// update changes a file of mode 0600 under a lock that other processes honour:
// change gets the present content (nil when there is no file) and returns the
// new one.
func update(ctx context.Context, path string, change func(old []byte) ([]byte, error)) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	lock, err := acquire(ctx, path+".lock")
	if err != nil {
		return err
	}
	defer lock.Close()
	removeLeftovers(path)
	old, err := readFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	data, err := change(old)
	if err != nil {
		return err
	}
	return WriteFile(path, data, 0o600)
}

// acquire waits for a lock in the system's queue, where nobody starves as
// someone who asks again and again may.
func acquire(ctx context.Context, path string) (*flock.Flock, error) {
	lock := flock.New(path)
	locked := make(chan error, 1)
	go func() { locked <- lock.Lock() }()
	patience := time.NewTimer(lockPatience)
	defer patience.Stop()
	var err error
	select {
	case err = <-locked:
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		return lock, nil
	case <-patience.C:
		err = fmt.Errorf("another process has held %s for %v: end it and try again", path, lockPatience)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	go func() { // the wait cannot be called off
		<-locked
		lock.Close()
	}()
	return nil, err
}

// removeLeftovers deletes the temporary files of writers that were killed. It
// is called under the lock, so that no writer is at work.
func removeLeftovers(path string) {
	entries, _ := os.ReadDir(filepath.Dir(path))
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), tempPrefix(path)) {
			os.Remove(filepath.Join(filepath.Dir(path), entry.Name()))
		}
	}
}

// readLinked reads the regular file of bounded size that path is or links to. A link
// that leads nowhere is another error than fs.ErrNotExist.
func readLinked(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		return readFile(path)
	}
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("%s is a broken link: %v", path, err)
	}
	return readFile(target)
}

// readFile reads a regular file of bounded size; links are refused.
func readFile(path string) ([]byte, error) {
	data, _, err := wholefile.ReadRegular(path, maxFileSize, false)
	if errors.Is(err, wholefile.ErrNotRegular) {
		return nil, fmt.Errorf("%q is %w", path, ErrNotRegular)
	}
	return data, err
}
