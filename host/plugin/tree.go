package plugin

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/signet-project/signet/host/internal/filestate"
)

const (
	// maxTreeFiles and maxTreeSize (bytes) bound what a plugin's directory may
	// hold to be pinned.
	maxTreeFiles = 10_000
	maxTreeSize  = 4 << 30
	// maxTreeDepth bounds the nesting of directories.
	maxTreeDepth = 32
)

// linkMode stands in for the mode of a symbolic link.
const linkMode = "link"

// File is one file of a plugin's directory as a pin records it.
type File struct {
	// Path is relative to the plugin's directory, with forward slashes.
	Path string `json:"path"`
	// Mode is the permission in octal ("0755"), or "link" for a symbolic link.
	Mode string `json:"mode"`
	// Size in bytes; for a link, that of the text it holds.
	Size int64 `json:"size"`
	// SHA256 of the content in lower hex; for a link, of the text it holds.
	SHA256 string `json:"sha256"`
}

// treeDigest is the digest a pin is compared by: SHA-256 over the sorted list of
// files, one line each of mode, size, content digest and quoted path.
func treeDigest(files []File) string {
	h := sha256.New()
	io.WriteString(h, "signet plugin directory 1\n")
	for _, f := range files {
		fmt.Fprintf(h, "%s %d %s %q\n", f.Mode, f.Size, f.SHA256, f.Path)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// seenFile is what an earlier reading of a file found.
type seenFile struct {
	info   fs.FileInfo
	readAt time.Time
	sha256 string
}

// isSettled tells whether the file was read so long after its last change that a later
// change shows in its times.
func (s seenFile) isSettled() bool { return filestate.Of(s.info).SettledAt(s.readAt) }

// recall finds what an earlier reading of a file found, given how the file looks
// now; the content may be relied on if it is the same and settled.
type recall func(path string, now fs.FileInfo) (seenFile, bool)

// tree is the content of a plugin's directory.
type tree struct {
	files []File // ordered by path
	seen  map[string]seenFile
	// dirs are the directories, by path, as they looked before their entries were read.
	dirs map[string]seenFile
	// read is how many files had to be read.
	read int
}

// recall implements [recall].
func (t *tree) recall(path string, _ fs.FileInfo) (seenFile, bool) {
	seen, known := t.seen[path]
	return seen, known
}

func (t *tree) digest() string { return treeDigest(t.files) }

// readTree reads every file below root, except those that before knows and that
// have not been touched since. Anything but files, directories and links that
// stay inside root is an error.
func readTree(root *os.Root, before recall, now func() time.Time) (*tree, error) {
	r := &treeReader{root: root, before: before, now: now, tree: tree{seen: map[string]seenFile{}, dirs: map[string]seenFile{}}}
	if err := r.directory(".", 0); err != nil {
		return nil, err
	}
	slices.SortFunc(r.tree.files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	return &r.tree, nil
}

// readTreeAt reads every file below dir, which must not be a link.
func readTreeAt(dir string, now func() time.Time) (*tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return readTree(root, new(tree).recall, now)
}

type treeReader struct {
	root   *os.Root
	before recall
	now    func() time.Time
	tree   tree
	size   int64
}

func (r *treeReader) directory(dir string, depth int) error {
	if depth > maxTreeDepth {
		return fmt.Errorf("directories are nested deeper than %d levels", maxTreeDepth)
	}
	d, err := r.root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	readAt := r.now()
	info, err := d.Stat()
	if err != nil {
		return err
	}
	r.tree.dirs[dir] = seenFile{info: info, readAt: readAt}
	for {
		entries, err := d.ReadDir(256)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, entry := range entries {
			path := entry.Name()
			if dir != "." {
				path = dir + "/" + path
			}
			if err := r.entry(path, depth); err != nil {
				return err
			}
		}
	}
}

func (r *treeReader) entry(path string, depth int) error {
	if !fs.ValidPath(path) {
		return fmt.Errorf("%q is not a portable file name", path)
	}
	info, err := r.root.Lstat(path)
	if err != nil {
		return err
	}
	switch info.Mode().Type() {
	case fs.ModeDir:
		return r.directory(path, depth+1)
	case fs.ModeSymlink:
		return r.link(path)
	case 0:
		return r.file(path, info)
	}
	return fmt.Errorf("%q is neither a file, a directory nor a link", path)
}

func (r *treeReader) file(path string, info fs.FileInfo) error {
	seen, known := r.before(path, info)
	if !known || !filestate.Same(seen.info, info) || !seen.isSettled() {
		f, err := r.root.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if seen, err = readFile(f, r.now); err != nil {
			return err
		}
		r.tree.read++
	}
	r.tree.seen[path] = seen
	return r.add(File{Path: path, Mode: octal(seen.info.Mode()), Size: seen.info.Size(), SHA256: seen.sha256})
}

func (r *treeReader) link(path string) error {
	target, err := r.root.Readlink(path)
	if err != nil {
		return err
	}
	if _, err := r.root.Stat(path); err != nil {
		return fmt.Errorf("link %q does not lead to a file in the plugin's directory", path)
	}
	sum := sha256.Sum256([]byte(target))
	return r.add(File{Path: path, Mode: linkMode, Size: int64(len(target)), SHA256: hex.EncodeToString(sum[:])})
}

func (r *treeReader) add(f File) error {
	r.size += f.Size
	if len(r.tree.files) == maxTreeFiles || r.size > maxTreeSize {
		return fmt.Errorf("more than %d files or %d GiB", maxTreeFiles, maxTreeSize>>30)
	}
	r.tree.files = append(r.tree.files, f)
	return nil
}

// readFile hashes an open file, which must be regular and whose content must not change
// meanwhile. (Its state may: each link that is made to a file touches it.)
func readFile(f *os.File, now func() time.Time) (seenFile, error) {
	const attempts = 3
	var last seenFile
	for range attempts {
		before, err := f.Stat()
		if err != nil {
			return seenFile{}, err
		}
		if !before.Mode().IsRegular() {
			return seenFile{}, fmt.Errorf("%q is not a regular file", f.Name())
		}
		readAt := now()
		h := sha256.New()
		// One byte more than announced shows that the file grew.
		n, err := io.Copy(h, io.NewSectionReader(f, 0, before.Size()+1))
		if err != nil {
			return seenFile{}, err
		}
		after, err := f.Stat()
		if err != nil {
			return seenFile{}, err
		}
		seen := seenFile{info: before, readAt: readAt, sha256: hex.EncodeToString(h.Sum(nil))}
		if n == before.Size() && (filestate.Same(before, after) || seen.sha256 == last.sha256) {
			return seen, nil
		}
		last = seen
	}
	return seenFile{}, fmt.Errorf("%q is changing", f.Name())
}

// octal writes a file's permission, set-id bits included, as a pin records it.
func octal(mode fs.FileMode) string {
	bits := uint32(mode.Perm())
	if mode&fs.ModeSetuid != 0 {
		bits |= 0o4000
	}
	if mode&fs.ModeSetgid != 0 {
		bits |= 0o2000
	}
	if mode&fs.ModeSticky != 0 {
		bits |= 0o1000
	}
	return fmt.Sprintf("%04o", bits)
}

// Change is one difference between a pin and a plugin's directory.
type Change struct {
	// Path is relative to the plugin's directory, with forward slashes.
	Path string
	Kind ChangeKind
}

// ChangeKind says in which way a file differs from its pin.
type ChangeKind string

// The kinds of change.
const (
	Added    ChangeKind = "added"
	Removed  ChangeKind = "removed"
	Modified ChangeKind = "modified"
)

// compareFiles lists the differences between two lists ordered by path.
func compareFiles(pinned, present []File) []Change {
	var changes []Change
	for len(pinned) > 0 || len(present) > 0 {
		switch order := comparePaths(pinned, present); {
		case order < 0:
			changes = append(changes, Change{pinned[0].Path, Removed})
			pinned = pinned[1:]
		case order > 0:
			changes = append(changes, Change{present[0].Path, Added})
			present = present[1:]
		default:
			if pinned[0] != present[0] {
				changes = append(changes, Change{pinned[0].Path, Modified})
			}
			pinned, present = pinned[1:], present[1:]
		}
	}
	return changes
}

// comparePaths compares the first paths; an empty list comes last.
func comparePaths(a, b []File) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	return cmp.Compare(a[0].Path, b[0].Path)
}
