package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// loggingTransport logs every request and response without their bodies, and
// without what authenticates (GEN-11).
type loggingTransport struct {
	base http.RoundTripper
	log  *slog.Logger
}

// RoundTrip sends a request and logs it.
func (t *loggingTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	start := time.Now()
	t.log.Debug("request", "method", request.Method, "url", maskURL(request.URL), "header", maskHeader(request.Header))
	response, err := t.base.RoundTrip(request)
	if err != nil {
		t.log.Debug("no response", "url", maskURL(request.URL), "error", err, "duration", time.Since(start))
		return nil, err
	}
	t.log.Debug("response", "status", response.StatusCode, "url", maskURL(request.URL), "header", maskHeader(response.Header), "duration", time.Since(start))
	return response, nil
}

const mask = "*****"

// maskHeader writes a header in one line, its secrets masked.
func maskHeader(header http.Header) string {
	masked := header.Clone()
	for _, name := range []string{"Authorization", "Proxy-Authorization", "Set-Cookie", "Cookie"} {
		if masked.Get(name) != "" {
			masked.Set(name, mask)
		}
	}
	if location, err := url.Parse(masked.Get("Location")); err == nil && masked.Get("Location") != "" {
		masked.Set("Location", maskURL(location))
	}
	return fmt.Sprint(map[string][]string(masked))
}

// maskURL writes a URL with the values of its query masked: registries hand out
// tokens and upload states there.
func maskURL(u *url.URL) string {
	if u.RawQuery == "" && u.User == nil {
		return u.String()
	}
	shown := *u
	shown.User = nil
	query := shown.Query()
	for name := range query {
		switch name {
		case "artifactType", "digest", "n", "last", "scope", "service":
		default:
			query.Set(name, mask)
		}
	}
	shown.RawQuery = strings.ReplaceAll(query.Encode(), url.QueryEscape(mask), mask)
	return shown.String()
}

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
