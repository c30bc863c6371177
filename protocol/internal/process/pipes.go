package process

import (
	"fmt"
	"os"
	"time"
)

// Pipes are pipes to the standard streams of a process: the host's ends and, until the
// process has them, its own.
type Pipes struct {
	Stdin, Stdout, Stderr *os.File

	childEnds []*os.File
}

// drainTime is how long a pipe may stay open after the process and all its
// descendants that can be found have ended: then an unseen one holds it. Short of
// it, a reader that a busy machine has not let run yet would lose the answer.
const drainTime = 3 * time.Second

// OpenPipes gives a command that is yet to be started its three pipes.
func OpenPipes(command *Command) (*Pipes, error) {
	var read, write [3]*os.File
	for i := range read {
		var err error
		if read[i], write[i], err = os.Pipe(); err != nil {
			closeAll(read[:i])
			closeAll(write[:i])
			return nil, fmt.Errorf("make a pipe: %w", err)
		}
	}
	command.stdin, command.stdout, command.stderr = read[0], write[1], write[2]
	return &Pipes{
		Stdin: write[0], Stdout: read[1], Stderr: read[2],
		childEnds: []*os.File{read[0], write[1], write[2]},
	}, nil
}

// CloseChildEnds closes the ends of the process, which has its own by now or never
// will.
func (p *Pipes) CloseChildEnds() { closeAll(p.childEnds) }

// Drain leaves a moment to read what is in the pipes of an ended process.
func (p *Pipes) Drain() {
	deadline := time.Now().Add(drainTime)
	p.Stdout.SetReadDeadline(deadline)
	p.Stderr.SetReadDeadline(deadline)
}

// Close closes the host's ends.
func (p *Pipes) Close() { closeAll([]*os.File{p.Stdin, p.Stdout, p.Stderr}) }

func closeAll(files []*os.File) {
	for _, file := range files {
		file.Close()
	}
}
