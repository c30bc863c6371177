package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/session/sessionclient"
)

// session judges the transport with one process for many calls, if it is offered.
func (k *kit) session(ctx context.Context) {
	if !slices.Contains(k.claims.Transports, sessionclient.Name) {
		k.leave(NotApplicable, "the plugin does not list "+sessionclient.Name, "session.")
		return
	}
	var text lockedBuffer
	t := &sessionclient.Transport{
		Open: func(context.Context) (*sessionclient.Program, error) {
			return &sessionclient.Program{Path: k.opts.Path, Env: k.opts.Environ}, nil
		},
		Timeout: k.opts.Timeout, Grace: k.opts.Grace, Stderr: &text, Logger: k.opts.Logger,
	}
	defer t.Close()
	first := k.inSession(ctx, t, protocol.CommandGetMetadata, k.base())
	if !k.expect("session.opens", first.fault == "", "a session that answers get-plugin-metadata", first.String()) {
		k.leave(NotRun, "no session could be opened", "session.")
		return
	}
	k.sameInSession(ctx, t)
	command := slices.Concat(k.commands(), []protocol.Command{protocol.CommandGetMetadata})[0]
	alone := k.inSession(ctx, t, command, k.request(command))
	k.parallel("session.parallel", func(int) (bool, string) {
		r := k.inSession(ctx, t, command, k.request(command))
		return sameKind(alone, r) || r.refused(protocol.CodeThrottled), r.String()
	})
	started := time.Now()
	t.Close() // closes stdin, and kills what is left after Grace
	k.expect("session.ends", time.Since(started) < k.opts.Grace, fmt.Sprintf("an end within %v of that of stdin", k.opts.Grace), "it was still running then")
	for _, secret := range k.opts.Secrets {
		k.expect("call.secrets", secret == "" || !bytes.Contains(text.Bytes(), []byte(secret)), "no secret in the output", "a session wrote a secret to stderr")
	}
}

// inSession makes a call to a session.
func (k *kit) inSession(ctx context.Context, t *sessionclient.Transport, command protocol.Command, request fields) *reply {
	answer, err := t.Call(ctx, command, request.encode())
	failure, failed := errors.AsType[*protocol.Error](err)
	switch {
	case failed:
		return &reply{failure: failure}
	case err != nil:
		return &reply{fault: err.Error()}
	}
	if fault := objectFault(answer); fault != "" {
		return &reply{fault: "an answer with " + fault}
	}
	return &reply{answer: answer}
}

// sameInSession judges that a session answers what a process of its own does.
func (k *kit) sameInSession(ctx context.Context, t *sessionclient.Transport) {
	type call struct {
		command protocol.Command
		request fields
		exactly bool // the same answer, not just one
	}
	calls := []call{{protocol.CommandGetMetadata, k.base(), true}}
	for _, command := range k.commands() {
		calls = append(calls, call{command, k.request(command), command == protocol.CommandDescribeKey})
		calls = append(calls, call{command, k.request(command).with(fields{"contractVersion": "99.0"}), false})
	}
	for _, c := range calls {
		alone := k.invoke(ctx, string(c.command), c.request.reader())
		if alone.fault != "" {
			continue // for the clauses about calls to judge
		}
		r := k.inSession(ctx, t, c.command, c.request)
		same := sameKind(alone, r) && (!c.exactly || canonical(alone.answer) == canonical(r.answer))
		k.expect("session.answers", same, fmt.Sprintf("%s: as by stdio, %s", c.command, alone), r.String())
	}
}

// sameKind tells whether two replies are both answers, or failures with one code.
func sameKind(a, b *reply) bool {
	if a.failure != nil && b.failure != nil {
		return a.failure.Code == b.failure.Code || !a.failure.Code.Known() && b.failure.Code == protocol.CodeGeneric
	}
	return a.answer != nil && b.answer != nil
}

// lockedBuffer is a buffer for several writers.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

// Bytes returns what was written so far.
func (b *lockedBuffer) Bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.buffer.Bytes())
}
