package stdio

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"
)

// streams are the pipes of a process's standard streams: the host's ends and, until
// the process has them, its own.
type streams struct {
	stdin, stdout, stderr *os.File
	childEnds             []*os.File
	// full is closed when an output stream goes over its bound.
	full chan struct{}

	readers sync.WaitGroup
	out     collector
	err     collector

	once   sync.Once
	reason error // why full was closed
}

// drainTime is how long a pipe may stay open after the process and all its
// descendants that can be found have ended: then an unseen one holds it. Short of
// it, a reader that a busy machine has not let run yet would lose the answer.
const drainTime = 3 * time.Second

// openStreams gives cmd its three pipes.
func openStreams(cmd *exec.Cmd, limit int64, text io.Writer) (*streams, error) {
	s := &streams{full: make(chan struct{})}
	s.out = collector{limit: limit, exceeded: func() { s.exceed("stdout", limit) }}
	s.err = collector{limit: limit, exceeded: func() { s.exceed("stderr", limit) }, log: newLogText(text)}
	var pipes [3][2]*os.File
	for i := range pipes {
		r, w, err := os.Pipe()
		if err != nil {
			for _, pipe := range pipes[:i] {
				pipe[0].Close()
				pipe[1].Close()
			}
			return nil, fmt.Errorf("make a pipe: %w", err)
		}
		pipes[i] = [2]*os.File{r, w}
	}
	s.stdin, s.stdout, s.stderr = pipes[0][1], pipes[1][0], pipes[2][0]
	s.childEnds = []*os.File{pipes[0][0], pipes[1][1], pipes[2][1]}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.childEnds[0], s.childEnds[1], s.childEnds[2]

	s.readers.Go(func() { s.out.readFrom(s.stdout) })
	s.readers.Go(func() { s.err.readFrom(s.stderr) })
	return s, nil
}

// closeChildEnds closes the ends that are the child's alone.
func (s *streams) closeChildEnds() {
	for _, file := range s.childEnds {
		file.Close()
	}
}

// send writes the request in the background, until all is written or stdin is
// closed. A plugin need not read its request, so failing to write it is no error.
func (s *streams) send(request io.Reader) {
	go func() {
		_, _ = io.Copy(s.stdin, request)
		s.stdin.Close()
	}()
}

func (s *streams) exceed(stream string, limit int64) {
	s.once.Do(func() {
		s.reason = errTooMuch(stream, limit)
		close(s.full)
	})
}

// overflow tells which stream went over its bound, if one did.
func (s *streams) overflow() error {
	select {
	case <-s.full:
		return s.reason
	default:
		return nil
	}
}

// finish reads what is left in the pipes of an ended process.
func (s *streams) finish() (stdout, stderr []byte) {
	deadline := time.Now().Add(drainTime)
	s.stdout.SetReadDeadline(deadline)
	s.stderr.SetReadDeadline(deadline)
	s.readers.Wait()
	return s.out.data, s.err.data
}

// close ends all reading and writing.
func (s *streams) close() {
	s.stdin.Close()
	s.stdout.Close()
	s.stderr.Close()
	s.readers.Wait()
}

// collector keeps what comes out of a stream, up to a bound.
type collector struct {
	data     []byte
	limit    int64
	exceeded func()
	log      *logText
}

// readFrom reads r until its end, a read deadline or the bound.
func (c *collector) readFrom(r io.Reader) {
	const least = 4 << 10 // more than most plugins have to say
	for {
		c.data = slices.Grow(c.data, least)
		n, err := r.Read(c.data[len(c.data):cap(c.data)])
		if int64(len(c.data)+n) > c.limit {
			c.exceeded()
			return
		}
		c.data = c.data[:len(c.data)+n]
		if c.log != nil {
			c.log.write(c.data)
		}
		if err != nil {
			return
		}
	}
}
