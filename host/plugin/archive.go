package plugin

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxPackageSize is what a plugin package, the sum of the files in it, and a
	// single executable have to stay under, in bytes.
	MaxPackageSize = 256 << 20
	// maxArchiveEntries bounds the entries of an archive, those skipped included.
	maxArchiveEntries = 10_000
	// maxDirectorySize bounds, in bytes, the directory of a zip archive, and what
	// a tar archive may hold besides the files that count.
	maxDirectorySize = 16 << 20
	// installedMode is what installed files keep of their mode.
	installedMode = 0o755
)

var (
	errSeveralExecutables = errors.New("found more than one plugin executable files")
	errNoExecutable       = errors.New("no plugin executable file was found")
	errTotalSize          = fmt.Errorf("total file size reached the %d MiB size limit", MaxPackageSize>>20)
	errFileSize           = fmt.Errorf("file size reached the %d MiB size limit", MaxPackageSize>>20)
)

// pack is a plugin package: a zip or tar.gz archive, or a single executable.
type pack struct {
	content io.ReaderAt
	// size of content in bytes.
	size int64
	// fileName names the executable when the package is one.
	fileName string
	// mode of the executable when the package is one.
	mode fs.FileMode
}

// unpacker writes files of a package into one directory.
type unpacker struct {
	dir     string
	entries int
	left    int64 // bytes that may still be written
	written map[string]bool
}

