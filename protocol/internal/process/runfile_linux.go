package process

import (
	"os"
	"os/exec"
)

// executedFile is the path of an open file that is to be executed, in the child.
const executedFile = "/proc/self/fd/3"

// RunFile makes cmd execute an open file instead of a path. The descriptor goes
// to the child as well, as 3, so that the interpreter of a script can open it.
func RunFile(cmd *exec.Cmd, file *os.File) {
	if file != nil {
		cmd.ExtraFiles = []*os.File{file}
		cmd.Path = executedFile
	}
}
