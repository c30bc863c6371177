// Package process runs one plugin process so that nothing of it outlives the
// call: neither the process nor anything it started.
package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"time"
)

// Process is a running plugin. Wait has to be called exactly once.
type Process struct {
	cmd      *exec.Cmd
	terminal *terminal
	platform platform

	done chan struct{} // closed when nothing is left of it; then err and left are set
	err  error
	left bool

	mu    sync.Mutex
	ended bool // its pid means nothing any more
}

// Start starts cmd in a process group (a job on Windows) of its own. With tty
// not nil that group gets the terminal until the process has ended, if the
// caller's group has it now; one process at a time holds it.
//
// On Linux the plugin is killed when the caller dies, and descendants are found
// wherever they went; elsewhere on unix those that left the process group are not.
//
// Start waits until another process gives the terminal back, or ctx is done;
// for nothing else does it look at ctx.
func Start(ctx context.Context, cmd *exec.Cmd, tty *os.File) (*Process, error) {
	p := &Process{cmd: cmd, done: make(chan struct{})}
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

// Wait waits until then, and takes the terminal back. How the process ended stands in
// cmd.ProcessState then; the error is the system's failure to tell.
func (p *Process) Wait() error {
	<-p.done
	p.terminal.takeBack()
	if _, exited := errors.AsType[*exec.ExitError](p.err); exited {
		return nil
	}
	return p.err
}

// finish waits for the end, in the background.
func (p *Process) finish() {
	p.err = p.wait()
	close(p.done)
}

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

// startPatiently starts cmd, and again for a moment while its executable is
// busy: a file just written stays so as long as a child that was forked
// meanwhile, by another goroutine, has not yet closed its copy of the writer's
// descriptor.
func startPatiently(cmd *exec.Cmd, busy func(error) bool) error {
	const tries, pause = 20, 10 * time.Millisecond
	for range tries {
		err := cmd.Start()
		if !busy(err) {
			return err
		}
		time.Sleep(pause)
		renew(cmd)
	}
	return cmd.Start()
}

// renew makes a command that could not be started ready to be started again.
func renew(cmd *exec.Cmd) {
	*cmd = exec.Cmd{Path: cmd.Path, Args: cmd.Args, Env: cmd.Env, Dir: cmd.Dir, Stdin: cmd.Stdin,
		Stdout: cmd.Stdout, Stderr: cmd.Stderr, ExtraFiles: cmd.ExtraFiles, SysProcAttr: cmd.SysProcAttr}
}
