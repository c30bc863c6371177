package session_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/session"
	"github.com/signet-project/signet/protocol/stdio"
)

func TestMain(m *testing.M) { testplugin.Main(m, nil) }

// patience is more than any call in these tests takes on a busy machine.
const patience = 30 * time.Second

// plugin is an installed plugin with a transport to it.
type plugin struct {
	*session.Transport
	dir    string
	text   lockedBuffer
	opened int // processes that were to be started
	closed int // processes of which nothing is left
}

// install installs a plugin that offers sessions. Record and Pids of the script
// are files of the test's.
func install(t testing.TB, script testplugin.Script) *plugin {
	t.Helper()
	p := &plugin{dir: t.TempDir()}
	script.Record, script.Pids = p.file("record"), p.file("pids")
	if script.Session == nil {
		script.Session = &testplugin.Session{}
	}
	path := testplugin.Install(t, p.dir, "acme", script)
	var mu sync.Mutex
	p.Transport = &session.Transport{
		Timeout: patience, Grace: 50 * time.Millisecond, Stderr: &p.text,
		Open: func(context.Context) (*session.Program, error) {
			mu.Lock()
			defer mu.Unlock()
			p.opened++
			return &session.Program{Path: path, Release: func() { p.closed++ }}, nil
		},
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func (p *plugin) file(name string) string { return filepath.Join(p.dir, name) }

func (p *plugin) client() *protocol.Client { return protocol.NewClient("acme", p.Transport) }

func (p *plugin) metadata(ctx context.Context) error {
	_, err := p.client().GetMetadata(ctx, nil)
	return err
}

// pids returns the processes that answered calls, in order of their first.
func (p *plugin) pids(t testing.TB) []int {
	t.Helper()
	var pids []int
	for _, record := range testplugin.Records(t, p.file("record")) {
		if !record.Session {
			t.Error("a call by stdio")
		}
		if len(pids) == 0 || pids[len(pids)-1] != record.Pid {
			pids = append(pids, record.Pid)
		}
	}
	return pids
}

type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

func TestSession(t *testing.T) {
	t.Run("many calls, one process", func(t *testing.T) {
		p := install(t, testplugin.Script{})
		for range 5 {
			if err := p.metadata(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if pids := p.pids(t); len(pids) != 1 {
			t.Error(pids)
		}
		if text := p.text.String(); text != "" {
			t.Errorf("on stderr: %q", text)
		}
		p.Close()
		if p.opened != 1 || p.closed != 1 {
			t.Error(p.opened, p.closed)
		}
		if err := p.metadata(t.Context()); !errors.Is(err, session.ErrClosed) {
			t.Error(err)
		}
	})
	t.Run("the plugin's errors", func(t *testing.T) {
		p := install(t, testplugin.Script{Any: &testplugin.Reply{Error: &protocol.Error{
			Code: protocol.CodeAccessDenied, Message: "no", Metadata: map[string]string{"a": "b"},
		}}})
		err := p.metadata(t.Context())
		failure, ok := errors.AsType[*protocol.Error](err)
		if !ok || failure.Code != protocol.CodeAccessDenied || failure.Message != "no" || failure.Metadata["a"] != "b" {
			t.Error(err)
		}
	})
	t.Run("a panic answers its call and leaves the session", func(t *testing.T) {
		p := install(t, testplugin.Script{Replies: map[protocol.Command]testplugin.Reply{protocol.CommandDescribeKey: {Panic: "oops"}}})
		_, err := p.client().DescribeKey(t.Context(), &protocol.DescribeKeyRequest{KeyID: "k"})
		if failure, ok := errors.AsType[*protocol.Error](err); !ok || failure.Code != protocol.CodeGeneric || !strings.Contains(failure.Message, "oops") {
			t.Error(err)
		}
		if err := p.metadata(t.Context()); err != nil {
			t.Error(err)
		}
		if pids := p.pids(t); len(pids) != 1 {
			t.Error(pids)
		}
	})
	t.Run("a crash repeats the call, once", func(t *testing.T) {
		p := install(t, testplugin.Script{Any: &testplugin.Reply{Kill: true}})
		p.Transport.Stderr = nil
		err := p.metadata(t.Context())
		if exit, ok := errors.AsType[*stdio.ExitError](err); !ok || exit.Code == 0 || !strings.Contains(err.Error(), "again when the call was repeated") {
			t.Error(err)
		}
		if pids := p.pids(t); len(pids) != 2 {
			t.Error(pids)
		}
	})
	t.Run("after one crash another process answers", func(t *testing.T) {
		p := install(t, testplugin.Script{Any: &testplugin.Reply{Kill: true, Once: filepath.Join(t.TempDir(), "once")}})
		if err := p.metadata(t.Context()); err != nil {
			t.Error(err)
		}
		if pids := p.pids(t); len(pids) != 2 {
			t.Error(pids)
		}
	})
}
