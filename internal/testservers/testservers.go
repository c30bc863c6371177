// Package testservers starts the real servers that tests talk to, on loopback,
// for as long as one test runs. test/servers/provision.sh puts them in place.
package testservers

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/testbuffer"
)

const (
	// lifetime is when a server ends even if its test still runs, in seconds.
	lifetime = "1200"
	// patience is how long a server may take until it answers.
	patience = 3 * time.Minute
)

// provisioned returns what the provisioning script recorded of a server. A test
// that needs one which is missing is skipped, and fails where CI=true.
func provisioned(t testing.TB, name string) map[string]string {
	t.Helper()
	path := filepath.Join(root(t), ".cache", "servers", name+".env")
	file, err := os.Open(path)
	if err != nil {
		message := fmt.Sprintf("%s is not provisioned: run test/servers/provision.sh %s", name, name)
		if os.Getenv("CI") == "true" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	defer file.Close()
	values := map[string]string{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		values[key] = value
	}
	return values
}

// root finds the top of the project above the working directory.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; filepath.Dir(dir) != dir; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "test", "servers", "run.sh")); err == nil {
			return dir
		}
	}
	t.Fatal("the working directory is not inside the project")
	return ""
}

// server is a process that ends with its test, or with the test's process.
type server struct {
	name   string
	output testbuffer.Buffer
	done   chan struct{}
}

// start runs a command under test/servers/run.sh, which kills it when the pipe
// to its standard input closes: at the test's end, or when its process dies.
func start(t testing.TB, name string, env []string, command ...string) *server {
	t.Helper()
	s := &server{name: name, done: make(chan struct{})}
	run := filepath.Join(root(t), "test", "servers", "run.sh")
	cmd := exec.Command("bash", append([]string{run, lifetime}, command...)...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &s.output, &s.output
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		_ = cmd.Wait() // killed, as a rule
		close(s.done)
	}()
	t.Cleanup(func() {
		stdin.Close()
		<-s.done
		if output := s.output.String(); t.Failed() {
			const tail = 4 << 10
			t.Logf("%s printed at last:\n%s", name, output[max(0, len(output)-tail):])
		}
	})
	return s
}

// await polls url until it answers with 200.
func (s *server) await(t testing.TB, client *http.Client, url string) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		response, err := client.Get(url)
		if err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-tick.C:
		case <-s.done:
			t.Fatalf("%s ended before it answered:\n%s", s.name, s.output.String())
		case <-deadline:
			t.Fatalf("%s did not answer at %s in %s:\n%s", s.name, url, patience, s.output.String())
		}
	}
}

// freeAddress returns a loopback address that nothing listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
