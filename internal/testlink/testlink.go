// Package testlink makes symbolic links for tests.
package testlink

import (
	"os"
	"runtime"
	"testing"
)

// Symlink makes a symbolic link at path. On Windows that takes a privilege; a test
// without it is skipped.
func Symlink(t testing.TB, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		if runtime.GOOS == "windows" {
			t.Skipf("symbolic links need a privilege here: %v", err)
		}
		t.Fatal(err)
	}
}
