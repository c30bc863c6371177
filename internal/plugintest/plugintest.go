// Package plugintest is the suite that every key plugin passes over its real
// backend: each key type in both envelope formats, certificate chains, versions,
// concurrency, the failures that users meet, and every clause of the conformance kit.
//
// A plugin's test binary is the plugin too: its TestMain calls Main. A test then
// provisions keys in the backend and hands them to Run:
//
//	func TestMain(m *testing.M) { plugintest.Main(m, "acme", func() protocol.Plugin { return New(…) }) }
//
//	func TestBackend(t *testing.T) {
//		plugintest.Run(t, plugintest.Backend{
//			Name: "acme", Transport: plugintest.Start(t, "acme", "ACME_TOKEN=…"),
//			Keys: map[protocol.KeySpec]string{…}, MissingKey: "no-such-key",
//			Failures: []plugintest.Failure{…}, Secrets: []string{token},
//		})
//	}
package plugintest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/testbuffer"
	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/session"
	"github.com/signet-project/signet/protocol/stdio"
)

// Backend is a plugin with keys made for the test. The keys need no certificate:
// the suite issues one for the public key that describe-key answers.
type Backend struct {
	// Name is the plugin's, "acme" of notation-acme.
	Name string
	// Transport reaches the plugin: Start's Process, or InProcess.
	Transport protocol.Transport
	// Warm reaches the plugin for many signatures at once; nil means Transport.
	Warm protocol.Transport
	// Keys holds the id of a key for each key spec that the backend offers.
	Keys map[protocol.KeySpec]string
	// Config is the plugin configuration of every request.
	Config map[string]string
	// MissingKey is the id of a key that does not exist.
	MissingKey string
	// Rotate makes a new version of the key, which may be any of Keys; nil where
	// keys have no versions. It is called last.
	Rotate func(t *testing.T, keyID string)
	// Failures are requests that have to fail, each in its way.
	Failures []Failure
	// Secrets must turn up in no answer, no error and nothing printed.
	Secrets []string
}

// Failure is a request that has to fail.
type Failure struct {
	// Name of the subtest.
	Name string
	// Transport in place of the backend's; nil means the same.
	Transport protocol.Transport
	// KeyID in place of one of the backend's; "" means one of them.
	KeyID string
	// Config is added to the backend's.
	Config map[string]string
	// Code and Text, parts of the message, are what the answer must have.
	Code protocol.ErrorCode
	Text []string
}

// InProcess is the transport of a plugin in the test's own process: one warm
// session. Messages go through JSON all the same.
type InProcess struct{ Plugin protocol.Plugin }

// Call answers a request.
func (p InProcess) Call(ctx context.Context, command protocol.Command, request []byte) ([]byte, error) {
	var answer bytes.Buffer
	if err := protocol.Handle(ctx, p.Plugin, string(command), bytes.NewReader(request), &answer); err != nil {
		return nil, err
	}
	return answer.Bytes(), nil
}

// Main runs the tests of m, or serves the plugin where the process is one that
// Start started, and ends the process.
func Main(m *testing.M, name string, plugin func() protocol.Plugin) {
	base := strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe")
	if base == protocol.BinaryPrefix+name {
		session.Serve(plugin())
	}
	os.Exit(m.Run())
}

// patience is how long a call may take on a busy machine.
const patience = 5 * time.Minute

// Process is the transport of a plugin in a process of its own for each call,
// as hosts use it.
type Process struct {
	stdio.Transport
	stderr *testbuffer.Buffer
}

// Start makes a Process of the test binary under the name of the plugin. env is
// its whole environment ("NAME=value"), but for what makes a process work.
func Start(t testing.TB, name string, env ...string) *Process {
	t.Helper()
	path := testplugin.Link(t, t.TempDir(), name)
	for _, name := range []string{"PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "GODEBUG", "LD_LIBRARY_PATH", "GOCOVERDIR"} {
		if value, ok := os.LookupEnv(name); ok && !slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") }) {
			env = append(env, name+"="+value)
		}
	}
	stderr := &testbuffer.Buffer{}
	return &Process{stdio.Transport{Path: path, Env: env, Stderr: stderr, Timeout: patience}, stderr}
}

// With is the same plugin with more in its environment.
func (p *Process) With(env ...string) *Process {
	other := *p
	other.Env = append(slices.Clone(p.Env), env...)
	return &other
}

// Printed is what the processes have written to stderr so far, errors aside.
func (p *Process) Printed() string { return p.stderr.String() }

// discreet fails the test when a secret turns up in what a transport brings.
type discreet struct {
	t         *testing.T
	transport protocol.Transport
	secrets   []string
}

func (d discreet) Call(ctx context.Context, command protocol.Command, request []byte) ([]byte, error) {
	answer, err := d.transport.Call(ctx, command, request)
	for _, secret := range d.secrets {
		if bytes.Contains(answer, []byte(secret)) || (err != nil && strings.Contains(err.Error(), secret)) {
			d.t.Errorf("%s: the answer holds a secret: %s, %v", command, answer, err)
		}
		if p, ok := d.transport.(*Process); ok && strings.Contains(p.Printed(), secret) {
			d.t.Errorf("%s: the plugin printed a secret: %s", command, p.Printed())
		}
	}
	return answer, err
}

// Sign describes a key and signs with it, for a CSR or with its chain.
func Sign(t testing.TB, client *protocol.Client, keyID string, config map[string]string, csr bool) (*protocol.GenerateSignatureResponse, error) {
	t.Helper()
	described, err := client.DescribeKey(t.Context(), &protocol.DescribeKeyRequest{KeyID: keyID, PluginConfig: config})
	if err != nil {
		return nil, err
	}
	return Generate(t, client, keyID, described.KeySpec, config, csr)
}

// Generate signs with a key of a known spec, for a CSR or with its chain.
func Generate(t testing.TB, client *protocol.Client, keyID string, spec protocol.KeySpec, config map[string]string, csr bool) (*protocol.GenerateSignatureResponse, error) {
	t.Helper()
	suite, _ := protocol.SuiteOf(spec)
	request := &protocol.GenerateSignatureRequest{KeyID: keyID, KeySpec: spec, Hash: suite.Hash, Payload: []byte("payload"), PluginConfig: config}
	if csr {
		request.Purpose = protocol.PurposeCSR
	}
	return client.GenerateSignature(t.Context(), request)
}

// MustSign is Sign, which must succeed.
func MustSign(t testing.TB, client *protocol.Client, keyID string, config map[string]string, csr bool) *protocol.GenerateSignatureResponse {
	t.Helper()
	signed, err := Sign(t, client, keyID, config, csr)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// WantError checks that err is a plugin's answer of the code, with all of text
// in its message.
func WantError(t testing.TB, err error, code protocol.ErrorCode, text ...string) {
	t.Helper()
	failure, ok := errors.AsType[*protocol.Error](err)
	if !ok || failure.Code != code {
		t.Errorf("error %v, want %s", err, code)
		return
	}
	for _, part := range text {
		if !strings.Contains(failure.Message, part) {
			t.Errorf("message %q does not say %q", failure.Message, part)
		}
	}
	if strings.ContainsRune(failure.Message, '\n') {
		t.Errorf("message %q has several lines", failure.Message)
	}
}
