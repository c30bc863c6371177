// Package sessionclient is the host's side of the transport that keeps a plugin's
// process for many calls: the counterpart of package session, described in
// spec/extensions.md, Transports. It speaks to plugins that hashicorp/go-plugin or
// any gRPC library serves, and links neither.
package sessionclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/internal/sessionwire"
	"github.com/signet-project/signet/protocol/stdio"
)

const (
	// Name is how a plugin's metadata lists the transport.
	Name = sessionwire.Name
	// Argument is what the executable is started with, in place of a command.
	Argument = sessionwire.Argument
)

// The values that zero fields of Transport stand for, besides those of package
// stdio.
const (
	DefaultIdle     = 5 * time.Minute
	DefaultLifetime = time.Hour
)

// ErrClosed says that a call was made to, or was running in, a session that has
// been closed.
var ErrClosed = errors.New("the session is closed")

// Transport keeps a process for many calls, which may be concurrent. The process
// is started at the first call, and a new one at the first call after it ended,
// for whatever reason. It ends with Close, by itself, after a time without calls
// or of a certain age, and after a call that overran its deadline. What package
// stdio promises of a process that has ended holds: nothing of it is left. It
// ends too when the host dies, however that happens.
//
// On Linux the whole program is a child subreaper as long as the process lives: what its
// other children leave running when they end meanwhile becomes its child, and a zombie
// until it is waited for. [stdio.Transport] says what a program can do about it.
//
// A call that the process did not answer because it crashed is repeated once, in
// a new process. A failure to start a session is an error and nothing else: no
// other way to reach the plugin is tried.
//
// The fields must not be changed after the first call.
type Transport struct {
	// Open finds the executable, each time that a process has to be started. It
	// should have seen the metadata offer the transport by then.
	Open func(ctx context.Context) (*Program, error)
	// Timeout bounds a call, from its beginning on, the start of a process and a
	// repetition included. A process may take half of it to start.
	Timeout time.Duration
	// Idle is how long a process may be without a call, and Lifetime how old it
	// may be to take one; calls made after that go to a new process.
	Idle, Lifetime time.Duration
	// Grace is the time between asking a process to end and killing it.
	Grace time.Duration
	// Stderr receives what the plugin writes to stderr as it comes, one piece at a
	// time from each process. Nil discards.
	Stderr io.Writer
	// Terminal, if it is the controlling terminal and the host is in the
	// foreground, is given to the plugin while it has calls, so that it can ask
	// for a PIN there. Nil for none.
	Terminal *os.File
	// MaxOutput bounds, in bytes, an answer, and what comes out of stdout or of
	// stderr from the start of one call to the next; zero means
	// protocol.MaxMessageSize. A process that goes over it is ended, and the calls
	// running in it fail. (The streams are not the connection: the answer to a call may
	// arrive before the excess that was written ahead of it is noticed.)
	MaxOutput int64
	// Logger gets the start, the connection and the end of each process, at level
	// debug; nil logs nothing.
	Logger *slog.Logger

	mu       sync.Mutex
	current  *child          // takes calls; nil when there is none
	over     context.Context // done when the session is closed; nil before the first call
	close    context.CancelFunc
	closed   bool
	children sync.WaitGroup // those that have not ended
}

// Program is an executable that may be run, and how.
type Program struct {
	// Path is the executable.
	Path string
	// File, if not nil, is Path opened for reading. On Linux this very file is
	// executed, whatever Path has come to mean since; elsewhere it is ignored.
	File *os.File
	// Args go between the executable and the argument "session".
	Args []string
	// Env is the environment, "NAME=value" each, less what the
	// transport adds. What begins with PLUGIN_ is left out.
	Env []string
	// Check, if not nil, is called when the process has been started and before
	// it gets a call; an error ends it and fails the call.
	Check func() error
	// Current, if not nil, is called before each further call: false makes it go
	// to a new process, an error fails it.
	Current func(ctx context.Context) (bool, error)
	// Release, if not nil, is called when the process has ended or could not be
	// started.
	Release func()
}

// StartError says that the system did not start an executable.
type StartError struct {
	Path string
	Err  error
}

// Error returns "start PATH: …".
func (e *StartError) Error() string { return fmt.Sprintf("start %s: %v", e.Path, e.Err) }

