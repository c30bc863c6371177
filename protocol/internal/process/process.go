// Package process runs one plugin process so that nothing of it outlives the
// call: neither the process nor anything it started.
package process

import (
	"context"
	"os"
	"sync"
	"time"
)

// Command is what to run. [OpenPipes] gives it its standard streams.
type Command struct {
	// Path is the executable.
	Path string
	// File, if not nil, is Path opened for reading. On Linux this very file is executed,
	// and the process has it as descriptor 3, so that the interpreter of a script can
	// open it; elsewhere there is no way to.
	File *os.File
	// Args begin with the name that the program is called by.
	Args []string
	// Env is the environment, as in exec.Cmd: nil for ours.
	Env []string

	stdin, stdout, stderr *os.File
}

// End tells how a process ended.
type End struct {
	// Code is the exit status, -1 when a signal ended the process.
	Code int
	// Text describes it, such as "exit status 2" or "signal: killed".
	Text string
	// Interrupted tells that Ctrl-C ended it. On Windows it is always false: the host
	// gets Ctrl-C itself.
	Interrupted bool
}

// Process is a running plugin. Wait has to be called exactly once.
type Process struct {
	command  *Command
	pid      int
	terminal *terminal
	platform platform

	done chan struct{} // closed when nothing is left of it; then the next three are set
	end  End
	err  error
	left bool

	mu    sync.Mutex
	ended bool // its pid means nothing any more
}

// Start starts a command in a process group (a job on Windows) of its own. With tty
// not nil that group gets the terminal until the process has ended, if the
// caller's group has it now; one process at a time holds it.
//
// On Linux the plugin is killed when the caller dies, and descendants are found
// wherever they went; elsewhere on unix those that left the process group are not.
//
// Start waits until another process gives the terminal back, or ctx is done;
// for nothing else does it look at ctx.
func Start(ctx context.Context, command *Command, tty *os.File) (*Process, error) {
	p := &Process{command: command, done: make(chan struct{})}
	var err error
	if p.terminal, err = handOver(ctx, tty); err != nil {
		return nil, err
	}
	if err := p.start(); err != nil {
		p.terminal.takeBack()
		return nil, err
	}
	return p, nil
}

// Done is closed when the process has ended, and every descendant that was left has been
// killed and reaped.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits until then, and takes the terminal back. The error is the system's failure
// to tell how the process ended.
func (p *Process) Wait() (End, error) {
	<-p.done
	p.terminal.takeBack()
	return p.end, p.err
}

// finish waits for the end, in the background.
func (p *Process) finish() {
	p.end, p.err = p.wait()
	close(p.done)
}

// Pid is the process's id, which others may get once Wait has returned.
func (p *Process) Pid() int { return p.pid }

// Left tells, once Wait has returned, whether descendants were still running when
// the process ended. On Windows it is always false.
func (p *Process) Left() bool { return p.left }

// Interrupt asks the process group to end: SIGTERM, or CTRL_BREAK on Windows.
func (p *Process) Interrupt() { p.unlessEnded(p.interrupt) }

// Kill ends the process group at once. Wait still has to be called.
func (p *Process) Kill() { p.unlessEnded(p.kill) }

func (p *Process) unlessEnded(act func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		act()
	}
}

func (p *Process) setEnded() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
}

// patiently starts something, and again for a moment while its executable is busy: a
// file just written stays so as long as a child that was forked meanwhile, by another
// goroutine, has not yet closed its copy of the writer's descriptor.
func patiently(start func() error) error {
	const tries, pause = 20, 10 * time.Millisecond
	for range tries {
		if err := start(); !isBusy(err) {
			return err
		}
		time.Sleep(pause)
	}
	return start()
}
