//go:build unix

package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// guide returns the command lines of the README's five-minute guide.
func guide(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(data), "\n## Five minutes\n")
	text, _, _ = strings.Cut(text, "\n## ")
	var script strings.Builder
	for line := range strings.Lines(text) {
		if code, ok := strings.CutPrefix(line, "    "); ok {
			script.WriteString(code)
		}
	}
	// The program is built already.
	built, found := strings.CutPrefix(script.String(), "make build\nexport PATH=\"$PWD/bin:$PATH\"\n")
	if !found {
		t.Fatalf("the guide begins %.100q", script.String())
	}
	return built
}

// TestReadme follows the README's five-minute guide word for word in a fresh home,
// with a registry of its own.
func TestReadme(t *testing.T) {
	t.Parallel()
	script := guide(t)
	registry := &testRegistry{contents: map[string]content{}, tags: map[string]string{}}
	image := registry.addArtifact("v1", "an image\n")
	t.Cleanup(registry.start())
	home := t.TempDir()
	digest, err := makeLayout(filepath.Join(home, "layout"), "in a layout\n")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-e", "-x", "-c", script)
	cmd.Dir = home
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "IMAGE=" + registry.name() + "@" + image, "LAYOUT=./layout@" + digest}
	out, err := cmd.CombinedOutput()
	text := string(out)
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	for want, times := range map[string]int{
		"Successfully signed": 3, "Successfully verified": 4, "acme.example: marked as default signing key": 1, "Successfully imported": 1,
		"Inspecting all signatures": 1, "Successfully initialized": 1, "0 errors, 0 warnings.": 1, "Warning": 0, "Error": 0,
	} {
		if got := strings.Count(text, want); got != times {
			t.Errorf("%q is printed %d times, not %d:\n%s", want, got, times, text)
		}
	}
	page, err := os.ReadFile(filepath.Join(home, "custody.html"))
	if err != nil {
		t.Fatal(err)
	}
	shows(t, readPage(t, string(page)), "✓ Verified by statement all", "signed by CN=acme.example,O=Notary")
	for _, file := range []string{"localkeys/acme.example.key", "trustpolicy.oci.json", "trustpolicy.blob.json", "truststore/x509/ca/acme.example/acme.example.crt"} {
		if _, err := os.Stat(filepath.Join(home, ".config/notation", file)); err != nil {
			if _, elsewhere := os.Stat(filepath.Join(home, "Library/Application Support/notation", file)); elsewhere != nil {
				t.Error(err)
			}
		}
	}
}
