package testplugin

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/session"
	"github.com/signet-project/signet/protocol/signer"
)

// The arguments by which the plugin starts itself again, with the file for
// process ids behind them.
const (
	sleepCommand = "testplugin-sleep"
	forkCommand  = "testplugin-fork"
)

// runIfPlugin returns when this process is no test plugin.
func runIfPlugin(funcs map[string]Func) {
	path, err := os.Executable()
	if err != nil || !strings.HasPrefix(filepath.Base(path), protocol.BinaryPrefix) {
		return
	}
	script, ok := loadScript(path)
	if !ok {
		return
	}
	args := append(os.Args[1:], "", "", "")
	switch args[0] {
	case sleepCommand:
		notePid(args[1])
		time.Sleep(time.Minute)
		os.Exit(0)
	case forkCommand:
		start(path, Fork(args[2]), args[1], false)
		os.Exit(0)
	}
	if args[0] == session.Argument && script.Session != nil {
		serveSession(script, path, funcs)
	}
	run := run{script: script, path: path, command: protocol.Command(args[0]), funcs: funcs}
	run.reply = script.reply(run.command)
	os.Exit(run.do())
}

func (s Script) reply(command protocol.Command) Reply {
	reply, ok := s.Replies[command]
	if !ok && s.Any != nil {
		reply = *s.Any
	}
	if reply.Once == "" {
		return reply
	}
	file, err := os.OpenFile(reply.Once, os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return Reply{}
	}
	file.Close()
	return reply
}

// run is one invocation.
type run struct {
	script  Script
	path    string
	command protocol.Command
	reply   Reply
	funcs   map[string]Func
}

// do does what the reply says, field by field, and returns the exit status.
func (r run) do() int {
	var request []byte
	if !r.reply.IgnoreStdin && !r.reply.CloseStdin {
		request, _ = io.ReadAll(os.Stdin)
	}
	if r.reply.CloseStdin {
		os.Stdin.Close()
	}
	r.record(request, Record{})
	if r.reply.IgnoreTerm {
		signal.Ignore(syscall.SIGTERM, os.Interrupt)
	}
	if r.reply.Fork != "" {
		start(r.path, r.reply.Fork, r.script.Pids, true)
	}
	time.Sleep(r.reply.Delay)
	os.Stderr.WriteString(r.reply.Stderr)

	status := r.reply.Exit
	answer, failure := r.answer(request)
	if failure != nil {
		status = cmp.Or(status, 1)
		data, _ := json.Marshal(failure)
		os.Stderr.Write(append(data, '\n'))
	}
	os.Stdout.WriteString(r.reply.Before)
	os.Stdout.Write(answer)
	os.Stdout.WriteString(r.reply.After)
	flood(os.Stdout, r.reply.FloodStdout)
	flood(os.Stderr, r.reply.FloodStderr)
	if r.reply.Hang {
		notePid(r.script.Pids)
		time.Sleep(time.Minute)
	}
	if r.reply.Kill {
		killSelf()
	}
	return status
}

func killSelf() {
	self, _ := os.FindProcess(os.Getpid())
	self.Kill()
	time.Sleep(time.Minute)
}

// answer makes what goes to stdout, or the error for stderr.
func (r run) answer(request []byte) ([]byte, *protocol.Error) {
	switch {
	case r.reply.Error != nil:
		return []byte(r.reply.Stdout), r.reply.Error
	case r.reply.Stdout != "":
		return []byte(r.reply.Stdout), nil
	case r.reply.Raw != nil:
		return r.reply.Raw, nil
	case r.reply.Mute:
		return nil, nil
	}
	answer, err := r.good(request)
	if err != nil {
		return nil, protocol.AsError(err)
	}
	if len(r.reply.Set) == 0 && len(r.reply.Drop) == 0 {
		return answer, nil
	}
	var members map[string]any
	if err := json.Unmarshal(answer, &members); err != nil {
		return nil, protocol.AsError(err)
	}
	for name, value := range r.reply.Set {
		members[name] = value
	}
	for _, name := range r.reply.Drop {
		delete(members, name)
	}
	answer, err = json.Marshal(members)
	if err != nil {
		return nil, protocol.AsError(err)
	}
	return answer, nil
}

func (r run) good(request []byte) ([]byte, error) {
	if r.reply.Func != "" {
		f := r.funcs[r.reply.Func]
		if f == nil {
			return nil, fmt.Errorf("no function %q was given to testplugin.Main", r.reply.Func)
		}
		return f(r.command, request)
	}
	plugin := protocol.Plugin(wellBehaved{r.script, r.path})
	if r.reply.Panic != "" {
		plugin = panicking(r.reply.Panic)
	}
	var out bytes.Buffer
	err := protocol.Handle(context.Background(), plugin, string(r.command), bytes.NewReader(request), &out)
	return out.Bytes(), err
}

func (r run) record(request []byte, record Record) {
	if r.script.Record == "" {
		return
	}
	record.Command, record.Env, record.Pid = r.command, os.Environ(), os.Getpid()
	if len(os.Args) > 2 {
		record.Args = os.Args[2:]
	}
	if json.Valid(request) {
		record.Request = request
	}
	line, _ := json.Marshal(record)
	appendLine(r.script.Record, line)
}

