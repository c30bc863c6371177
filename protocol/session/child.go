package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	goplugin_runner "github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/internal/process"
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
	run        *runner
	client     *goplugin.Client
	connection *grpc.ClientConn
	terminal   lender

	// The transport's mutex guards these.
	calls   int
	retired bool
	idle    *time.Timer
}

// crashError says that a process ended before it answered.
type crashError struct{ exit *stdio.ExitError }

func (e *crashError) Error() string { return e.exit.Error() }

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
		lifetime := time.NewTimer(orDefault(c.transport.Lifetime, DefaultLifetime))
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
		if c.err != nil || c.program.Current == nil {
			return c.err == nil, c.err
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

// start starts the process and shakes hands.
func (c *child) start() (err error) {
	timeout := orDefault(c.transport.Timeout, stdio.DefaultTimeout) / 2
	ctx, cancel := context.WithTimeoutCause(c.over, timeout, &stdio.TimeoutError{Timeout: timeout})
	defer cancel()
	if c.program, err = c.transport.Open(ctx); err != nil {
		if c.over.Err() != nil {
			return ErrClosed
		}
		return err
	}
	config, certificate, err := hostTLS()
	if err != nil {
		return err
	}
	c.run = newRunner(c.program, c.transport)
	c.client = goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  handshake,
		Plugins:          plugins(nil),
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		TLSConfig:        config,
		SkipHostEnv:      true,
		StartTimeout:     2 * timeout, // ours is the one that counts
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: socketParent()},
		Logger:           logTo(c.transport.Logger),
		GRPCDialOptions:  []grpc.DialOption{grpc.WithNoProxy()},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, sockets string) (goplugin_runner.Runner, error) {
			c.run.prepare(append(cmd.Env, clientCertificate+"="+certificate), sockets)
			return c.run, nil
		},
	})
	shaken := make(chan error, 1)
	go func() { shaken <- c.shake(ctx) }()
	select {
	case err = <-shaken:
	case <-ctx.Done():
		c.run.kill()
		<-shaken
		err = context.Cause(ctx)
	}
	switch {
	case c.over.Err() != nil:
		return ErrClosed
	case err != nil && !c.run.stop():
		return cmp.Or(c.run.startErr, fmt.Errorf("open a session: %w", err))
	case err != nil:
		return &HandshakeError{Err: c.reason(err)}
	case c.program.Check != nil:
		return c.program.Check()
	}
	return nil
}

// shake waits for the handshake and makes sure that the plugin can be talked to.
func (c *child) shake(ctx context.Context) error {
	client, err := c.client.Client()
	if err != nil {
		return err
	}
	connection, err := client.Dispense(Argument)
	if err != nil {
		return err
	}
	c.connection = connection.(*grpc.ClientConn)
	_, err = grpc_health_v1.NewHealthClient(c.connection).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: goplugin.GRPCServiceName})
	if status.Code(err) == codes.Unimplemented { // but it answers
		return nil
	}
	return err
}

// reason finds out why a handshake failed: err is what go-plugin says of it.
func (c *child) reason(err error) error {
	if late, ok := errors.AsType[*stdio.TimeoutError](err); ok {
		return late
	}
	c.run.end()
	switch {
	case c.run.overflow() != nil:
		return c.run.overflow()
	case !c.run.forced.Load() && !c.run.saidSomething():
		return c.run.exit()
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return errors.New(strings.TrimSpace(text))
}

// end ends the process, if it has not yet, and cleans up.
func (c *child) end() {
	if c.run != nil {
		c.run.end()
		c.client.Kill() // removes the directory of the socket
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
	// The plugin is told a deadline that is later than ours by a moment, so that it
	// is us who give up. The end of the process ends the call, even if something
	// that it left behind held the connection.
	deadline, _ := ctx.Deadline() // there always is one
	lasting, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline.Add(time.Second))
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	defer context.AfterFunc(c.run.alive, cancel)()
	limit := c.transport.maxOutput()
	a := new(response)
	err = c.connection.Invoke(lasting, fullMethod, &request{Command: string(command), Request: data}, a,
		grpc.MaxCallRecvMsgSize(int(min(limit, math.MaxInt32-messageOverhead)+messageOverhead)), grpc.MaxCallSendMsgSize(math.MaxInt32))
	switch {
	case err == nil:
		return a.read(limit)
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case c.run.alive.Err() != nil:
		return nil, c.lost()
	}
	switch code := status.Code(err); code {
	case codes.Unavailable:
		return nil, c.lost()
	case codes.ResourceExhausted:
		return nil, tooLong(limit)
	default:
		return nil, &protocol.AnswerError{Reason: fmt.Sprintf("answered with gRPC status %s: %s", code, status.Convert(err).Message())}
	}
}

// read returns what a response says.
func (r *response) read(limit int64) ([]byte, error) {
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
func (c *child) lost() error {
	c.run.end()
	switch {
	case c.transport.isClosed():
		return ErrClosed
	case c.run.overflow() != nil:
		return c.run.overflow()
	case c.transport.Terminal != nil && c.run.interrupted():
		return stdio.ErrInterrupted
	}
	return &crashError{exit: c.run.exit()}
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

// socketParent is where the directory of the socket is made: the system's
// directory for temporary files, as long as its path leaves room for a name.
func socketParent() string {
	const longest = 60 // of the 104 bytes that the shortest limit is
	dir := os.TempDir()
	if runtime.GOOS != "windows" && len(filepath.Clean(dir)) > longest {
		return "/tmp"
	}
	return dir
}
