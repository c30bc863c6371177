package oneline

import (
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, of, words string }{
		{"", "", ""},
		{"plain", "plain", "plain"},
		{" two\r\nlines\x1b[2J \u202e", "two  lines [2J", "two lines [2J"},
		{"ä  b", "ä  b", "ä b"},
		{"a\xffb", "a\ufffdb", "a\ufffdb"},
		{strings.Repeat("x", 20), strings.Repeat("x", 20), strings.Repeat("x", 20)},
		{strings.Repeat("x", 21), strings.Repeat("x", 20) + "…", strings.Repeat("x", 20) + "…"},
		{"x" + strings.Repeat("ä", 10), "x" + strings.Repeat("ä", 9) + "…", "x" + strings.Repeat("ä", 9) + "…"},
		{"x" + strings.Repeat(" ", 20) + "y", "x" + strings.Repeat(" ", 19) + "…", "x y"},
	} {
		if got := Of(c.text, 20); got != c.of {
			t.Errorf("Of(%q) is %q, want %q", c.text, got, c.of)
		}
		if got := Words(c.text, 20); got != c.words {
			t.Errorf("Words(%q) is %q, want %q", c.text, got, c.words)
		}
	}
}
