package protocol

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// serveVariable makes the test binary a plugin that is served for real.
const serveVariable = "SIGNET_TEST_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(serveVariable) != "" {
		Serve(&dummy{describe: noisy})
	}
	os.Exit(m.Run())
}

// noisy prints wherever it can before it answers, or does what its key id says.
func noisy(q *DescribeKeyRequest) (*DescribeKeyResponse, error) {
	fmt.Println("printed")
	fmt.Fprint(os.Stdout, "written\n")
	writeDescriptor1("written to the descriptor\n")
	switch q.KeyID {
	case "panic":
		panic("oops")
	case "fail":
		return nil, Errorf(CodeAccessDenied, "no")
	}
	return &DescribeKeyResponse{KeySpec: KeySpecEC256}, nil
}

// served runs the test binary as a plugin.
func served(t *testing.T, command, request string) (status int, stdout, stderr string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, log bytes.Buffer
	cmd := exec.CommandContext(t.Context(), self, command)
	cmd.Env = append(os.Environ(), serveVariable+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(request), &out, &log
	if err := cmd.Run(); err != nil {
		if _, exited := errors.AsType[*exec.ExitError](err); !exited {
			t.Fatal(err)
		}
	}
	return cmd.ProcessState.ExitCode(), out.String(), log.String()
}

func TestServe(t *testing.T) {
	noise := []string{"printed\n", "written\n", "written to the descriptor\n"}
	request := func(keyID string) string { return `{"contractVersion":"1.0","keyId":"` + keyID + `"}` }
	t.Run("PLG-33 PLG-76 the answer stays alone on stdout", func(t *testing.T) {
		t.Parallel()
		status, stdout, stderr := served(t, "describe-key", request("k"))
		if status != 0 || stdout != `{"keyId":"k","keySpec":"EC-256"}`+"\n" {
			t.Errorf("%d %q", status, stdout)
		}
		for _, text := range noise {
			if !strings.Contains(stderr, text) {
				t.Errorf("%q lost: %q", text, stderr)
			}
		}
	})
	t.Run("PLG-10 failure", func(t *testing.T) {
		t.Parallel()
		status, stdout, stderr := served(t, "describe-key", request("fail"))
		if status != 1 || stdout != "" || !strings.HasSuffix(stderr, `{"errorCode":"ACCESS_DENIED","errorMessage":"no"}`+"\n") {
			t.Errorf("%d %q %q", status, stdout, stderr)
		}
	})
	t.Run("PLG-10 panic", func(t *testing.T) {
		t.Parallel()
		status, stdout, stderr := served(t, "describe-key", request("panic"))
		if status != 1 || stdout != "" || !strings.Contains(stderr, `{"errorCode":"ERROR","errorMessage":"plugin crashed during describe-key: oops (serve_test.go:`) || strings.Contains(stderr, "goroutine") {
			t.Errorf("%d %q %q", status, stdout, stderr)
		}
	})
	t.Run("PLG-05 by hand", func(t *testing.T) {
		t.Parallel()
		status, stdout, stderr := served(t, "--help", "")
		if status != 0 || stdout != "" || !strings.Contains(stderr, "notation-acme <command> < request.json") {
			t.Errorf("%d %q %q", status, stdout, stderr)
		}
	})
}

// TestHandleSeesCancel makes sure that the context given reaches the plugin.
func TestHandleSeesCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := Handle(ctx, watcher{}, "get-plugin-metadata", strings.NewReader("{}"), io.Discard)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

type watcher struct{}

func (watcher) GetMetadata(ctx context.Context, _ *GetMetadataRequest) (*Metadata, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
