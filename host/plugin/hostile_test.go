package plugin_test

import (
	"cmp"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/host/plugin"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/stdio"
)

func init() {
	plugin.TestFuncs["sign"] = sign
	plugin.TestFuncs["envelope"] = makeEnvelope
}

const (
	// hangTime is the deadline of calls that overrun it, and patience that of the
	// others, on a busy machine.
	hangTime = 5 * time.Second
	patience = time.Minute
)

// hostile is a plugin that a host has to survive.
type hostile struct {
	name string
	// any is what it does after a good get-plugin-metadata.
	any testplugin.Reply
	// capabilities and replies make a plugin that signs.
	capabilities []protocol.Capability
	replies      map[protocol.Command]testplugin.Reply
	config       map[string]string
	// want tells the error that has to come.
	want    func(error) bool
	timeout time.Duration
	// left is how many processes it leaves behind, if the system lets it.
	left int
}

// answers makes an answer that is the same by both transports.
func answers(text string) testplugin.Reply { return testplugin.Reply{Raw: []byte(text)} }

func isError[E error](text string) func(error) bool {
	return func(err error) bool {
		_, ok := errors.AsType[E](err)
		return ok && strings.Contains(err.Error(), text)
	}
}

func malformed(text string) func(error) bool { return isError[*protocol.AnswerError](text) }

// signFails is about errors of the flow that signs, which names the plugin.
func signFails(text string) func(error) bool { return isError[*host.PluginSignError](text) }

// TestHostile has a line for each case of issue 5, and in it one for each
// transport. All are of a plugin that is installed, and asked by the manager.
func TestHostile(t *testing.T) {
	base := t.TempDir()
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	w := &world{base: base}
	w.key, w.chain = testpki.Root(t, "root").Leaf(t, "leaf", protocol.KeySpecEC256).WriteFiles(t, base, "leaf")
	_, w.otherChain = testpki.Root(t, "other").Leaf(t, "other", protocol.KeySpecEC256).WriteFiles(t, base, "other")
	t.Run("survived", func(t *testing.T) {
		for _, h := range append(misbehaving(), signing(w)...) {
			t.Run(h.name, func(t *testing.T) {
				t.Parallel()
				t.Run("stdio", func(t *testing.T) { w.survive(t, h, false) })
				t.Run("session", func(t *testing.T) { w.survive(t, h, true) })
			})
		}
		t.Run("replaced on disk between check and run", func(t *testing.T) {
			t.Parallel()
			t.Run("stdio", func(t *testing.T) { w.replaced(t, nil) })
			t.Run("session", func(t *testing.T) { w.replaced(t, &testplugin.Session{}) })
		})
		for name, place := range notPrograms {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w.notProgram(t, place)
			})
		}
		t.Run("reads the environment for secrets", func(t *testing.T) {
			t.Parallel()
			t.Run("stdio", func(t *testing.T) { w.secrets(t, nil) })
			t.Run("session", func(t *testing.T) { w.secrets(t, &testplugin.Session{}) })
		})
		t.Run("name with separators", func(t *testing.T) { t.Parallel(); w.names(t) })
		t.Run("thousands of plugins in the folder, one of which hangs on list", func(t *testing.T) { t.Parallel(); w.thousands(t) })
	})
	t.Run("no stray process", func(t *testing.T) {
		for _, process := range processesBelow(base) {
			t.Error(process)
		}
	})
}

