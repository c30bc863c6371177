//go:build !linux

package process

import (
	"errors"
	"os/exec"
	"syscall"
)

// start starts the command by package exec.
func (c *Command) start(attr *syscall.SysProcAttr) (*exec.Cmd, error) {
	var cmd *exec.Cmd
	err := patiently(func() error {
		cmd = &exec.Cmd{Path: c.Path, Args: c.Args, Env: c.Env, Stdin: c.stdin, Stdout: c.stdout, Stderr: c.stderr, SysProcAttr: attr}
		return cmd.Start()
	})
	return cmd, err
}

// waitFor waits for a process to end.
func waitFor(cmd *exec.Cmd) (End, error) {
	err := cmd.Wait()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		return End{}, err
	}
	state := cmd.ProcessState
	return End{Code: state.ExitCode(), Text: state.String(), Interrupted: isInterrupted(state)}, nil
}
