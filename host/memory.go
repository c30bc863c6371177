package host

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/signet-project/signet/host/artifact"
)

// maxLarge bounds, in bytes, the large signatures that a Verifier holds at a time: one
// of the greatest size. Verifying one takes about four times that.
const maxLarge = artifact.MaxEnvelopeSize

// memory is what a Verifier has for large signatures. Small ones, as all real ones are,
// don't wait for it: who fills it delays none but others of the kind. The zero value is
// ready for use.
type memory struct {
	once sync.Once
	free *semaphore.Weighted
}

// share returns a part of the memory, empty yet. A share never waits for more while it
// holds something, so that none waits for another without end.
func (m *memory) share() *share {
	m.once.Do(func() { m.free = semaphore.NewWeighted(maxLarge) })
	return &share{free: m.free}
}

// share is what one signature has of the memory.
type share struct {
	free *semaphore.Weighted
	held int64
}

// reserve waits for bytes in place of what the share has. Whatever their number, it
// gets them in the end; the error is that of the context.
func (s *share) reserve(ctx context.Context, bytes int64) error {
	s.release()
	if bytes <= maxKeptEnvelope {
		return nil
	}
	bytes = min(bytes, maxLarge)
	if err := s.free.Acquire(ctx, bytes); err != nil {
		return err
	}
	s.held = bytes
	return nil
}

// release gives back what the share has.
func (s *share) release() {
	s.free.Release(s.held)
	s.held = 0
}
