package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/internal/process"
	"github.com/signet-project/signet/protocol/stdio"
)

const (
	// handshakeSize bounds the line that a plugin introduces itself with.
	handshakeSize = 16 << 10
	// tailSize is how much of the end of stderr is kept.
	tailSize = 4 << 10
	// drainTime is how long a pipe may stay open after the process and all its
	// descendants that can be found have ended: then an unseen one holds it.
	drainTime = 3 * time.Second
)

// runner runs the process of a session for go-plugin, which sees of its streams
// the first line of stdout alone.
type runner struct {
	program *Program
	limit   int64
	grace   time.Duration
	text    io.Writer // nil drops

	cmd     *exec.Cmd
	sockets string // the only directory for sockets

	mu       sync.Mutex
	process  *process.Process // nil before the start
	stopped  bool             // not to be started any more
	startErr error            // the system's failure to start it

	stdin        *os.File
	line         *io.PipeReader // the handshake, for go-plugin
	out, err     flow
	tail         []byte          // of stderr; not to be read while alive
	alive        context.Context // done when nothing is left of the process
	exited       context.CancelFunc
	forced       atomic.Bool // it had to be killed
	overflowOnce sync.Once
	overflowErr  error         // which stream went over its bound
	overflowed   chan struct{} // closed when overflowErr is set
}

func newRunner(program *Program, t *Transport) *runner {
	r := &runner{
		program: program, limit: t.maxOutput(), grace: orDefault(t.Grace, stdio.DefaultGrace), text: t.Stderr,
		overflowed: make(chan struct{}),
	}
	r.alive, r.exited = context.WithCancel(context.Background())
	return r
}

// prepare is told what go-plugin adds to the environment and where sockets go.
func (r *runner) prepare(env []string, sockets string) {
	r.sockets = sockets
	// What else go-plugin reads must not come from the environment that a host is
	// started in, such as that of a host which is a plugin itself.
	inherited := slices.DeleteFunc(slices.Clone(r.program.Env), func(entry string) bool { return strings.HasPrefix(entry, "PLUGIN_") })
	r.cmd = &exec.Cmd{
		Path: r.program.Path,
		Args: slices.Concat([]string{r.program.Path}, r.program.Args, []string{Argument}),
		Env:  append(inherited, env...),
	}
	process.RunFile(r.cmd, r.program.File)
}

// Start implements go-plugin's Runner.
func (r *runner) Start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return context.Canceled
	}
	r.startErr = r.start(ctx)
	return r.startErr
}

// start starts the process with three pipes.
func (r *runner) start(ctx context.Context) error {
	var pipes [3][2]*os.File
	for i := range pipes {
		read, write, err := os.Pipe()
		if err != nil {
			closeAll(pipes[:i]...)
			return fmt.Errorf("make a pipe: %w", err)
		}
		pipes[i] = [2]*os.File{read, write}
	}
	r.cmd.Stdin, r.cmd.Stdout, r.cmd.Stderr = pipes[0][0], pipes[1][1], pipes[2][1]
	running, err := process.Start(ctx, r.cmd, nil)
	if err != nil {
		closeAll(pipes[:]...)
		return &StartError{Path: r.program.Path, Err: err}
	}
	closeAll([2]*os.File{pipes[0][0]}, [2]*os.File{pipes[1][1], pipes[2][1]})
	r.process, r.stdin = running, pipes[0][1]
	r.read(pipes[1][0], pipes[2][0])
	return nil
}

func closeAll(pipes ...[2]*os.File) {
	for _, pipe := range pipes {
		for _, file := range pipe {
			if file != nil {
				file.Close()
			}
		}
	}
}

// read reads both streams to their end, and waits for that of the process.
func (r *runner) read(stdout, stderr *os.File) {
	line, lineWriter := io.Pipe()
	r.line = line
	r.out = flow{limit: r.limit, exceeded: func() { r.exceed("stdout") }, use: firstLine(lineWriter)}
	r.err = flow{limit: r.limit, exceeded: func() { r.exceed("stderr") }, use: r.useStderr}
	var readers sync.WaitGroup
	readers.Go(func() {
		r.out.readFrom(stdout)
		lineWriter.Close()
	})
	readers.Go(func() { r.err.readFrom(stderr) })
	go func() {
		_ = r.process.Wait() // what matters is in the command's state
		deadline := time.Now().Add(drainTime)
		stdout.SetReadDeadline(deadline)
		stderr.SetReadDeadline(deadline)
		readers.Wait()
		closeAll([2]*os.File{stdout, stderr}, [2]*os.File{r.stdin})
		r.exited()
	}()
}

