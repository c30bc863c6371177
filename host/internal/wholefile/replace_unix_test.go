//go:build unix

package wholefile

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestReadWhileReplaced has a reader find a whole file, the old one or the new, however
// often it is replaced.
func TestReadWhileReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	text := strings.Repeat("x", 10_000)
	write := func() {
		if err := Replace(path, []byte(text), Replacement{Temp: "new-*"}); err != nil {
			t.Error(err)
		}
	}
	write()
	var writer sync.WaitGroup
	writer.Go(func() {
		for range 500 {
			write()
		}
	})
	for range 500 {
		if data, _, err := ReadRegular(path, 10_000, false); err != nil || string(data) != text {
			t.Errorf("%d bytes, %v", len(data), err)
		}
	}
	writer.Wait()
}
