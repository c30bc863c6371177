package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/plugins/example"
	"github.com/signet-project/signet/protocol"
)

func TestMain(m *testing.M) {
	testplugin.Become(pluginFuncs)
	testscript.Main(m, map[string]func(){
		"signet":                 runSignet,
		"notation":               runSignet,
		"notation-example":       func() { protocol.Serve(example.New(os.Getenv)) },
		"docker-credential-fake": runCredentialHelper,
	})
}

// runSignet is the program as scripts see it. A failure that does not keep to
// the rules (exit status 1 and one line "Error: …") ends with status 0, which a
// script that expects a failure takes for one.
func runSignet() {
	var stderr strings.Builder
	defer func() {
		if crash := recover(); crash != nil {
			fmt.Fprintln(os.Stderr, "PANIC:", crash)
			os.Exit(0)
		}
	}()
	home, _ := os.UserHomeDir()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	env := Env{Args: os.Args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ(), Home: home}
	if asTerminal(os.Stderr) != nil {
		os.Exit(Run(ctx, env)) // a test looks at the terminal
	}
	env.Stderr = io.MultiWriter(os.Stderr, &stderr)
	status := Run(ctx, env)
	errors := 0
	for line := range strings.Lines(stderr.String()) {
		if strings.HasPrefix(line, "Error: ") {
			errors++
			if links := chain(line); links > 4 {
				fmt.Fprintf(os.Stderr, "RULE BROKEN: an error that is a chain of %d: %s\n", links, line)
				os.Exit(map[bool]int{true: 1, false: 0}[status == 0])
			}
		}
	}
	if status != 0 && (status != 1 || errors != 1) || status == 0 && errors != 0 {
		fmt.Fprintf(os.Stderr, "RULE BROKEN: exit status %d with %d lines \"Error:\"\n", status, errors)
		os.Exit(map[bool]int{true: 1, false: 0}[status == 0])
	}
	os.Exit(status)
}

// quoted is what others said, or wrote.
var quoted = regexp.MustCompile(`"([^"\\]|\\.)*"|\([^)]*\)`)

// chain counts the colons by which a message passes from one speaker to the next.
func chain(line string) int {
	return strings.Count(quoted.ReplaceAllString(strings.TrimPrefix(line, "Error: "), ""), ": ")
}

// TestScripts runs testdata/script/*.txtar. A comment "# CLI-06 CLI-07: title"
// begins a section, which becomes a subtest of that name: it fails when one of
// its lines does.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runScript(t, file)
		})
	}
}

var failedAt = regexp.MustCompile(`FAIL: \S*\.txtar:(\d+): `)

func runScript(t *testing.T, file string) {
	shim := &scriptT{T: t}
	testscript.RunT(shim, testscript.Params{
		Files:              []string{file},
		RequireUniqueNames: true,
		ContinueOnError:    true,
		UpdateScripts:      os.Getenv("UPDATE_SCRIPTS") != "",
		Setup:              setUp,
		Cmds:               scriptCommands,
	})
	if shim.failed {
		t.Error(shim.log.String())
	}
	var failures []int // lines
	for _, match := range failedAt.FindAllStringSubmatch(shim.log.String(), -1) {
		line, _ := strconv.Atoi(match[1])
		failures = append(failures, line)
	}
	for _, section := range sections(t, file) {
		t.Run(section.title, func(t *testing.T) {
			here := func(line int) bool { return section.start <= line && line <= section.end }
			if shim.failed && (len(failures) == 0 || slices.ContainsFunc(failures, here)) {
				t.Errorf("%s failed between lines %d and %d", file, section.start, section.end)
			}
		})
	}
}

// section is a part of a script that covers rows.
type section struct {
	title      string
	start, end int // its lines
}

var rowsComment = regexp.MustCompile(`^# ((?:[A-Z]+-\d+ )*[A-Z]+-\d+): (.*)`)

func sections(t *testing.T, file string) []section {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list []section
	number := 0
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "-- ") {
			break
		}
		number++
		if match := rowsComment.FindStringSubmatch(strings.TrimSpace(line)); match != nil {
			list = append(list, section{title: match[1] + " " + strings.ReplaceAll(match[2], "/", " "), start: number})
		}
		if len(list) > 0 {
			list[len(list)-1].end = number
		}
	}
	return list
}

// scriptT runs one script within a test and notes how it ended.
type scriptT struct {
	*testing.T
	log    strings.Builder
	failed bool
}

func (s *scriptT) Run(_ string, script func(testscript.T)) {
	done := make(chan struct{})
	go func() { // FailNow ends the goroutine
		defer close(done)
		script(s)
	}()
	<-done
}

func (s *scriptT) Parallel()       {}
func (s *scriptT) Verbose() bool   { return false }
func (s *scriptT) Log(args ...any) { fmt.Fprintln(&s.log, args...) }

// Skip fails: what a script covers is not covered then.
func (s *scriptT) Skip(args ...any)  { s.Fatal(args...) }
func (s *scriptT) Fatal(args ...any) { s.Log(args...); s.FailNow() }
func (s *scriptT) FailNow() {
	s.failed = true
	runtime.Goexit()
}

// setUp gives a script directories of its own and nothing of the machine: on
// PATH are just the programs of TestMain.
func setUp(env *testscript.Env) error {
	signet, err := exec.LookPath("signet")
	if err != nil {
		return err
	}
	home := filepath.Join(env.WorkDir, "home")
	for name, value := range map[string]string{
		"PATH": filepath.Dir(signet), "HOME": home, "USERPROFILE": home, "BIN": filepath.Dir(signet),
		"CFG": filepath.Join(env.WorkDir, "config"), "NOTATION_CONFIG": filepath.Join(env.WorkDir, "config"),
		"NOTATION_CACHE": filepath.Join(env.WorkDir, "cache"), "DOCKER_CONFIG": filepath.Join(env.WorkDir, "docker"),
		"GOOS": runtime.GOOS, "GOARCH": runtime.GOARCH, "ESC": "\x1b", "HELPER_FILE": filepath.Join(env.WorkDir, "credentials.json"),
	} {
		env.Setenv(name, value)
	}
	env.Values[snapshots{}] = map[string]string{}
	env.Values[registryKey{}] = &registryBox{}
	env.Values[proxyKey{}] = &proxyBox{}
	return os.MkdirAll(home, 0o700)
}
