package stdio

import (
	"io"
	"slices"
	"sync"

	"github.com/signet-project/signet/protocol/internal/process"
)

// streams are the pipes of a process and what comes out of them.
type streams struct {
	pipes    *process.Pipes
	overflow *process.Overflow

	readers sync.WaitGroup
	out     collector
	err     collector
}

// openStreams gives a command its three pipes, and reads two of them.
func openStreams(command *process.Command, limit int64, text io.Writer) (*streams, error) {
	pipes, err := process.OpenPipes(command)
	if err != nil {
		return nil, err
	}
	s := &streams{pipes: pipes, overflow: process.NewOverflow(limit)}
	s.out = collector{limit: limit, exceeded: func() { s.overflow.Note("stdout") }}
	s.err = collector{limit: limit, exceeded: func() { s.overflow.Note("stderr") }, log: newLogText(text)}
	s.readers.Go(func() { s.out.readFrom(s.pipes.Stdout) })
	s.readers.Go(func() { s.err.readFrom(s.pipes.Stderr) })
	return s, nil
}

// send writes the request in the background, until all is written or stdin is
// closed. A plugin need not read its request, so failing to write it is no error.
func (s *streams) send(request io.Reader) {
	go func() {
		_, _ = io.Copy(s.pipes.Stdin, request)
		s.pipes.Stdin.Close()
	}()
}

// finish reads what is left in the pipes of an ended process.
func (s *streams) finish() (stdout, stderr []byte) {
	s.pipes.Drain()
	s.readers.Wait()
	return s.out.data, s.err.data
}

// close ends all reading and writing.
func (s *streams) close() {
	s.pipes.Close()
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
