package conformance_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/signet-project/signet/host/conformance"
)

// TestSpec holds the clauses and the text together: the table in the section
// Conformance, the sections that clauses refer to, and the requirement rows.
func TestSpec(t *testing.T) {
	t.Parallel()
	var got []string
	for _, c := range conformance.Clauses() {
		got = append(got, fmt.Sprintf("| `%s` | %s | %s |", c.ID, c.Level, c.Text))
	}
	var want []string
	for _, line := range section(t, "plugin-protocol.md", "Conformance") {
		if strings.HasPrefix(line, "| `") {
			want = append(want, line)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the table has\n%s\nthe kit\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
	table := strings.Join(lines(t, "requirements.tsv"), "\n")
	for _, c := range conformance.Clauses() {
		file, anchor, _ := strings.Cut(c.Section, "#")
		if !slices.Contains(anchors(t, file), anchor) {
			t.Errorf("%s refers to %s, which is not there", c.ID, c.Section)
		}
		for _, row := range c.Rows {
			if !strings.Contains(table, row+"\t") {
				t.Errorf("%s refers to %s, which is not there", c.ID, row)
			}
		}
	}
}

func lines(t *testing.T, file string) []string {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "spec", file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []string
	scanner := bufio.NewScanner(f)
	for scanner.Scan() {
		all = append(all, scanner.Text())
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// section returns the lines under a heading.
func section(t *testing.T, file, heading string) []string {
	t.Helper()
	var found []string
	inside := false
	for _, line := range lines(t, file) {
		if strings.HasPrefix(line, "#") {
			inside = strings.TrimLeft(line, "# ") == heading
		} else if inside {
			found = append(found, line)
		}
	}
	return found
}

var notInAnchors = regexp.MustCompile(`[^a-z0-9 _-]`)

// anchors lists the headings of a page as links name them.
func anchors(t *testing.T, file string) []string {
	t.Helper()
	var found []string
	for _, line := range lines(t, file) {
		if strings.HasPrefix(line, "#") {
			text := notInAnchors.ReplaceAllString(strings.ToLower(strings.TrimLeft(line, "# ")), "")
			found = append(found, strings.ReplaceAll(text, " ", "-"))
		}
	}
	return found
}
