package sessionclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/internal/grpcclient"
	"github.com/signet-project/signet/protocol/internal/grpcframe"
	"github.com/signet-project/signet/protocol/internal/process"
	"github.com/signet-project/signet/protocol/internal/sessionwire"
	"github.com/signet-project/signet/protocol/stdio"
)

// child is one process of a session, from before its start until nothing is left
// of it.
type child struct {
	transport *Transport
	started   chan struct{} // closed when the process takes calls, or err is set
	err       error
	over      context.Context // done when the process is not needed any more
	finish    context.CancelFunc

	program    *Program
	sockets    string // the directory for the plugin's socket
	run        *runner
	connection *grpcclient.Conn
	output     sync.WaitGroup // reads what the plugin prints over the connection
	terminal   lender

	// The transport's mutex guards these.
	calls   int
	retired bool
	idle    *time.Timer
}

// crashError says that a process ended before it answered.
type crashError struct {
	exit *stdio.ExitError
	// broken is how the connection broke of a process that ended only because of
	// that; nil for any other.
	broken error
}

// Error says what the process did.
func (e *crashError) Error() string {
	if e.broken == nil {
		return e.exit.Error()
	}
	return fmt.Sprintf("broke the connection (%v) and %v", e.broken, e.exit)
}

// Unwrap returns how the process ended.
func (e *crashError) Unwrap() error { return e.exit }

func newChild(t *Transport, over context.Context) *child {
	c := &child{transport: t, started: make(chan struct{}), terminal: lender{lock: make(chan struct{}, 1)}}
	c.over, c.finish = context.WithCancel(over)
	return c
}

// live is the whole life of a child.
func (c *child) live() {
	if c.err = c.start(); c.err != nil {
		c.transport.retire(c)
	}
	close(c.started)
	if c.err == nil {
		lifetime := time.NewTimer(cmp.Or(c.transport.Lifetime, DefaultLifetime))
		select {
		case <-c.run.alive.Done():
		case <-c.over.Done():
		case <-lifetime.C:
			c.transport.retire(c)
			select {
			case <-c.run.alive.Done():
			case <-c.over.Done():
			}
		}
		lifetime.Stop()
	}
	c.transport.retire(c)
	c.end()
}

