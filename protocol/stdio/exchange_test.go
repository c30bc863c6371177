package stdio_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/stdio"
)

func TestExchange(t *testing.T) {
	text := "log\n{\"errorCode\":\"OUCH\"}\nlog\n"
	for _, c := range []struct {
		name    string
		reply   testplugin.Reply
		timeout time.Duration
		ok      func(*stdio.Exchange) bool
	}{
		{"answer", testplugin.Reply{Stdout: "{}", Stderr: text}, 0, func(x *stdio.Exchange) bool {
			return string(x.Stdout) == "{}" && string(x.Stderr) == text && x.Code == 0 && x.Stopped == nil && !x.Left
		}},
		{"failure", testplugin.Reply{Stdout: "out", Stderr: text, Exit: 1}, 0, func(x *stdio.Exchange) bool {
			return string(x.Stdout) == "out" && x.Code == 1 && string(x.ErrorText()) == `{"errorCode":"OUCH"}`
		}},
		{"no error", testplugin.Reply{Mute: true, Stderr: "{}", Exit: 1}, 0, func(x *stdio.Exchange) bool { return len(x.ErrorText()) == 0 }},
		{"hangs", testplugin.Reply{Hang: true}, 2 * time.Second, func(x *stdio.Exchange) bool { return isTimeout(x.Stopped) && !x.Forced }},
		{"ignores SIGTERM", testplugin.Reply{Hang: true, IgnoreTerm: true}, 2 * time.Second, func(x *stdio.Exchange) bool { return isTimeout(x.Stopped) && x.Forced }},
		{"floods", testplugin.Reply{FloodStdout: 3 << 20}, 0, func(x *stdio.Exchange) bool {
			_, ok := errors.AsType[*protocol.AnswerError](x.Stopped)
			return ok
		}},
		{"leaves a child", testplugin.Reply{Fork: testplugin.ForkPlain}, 0, func(x *stdio.Exchange) bool { return x.Left || runtime.GOOS == "windows" }},
		{"leaves a daemon", testplugin.Reply{Fork: testplugin.ForkDaemon}, 0, func(x *stdio.Exchange) bool { return x.Left || runtime.GOOS != "linux" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			call := prepare(t, c.reply)
			call.transport.MaxOutput = 1 << 20
			if c.timeout != 0 {
				call.transport.Timeout = c.timeout
			}
			x, err := call.transport.Exchange(t.Context(), []string{"any", "thing"}, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			if !c.ok(x) {
				t.Errorf("stopped %v, forced %v, left %v, %v", x.Stopped, x.Forced, x.Left, x.State)
			}
		})
	}
}