// Unwrap returns Err.
func (e *StartError) Unwrap() error { return e.Err }

// HandshakeError says that a process, though it could be started, did not become
// a session.
type HandshakeError struct {
	// Err is an [*stdio.ExitError] when the process ended, an
	// [*stdio.TimeoutError] when it kept silent, and any other for what it said.
	Err error
}

// Error says what the process did instead, and what to do.
func (e *HandshakeError) Error() string {
	return fmt.Sprintf("the plugin offers sessions but did not open one: %v; update the plugin, or tell its vendor", e.Err)
}

// Unwrap returns Err.
func (e *HandshakeError) Unwrap() error { return e.Err }

// Call makes one call. The errors are: an [*protocol.Error] that the plugin
// answered with; an [*protocol.AnswerError] for what breaks the transport's
// rules; a [*StartError] or [*HandshakeError]; what Open and Check say; an [*stdio.TimeoutError];
// an [*stdio.ExitError], wrapped, of a process that crashed again when the call was
// repeated; [stdio.ErrInterrupted]; [ErrClosed]; ctx's cause.
func (t *Transport) Call(ctx context.Context, command protocol.Command, data []byte) ([]byte, error) {
	timeout := cmp.Or(t.Timeout, stdio.DefaultTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, &stdio.TimeoutError{Timeout: timeout})
	defer cancel()
	answer, err := t.try(ctx, command, data)
	if _, crashed := errors.AsType[*crashError](err); !crashed {
		return answer, err
	}
	answer, err = t.try(ctx, command, data)
	if again, crashed := errors.AsType[*crashError](err); crashed {
		return nil, fmt.Errorf("crashed, and again when the call was repeated: it %w", again)
	}
	return answer, err
}

// try makes a call to the current process.
func (t *Transport) try(ctx context.Context, command protocol.Command, data []byte) ([]byte, error) {
	c, err := t.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer t.release(c)
	answer, err := c.call(ctx, command, data)
	_, crashed := errors.AsType[*crashError](err)
	_, late := errors.AsType[*stdio.TimeoutError](err)
	if crashed || late { // the latter may never come back from that call
		t.retire(c)
	}
	return answer, err
}

// acquire returns a process that can be called, for one call, after which it has
// to be released.
func (t *Transport) acquire(ctx context.Context) (*child, error) {
	for ctx.Err() == nil {
		c, err := t.enter()
		if err != nil {
			return nil, err
		}
		usable, err := c.ready(ctx)
		if usable {
			return c, nil
		}
		if err == nil {
			t.retire(c)
		}
		t.release(c)
		if err != nil {
			return nil, err
		}
	}
	return nil, context.Cause(ctx)
}

// enter returns the process that takes calls, which may be about to be started,
// and counts one more.
func (t *Transport) enter() (*child, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, ErrClosed
	}
	if t.over == nil {
		t.over, t.close = context.WithCancel(context.Background())
	}
	if t.current == nil {
		t.current = newChild(t, t.over)
		t.children.Go(t.current.live)
	}
	c := t.current
	c.calls++
	if c.idle != nil {
		c.idle.Stop()
	}
	return c, nil
}

// release counts one call less. Without any, a process that takes no more is
// over, and another may stay idle for some time.
func (t *Transport) release(c *child) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.calls--; c.calls > 0 {
		return
	}
	if c.retired {
		c.finish()
		return
	}
	c.idle = time.AfterFunc(cmp.Or(t.Idle, DefaultIdle), func() { t.retireIdle(c) })
}

func (t *Transport) retireIdle(c *child) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.calls == 0 {
		t.retireLocked(c)
	}
}

// retire gives a process no more calls; it is over when those it has have ended.
func (t *Transport) retire(c *child) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.retireLocked(c)
}

func (t *Transport) retireLocked(c *child) {
	if t.current == c {
		t.current = nil
	}
	c.retired = true
	if c.calls == 0 {
		c.finish()
	}
}

// Close ends the session, and waits until nothing is left of its processes. Calls
// that are running fail with [ErrClosed]. It always returns nil.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	if t.close != nil {
		t.close()
	}
	t.mu.Unlock()
	t.children.Wait()
	return nil
}

func (t *Transport) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

func (t *Transport) maxOutput() int64 { return cmp.Or(t.MaxOutput, protocol.MaxMessageSize) }
