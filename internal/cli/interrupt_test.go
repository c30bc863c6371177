package cli

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// watched is a stream that tells when a text has been written to it.
type watched struct {
	mu   sync.Mutex
	text bytes.Buffer
	want string
	seen chan struct{}
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := strings.Contains(w.text.String(), w.want)
	w.text.Write(p)
	if !before && strings.Contains(w.text.String(), w.want) {
		close(w.seen)
	}
	return len(p), nil
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// TestInterruptedPrompts holds that Ctrl-C at a prompt ends the run and changes nothing.
func TestInterruptedPrompts(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.must("cert", "generate-test", "a.example")
	p.write("data", []byte("data"))
	p.must("blob", "sign", "--key", "a.example", p.path("data"))
	p.must("blob", "policy", "init", "--name", "a", "--trust-store", "ca:acme", "--trusted-identity", "*")
	p.write("policy.json", []byte(worldPolicy))
	for prompt, args := range map[string][]string{
		"CLI-29 The OCI trust policy":  {"policy", "import", p.path("policy.json")},
		"CLI-29 The blob trust policy": {"blob", "policy", "init", "--name", "b", "--trust-store", "ca:acme", "--trusted-identity", "*"},
		"BLOB-05 The signature file":   {"blob", "sign", "--key", "a.example", p.path("data")},
		"CLI-40 Are you sure":          {"cert", "delete", "-t", "ca", "-s", "acme", "root.crt"},
		"CLI-40 delete all":            {"cert", "delete", "-t", "ca", "-s", "acme", "--all"},
		"CLI-44 The test key":          {"cert", "cleanup-test", "a.example"},
		"CLI-45 Username: ":            {"login", "localhost:1"},
		"CLI-45 Password: ":            {"login", "-u", "user", "localhost:1"},
	} {
		t.Run(prompt, func(t *testing.T) {
			before, err := listing(p.dir)
			if err != nil {
				t.Fatal(err)
			}
			stdin, keyboard := io.Pipe() // nobody types
			defer keyboard.Close()
			_, text, _ := strings.Cut(prompt, " ")
			out, errs := &watched{want: text, seen: make(chan struct{})}, &bytes.Buffer{}
			ctx, interrupt := context.WithCancel(t.Context())
			status := make(chan int, 1)
			go func() {
				status <- Run(ctx, Env{
					Args: append([]string{"signet"}, args...), Stdin: stdin, Stdout: out, Stderr: errs,
					Environ: []string{"NOTATION_CONFIG=" + p.path("config"), "NOTATION_CACHE=" + p.path("cache"), "DOCKER_CONFIG=" + p.path("docker")},
				})
			}()
			patience := time.After(time.Minute)
			select {
			case <-out.seen:
				interrupt()
			case <-patience:
				t.Fatalf("no prompt in %q %q", out, errs)
			}
			select {
			case got := <-status:
				if got != 1 || !strings.Contains(errs.String(), "Error: ") || !strings.HasSuffix(strings.TrimSpace(errs.String()), "interrupted") {
					t.Errorf("status %d, %q", got, errs)
				}
			case <-patience:
				t.Fatal("the run goes on")
			}
			if after, err := listing(p.dir); err != nil || before != after {
				t.Error("files changed:", err, difference(before, after))
			}
		})
	}
}

// TestInterruptedRequest holds that Ctrl-C while a registry is silent ends the run, and
// that nothing is advised about the network then.
func TestInterruptedRequest(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"list", "inspect"} {
		t.Run("CLI-49 "+command, func(t *testing.T) {
			t.Parallel()
			asked, done := make(chan struct{}, 1), make(chan struct{})
			silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				asked <- struct{}{}
				<-done
			}))
			t.Cleanup(func() { close(done); silent.Close() })
			_, port, _ := strings.Cut(strings.TrimPrefix(silent.URL, "http://"), ":")
			ctx, interrupt := context.WithCancel(t.Context())
			go func() {
				<-asked
				interrupt()
			}()
			var errs bytes.Buffer
			dir := t.TempDir()
			status := Run(ctx, Env{
				Args: []string{"signet", command, "localhost:" + port + "/a/b:v1"}, Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &errs,
				Environ: []string{"NOTATION_CONFIG=" + dir, "NOTATION_CACHE=" + dir, "DOCKER_CONFIG=" + dir},
			})
			if text := errs.String(); status != 1 || !strings.HasPrefix(text, "Error: ") || strings.Count(text, "\n") != 1 {
				t.Errorf("status %d, %q", status, text)
			}
		})
	}
}

// TestOurName holds that messages name the program as it was called.
func TestOurName(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for name, want := range map[string]string{"signet": `install it with "signet plugin install"`, "notation": `install it with "notation plugin install"`} {
		var errs bytes.Buffer
		status := Run(t.Context(), Env{
			Args: []string{name, "sign", "--oci-layout", "--plugin", "x", "--id", "1", p.path("layout") + ":v1"}, Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &errs,
			Environ: []string{"NOTATION_CONFIG=" + p.path("config")},
		})
		if status != 1 || !strings.Contains(errs.String(), want) {
			t.Errorf("CLI-02 %s: %s", name, errs.String())
		}
	}
}
