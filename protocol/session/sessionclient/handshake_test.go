package sessionclient_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/session/sessionclient"
	"github.com/signet-project/signet/protocol/stdio"
)

func TestHandshake(t *testing.T) {
	t.Parallel()
	exited := func(code int) func(error) bool {
		return func(err error) bool { return is(err, func(e *stdio.ExitError) bool { return e.Code == code }) }
	}
	says := func(text string) func(error) bool {
		return func(err error) bool {
			return strings.Contains(err.Error(), text) && !strings.Contains(err.Error(), "\n")
		}
	}
	certificate := base64.RawStdEncoding.EncodeToString(testpki.Root(t, "plugin").Cert.Raw)
	late := func(err error) bool { return is(err, func(*stdio.TimeoutError) bool { return true }) }
	for name, c := range map[string]struct {
		session testplugin.Session
		timeout time.Duration
		ok      func(error) bool
	}{
		"ends":                     {session: testplugin.Session{Exit: 3, Stderr: "no licence\n"}, ok: exited(3)},
		"ends, and says why":       {session: testplugin.Session{Exit: 3, Stderr: "no licence\n"}, ok: says("ended with exit status 3: no licence")},
		"keeps silent":             {session: testplugin.Session{Silent: true}, timeout: 3 * time.Second, ok: late},
		"keeps silent, and deaf":   {session: testplugin.Session{Silent: true, Deaf: true}, timeout: 3 * time.Second, ok: late},
		"text":                     {session: testplugin.Session{Line: "hello"}, ok: says("hello")},
		"text ahead":               {session: testplugin.Session{Before: "hello\n"}, ok: says("hello")},
		"an answer":                {session: testplugin.Session{Line: `{"name":"acme"}`}, ok: says("acme")},
		"endless line":             {session: testplugin.Session{Line: strings.Repeat("x", 1<<20)}, ok: says("xxx")},
		"other version":            {session: testplugin.Session{Line: "1|2|unix|{socket}|grpc|" + certificate}, ok: says("version")},
		"other core version":       {session: testplugin.Session{Line: "2|1|unix|{socket}|grpc|" + certificate}, ok: says("version")},
		"net/rpc":                  {session: testplugin.Session{Line: "1|1|unix|{socket}|netrpc|" + certificate}, ok: says("netrpc")},
		"socket of somebody else":  {session: testplugin.Session{Line: "1|1|unix|/run/docker.sock|grpc|" + certificate}, ok: says("neither in the directory")},
		"socket by a way around":   {session: testplugin.Session{Line: "1|1|unix|{socket}/../../x|grpc|" + certificate}, ok: says("neither in the directory")},
		"address in the network":   {session: testplugin.Session{Line: "1|1|tcp|192.0.2.1:80|grpc|" + certificate}, ok: says("neither in the directory")},
		"host name":                {session: testplugin.Session{Line: "1|1|tcp|localhost.example:80|grpc|" + certificate}, ok: says("neither in the directory")},
		"nobody at the address":    {session: testplugin.Session{Line: "1|1|tcp|127.0.0.1:1|grpc|" + certificate}, ok: says("connection")},
		"no certificate":           {session: testplugin.Session{Line: "1|1|unix|{socket}|grpc|"}, ok: says("field 6 of its handshake, the certificate, is empty")},
		"certificate of no form":   {session: testplugin.Session{Line: "1|1|unix|{socket}|grpc|" + strings.Repeat("A", 100)}, ok: says("field 6 of its handshake, the certificate,")},
		"nobody speaks":            {session: testplugin.Session{Line: "1|1|unix|{socket}|grpc|" + certificate}, timeout: 3 * time.Second, ok: late},
		"leaves a daemon, is deaf": {session: testplugin.Session{Line: "hello", Deaf: true, Fork: testplugin.ForkPlain}, ok: says("hello")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := install(t, testplugin.Script{Session: &c.session})
			if c.timeout != 0 {
				p.Timeout = c.timeout
			}
			err := p.metadata(t.Context())
			if !is(err, func(*sessionclient.HandshakeError) bool { return true }) || !c.ok(err) {
				t.Error(err)
			}
			if opened, _ := p.count(); opened != 1 {
				t.Errorf("%d processes were started", opened)
			}
			if pids := p.processes(t); len(pids) != 0 {
				t.Error("a call was made")
			}
		})
	}
}

