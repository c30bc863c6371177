//go:build unix

package plugin

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// checkWritable returns a [*WritableError] when others than root and the user
// could write one of paths, which need not exist, or a directory above dir. A
// sticky directory above may be written by others: what it holds belongs to its
// owners.
func checkWritable(name, dir string, paths ...string) error {
	for _, path := range paths {
		if err := checkOwner(name, path); err != nil {
			return err
		}
	}
	// Both the way that is written and the one that links lead to count.
	ways := []string{dir}
	if resolved, err := filepath.EvalSymlinks(dir); err == nil && resolved != dir {
		ways = append(ways, resolved)
	}
	for _, way := range ways {
		for parent := filepath.Dir(way); parent != way; way, parent = parent, filepath.Dir(parent) {
			if err := checkOwnerFor(os.Geteuid(), name, parent, fs.ModeSticky); err != nil {
				return err
			}
		}
	}
	return nil
}

// ownerOf returns the name of a file's owner, or their id when they have no name.
func ownerOf(info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	id := strconv.FormatUint(uint64(stat.Uid), 10)
	if owner, err := user.LookupId(id); err == nil {
		return owner.Username
	}
	return id
}

// checkOwner is checkWritable for one path.
func checkOwner(name, path string) error { return checkOwnerFor(os.Geteuid(), name, path, 0) }

// checkInfo is checkWritable for one path that was looked at.
func checkInfo(name, path string, info fs.FileInfo) error {
	return checkInfoFor(os.Geteuid(), name, path, info, 0)
}

// checkOwnerFor is checkOwner as far as the user with that id is concerned. Others may
// write what has one of the mode bits excused.
func checkOwnerFor(uid int, name, path string, excused fs.FileMode) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return checkInfoFor(uid, name, path, info, excused)
}

// checkInfoFor is checkOwnerFor for a path that was looked at.
func checkInfoFor(uid int, name, path string, info fs.FileInfo, excused fs.FileMode) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 && int(stat.Uid) != uid {
		return &WritableError{Name: name, Path: path, Owner: true}
	}
	isLink := info.Mode().Type() == fs.ModeSymlink // whose own mode means nothing
	if info.Mode().Perm()&0o022 != 0 && !isLink && info.Mode()&excused == 0 {
		return &WritableError{Name: name, Path: path}
	}
	return nil
}
