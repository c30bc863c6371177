// Package stdio reaches a plugin as the Notary Project contract has it: one
// process for each command, the command as argument, JSON on its standard
// streams (plugin-extensibility.md, Plugin contract).
package stdio

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/internal/process"
)

// The values that zero fields of Transport stand for.
const (
	DefaultTimeout = time.Minute
	DefaultGrace   = 2 * time.Second
)

// Transport runs an executable for each call. Nothing outlives a call, however
// it ends: the process and its descendants are killed, on Linux also those that
// left its process group by setsid or double forks; on macOS and other systems
// those escape. On Linux the plugin dies with the host. While several calls run at a
// time there, what a plugin starts in its first moment, before the host has marked it, is
// found when the last of these calls ends, and not with its own.
//
// To find them, the whole program is a child subreaper (prctl(2)) on Linux while a call
// runs. So what its other children leave running when they end meanwhile becomes its
// child as well, not init's, and when that ends, it stays a zombie until the program
// waits for it. A program with such children should wait for those that it did not
// start, by their process ids: a wait for any child would take from the call what it
// has to know about the plugin. Or it runs signet as a process of its own.
type Transport struct {
	// Path is the executable.
	Path string
	// File, if not nil, is Path opened for reading. On Linux this very file is
	// executed, whatever Path has come to mean since; elsewhere it is ignored.
	File *os.File
	// Args go between the executable and the command.
	Args []string
	// Env is the environment, as in exec.Cmd: nil for the parent's.
	Env []string
	// Timeout bounds a call, from the start of the process on.
	Timeout time.Duration
	// Grace is the time between asking a process to end and killing it.
	Grace time.Duration
	// Stderr receives what the plugin writes to stderr as it comes, less the JSON
	// of an error. It is called from one goroutine a call. Nil discards.
	Stderr io.Writer
	// Terminal, if it is the controlling terminal and the host is in the
	// foreground, is given to the plugin during a call, so that it can ask for a
	// PIN there. Such calls come one after the other. Nil for none.
	Terminal *os.File
	// MaxOutput bounds each output stream, in bytes; zero means
	// protocol.MaxMessageSize.
	MaxOutput int64
}

// ExitError says that a plugin ended without success and without saying why in
// the way of the contract.
type ExitError struct {
	// Code is the exit status, -1 when a signal ended the process.
	Code int
	// State describes the end, such as "exit status 2" or "signal: killed".
	State string
	// Stderr is the end of what the plugin wrote to stderr, at most 4 KiB.
	Stderr string
}

// Error returns the state and the last line of stderr.
func (e *ExitError) Error() string {
	text := "ended with " + e.State
	if line := lastLine(e.Stderr); line != "" {
		text += ": " + line
	}
	return text
}

// TimeoutError says that a plugin had not ended within a call's deadline. It is
// a context.DeadlineExceeded to errors.Is.
type TimeoutError struct{ Timeout time.Duration }

// Error names the time allowed.
func (e *TimeoutError) Error() string {
	return fmt.Sprintf("no answer within %s", e.Timeout)
}

