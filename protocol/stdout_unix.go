//go:build unix

package protocol

import (
	"os"
	"syscall"
)

// takeStdout moves the process's stdout to a private descriptor, which it
// returns, and puts stderr in its place for everyone else: Go code that uses
// os.Stdout and C libraries that use descriptor 1.
func takeStdout() (*os.File, error) {
	private, err := dupCloseOnExec(syscall.Stdout)
	if err != nil {
		return nil, err
	}
	if err := dup2(syscall.Stderr, syscall.Stdout); err != nil {
		return nil, err
	}
	os.Stdout = os.Stderr
	return os.NewFile(uintptr(private), "stdout"), nil
}

// dupCloseOnExec duplicates a descriptor into one that children do not inherit.
func dupCloseOnExec(fd int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	private, err := syscall.Dup(fd)
	if err == nil {
		syscall.CloseOnExec(private)
	}
	return private, err
}
