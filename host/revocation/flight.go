package revocation

import (
	"context"
	"sync"
)

// flights lets callers that want the same thing at the same time share one
// request. The zero value is ready to use.
type flights[K comparable, V any] struct {
	mu     sync.Mutex
	active map[K]*flight[V]
}

type flight[V any] struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiters int // guarded by flights.mu
	value   V
	err     error
}

// do returns what fetch returns, to everyone who asks for key while it runs.
// fetch's context ends when the last of them has lost interest.
func (f *flights[K, V]) do(ctx context.Context, key K, fetch func(context.Context) (V, error)) (V, error) {
	f.mu.Lock()
	running := f.active[key]
	if running == nil {
		running = f.start(ctx, key, fetch)
	}
	running.waiters++
	f.mu.Unlock()

	select {
	case <-running.done:
		return running.value, running.err
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if running.waiters--; running.waiters == 0 {
		running.cancel()
		f.forget(key, running)
	}
	var none V
	return none, problem(ProblemUnreachable, "no answer: %w", ctx.Err())
}

// start is called with f.mu held.
func (f *flights[K, V]) start(ctx context.Context, key K, fetch func(context.Context) (V, error)) *flight[V] {
	detached, cancel := context.WithCancel(context.WithoutCancel(ctx))
	running := &flight[V]{done: make(chan struct{}), cancel: cancel}
	if f.active == nil {
		f.active = map[K]*flight[V]{}
	}
	f.active[key] = running
	go func() {
		defer cancel()
		running.value, running.err = fetch(detached)
		f.mu.Lock()
		f.forget(key, running)
		f.mu.Unlock()
		close(running.done)
	}()
	return running
}

// forget is called with f.mu held.
func (f *flights[K, V]) forget(key K, running *flight[V]) {
	if f.active[key] == running {
		delete(f.active, key)
	}
}
