//go:build unix

package cli

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/signet-project/signet/internal/testplugin"
)

// TestPluginsEnd ends signet while a plugin hangs that has started other
// processes: it says so, and leaves none of them.
func TestPluginsEnd(t *testing.T) {
	t.Parallel()
	fork := testplugin.ForkPlain
	if runtime.GOOS == "linux" { // elsewhere a process can get away
		fork = testplugin.ForkDaemon
	}
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run("Hostile hangs at "+signal.String(), func(t *testing.T) {
			p := newPlace(t)
			p.plugin("slow", testplugin.Script{
				Pids: p.path("pids"), Any: &testplugin.Reply{Fork: fork, Hang: true, IgnoreTerm: true},
			})
			var stderr bytes.Buffer
			cmd := exec.CommandContext(t.Context(), "signet", "sign", "--oci-layout", "--plugin", "slow", "--id", "1", p.path("layout")+"@"+p.digest)
			cmd.Env = []string{"NOTATION_CONFIG=" + p.path("config"), "NOTATION_CACHE=" + p.path("cache"), "HOME=" + p.dir}
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "two processes", func() bool { return len(pids(t, p.path("pids"))) == 2 })
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			err := cmd.Wait()
			if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 || !strings.Contains(stderr.String(), "Error: ") {
				t.Errorf("%v\n%s", err, stderr.String())
			}
			for _, pid := range pids(t, p.path("pids")) {
				if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
					t.Errorf("process %d is left: %v", pid, err)
				}
			}
			if index, err := os.ReadFile(filepath.Join(p.path("layout"), "index.json")); err != nil || bytes.Contains(index, []byte("notary")) {
				t.Errorf("%v, %s", err, index)
			}
		})
	}
}

// pids reads the process ids in a file.
func pids(t *testing.T, path string) (list []int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, pid)
	}
	return list
}
