package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// crashVariable makes the test binary a program that works on a plugin directory
// and is killed in the middle.
const crashVariable = "SIGNET_TEST_CRASH"

// crashPlan says what that program does.
type crashPlan struct {
	Dir, File, Uninstall, Step string
	// Renames makes do without exchanging directories in one step.
	Renames bool
	// Fetched has the file fetched as out of an artifact; it dies in the middle of
	// that with the step "fetching".
	Fetched bool
}

// die kills this process.
func die() {
	self, _ := os.FindProcess(os.Getpid())
	self.Kill()
	select {}
}

// request is what the program installs.
func (p crashPlan) request() InstallRequest {
	if !p.Fetched {
		return InstallRequest{File: p.File}
	}
	return InstallRequest{Label: Label{Name: "x"}, Fetch: func(_ context.Context, w io.Writer) error {
		data, err := os.ReadFile(p.File)
		if err != nil {
			return err
		}
		if _, err = w.Write(data[:len(data)/2]); err == nil && p.Step == "fetching" {
			die()
		}
		return errors.Join(err, second(w.Write(data[len(data)/2:])))
	}}
}

func crash() {
	var plan crashPlan
	if err := json.Unmarshal([]byte(os.Getenv(crashVariable)), &plan); err != nil {
		panic(err)
	}
	m := NewManager(plan.Dir, Options{})
	if plan.Renames {
		m.exchange = func(string, string) error { return errNoExchange }
	}
	m.step = func(step string) {
		if step == plan.Step {
			die()
		}
	}
	var err error
	if plan.Uninstall != "" {
		err = m.Uninstall(context.Background(), plan.Uninstall)
	} else {
		_, err = m.Install(context.Background(), plan.request())
	}
	if err != nil {
		panic(err)
	}
	os.Exit(0)
}

// killAt runs a plan in a process of its own, which must die of it.
func killAt(t *testing.T, plan crashPlan) {
	t.Helper()
	data, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), crashVariable+"="+string(data))
	output, err := cmd.CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.Exited() {
		t.Fatalf("not killed at %q: %v\n%s", plan.Step, err, output)
	}
}