// firstLine passes on what is written until the first line has ended, and drops
// the rest.
func firstLine(w *io.PipeWriter) func([]byte) {
	room := handshakeSize
	return func(data []byte) {
		if room <= 0 {
			return
		}
		end := bytes.IndexByte(data, '\n') + 1
		if end == 0 {
			end = len(data)
			room -= end
		} else {
			room = 0
		}
		w.Write(data[:end])
		if room <= 0 {
			w.Close()
		}
	}
}

func (r *runner) useStderr(data []byte) {
	if r.text != nil {
		r.text.Write(data)
	}
	r.tail = append(r.tail, data...)
	if extra := len(r.tail) - tailSize; extra > 0 {
		r.tail = slices.Delete(r.tail, 0, extra)
	}
}

func (r *runner) exceed(stream string) {
	r.overflowOnce.Do(func() {
		r.overflowErr = &protocol.AnswerError{Reason: fmt.Sprintf("wrote more than %d bytes to %s", r.limit, stream)}
		close(r.overflowed)
		r.process.Kill()
	})
}

// overflow tells which stream went over its bound, if one did.
func (r *runner) overflow() error {
	select {
	case <-r.overflowed:
		return r.overflowErr
	default:
		return nil
	}
}

// newCall starts the count of what the streams bring anew.
func (r *runner) newCall() {
	r.out.count.Store(0)
	r.err.count.Store(0)
}

// flow is an output stream with a bound.
type flow struct {
	limit    int64
	count    atomic.Int64
	exceeded func()
	use      func([]byte)
}

func (f *flow) readFrom(stream io.Reader) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := stream.Read(buffer)
		if f.count.Add(int64(n)) > f.limit {
			f.exceeded()
			return
		}
		f.use(buffer[:n])
		if err != nil {
			return
		}
	}
}

// end asks the process to end, by closing its stdin, kills it when it does not,
// and returns when nothing is left of it.
func (r *runner) end() {
	if !r.stop() {
		return
	}
	r.stdin.Close()
	grace := time.NewTimer(r.grace)
	defer grace.Stop()
	select {
	case <-r.alive.Done():
	case <-grace.C:
		r.kill()
		<-r.alive.Done()
	}
}

// kill ends the process at once.
func (r *runner) kill() {
	if r.stop() {
		r.forced.Store(true)
		r.process.Kill()
	}
}

// stop makes sure that the process is not started any more, and tells whether it
// has been.
func (r *runner) stop() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	return r.process != nil
}

// exit tells how the process ended.
func (r *runner) exit() *stdio.ExitError {
	<-r.alive.Done()
	state := r.cmd.ProcessState
	return &stdio.ExitError{Code: state.ExitCode(), State: state.String(), Stderr: string(r.tail)}
}

// interrupted tells whether Ctrl-C ended the process.
func (r *runner) interrupted() bool {
	<-r.alive.Done()
	return process.Interrupted(r.cmd.ProcessState)
}

// saidSomething tells whether anything came out of stdout.
func (r *runner) saidSomething() bool { return r.out.count.Load() > 0 }

// Wait implements go-plugin's Runner.
func (r *runner) Wait(context.Context) error {
	<-r.alive.Done()
	return nil
}

// Kill implements go-plugin's Runner.
func (r *runner) Kill(context.Context) error {
	r.end()
	return nil
}

// Stdout implements go-plugin's Runner.
func (r *runner) Stdout() io.ReadCloser { return r.line }

// Stderr implements go-plugin's Runner: the text goes its own way.
func (r *runner) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name implements go-plugin's Runner.
func (r *runner) Name() string { return r.program.Path }

// ID implements go-plugin's Runner. It must not be empty, lest a directory is
// left.
func (r *runner) ID() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process == nil {
		return "none"
	}
	return strconv.Itoa(r.cmd.Process.Pid)
}

// Diagnose implements go-plugin's Runner.
func (r *runner) Diagnose(context.Context) string { return "" }

// PluginToHost implements go-plugin's Runner. A plugin may listen on a socket in
// the directory made for it or on the loopback interface.
func (r *runner) PluginToHost(network, address string) (string, string, error) {
	switch network {
	case "unix":
		if filepath.Dir(address) == filepath.Clean(r.sockets) {
			return network, address, nil
		}
	case "tcp":
		host, _, err := net.SplitHostPort(address)
		if err == nil && net.ParseIP(host).IsLoopback() {
			return network, address, nil
		}
	}
	return "", "", errors.New("it listens at an address that is neither in the directory for its socket nor on the loopback interface")
}

// HostToPlugin implements go-plugin's Runner.
func (r *runner) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}
