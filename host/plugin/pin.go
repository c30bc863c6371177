package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// pinError says in what the files present differ from the pins.
func (m *Manager) pinError(name string, entry *lockEntry, present *tree) *PinError {
	return &PinError{Name: name, Dir: filepath.Join(m.dir, name), Keeper: m.Keeper(), Changes: closest(entry.Pins, present.files)}
}

// Keeper returns the name of the user who owns the plugin directory and so may
// accept changed files; empty where the system does not tell.
func (m *Manager) Keeper() string {
	for _, path := range []string{m.store.path(), m.dir} {
		if info, err := os.Lstat(path); err == nil {
			return ownerOf(info)
		}
	}
	return ""
}

// closest lists the differences to the pin that has the fewest.
func closest(pins []Pin, present []File) []Change {
	var least []Change
	for i, pin := range pins {
		changes := compareFiles(pin.Files, present)
		if i == 0 || len(changes) < len(least) {
			least = changes
		}
	}
	return least
}

// PinStatus says how a plugin stands to its pin.
type PinStatus string

// The states of a plugin.
const (
	// PinHolds: the files are as they were when they were pinned.
	PinHolds PinStatus = "ok"
	// PinBroken: they are not.
	PinBroken PinStatus = "changed"
	// PinAbsent: the plugin has no pin.
	PinAbsent PinStatus = "not pinned"
	// PluginAbsent: there is a pin but no plugin.
	PluginAbsent PinStatus = "not installed"
	// PinUnknown: the files could not be read.
	PinUnknown PinStatus = "unreadable"
)

// PinReport is what Verify found out about one plugin.
type PinReport struct {
	Name   string
	Status PinStatus
	// Digest of the files present; empty when they could not be read.
	Digest string
	// Pin is the one that holds, or the latest of those that do not; nil when the
	// plugin is not pinned.
	Pin *Pin
	// Err is nil when the pin holds and says what to do otherwise. With PinBroken
	// it is a [*PinError], with PinAbsent an [*UnpinnedError].
	Err error
	// Exposed says that others could replace the plugin; nil when they cannot.
	Exposed *WritableError
	// Refused tells that the plugin is not run as things are.
	Refused bool
	// Withheld lists the environment variables that the lock file withholds.
	Withheld []string
}

// Verify compares plugins with their pins, reading all files anew, and returns a
// report for each of the plugins named, or with no name for each that is
// installed or pinned; ordered by name. A name of neither is a [*NotInstalledError].
func (m *Manager) Verify(ctx context.Context, names ...string) ([]PinReport, error) {
	lock, err := m.store.load()
	if err != nil {
		return nil, err
	}
	if lock == nil {
		lock = &lockFile{}
	}
	known, err := m.pinnedOrInstalled(lock)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if slices.Contains(known, name) {
			continue
		}
		if _, err := m.Find(name); err != nil {
			return nil, err
		}
	}
	if len(names) == 0 {
		names = known
	}
	var reports []PinReport
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		reports = append(reports, m.verify(name, lock.Plugins[name]))
	}
	return reports, nil
}

// pinnedOrInstalled lists the names that Verify can say something about.
func (m *Manager) pinnedOrInstalled(lock *lockFile) ([]string, error) {
	names, err := m.Names()
	if err != nil {
		return nil, err
	}
	for name, entry := range lock.Plugins {
		if len(entry.Pins) > 0 {
			names = append(names, name)
		}
	}
	return names, nil
}

func (m *Manager) verify(name string, entry *lockEntry) PinReport {
	report := PinReport{Name: name}
	if entry == nil {
		entry = &lockEntry{}
	}
	report.Withheld = entry.WithheldEnvironment
	if len(entry.Pins) > 0 && !entry.Pins[len(entry.Pins)-1].Provisional {
		report.Pin = &entry.Pins[len(entry.Pins)-1]
	}
	t, err := m.readPlugin(name)
	if err != nil {
		_, missing := errors.AsType[*NotInstalledError](err)
		report.Status, report.Err, report.Refused = PinUnknown, err, true
		if missing && len(entry.Pins) > 0 {
			report.Status = PluginAbsent
		}
		return report
	}
	report.Digest = t.digest()
	switch pin := entry.find(report.Digest); {
	case len(entry.Pins) == 0 || pin != nil && pin.Provisional:
		report.Status, report.Err, report.Refused = PinAbsent, &UnpinnedError{Name: name}, m.opts.RequirePins
	case pin == nil:
		report.Status, report.Err, report.Refused = PinBroken, m.pinError(name, entry, t), true
	default:
		report.Status, report.Pin = PinHolds, pin
	}
	dir := filepath.Join(m.dir, name)
	exposed := checkWritable(name, m.dir, filepath.Join(dir, BinaryName(name)), dir, m.dir, m.store.path())
	if exposed == nil {
		exposed = checkTree(name, dir, t)
	}
	if writable, ok := errors.AsType[*WritableError](exposed); ok {
		report.Exposed = writable
		report.Refused = report.Refused || m.opts.RequirePins
	}
	return report
}

// readPlugin reads all files of an installed plugin.
func (m *Manager) readPlugin(name string) (*tree, error) {
	if _, err := m.Find(name); err != nil {
		return nil, err
	}
	t, err := readTreeAt(filepath.Join(m.dir, name), m.opts.Now)
	if err != nil {
		return nil, fmt.Errorf("read plugin %s: %w", name, err)
	}
	return t, nil
}

// Pin accepts a plugin's files as they are now, in place of any earlier pin. The
// plugin must be installed; it is not run.
func (m *Manager) Pin(ctx context.Context, name string) (*Pin, error) {
	return m.PinDigest(ctx, name, "")
}

// PinDigest is Pin provided that the files have that digest, such as one that
// Verify reported; an empty digest is any.
func (m *Manager) PinDigest(ctx context.Context, name, digest string) (*Pin, error) {
	var pin Pin
	err := m.update(ctx, name, func(entry *lockEntry) error {
		t, err := m.readPlugin(name)
		if err != nil {
			return err
		}
		pin = newPin(t, "", m.opts.Now())
		if digest != "" && pin.Digest != digest {
			return fmt.Errorf("plugin %s is not pinned: its files have the digest %s, not %s", name, pin.Digest, digest)
		}
		if same := entry.find(pin.Digest); same != nil && !same.Provisional {
			pin = *same // keeps what is known about it
		}
		entry.Pins = []Pin{pin}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &pin, nil
}

// Withheld lists the environment variables that the lock file withholds from a
// plugin. The plugin must be installed.
func (m *Manager) Withheld(name string) ([]string, error) {
	if _, err := m.Find(name); err != nil {
		return nil, err
	}
	lock, err := m.store.load()
	if err != nil || lock == nil || lock.Plugins[name] == nil {
		return nil, err
	}
	return lock.Plugins[name].WithheldEnvironment, nil
}

// Withhold sets the list of environment variables that a plugin does not get,
// besides those no plugin gets; none ends it. The plugin must be installed.
func (m *Manager) Withhold(ctx context.Context, name string, variables []string) error {
	return m.update(ctx, name, func(entry *lockEntry) error { return entry.setWithheld(variables) })
}

// update changes the lock file's entry of an installed plugin.
func (m *Manager) update(ctx context.Context, name string, change func(*lockEntry) error) error {
	if _, err := m.Find(name); err != nil {
		return err
	}
	lock, release, err := m.begin(ctx)
	if err != nil {
		return err
	}
	defer release()
	if lock == nil {
		lock = newLockFile()
	}
	if err := change(lock.entry(name)); err != nil {
		return err
	}
	lock.prune(name)
	return m.store.save(lock)
}
