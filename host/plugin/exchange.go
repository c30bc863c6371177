package plugin

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A scratch directory holds a plugin's directory under these names: the one to
// be installed, and the one that was.
const (
	newName = "new"
	oldName = "old"
)

// errNoExchange says that the system cannot exchange two directories.
var errNoExchange = errors.New("exchanging directories is not supported")

// replacement is an upgrade or a first installation, ready to take effect.
type replacement struct {
	name string
	// scratch is the directory, in the plugin directory, whose "new" shall become
	// the plugin's directory.
	scratch string
	pin     Pin
	// withhold replaces the list of withheld variables; nil keeps it.
	withhold []string
}

// replace lets a replacement take effect, so that whenever the program dies, the
// plugin is either the old one or the new one, and runs: first the lock file
// records the pins of both, then the directories change places, then the old pin
// is dropped. Where directories cannot change places in one step, the lock file
// is the journal by which the next run completes the work (see [Manager.settle]).
// The guard is held; lock is what settle returned.
func (m *Manager) replace(r replacement, lock *lockFile) error {
	if lock == nil {
		lock = newLockFile()
	}
	entry := lock.entry(r.name)
	before := *entry
	entry.Pins = append(m.oldPins(r.name, entry), r.pin)
	entry.Staged = filepath.Base(r.scratch)
	if r.withhold != nil {
		if err := entry.setWithheld(r.withhold); err != nil {
			return err
		}
	}
	if err := m.store.save(lock); err != nil {
		return err
	}
	m.step("both pinned")
	if err := m.swap(r.scratch, filepath.Join(m.dir, r.name)); err != nil {
		*entry = before
		lock.prune(r.name)
		return errors.Join(err, m.store.save(lock))
	}
	m.step("swapped")
	entry.Pins, entry.Staged = []Pin{r.pin}, ""
	err := m.store.save(lock)
	m.step("new pinned")
	return err
}

// oldPins are the pins by which the plugin's present state goes on being run
// until it is replaced.
func (m *Manager) oldPins(name string, entry *lockEntry) []Pin {
	if len(entry.Pins) > 0 {
		return append([]Pin(nil), entry.Pins...)
	}
	present, err := readTreeAt(filepath.Join(m.dir, name), m.opts.Now)
	if err != nil || len(present.files) == 0 {
		return nil // nothing there that runs
	}
	pin := newPin(present, "", m.opts.Now())
	pin.Provisional = true
	return []Pin{pin}
}

// swap makes scratch/new the directory target; what was there stays in scratch.
func (m *Manager) swap(scratch, target string) error {
	staged, old := filepath.Join(scratch, newName), filepath.Join(scratch, oldName)
	if _, err := os.Lstat(target); errors.Is(err, fs.ErrNotExist) {
		return os.Rename(staged, target)
	}
	if err := m.exchange(staged, target); !errors.Is(err, errNoExchange) {
		return err
	}
	if err := os.Rename(target, old); err != nil {
		return err
	}
	m.step("old moved away")
	if err := os.Rename(staged, target); err != nil {
		return errors.Join(err, os.Rename(old, target))
	}
	return nil
}

// begin takes the guard, which release gives back, and settles what others left.
func (m *Manager) begin(ctx context.Context) (lock *lockFile, release func(), err error) {
	if release, err = m.store.guard(ctx); err != nil {
		return nil, nil, err
	}
	if lock, err = m.settle(); err != nil {
		release()
		return nil, nil, err
	}
	return lock, release, nil
}

// settle completes what an interrupted program left half-done, removes its
// scratch directories, and returns the lock file, nil when there is none. The
// guard is held.
func (m *Manager) settle() (*lockFile, error) {
	lock, err := m.store.load()
	if err != nil {
		return nil, err
	}
	if lock != nil {
		changed := false
		for name, entry := range lock.Plugins {
			if entry.Staged == "" {
				continue
			}
			if err := m.complete(name, entry); err != nil {
				return nil, err
			}
			lock.prune(name)
			changed = true
		}
		if changed {
			if err := m.store.save(lock); err != nil {
				return nil, err
			}
		}
	}
	m.cleanScratch()
	return lock, nil
}

// complete ends one interrupted replacement: a directory that is out of place is
// put there, and the pin of what is there remains.
func (m *Manager) complete(name string, entry *lockEntry) error {
	target := filepath.Join(m.dir, name)
	for _, part := range []string{newName, oldName} {
		if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		candidate := filepath.Join(m.dir, entry.Staged, part)
		if t, err := readTreeAt(candidate, m.opts.Now); err == nil && entry.find(t.digest()) != nil {
			if err := os.Rename(candidate, target); err != nil {
				return err
			}
		}
	}
	if present, err := readTreeAt(target, m.opts.Now); err == nil {
		if pin := entry.find(present.digest()); pin != nil {
			entry.Pins = []Pin{*pin}
		}
	}
	kept := entry.Pins[:0]
	for _, pin := range entry.Pins {
		if !pin.Provisional {
			kept = append(kept, pin)
		}
	}
	entry.Pins, entry.Staged = kept, ""
	return nil
}

// repair completes an interrupted replacement of a plugin that is missing for
// that reason, and tells whether the plugin is there now.
func (m *Manager) repair(ctx context.Context, name string) bool {
	lock, err := m.store.load()
	if err != nil || lock == nil || lock.Plugins[name] == nil || lock.Plugins[name].Staged == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, repairTimeout)
	defer cancel()
	_, release, err := m.begin(ctx)
	if err != nil {
		return false
	}
	defer release()
	_, err = m.Find(name)
	return err == nil
}

// cleanScratch removes what interrupted programs left behind. The guard is held, so
// that of everything unfinished only a download can be somebody's.
func (m *Manager) cleanScratch() {
	entries, _ := os.ReadDir(m.dir)
	for _, entry := range entries {
		path := filepath.Join(m.dir, entry.Name())
		if strings.HasPrefix(entry.Name(), scratchPrefix) && !(strings.HasPrefix(entry.Name(), downloadPrefix) && downloading(path)) {
			os.RemoveAll(path)
		}
	}
}
