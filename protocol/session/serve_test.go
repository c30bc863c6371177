package session_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/session"
)

func TestMain(m *testing.M) {
	if os.Getenv(serveVariable) != "" {
		session.Serve(&served{})
	}
	os.Exit(m.Run())
}

// serveVariable makes the test binary a plugin that is served for real; its value
// says what closing the plugin does.
const serveVariable = "SIGNET_TEST_SERVE"

// served is a plugin that notes on stderr that it was closed.
type served struct{}

func (*served) GetMetadata(context.Context, *protocol.GetMetadataRequest) (*protocol.Metadata, error) {
	return &protocol.Metadata{Name: "acme", Description: "d", Version: "1.0.0", URL: "u", Capabilities: []protocol.Capability{"X"}}, nil
}

func (*served) Close() error {
	if os.Getenv(serveVariable) == "hangs" {
		select {}
	}
	fmt.Fprintln(os.Stderr, "closed")
	return nil
}

// process is a plugin that was started by hand.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr bytes.Buffer
}

// start starts the test binary as a plugin, with what a host would give it in the
// environment, and more.
func start(t *testing.T, args []string, more ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	host := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: testpki.Root(t, "host").Cert.Raw})
	p := &process{cmd: exec.Command(self, args...)}
	p.cmd.Env = append(os.Environ(), serveVariable+"=1", "NOTATION_PLUGIN_SESSION=session.v1",
		"PLUGIN_CLIENT_CERT="+string(host), "PLUGIN_UNIX_SOCKET_DIR="+t.TempDir(), "PLUGIN_MIN_PORT=10000", "PLUGIN_MAX_PORT=25000")
	p.cmd.Env = append(p.cmd.Env, more...)
	p.cmd.Stderr = &p.stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdout = bufio.NewReader(stdout)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// wait reads the rest of stdout and waits for the end.
func (p *process) wait(t *testing.T) (rest string) {
	t.Helper()
	data, err := io.ReadAll(p.stdout)
	if err != nil {
		t.Error(err)
	}
	p.cmd.Wait()
	return string(data)
}

func TestServe(t *testing.T) {
	t.Parallel()
	handshake := regexp.MustCompile(`^1\|1\|(unix|tcp)\|[^|]+\|grpc\|[A-Za-z0-9+/]+\n$`)
	// serving starts a session and waits for its handshake.
	serving := func(t *testing.T, more ...string) *process {
		p := start(t, []string{session.Argument}, more...)
		if line, err := p.stdout.ReadString('\n'); err != nil || !handshake.MatchString(line) {
			t.Errorf("%q, %v", line, err)
		}
		return p
	}
	t.Run("stdin ends it, and closes the plugin", func(t *testing.T) {
		p := serving(t)
		p.stdin.Close()
		if rest := p.wait(t); rest != "" || !p.cmd.ProcessState.Success() || p.stderr.String() != "closed\n" {
			t.Errorf("%q, %v, %q", rest, p.cmd.ProcessState, p.stderr.String())
		}
	})
	t.Run("however long closing takes", func(t *testing.T) {
		p := serving(t, serveVariable+"=hangs")
		p.stdin.Close()
		if p.wait(t); !p.cmd.ProcessState.Success() {
			t.Error(p.cmd.ProcessState)
		}
	})
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String()+" ends it, and closes the plugin", func(t *testing.T) {
			if runtime.GOOS == "windows" {
				return // no such signals
			}
			p := serving(t)
			if err := p.cmd.Process.Signal(signal); err != nil {
				t.Error(err)
			}
			p.wait(t)
			// Only Ctrl-C has to show in the way it ended.
			if died := p.cmd.ProcessState.ExitCode() == -1; died != (signal == syscall.SIGINT) || p.stderr.String() != "closed\n" {
				t.Errorf("%v, %q", p.cmd.ProcessState, p.stderr.String())
			}
		})
	}
	for name, c := range map[string]struct{ variable, want string }{
		"started by hand":          {"NOTATION_PLUGIN_SESSION=", `cannot be started by hand`},
		"for something else":       {"NOTATION_PLUGIN_SESSION=session.v9", `cannot be started by hand`},
		"no certificate":           {"PLUGIN_CLIENT_CERT=", "PLUGIN_CLIENT_CERT"},
		"no place for a socket":    {"PLUGIN_UNIX_SOCKET_DIR=/nonexistent", "no session could be opened: "},
		"certificate of no use":    {"PLUGIN_CLIENT_CERT=hello", "PLUGIN_CLIENT_CERT"},
		"place that is a file yet": {"PLUGIN_UNIX_SOCKET_DIR=" + os.Args[0], "no session could be opened: "},
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" && strings.Contains(c.variable, "SOCKET") {
				return // no sockets there
			}
			p := start(t, []string{session.Argument}, c.variable)
			rest := p.wait(t)
			text, closed := strings.CutSuffix(p.stderr.String(), "closed\n")
			failure, err := protocol.ParseError([]byte(text))
			if rest != "" || p.cmd.ProcessState.ExitCode() != 1 || !closed || err != nil || !strings.Contains(failure.Message, c.want) {
				t.Errorf("%q, %v, %q", rest, p.cmd.ProcessState, p.stderr.String())
			}
		})
	}
	t.Run("stdio as ever, and the metadata offers both", func(t *testing.T) {
		p := start(t, []string{string(protocol.CommandGetMetadata)})
		io.WriteString(p.stdin, "{}")
		p.stdin.Close()
		if rest := p.wait(t); !strings.Contains(rest, `"transports":["stdio","session.v1"]`) {
			t.Errorf("%q, %q", rest, p.stderr.String())
		}
	})
}

// host is go-plugin's view of the plugin: the connection.
type host struct {
	goplugin.NetRPCUnsupportedPlugin
}

func (host) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error { return errors.ErrUnsupported }

func (host) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}

// TestGoPluginHost opens a session with go-plugin's own client, which knows nothing
// of this module. It runs alone: go-plugin gives the plugin the stdin of the test.
func TestGoPluginHost(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	stdin, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	defer stdin.Close()
	defer func(old *os.File) { os.Stdin = old }(os.Stdin)
	os.Stdin = stdin
	cmd := exec.Command(self, "session")
	cmd.Env = []string{serveVariable + "=1"}
	client := goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  goplugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "NOTATION_PLUGIN_SESSION", MagicCookieValue: "session.v1"},
		Plugins:          goplugin.PluginSet{"any": host{}},
		Cmd:              cmd,
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		AutoMTLS:         true,
		Logger:           hclog.NewNullLogger(),
	})
	defer client.Kill()
	protocolClient, err := client.Client()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := protocolClient.Dispense("any")
	if err != nil {
		t.Fatal(err)
	}
	// The fields of both messages in terms of a well-known one: text in the first,
	// and the second unknown to it.
	request, response := wrapperspb.String("get-plugin-metadata"), new(wrapperspb.StringValue)
	request.ProtoReflect().SetUnknown([]byte("\x12\x02{}"))
	if err := conn.(*grpc.ClientConn).Invoke(t.Context(), "/signet.session.v1.Session/Call", request, response); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(response.Value, `"name":"acme"`) {
		t.Errorf("%q", response.Value)
	}
	client.Kill()
	if !client.Exited() || !cmd.ProcessState.Success() {
		t.Error("it did not end well:", cmd.ProcessState)
	}
}
