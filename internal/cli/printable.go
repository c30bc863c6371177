package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// unprintable tells which characters of others are not shown as they are: those
// that steer a terminal, and those that hide or reorder what stands around them.
func unprintable(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co)
}

// printable is text of others on one line: what is unprintable or no UTF-8 shows
// as a replacement character.
func printable(text string) string { return replaceUnprintable(text, "") }

// printableText is printable for text of several lines, which also keeps its tabs.
func printableText(text string) string {
	return replaceUnprintable(strings.ReplaceAll(text, "\r\n", "\n"), "\n\t")
}

func replaceUnprintable(text, kept string) string {
	return strings.Map(func(r rune) rune {
		if unprintable(r) && !strings.ContainsRune(kept, r) {
			return utf8.RuneError
		}
		return r // of what is no UTF-8 this is a replacement character
	}, text)
}

// printableJSON writes the unprintable characters that JSON may have as they are,
// which stand in strings alone, in the form \u0000. It says the same.
func printableJSON(data []byte) []byte {
	var out bytes.Buffer
	for _, r := range string(data) {
		if r < unicode.MaxASCII || !unprintable(r) {
			out.WriteRune(r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&out, `\u%04x`, unit)
		}
	}
	return out.Bytes()
}

// lineWriter is standard error, to which plugins write, too. It passes on
// printableText and knows whether the last line is complete.
type lineWriter struct {
	mu   sync.Mutex
	w    io.Writer
	open bool
	// cut is the beginning of a character, or of a line's end, whose rest has not come.
	cut []byte
}

func (l *lineWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := append(l.cut, p...)
	end := len(text) - cutOff(text)
	text, l.cut = text[:end], bytes.Clone(text[end:])
	if len(text) > 0 {
		l.open = text[len(text)-1] != '\n'
		if _, err := io.WriteString(l.w, printableText(string(text))); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// cutOff is how many bytes at the end of text may go with what follows.
func cutOff(text []byte) int {
	if bytes.HasSuffix(text, []byte("\r")) {
		return 1
	}
	for i := 1; i < utf8.UTFMax && i <= len(text); i++ {
		if tail := text[len(text)-i:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return i
		}
	}
	return 0
}

// redirect lets what is written go to another writer, until the function returned
// is called.
func (l *lineWriter) redirect(to io.Writer) (restore func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.w
	l.w = to
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.w = before
	}
}

// endLine completes the last line.
func (l *lineWriter) endLine() {
	if l.open || len(l.cut) > 0 {
		fmt.Fprintln(l)
	}
}
