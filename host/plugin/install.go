package plugin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/signet-project/signet/protocol"
)

// InstallRequest says what to install. Exactly one of File, URL and Fetch is set.
type InstallRequest struct {
	// File is the path of a zip or tar.gz archive or of a single executable.
	File string
	// URL is where to download such a file, https only; SHA256 is required with it.
	URL string
	// Fetch writes a zip or tar.gz archive that the caller vouches for to w, such as
	// one out of an artifact whose signature was verified.
	Fetch func(ctx context.Context, w io.Writer) error
	// Label is what the package must be; its name is compared before the plugin is run.
	Label Label
	// Source is recorded with the pin: where the package is from, for people. With
	// a URL it is that.
	Source string
	// FileName is the name by which a single executable is known; "" means the
	// last element of File or of the URL's path.
	FileName string
	// SHA256 of the file in hex, upper or lower case; "" does not check.
	SHA256 string
	// Force installs whatever version is installed already.
	Force bool
	// WithheldEnvironment replaces the list of environment variables that the
	// plugin does not get; nil keeps it.
	WithheldEnvironment []string
	// Status is called with lines for the user; nil drops them.
	Status func(line string)
	// Progress is called while downloading with the bytes received and the total,
	// -1 when that is not known; nil drops it.
	Progress func(received, total int64)

	fetched string // the temporary file of a package that is not on disk otherwise
}

func (r InstallRequest) status(line string) {
	if r.Status != nil {
		r.Status(line)
	}
}

// InstallResult says what was installed.
type InstallResult struct {
	Name    string
	Version string
	// Previous is the version replaced; empty when there was none that worked.
	Previous string
	// Updated tells that a version was replaced.
	Updated bool
	// Digest is that of the plugin's pin.
	Digest string
}

// String returns the line that tells the user (PLG-72).
func (r *InstallResult) String() string {
	if r.Updated {
		return fmt.Sprintf("Successfully updated plugin %s from version %s to %s", r.Name, r.Previous, r.Version)
	}
	return fmt.Sprintf("Successfully installed plugin %s, version %s", r.Name, r.Version)
}

// Install installs a plugin, or replaces it by a higher version, and pins it.
// The new plugin is unpacked beside the old one, asked for its metadata there,
// and takes its place in one step; when anything fails, or the program dies,
// nothing has changed.
//
// What goes wrong with a package is an [*InstallError] around a
// [*ChecksumError], [*ExistsError], [*DowngradeError] or another error.
func (m *Manager) Install(ctx context.Context, r InstallRequest) (*InstallResult, error) {
	if err := r.checkSource(); err != nil {
		return nil, err
	}
	if r.URL != "" || r.Fetch != nil {
		remove, err := m.fetch(ctx, &r)
		if err != nil {
			return nil, err
		}
		defer remove()
	}
	if r.FileName == "" {
		r.FileName = filepath.Base(r.File)
	}
	result, err := m.install(ctx, r)
	if err != nil {
		return nil, &InstallError{Err: err}
	}
	return result, nil
}

func (r InstallRequest) checkSource() error {
	sources := 0
	for _, given := range []bool{r.File != "", r.URL != "", r.Fetch != nil} {
		if given {
			sources++
		}
	}
	if sources != 1 {
		return errors.New("install a plugin either from a file or from a URL or from an artifact")
	}
	return nil
}

func (m *Manager) install(ctx context.Context, r InstallRequest) (*InstallResult, error) {
	if err := checkFile(r.File); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return nil, err
	}
	lock, release, err := m.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	scratch, err := os.MkdirTemp(m.dir, scratchPrefix+"install-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	name, err := m.unpack(r, scratch)
	if err != nil {
		return nil, err
	}
	m.step("unpacked")
	metadata, pin, err := m.examine(ctx, r, name, filepath.Join(scratch, newName), lock)
	if err != nil {
		return nil, err
	}
	result := &InstallResult{Name: name, Version: metadata.Version, Digest: pin.Digest}
	if result.Previous, err = m.previous(ctx, name, metadata.Version, r.Force); err != nil {
		return nil, err
	}
	result.Updated = result.Previous != ""
	m.step("examined")
	err = m.replace(replacement{name: name, scratch: scratch, pin: pin, withhold: r.WithheldEnvironment}, lock)
	if err != nil {
		return nil, fmt.Errorf("put plugin %s in place: %w", name, err)
	}
	return result, nil
}

