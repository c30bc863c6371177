package main

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"time"
)

// grace is how long a run may take to come to its end after a signal. What reads from
// a pipe that nobody writes to does not end by itself.
const grace = 10 * time.Second

// untilSignal returns a context that is done at the first signal to end. received then
// returns it, nil before. The second signal ends the process at once.
func untilSignal() (ctx context.Context, received func() os.Signal) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	notifyEnd(signals)
	var first atomic.Pointer[os.Signal]
	go func() {
		s := <-signals
		signal.Stop(signals)
		first.Store(&s)
		cancel()
		time.AfterFunc(grace, func() {
			endBySignal(s, 1)
			os.Exit(1)
		})
	}()
	return ctx, func() os.Signal {
		if s := first.Load(); s != nil {
			return *s
		}
		return nil
	}
}
