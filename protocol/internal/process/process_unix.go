//go:build unix && !linux

package process

import (
	"errors"
	"syscall"
)

type platform struct{}

func (p *Process) start() error {
	if p.cmd.SysProcAttr == nil {
		p.cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	p.cmd.SysProcAttr.Setpgid = true
	p.terminal.attach(p.cmd.SysProcAttr)
	if err := startPatiently(p.cmd, func(err error) bool { return errors.Is(err, syscall.ETXTBSY) }); err != nil {
		return err
	}
	go p.finish()
	return nil
}

func (p *Process) wait() error {
	err := p.cmd.Wait()
	p.left = syscall.Kill(-p.cmd.Process.Pid, 0) == nil
	p.kill()
	p.setEnded()
	return err
}

func (p *Process) interrupt() { syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM) }

func (p *Process) kill() { syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }
