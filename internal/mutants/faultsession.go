package mutants

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/session"
)

// sessionFaults are those of plugins that offer sessions.
var sessionFaults = map[string]map[string]Mutant{
	"session.opens": {
		"refused":   {session: func(*Mutant) int { return 1 }},
		"other-way": {session: func(*Mutant) int { fmt.Println("1|1|tcp|127.0.0.1:1|netrpc"); return 0 }},
	},
	"session.answers": {
		"other-metadata": {session: changed(metadata(set("description", "in a session")))},
		"any-version":    {session: changed(version("99.0", func(c *call) { c.repeatWith(map[string]any{"contractVersion": "1.0"}) }))},
	},
	"session.parallel": {"one-at-a-time": {session: func(m *Mutant) int {
		var running atomic.Int32
		return m.serve(os.Stdin, func(c *call) {
			if running.Add(1) > 1 {
				c.fail(protocol.CodeGeneric)
			}
			time.Sleep(300 * time.Millisecond) // long enough for another to come
			running.Add(-1)
		})
	}}},
	"session.ends": {"stays": {session: func(m *Mutant) int {
		endless, _ := io.Pipe()
		return m.serve(endless, nil)
	}}},
}

// changed makes a fault that shows in sessions only.
func changed(change func(*call)) func(*Mutant) int {
	return func(m *Mutant) int { return m.serve(os.Stdin, change) }
}

// open opens a session.
func (m *Mutant) open() int {
	if m.session != nil {
		return m.session(m)
	}
	return m.serve(os.Stdin, nil)
}

// serve serves a session until stdin ends.
func (m *Mutant) serve(stdin io.Reader, change func(*call)) int {
	return session.Run(context.Background(), inSession{m, change}, stdin, os.Stdout, os.Stderr, os.Getenv)
}

// inSession answers the calls of a session.
type inSession struct {
	mutant *Mutant
	change func(*call)
}

func (s inSession) Call(_ context.Context, command protocol.Command, request []byte) ([]byte, error) {
	c := s.mutant.answer(command, request)
	if s.change != nil {
		s.change(c)
	}
	if c.status == 0 {
		return c.stdout, nil
	}
	failure, err := protocol.ParseError(c.stderr)
	if err != nil {
		return nil, err
	}
	return nil, failure
}
