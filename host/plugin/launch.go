package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/signet-project/signet/host/internal/filestate"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/stdio"
)

// launcher starts a plugin's executable for each call, after another look at it.
type launcher struct {
	manager  *Manager
	name     string
	timeout  time.Duration
	terminal *os.File
	open     opener
}

// Call implements [protocol.Transport].
func (l *launcher) Call(ctx context.Context, command protocol.Command, request []byte) ([]byte, error) {
	o, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	defer o.close()
	transport := &stdio.Transport{
		Path:     o.path,
		Env:      l.manager.environment(o),
		Timeout:  l.timeout,
		Terminal: l.terminal,
	}
	if l.manager.stderr != nil {
		transport.Stderr = l.manager.stderr
	}
	if o.byDescriptor() {
		transport.File = o.file
	}
	l.manager.step("about to run")
	answer, err := transport.Call(ctx, command, request)
	if changed := o.changed(l.manager.opts.Now); changed != nil {
		return nil, changed
	}
	return answer, explain(l.name, o.path, err)
}

// environment is what a plugin gets of the parent's.
func (m *Manager) environment(o *opened) []string {
	return withhold(m.opts.Environ, m.opts.Withhold, o.withheld)
}

// Environ is the environment of a plugin that is not installed, "NAME=value" each:
// the parent's without registry credentials and what Options.Withhold names.
func (m *Manager) Environ() []string { return withhold(m.opts.Environ, m.opts.Withhold) }

// Locate returns the path of an installed plugin's executable, which may be run as
// it is now, and the environment it gets, for a caller that runs it in a way of its
// own. The errors are those of [Manager.Get].
func (m *Manager) Locate(ctx context.Context, name string) (path string, environ []string, err error) {
	o, err := m.open(ctx, name)
	if err != nil {
		return "", nil, err
	}
	defer o.close()
	return o.path, m.environment(o), nil
}

// explain says what is wrong with an executable that the system does not start.
func explain(name, path string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return &ExecutableError{Name: name, Path: path, Reason: fmt.Sprintf("is not an executable for %s/%s", runtime.GOOS, runtime.GOARCH)}
	case errors.Is(err, fs.ErrNotExist):
		return &ExecutableError{Name: name, Path: path, Reason: "needs an interpreter that is not there"}
	}
	return err
}

// byDescriptor tells whether the open file itself is executed, so that nothing
// can take its place. A script is not: it would not know its own directory. Nor
// is a plugin without a pin, which anything may replace anyway.
func (o *opened) byDescriptor() bool {
	if !o.pinned || runtime.GOOS != "linux" {
		return false
	}
	var start [2]byte
	_, err := o.file.ReadAt(start[:], 0)
	return err == nil && string(start[:]) != "#!"
}

// changed is called after the plugin ran and tells whether it was still the one
// that was pinned.
func (o *opened) changed(now func() time.Time) error {
	if !o.pinned {
		return nil
	}
	replaced := fmt.Errorf("%s was replaced while it ran; its answer is not used: try again", o.path)
	if !o.byDescriptor() {
		if info, err := os.Lstat(o.path); err != nil || !filestate.Same(o.info, info) {
			return replaced
		}
		return nil
	}
	if !o.sameContent(now) {
		return replaced
	}
	return nil
}

// lockedWriter lets plugins that run at the same time share a writer.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
