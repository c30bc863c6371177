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

	mu    sync.Mutex
	ended bool // its pid means nothing any more
	left  bool
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
	p := &Process{cmd: cmd}
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

// Wait waits for the process to end, kills and reaps every descendant that is
// left, and takes the terminal back. How the process ended stands in
// cmd.ProcessState then; the error is the system's failure to tell.
func (p *Process) Wait() error {
	err := p.wait()
	p.terminal.takeBack()
	if _, exited := errors.AsType[*exec.ExitError](err); exited {
		return nil
	}
	return err
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
