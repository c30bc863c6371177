package conformance

import (
	"bufio"
	"bytes"
	"context"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/stdio"
)

// reply is what came of one invocation: an answer, a failure by the contract, or
// neither.
type reply struct {
	*stdio.Exchange // nil when the plugin was not run
	// answer is the JSON object on stdout, after exit status 0.
	answer []byte
	// failure is the error on stderr, after exit status 1. Its code is as sent.
	failure *protocol.Error
	// fault says in which way the reply is neither, and breaks names the clause that
	// has something against it.
	fault, breaks string
}

// String says what was seen.
func (r *reply) String() string {
	switch {
	case r.answer != nil:
		return "the answer " + head(r.answer)
	case r.failure != nil:
		return "the error " + r.failure.Error()
	}
	return r.fault
}

// refused tells whether the plugin failed with one of the codes.
func (r *reply) refused(codes ...protocol.ErrorCode) bool {
	return r.failure != nil && slices.Contains(codes, r.failure.Code)
}

// meant is the error that the plugin seems to have meant with a reply that is neither
// an answer nor a failure; nil for none.
func (r *reply) meant() *protocol.Error {
	switch {
	case r.Exchange == nil || r.Stopped != nil || r.failure != nil:
		return nil
	case r.answer != nil || len(bytes.TrimSpace(r.Stdout)) > 0:
		failure, _ := protocol.ParseError(r.Stdout)
		return failure
	}
	text := r.ErrorText()
	if len(text) == 0 { // it stands behind something on its line
		text = r.Stderr[max(0, bytes.IndexByte(r.Stderr, '{')):]
	}
	failure, _ := protocol.ParseError(bytes.TrimSpace(text))
	return failure
}

// members returns the members of the answer.
func (r *reply) members() map[string]jsontext.Value {
	var members map[string]jsontext.Value
	_ = json.Unmarshal(r.answer, &members) // known to be an object
	return members
}

// fields are the members of a request.
type fields map[string]any

// with returns a copy with other values; nil leaves a member out.
func (f fields) with(changes fields) fields {
	changed := maps.Clone(f)
	for name, value := range changes {
		if value == nil {
			delete(changed, name)
		} else {
			changed[name] = value
		}
	}
	return changed
}

func (f fields) encode() []byte {
	data, err := stdjson.Marshal(map[string]any(f))
	if err != nil {
		panic(err) // strings, numbers and bytes
	}
	return data
}

// invoke runs the plugin once. What it writes is searched for secrets, and what it
// leaves running is noted; nothing else is judged.
func (k *kit) invoke(ctx context.Context, command string, stdin io.Reader) *reply {
	return k.invokeIn(ctx, k.opts.Environ, command, stdin)
}

func (k *kit) invokeIn(ctx context.Context, environ []string, command string, stdin io.Reader) *reply {
	if k.isSilent(command) {
		return &reply{fault: "not called again, because it has not answered in time before", breaks: "call.time"}
	}
	request := bufio.NewReaderSize(stdin, requestLogged)
	beginning, _ := request.Peek(requestLogged) // what is wrong with it is for the plugin to say
	started := time.Now()
	x, err := k.transport(environ).Exchange(ctx, []string{command}, request)
	r := &reply{Exchange: x}
	switch {
	case err != nil && ctx.Err() != nil:
		r.fault = "not called: " + ctx.Err().Error()
		return r
	case err != nil:
		r.fault, r.breaks = err.Error(), "file.executable"
		k.expect("file.executable", false, "an executable that the system starts", err.Error())
		return r
	}
	r.read()
	k.count(command, r)
	k.opts.Logger.Debug("invoked", "command", command, "request", k.masked(string(beginning)), "took", time.Since(started).Round(time.Millisecond), "status", x.State, "reply", k.masked(r.String()))
	k.expect("process.left", !x.Left, "nothing left running", command+" left a process that it had started")
	for _, secret := range k.opts.Secrets {
		found := secret != "" && (bytes.Contains(x.Stdout, []byte(secret)) || bytes.Contains(x.Stderr, []byte(secret)))
		k.expect("call.secrets", !found, "no secret in the output", command+" wrote a secret that it was given")
	}
	return r
}

// requestLogged is how much of a request is logged, in bytes.
const requestLogged = 1 << 10

// masked makes a text fit for the log: without the values of the configuration.
func (k *kit) masked(text string) string {
	const shortest = 4 // bytes; shorter ones turn up by chance
	values := slices.Concat(slices.Collect(maps.Values(k.opts.Config)), k.opts.Secrets)
	slices.SortFunc(values, func(a, b string) int { return len(b) - len(a) }) // one may be part of another
	for _, value := range values {
		if len(value) >= shortest {
			text = strings.ReplaceAll(text, value, "*****")
		}
	}
	return excerpt(text)
}

func (k *kit) isSilent(command string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.silent[command]
}

func (k *kit) count(command string, r *reply) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.invocations++
	if r.late() {
		k.silent[command] = true
	}
}

// late tells whether the plugin had to be stopped at the deadline.
func (r *reply) late() bool {
	_, late := errors.AsType[*stdio.TimeoutError](r.Stopped)
	return late
}

