//go:build unix

package process

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// terminal is the controlling terminal while a process has it; nil for a
// process that runs without.
type terminal struct {
	fd    int
	group int // whose foreground it was
	state *term.State
}

// holder is full while some process holds the terminal.
var holder = make(chan struct{}, 1)

// handOver prepares to give tty to a process about to start. A tty that is not
// a terminal, or that another process group than ours has now, is left alone.
func handOver(ctx context.Context, tty *os.File) (*terminal, error) {
	if tty == nil {
		return nil, nil
	}
	select {
	case holder <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	fd := int(tty.Fd())
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	if err != nil || group != unix.Getpgrp() {
		<-holder
		return nil, nil
	}
	state, _ := term.GetState(fd)
	return &terminal{fd: fd, group: group, state: state}, nil
}

// attach lets the child take the foreground before it runs its program.
func (t *terminal) attach(attr *syscall.SysProcAttr) {
	if t != nil {
		attr.Foreground = true
		attr.Ctty = t.fd
	}
}

// Lend gives tty to the process's group while it runs, for a time that ends with
// giveBack; the rules are those of Start.
func (p *Process) Lend(ctx context.Context, tty *os.File) (giveBack func(), err error) {
	t, err := handOver(ctx, tty)
	if err != nil {
		return nil, err
	}
	p.unlessEnded(func() { t.give(p.pid) })
	return t.takeBack, nil
}

// give makes a running group the foreground, and lets it go on if it was stopped
// for having used the terminal without.
func (t *terminal) give(group int) {
	if t != nil {
		unix.IoctlSetPointerInt(t.fd, unix.TIOCSPGRP, group)
		unix.Kill(-group, unix.SIGCONT)
	}
}

// takeBack makes our group the foreground again and undoes what the process
// did to the terminal, such as switching echo off.
func (t *terminal) takeBack() {
	if t == nil {
		return
	}
	defer func() { <-holder }()
	if !signal.Ignored(unix.SIGTTOU) { // sent to background groups that do just this
		signal.Ignore(unix.SIGTTOU)
		defer signal.Reset(unix.SIGTTOU)
	}
	unix.IoctlSetPointerInt(t.fd, unix.TIOCSPGRP, t.group)
	if t.state != nil {
		term.Restore(t.fd, t.state)
	}
}
