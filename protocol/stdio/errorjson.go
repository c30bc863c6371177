package stdio

import (
	"bytes"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/signet-project/signet/protocol"
)

const (
	// errorTail is how much of the end of stderr is searched for an error, and
	// maxCandidates how many lines in it may look like the start of one.
	errorTail     = 1 << 20
	maxCandidates = 64
)

// findError finds the last JSON object on stderr that begins a line and is an
// error of the contract, and tells where it stands.
func findError(stderr []byte) (found *protocol.Error, from, to int) {
	base := max(0, len(stderr)-errorTail)
	rest := stderr[base:]
	for range maxCandidates {
		start := lastObjectStart(rest)
		if start < 0 {
			break
		}
		rest = rest[:start]
		at := base + start
		value, err := jsontext.NewDecoder(bytes.NewReader(stderr[at:])).ReadValue()
		if err != nil {
			continue
		}
		if e, err := protocol.ParseError(value); err == nil {
			return e, at, at + len(value)
		}
	}
	return nil, 0, 0
}

// lastObjectStart finds the last '{' of text before which its line has only
// spaces; -1 for none.
func lastObjectStart(text []byte) int {
	for end := len(text); ; {
		i := bytes.LastIndexByte(text[:end], '{')
		if i < 0 {
			return -1
		}
		before := bytes.TrimRight(text[:i], " \t\r")
		if len(before) == 0 || before[len(before)-1] == '\n' {
			return i
		}
		end = i
	}
}

// logText passes stderr on as it comes, but holds back from the first line on
// that may be the start of an error, until the process has ended and it is known.
type logText struct {
	w       io.Writer
	passed  int
	midLine bool
	held    bool
}

func newLogText(w io.Writer) *logText {
	if w == nil {
		return nil
	}
	return &logText{w: w}
}

// write looks at all of stderr so far and passes on what is new.
func (l *logText) write(all []byte) {
	for !l.held && l.passed < len(all) {
		rest := all[l.passed:]
		if !l.midLine {
			start := bytes.TrimLeft(rest, " \t\r")
			if len(start) == 0 {
				return
			}
			if l.held = start[0] == '{'; l.held {
				return
			}
		}
		end := bytes.IndexByte(rest, '\n') + 1
		l.midLine = end == 0
		if l.midLine {
			end = len(rest)
		}
		l.w.Write(rest[:end])
		l.passed += end
	}
}

// finish passes on the rest, without the error at [from, to).
func (l *logText) finish(all []byte, from, to int) {
	if l == nil {
		return
	}
	for _, part := range [][]byte{all[l.passed:max(l.passed, from)], all[max(l.passed, to):]} {
		if part = bytes.TrimSpace(part); len(part) > 0 {
			l.w.Write(append(bytes.Clone(part), '\n'))
		}
	}
}