// Is makes it a context.DeadlineExceeded.
func (e *TimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// ErrInterrupted says that the user ended a plugin that had the terminal by
// pressing Ctrl-C, which the host itself does not get to see then. It is a
// context.Canceled to errors.Is.
var ErrInterrupted = fmt.Errorf("interrupted at the terminal: %w", context.Canceled)

// Call runs the plugin once. The errors are: an [*protocol.Error] when it exited
// with status 1 and an error as JSON on stderr; an [*ExitError] for any other
// end; an [*protocol.AnswerError] for output that breaks the contract; a
// [*TimeoutError]; ctx's cause.
//
// Of stderr, the last JSON object that begins a line and has a member of the
// error contract is the error; what stands around it is log text.
func (t *Transport) Call(ctx context.Context, command protocol.Command, request []byte) ([]byte, error) {
	x, log, err := t.run(ctx, []string{string(command)}, bytes.NewReader(request), t.Stderr)
	if err != nil {
		return nil, err
	}
	answer, from, to := (*protocol.Error)(nil), 0, 0
	if x.Code == 1 {
		answer, from, to = findError(x.Stderr)
	}
	log.finish(x.Stderr, from, to)
	switch {
	case x.Stopped != nil:
		return nil, x.Stopped
	case x.interrupted && t.Terminal != nil:
		return nil, ErrInterrupted
	case x.Code == 0:
		return x.Stdout, nil
	case answer != nil:
		return nil, answer
	default:
		return nil, failure(x)
	}
}

// Exchange is all that can be seen of one invocation from outside.
type Exchange struct {
	// Stdout and Stderr are what the plugin wrote, up to the bound.
	Stdout, Stderr []byte
	// Code is the exit status, -1 when a signal ended the process.
	Code int
	// State describes the end, such as "exit status 2" or "signal: killed".
	State string
	// Stopped says why the process was not left to end by itself: a
	// [*TimeoutError], the context's cause, or an [*protocol.AnswerError] for too
	// much output; nil when it was.
	Stopped error
	// Forced tells that it did not end within Grace of being asked to.
	Forced bool
	// Left tells that processes which it had started were still running when it
	// ended. They were killed. Windows does not tell.
	Left bool

	interrupted bool // by Ctrl-C
}

// ErrorText returns the JSON on Stderr that a host takes for the plugin's error,
// as Call describes; nil when there is none.
func (x *Exchange) ErrorText() []byte {
	_, from, to := findError(x.Stderr)
	return x.Stderr[from:to]
}

// Exchange runs the plugin once with any arguments and any input, and judges
// nothing: it is for those who examine plugins. Stderr of t is not used. The
// error says that the plugin could not be run.
//
// What is left of stdin when the plugin has ended is not read; a Read that blocks
// then is for the caller to end.
func (t *Transport) Exchange(ctx context.Context, args []string, stdin io.Reader) (*Exchange, error) {
	x, _, err := t.run(ctx, args, stdin, nil)
	return x, err
}

// run is Exchange, with log text passed on as it comes; the rest of it is for the
// caller to finish.
func (t *Transport) run(ctx context.Context, args []string, stdin io.Reader, log io.Writer) (*Exchange, *logText, error) {
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	command := t.command(args)
	streams, err := openStreams(command, cmp.Or(t.MaxOutput, protocol.MaxMessageSize), log)
	if err != nil {
		return nil, nil, err
	}
	defer streams.close()
	running, err := process.Start(ctx, command, t.Terminal)
	streams.pipes.CloseChildEnds()
	if err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", t.Path, err)
	}
	streams.send(stdin)
	x := &Exchange{}
	x.Stopped, x.Forced = t.supervise(ctx, running, streams)
	end, err := running.Wait()
	if err != nil {
		return nil, nil, err
	}
	x.Code, x.State, x.interrupted, x.Left = end.Code, end.Text, end.Interrupted, running.Left()
	x.Stdout, x.Stderr = streams.finish()
	if x.Stopped == nil {
		x.Stopped = streams.overflow.Err()
	}
	return x, streams.err.log, nil
}

// command prepares the invocation.
func (t *Transport) command(args []string) *process.Command {
	return &process.Command{
		Path: t.Path,
		File: t.File,
		Args: slices.Concat([]string{t.Path}, t.Args, args),
		Env:  t.Env,
	}
}

// supervise waits for the end of the process, and brings it about when the
// deadline passes, ctx is done or too much has been written. stopped tells why
// the process had to be ended, forced that asking was not enough.
func (t *Transport) supervise(ctx context.Context, running *process.Process, streams *streams) (stopped error, forced bool) {
	timeout := cmp.Or(t.Timeout, DefaultTimeout)
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	select {
	case <-running.Done():
		return nil, false
	case <-streams.overflow.Done():
		running.Kill()
		return nil, false
	case <-deadline.C:
		stopped = &TimeoutError{Timeout: timeout}
	case <-ctx.Done():
		stopped = context.Cause(ctx)
	}
	running.Interrupt()
	grace := time.NewTimer(cmp.Or(t.Grace, DefaultGrace))
	defer grace.Stop()
	select {
	case <-running.Done():
	case <-grace.C:
		forced = true
		running.Kill()
	}
	return stopped, forced
}

// failure makes the error of a process that ended without success and without
// a proper error.
func failure(x *Exchange) error {
	const tail = 4 << 10
	exit := &ExitError{Code: x.Code, State: x.State, Stderr: string(x.Stderr[max(0, len(x.Stderr)-tail):])}
	if exit.Code != 1 {
		return exit
	}
	if _, err := protocol.ParseError(x.Stderr); err != nil && bytes.HasPrefix(bytes.TrimSpace(x.Stderr), []byte("{")) {
		return &protocol.AnswerError{Reason: "exit status 1 with a malformed error", Err: err}
	}
	return exit
}

// lastLine returns the last line of text that says anything, made fit for print.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, lines[len(lines)-1]))
}
