package cli

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// fullDisk takes some bytes and no more.
type fullDisk struct{ left int }

func (d *fullDisk) Write(p []byte) (int, error) {
	n := min(len(p), d.left)
	d.left -= n
	if n < len(p) {
		return n, errors.New("no space left on device")
	}
	return n, nil
}

// TestResult holds that a run whose result did not arrive has not succeeded.
func TestResult(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"version"}, {"version", "-o", "json"}, {"key", "list"}, {"plugin", "list"}, {"sign", "--help"}} {
		t.Run("CLI-49 output that is lost is an error: "+strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			env := Env{
				Args: append([]string{"signet"}, args...), Stdin: strings.NewReader(""), Stdout: &fullDisk{5}, Stderr: &stderr,
				Environ: []string{"NOTATION_CONFIG=" + filepath.Join(t.TempDir(), "config")},
			}
			if status := Run(t.Context(), env); status != 1 {
				t.Errorf("exit status %d", status)
			}
			if text := stderr.String(); strings.Count(text, "Error: ") != 1 || !strings.Contains(text, "no space left on device") {
				t.Errorf("standard error: %s", text)
			}
		})
	}
}
