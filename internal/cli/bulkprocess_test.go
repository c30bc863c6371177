package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

// patience is how long tests wait for other processes.
const patience = time.Minute

// fleet is a registry full of signed artifacts, and signet as a process set up to
// verify them.
type fleet struct {
	registry *testRegistry
	list     []string
	listFile string
	dir      string
	env      []string
}

// newFleet signs n artifacts.
func newFleet(t *testing.T, n int) *fleet {
	t.Helper()
	dir := t.TempDir()
	f := &fleet{
		registry: &testRegistry{contents: map[string]content{}, tags: map[string]string{}},
		dir:      dir, listFile: filepath.Join(dir, "list.txt"),
		env: []string{
			"NOTATION_CONFIG=" + filepath.Join(dir, "config"), "NOTATION_CACHE=" + filepath.Join(dir, "cache"),
			"HOME=" + dir, "USERPROFILE=" + dir, "DOCKER_CONFIG=" + dir, "SYSTEMROOT=" + os.Getenv("SYSTEMROOT"),
		},
	}
	t.Cleanup(f.registry.start())
	root := testpki.Root(t, "fleet root")
	key, cert := root.Leaf(t, "fleet", protocol.KeySpecEC256).WriteFiles(t, dir, "key")
	rootFile, listed := filepath.Join(dir, "root.crt"), f.registry.addFleet(n)
	f.list = strings.Fields(listed)
	for _, err := range []error{
		os.WriteFile(rootFile, root.CertPEM(), 0o600),
		trust.NewDirStore(filepath.Join(dir, "config", "truststore"), nil).Add(trust.StoreRef{Type: trust.StoreCA, Name: "acme"}, rootFile),
		os.WriteFile(filepath.Join(dir, "config", trust.OCIPolicyFile), []byte(worldPolicy), 0o600),
		config.NewSigningKeys(filepath.Join(dir, "config")).Add(t.Context(), config.Key{Name: "fleet", KeyPath: key, CertPath: cert}, true),
		os.WriteFile(f.listFile, []byte(listed), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if out, status := f.run(t, "sign", "--from-file", f.listFile); status != 0 {
		t.Fatalf("exit status %d\n%s", status, out)
	}
	return f
}

// command prepares a signet process.
func (f *fleet) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "signet", args...)
	cmd.Env, cmd.Dir = f.env, f.dir
	return cmd
}

// run runs signet to its end.
func (f *fleet) run(t *testing.T, args ...string) (output string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := f.command(ctx, args...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// results reads a results file.
func results(t *testing.T, path string) []resultLine {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	read, err := readResults(data)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// waitFor polls until a condition holds.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for " + what)
		}
	}
}

// wholeLines counts the lines of a file that are complete; none if it is missing.
func wholeLines(path string) int {
	data, _ := os.ReadFile(path)
	return bytes.Count(data, []byte("\n"))
}

// TestKilledShards runs the shards of a list as processes, kills each several times
// without warning and starts it again as a Kubernetes Indexed Job would. In the end
// every artifact has a final result, and the results merge by concatenation.
func TestKilledShards(t *testing.T) {
	t.Parallel()
	const shards, kills = 3, 4
	f := newFleet(t, 120)
	var running sync.WaitGroup
	var killed atomic.Int32
	for shard := range shards {
		running.Go(func() { killed.Add(f.runShard(t, shard, shards, kills)) })
	}
	running.Wait()
	if t.Failed() {
		return
	}
	if killed.Load() == 0 {
		t.Error("every run was done before it was killed")
	}
	var merged []byte
	for shard := range shards {
		data, err := os.ReadFile(f.results(shard))
		if err != nil {
			t.Fatal(err)
		}
		merged = append(merged, data...)
	}
	all := filepath.Join(f.dir, "all.jsonl")
	if err := os.WriteFile(all, merged, 0o600); err != nil {
		t.Fatal(err)
	}
	lines := results(t, all)
	if err := covers(lines, f.list); err != nil {
		t.Error(err)
	}
	if len(lines) != len(f.list) {
		t.Errorf("%d lines for %d artifacts", len(lines), len(f.list))
	}
	if slices.ContainsFunc(lines, func(line resultLine) bool { return line.Result != "verified" || !line.Final }) {
		t.Errorf("not all are verified: %+v", lines)
	}
	if out, status := f.run(t, "verify", "--from-file", f.listFile, "--resume", all); status != 0 || !strings.Contains(out, "Verified 120 of 120 artifacts, 120 known from an earlier run") {
		t.Errorf("exit status %d: %s", status, out)
	}
}

