package plugin

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/stdio"
)

// transportFunc is a function as a transport.
type transportFunc func(ctx context.Context, command protocol.Command, request []byte) ([]byte, error)

func (f transportFunc) Call(ctx context.Context, command protocol.Command, request []byte) ([]byte, error) {
	return f(ctx, command, request)
}

func TestRetries(t *testing.T) {
	t.Parallel()
	throttled := protocol.Errorf(protocol.CodeThrottled, "slow down")
	// run calls through a retrier and tells when each attempt was made.
	run := func(t *testing.T, timeout time.Duration, jitter float64, answer func(ctx context.Context, attempt int) error) (times []time.Duration, err error) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			r := &retrier{timeout: timeout, jitter: func() float64 { return jitter }, next: transportFunc(func(ctx context.Context, command protocol.Command, request []byte) ([]byte, error) {
				times = append(times, time.Since(start))
				if command != protocol.CommandDescribeKey || string(request) != "{}" {
					t.Error(command, request)
				}
				return []byte("ok"), answer(ctx, len(times))
			})}
			_, err = r.Call(t.Context(), protocol.CommandDescribeKey, []byte("{}"))
		})
		return times, err
	}
	t.Run("PLG-13 THROTTLED and TIMEOUT are tried again, later and later", func(t *testing.T) {
		times, err := run(t, time.Minute, 0, func(_ context.Context, attempt int) error {
			switch attempt {
			case 1, 2:
				return throttled
			case 3:
				return protocol.Errorf(protocol.CodeTimeout, "the service is asleep")
			}
			return nil
		})
		if err != nil || len(times) != 4 {
			t.Fatal(times, err)
		}
		for i, want := range []time.Duration{0, firstPause / 2, firstPause, 2 * firstPause} {
			if i > 0 && times[i]-times[i-1] != want {
				t.Errorf("pause %d: %v", i, times[i]-times[i-1])
			}
		}
	})
	t.Run("PLG-13 within the deadline", func(t *testing.T) {
		times, err := run(t, 10*time.Second, 0.999, func(context.Context, int) error { return throttled })
		if !errors.Is(err, throttled) || len(times) < 3 || times[len(times)-1] >= 10*time.Second {
			t.Error(times, err)
		}
	})
	t.Run("PLG-13 an overrun deadline is not", func(t *testing.T) {
		times, err := run(t, time.Second, 0, func(ctx context.Context, _ int) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})
		if late, ok := errors.AsType[*stdio.TimeoutError](err); !ok || late.Timeout != time.Second || len(times) != 1 {
			t.Error(times, err)
		}
	})
	t.Run("PLG-13 nor is anything else", func(t *testing.T) {
		for _, err := range []error{
			protocol.Errorf(protocol.CodeAccessDenied, "no"), protocol.Errorf(protocol.CodeGeneric, "no"), protocol.Errorf(protocol.CodeValidation, "no"),
			protocol.Errorf(protocol.CodeUnsupportedContract, "no"), errors.New("no"), &stdio.ExitError{Code: 2}, context.DeadlineExceeded, nil,
		} {
			if times, got := run(t, time.Minute, 0, func(context.Context, int) error { return err }); got != err || len(times) != 1 {
				t.Error(times, got)
			}
		}
	})
	t.Run("PLG-13 pauses have a bound", func(t *testing.T) {
		times, _ := run(t, 5*time.Minute, 0.5, func(context.Context, int) error { return throttled })
		for i := range times[1:] {
			if pause := times[i+1] - times[i]; pause > longestPause {
				t.Error(pause)
			}
		}
	})
}

func TestCallLog(t *testing.T) {
	t.Parallel()
	call := func(level slog.Level, request, answer string, err error) string {
		var log bytes.Buffer
		l := &callLogger{plugin: "x", logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level})),
			next: transportFunc(func(context.Context, protocol.Command, []byte) ([]byte, error) { return []byte(answer), err })}
		if got, gotErr := l.Call(t.Context(), protocol.CommandDescribeKey, []byte(request)); string(got) != answer || gotErr != err {
			t.Error(string(got), gotErr)
		}
		return log.String()
	}
	const request = `{"contractVersion":"1.0","keyId":"k1","pluginConfig":{"token":"s3cret","pin":"99"}}`
	t.Run("GEN-11 configuration values are masked wherever they turn up", func(t *testing.T) {
		log := call(slog.LevelDebug, request, `{"keyId":"k1","note":["used s3cret"]}`, nil)
		for _, want := range []string{"plugin=x", "command=describe-key", "duration=", "k1", "token", mask} {
			if !strings.Contains(log, want) {
				t.Errorf("no %q in %s", want, log)
			}
		}
		log += call(slog.LevelDebug, request, "", errors.New("bad token s3cret"))
		if strings.Contains(log, "s3cret") || strings.Contains(log, `"99"`) || !strings.Contains(log, "bad token "+mask) {
			t.Error(log)
		}
	})
	t.Run("GEN-11 what is not JSON is not shown", func(t *testing.T) {
		if log := call(slog.LevelDebug, request, "s3cret secret", nil); strings.Contains(log, "secret") {
			t.Error(log)
		}
	})
	t.Run("long values are cut", func(t *testing.T) {
		if log := call(slog.LevelDebug, request, `{"payload":"`+strings.Repeat("a", 5000)+`"}`, nil); len(log) > 2000 || !strings.Contains(log, "(5000 bytes)") {
			t.Error(log)
		}
	})
	t.Run("nothing above level debug", func(t *testing.T) {
		if log := call(slog.LevelInfo, request, "{}", nil); log != "" {
			t.Error(log)
		}
	})
}
