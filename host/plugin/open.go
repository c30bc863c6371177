package plugin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/signet-project/signet/host/internal/filestate"
)

// opener finds a plugin's executable and makes sure that it may be run.
type opener func(ctx context.Context) (*opened, error)

// opened is an executable that may be run.
type opened struct {
	// file is open for reading: what it refers to is what was looked at.
	file *os.File
	path string
	// exposed tells that others could replace the plugin.
	exposed bool
	// pinned tells that the file is as it was when it was pinned; info and sha256
	// (lower hex) are what was found then.
	pinned bool
	info   fs.FileInfo
	sha256 string
	// digest is that of all files of a plugin with a pin, stat what the open file
	// looked like when it was opened.
	digest string
	stat   fs.FileInfo
	// withheld names the variables this plugin does not get.
	withheld []string
	// watched is how everything looked that this was found out from, by path; nil when
	// something had been changed too shortly before. See [opened.untouched].
	watched map[string]filestate.State
}

func (o *opened) close() { o.file.Close() }

// open finds an installed plugin and compares it with its pin. An upgrade by
// another program while it looks is not mistaken for an attack: it looks again
// as long as the lock file or the directory changed meanwhile.
func (m *Manager) open(ctx context.Context, name string) (*opened, error) {
	if last, ok := m.found.Load(name); ok {
		if o := last.(*opened).again(); o != nil {
			return o, nil
		}
	}
	const attempts = 5
	for attempt := 1; ; attempt++ {
		before := m.look(name)
		o, err := m.tryOpen(name)
		if err == nil {
			m.found.Store(name, o)
		}
		if err == nil || attempt == attempts || ctx.Err() != nil {
			return o, err
		}
		if _, missing := errors.AsType[*NotInstalledError](err); missing && m.repair(ctx, name) {
			continue
		}
		if m.look(name).same(before) {
			return nil, err
		}
	}
}

// moment is how the lock file and a plugin's directory looked at one time; nil
// stands for what was not there.
type moment struct{ lock, dir fs.FileInfo }

func (m *Manager) look(name string) (now moment) {
	now.lock, _ = os.Lstat(m.store.path())
	if ValidName(name) {
		now.dir, _ = os.Lstat(filepath.Join(m.dir, name))
	}
	return now
}

// same tells whether nothing happened between two moments.
func (a moment) same(b moment) bool {
	equal := func(a, b fs.FileInfo) bool {
		return a == nil && b == nil || a != nil && b != nil && filestate.Same(a, b)
	}
	return equal(a.lock, b.lock) && equal(a.dir, b.dir)
}

func (m *Manager) tryOpen(name string) (_ *opened, err error) {
	path, info, err := m.find(name)
	if err != nil {
		return nil, err
	}
	last, err := m.loadLock()
	if err != nil {
		return nil, err
	}
	exposed, err := m.judgeWritable(name, path)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open plugin %s: %w", name, err)
	}
	defer root.Close()
	o := &opened{path: path, exposed: exposed}
	if o.file, o.stat, err = openExecutable(root, name, info); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			o.close()
		}
	}()
	var entry lockEntry
	if last.lock != nil && last.lock.Plugins[name] != nil {
		entry = *last.lock.Plugins[name]
	}
	o.withheld = entry.WithheldEnvironment
	if len(entry.Pins) > 0 {
		t, err := m.checkPin(o, name, root, &entry)
		if err != nil {
			return nil, err
		}
		o.watch(m.store.path(), last.seen, t)
	}
	if !o.pinned {
		unpinned := &UnpinnedError{Name: name}
		if m.opts.RequirePins {
			return nil, unpinned
		}
		m.warn(unpinned)
	}
	return o, nil
}

// watch notes how the lock file and all that a pin covers looked.
func (o *opened) watch(lockPath string, lock seenFile, t *tree) {
	watched, dir := map[string]filestate.State{}, filepath.Dir(o.path)
	note := func(path string, seen seenFile) bool {
		if seen.info == nil || !seen.isSettled() {
			return false
		}
		watched[path] = filestate.Of(seen.info)
		return true
	}
	settled := note(lockPath, lock)
	for _, seen := range []map[string]seenFile{t.dirs, t.seen} {
		for path, file := range seen {
			settled = settled && note(filepath.Join(dir, path), file)
		}
	}
	if settled {
		o.watched = watched
	}
}

// untouched tells that nothing was touched that o was found out from, so that
// another look, which takes ten times as long, would find the same. If false, it may
// or may not.
func (o *opened) untouched() bool {
	for path, before := range o.watched {
		if now, err := filestate.Lstat(path); err != nil || !now.Same(before) {
			return false
		}
	}
	return o.watched != nil
}

// again opens the executable anew if nothing was touched, and returns nil otherwise.
// o itself may have been closed.
func (o *opened) again() *opened {
	if !o.untouched() {
		return nil
	}
	f, err := os.Open(o.path)
	if err != nil {
		return nil
	}
	info, err := f.Stat()
	if err != nil || !filestate.Same(info, o.info) {
		f.Close()
		return nil
	}
	same := *o
	same.file, same.stat = f, info
	return &same
}