func (f *fleet) results(shard int) string {
	return filepath.Join(f.dir, fmt.Sprintf("results-%d.jsonl", shard))
}

// runShard runs one shard to its end, killing it when it has written some more lines.
// It returns how often that was before the end.
func (f *fleet) runShard(t *testing.T, shard, shards, kills int) (killed int32) {
	start := func() *exec.Cmd {
		cmd := f.command(t.Context(), "verify", "--from-file", f.listFile, "--shard", fmt.Sprintf("/%d", shards), "--resume", f.results(shard), "--concurrency", "2")
		cmd.Env = append(slices.Clip(cmd.Env), fmt.Sprintf("JOB_COMPLETION_INDEX=%d", shard))
		cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
		if err := cmd.Start(); err != nil {
			t.Error(err)
		}
		return cmd
	}
	for range kills {
		before := wholeLines(f.results(shard))
		cmd := start()
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		for alive := true; alive && wholeLines(f.results(shard)) < before+5; {
			select {
			case <-ended:
				alive = false
			case <-time.After(time.Millisecond):
			}
		}
		if cmd.Process.Kill() == nil {
			killed++
		}
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("a killed process does not end")
			return killed
		}
	}
	if err := start().Wait(); err != nil {
		t.Errorf("shard %d: %v", shard, err)
	}
	return killed
}

// TestInterrupted interrupts a run: what was done is reported, the rest is counted,
// and the results file can be resumed from.
func TestInterrupted(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // a process cannot be interrupted from outside
	}
	t.Parallel()
	f := newFleet(t, 30)
	// Beyond the 40th request the registry does not answer.
	var mu sync.Mutex
	requests, release := 0, make(chan struct{})
	f.registry.beforeEach(func(q *http.Request) {
		mu.Lock()
		requests++
		late := requests > 40
		mu.Unlock()
		if late {
			select {
			case <-release:
			case <-q.Context().Done():
			}
		}
	})
	file := filepath.Join(f.dir, "results.jsonl")
	cmd := f.command(t.Context(), "verify", "--from-file", f.listFile, "--resume", file, "--concurrency", "4")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the registry to hold requests back", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return requests == 44 && wholeLines(file) > 0
	})
	done := wholeLines(file)
	if second, status := f.run(t, "verify", f.list[0], "--resume", file); status != 1 || !strings.Contains(second, "another run is writing to it") {
		t.Errorf("a second run on the same file: exit status %d: %s", status, second)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	close(release)
	if status := cmd.ProcessState.ExitCode(); status != 1 {
		t.Errorf("exit status %d", status)
	}
	summary := fmt.Sprintf("\nVerified %d of 30 artifacts, %d not examined\n", done, 30-done)
	if !strings.HasSuffix(out.String(), summary) {
		t.Errorf("stdout is\n%swithout%s", out.String(), summary)
	}
	if want := fmt.Sprintf("Error: interrupted before %d of 30 artifacts were verified\n", 30-done); errs.String() != want {
		t.Errorf("stderr is %q, want %q", errs.String(), want)
	}
	if lines := results(t, file); len(lines) != done {
		t.Errorf("%d lines, want %d", len(lines), done)
	}
	resumed, status := f.run(t, "verify", "--from-file", f.listFile, "--resume", file)
	if status != 0 || !strings.Contains(resumed, fmt.Sprintf("Verified 30 of 30 artifacts, %d known from an earlier run", done)) {
		t.Errorf("exit status %d: %s", status, resumed)
	}
}

