package process

import (
	"context"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// platform holds the job that the process and all its descendants belong to.
// Closing it, by us or by our death, ends them.
type platform struct{ job windows.Handle }

var ntResumeProcess = windows.NewLazySystemDLL("ntdll.dll").NewProc("NtResumeProcess")

// start starts the process suspended, so that it can't start others before it
// is in the job.
func (p *Process) start() error {
	job, err := newJob()
	if err != nil {
		return err
	}
	if p.cmd.SysProcAttr == nil {
		p.cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	p.cmd.SysProcAttr.CreationFlags |= windows.CREATE_SUSPENDED | windows.CREATE_NEW_PROCESS_GROUP
	if err := startPatiently(p.cmd, func(error) bool { return false }); err != nil {
		windows.CloseHandle(job)
		return err
	}
	if err := release(job, uint32(p.cmd.Process.Pid)); err != nil {
		p.cmd.Process.Kill()
		p.cmd.Wait()
		windows.CloseHandle(job)
		return err
	}
	p.platform.job = job
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

func (p *Process) wait() error {
	err := p.cmd.Wait()
	p.kill()
	p.setEnded()
	windows.CloseHandle(p.platform.job)
	return err
}

func (p *Process) interrupt() {
	windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(p.cmd.Process.Pid))
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
