package process

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

type platform struct{ mark mark }

// start starts the command on a thread that lives as long as the process: the
// parent-death signal is bound to the thread that forked.
func (p *Process) start() error {
	adoptOrphans()
	started := make(chan error)
	go onOtherThread(func() {
		err := p.launch()
		started <- err
		if err != nil {
			return
		}
		p.finish()
	})
	err := <-started
	if err != nil {
		disownOrphans()
	}
	return err
}

// onOtherThread runs f on a thread of its own, and not on the first one of this process:
// that has the brand for others to see, and a host which started us would take us for
// what a plugin of its own has left.
func onOtherThread(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if unix.Gettid() != os.Getpid() {
		f()
		return
	}
	locked := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		close(locked)
		f()
	}()
	<-locked // no longer, lest the first thread is kept from others
}

// launch starts the command and marks it, on a thread that is locked.
func (p *Process) launch() error {
	unbrand := brand()
	err := patiently(p.fork)
	unbrand()
	if err != nil {
		return err
	}
	p.platform.mark = setMark(p.pid)
	return nil
}

// fork starts the command. Package os would do the same, but first start another process
// to find out whether the system has descriptors for processes, which we do without: we
// alone reap this one, and then nobody uses its pid any more.
func (p *Process) fork() error {
	c := p.command
	environ, err := environment(c.Env)
	if err != nil {
		return err
	}
	path, files := c.Path, []uintptr{c.stdin.Fd(), c.stdout.Fd(), c.stderr.Fd()}
	if c.File != nil {
		path, files = executedFile, append(files, c.File.Fd())
	}
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.terminal.attach(attr)
	pid, err := syscall.ForkExec(path, c.Args, &syscall.ProcAttr{Env: environ, Files: files, Sys: attr})
	runtime.KeepAlive(c)
	if err != nil {
		return &fs.PathError{Op: "fork/exec", Path: path, Err: err}
	}
	p.pid = pid
	return nil
}

// environment is what a process gets: ours if none is given, and of variables that are
// there twice the last.
func environment(given []string) ([]string, error) {
	for _, entry := range given {
		if strings.ContainsRune(entry, 0) { // exec would drop it
			return nil, fmt.Errorf("environment variable %q contains NUL", entry[:strings.IndexAny(entry, "=\x00")])
		}
	}
	return (&exec.Cmd{Env: given}).Environ(), nil
}

// executedFile is the path of an open file that is to be executed, in the child.
const executedFile = "/proc/self/fd/3"

func (p *Process) wait() (End, error) {
	awaitZombie(p.pid)
	running := childrenRun()
	if running {
		left := orphansThat(p.descends)
		p.left = anyRuns(left)
		p.kill()
		sweep(left, p.descends)
	}
	p.setEnded()
	end, err := reapOne(p.pid)
	if !running && childrenLeft() {
		p.reap()
	}
	if disownOrphans() {
		p.left = true
	}
	return end, err
}

// reapOne takes note of a process that has ended.
func reapOne(pid int) (End, error) {
	var status syscall.WaitStatus
	for {
		switch _, err := syscall.Wait4(pid, &status, 0, nil); err {
		case nil:
			return endOf(status), nil
		case unix.EINTR:
		default:
			return End{}, os.NewSyscallError("wait4", err)
		}
	}
}

// endOf describes an end in the words of package os.
func endOf(status syscall.WaitStatus) End {
	if !status.Signaled() {
		return End{Code: status.ExitStatus(), Text: "exit status " + strconv.Itoa(status.ExitStatus())}
	}
	text := "signal: " + status.Signal().String()
	if status.CoreDump() {
		text += " (core dumped)"
	}
	return End{Code: -1, Text: text, Interrupted: status.Signal() == syscall.SIGINT}
}

// awaitZombie waits until a process has ended, and leaves it to be reaped, so that its pid
// and group still mean what they did.
func awaitZombie(pid int) {
	for {
		var info unix.Siginfo
		if err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != unix.EINTR {
			return
		}
	}
}

func (p *Process) interrupt() { unix.Kill(-p.pid, unix.SIGTERM) }

func (p *Process) kill() { unix.Kill(-p.pid, unix.SIGKILL) }

// childrenRun tells, in one system call where descendants takes one for every process
// of the machine, whether any child of ours runs: a call that waits for children to
// stop finds none to wait for when there are none, or only zombies.
//
// If false once a plugin has ended, nothing of it runs any more: what it started hangs
// below children of ours, and zombies have none.
func childrenRun() bool {
	return hasChildren(unix.WSTOPPED)
}

// childrenLeft tells whether we have any child, zombies included.
func childrenLeft() bool {
	return hasChildren(unix.WEXITED)
}

// hasChildren tells whether there is a child to wait for in that way. Its state is left
// for others to wait for.
func hasChildren(way int) bool {
	for {
		err := unix.Waitid(unix.P_ALL, 0, nil, way|unix.WNOHANG|unix.WNOWAIT|unix.WALL, nil)
		if err != unix.EINTR {
			return err != unix.ECHILD
		}
	}
}

// orphansThat lists the children of ours that are of a kind.
func orphansThat(are func(pid int) bool) []int {
	return slices.DeleteFunc(children(os.Getpid()), func(pid int) bool { return !are(pid) })
}

// anyRuns tells whether not all of them are zombies.
func anyRuns(pids []int) bool {
	return slices.ContainsFunc(pids, func(pid int) bool { return !isZombie(pid) })
}

// sweep kills and reaps children of ours, with what is below them, until there are none
// of that kind.
func sweep(left []int, are func(pid int) bool) {
	const patience = 10 * time.Second // for those that hang in the kernel
	pause := 100 * time.Microsecond
	deadline := time.Now().Add(patience)
	for len(left) > 0 && time.Now().Before(deadline) {
		for _, pid := range left {
			killTree(pid, 0)
			unix.Wait4(pid, nil, unix.WNOHANG, nil)
		}
		time.Sleep(pause)
		pause = min(2*pause, 10*time.Millisecond)
		left = orphansThat(are)
	}
}

// reap reaps those descendants that have ended without that anybody noticed.
func (p *Process) reap() {
	for _, pid := range orphansThat(p.descends) {
		unix.Wait4(pid, nil, unix.WNOHANG, nil)
	}
}

// descends tells whether a child of ours, the subreaper's, is something that the process
// left behind: once it has ended, each of its descendants sits below such a child. They
// are known by their mark or their process group.
func (p *Process) descends(pid int) bool {
	if pid == p.pid {
		return false
	}
	if p.platform.mark.covers(markOf(pid)) {
		return true
	}
	group, err := unix.Getpgid(pid)
	return err == nil && group == p.pid
}

// killTree kills a process and what is below it, stopping parents first, so that
// they can't start more.
func killTree(pid, depth int) {
	const maxDepth = 100 // what hangs deeper comes to us when those above are dead
	unix.Kill(pid, unix.SIGSTOP)
	if depth < maxDepth {
		for _, child := range children(pid) {
			killTree(child, depth+1)
		}
	}
	unix.Kill(pid, unix.SIGKILL)
}
