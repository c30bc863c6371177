package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocs holds that what is committed is what make docs writes.
func TestDocs(t *testing.T) {
	pages, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join("..", "..", "..", "docs")
	for name, page := range pages {
		committed, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil || !bytes.Equal(bytes.ReplaceAll(committed, []byte("\r\n"), []byte("\n")), page) {
			t.Errorf("docs/%s is not what the help says: run make docs", name)
		}
	}
	for _, pattern := range []string{"cli/*", "man/*"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			name, _ := filepath.Rel(dir, file)
			if pages[filepath.ToSlash(name)] == nil {
				t.Errorf("docs/%s is of no command: run make docs", filepath.ToSlash(name))
			}
		}
	}
}

func TestPages(t *testing.T) {
	pages, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	if len(pages) < 80 || len(pages)%2 != 0 {
		t.Errorf("%d pages", len(pages))
	}
	home, _ := os.UserHomeDir()
	for name, page := range pages {
		text := string(page)
		if strings.Contains(text, home+"/") || strings.Contains(text, "0001") || strings.Contains(text, "Auto generated") {
			t.Errorf("%s depends on where and when it was made", name)
		}
		if strings.HasSuffix(name, "/signet-verify.1") && !strings.Contains(text, "<reference>") {
			t.Errorf("%s has no angle brackets", name)
		}
		if strings.HasPrefix(name, "man/") && !strings.HasPrefix(text, ".nh\n.TH \"SIGNET") {
			t.Errorf("%s begins %.40q", name, text)
		}
	}
	again, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	for name := range pages {
		if !bytes.Equal(pages[name], again[name]) {
			t.Errorf("%s differs each time", name)
		}
	}
	for _, want := range []string{"cli/signet.md", "cli/signet-blob-policy-init.md", "man/signet-verify.1", "man/signet-completion-bash.1"} {
		if pages[want] == nil {
			t.Errorf("no %s", want)
		}
	}
}
