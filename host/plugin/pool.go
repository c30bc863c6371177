package plugin

import (
	"context"
	"errors"
	"sync"

	"github.com/signet-project/signet/protocol"
)

// Pool hands out clients for a run over many artifacts: of a plugin that is asked
// for as often as [SessionWorth], by [Manager.Session] from then on, so that the run
// has one process of it. A Pool may be used by several goroutines at once. It has to
// be closed.
type Pool struct {
	manager *Manager

	mu       sync.Mutex
	uses     map[string]int
	sessions map[string]*protocol.Client
	ends     []func() error
}

// NewPool returns a pool of the manager's plugins.
func (m *Manager) NewPool() *Pool {
	return &Pool{manager: m, uses: map[string]int{}, sessions: map[string]*protocol.Client{}}
}

// Get returns a client for one signature. Errors are those of [Manager.Session].
func (p *Pool) Get(ctx context.Context, name string) (*protocol.Client, error) {
	return p.GetFor(ctx, name, 1)
}

// GetFor returns a client for so many signatures.
func (p *Pool) GetFor(ctx context.Context, name string, signatures int) (*protocol.Client, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if client := p.sessions[name]; client != nil {
		return client, nil
	}
	if p.uses[name]+signatures < SessionWorth {
		p.uses[name] += signatures
		return p.manager.Get(ctx, name)
	}
	client, end, err := p.manager.Session(ctx, name)
	if err != nil {
		return nil, err
	}
	p.sessions[name] = client
	p.ends = append(p.ends, end)
	return client, nil
}

// Close ends the sessions and waits until nothing is left of their processes.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, end := range p.ends {
		errs = append(errs, end())
	}
	clear(p.sessions)
	p.ends = nil
	return errors.Join(errs...)
}
