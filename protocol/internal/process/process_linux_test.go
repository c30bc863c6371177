package process

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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

// command makes a command of a program and its arguments that nobody listens to.
func command(t *testing.T, args ...string) *Command {
	path, err := exec.LookPath(args[0])
	if err != nil {
		t.Error(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Error(err)
	}
	t.Cleanup(func() { null.Close() })
	return &Command{Path: path, Args: args, stdin: null, stdout: null, stderr: null}
}

// start starts a program that nobody listens to.
func start(t *testing.T, args ...string) (*Process, error) {
	return Start(t.Context(), command(t, args...), nil)
}

// TestEnd compares how processes end with what package os says of it.
func TestEnd(t *testing.T) {
	for _, script := range []string{"exit 0", "exit 3", "kill -KILL $$", "kill -INT $$", "ulimit -c unlimited; kill -SEGV $$"} {
		cmd := exec.Command("sh", "-c", script)
		cmd.Dir = t.TempDir()
		_ = cmd.Run()
		state := cmd.ProcessState
		running, err := start(t, "sh", "-c", "cd '"+cmd.Dir+"'; "+script)
		if err != nil {
			t.Fatal(err)
		}
		end, err := running.Wait()
		if want := (End{state.ExitCode(), state.String(), script == "kill -INT $$"}); end != want || err != nil {
			t.Errorf("%s: %+v, %v, want %+v", script, end, err, want)
		}
	}
}

// TestEnviron holds that of a variable that is given twice the last counts, and that
// without any the process has ours.
func TestEnviron(t *testing.T) {
	t.Setenv("OURS", "yes")
	for want, env := range map[string][]string{"yes,": nil, ",second": {"A=first", "A=second"}} {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer read.Close()
		c := command(t, "sh", "-c", "echo $OURS,$A")
		c.Env, c.stdout = env, write
		running, err := Start(t.Context(), c, nil)
		write.Close()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(read); string(got) != want+"\n" || err != nil {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
		running.Wait()
	}
}

// TestMalformedEnviron holds that nothing of an environment is left out in silence.
func TestMalformedEnviron(t *testing.T) {
	c := command(t, "true")
	c.Env = []string{"A=1", "B=2\x003"}
	if _, err := Start(t.Context(), c, nil); err == nil || !strings.Contains(err.Error(), `"B"`) {
		t.Error(err)
	}
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
		running, err := start(t, "sh", "-c", script)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := running.Wait(); err != nil {
			t.Errorf("%s: %v", script, err)
		}
		if childrenLeft() {
			t.Errorf("%s: children are left", script)
		}
	}
}

// TestConfirmed reads lists of children of which some end meanwhile.
func TestConfirmed(t *testing.T) {
	for name, c := range map[string]struct {
		readings [][]int
		want     []int
	}{
		"none":                               {[][]int{nil, nil}, nil},
		"nothing changes":                    {[][]int{{1, 2, 3}, {1, 2, 3}}, []int{1, 2, 3}},
		"one is new":                         {[][]int{{1}, {1, 2}}, []int{1}},
		"2 ended, and 3 was passed over":     {[][]int{{1, 2, 4}, {1, 3, 4}, {1, 3, 4}}, []int{1, 3, 4}},
		"the only one ended before the next": {[][]int{{1}, {2}, {2}}, []int{2}},
	} {
		t.Run(name, func(t *testing.T) {
			got := confirmed(func() []int {
				next := c.readings[0]
				c.readings = c.readings[1:]
				return next
			})
			if !slices.Equal(got, c.want) || len(c.readings) != 0 {
				t.Errorf("got %v, with %v not read", got, c.readings)
			}
		})
	}
	t.Run("children that come and go all the time", func(t *testing.T) {
		n := 0
		if got := confirmed(func() []int { n++; return []int{n} }); !slices.Equal(got, []int{n}) {
			t.Error(got, n)
		}
	})
}

// TestBrand holds who has a brand: what is started here, what that starts, and nobody
// else.
func TestBrand(t *testing.T) {
	other := exec.Command("sleep", "60")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	plugin := command(t, "sh", "-c", "env -i setsid sleep 60 & echo $!; wait")
	plugin.stdout = write
	running, err := Start(t.Context(), plugin, nil)
	write.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Error(err)
	}
	var below int
	if _, err := fmt.Fscan(read, &below); err != nil {
		t.Error(err)
	}
	if !isBranded(running.Pid()) || !isBranded(below) {
		t.Errorf("the plugin %v, its child %v", isBranded(running.Pid()), isBranded(below))
	}
	if isBranded(other.Process.Pid) || isBranded(os.Getpid()) || bornBranded() {
		t.Errorf("another child %v, we %v", isBranded(other.Process.Pid), isBranded(os.Getpid()))
	}
	running.Kill()
	running.Wait()
	other.Process.Kill()
	other.Wait()
}

