package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/signet-project/signet/protocol"
)

const (
	// DefaultTimeout is how long a call may take, retries included.
	DefaultTimeout = time.Minute
	// DefaultTerminalTimeout is the same on a terminal, where somebody may have
	// to find a PIN.
	DefaultTerminalTimeout = 5 * time.Minute
	// DefaultListTimeout is how long each plugin may take to say who it is in a list.
	DefaultListTimeout = 10 * time.Second
	// listWorkers is how many plugins a list asks at a time.
	listWorkers = 8
	// repairTimeout bounds the wait for an upgrade by another program.
	repairTimeout = 5 * time.Second
)

// Options say how a Manager runs plugins. The zero value works: plugins get an
// empty environment and no terminal, and their stderr is not shown.
type Options struct {
	// Environ is the parent's environment, "NAME=value" each, from which plugins
	// get all but registry credentials and what Withhold and the lock file name.
	Environ []string
	// Withhold names variables that no plugin gets. A "*" at the end of a name
	// stands for any rest.
	Withhold []string
	// Timeout bounds each call, retries included; 0 means DefaultTimeout, or
	// DefaultTerminalTimeout with a Terminal.
	Timeout time.Duration
	// ListTimeout bounds each call that List makes; 0 means DefaultListTimeout.
	ListTimeout time.Duration
	// Terminal is the user's terminal, for plugins that ask for a PIN; nil when
	// there is none.
	Terminal *os.File
	// Stderr gets what plugins write to their stderr, as text; nil drops it.
	Stderr io.Writer
	// Logger gets each call at level debug, secrets masked; nil logs nothing.
	Logger *slog.Logger
	// RequirePins refuses plugins that are not pinned or that other users could
	// replace.
	RequirePins bool
	// MemoryDir keeps, from one run to the next, which content the files of pinned
	// plugins had in which state, so that those nobody touched since are not hashed
	// again. Empty keeps nothing, and with RequirePins each run hashes all.
	MemoryDir string
	// Warn is called with what the user should know, at most once per text: an
	// [*UnpinnedError], a [*WritableError], or a plain error; nil drops warnings.
	// Calls may be concurrent.
	Warn func(warning error)
	// HTTPClient downloads plugins; nil means [http.DefaultClient]'s settings.
	HTTPClient *http.Client
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Manager looks after the plugins of one directory. It may be used by several
// goroutines at once, and several programs may work on one directory.
type Manager struct {
	dir    string
	opts   Options
	store  lockStore
	stderr io.Writer // nil drops

	warned sync.Map // text of a warning → struct{}
	trees  sync.Map // plugin name → *treeRecord
	found  sync.Map // plugin name → *opened, the last

	mu       sync.Mutex
	lastLock readLock

	// step is called by tests between the steps that change the directory.
	step func(name string)
	// exchange is exchangeDirectories, or what a test puts in its place.
	exchange func(a, b string) error
}

// treeRecord is what was read of a plugin's directory, so that files are hashed
// once as long as nobody touches them.
type treeRecord struct {
	mu   sync.Mutex
	last *tree
}

// NewManager returns the manager of the plugins in dir, the directory "plugins"
// of the Notary Project's library directory. It need not exist yet.
func NewManager(dir string, opts Options) *Manager {
	if absolute, err := filepath.Abs(dir); err == nil {
		dir = absolute
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Timeout == 0 {
		opts.Timeout = DefaultTimeout
		if opts.Terminal != nil {
			opts.Timeout = DefaultTerminalTimeout
		}
	}
	opts.ListTimeout = cmp.Or(opts.ListTimeout, DefaultListTimeout)
	m := &Manager{dir: dir, opts: opts, store: lockStore{dir}, step: func(string) {}, exchange: exchangeDirectories}
	if opts.Stderr != nil {
		m.stderr = &lockedWriter{w: opts.Stderr}
	}
	return m
}

// Dir returns the absolute path of the plugin directory.
func (m *Manager) Dir() string { return m.dir }

// Names returns the names of the plugins, ordered: those of the directories
// directly in the plugin directory, links to directories excluded (PLG-02).
// Whether each can be run is not looked at.
func (m *Manager) Names() ([]string, error) {
	entries, err := os.ReadDir(m.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list plugins: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() && ValidName(entry.Name()) {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// Find returns the path of a plugin's executable, provided it may be run as far
// as names and modes tell (PLG-01..04): a regular file that the user may execute,
// in a directory, neither of them a link. Pins are not looked at. The error is a
// [*NameError], [*NotInstalledError], [*ExecutableError] or of the file system.
func (m *Manager) Find(name string) (path string, err error) {
	path, _, err = m.find(name)
	return path, err
}

// find is Find, with what it saw of the executable.
func (m *Manager) find(name string) (string, fs.FileInfo, error) {
	if !ValidName(name) {
		return "", nil, &NameError{Name: name}
	}
	dir := filepath.Join(m.dir, name)
	path := filepath.Join(dir, BinaryName(name))
	info, err := os.Lstat(dir)
	if err == nil && !info.IsDir() {
		return "", nil, &ExecutableError{Name: name, Path: dir, Reason: "is not a directory but " + kindOf(info)}
	}
	if err == nil {
		err = checkListed(m.dir, name)
	}
	if err == nil {
		info, err = os.Lstat(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil, &NotInstalledError{Name: name, Path: path}
	case err != nil:
		return "", nil, fmt.Errorf("find plugin %s: %w", name, err)
	}
	if reason := notRunnable(info); reason != "" {
		return "", nil, &ExecutableError{Name: name, Path: path, Reason: reason}
	}
	return path, info, nil
}

// checkListed makes sure that a directory has an entry of exactly that name. Some
// file systems find "acme" by "ACME" or "acme." as well; pins and policies would not.
func checkListed(dir, name string) error {
	entries, err := os.ReadDir(dir)
	if err == nil && !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == name }) {
		err = fs.ErrNotExist
	}
	return err
}

// notRunnable says why a file cannot be a plugin's executable; empty if it can.
func notRunnable(info fs.FileInfo) string {
	switch {
	case !info.Mode().IsRegular():
		return "is not a regular file but " + kindOf(info)
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o100 == 0:
		return "has no execute permission for its owner"
	}
	return ""
}

func kindOf(info fs.FileInfo) string {
	switch {
	case info.IsDir():
		return "a directory"
	case info.Mode()&fs.ModeSymlink != 0:
		return "a symbolic link"
	case info.Mode().IsRegular():
		return "a file"
	}
	return "something special"
}

// Get returns a client of an installed plugin. The plugin's files are compared
// with its pin now and before each call, and retries of THROTTLED and TIMEOUT
// answers, deadlines and debug logs are taken care of.
//
// The error is one of those of [Manager.Find], or a [*PinError], [*LockError],
// and with RequirePins an [*UnpinnedError] or [*WritableError].
func (m *Manager) Get(ctx context.Context, name string) (*protocol.Client, error) {
	return m.client(ctx, name, m.opts.Timeout, m.opts.Terminal)
}

func (m *Manager) client(ctx context.Context, name string, timeout time.Duration, terminal *os.File) (*protocol.Client, error) {
	open := func(ctx context.Context) (*opened, error) { return m.open(ctx, name) }
	o, err := open(ctx)
	if err != nil {
		return nil, err
	}
	o.close()
	return m.newClient(name, timeout, terminal, open), nil
}

// newClient returns a client that launches the plugin for each call.
func (m *Manager) newClient(name string, timeout time.Duration, terminal *os.File, open opener) *protocol.Client {
	return m.layers(name, timeout, &launcher{manager: m, name: name, timeout: timeout, terminal: terminal, open: open})
}

// layers stacks what a call goes through: log, retries, transport.
func (m *Manager) layers(name string, timeout time.Duration, transport protocol.Transport) *protocol.Client {
	transport = &retrier{next: transport, timeout: timeout}
	transport = &callLogger{next: transport, plugin: name, logger: m.opts.Logger}
	return protocol.NewClient(name, transport)
}

// Entry is one plugin in a list.
type Entry struct {
	Name string
	// Metadata is nil when Err is not.
	Metadata *protocol.Metadata
	// Err says why the plugin cannot be used.
	Err error
}

// List asks all plugins for their metadata, several at a time, and returns an
// entry for each, ordered by name. A plugin that fails or does not answer within
// ListTimeout gets an entry with its error. Plugins get no terminal.
func (m *Manager) List(ctx context.Context) ([]Entry, error) {
	names, err := m.Names()
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, len(names))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(listWorkers, len(names)) {
		workers.Go(func() {
			for i := range next {
				metadata, err := m.metadata(ctx, names[i])
				entries[i] = Entry{Name: names[i], Metadata: metadata, Err: err}
			}
		})
	}
	for i := range names {
		next <- i
	}
	close(next)
	workers.Wait()
	return entries, ctx.Err()
}

func (m *Manager) metadata(ctx context.Context, name string) (*protocol.Metadata, error) {
	client, err := m.client(ctx, name, m.opts.ListTimeout, nil)
	if err != nil {
		return nil, err
	}
	return client.GetMetadata(ctx, nil)
}

// warn passes a warning on, once.
func (m *Manager) warn(warning error) {
	if _, known := m.warned.LoadOrStore(warning.Error(), struct{}{}); !known && m.opts.Warn != nil {
		m.opts.Warn(warning)
	}
}

// Uninstall removes a plugin with its pin. A [*NotInstalledError] says that
// there is nothing to remove.
func (m *Manager) Uninstall(ctx context.Context, name string) error {
	if !ValidName(name) {
		return &NameError{Name: name}
	}
	dir := filepath.Join(m.dir, name)
	if _, err := os.Lstat(m.dir); errors.Is(err, fs.ErrNotExist) {
		return &NotInstalledError{Name: name, Path: filepath.Join(dir, BinaryName(name))}
	}
	lock, release, err := m.begin(ctx)
	if err != nil {
		return err
	}
	defer release()
	removed, err := m.moveAway(dir)
	if err != nil {
		return fmt.Errorf("uninstall plugin %s: %w", name, err)
	}
	m.step("moved away")
	if lock != nil && lock.Plugins[name] != nil {
		delete(lock.Plugins, name)
		if err := m.store.save(lock); err != nil {
			return fmt.Errorf("drop the pin of plugin %s: %w", name, err)
		}
	}
	m.step("unpinned")
	if removed == "" {
		return &NotInstalledError{Name: name, Path: filepath.Join(dir, BinaryName(name))}
	}
	if err := os.RemoveAll(removed); err != nil {
		return fmt.Errorf("remove the files of plugin %s: %w", name, err)
	}
	return nil
}

// moveAway takes what is at path out of the way in one step and returns the
// scratch directory it is in; empty when there was nothing.
func (m *Manager) moveAway(path string) (scratch string, err error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	scratch, err = os.MkdirTemp(m.dir, scratchPrefix+"remove-*")
	if err != nil {
		return "", err
	}
	if err := os.Rename(path, filepath.Join(scratch, oldName)); err != nil {
		os.Remove(scratch)
		return "", err
	}
	return scratch, nil
}
