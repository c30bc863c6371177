package process

import (
	"context"
	"fmt"

	"github.com/signet-project/signet/protocol"
)

// Overflow remembers which output stream of a process went over its bound first.
type Overflow struct {
	limit int64 // bytes
	noted context.Context
	note  context.CancelCauseFunc
}

// NewOverflow is for streams of at most limit bytes.
func NewOverflow(limit int64) *Overflow {
	o := &Overflow{limit: limit}
	o.noted, o.note = context.WithCancelCause(context.Background())
	return o
}

// Note notes that a stream went over its bound.
func (o *Overflow) Note(stream string) {
	o.note(&protocol.AnswerError{Reason: fmt.Sprintf("wrote more than %d bytes to %s", o.limit, stream)})
}

// Done is closed when a stream went over its bound.
func (o *Overflow) Done() <-chan struct{} { return o.noted.Done() }

// Err is a [*protocol.AnswerError] that names the stream; nil when none did.
func (o *Overflow) Err() error { return context.Cause(o.noted) }