// appendLine adds a line in one write, so that concurrent plugins do not mix.
func appendLine(path string, line []byte) {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	if _, err := file.Write(append(line, '\n')); err != nil {
		panic(err)
	}
}

func notePid(path string) {
	if path != "" {
		appendLine(path, fmt.Append(nil, os.Getpid()))
	}
}

func flood(w io.Writer, size int64) {
	if size == 0 {
		return
	}
	chunk := bytes.Repeat([]byte("flood "), 10000)
	for size > 0 {
		n, err := w.Write(chunk[:min(size, int64(len(chunk)))])
		if err != nil {
			return
		}
		size -= int64(n)
	}
}

// start starts a sleeper, and waits until it has written its process id so that
// it surely is there when the plugin ends. The first process of a double fork
// starts the second.
func start(path string, fork Fork, pids string, first bool) {
	double := first && (fork == ForkDouble || fork == ForkDaemon)
	cmd := exec.Command(path, sleepCommand, pids)
	if double {
		cmd = exec.Command(path, forkCommand, pids, string(fork))
	}
	if fork != ForkDaemon {
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	} else {
		cmd.Env = []string{}
	}
	if fork != ForkPlain {
		newSession(cmd)
	}
	if double {
		if err := cmd.Run(); err != nil {
			panic(err)
		}
		return
	}
	before := size(pids)
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	for pids != "" && size(pids) == before {
		time.Sleep(time.Millisecond)
	}
}

func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// wellBehaved is the plugin that a script without replies makes.
type wellBehaved struct {
	script Script
	path   string
}

func (p wellBehaved) GetMetadata(context.Context, *protocol.GetMetadataRequest) (*protocol.Metadata, error) {
	metadata := &protocol.Metadata{
		Name:         cmp.Or(p.script.Name, pluginName(p.path)),
		Description:  "scripted plugin for tests",
		Version:      cmp.Or(p.script.Version, "1.0.0"),
		URL:          "https://example.com/testplugin",
		Capabilities: p.script.capabilities(),
	}
	if p.script.Session != nil {
		metadata.Transports = []string{"stdio", session.Name}
	}
	return metadata, nil
}

func (s Script) capabilities() []protocol.Capability {
	switch {
	case s.Capabilities != nil:
		return s.Capabilities
	case s.Key != "":
		return []protocol.Capability{protocol.CapabilitySignatureGenerator}
	}
	return []protocol.Capability{protocol.CapabilityTrustedIdentityVerifier, protocol.CapabilityRevocationCheckVerifier}
}

func (p wellBehaved) DescribeKey(ctx context.Context, request *protocol.DescribeKeyRequest) (*protocol.DescribeKeyResponse, error) {
	q := *request
	q.PluginConfig = p.config()
	return p.signer().DescribeKey(ctx, &q)
}

func (p wellBehaved) GenerateSignature(ctx context.Context, request *protocol.GenerateSignatureRequest) (*protocol.GenerateSignatureResponse, error) {
	q := *request
	q.PluginConfig = p.config()
	return p.signer().GenerateSignature(ctx, &q)
}

// VerifySignature consents to everything.
func (p wellBehaved) VerifySignature(_ context.Context, request *protocol.VerifySignatureRequest) (*protocol.VerifySignatureResponse, error) {
	results := map[protocol.Capability]*protocol.VerificationResult{}
	for _, capability := range request.TrustPolicy.SignatureVerification {
		results[capability] = &protocol.VerificationResult{Success: true}
	}
	return &protocol.VerifySignatureResponse{VerificationResults: results, ProcessedAttributes: request.Signature.UnprocessedAttributes}, nil
}

func (p wellBehaved) config() map[string]string {
	if p.script.Chain == "" {
		return nil
	}
	return map[string]string{signer.ConfigCertificateChain: p.script.Chain}
}

func (p wellBehaved) signer() *signer.Plugin {
	return signer.New(signer.Options{Open: func(context.Context, string, map[string]string) (signer.Key, error) {
		data, err := os.ReadFile(p.script.Key)
		if err != nil {
			return nil, err
		}
		block, _ := pem.Decode(data)
		if block == nil {
			return nil, fmt.Errorf("%s is not PEM", p.script.Key)
		}
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		return signer.FromSigner(key.(crypto.Signer)), nil
	}})
}

// panicking is a plugin that panics with its text.
type panicking string

func (p panicking) GetMetadata(context.Context, *protocol.GetMetadataRequest) (*protocol.Metadata, error) {
	panic(string(p))
}

func (p panicking) DescribeKey(context.Context, *protocol.DescribeKeyRequest) (*protocol.DescribeKeyResponse, error) {
	panic(string(p))
}

func (p panicking) GenerateSignature(context.Context, *protocol.GenerateSignatureRequest) (*protocol.GenerateSignatureResponse, error) {
	panic(string(p))
}
