//go:build !linux

package process

import (
	"os"
	"os/exec"
)

// RunFile does nothing: there is no way here to execute an open file.
func RunFile(*exec.Cmd, *os.File) {}
