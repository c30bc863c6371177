package testservers

import (
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Screenshot draws a page in Chromium, in a window of that many pixels.
func Screenshot(t testing.TB, page []byte, width, height int) image.Image {
	t.Helper()
	path := filepath.Join(t.TempDir(), "page.png")
	chromium(t, page, fmt.Sprintf("--window-size=%d,%d", width, height), "--hide-scrollbars", "--screenshot="+path)
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	picture, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	return picture
}

// DOM returns the document that Chromium makes of a page, as HTML.
func DOM(t testing.TB, page []byte) string {
	t.Helper()
	return chromium(t, page, "--dump-dom")
}

// chromium opens a page, without any network, and returns what it printed. Among
// that are its own complaints.
func chromium(t testing.TB, page []byte, args ...string) string {
	t.Helper()
	browser := provisioned(t, "chromium")["chromium"]
	path := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(path, page, 0o600); err != nil {
		t.Fatal(err)
	}
	command := append([]string{browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--host-resolver-rules=MAP * ~NOTFOUND", "--user-data-dir=" + t.TempDir()}, args...)
	s := start(t, "chromium", nil, append(command, "file://"+path)...)
	select {
	case <-s.done:
	case <-time.After(patience):
		t.Fatalf("chromium has not drawn the page in %s:\n%s", patience, s.output.String())
	}
	return s.output.String()
}
