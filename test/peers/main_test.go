package peers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/signet-project/signet/internal/testplugin"
)

// TestMain is also the credential helper of the tests and their plugins: a copy of
// this program under such a name behaves as one.
func TestMain(m *testing.M) {
	testplugin.Become(map[string]testplugin.Func{makesEnvelopes: makeEnvelope})
	if strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe") == helperBinary {
		os.Exit(helperMain(os.Args[1:], os.Stdin, os.Stdout))
	}
	logrus.SetOutput(io.Discard) // what the registry says about each request
	status := m.Run()
	if err := os.RemoveAll(binaries.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(status)
}

// binaries are the programs under test, built once a run.
var binaries struct {
	once sync.Once
	dir  string
	err  error
}

// binary returns the path of one of the project's programs.
func binary(t testing.TB, name string) string {
	t.Helper()
	binaries.once.Do(func() { binaries.dir, binaries.err = build() })
	if binaries.err != nil {
		t.Fatal(binaries.err)
	}
	return filepath.Join(binaries.dir, name+exe())
}

func build() (string, error) {
	dir, err := os.MkdirTemp("", "signet-peers-")
	if err != nil {
		return "", err
	}
	err = goBuild(dir+string(filepath.Separator), filepath.Join("..", ".."), "./cmd/...", "CGO_ENABLED=0")
	if err == nil {
		err = goBuild(dir+string(filepath.Separator), filepath.Join("..", ".."), "./cmd/notation-pkcs11")
	}
	return dir, err
}

// goBuild builds programs as they are released: without a C compiler, but for the one
// that loads modules.
func goBuild(out, dir, pkg string, env ...string) error {
	cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", out, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build of the programs under test: %w\n%s", err, out)
	}
	return nil
}

func exe() string {
	if runtime.GOOS == "windows" {
		return ".exe"
	}
	return ""
}

// command is the signet program with directories and an environment of its own.
type command struct {
	// config, libexec and docker are its directories; so is config notation-go's.
	config, libexec, docker string
	env                     []string
}

// newCommand makes the directories; config may exist already, or be empty.
func newCommand(t testing.TB, config string) *command {
	t.Helper()
	home := t.TempDir()
	c := &command{config: config, libexec: filepath.Join(home, "libexec"), docker: filepath.Join(home, "docker")}
	if c.config == "" {
		c.config = filepath.Join(home, "config")
	}
	for _, dir := range []string{c.config, c.libexec, c.docker} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	c.env = []string{
		"HOME=" + home, "USERPROFILE=" + home, "PATH=" + os.Getenv("PATH"), "SYSTEMROOT=" + os.Getenv("SYSTEMROOT"),
		"NOTATION_CONFIG=" + c.config, "NOTATION_LIBEXEC=" + c.libexec,
		"NOTATION_CACHE=" + filepath.Join(home, "cache"), "DOCKER_CONFIG=" + c.docker,
	}
	return c
}

// with returns the same program with more in its environment.
func (c *command) with(env ...string) *command {
	more := *c
	more.env = append(append([]string{}, c.env...), env...)
	return &more
}

// start prepares a run that nobody waits for yet.
func (c *command) start(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t, "signet"), args...)
	cmd.Env = c.env
	return cmd
}

// run runs signet and returns what it wrote and its exit status.
func (c *command) run(t testing.TB, stdin string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := c.start(t, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil {
		failed, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			t.Fatal(err)
		}
		status = failed.ExitCode()
	}
	return out.String(), errs.String(), status
}

// ok runs signet, which must succeed, and returns its standard output.
func (c *command) ok(t testing.TB, args ...string) string {
	t.Helper()
	stdout, stderr, status := c.run(t, "", args...)
	if status != 0 {
		t.Fatalf("signet %s: exit status %d\n%s%s", strings.Join(args, " "), status, stdout, stderr)
	}
	return stdout
}

// fails runs signet, which must refuse with an error that contains want.
func (c *command) fails(t testing.TB, want string, args ...string) {
	t.Helper()
	stdout, stderr, status := c.run(t, "", args...)
	if status != 1 || !strings.Contains(stderr, want) {
		t.Fatalf("signet %s: exit status %d, want 1 and %q\n%s%s", strings.Join(args, " "), status, want, stdout, stderr)
	}
}