// misbehaving are the plugins that are wrong at any command.
func misbehaving() []hostile {
	const more = protocol.MaxMessageSize + 1<<20 // by more than a pipe holds
	late, ended := isError[*stdio.TimeoutError]("no answer within"), isError[*stdio.ExitError]("ended with")
	good := `{"keyId":"k","keySpec":"EC-256"}`
	return []hostile{
		{name: "hangs", any: testplugin.Reply{Hang: true}, want: late, timeout: hangTime},
		{name: "ignores SIGTERM", any: testplugin.Reply{Hang: true, IgnoreTerm: true}, want: late, timeout: hangTime},
		{name: "forks a grandchild that holds stdout", any: testplugin.Reply{Fork: testplugin.ForkPlain}, left: 1},
		{name: "forks a grandchild with setsid", any: testplugin.Reply{Fork: testplugin.ForkSetsid}, left: 1},
		{name: "forks a grandchild with a double fork", any: testplugin.Reply{Fork: testplugin.ForkDouble}, left: 1},
		{name: "floods stdout", any: testplugin.Reply{FloodStdout: more}, want: malformed("to stdout")},
		{name: "floods stderr", any: testplugin.Reply{FloodStderr: more}, want: malformed("to stderr")},
		{name: "writes garbage before JSON", any: answers("DEBUG hello\n" + good), want: malformed("malformed answer")},
		{name: "two JSON documents", any: answers(good + good), want: malformed("more text after")},
		{name: "exit 0 with an error document", any: answers(`{"errorCode":"ACCESS_DENIED"}`), want: malformed("an error where an answer was due")},
		{name: "exit 1 with none", any: testplugin.Reply{Exit: 1, Mute: true}, want: ended},
		{name: "kills itself", any: testplugin.Reply{Kill: true, Mute: true}, want: ended},
		{name: "answers {}", any: answers("{}"), want: malformed("")},
		{name: "answers null", any: answers("null"), want: malformed("not a JSON object but a null")},
		{name: "answers []", any: answers("[]"), want: malformed("not a JSON object but a list")},
		{name: "deep nesting", any: answers(strings.Repeat(`{"a":`, 100000)), want: malformed("nested deeper")},
		{name: "invalid UTF-8", any: answers("{\"keyId\":\"\xff\"}"), want: malformed("UTF-8")},
		{name: "duplicate members", any: answers(`{"keyId":"k",` + good[1:]), want: malformed("duplicate")},
	}
}

// signing are the plugins that are wrong in what they sign.
func signing(w *world) []hostile {
	set := func(command protocol.Command, member string, value any) map[protocol.Command]testplugin.Reply {
		return map[protocol.Command]testplugin.Reply{command: {Set: map[string]any{member: value}}}
	}
	byFunc := func(command protocol.Command, name string) map[protocol.Command]testplugin.Reply {
		return map[protocol.Command]testplugin.Reply{
			protocol.CommandDescribeKey: {Raw: []byte(`{"keyId":"k","keySpec":"EC-256"}`)},
			command:                     {Func: name},
		}
	}
	raw := []protocol.Capability{protocol.CapabilitySignatureGenerator}
	whole := []protocol.Capability{protocol.CapabilityBlobEnvelopeGenerator}
	return []hostile{
		{name: "answers for another key", capabilities: raw, replies: set(protocol.CommandGenerateSignature, "keyId", "other"), want: signFails(`does not match request "k"`)},
		{name: "describes another key", capabilities: raw, replies: set(protocol.CommandDescribeKey, "keyId", "other"), want: signFails(`does not match request "k"`)},
		{name: "wrong algorithm", capabilities: raw, replies: set(protocol.CommandGenerateSignature, "signingAlgorithm", "ECDSA-SHA-384"), want: signFails("does not go with key spec")},
		{name: "wrong algorithm, all along", capabilities: raw, replies: set(protocol.CommandDescribeKey, "keySpec", "EC-384"), want: signFails("")},
		{name: "signature over something else", capabilities: raw, replies: byFunc(protocol.CommandGenerateSignature, "sign"), config: map[string]string{"over": "else"}, want: signFails("does not verify")},
		{name: "signature of no form", capabilities: raw, replies: set(protocol.CommandGenerateSignature, "signature", base64.StdEncoding.EncodeToString([]byte("short"))), want: signFails("does not verify")},
		{name: "chain of another key", capabilities: raw, replies: byFunc(protocol.CommandGenerateSignature, "sign"), config: map[string]string{"chain": w.otherChain}, want: signFails("does not verify")},
		{name: "alters the payload in an envelope", capabilities: whole, replies: byFunc(protocol.CommandGenerateEnvelope, "envelope"), config: map[string]string{"alter": "size"}, want: signFails("changed the payload")},
		{name: "drops annotations", capabilities: whole, replies: byFunc(protocol.CommandGenerateEnvelope, "envelope"), config: map[string]string{"alter": "annotations"}, want: signFails("changed the payload")},
	}
}

// world is what the cases share: a directory, a key with its chain, and a chain of
// another key.
type world struct{ base, key, chain, otherChain string }

