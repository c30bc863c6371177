package plugin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofrs/flock"

	"github.com/signet-project/signet/host/internal/wholefile"
)

// lockFileName is the file beside the plugins that holds their pins.
const lockFileName = "plugins.lock.json"

// lockVersion is the version of the lock file's format that this package reads
// and writes.
const lockVersion = "1"

const (
	// maxLockSize bounds the lock file, in bytes.
	maxLockSize = 32 << 20
	// guardName is the file whose advisory lock is held while plugins and lock
	// file change.
	guardName = ".plugins.guard"
	// scratchPrefix starts the names of everything unfinished in the plugin
	// directory. No plugin's name has a "~".
	scratchPrefix = "~"
)

// lockFile is the content of plugins.lock.json: what is known about the plugins
// beside it. It is a JSON object without unknown members.
type lockFile struct {
	// Version is lockVersion.
	Version string `json:"version"`
	// Plugins holds an entry per plugin that is pinned or has variables withheld.
	Plugins map[string]*lockEntry `json:"plugins"`
}

// lockEntry is what the lock file says of one plugin.
type lockEntry struct {
	// Pins are the states in which the plugin may be run: one, or two while an
	// upgrade is under way. None means that the plugin is not pinned.
	Pins []Pin `json:"pins,omitempty"`
	// WithheldEnvironment names variables that the plugin does not get, besides
	// registry credentials, which no plugin gets. A "*" at the end of a name
	// stands for any rest.
	WithheldEnvironment []string `json:"withheldEnvironment,omitempty"`
	// Staged names the directory, beside the plugins, of an installation under
	// way: one that was interrupted is completed from there.
	Staged string `json:"staged,omitempty"`
}

// Pin is one state of a plugin's directory.
type Pin struct {
	// Digest is "sha256:" and the SHA-256, in lower hex, over the line
	// "signet plugin directory 1" and a line per file, in the order of Files, of
	// mode, size, sha256 and the path as a quoted Go string, separated by blanks.
	Digest string `json:"digest"`
	// PluginVersion is the version that an installation read from the metadata.
	PluginVersion string `json:"pluginVersion,omitempty"`
	// Source says where an installation had the plugin from, for people.
	Source string `json:"source,omitempty"`
	// PinnedAt is when the state was accepted.
	PinnedAt time.Time `json:"pinnedAt"`
	// Provisional marks the state of a plugin that was not pinned when an upgrade
	// began: it may be run like any plugin without a pin.
	Provisional bool `json:"provisional,omitzero"`
	// Files lists the files ordered by path.
	Files []File `json:"files"`
}

func newPin(t *tree, version string, at time.Time) Pin {
	return Pin{Digest: t.digest(), PluginVersion: version, PinnedAt: at.UTC().Truncate(time.Second), Files: t.files}
}

func newLockFile() *lockFile {
	return &lockFile{Version: lockVersion, Plugins: map[string]*lockEntry{}}
}

// parseLockFile reads a lock file strictly.
func parseLockFile(data []byte) (*lockFile, error) {
	if len(data) > maxLockSize {
		return nil, fmt.Errorf("larger than %d MiB", maxLockSize>>20)
	}
	var lock lockFile
	if err := json.Unmarshal(data, &lock, json.RejectUnknownMembers(true)); err != nil {
		return nil, err
	}
	if lock.Version != lockVersion {
		return nil, fmt.Errorf("version %q is not supported, only %q", lock.Version, lockVersion)
	}
	if lock.Plugins == nil {
		return nil, errors.New("no member \"plugins\"")
	}
	for name, entry := range lock.Plugins {
		if !ValidName(name) || entry == nil {
			return nil, fmt.Errorf("plugin %q is not a valid entry", name)
		}
		if err := entry.check(); err != nil {
			return nil, fmt.Errorf("plugin %s: %w", name, err)
		}
	}
	return &lock, nil
}

