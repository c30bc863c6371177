package plugin

import (
	"context"
	"errors"
	"slices"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/session/sessionclient"
)

// SessionWorth is the number of signatures to be made through one plugin from
// which on [Manager.Session] is worth the start of one more process; for fewer,
// [Manager.Get] is quicker.
const SessionWorth = 4

// Session returns a client of an installed plugin for many calls, such as those
// of a run that signs [SessionWorth] artifacts or more. Where the plugin offers
// sessions, which it is asked by stdio first (PLG-18), all calls go to one
// process, started at the first of them; where it does not, the client is that of
// [Manager.Get]. The client may be used by many goroutines at once, and calls are
// quicker when several are under way.
//
//	client, end, err := manager.Session(ctx, name)
//	if err != nil {
//		return err
//	}
//	defer end()
//	key, err := host.NewPluginKey(ctx, client, id, config, host.KindArtifact)
//	… many host.Signer{Key: key}.SignArtifact, one after the other or at once …
//
// end ends the process and waits until nothing is left of it; calls made or
// running then fail. It has to be called, also when ctx is done.
//
// Deadlines, retries of THROTTLED and TIMEOUT answers and debug logs are those of
// Get, and the plugin's files are compared with its pin before each call, too: one
// that has become another is started anew, by the pin that it has now. A process
// also ends after [sessionclient.DefaultIdle] without a call, at an age of
// [sessionclient.DefaultLifetime], and when a call overran its deadline. A call that a
// crash left unanswered is repeated once. A plugin that offers sessions and fails to
// open one is an error of the call, and never a reason to go on by stdio.
//
// The error is one of Get's, or a [*protocol.CallError] when the plugin does not
// say who it is.
func (m *Manager) Session(ctx context.Context, name string) (client *protocol.Client, end func() error, err error) {
	client, err = m.Get(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	metadata, err := client.GetMetadata(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	if !slices.Contains(metadata.Transports, sessionclient.Name) {
		return client, func() error { return nil }, nil
	}
	t := &sessionclient.Transport{
		Open:     func(ctx context.Context) (*sessionclient.Program, error) { return m.program(ctx, name) },
		Timeout:  m.opts.Timeout,
		Terminal: m.opts.Terminal,
		Logger:   m.opts.Logger.With("plugin", name),
	}
	if m.stderr != nil {
		t.Stderr = m.stderr
	}
	return m.layers(name, m.opts.Timeout, &sessionCaller{Transport: t, name: name}), t.Close, nil
}

// program is a plugin's executable for one process of a session.
func (m *Manager) program(ctx context.Context, name string) (*sessionclient.Program, error) {
	o, err := m.open(ctx, name)
	if err != nil {
		return nil, err
	}
	p := &sessionclient.Program{
		Path:    o.path,
		Env:     m.environment(o),
		Check:   func() error { return o.changed(m.opts.Now) },
		Release: o.close,
		Current: func(ctx context.Context) (bool, error) {
			if o.untouched() {
				return true, nil
			}
			now, err := m.open(ctx, name)
			if err != nil {
				return false, err
			}
			now.close()
			return now.sameAs(o), nil
		},
	}
	if o.byDescriptor() {
		p.File = o.file
	}
	m.step("about to run")
	return p, nil
}

// sessionCaller makes the calls of a session.
type sessionCaller struct {
	*sessionclient.Transport
	name string
}

// Call implements [protocol.Transport].
func (s *sessionCaller) Call(ctx context.Context, command protocol.Command, request []byte) ([]byte, error) {
	answer, err := s.Transport.Call(ctx, command, request)
	if start, ok := errors.AsType[*sessionclient.StartError](err); ok {
		err = explain(s.name, start.Path, err)
	}
	return answer, err
}