// dir makes a directory below the common one that others cannot write.
func (w *world) dir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(w.base, "")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// client gets a client of a plugin, in a session or not.
func client(t *testing.T, m *plugin.Manager, name string, session bool) (c *protocol.Client, end func(), err error) {
	t.Helper()
	if !session {
		c, err = m.Get(t.Context(), name)
		return c, func() {}, err
	}
	c, endSession, err := m.Session(t.Context(), name)
	if err != nil {
		return nil, nil, err
	}
	return c, func() {
		if err := endSession(); err != nil {
			t.Error(err)
		}
	}, nil
}

// survive makes the host call, or sign with, a hostile plugin.
func (w *world) survive(t *testing.T, h hostile, session bool) {
	dir := w.dir(t)
	script := testplugin.Script{
		Pids: filepath.Join(dir, "pids"), Record: filepath.Join(dir, "record"), Key: w.key, Chain: w.chain,
		Capabilities: h.capabilities, Replies: h.replies,
	}
	if script.Replies == nil {
		script.Replies = map[protocol.Command]testplugin.Reply{protocol.CommandDescribeKey: h.any}
	}
	if session {
		script.Session = &testplugin.Session{}
	}
	m := plugin.NewManager(filepath.Join(dir, "plugins"), plugin.Options{Environ: systemEnviron(), Timeout: cmp.Or(h.timeout, patience)})
	testplugin.Install(t, m.Dir(), "x", script)
	c, end, err := client(t, m, "x", session)
	if err != nil {
		t.Fatal(err)
	}
	if h.capabilities == nil {
		_, err = c.DescribeKey(t.Context(), &protocol.DescribeKeyRequest{KeyID: "k"})
	} else {
		config := map[string]string{"key": w.key, "chain": w.chain}
		maps.Copy(config, h.config)
		err = signBlob(t.Context(), c, config)
	}
	end()
	switch {
	case h.want == nil && err != nil, h.want != nil && (err == nil || !h.want(err)):
		t.Errorf("error: %v", err)
	case err != nil && (!strings.Contains(err.Error(), "plugin x") && !strings.Contains(err.Error(), "plugin with name x") || strings.Contains(err.Error(), "\n")):
		t.Errorf("the message does not name the plugin, or has lines: %q", err)
	}
	w.noneLeft(t, script.Pids, h.left)
	for _, record := range testplugin.Records(t, script.Record) {
		if record.Command != protocol.CommandGetMetadata && record.Session != session {
			t.Errorf("%s by another transport", record.Command)
		}
	}
}

// noneLeft fails the test if a process that noted its id still is.
func (w *world) noneLeft(t *testing.T, pids string, least int) {
	t.Helper()
	data, _ := os.ReadFile(pids)
	fields := strings.Fields(string(data))
	if len(fields) < least {
		t.Errorf("%d processes noted their id, want %d", len(fields), least)
	}
	for _, process := range processesBelow(w.base) {
		if pid, _, _ := strings.Cut(process, " "); slices.Contains(fields, pid) {
			t.Errorf("left: %s", process)
		}
	}
}

