package plugin

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/signet-project/signet/protocol"
)

// Build is a plugin as it was built for one platform.
type Build struct {
	Platform Platform
	// Path is that of the executable, notation-{name}, with .exe for Windows, or of a
	// directory with the executable and the files to be installed with it.
	Path string

	name       string
	executable string   // path
	files      []string // paths, ordered by name
}

// OpenBuild looks at what was built for a platform.
func OpenBuild(platform Platform, path string) (*Build, error) {
	b := &Build{Platform: platform, Path: path, files: []string{path}}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		entries, err := os.ReadDir(path) // ordered by name
		if err != nil {
			return nil, err
		}
		b.files = nil
		for _, entry := range entries {
			b.files = append(b.files, filepath.Join(path, entry.Name()))
		}
	}
	if err := b.findExecutable(); err != nil {
		return nil, fmt.Errorf("build %s for %s: %w", path, platform, err)
	}
	return b, nil
}

// findExecutable makes sure that a host will find one executable among the files.
func (b *Build) findExecutable() error {
	suffix := suffixOn(b.Platform.OS)
	for _, path := range b.files {
		base := filepath.Base(path)
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || !plainFileName(base) {
			return fmt.Errorf("%q is not a regular file: a package holds files alone, side by side", base)
		}
		name, ok := nameOfBinaryOn(suffix, base)
		if ok && b.name != "" {
			return errSeveralExecutables
		}
		if ok {
			b.name, b.executable = name, path
		}
	}
	if b.name == "" {
		return fmt.Errorf("%w: it has to be called notation-{plugin-name}%s", errNoExecutable, suffix)
	}
	return nil
}

// Name is the plugin's, by the name of its executable.
func (b *Build) Name() string { return b.name }

// Pack writes the build's package: a tar.gz archive, the same bytes for the same
// files. The executable gets mode 0755, other files 0644; all have the first
// second of 1970.
func (b *Build) Pack(w io.Writer) error {
	bounded := &boundedWriter{w: w, left: MaxPackageSize - 1, err: errFileSize}
	compressed := gzip.NewWriter(bounded)
	content := &boundedWriter{w: io.Discard, left: MaxPackageSize - 1, err: errTotalSize}
	archive := tar.NewWriter(compressed)
	for _, path := range b.files {
		mode := int64(0o644)
		if path == b.executable {
			mode = installedMode
		}
		if err := packFile(archive, content, path, mode); err != nil {
			return fmt.Errorf("build %s for %s: %w", b.Path, b.Platform, err)
		}
	}
	return errors.Join(archive.Close(), compressed.Close())
}

// packFile adds a file to an archive; total counts what was added.
func packFile(archive *tar.Writer, total io.Writer, path string, mode int64) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	err = archive.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: filepath.Base(path), Mode: mode, Size: info.Size(), ModTime: time.Unix(0, 0),
	})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.MultiWriter(total, archive), file)
	return err
}

// Ask has a build for this platform say who it is, as [Manager.Install] would.
func (m *Manager) Ask(ctx context.Context, b *Build) (*protocol.Metadata, error) {
	if b.Platform != ThisPlatform() {
		return nil, fmt.Errorf("the build for %s does not run on %s", b.Platform, ThisPlatform())
	}
	if info, err := os.Stat(b.executable); err == nil && notRunnable(info) != "" {
		return nil, &ExecutableError{Name: b.name, Path: b.executable, Reason: notRunnable(info)}
	}
	return m.candidate(b.name, b.executable, nil).GetMetadata(ctx, nil)
}

// candidate is a client of an executable that is not installed.
func (m *Manager) candidate(name, path string, withheld []string) *protocol.Client {
	return m.newClient(name, m.opts.Timeout, nil, func(context.Context) (*opened, error) {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		return &opened{file: file, path: path, withheld: withheld}, nil
	})
}

// boundedWriter fails with err when more than left bytes are written.
type boundedWriter struct {
	w    io.Writer
	left int64
	err  error
}

func (b *boundedWriter) Write(p []byte) (int, error) {
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, b.err
	}
	return b.w.Write(p)
}
