// Command fuzzall runs every fuzz target of the module for a while. A target
// without seeds fails: it would start from nothing.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

func main() {
	duration := flag.String("time", "10s", "how long each target runs")
	flag.Parse()
	if err := run(*duration); err != nil {
		fmt.Fprintln(os.Stderr, "fuzzall:", err)
		os.Exit(1)
	}
}

func run(duration string) error {
	out, err := exec.Command("go", "test", "-list", "^Fuzz", "./...").Output()
	if err != nil {
		return fmt.Errorf("list the fuzz targets: %w", err)
	}
	var targets []string
	count := 0
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "Fuzz") {
			targets = append(targets, line)
			continue
		}
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "ok" {
			for _, target := range targets {
				count++
				if err := fuzz(fields[1], target, duration); err != nil {
					return err
				}
			}
		}
		targets = nil
	}
	if count == 0 {
		return errors.New("there is no fuzz target")
	}
	fmt.Printf("%d fuzz targets ran\n", count)
	return nil
}

func fuzz(pkg, target, duration string) error {
	seeds, err := exec.Command("go", "test", "-run", "^"+target+"$", "-v", pkg).CombinedOutput()
	if err != nil || !strings.Contains(string(seeds), "--- PASS: "+target+"/") {
		return fmt.Errorf("%s in %s has no seeds, or they fail:\n%s", target, pkg, seeds)
	}
	// Left alone, go minimizes an interesting input for up to a minute, and tries nothing else.
	cmd := exec.Command("go", "test", "-run", "^$", "-fuzz", "^"+target+"$", "-fuzztime", duration, "-fuzzminimizetime", "100x", pkg)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
