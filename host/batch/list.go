package batch

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxLine bounds a line of a list, in bytes.
	MaxLine = 8 << 10
	// MaxEntries bounds the entries of a list that belong to its shard.
	MaxEntries = 1 << 20
)

// List collects the entries of a shard in the order in which they come, each once.
type List struct {
	shard   Shard
	entries []string
	known   map[string]struct{}
	read    int
	limit   int
}

// NewList returns an empty list that keeps what belongs to shard.
func NewList(shard Shard) *List {
	return &List{shard: shard, known: map[string]struct{}{}, limit: MaxEntries}
}

// Entries returns what the list keeps. It belongs to the list.
func (l *List) Entries() []string { return l.entries }

// Read is how many entries came, kept or not.
func (l *List) Read() int { return l.read }

// Add takes an entry, unless it belongs to another shard or is there already.
func (l *List) Add(entry string) error {
	l.read++
	if !l.shard.Has(entry) {
		return nil
	}
	if _, twice := l.known[entry]; twice {
		return nil
	}
	if len(l.entries) == l.limit {
		return fmt.Errorf("more than %d entries: split the list, or run it in more shards", l.limit)
	}
	l.known[entry] = struct{}{}
	l.entries = append(l.entries, entry)
	return nil
}

// ReadFrom adds the entries of a text, one a line. Space around them, blank lines
// and lines that begin with # are passed over. It returns when ctx is done, even
// while it waits for input. Errors name the line.
func (l *List) ReadFrom(ctx context.Context, text io.Reader) error {
	type line struct {
		text string
		err  error
	}
	lines := make(chan line)
	go func() {
		defer close(lines)
		send := func(one line) bool {
			select {
			case lines <- one:
				return true
			case <-ctx.Done():
				return false
			}
		}
		scanner := bufio.NewScanner(text)
		scanner.Buffer(make([]byte, 0, 4096), MaxLine)
		for scanner.Scan() {
			if !send(line{text: string(bytes.TrimSpace(scanner.Bytes()))}) {
				return
			}
		}
		if err := scanner.Err(); err != nil {
			send(line{err: err})
		}
	}()
	for number := 1; ; number++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case one, more := <-lines:
			if !more {
				return nil
			}
			if err := l.addLine(one.text, one.err); err != nil {
				return fmt.Errorf("line %d: %w", number, err)
			}
		}
	}
}

func (l *List) addLine(text string, err error) error {
	switch {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("longer than %d bytes", MaxLine)
	case err != nil:
		return err
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return errors.New("not text: a list has one reference a line")
	case text == "" || text[0] == '#':
		return nil
	}
	return l.Add(text)
}
