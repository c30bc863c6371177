package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/signet-project/signet/protocol"
)

const (
	mask = "*****"
	// loggedString is how much of a string is logged, in bytes: payloads and
	// certificates are long.
	loggedString = 256
	// loggedMessage is the size in bytes from which a message is not logged.
	loggedMessage = 1 << 20
	// secretLength is how long a configuration value must be to be masked
	// wherever it turns up; shorter ones turn up by chance.
	secretLength = 4
)

// callLogger logs each call at level debug: command, duration, and both messages
// with the values of the plugin configuration masked.
type callLogger struct {
	next   protocol.Transport
	plugin string
	logger *slog.Logger
}

// Call implements [protocol.Transport].
func (l *callLogger) Call(ctx context.Context, command protocol.Command, request []byte) ([]byte, error) {
	if !l.logger.Enabled(ctx, slog.LevelDebug) {
		return l.next.Call(ctx, command, request)
	}
	r := newRedactor(request)
	logger := l.logger.With("plugin", l.plugin, "command", string(command))
	logger.DebugContext(ctx, "plugin call", "request", r.message(request))
	start := time.Now()
	answer, err := l.next.Call(ctx, command, request)
	took := time.Since(start)
	if err != nil {
		logger.DebugContext(ctx, "plugin call failed", "duration", took, "error", r.text(err.Error()))
		return answer, err
	}
	logger.DebugContext(ctx, "plugin answered", "duration", took, "response", r.message(answer))
	return answer, nil
}

// redactor masks the plugin configuration of one call.
type redactor struct {
	secrets *strings.Replacer
}

func newRedactor(request []byte) redactor {
	var message struct {
		PluginConfig map[string]string `json:"pluginConfig"`
	}
	_ = json.Unmarshal(request, &message) // the request is ours
	var values []string
	for _, value := range message.PluginConfig {
		if len(value) >= secretLength {
			values = append(values, value)
		}
	}
	// Longer ones first: one value may be part of another.
	slices.SortFunc(values, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, value := range values {
		pairs = append(pairs, value, mask)
	}
	return redactor{secrets: strings.NewReplacer(pairs...)}
}

func (r redactor) text(s string) string {
	s = r.secrets.Replace(s)
	if len(s) > loggedString {
		s = strings.ToValidUTF8(s[:loggedString], "") + fmt.Sprintf("… (%d bytes)", len(s))
	}
	return s
}

// message returns a message as it may be logged.
func (r redactor) message(data []byte) string {
	var content any
	if len(data) > loggedMessage || json.Unmarshal(data, &content) != nil {
		return fmt.Sprintf("(%d bytes)", len(data))
	}
	if object, ok := content.(map[string]any); ok {
		if config, ok := object["pluginConfig"].(map[string]any); ok {
			for key := range config {
				config[key] = mask
			}
		}
	}
	redacted, err := json.Marshal(r.value(content))
	if err != nil {
		return fmt.Sprintf("(%d bytes)", len(data))
	}
	return string(redacted)
}

func (r redactor) value(v any) any {
	switch v := v.(type) {
	case string:
		return r.text(v)
	case []any:
		for i := range v {
			v[i] = r.value(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = r.value(v[key])
		}
	}
	return v
}
