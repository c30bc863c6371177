package cli

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/spf13/cobra"
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

// debugFlag adds -d and the form of what it shows.
func (a *app) debugFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&a.debug, "debug", "d", false, "debug mode: show what is done, secrets masked")
	cmd.Flags().Var(&choice{&a.logFormat, logFormats}, "log-format", `form of what --debug shows, options: "text", "json" (one object a line)`)
	a.complete(cmd, "log-format", func() []string { return logFormats })
}

var logFormats = []string{"text", "json"}

// choice is the value of a flag with few that are good.
type choice struct {
	value *string
	among []string
}

// String returns the value.
func (c *choice) String() string {
	if c.value == nil {
		return ""
	}
	return *c.value
}

// Set takes one of the values.
func (c *choice) Set(text string) error {
	if !slices.Contains(c.among, text) {
		return fmt.Errorf("it is none of %q", c.among)
	}
	*c.value = text
	return nil
}

// Type names the kind of value in help.
func (c *choice) Type() string { return "string" }

// log is the debug log: standard error with -d, nowhere otherwise.
func (a *app) log() *slog.Logger {
	if !a.debug {
		return slog.New(slog.DiscardHandler)
	}
	if a.debugTo == nil {
		options := &slog.HandlerOptions{
			Level: slog.LevelDebug,
			ReplaceAttr: func(_ []string, attr slog.Attr) slog.Attr {
				switch attr.Value.Kind() {
				case slog.KindTime:
					return slog.String(attr.Key, attr.Value.Time().UTC().Format(time.RFC3339Nano))
				case slog.KindDuration: // as text has it: a bare number has no unit
					return slog.String(attr.Key, attr.Value.Duration().String())
				}
				return attr
			},
		}
		var handler slog.Handler = slog.NewTextHandler(a.Stderr, options)
		if a.logFormat == "json" {
			handler = slog.NewJSONHandler(a.Stderr, options)
		}
		a.debugTo = slog.New(handler)
	}
	return a.debugTo
}
