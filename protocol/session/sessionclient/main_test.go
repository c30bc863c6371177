package sessionclient_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/testbuffer"
	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/session/sessionclient"
)

// The test binary is a plugin in three ways: by a script of package testplugin, as
// plain go-plugin makes one, and as one that misbehaves.
func TestMain(m *testing.M) {
	if os.Getenv(hostVariable) != "" && len(os.Args) == 1 {
		beHost(os.Getenv(hostVariable))
	}
	if mode := os.Getenv(rawVariable); mode != "" {
		serveRaw(mode)
	}
	if mode := os.Getenv(hostileVariable); mode != "" {
		serveHostile(mode)
	}
	testplugin.Main(m, map[string]testplugin.Func{"echo": echo, "huge": huge, "pin": askPIN})
}

// patience is more than any call in these tests takes on a busy machine.
const patience = 30 * time.Second

// echo answers describe-key with whatever key id it was asked for.
func echo(_ protocol.Command, request []byte) ([]byte, error) {
	var q protocol.DescribeKeyRequest
	if err := json.Unmarshal(request, &q); err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `{"keyId":%q,"keySpec":"EC-256"}`, q.KeyID), nil
}

// huge answers with so many bytes as the key id says, spaces mostly.
func huge(_ protocol.Command, request []byte) ([]byte, error) {
	var q protocol.DescribeKeyRequest
	if err := json.Unmarshal(request, &q); err != nil {
		return nil, err
	}
	var size int
	fmt.Sscan(q.KeyID, &size)
	answer := fmt.Appendf(nil, `{"keyId":%q,"keySpec":"EC-256"}`, q.KeyID)
	return append(answer, bytes.Repeat([]byte(" "), size-len(answer))...), nil
}

// plugin is an installed plugin with a transport to it.
type plugin struct {
	*sessionclient.Transport
	program sessionclient.Program
	dir     string
	text    testbuffer.Buffer

	mu     sync.Mutex
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
	p.program.Path = testplugin.Install(t, p.dir, "acme", script)
	p.Transport = &sessionclient.Transport{Timeout: patience, Grace: 100 * time.Millisecond, Stderr: &p.text, Open: p.open}
	t.Cleanup(func() {
		p.Close()
		if opened, closed := p.count(); opened != closed {
			t.Errorf("%d processes were to be started, and %d were released", opened, closed)
		}
		p.noneLeft(t)
	})
	return p
}

func (p *plugin) open(context.Context) (*sessionclient.Program, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opened++
	program := p.program
	program.Release = func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.closed++
	}
	return &program, nil
}

func (p *plugin) count() (opened, closed int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened, p.closed
}

func (p *plugin) file(name string) string { return filepath.Join(p.dir, name) }

func (p *plugin) metadata(ctx context.Context) error {
	_, err := protocol.NewClient("acme", p.Transport).GetMetadata(ctx, nil)
	return err
}

func (p *plugin) describe(ctx context.Context, keyID string) error {
	_, err := protocol.NewClient("acme", p.Transport).DescribeKey(ctx, &protocol.DescribeKeyRequest{KeyID: keyID})
	return err
}

// processes returns the processes that were asked something, in order of their
// first call.
func (p *plugin) processes(t testing.TB) []int {
	t.Helper()
	var pids []int
	for _, record := range testplugin.Records(t, p.file("record")) {
		if !record.Session {
			t.Error("a call by stdio")
		}
		if !slices.Contains(pids, record.Pid) {
			pids = append(pids, record.Pid)
		}
	}
	return pids
}

// noted returns the processes that noted their id in the pids file.
func (p *plugin) noted(t testing.TB) []int {
	t.Helper()
	data, _ := os.ReadFile(p.file("pids"))
	var pids []int
	for field := range strings.FieldsSeq(string(data)) {
		var pid int
		if _, err := fmt.Sscan(field, &pid); err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// noneLeft fails the test if one of them still is.
func (p *plugin) noneLeft(t testing.TB) {
	t.Helper()
	for _, pid := range p.noted(t) {
		if exists(pid) {
			t.Errorf("process %d is left", pid)
		}
	}
}

// until polls for a condition.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited for: %s", what)
		}
	}
}

func is[E error](err error, check func(E) bool) bool {
	e, ok := errors.AsType[E](err)
	return ok && check(e)
}