// ready waits for the process to be started, and tells whether it still is one to
// be called.
func (c *child) ready(ctx context.Context) (bool, error) {
	select {
	case <-c.started:
		switch {
		case c.err != nil:
			return false, c.err
		case c.run.alive.Err() != nil: // and live is about to notice
			return false, nil
		case c.program.Current == nil:
			return true, nil
		}
		return c.program.Current(ctx)
	default: // just found by Open
	}
	select {
	case <-c.started:
		return c.err == nil, c.err
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

// start starts the process and opens the session.
func (c *child) start() (err error) {
	timeout := cmp.Or(c.transport.Timeout, stdio.DefaultTimeout) / 2
	ctx, cancel := context.WithTimeoutCause(c.over, timeout, &stdio.TimeoutError{Timeout: timeout})
	defer cancel()
	err = c.launch(ctx)
	if c.over.Err() != nil {
		return ErrClosed
	}
	if err == nil && c.program.Check != nil {
		err = c.program.Check()
	}
	return err
}

// launch starts the process and opens the session.
func (c *child) launch(ctx context.Context) (err error) {
	if c.program, err = c.transport.Open(ctx); err != nil {
		return err
	}
	own, err := sessionwire.NewCertificate(x509.ExtKeyUsageClientAuth)
	if err != nil {
		return err
	}
	if c.sockets, err = os.MkdirTemp(socketParent(), "plugin-dir"); err != nil {
		return fmt.Errorf("open a session: %w", err)
	}
	if c.run, err = run(ctx, c.program, environment(c.program.Env, c.sockets, own), c.transport); err != nil {
		return err
	}
	c.log("started", "pid", c.run.process.Pid())
	if err := c.shake(ctx, own); err != nil {
		return &HandshakeError{Err: c.reason(ctx, err)}
	}
	return nil
}

// log notes what becomes of the process.
func (c *child) log(event string, attributes ...any) {
	if c.transport.Logger != nil {
		c.transport.Logger.Debug("plugin session", slices.Concat([]any{"event", event}, attributes)...)
	}
}

// shake waits for the handshake, connects, and makes sure that the plugin can be
// talked to.
func (c *child) shake(ctx context.Context, own tls.Certificate) error {
	var line string
	select {
	case line = <-c.run.line:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	handshake, theirs, err := sessionwire.ParseHandshake(line)
	if err != nil {
		return err
	}
	if err := checkAddress(handshake, c.sockets); err != nil {
		return err
	}
	if c.connection, err = grpcclient.Open(ctx, c.dialer(handshake, hostTLS(own, theirs))); err != nil {
		return fmt.Errorf("no connection to it: %w", err)
	}
	const enough = 1 << 10
	_, err = c.connection.Call(ctx, sessionwire.HealthMethod, sessionwire.HealthCheck(), enough)
	if status, ok := errors.AsType[*grpcclient.StatusError](err); ok && status.Code == grpcclient.Unimplemented {
		err = nil // but it answers
	}
	if err != nil {
		return fmt.Errorf("it does not answer a health check: %w", err)
	}
	c.output.Go(c.readOutput)
	c.log("connected", "network", handshake.Network, "address", handshake.Address)
	return nil
}

// readOutput reads what the plugin prints, if it is one whose stdout and stderr
// go-plugin took: once its pipes are full, it would wait for a reader. Others have
// not got the method, or nothing to say.
func (c *child) readOutput() {
	const most = 1 << 20 // go-plugin sends 1 KiB at most
	var o sessionwire.Output
	_ = c.connection.Stream(c.over, sessionwire.OutputMethod, nil, most, func(message []byte) error {
		if err := o.Decode(message); err != nil {
			return err
		}
		stream := &c.run.out
		if o.Stderr {
			stream = &c.run.err
		}
		if !stream.take(o.Data) {
			return c.run.overflow.Err()
		}
		return nil
	})
}

// reason finds out why no session was opened: err is what the host has seen of it.
func (c *child) reason(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		c.run.kill()
		return context.Cause(ctx)
	}
	c.run.end()
	switch {
	case c.run.overflow.Err() != nil:
		return c.run.overflow.Err()
	case !c.run.forced.Load() && !c.run.saidSomething():
		return c.run.exit()
	}
	return err
}

// end ends the process, if it has not yet, and cleans up.
func (c *child) end() {
	if c.run != nil {
		c.run.end()
		c.log("ended", "state", c.run.ended.Text)
	}
	if c.connection != nil {
		c.connection.Close()
		c.output.Wait()
	}
	if c.sockets != "" {
		os.RemoveAll(c.sockets)
	}
	if c.program != nil && c.program.Release != nil {
		c.program.Release()
	}
	c.finish()
}

// call makes one call.
func (c *child) call(ctx context.Context, command protocol.Command, data []byte) ([]byte, error) {
	giveBack, err := c.terminal.lend(ctx, c.run.process, c.transport.Terminal)
	if err != nil {
		return nil, err
	}
	defer giveBack()
	c.run.newCall()
	limit := c.transport.maxOutput()
	request := sessionwire.Request{Command: string(command), Request: data}
	message, err := c.connection.Call(ctx, sessionwire.FullMethod, request.Encode(), min(limit, math.MaxUint32)+sessionwire.Overhead)
	if err == nil {
		return read(message, limit)
	}
	status, answered := errors.AsType[*grpcclient.StatusError](err)
	_, broken := errors.AsType[*grpcclient.ProtocolError](err)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case c.run.alive.Err() != nil:
		return nil, c.lost(nil)
	case errors.Is(err, grpcframe.ErrTooLong):
		return nil, tooLong(limit)
	case answered && status.Code != grpcclient.Unavailable || broken:
		return nil, &protocol.AnswerError{Reason: err.Error()}
	}
	return nil, c.lost(err)
}

// read returns what a response says.
func read(message []byte, limit int64) ([]byte, error) {
	var r sessionwire.Response
	if err := r.Decode(message); err != nil {
		return nil, &protocol.AnswerError{Reason: "answered with a " + err.Error()}
	}
	switch {
	case int64(max(len(r.Response), len(r.Error))) > limit:
		return nil, tooLong(limit)
	case len(r.Error) == 0:
		return r.Response, nil
	}
	failure, err := protocol.ParseError(r.Error)
	if err != nil {
		return nil, &protocol.AnswerError{Reason: "answered with a malformed error", Err: err}
	}
	return nil, failure
}

func tooLong(limit int64) error {
	return &protocol.AnswerError{Reason: fmt.Sprintf("answered with more than %d bytes", limit)}
}

// lost is called when the connection broke before an answer came, and tells why.
// cause is nil when the process had ended by then.
func (c *child) lost(cause error) error {
	c.run.end()
	switch {
	case c.transport.isClosed():
		return ErrClosed
	case c.run.overflow.Err() != nil:
		return c.run.overflow.Err()
	case c.transport.Terminal != nil && c.run.interrupted():
		return stdio.ErrInterrupted
	}
	crash := &crashError{exit: c.run.exit()}
	if crash.exit.Code == 0 || c.run.forced.Load() {
		crash.broken = cause
	}
	return crash
}

// lender gives a terminal to a process while it has calls.
type lender struct {
	lock     chan struct{} // full while somebody changes the rest
	calls    int
	takeBack func()
}

func (l *lender) lend(ctx context.Context, to *process.Process, tty *os.File) (giveBack func(), err error) {
	if tty == nil {
		return func() {}, nil
	}
	select {
	case l.lock <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-l.lock }()
	if l.calls == 0 {
		if l.takeBack, err = to.Lend(ctx, tty); err != nil {
			return nil, err
		}
	}
	l.calls++
	return func() {
		l.lock <- struct{}{}
		if l.calls--; l.calls == 0 {
			l.takeBack()
		}
		<-l.lock
	}, nil
}