// unpack writes the files of a package into the empty directory dir and returns
// the name of the plugin. It recognises the format by content. Of a zip archive
// it takes the files at the root, of a tar archive all files, by base name
// (PLG-62, PLG-66). The only executable has its execute permission already or
// gets it; then repaired names the file.
func (p pack) unpack(dir string) (name, repaired string, err error) {
	if p.size >= MaxPackageSize {
		return "", "", errFileSize
	}
	u := &unpacker{dir: dir, left: MaxPackageSize - 1, written: map[string]bool{}}
	var magic [4]byte
	n, err := p.content.ReadAt(magic[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", "", err
	}
	switch {
	case n == 4 && bytes.Equal(magic[:], []byte("PK\x03\x04")):
		err = u.zip(p)
	case n >= 3 && bytes.Equal(magic[:3], []byte("\x1f\x8b\x08")):
		err = u.tarGz(p)
	default:
		name, err = u.single(p)
		return name, "", err
	}
	if err != nil {
		return "", "", err
	}
	return findExecutable(dir)
}

// single takes the package for an executable.
func (u *unpacker) single(p pack) (string, error) {
	name, ok := nameOfBinary(p.fileName)
	if !ok {
		return "", fmt.Errorf("plugin file name requires format %s, but got %s", BinaryName("{plugin-name}"), p.fileName)
	}
	if runtime.GOOS != "windows" && p.mode.Perm()&0o100 == 0 {
		return "", fmt.Errorf("input file %s is not executable: give it execute permission and try again", p.fileName)
	}
	return name, u.write(BinaryName(name), p.mode, io.NewSectionReader(p.content, 0, p.size))
}

func (u *unpacker) zip(p pack) error {
	// A hostile directory may list millions of entries: it is read within a bound.
	limited := &boundedReaderAt{r: p.content, left: maxDirectorySize}
	archive, err := zip.NewReader(limited, p.size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // names are judged below
		return fmt.Errorf("malformed zip archive: %w", err)
	}
	limited.left = -1
	for _, f := range archive.File {
		if strings.Contains(f.Name, "..") {
			return fmt.Errorf("file name in zip cannot contain '..', but found %q", f.Name)
		}
	}
	for _, f := range archive.File {
		if err := u.count(); err != nil {
			return err
		}
		if strings.ContainsAny(f.Name, `/\`) || !f.Mode().IsRegular() {
			continue
		}
		content, err := f.Open()
		if err != nil {
			return fmt.Errorf("malformed zip archive: file %q: %w", f.Name, err)
		}
		err = u.write(f.Name, f.Mode(), content)
		content.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) tarGz(p pack) error {
	stream, err := gzip.NewReader(io.NewSectionReader(p.content, 0, p.size))
	if err != nil {
		return fmt.Errorf("malformed tar.gz archive: %w", err)
	}
	// Entries that are skipped must not expand without end either.
	bounded := &boundedReader{r: stream, left: MaxPackageSize + maxDirectorySize}
	archive := tar.NewReader(bounded)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			// The checksum of the whole comes after the end of the tar archive.
			if _, err := io.Copy(io.Discard, bounded); err != nil {
				return fmt.Errorf("malformed tar.gz archive: %w", err)
			}
			return nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) { // names are judged below
			return fmt.Errorf("malformed tar.gz archive: %w", err)
		}
		if strings.Contains(header.Name, "..") {
			return fmt.Errorf("file name in tar.gz cannot contain '..', but found %q", header.Name)
		}
		if err := u.count(); err != nil {
			return err
		}
		// By its mode, a hard link or a header of the archive itself is a regular file, an empty one.
		if header.Typeflag != tar.TypeReg || !header.FileInfo().Mode().IsRegular() {
			continue
		}
		base := path.Base(strings.ReplaceAll(header.Name, `\`, "/"))
		if err := u.write(base, header.FileInfo().Mode(), archive); err != nil {
			return err
		}
	}
}

func (u *unpacker) count() error {
	if u.entries++; u.entries > maxArchiveEntries {
		return fmt.Errorf("archive has more than %d entries", maxArchiveEntries)
	}
	return nil
}

// write stores one file. Of several with one name the last one remains, unless
// it could be the executable.
func (u *unpacker) write(name string, mode fs.FileMode, content io.Reader) error {
	if !plainFileName(name) {
		return fmt.Errorf("file name %q in archive is not valid", name)
	}
	if u.written[name] {
		if _, binary := nameOfBinary(name); binary {
			return errSeveralExecutables
		}
		if err := os.Remove(filepath.Join(u.dir, name)); err != nil {
			return err
		}
	}
	u.written[name] = true
	f, err := os.OpenFile(filepath.Join(u.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.Copy(f, io.LimitReader(content, u.left+1))
	if err != nil {
		return fmt.Errorf("unpack %q: %w", name, err)
	}
	if u.left -= n; u.left < 0 {
		return errTotalSize
	}
	return errors.Join(f.Chmod(mode.Perm()&installedMode), f.Sync(), f.Close())
}

// plainFileName tells whether name is safe as the name of a file in a directory.
func plainFileName(name string) bool {
	return utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl) &&
		!strings.ContainsAny(name, `/\`) && name != "." && filepath.IsLocal(name)
}

// findExecutable finds the one executable among the files in dir; a sole
// candidate without execute permission gets it for its owner (PLG-65, PLG-67).
func findExecutable(dir string) (name, repaired string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", "", err
	}
	var executables, others []string
	for _, entry := range entries {
		if _, ok := nameOfBinary(entry.Name()); !ok {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			return "", "", err
		}
		if notRunnable(info) == "" {
			executables = append(executables, entry.Name())
		} else {
			others = append(others, entry.Name())
		}
	}
	switch {
	case len(executables) > 1:
		return "", "", errSeveralExecutables
	case len(executables) == 1:
		name, _ = nameOfBinary(executables[0])
		return name, "", nil
	case len(others) == 1:
		name, _ = nameOfBinary(others[0])
		return name, others[0], addExecuteBit(filepath.Join(dir, others[0]))
	}
	return "", "", errNoExecutable
}

func addExecuteBit(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.Chmod(path, info.Mode().Perm()|0o100)
}

// boundedReader fails when more than left bytes are read.
type boundedReader struct {
	r    io.Reader
	left int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTotalSize
	}
	return n, err
}

// boundedReaderAt fails when more than left bytes are read; a negative bound is none.
type boundedReaderAt struct {
	r    io.ReaderAt
	left int64
}

func (b *boundedReaderAt) ReadAt(p []byte, offset int64) (int, error) {
	if b.left < 0 {
		return b.r.ReadAt(p, offset)
	}
	if int64(len(p)) > b.left {
		return 0, fmt.Errorf("directory of the archive is larger than %d MiB", maxDirectorySize>>20)
	}
	b.left -= int64(len(p))
	return b.r.ReadAt(p, offset)
}