// earlyVariable makes the test binary a process that wants to be told early when its
// memory is broken, and that ends with its stdin.
const earlyVariable = "SIGNET_TEST_EARLY"

func init() { // on the first thread
	if os.Getenv(earlyVariable) != "" {
		const set, early = 1, 1
		fmt.Println(unix.Prctl(unix.PR_MCE_KILL, set, early, 0, 0))
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
}

// TestEarly holds that a child which made the choice that a brand is made of, for itself,
// is not taken for one of a plugin's.
func TestEarly(t *testing.T) {
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), earlyVariable+"=1")
	stdin, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	var said string
	if _, err := fmt.Fscan(stdout, &said); err != nil || said != "<nil>" {
		t.Error(said, err)
	}
	running, err := start(t, "true")
	if err != nil {
		t.Fatal(err)
	}
	running.Wait()
	stdin.Close()
	if err := other.Wait(); err != nil {
		t.Error("it was killed:", err)
	}
}

// TestBrandedNever holds that we do not look branded while we start others: a host that
// started us would take us for what a plugin of its own has left.
func TestBrandedNever(t *testing.T) {
	var calls sync.WaitGroup
	over := make(chan struct{})
	for range 4 {
		calls.Go(func() {
			for range 100 {
				running, err := start(t, "true")
				if err != nil {
					t.Error(err)
					return
				}
				running.Wait()
			}
		})
	}
	go func() {
		calls.Wait()
		close(over)
	}()
	for {
		select {
		case <-over:
			return
		default:
		}
		if isBranded(os.Getpid()) {
			t.Error("branded")
			<-over
			return
		}
	}
}

// TestUnmarked runs many at a time where nothing gets a mark: what they leave is found,
// at the latest when the last of them has ended, and none takes another's end for its own.
func TestUnmarked(t *testing.T) {
	before := lastMark.mark
	lastMark.mark = mark{1, 1} // the last one
	t.Cleanup(func() { lastMark.mark = before })
	for range 50 {
		var calls sync.WaitGroup
		for _, script := range []string{"true", "true", "setsid sleep 60 &", "setsid sleep 60 &"} {
			calls.Go(func() {
				running, err := start(t, "sh", "-c", script)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := running.Wait(); err != nil {
					t.Errorf("%s: %v", script, err)
				}
			})
		}
		calls.Wait()
		if childrenLeft() {
			t.Fatal("children are left")
		}
	}
}

// TestOwnChildren runs this test as a plugin that is a host itself: what it starts beside
// its own plugins stays alive when they end.
func TestOwnChildren(t *testing.T) {
	const nested, alive = "SIGNET_TEST_NESTED", "alive"
	if os.Getenv(nested) == "" {
		output, err := os.Create(filepath.Join(t.TempDir(), "output"))
		if err != nil {
			t.Fatal(err)
		}
		defer output.Close()
		plugin := command(t, os.Args[0], "-test.run=^TestOwnChildren$")
		plugin.Env = append(os.Environ(), nested+"=1")
		plugin.stdout = output
		running, err := Start(t.Context(), plugin, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := running.Wait(); err != nil {
			t.Error(err)
		}
		if text, err := os.ReadFile(output.Name()); err != nil || !strings.Contains(string(text), alive) {
			t.Errorf("the plugin says %q, %v", text, err)
		}
		return
	}
	own := exec.Command("sleep", "60")
	if err := own.Start(); err != nil {
		t.Fatal(err)
	}
	running, err := start(t, "true")
	if err != nil {
		t.Fatal(err)
	}
	running.Wait()
	if state := stat(own.Process.Pid).state; bornBranded() && state != "" && state != "Z" {
		fmt.Println(alive)
	}
	own.Process.Kill()
	own.Wait()
}
