package batch

import (
	"context"
	"iter"
	"sync"
)

// Each calls do for every entry, for at most workers of them at a time, one at least, and done
// with each result as it comes, one call at a time. It stops taking entries when
// ctx is done or done returns an error; what is then under way has its context
// cancelled, and done sees its result unless it was done that failed. Each returns
// done's error or else that of ctx, and leaves nothing running.
func Each[T, R any](ctx context.Context, workers int, entries iter.Seq[T], do func(context.Context, T) R, done func(R) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	todo, results := make(chan T), make(chan R)
	go func() {
		defer close(todo)
		for entry := range entries {
			select {
			case todo <- entry:
			case <-ctx.Done():
				return
			}
		}
	}()
	var running sync.WaitGroup
	for range max(1, workers) {
		running.Go(func() {
			for entry := range todo {
				results <- do(ctx, entry)
			}
		})
	}
	go func() {
		running.Wait()
		close(results)
	}()
	var failed error
	for result := range results {
		if failed != nil {
			continue
		}
		if failed = done(result); failed != nil {
			cancel(failed)
		}
	}
	if failed != nil {
		return failed
	}
	return context.Cause(ctx)
}

// InOrder calls do for the entries, for at most workers of them at a time, one at least, and
// yields the results in the order of the entries. When the caller wants no more,
// or ctx is done, it ends once what is under way has ended.
func InOrder[T, R any](ctx context.Context, workers int, entries iter.Seq[T], do func(context.Context, T) R) iter.Seq[R] {
	return func(yield func(R) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		// What is under way is the one waited for and those in the queue.
		queue := make(chan chan R, max(1, workers)-1)
		var running sync.WaitGroup
		defer running.Wait()
		running.Go(func() {
			defer close(queue)
			for entry := range entries {
				result := make(chan R, 1)
				select {
				case queue <- result:
				case <-ctx.Done():
					return
				}
				running.Go(func() { result <- do(ctx, entry) })
			}
		})
		for result := range queue {
			if !yield(<-result) {
				cancel()
				return
			}
		}
	}
}
