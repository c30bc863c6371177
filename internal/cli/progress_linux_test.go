package cli

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signet-project/signet/internal/testbuffer"
	"github.com/signet-project/signet/internal/testterminal"
)

// TestProgress looks at a run over many artifacts on a terminal.
func TestProgress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		// stdout tells that standard output is on the terminal, too.
		stdout, bar bool
		args, env   []string
	}{
		{name: "all on the terminal", stdout: true, bar: true},
		{name: "standard output in a file", bar: true},
		{name: "JSON lines on the terminal", stdout: true, bar: true, args: []string{"--output", "jsonl"}},
		{name: "a terminal that can do nothing", stdout: true, env: []string{"TERM=dumb"}},
		{name: "with a debug log", stdout: true, args: []string{"--debug"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			watchProgress(t, c.stdout, c.bar, c.args, c.env)
		})
	}
}

func watchProgress(t *testing.T, stdout, bar bool, args, env []string) {
	f := newFleet(t, 12)
	missing := f.registry.name() + ":missing"
	last, release := f.list[11][strings.Index(f.list[11], "@")+1:], make(chan struct{})
	f.registry.beforeEach(func(q *http.Request) {
		if strings.HasSuffix(q.URL.Path, last) {
			select {
			case <-release:
			case <-q.Context().Done():
			}
		}
	})
	output, err := os.Create(filepath.Join(f.dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	cmd := f.command(t.Context(), append([]string{"verify", "--from-file", f.listFile, missing}, args...)...)
	cmd.Env = append(cmd.Env, env...)
	if !stdout {
		cmd.Stdout = output
	}
	var seen testbuffer.Buffer // what comes out of the terminal
	go io.Copy(&seen, testterminal.Start(t, cmd))
	if bar {
		waitFor(t, "the bar", func() bool { return strings.Contains(seen.String(), "verify 12 / 13 [####") })
	} else {
		waitFor(t, "all but the last one", func() bool { return f.registry.answered() >= 4*11 })
	}
	close(release)
	if err := cmd.Wait(); err == nil {
		t.Error("the run did not fail")
	}
	waitFor(t, "the error", func() bool {
		return strings.HasSuffix(seen.String(), "Error: 1 of 13 artifacts could not be verified\r\n")
	})
	text := seen.String()
	if strings.Contains(text, "\x1b[") != bar || strings.Contains(text, "] 1 failed") != bar {
		t.Errorf("the terminal shows\n%.2000q", text)
	}
	if bar && strings.Contains(text[strings.LastIndex(text, "\x1b[J"):], "[###") {
		t.Errorf("the bar is still there\n%.2000q", text)
	}
	if !stdout {
		data, err := os.ReadFile(output.Name())
		if err != nil {
			t.Fatal(err)
		}
		text = string(data)
	}
	if results := strings.Count(text, "Successfully verified signature for") + strings.Count(text, `"result":"verified"`); results != 12 {
		t.Errorf("%d results\n%s", results, text)
	}
}
