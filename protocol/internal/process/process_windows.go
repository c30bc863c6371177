package process

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// platform holds the job that the process and all its descendants belong to.
// Closing it, by us or by our death, ends them.
type platform struct {
	cmd *exec.Cmd
	job windows.Handle
}

var ntResumeProcess = windows.NewLazySystemDLL("ntdll.dll").NewProc("NtResumeProcess")

// start starts the process suspended, so that it can't start others before it
// is in the job.
func (p *Process) start() error {
	job, err := newJob()
	if err != nil {
		return err
	}
	cmd, err := p.command.start(&syscall.SysProcAttr{CreationFlags: windows.CREATE_SUSPENDED | windows.CREATE_NEW_PROCESS_GROUP})
	if err != nil {
		windows.CloseHandle(job)
		return err
	}
	if err := release(job, uint32(cmd.Process.Pid)); err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		windows.CloseHandle(job)
		return err
	}
	p.pid, p.platform = cmd.Process.Pid, platform{cmd, job}
	go p.finish()
	return nil
}

func newJob() (windows.Handle, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return 0, os.NewSyscallError("CreateJobObject", err)
	}
	var limits windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	limits.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits)))
	if err != nil {
		windows.CloseHandle(job)
		return 0, os.NewSyscallError("SetInformationJobObject", err)
	}
	return job, nil
}

// release puts a suspended process into the job and lets it run.
func release(job windows.Handle, pid uint32) error {
	process, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE|windows.PROCESS_SUSPEND_RESUME, false, pid)
	if err != nil {
		return os.NewSyscallError("OpenProcess", err)
	}
	defer windows.CloseHandle(process)
	if err := windows.AssignProcessToJobObject(job, process); err != nil {
		return os.NewSyscallError("AssignProcessToJobObject", err)
	}
	if status, _, _ := ntResumeProcess.Call(uintptr(process)); status != 0 {
		return os.NewSyscallError("NtResumeProcess", windows.NTStatus(status))
	}
	return nil
}

func (p *Process) wait() (End, error) {
	end, err := waitFor(p.platform.cmd)
	p.kill()
	p.setEnded()
	windows.CloseHandle(p.platform.job)
	return end, err
}

// isBusy is never true: who writes to a file keeps others from starting it for longer.
func isBusy(error) bool { return false }

// isInterrupted is never true: the host gets Ctrl-C itself.
func isInterrupted(*os.ProcessState) bool { return false }

func (p *Process) interrupt() {
	windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(p.pid))
}

func (p *Process) kill() { windows.TerminateJobObject(p.platform.job, 1) }

// terminal is nil here: a console has no foreground group.
type terminal struct{}

func handOver(context.Context, *os.File) (*terminal, error) { return nil, nil }

func (*terminal) takeBack() {}

// Lend does nothing: whatever runs in the console can use it.
func (p *Process) Lend(context.Context, *os.File) (giveBack func(), err error) {
	return func() {}, nil
}
