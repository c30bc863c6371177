package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// page is what counts of a Markdown file: its links, and the anchors of its headings.
type page struct {
	links, anchors []string
}

var (
	linkPattern = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	codePattern = regexp.MustCompile("`[^`]*`")
	textPattern = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

func readPage(t *testing.T, path string) page {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var p page
	fenced := false
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		if fenced || strings.HasPrefix(line, "    ") {
			continue
		}
		if marks := strings.TrimLeft(line, "#"); marks != line && strings.HasPrefix(marks, " ") {
			p.anchors = append(p.anchors, p.newAnchor(anchor(strings.TrimSpace(marks))))
		}
		for _, match := range linkPattern.FindAllStringSubmatch(codePattern.ReplaceAllString(line, "`"), -1) {
			p.links = append(p.links, match[1])
		}
	}
	if fenced {
		t.Errorf("%s: a block of code does not end", path)
	}
	return p
}

// newAnchor tells the anchors of headings of the same text apart.
func (p *page) newAnchor(name string) string {
	free := name
	for n := 1; slices.Contains(p.anchors, free); n++ {
		free = fmt.Sprintf("%s-%d", name, n)
	}
	return free
}

// anchor is the name that sites of repositories give a heading.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, textPattern.ReplaceAllString(heading, "$1"))
}

// broken says what is wrong with a link on the page at path; empty for nothing. Links
// to other sites are not looked at.
func broken(pages map[string]page, path, link string) string {
	if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
		return ""
	}
	file, fragment, _ := strings.Cut(link, "#")
	target := path
	if file != "" {
		target = filepath.Join(filepath.Dir(path), filepath.FromSlash(file))
	}
	if _, err := os.Stat(target); err != nil {
		return "there is no such file"
	}
	if fragment != "" && !slices.Contains(pages[target].anchors, fragment) {
		return "there is no such heading"
	}
	return ""
}

// TestLinks follows the relative links of every page of the repository.
func TestLinks(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	pages, links := map[string]page{}, 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if entry != nil && entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".." || slices.Contains([]string{"bin", "dist", "testdata"}, entry.Name())) {
			return filepath.SkipDir
		}
		if err == nil && filepath.Ext(path) == ".md" {
			pages[path] = readPage(t, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, p := range pages {
		for _, link := range p.links {
			links++
			if reason := broken(pages, path, link); reason != "" {
				t.Errorf("%s links to %s: %s", strings.TrimPrefix(path, root), link, reason)
			}
		}
	}
	if len(pages) < 50 || links < 100 {
		t.Errorf("only %d links on %d pages were found", links, len(pages))
	}
}

func TestBrokenLinks(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "page.md")
	text := "# One `two`: [three](other.md)\n\n# Twice\n# Twice\n`[no](link.md)`\n```\n# no\n[no](link.md)\n```\n[a](b.md) [c](#d)\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := readPage(t, path)
	if want := []string{"one-two-three", "twice", "twice-1"}; !slices.Equal(p.anchors, want) {
		t.Errorf("anchors %q, want %q", p.anchors, want)
	}
	if want := []string{"other.md", "b.md", "#d"}; !slices.Equal(p.links, want) {
		t.Errorf("links %q, want %q", p.links, want)
	}
	for link, bad := range map[string]bool{"b.md": true, "#d": true, "page.md#three": true, "#twice-1": false, "page.md": false, ".": false, "https://example.com/#x": false} {
		if (broken(map[string]page{path: p}, path, link) != "") != bad {
			t.Error(link)
		}
	}
}