func TestKilled(t *testing.T) {
	needsScripts(t)
	t.Parallel()
	inOneStep := []string{"unpacked", "examined", "both pinned", "swapped", "new pinned"}
	byRenames := slices.Concat(inOneStep[:3], []string{"old moved away"}, inOneStep[3:])
	for _, renames := range []bool{false, true} {
		steps := inOneStep
		if renames {
			steps = byRenames
		}
		for i, step := range steps {
			name := step
			if renames {
				name += ", without exchange"
			}
			swapped := i >= slices.Index(steps, "swapped") || step == "old moved away" // the journal completes that one
			t.Run("upgrade of a pinned plugin: "+name, func(t *testing.T) {
				dir := tempDir(t)
				mustInstall(t, NewManager(dir, Options{}), InstallRequest{File: scriptPackage(t, "1.0.0")})
				killAt(t, crashPlan{Dir: dir, File: scriptPackage(t, "2.0.0"), Step: step, Renames: renames})
				m := NewManager(dir, Options{RequirePins: true})
				want := "1.0.0"
				if swapped {
					want = "2.0.0"
				}
				if got := versionOf(t, m, "x"); got != want {
					t.Error("version", got)
				}
				checkRecovers(t, m, "3.0.0")
			})
			t.Run("upgrade of an unpinned plugin: "+name, func(t *testing.T) {
				dir := tempDir(t)
				writePlugin(t, dir, "x", "1.0.0", 0o755)
				killAt(t, crashPlan{Dir: dir, File: scriptPackage(t, "2.0.0"), Step: step, Renames: renames})
				var warned []error
				m := NewManager(dir, Options{Warn: func(err error) { warned = append(warned, err) }})
				if got := versionOf(t, m, "x"); swapped != (got == "2.0.0") || !swapped != (got == "1.0.0") {
					t.Error("version", got)
				}
				if unpinned := len(warned) > 0; unpinned == swapped {
					t.Error("nobody accepted the old one:", warned)
				}
				_, err := NewManager(dir, Options{RequirePins: true}).Get(t.Context(), "x")
				if (err == nil) != swapped {
					t.Error(err)
				}
				checkRecovers(t, m, "3.0.0")
			})
			if step == "old moved away" {
				continue
			}
			t.Run("first installation: "+name, func(t *testing.T) {
				dir := tempDir(t)
				killAt(t, crashPlan{Dir: dir, File: scriptPackage(t, "1.0.0"), Step: step, Renames: renames})
				m := NewManager(dir, Options{RequirePins: true})
				_, err := m.metadata(t.Context(), "x")
				if journaled := i >= slices.Index(steps, "both pinned"); journaled != (err == nil) || !journaled && !errors.Is(err, fs.ErrNotExist) {
					t.Error(err)
				}
				checkRecovers(t, m, "2.0.0")
			})
		}
	}
	// An artifact's package takes the same way once it is fetched.
	for i, step := range slices.Concat([]string{"fetching"}, inOneStep) {
		t.Run("upgrade from an artifact: "+step, func(t *testing.T) {
			m := NewManager(tempDir(t), Options{RequirePins: true})
			mustInstall(t, m, InstallRequest{File: scriptPackage(t, "1.0.0")})
			killAt(t, crashPlan{Dir: m.dir, File: scriptPackage(t, "2.0.0"), Fetched: true, Step: step})
			if len(downloads(t, m)) != 1 {
				t.Error("what was being fetched is not where it is looked for")
			}
			want := "1.0.0"
			if i > slices.Index(inOneStep, "swapped") {
				want = "2.0.0"
			}
			if got := versionOf(t, m, "x"); got != want {
				t.Error("version", got)
			}
			checkRecovers(t, m, "3.0.0")
		})
	}
	t.Run("the next download, though it fails, removes what was left of one", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		killAt(t, crashPlan{Dir: m.dir, File: scriptPackage(t, "1.0.0"), Fetched: true, Step: "fetching"})
		left := downloads(t, m)
		_, err := m.Install(t.Context(), InstallRequest{Fetch: func(context.Context, io.Writer) error {
			if now := downloads(t, m); len(left) != 1 || len(now) != 1 || now[0] == left[0] {
				t.Errorf("%q, then %q", left, now)
			}
			return io.ErrUnexpectedEOF
		}})
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
		checkClean(t, m)
	})
	t.Run("a download that goes on is left alone", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		result := mustInstall(t, m, InstallRequest{Fetch: func(_ context.Context, w io.Writer) error {
			data, err := os.ReadFile(scriptPackage(t, "1.0.0"))
			if err != nil {
				return err
			}
			_, err = w.Write(data)
			other := NewManager(m.dir, Options{})
			mustInstall(t, other, InstallRequest{File: scriptPackage(t, "0.9.0")})
			if len(downloads(t, m)) != 1 {
				t.Error("it was removed")
			}
			return err
		}})
		if result.Previous != "0.9.0" || result.Version != "1.0.0" {
			t.Errorf("%+v", result)
		}
		checkClean(t, m)
	})
	for _, step := range []string{"moved away", "unpinned"} {
		t.Run("uninstall: "+step, func(t *testing.T) {
			m := NewManager(tempDir(t), Options{RequirePins: true})
			mustInstall(t, m, InstallRequest{File: scriptPackage(t, "1.0.0")})
			killAt(t, crashPlan{Dir: m.dir, Uninstall: "x", Step: step})
			if _, err := m.Get(t.Context(), "x"); !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
			checkRecovers(t, m, "1.0.0")
		})
	}
}

// downloads are the names of the directories of downloads.
func downloads(t *testing.T, m *Manager) []string {
	t.Helper()
	return slices.DeleteFunc(listing(t, m.dir), func(name string) bool { return !strings.HasPrefix(name, downloadPrefix) })
}

// checkRecovers installs another version on top of what a killed program left.
func checkRecovers(t *testing.T, m *Manager, version string) {
	t.Helper()
	mustInstall(t, m, InstallRequest{File: scriptPackage(t, version)})
	if got := versionOf(t, m, "x"); got != version {
		t.Error("version", got)
	}
	lock, err := m.store.load()
	if err != nil || len(lock.Plugins) != 1 || len(lock.Plugins["x"].Pins) != 1 || lock.Plugins["x"].Staged != "" {
		t.Errorf("%+v, %v", lock, err)
	}
	checkClean(t, m)
}

func TestFailedSwap(t *testing.T) {
	needsScripts(t)
	t.Parallel()
	m := NewManager(tempDir(t), Options{RequirePins: true})
	mustInstall(t, m, InstallRequest{File: scriptPackage(t, "1.0.0")})
	before, err := os.ReadFile(filepath.Join(m.dir, lockFileName))
	if err != nil {
		t.Fatal(err)
	}
	m.exchange = func(string, string) error { return fs.ErrPermission }
	if _, err := m.Install(t.Context(), InstallRequest{File: scriptPackage(t, "2.0.0")}); !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
	after, err := os.ReadFile(filepath.Join(m.dir, lockFileName))
	if err != nil || string(before) != string(after) {
		t.Errorf("lock file changed: %v\n%s", err, after)
	}
	if version := versionOf(t, m, "x"); version != "1.0.0" {
		t.Error(version)
	}
	checkClean(t, m)
}