func (e *lockEntry) check() error {
	for _, pin := range e.Pins {
		for i, f := range pin.Files {
			if i > 0 && pin.Files[i-1].Path >= f.Path {
				return errors.New("files are not ordered by path")
			}
			if !fs.ValidPath(f.Path) || path.Clean(f.Path) == "." || f.Size < 0 {
				return fmt.Errorf("file %q is not a valid entry", f.Path)
			}
		}
		if len(pin.Files) == 0 || pin.Digest != treeDigest(pin.Files) {
			return fmt.Errorf("pin %q does not match its list of files", pin.Digest)
		}
	}
	for _, name := range e.WithheldEnvironment {
		if !validVariable(name) {
			return fmt.Errorf("%q is not a name of an environment variable", name)
		}
	}
	if e.Staged != "" && (!strings.HasPrefix(e.Staged, scratchPrefix) || !ValidName(e.Staged[1:])) {
		return fmt.Errorf("%q is not a staging directory", e.Staged)
	}
	return nil
}

// find returns the pin with a digest; nil when there is none.
func (e *lockEntry) find(digest string) *Pin {
	for i := range e.Pins {
		if e.Pins[i].Digest == digest {
			return &e.Pins[i]
		}
	}
	return nil
}

// format writes the lock file as it is stored: indented, members ordered, a line
// feed at the end.
func (l *lockFile) format() ([]byte, error) {
	data, err := json.Marshal(l, json.Deterministic(true), jsontext.WithIndent("    "))
	if err != nil {
		return nil, err
	}
	if len(data) >= maxLockSize {
		return nil, fmt.Errorf("pins need more than %d MiB", maxLockSize>>20)
	}
	return append(data, '\n'), nil
}

// lockStore reads and writes the lock file of one plugin directory.
type lockStore struct {
	dir string
}

func (s lockStore) path() string { return filepath.Join(s.dir, lockFileName) }

// load reads the lock file. It returns nil and no error when there is none, and
// a [*LockError] when it cannot be used.
func (s lockStore) load() (*lockFile, error) {
	data, _, err := wholefile.ReadRegular(s.path(), maxLockSize, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var lock *lockFile
	if err == nil {
		lock, err = parseLockFile(data)
	}
	if err != nil {
		return nil, &LockError{Path: s.path(), Err: err}
	}
	return lock, nil
}

// save replaces the lock file, in one step for all who read it.
func (s lockStore) save(lock *lockFile) error {
	data, err := lock.format()
	if err != nil {
		return err
	}
	return wholefile.Replace(s.path(), data, wholefile.Replacement{Temp: scratchPrefix + "lock-*", Mode: 0o644, Sync: true})
}

// guard waits for the right to change plugins and lock file and takes it; the
// function returned gives it back. The system does so for a process that dies.
func (s lockStore) guard(ctx context.Context) (release func(), err error) {
	lock := flock.New(filepath.Join(s.dir, guardName), flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		lock.Close()
		return nil, fmt.Errorf("wait for another program that changes plugins in %s: %w", s.dir, err)
	}
	return func() { lock.Close() }, nil
}

// entry returns the entry of a plugin for changing, made when there was none.
func (l *lockFile) entry(name string) *lockEntry {
	entry := l.Plugins[name]
	if entry == nil {
		entry = &lockEntry{}
		l.Plugins[name] = entry
	}
	return entry
}

// prune drops the entry of a plugin when it says nothing.
func (l *lockFile) prune(name string) {
	if e := l.Plugins[name]; e != nil && len(e.Pins) == 0 && len(e.WithheldEnvironment) == 0 && e.Staged == "" {
		delete(l.Plugins, name)
	}
}

// setWithheld replaces the list of withheld variables.
func (e *lockEntry) setWithheld(names []string) error {
	for _, name := range names {
		if !validVariable(name) {
			return fmt.Errorf("%q is not a name of an environment variable", name)
		}
	}
	e.WithheldEnvironment = slices.Compact(slices.Sorted(slices.Values(names)))
	return nil
}
