package protocol

import (
	"os"

	"golang.org/x/sys/windows"
)

// takeStdout keeps the process's stdout for the answer, which it returns, and
// puts stderr in its place for everyone else: Go code that uses os.Stdout and
// code that asks the system for the standard handle.
func takeStdout() (*os.File, error) {
	private := os.Stdout
	if err := windows.SetStdHandle(windows.STD_OUTPUT_HANDLE, windows.Handle(os.Stderr.Fd())); err != nil {
		return nil, err
	}
	os.Stdout = os.Stderr
	return private, nil
}
