package plugin

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestReplacedOnDiskLinux holds where the very file that was hashed is run; elsewhere
// it is the path.
func TestReplacedOnDiskLinux(t *testing.T) {
	t.Parallel()
	t.Run("Hostile replaced on disk between check and run", func(t *testing.T) {
		m := pinnedAs(t, Options{}, true)
		client, err := m.Get(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		trace := filepath.Join(tempDir(t), "ran")
		m.step = func(string) {
			evil := write(t, filepath.Join(tempDir(t), "evil"), []byte("#!/bin/sh\ntouch "+trace+"\n"), 0o755)
			if err := os.Rename(evil, filepath.Join(m.dir, "x", BinaryName("x"))); err != nil {
				t.Error(err)
			}
		}
		if _, err := client.GetMetadata(t.Context(), nil); err != nil {
			t.Error("the file that was hashed should have run:", err)
		}
		if _, err := os.Stat(trace); err == nil {
			t.Error("the replacement was run")
		}
		m.step = func(string) {}
		_, err = client.GetMetadata(t.Context(), nil)
		if _, ok := errors.AsType[*PinError](err); !ok {
			t.Error(err)
		}
	})
}
