package session

import (
	"context"
	"log/slog"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// logTo returns a logger for go-plugin whose lines go to logger at level debug.
func logTo(logger *slog.Logger) hclog.Logger {
	if logger == nil || !logger.Enabled(context.Background(), slog.LevelDebug) {
		return hclog.NewNullLogger()
	}
	return hclog.New(&hclog.LoggerOptions{Name: "go-plugin", Level: hclog.Debug, DisableTime: true, Output: debugLines{logger}})
}

// debugLines logs each line that is written.
type debugLines struct{ logger *slog.Logger }

func (d debugLines) Write(line []byte) (int, error) {
	d.logger.Debug("plugin session", "text", strings.TrimSpace(string(line)))
	return len(line), nil
}