// openExecutable opens the file that find saw.
func openExecutable(root *os.Root, name string, seen fs.FileInfo) (*os.File, fs.FileInfo, error) {
	f, err := root.Open(BinaryName(name))
	if err != nil {
		return nil, nil, fmt.Errorf("open plugin %s: %w", name, err)
	}
	info, err := f.Stat()
	if err == nil && !os.SameFile(seen, info) {
		err = errReplacing
	}
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("open plugin %s: %w", name, err)
	}
	return f, info, nil
}

// sameAs tells whether a process started from other is as good as a new one: all
// files are as they were, those of a pin by content, and so is the environment.
func (o *opened) sameAs(other *opened) bool {
	if o.pinned != other.pinned || !slices.Equal(o.withheld, other.withheld) {
		return false
	}
	if o.pinned {
		return o.digest == other.digest
	}
	// The change time is left out: a link that is made to the file moves it, and one who
	// sets back the other may replace what is not pinned anyway.
	return os.SameFile(o.stat, other.stat) && o.stat.Size() == other.stat.Size() && o.stat.ModTime().Equal(other.stat.ModTime())
}

// errReplacing says that a file is not the one seen a moment ago.
var errReplacing = errors.New("the executable is being replaced; try again")

// judgeWritable tells whether others could replace a plugin or the pins, and warns
// of it, or refuses when pins are required.
func (m *Manager) judgeWritable(name, path string) (exposed bool, err error) {
	return m.judge(checkWritable(name, m.dir, path, filepath.Dir(path), m.dir, m.store.path()))
}

// judge is judgeWritable for what was found out.
func (m *Manager) judge(err error) (exposed bool, _ error) {
	writable, exposed := errors.AsType[*WritableError](err)
	if exposed && !m.opts.RequirePins {
		m.warn(writable)
		return true, nil
	}
	return exposed, err
}

// checkTree is checkWritable for what was seen below a plugin's directory dir.
func checkTree(name, dir string, t *tree) error {
	for _, seen := range []map[string]seenFile{t.dirs, t.seen} {
		for _, path := range slices.Sorted(maps.Keys(seen)) {
			if err := checkInfo(name, filepath.Join(dir, path), seen[path].info); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkPin compares the files below root, hashed again only where they were
// touched, with the pins in entry, and o's file with the one among them.
func (m *Manager) checkPin(o *opened, name string, root *os.Root, entry *lockEntry) (*tree, error) {
	value, _ := m.trees.LoadOrStore(name, &treeRecord{})
	record := value.(*treeRecord)
	record.mu.Lock()
	defer record.mu.Unlock()
	var before recall
	if record.last != nil {
		before = record.last.recall
	} else {
		before = m.loadMemory(o, name).recall
	}
	t, err := readTree(root, before, m.opts.Now)
	if err != nil {
		return nil, fmt.Errorf("compare plugin %s with its pin: %w", name, err)
	}
	record.last = t
	if !o.exposed {
		if o.exposed, err = m.judge(checkTree(name, filepath.Dir(o.path), t)); err != nil {
			return nil, err
		}
	}
	o.digest = t.digest()
	pin := entry.find(o.digest)
	if pin == nil {
		return nil, m.pinError(name, entry, t)
	}
	executable := t.seen[BinaryName(name)]
	o.info, o.sha256 = executable.info, executable.sha256
	if !o.sameContent(m.opts.Now) {
		return nil, fmt.Errorf("open plugin %s: %w", name, errReplacing)
	}
	o.pinned = !pin.Provisional
	if t.read > 0 {
		m.saveMemory(o, name, t)
	}
	return t, nil
}

// sameContent tells whether the open file still has the content that the pin is
// about: it was not touched since, or it has it all the same. (Links to a file
// touch it.)
func (o *opened) sameContent(now func() time.Time) bool {
	info, err := o.file.Stat()
	if err == nil && filestate.Same(o.info, info) {
		return true
	}
	seen, err := readFile(o.file, now)
	return err == nil && seen.sha256 == o.sha256
}

// readLock is a lock file and how it looked before it was read; lock is nil, and so is
// seen.info, when there was none.
type readLock struct {
	lock *lockFile
	seen seenFile
}

// loadLock returns the lock file, read again when it was touched; it must not be
// changed.
func (m *Manager) loadLock() (readLock, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	info, err := os.Lstat(m.store.path())
	last := m.lastLock.seen
	if err == nil && last.info != nil && filestate.Same(info, last.info) && last.isSettled() {
		return m.lastLock, nil
	}
	seen := seenFile{info: info, readAt: m.opts.Now()}
	lock, err := m.store.load()
	m.lastLock = readLock{lock, seen}
	if err != nil {
		m.lastLock = readLock{}
	}
	return m.lastLock, err
}
