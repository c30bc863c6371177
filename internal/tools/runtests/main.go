// Command runtests runs the tests of modules and holds them to the project's
// rule: under CI a skipped test is a failure. It keeps the events of the run for
// the coverage table.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// event is one line of go test -json (see go doc test2json).
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// tally counts what happened.
type tally struct {
	passed, failed int
	skipped        []string
	output         map[string][]string // of tests not finished yet, by package and test
}

func main() {
	path := flag.String("events", "", "file that receives the events of the run")
	flag.Parse()
	if err := run(*path, flag.Args(), os.Getenv("CI") == "true"); err != nil {
		fmt.Fprintln(os.Stderr, "runtests:", err)
		os.Exit(1)
	}
}

func run(path string, modules []string, ci bool) error {
	events := io.Discard
	if path != "" {
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		defer file.Close()
		events = file
	}
	t := &tally{output: map[string][]string{}}
	broken := false
	for _, module := range modules {
		cmd := exec.Command("go", "-C", module, "test", "-json", "-timeout", "20m", "./...")
		cmd.Stderr = os.Stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		if err := t.read(io.TeeReader(stdout, events)); err != nil {
			return err
		}
		if err := cmd.Wait(); err != nil {
			broken = true
		}
	}
	for _, name := range t.skipped {
		fmt.Println("SKIPPED", name)
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", t.passed, t.failed, len(t.skipped))
	switch {
	case broken || t.failed > 0:
		return fmt.Errorf("tests failed")
	case ci && len(t.skipped) > 0:
		return fmt.Errorf("%d tests were skipped, which CI does not allow", len(t.skipped))
	}
	return nil
}

// read follows the events of one module; what failed is printed with its output.
func (t *tally) read(events io.Reader) error {
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Println(lines.Text())
			continue
		}
		name := strings.TrimSuffix(e.Package+" "+e.Test, " ")
		switch e.Action {
		case "output", "build-output":
			if e.Action == "build-output" {
				fmt.Print(e.Output)
			}
			t.output[name] = append(t.output[name], e.Output)
			continue
		case "pass":
			if e.Test == "" {
				fmt.Println("ok  ", e.Package)
				break
			}
			t.passed++
		case "fail":
			t.failed++
			fmt.Println("FAIL", name)
			fmt.Print(strings.Join(t.output[name], ""))
		case "skip":
			if e.Test != "" {
				t.skipped = append(t.skipped, name+": "+strings.Join(t.output[name], " "))
			}
		default:
			continue
		}
		delete(t.output, name)
	}
	return lines.Err()
}