// processesBelow returns the processes whose executable is below a directory, as
// "pid command line". It knows of Linux alone: elsewhere plugins that try to get
// away succeed, as package stdio says.
func processesBelow(dir string) []string {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	var found []string
	for _, link := range links {
		target, err := os.Readlink(link)
		if err == nil && strings.HasPrefix(target, dir) {
			process := filepath.Dir(link)
			line, _ := os.ReadFile(filepath.Join(process, "cmdline"))
			found = append(found, filepath.Base(process)+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// systemEnviron is what Windows needs to start a process at all.
func systemEnviron() []string {
	if runtime.GOOS == "windows" {
		return []string{"SystemRoot=" + os.Getenv("SystemRoot")}
	}
	return nil
}

// signBlob signs a file with annotations by the host's flow.
func signBlob(ctx context.Context, c *protocol.Client, config map[string]string) error {
	key, err := host.NewPluginKey(ctx, c, "k", config, host.KindBlob)
	if err != nil {
		return err
	}
	signer := host.Signer{Key: key, UserMetadata: map[string]string{"build": "42"}}
	_, err = signer.SignBlob(ctx, strings.NewReader("the file"), "text/plain")
	return err
}

// sign is a generate-signature that signs what the configuration says, and
// answers the chain that it names.
func sign(_ protocol.Command, request []byte) ([]byte, error) {
	var q protocol.GenerateSignatureRequest
	if err := json.Unmarshal(request, &q); err != nil {
		return nil, err
	}
	key, chain, err := keyOf(q.PluginConfig)
	if err != nil {
		return nil, err
	}
	if over := q.PluginConfig["over"]; over != "" {
		q.Payload = []byte(over)
	}
	signature, err := pki.Sign(key, q.Payload)
	if err != nil {
		return nil, err
	}
	answer := protocol.GenerateSignatureResponse{KeyID: q.KeyID, Signature: signature, SigningAlgorithm: "ECDSA-SHA-256"}
	for _, cert := range chain {
		answer.CertificateChain = append(answer.CertificateChain, cert.Raw)
	}
	return json.Marshal(answer)
}

// makeEnvelope is a generate-envelope that alters what the configuration says.
func makeEnvelope(_ protocol.Command, request []byte) ([]byte, error) {
	var q protocol.GenerateEnvelopeRequest
	if err := json.Unmarshal(request, &q); err != nil {
		return nil, err
	}
	key, chain, err := keyOf(q.PluginConfig)
	if err != nil {
		return nil, err
	}
	var payload struct {
		Target map[string]any `json:"targetArtifact"`
	}
	if err := json.Unmarshal(q.Payload, &payload); err != nil {
		return nil, err
	}
	switch q.PluginConfig["alter"] {
	case "size":
		payload.Target["size"] = 1
	case "annotations":
		delete(payload.Target, "annotations")
	}
	if q.Payload, err = json.Marshal(payload); err != nil {
		return nil, err
	}
	local, err := host.NewLocalKey(key, chain)
	if err != nil {
		return nil, err
	}
	sealed, err := local.Seal(context.Background(), host.SealRequest{Format: envelope.FormatJWS, Payload: q.Payload, SigningTime: time.Now()})
	if err != nil {
		return nil, err
	}
	return json.Marshal(protocol.GenerateEnvelopeResponse{SignatureEnvelope: sealed.Envelope, SignatureEnvelopeType: q.SignatureEnvelopeType})
}

// keyOf reads the key and the chain that a configuration names.
func keyOf(config map[string]string) (crypto.Signer, []*x509.Certificate, error) {
	keyText, err := os.ReadFile(config["key"])
	if err != nil {
		return nil, nil, err
	}
	chainText, err := os.ReadFile(config["chain"])
	if err != nil {
		return nil, nil, err
	}
	key, err := pki.ParsePrivateKey(keyText)
	if err != nil {
		return nil, nil, err
	}
	chain, err := pki.ParseCertificates(chainText)
	return key, chain, err
}

// replaced makes a pinned plugin into another one between check and run. On Linux
// the one that was checked is run, elsewhere none is believed; the next is refused.
func (w *world) replaced(t *testing.T, session *testplugin.Session) {
	dir := w.dir(t)
	ran := filepath.Join(dir, "ran")
	m := plugin.NewManager(filepath.Join(dir, "plugins"), plugin.Options{Environ: systemEnviron(), Timeout: patience})
	path := filepath.Join(m.Dir(), "x", plugin.BinaryName("x"))
	build := func(dir string, script testplugin.Script) string {
		t.Helper()
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		return testplugin.Build(t, dir, "x", script)
	}
	build(filepath.Dir(path), testplugin.Script{Name: "x", Session: session})
	if _, err := m.Pin(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	c, end, err := client(t, m, "x", session != nil)
	if err != nil {
		t.Fatal(err)
	}
	m.SetStep(func(step string) {
		if step == "about to run" {
			evil := build(filepath.Join(dir, "evil"), testplugin.Script{Name: "x", Session: session, Record: ran})
			if err := os.Rename(evil, path); err != nil {
				t.Error(err)
			}
		}
	})
	if _, err := c.GetMetadata(t.Context(), nil); runtime.GOOS == "linux" && err != nil || runtime.GOOS != "linux" && err == nil {
		t.Error(err)
	}
	if records := testplugin.Records(t, ran); runtime.GOOS == "linux" && len(records) != 0 {
		t.Error("the replacement was run")
	}
	end()
	m.SetStep(func(string) {})
	_, _, err = client(t, m, "x", session != nil)
	if !isError[*plugin.PinError]("signet plugin pin x")(err) {
		t.Error(err)
	}
}

// notPrograms put something at a path that cannot be run.
var notPrograms = map[string]func(path string) error{
	"is a symlink": func(path string) error {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		return os.Symlink(self, path)
	},
	"is a directory": func(path string) error { return os.Mkdir(path, 0o755) },
	"not executable": func(path string) error { return os.WriteFile(path, []byte("#!/bin/sh\n"), 0o644) },
	"a script without interpreter": func(path string) error {
		return os.WriteFile(path, []byte("#!/does/not/exist\n"), 0o755)
	},
	"neither script nor program": func(path string) error { return os.WriteFile(path, []byte("hello"), 0o755) },
}

func (w *world) notProgram(t *testing.T, place func(path string) error) {
	m := plugin.NewManager(w.dir(t), plugin.Options{Environ: systemEnviron(), Timeout: patience})
	path := filepath.Join(m.Dir(), "x", plugin.BinaryName("x"))
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := place(path); err != nil {
		t.Fatal(err)
	}
	for _, session := range []bool{false, true} {
		c, end, err := client(t, m, "x", session)
		if err == nil { // found, and then not to be started
			_, err = c.GetMetadata(t.Context(), nil)
			end()
		}
		if runtime.GOOS == "windows" && err != nil {
			continue // modes and interpreters are unix
		}
		if !isError[*plugin.ExecutableError]("plugin x cannot be run: ")(err) {
			t.Error(err)
		}
	}
}

// secrets looks at the environment of every call.
func (w *world) secrets(t *testing.T, session *testplugin.Session) {
	dir := w.dir(t)
	record := filepath.Join(dir, "record")
	m := plugin.NewManager(filepath.Join(dir, "plugins"), plugin.Options{
		Environ: append(systemEnviron(), "NOTATION_USERNAME=s3cret", "NOTATION_PASSWORD=s3cret", "DOCKER_AUTH_CONFIG=s3cret",
			"MINE=s3cret", "ACME_A=s3cret", "ACME_B=s3cret", "KEPT=yes"),
		Withhold: []string{"MINE"}, Timeout: patience,
	})
	testplugin.Install(t, m.Dir(), "x", testplugin.Script{Record: record, Session: session})
	if err := m.Withhold(t.Context(), "x", []string{"ACME_*"}); err != nil {
		t.Fatal(err)
	}
	c, end, err := client(t, m, "x", session != nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetMetadata(t.Context(), nil); err != nil {
		t.Error(err)
	}
	end()
	records := testplugin.Records(t, record)
	if len(records) == 0 || records[len(records)-1].Session != (session != nil) {
		t.Errorf("%+v", records)
	}
	for _, record := range records {
		if env := strings.Join(record.Env, "\n"); strings.Contains(env, "s3cret") || !slices.Contains(record.Env, "KEPT=yes") {
			t.Errorf("the plugin got %s", env)
		}
	}
}

func (w *world) names(t *testing.T) {
	m := plugin.NewManager(w.dir(t), plugin.Options{})
	for _, name := range []string{"a/b", `a\b`, "../x", "/etc/x", "..", ".", "", "a b", "a\x00b", "a\nb", "ä", strings.Repeat("a", 1000)} {
		for _, session := range []bool{false, true} {
			if _, _, err := client(t, m, name, session); !isError[*plugin.NameError]("is not valid")(err) {
				t.Errorf("%q: %v", name, err)
			}
		}
		if err := m.Uninstall(t.Context(), name); !isError[*plugin.NameError]("is not valid")(err) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func (w *world) thousands(t *testing.T) {
	const many, limit = 3000, 3 * time.Second
	dir := w.dir(t)
	m := plugin.NewManager(filepath.Join(dir, "plugins"), plugin.Options{Environ: systemEnviron(), ListTimeout: limit})
	testplugin.Install(t, m.Dir(), "hangs", testplugin.Script{Pids: filepath.Join(dir, "pids"), Any: &testplugin.Reply{Hang: true, IgnoreTerm: true}})
	for i := range many {
		if err := os.Mkdir(filepath.Join(m.Dir(), fmt.Sprintf("p%d", i)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := m.List(t.Context())
	if err != nil || len(entries) != many+1 {
		t.Fatal(len(entries), err)
	}
	for _, entry := range entries {
		if entry.Name != "hangs" && !isError[*plugin.NotInstalledError]("")(entry.Err) || entry.Name == "hangs" && !isError[*stdio.TimeoutError]("")(entry.Err) {
			t.Errorf("%s: %v", entry.Name, entry.Err)
		}
	}
	w.noneLeft(t, filepath.Join(dir, "pids"), 0)
}
