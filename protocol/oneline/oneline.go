// Package oneline makes texts of others fit for a message, a log or a report.
package oneline

import (
	"strings"
	"unicode"
)

// Of returns a text with blanks for what does not print, such as ends of lines and what
// steers a terminal. Of more than limit bytes it returns the beginning, and a sign that
// it was cut.
func Of(text string, limit int) string {
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text))
}

// Words is Of with one blank in place of several.
func Words(text string, limit int) string {
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) })
	return Of(strings.Join(words, " "), limit)
}
