package doctor

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/signet-project/signet/host/trust"
)

// nobody has no right to what belongs to root.
const nobody = 65534

// TestUnreadable: what may not be read is neither put back, replaced nor corrected.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	for path, area := range map[string]Area{
		"config.json":                      Configuration,
		trust.OCIPolicyFile:                Policies,
		"truststore/x509":                  Stores,
		"truststore/x509/ca":               Stores,
		"truststore/x509/ca/acme":          Stores,
		"truststore/x509/ca/acme/root.crt": Stores,
		"signingkeys.json":                 Keys,
		"pair.key":                         Keys,
		"pair.crt":                         Keys,
	} {
		t.Run(path, func(t *testing.T) {
			h := newHome(t)
			if err := os.Chmod(h.path(path), 0); err != nil {
				t.Fatal(err)
			}
			broken := h.examineAsUser()
			if len(broken) == 0 || slices.ContainsFunc(broken, func(f Finding) bool { return f.Area != area || f.Remedy != mayRead }) {
				t.Errorf("%+v", broken)
			}
			if err := os.Chmod(h.path(path), 0o700); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// examineAsUser returns what is broken for somebody who is not root, and may read a file
// if its mode says so.
func (h *home) examineAsUser() (broken []Finding) {
	h.Helper()
	if os.Geteuid() == 0 {
		h.giveAway()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if os.Geteuid() == 0 {
			runtime.LockOSThread() // ends with the goroutine
			if err := syscall.Setfsuid(nobody); err != nil {
				h.Error(err)
			}
		}
		broken = slices.DeleteFunc(h.examine(&Doctor{}), func(f Finding) bool { return f.Severity != Broken })
	}()
	<-done
	return broken
}

// giveAway makes nobody the owner.
func (h *home) giveAway() {
	err := filepath.WalkDir(filepath.Dir(h.dirs.Config), func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, nobody, nobody)
	})
	if err != nil {
		h.Fatal(err)
	}
}
