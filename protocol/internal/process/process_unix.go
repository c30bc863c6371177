//go:build unix && !linux

package process

import (
	"os"
	"os/exec"
	"syscall"
)

type platform struct{ cmd *exec.Cmd }

func (p *Process) start() error {
	attr := &syscall.SysProcAttr{Setpgid: true}
	p.terminal.attach(attr)
	cmd, err := p.command.start(attr)
	if err != nil {
		return err
	}
	p.pid, p.platform.cmd = cmd.Process.Pid, cmd
	go p.finish()
	return nil
}

func (p *Process) wait() (End, error) {
	end, err := waitFor(p.platform.cmd)
	p.left = syscall.Kill(-p.pid, 0) == nil
	p.kill()
	p.setEnded()
	return end, err
}

func (p *Process) interrupt() { syscall.Kill(-p.pid, syscall.SIGTERM) }

func (p *Process) kill() { syscall.Kill(-p.pid, syscall.SIGKILL) }

// isInterrupted tells whether Ctrl-C ended the process.
func isInterrupted(state *os.ProcessState) bool {
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGINT
}