// TestConnections counts the connections of a run over many artifacts.
func TestConnections(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 100)
	before, requests := f.registry.connections.Load(), f.registry.answered()
	if out, status := f.run(t, "verify", "--from-file", f.listFile, "--concurrency", "16"); status != 0 {
		t.Fatal(out)
	}
	// A connection may be opened while another one comes free.
	if opened := f.registry.connections.Load() - before; opened > 2*16 {
		t.Errorf("%d connections for %d requests, 16 at a time", opened, f.registry.answered()-requests)
	}
	if sent := f.registry.answered() - requests; sent != 4*100 {
		t.Errorf("%d requests for 100 artifacts", sent)
	}
}

// TestStandardOutputIsResults has both ways to write results meet in one file.
func TestStandardOutputIsResults(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	path := filepath.Join(f.dir, "results.jsonl")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := f.command(t.Context(), "verify", f.list[0], "--output", "jsonl", "--resume", path)
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = file, &errs
	if err := cmd.Run(); err == nil || !strings.Contains(errs.String(), "--resume writes it by itself") {
		t.Errorf("%v: %s", err, errs.String())
	}
	if lines := wholeLines(path); lines != 0 {
		t.Errorf("%d lines were written", lines)
	}
}

// TestStreams wants each line of JSON as soon as its artifact is done.
func TestStreams(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 6)
	held, release := f.list[0][strings.Index(f.list[0], "@")+1:], make(chan struct{})
	f.registry.beforeEach(func(q *http.Request) {
		if q.Method == http.MethodHead && strings.HasSuffix(q.URL.Path, held) {
			select {
			case <-release:
			case <-q.Context().Done():
			}
		}
	})
	cmd := f.command(t.Context(), "verify", "--from-file", f.listFile, "--output", "jsonl")
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	buffer := make([]byte, 4096)
	for bytes.Count(text.Bytes(), []byte("\n")) < 5 {
		n, err := output.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(buffer[:n])
	}
	if strings.Contains(text.String(), held) {
		t.Error("there is a line for an artifact that is not done")
	}
	close(release)
	if _, err := io.Copy(&text, output); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	lines, err := readResults(text.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := covers(lines, f.list); err != nil {
		t.Error(err)
	}
}

// TestKubernetesJob runs the pods of deploy/kubernetes/scan.yaml as processes, with
// its policy and arguments and with files in place of its volumes.
func TestKubernetesJob(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 40)
	data, err := os.ReadFile(filepath.Join("..", "..", "deploy", "kubernetes", "scan.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	manifest := string(data)
	if _, err := trust.ParseOCIPolicy([]byte(block(manifest, "  trustpolicy.oci.json: |\n", "    "))); err != nil {
		t.Error(err)
	}
	var completions int
	if _, after, _ := strings.Cut(manifest, "\n  completions: "); true {
		if _, err := fmt.Sscan(after, &completions); err != nil {
			t.Fatal(err)
		}
	}
	var args []string
	for line := range strings.Lines(block(manifest, "          args:\n", "            ")) {
		args = append(args, strings.TrimPrefix(strings.TrimSpace(line), "- "))
	}
	if !slices.Contains(args, fmt.Sprintf("--shard=/%d", completions)) {
		t.Fatalf("%d completions, and arguments %q", completions, args)
	}
	var lines []resultLine
	for index := range completions {
		number := fmt.Sprint(index)
		pod := slices.Clone(args)
		for i := range pod {
			pod[i] = strings.NewReplacer("/scan/references.txt", f.listFile, "/results/", f.dir+"/", "$(JOB_COMPLETION_INDEX)", number).Replace(pod[i])
		}
		cmd := f.command(t.Context(), pod...)
		cmd.Env = append(slices.Clip(cmd.Env), "JOB_COMPLETION_INDEX="+number)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if path := filepath.Join(f.dir, number+".jsonl"); wholeLines(path) > 0 {
			lines = append(lines, results(t, path)...)
		}
	}
	if err := covers(lines, f.list); err != nil || len(lines) != len(f.list) {
		t.Errorf("%d lines for %d artifacts: %v", len(lines), len(f.list), err)
	}
}

// block is the text behind a line of YAML that lies as deep as the indentation.
func block(text, after, indentation string) string {
	_, rest, _ := strings.Cut(text, after)
	var lines strings.Builder
	for line := range strings.Lines(rest) {
		inside, found := strings.CutPrefix(line, indentation)
		if !found {
			break
		}
		lines.WriteString(inside)
	}
	return lines.String()
}
