package plugin

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/stdio"
)

const (
	// firstPause and longestPause bound the pauses between the attempts of a
	// call: each is at most twice as long as the one before.
	firstPause   = 200 * time.Millisecond
	longestPause = 10 * time.Second
)

// retrier repeats calls that the plugin answered with THROTTLED or TIMEOUT, as
// long as the deadline for all attempts together allows (PLG-13). An overrun
// deadline is not repeated, nor is anything else.
type retrier struct {
	next    protocol.Transport
	timeout time.Duration
	// jitter returns a number in [0, 1); nil means a random one.
	jitter func() float64
}

// Call implements [protocol.Transport].
func (r *retrier) Call(ctx context.Context, command protocol.Command, request []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.timeout, &stdio.TimeoutError{Timeout: r.timeout})
	defer cancel()
	jitter := r.jitter
	if jitter == nil {
		jitter = rand.Float64
	}
	for bound := firstPause; ; bound = min(2*bound, longestPause) {
		answer, err := r.next.Call(ctx, command, request)
		if !retryable(err) {
			return answer, err
		}
		// Half of each pause is random, so that many hosts don't come back together.
		pause := time.Duration((0.5 + jitter()/2) * float64(bound))
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= pause {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

func retryable(err error) bool {
	answer, ok := errors.AsType[*protocol.Error](err)
	return ok && answer.Code.Retryable()
}