// read sorts an exchange into answer, failure and fault.
func (r *reply) read() {
	x := r.Exchange
	switch status := x.Code; {
	case x.Stopped != nil:
		r.fault, r.breaks = x.Stopped.Error(), "call.size"
		if r.late() {
			r.breaks = "call.time"
		}
	case status == 0:
		if fault := objectFault(x.Stdout); fault != "" {
			r.fault, r.breaks = "exit status 0 with "+fault, "call.stdout"
			return
		}
		r.answer = bytes.TrimSpace(x.Stdout)
	case status == 1:
		text := x.ErrorText()
		if len(text) == 0 {
			r.fault, r.breaks = "exit status 1 without an error as JSON at the start of a line of stderr, which has: "+tail(x.Stderr), "error.json"
			return
		}
		r.failure = &protocol.Error{}
		if err := json.Unmarshal(text, r.failure); err != nil {
			r.failure, r.fault, r.breaks = nil, "exit status 1 with a malformed error: "+err.Error(), "error.json"
		}
	default:
		r.breaks = "call.status"
		r.fault = fmt.Sprintf("%s, stderr: %s", x.State, tail(x.Stderr))
	}
}

// objectFault says why stdout is not one JSON object; empty if it is.
func objectFault(stdout []byte) string {
	text := jsontext.Value(bytes.TrimSpace(stdout))
	switch {
	case len(text) == 0:
		return "nothing on stdout"
	case !text.IsValid():
		return "something on stdout that is not one JSON value: " + head(text)
	case text.Kind() != '{':
		return "something on stdout that is no JSON object: " + head(text)
	}
	return ""
}

// head is as much of a text as a report can show; plugins may write megabytes each time.
func head(text []byte) string {
	const limit = 1000 // bytes, more than an excerpt has
	return string(text[:min(len(text), limit)])
}

// tail is the end of a text.
func tail(text []byte) string {
	const limit = 200 // bytes
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return "nothing"
	}
	return strings.ToValidUTF8(string(text[max(0, len(text)-limit):]), "")
}

// ask sends a well-formed request and judges the form of the reply by the clauses
// about calls. A service that asks for patience gets some.
func (k *kit) ask(ctx context.Context, command protocol.Command, request fields) *reply {
	const attempts = 3
	for attempt := 1; ; attempt++ {
		r := k.invoke(ctx, string(command), bytes.NewReader(request.encode()))
		k.judgeForm(command, r)
		if !r.refused(protocol.CodeThrottled, protocol.CodeTimeout) || attempt == attempts {
			return r
		}
		select {
		case <-time.After(time.Duration(attempt) * time.Second):
		case <-ctx.Done():
			return r
		}
	}
}

// judgeForm judges what every reply to a well-formed request has to be like.
func (k *kit) judgeForm(command protocol.Command, r *reply) {
	x := r.Exchange
	if x == nil {
		return
	}
	seen := fmt.Sprintf("%s: %s", command, r)
	k.expect("call.time", !r.late(), "an end before the deadline", seen)
	_, flood := errors.AsType[*protocol.AnswerError](x.Stopped)
	k.expect("call.size", !flood, "at most 64 MiB on each stream", seen)
	if x.Stopped != nil {
		return
	}
	status := x.Code
	if r.answer != nil && isError(r.answer) {
		r.answer, r.fault, r.breaks = nil, "exit status 0 with an error on stdout: "+head(r.answer), "call.status"
		k.expect("call.status", false, "exit status 1 with an error", r.fault)
		return
	}
	if !k.expect("call.status", status == 0 || status == 1, "exit status 0 with an answer or 1 with an error", seen) {
		return
	}
	if status == 0 {
		k.expect("call.stdout", r.answer != nil, "one JSON object on stdout", seen)
		return
	}
	k.expect("call.silent-failure", len(x.Stdout) == 0, "nothing on stdout", fmt.Sprintf("%s failed and wrote %s to stdout", command, tail(x.Stdout)))
	if !k.expect("error.json", r.failure != nil, "an error as JSON on stderr", seen) {
		return
	}
	text := bytes.TrimSpace(x.Stderr)
	k.expect("error.alone", bytes.Equal(text, x.ErrorText()), "the error and nothing else on stderr", fmt.Sprintf("%s: stderr has %s", command, head(text)))
	k.expect("error.code", r.failure.Code.Known(), "an error code of the contract", fmt.Sprintf("%s: errorCode %q", command, r.failure.Code))
	k.expect("error.message", r.failure.Message != "", "an errorMessage that tells the user what to do", fmt.Sprintf("%s: no errorMessage", command))
}

// isError tells whether an answer is an error in the wrong place.
func isError(answer []byte) bool {
	failure, err := protocol.ParseError(answer)
	return err == nil && failure != nil
}

// decode reads an answer into the contract's type.
func decode[T any](k *kit, command protocol.Command, r *reply) *T {
	answer := new(T)
	err := json.Unmarshal(r.answer, answer)
	if !k.expect("answer.members", err == nil, "members of the contract's types", fmt.Sprintf("%s: %v", command, err)) {
		return nil
	}
	return answer
}

// refuses sends a request that has to be refused with a code and judges the reply
// by one clause alone; unless it is the right error in the wrong form.
func (k *kit) refuses(ctx context.Context, id string, command protocol.Command, what string, stdin io.Reader, codes ...protocol.ErrorCode) {
	r := k.invoke(ctx, string(command), stdin)
	if meant := r.meant(); meant != nil && slices.Contains(codes, meant.Code) {
		k.misshapen(id, command, r)
		return
	}
	k.expect(id, r.refused(codes...), fmt.Sprintf("%s: the error %s", sent(command, what), join(codes)), r.String())
}

// misshapen judges a reply with the right error in the wrong form: that is no fault of
// the clause it was about.
func (k *kit) misshapen(id string, command protocol.Command, r *reply) {
	k.judgeForm(command, r)
	k.spoil("", r, id)
}

func join(codes []protocol.ErrorCode) string {
	names := make([]string, len(codes))
	for i, code := range codes {
		names[i] = string(code)
	}
	return strings.Join(names, " or ")
}
