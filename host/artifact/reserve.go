package artifact

import "context"

// manifestWeight is how many times its size a manifest can take when it is decoded
// (checkDensity).
const manifestWeight = 8

type reserveKey struct{}

// WithReserve returns a context by which FetchSignature asks for memory before it
// reads what others chose the size of, first the manifest and then the envelope: it
// calls reserve with the bytes that it needs from now on, in place of what it asked for
// before. reserve may wait; its error ends the fetch. Who gave it knows when the
// signature is not needed any more.
func WithReserve(ctx context.Context, reserve func(ctx context.Context, bytes int64) error) context.Context {
	return context.WithValue(ctx, reserveKey{}, reserve)
}

// reserve asks for memory, if there is anybody to ask.
func reserve(ctx context.Context, bytes int64) error {
	if ask, ok := ctx.Value(reserveKey{}).(func(context.Context, int64) error); ok {
		return ask(ctx, bytes)
	}
	return nil
}
