package cli

import (
	"context"
	"fmt"
	"log/slog"
)

// warningHandler shows warnings to the user and everything in the debug log.
type warningHandler struct {
	app  *app
	next slog.Handler
}

// Enabled lets warnings through, and what the debug log wants.
func (h *warningHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn || h.next.Enabled(ctx, level)
}

// Handle writes one record.
func (h *warningHandler) Handle(ctx context.Context, record slog.Record) error {
	if record.Level >= slog.LevelWarn {
		text := record.Message
		record.Attrs(func(attr slog.Attr) bool {
			text += fmt.Sprintf(" (%s: %s)", attr.Key, attr.Value)
			return true
		})
		h.app.warnf("%s", text)
		return nil
	}
	return h.next.Handle(ctx, record)
}

// WithAttrs returns a handler with more attributes.
func (h *warningHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &warningHandler{h.app, h.next.WithAttrs(attrs)}
}

// WithGroup returns a handler that groups attributes.
func (h *warningHandler) WithGroup(name string) slog.Handler {
	return &warningHandler{h.app, h.next.WithGroup(name)}
}
