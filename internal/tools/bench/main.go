// Command bench runs the project's benchmarks and writes what they gave as tables
// in Markdown: ratios first, each with the goal it is held to, then the figures.
// A value is the median of a run's rounds, or their least where nothing but the
// processor is at work; ratios mean more than the figures.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"time"
)

func main() {
	out := flag.String("out", "", "Markdown file whose part between the lines \"<!-- figures -->\" is replaced; empty means standard output")
	keep := flag.String("keep", "", "file that receives what the benchmarks printed, for benchstat")
	from := flag.String("from", "", "file of an earlier run's output, read in place of running anything")
	count := flag.Int("count", 5, "how often each benchmark is run")
	only := flag.String("only", "", "regular expression of the sections to run")
	flag.Parse()
	if err := run(*out, *keep, *from, *count, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(out, keep, from string, count int, only string) error {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	var output []byte
	if from != "" {
		output, err = os.ReadFile(from)
	} else {
		output, err = runAll(count, pattern)
	}
	if err != nil {
		return err
	}
	if keep != "" {
		if err := os.WriteFile(keep, forBenchstat(output), 0o644); err != nil {
			return err
		}
	}
	results, machine := parse(output)
	var text bytes.Buffer
	fmt.Fprintf(&text, "Measured %s on %s, %d cores, %s, commit %s.\n", time.Now().UTC().Format(time.DateOnly), machine, runtime.NumCPU(), runtime.Version(), commit())
	for _, s := range sections {
		if pattern.MatchString(s.name) {
			s.render(&text, results)
		}
	}
	if out == "" {
		_, err := os.Stdout.Write(text.Bytes())
		return err
	}
	return replace(out, text.String())
}

// runAll runs the benchmarks of the sections, one round after the other, so that
// what disturbs the machine for a while disturbs all contenders, and returns what
// they printed.
func runAll(count int, only *regexp.Regexp) ([]byte, error) {
	var output bytes.Buffer
	for _, s := range sections {
		if !only.MatchString(s.name) {
			continue
		}
		rounds := count
		if s.once {
			rounds = 1
		}
		for range rounds {
			cmd := exec.Command("go", s.command()...)
			cmd.Stdout = io.MultiWriter(&output, os.Stderr)
			cmd.Stderr = os.Stderr
			if err := cmd.Run(); err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	return output.Bytes(), nil
}

// forBenchstat names the contenders as benchstat -col /by wants them, and all rounds of
// a benchmark alike.
func forBenchstat(output []byte) []byte {
	named := regexp.MustCompile(`(?m)^(Benchmark\w+/)([^/=\s]+/)`).ReplaceAll(output, []byte("${1}by=$2"))
	return regexp.MustCompile(`(?m)^(Benchmark\S+?)#\d+`).ReplaceAll(named, []byte("$1"))
}

func commit() string {
	out, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

const mark = "<!-- figures -->\n"

// replace puts text between the two marks of a file.
func replace(path, text string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	parts := strings.Split(string(data), mark)
	if len(parts) != 3 {
		return fmt.Errorf("%s has not two lines %q", path, strings.TrimSpace(mark))
	}
	return os.WriteFile(path, []byte(parts[0]+mark+"\n"+text+"\n"+mark+parts[2]), 0o644)
}