func TestStart(t *testing.T) {
	t.Parallel()
	reason := errors.New("not the plugin it was")
	t.Run("the executable is refused", func(t *testing.T) {
		p := install(t, testplugin.Script{})
		p.Transport.Open = func(context.Context) (*sessionclient.Program, error) { return nil, reason }
		if err := p.metadata(t.Context()); !errors.Is(err, reason) {
			t.Error(err)
		}
	})
	t.Run("the process is refused", func(t *testing.T) {
		p := install(t, testplugin.Script{})
		p.program.Check = func() error { return reason }
		if err := p.metadata(t.Context()); !errors.Is(err, reason) {
			t.Error(err)
		}
		if pids := p.processes(t); len(pids) != 0 {
			t.Error("a call was made")
		}
	})
	t.Run("it cannot be run", func(t *testing.T) {
		p := install(t, testplugin.Script{})
		p.program.Path = p.file("absent")
		if err := p.metadata(t.Context()); !is(err, func(e *sessionclient.StartError) bool { return e.Path == p.program.Path }) {
			t.Error(err)
		}
	})
}

// TestRaw is about plugins made with go-plugin alone, by somebody who read the
// specification, or did not.
func TestRaw(t *testing.T) {
	t.Parallel()
	raw := func(t *testing.T, mode string) *plugin {
		p := install(t, testplugin.Script{})
		p.program.Env = []string{rawVariable + "=" + mode}
		return p
	}
	t.Run("conforming", func(t *testing.T) {
		p := raw(t, "conforming")
		for range 3 {
			if err := p.describe(t.Context(), "k"); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("what it prints is read, and its stderr passed on", func(t *testing.T) {
		p := raw(t, "prints")
		if err := p.describe(t.Context(), "k"); err != nil {
			t.Error(err)
		}
		line := strings.Repeat("err", 100) + "\n"
		until(t, "all of it", func() bool { return p.text.String() == strings.Repeat(line, 1<<10) })
	})
	t.Run("what it prints has a bound", func(t *testing.T) {
		p := raw(t, "prints")
		p.MaxOutput = 100 << 10
		err := p.describe(t.Context(), "k")
		for try := 0; err == nil && try < 2; try++ { // the answer, on a stream of its own, was faster
			err = p.describe(t.Context(), "k")
		}
		if !is(err, func(e *protocol.AnswerError) bool {
			return strings.HasPrefix(e.Reason, "wrote more than 102400 bytes to std")
		}) {
			t.Error(err)
		}
	})
	for mode, want := range map[string]string{
		"no service":       "Unimplemented",
		"status":           "answered with gRPC status PermissionDenied: go away",
		"malformed error":  "answered with a malformed error",
		"empty":            "no JSON at all",
		"null":             "not a JSON object but a null",
		"both":             "oops", // the error counts
		"wrong key":        `keyID in describeKey response "other"`,
		"garbage protobuf": "",
	} {
		t.Run(mode, func(t *testing.T) {
			p := raw(t, mode)
			err := p.describe(t.Context(), "k")
			broken := is(err, func(*protocol.AnswerError) bool { return true })
			failed := is(err, func(*protocol.Error) bool { return mode == "both" })
			if !broken && !failed || !strings.Contains(err.Error(), want) {
				t.Error(err)
			}
			if opened, _ := p.count(); opened != 1 {
				t.Errorf("%d processes were started", opened)
			}
		})
	}
	t.Run("unavailable", func(t *testing.T) {
		p := raw(t, "unavailable")
		if err := p.describe(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), "again when the call was repeated") {
			t.Error(err)
		}
	})
	t.Run("no TLS", func(t *testing.T) {
		p := raw(t, "no TLS")
		if err := p.describe(t.Context(), "k"); !is(err, func(*sessionclient.HandshakeError) bool { return true }) {
			t.Error(err)
		}
	})
	t.Run("certificate of somebody else", func(t *testing.T) {
		p := raw(t, "other certificate")
		err := p.describe(t.Context(), "k")
		if !is(err, func(*sessionclient.HandshakeError) bool { return true }) || !strings.Contains(err.Error(), "certificate") {
			t.Error(err)
		}
	})
}
