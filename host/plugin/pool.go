package plugin

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/signet-project/signet/protocol"
)

// Pool hands out clients for a run over many artifacts: of a plugin that is asked
// for as often as [SessionWorth], by [Manager.Session] from then on, so that the run
// has one process of it. A Pool may be used by several goroutines at once. It has to
// be closed.
type Pool struct {
	manager *Manager

	mu      sync.Mutex
	plugins map[string]*pooled
}

// pooled is a plugin of a pool.
type pooled struct {
	turn *semaphore.Weighted // of 1; guards the rest
	uses int
	// session and end are nil as long as there is no session.
	session *protocol.Client
	end     func() error
}

// NewPool returns a pool of the manager's plugins.
func (m *Manager) NewPool() *Pool {
	return &Pool{manager: m, plugins: map[string]*pooled{}}
}

// Get returns a client for one signature. Those who want the same plugin wait while it
// is opened; errors are those of [Manager.Session], and that of ctx.
func (p *Pool) Get(ctx context.Context, name string) (*protocol.Client, error) {
	return p.GetFor(ctx, name, 1)
}

// GetFor returns a client for so many signatures.
func (p *Pool) GetFor(ctx context.Context, name string, signatures int) (*protocol.Client, error) {
	plugin := p.plugin(name)
	if err := plugin.turn.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer plugin.turn.Release(1)
	if plugin.session != nil {
		return plugin.session, nil
	}
	if plugin.uses+signatures < SessionWorth {
		plugin.uses += signatures
		return p.manager.Get(ctx, name)
	}
	client, end, err := p.manager.Session(ctx, name)
	if err != nil {
		return nil, err
	}
	plugin.session, plugin.end = client, end
	return client, nil
}

func (p *Pool) plugin(name string) *pooled {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.plugins[name] == nil {
		p.plugins[name] = &pooled{turn: semaphore.NewWeighted(1)}
	}
	return p.plugins[name]
}

// Close ends the sessions and waits until nothing is left of their processes.
func (p *Pool) Close() error {
	p.mu.Lock()
	plugins := slices.Collect(maps.Values(p.plugins))
	p.mu.Unlock()
	var errs []error
	for _, plugin := range plugins {
		errs = append(errs, plugin.close())
	}
	return errors.Join(errs...)
}

func (p *pooled) close() error {
	_ = p.turn.Acquire(context.Background(), 1) // which ends without error
	defer p.turn.Release(1)
	if p.session == nil {
		return nil
	}
	p.session = nil
	return p.end()
}
