package sessionclient

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signet-project/signet/protocol/internal/process"
	"github.com/signet-project/signet/protocol/internal/sessionwire"
	"github.com/signet-project/signet/protocol/stdio"
)

// tailSize is how much of the end of stderr is kept, in bytes.
const tailSize = 4 << 10

// runner runs the process of a session, from its start until nothing is left of
// it.
type runner struct {
	limit int64
	grace time.Duration
	text  io.Writer // nil drops

	process *process.Process
	pipes   *process.Pipes
	line    chan string // gets the first line of stdout, or as much of it as came

	out, err flow
	overflow *process.Overflow
	mu       sync.Mutex      // guards text and tail
	tail     []byte          // of stderr
	alive    context.Context // done when nothing is left of the process
	ended    process.End     // set by then
	exited   context.CancelFunc
	forced   atomic.Bool // it had to be killed
}

// run starts the process, with three pipes.
func run(ctx context.Context, program *Program, env []string, t *Transport) (*runner, error) {
	r := &runner{
		limit: t.maxOutput(), grace: cmp.Or(t.Grace, stdio.DefaultGrace), text: t.Stderr,
		line: make(chan string, 1), overflow: process.NewOverflow(t.maxOutput()),
	}
	command := &process.Command{
		Path: program.Path,
		File: program.File,
		Args: slices.Concat([]string{program.Path}, program.Args, []string{Argument}),
		Env:  env,
	}
	var err error
	if r.pipes, err = process.OpenPipes(command); err != nil {
		return nil, fmt.Errorf("open a session: %w", err)
	}
	r.process, err = process.Start(ctx, command, nil)
	r.pipes.CloseChildEnds()
	if err != nil {
		r.pipes.Close()
		return nil, &StartError{Path: program.Path, Err: err}
	}
	r.alive, r.exited = context.WithCancel(context.Background())
	r.read()
	return r, nil
}

// read reads both streams to their end, and waits for that of the process.
func (r *runner) read() {
	first := &firstLine{to: r.line}
	r.out = flow{limit: r.limit, exceeded: func() { r.exceed("stdout") }, use: first.write}
	r.err = flow{limit: r.limit, exceeded: func() { r.exceed("stderr") }, use: r.useStderr}
	var readers sync.WaitGroup
	readers.Go(func() {
		r.out.readFrom(r.pipes.Stdout)
		first.end()
	})
	readers.Go(func() { r.err.readFrom(r.pipes.Stderr) })
	go func() {
		var err error
		if r.ended, err = r.process.Wait(); err != nil {
			r.ended = process.End{Code: -1, Text: err.Error()}
		}
		r.pipes.Drain()
		readers.Wait()
		r.pipes.Close()
		r.exited()
	}()
}

// firstLine passes on the first line that is written, and drops the rest. Of a
// line that is too long to be a handshake it passes on enough to tell.
type firstLine struct {
	to   chan<- string
	line []byte
	over bool
}

func (f *firstLine) write(data []byte) {
	if f.over {
		return
	}
	line, _, found := bytes.Cut(data, []byte("\n"))
	f.line = append(f.line, line...)
	if found || len(f.line) > sessionwire.MaxHandshake {
		f.end()
	}
}

func (f *firstLine) end() {
	if !f.over {
		f.over = true // first: what comes over the connection is written, too
		f.to <- string(f.line)
	}
}

func (r *runner) useStderr(data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.text != nil {
		r.text.Write(data)
	}
	r.tail = append(r.tail, data...)
	if extra := len(r.tail) - tailSize; extra > 0 {
		r.tail = slices.Delete(r.tail, 0, extra)
	}
}

func (r *runner) exceed(stream string) {
	r.overflow.Note(stream)
	r.process.Kill()
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
		if !f.take(buffer[:n]) || err != nil {
			return
		}
	}
}

// take uses data unless it goes over the bound.
func (f *flow) take(data []byte) bool {
	if f.count.Add(int64(len(data))) > f.limit {
		f.exceeded()
		return false
	}
	f.use(data)
	return true
}

// end asks the process to end, by closing its stdin, kills it when it does not,
// and returns when nothing is left of it.
func (r *runner) end() {
	r.pipes.Stdin.Close()
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
	r.forced.Store(true)
	r.process.Kill()
}

// exit tells how the process ended.
func (r *runner) exit() *stdio.ExitError {
	<-r.alive.Done()
	r.mu.Lock()
	defer r.mu.Unlock()
	return &stdio.ExitError{Code: r.ended.Code, State: r.ended.Text, Stderr: string(r.tail)}
}

// interrupted tells whether Ctrl-C ended the process.
func (r *runner) interrupted() bool {
	<-r.alive.Done()
	return r.ended.Interrupted
}

// saidSomething tells whether anything came out of stdout.
func (r *runner) saidSomething() bool { return r.out.count.Load() > 0 }
