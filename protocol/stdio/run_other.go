//go:build !linux

package stdio

import (
	"os"
	"os/exec"
)

// runFile does nothing: there is no way here to execute an open file.
func runFile(*exec.Cmd, *os.File) {}