// checkFile refuses what is not a file, before it is opened, and what is too large.
func checkFile(file string) error {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a valid file", file)
	case info.Size() >= MaxPackageSize:
		return errFileSize
	}
	return nil
}

// unpack copies the package into scratch, so that nobody can change it any more,
// compares its checksum, and unpacks it into scratch/new.
func (m *Manager) unpack(r InstallRequest, scratch string) (name string, err error) {
	source, err := os.Open(r.File)
	if err != nil {
		return "", err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return "", err
	}
	copied, err := os.OpenFile(filepath.Join(scratch, "package"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	defer copied.Close()
	h := sha256.New()
	size, err := io.Copy(io.MultiWriter(copied, h), io.LimitReader(source, MaxPackageSize))
	if err != nil {
		return "", err
	}
	if actual := hex.EncodeToString(h.Sum(nil)); r.SHA256 != "" && !strings.EqualFold(actual, r.SHA256) {
		return "", &ChecksumError{Expected: r.SHA256, Actual: actual}
	}
	dir := filepath.Join(scratch, newName)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	p := pack{content: copied, size: size, fileName: r.FileName, mode: info.Mode()}
	if r.File == r.fetched {
		p.mode = installedMode // a download has no mode of its own
	}
	name, repaired, err := p.unpack(dir)
	if err != nil {
		return "", err
	}
	if err := r.Label.check(Label{Name: name}); err != nil {
		return "", err
	}
	if repaired != "" {
		m.warn(fmt.Errorf("Found candidate plugin executable file %q without executable permission. Setting user executable bit and trying to install.", repaired))
	}
	return name, os.Chmod(dir, installedMode)
}

// examine asks the plugin unpacked in dir for its metadata and reads its files.
func (m *Manager) examine(ctx context.Context, r InstallRequest, name, dir string, lock *lockFile) (*protocol.Metadata, Pin, error) {
	entry := &lockEntry{}
	if lock != nil && lock.Plugins[name] != nil {
		entry.WithheldEnvironment = lock.Plugins[name].WithheldEnvironment
	}
	if r.WithheldEnvironment != nil {
		if err := entry.setWithheld(r.WithheldEnvironment); err != nil {
			return nil, Pin{}, err
		}
	}
	metadata, err := m.candidate(name, filepath.Join(dir, BinaryName(name)), entry.WithheldEnvironment).GetMetadata(ctx, nil)
	if broken, ok := errors.AsType[*ExecutableError](err); ok {
		return nil, Pin{}, broken // it was not even asked
	}
	if err != nil {
		return nil, Pin{}, fmt.Errorf("failed to get metadata of new plugin: %w", err)
	}
	if err := r.Label.check(Label{metadata.Name, metadata.Version}); err != nil {
		return nil, Pin{}, err
	}
	// Some interpreters leave files beside a program when it runs first; they
	// belong to the state that is pinned.
	t, err := readTreeAt(dir, m.opts.Now)
	if err != nil {
		return nil, Pin{}, err
	}
	pin := newPin(t, metadata.Version, m.opts.Now())
	pin.Source = r.Source
	return metadata, pin, nil
}

// previous returns the version of the plugin that is installed, empty when there
// is none, and refuses a version that is not higher (PLG-69). With force it
// refuses nothing and takes a plugin that does not work for none.
func (m *Manager) previous(ctx context.Context, name, version string, force bool) (string, error) {
	existing, err := m.client(ctx, name, m.opts.Timeout, nil)
	if _, missing := errors.AsType[*NotInstalledError](err); missing || err != nil && force {
		return "", ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("failed to check plugin existence: %w", err)
	}
	metadata, err := existing.GetMetadata(ctx, nil)
	if err != nil && force {
		return "", ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("failed to get metadata of existing plugin: %w", err)
	}
	if force {
		return metadata.Version, nil
	}
	switch order, err := compareVersions(version, metadata.Version); {
	case err != nil:
		return "", fmt.Errorf("failed to compare plugin versions: %w", err)
	case order == 0:
		return "", &ExistsError{Name: name, Version: metadata.Version}
	case order < 0:
		return "", &DowngradeError{Name: name, Installing: version, Existing: metadata.Version}
	}
	return metadata.Version, nil
}
