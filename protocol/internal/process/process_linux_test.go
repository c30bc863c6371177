package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestChildren holds what decides whether anybody looks for descendants.
func TestChildren(t *testing.T) {
	want := func(what string, run, left bool) {
		t.Helper()
		if childrenRun() != run || childrenLeft() != left {
			t.Errorf("%s: run %v, left %v", what, childrenRun(), childrenLeft())
		}
	}
	want("none", false, false)
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	want("one that runs", true, true)
	if err := cmd.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	want("one that is stopped", true, true)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	want("a zombie", false, true)
	cmd.Wait()
	want("none again", false, false)
}

// TestDescendants lets a process leave others: zombies, since sleep, which the shell
// becomes, does not wait for the child that the shell started; and such as were started
// at once and got away from its process group.
func TestDescendants(t *testing.T) {
	scripts := []string{"exec true", "true & exec sleep 0.1", "sleep 60 & exec true", "setsid sleep 60 & true & exec sleep 0.1"}
	for range 10 {
		scripts = append(scripts, "setsid sleep 60 & exec sleep 0.01")
	}
	for _, script := range scripts {
		running, err := Start(t.Context(), exec.Command("sh", "-c", script), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := running.Wait(); err != nil {
			t.Errorf("%s: %v", script, err)
		}
		if childrenLeft() && !untraceable.Load() {
			t.Errorf("%s: children are left", script)
		}
	}
}

func TestGainsPrivileges(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := write("plain", "\x7fELF", 0o700)
	setuid := write("setuid", "\x7fELF", 0o700|os.ModeSetuid)
	script := write("script", "#! "+plain+" -x\n", 0o700)
	for path, want := range map[string]bool{
		plain:  false,
		setuid: true,
		write("setgid", "\x7fELF", 0o700|os.ModeSetgid): true,
		script: false,
		write("privileged script", "#!"+setuid+"\n", 0o700):   true,
		write("script of a script", "#!"+script+"\n", 0o700):  true,
		write("script of nothing", "#!"+dir+"/none\n", 0o700): true,
		filepath.Join(dir, "none"):                            true,
	} {
		if got := gainsPrivileges(exec.Command(path)); got != want {
			t.Errorf("%s: %v", filepath.Base(path), got)
		}
		file, err := os.Open(path)
		if err != nil {
			continue
		}
		cmd := exec.Command(path)
		RunFile(cmd, file)
		if got := gainsPrivileges(cmd); got != want {
			t.Errorf("%s, open: %v", filepath.Base(path), got)
		}
		file.Close()
	}
}
