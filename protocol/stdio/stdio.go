// Package stdio reaches a plugin as the Notary Project contract has it: one
// process for each command, the command as argument, JSON on its standard
// streams (plugin-extensibility.md, Plugin contract).
package stdio

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

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
// those escape. On Linux the plugin dies with the host.
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
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	cmd := t.command(command)
	streams, err := openStreams(cmd, t.maxOutput(), t.Stderr)
	if err != nil {
		return nil, err
	}
	defer streams.close()
	running, err := process.Start(ctx, cmd, t.Terminal)
	streams.closeChilds()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", t.Path, err)
	}
	streams.send(request)
	stopped, err := t.supervise(ctx, running, streams)
	if err != nil {
		return nil, err
	}
	stdout, stderr := streams.finish()
	state := cmd.ProcessState
	answer, from, to := (*protocol.Error)(nil), 0, 0
	if state.ExitCode() == 1 {
		answer, from, to = findError(stderr)
	}
	streams.err.log.finish(stderr, from, to)
	switch {
	case stopped != nil:
		return nil, stopped
	case streams.overflow() != nil:
		return nil, streams.overflow()
	case interrupted(state) && t.Terminal != nil:
		return nil, ErrInterrupted
	case state.Success():
		return stdout, nil
	case answer != nil:
		return nil, answer
	default:
		return nil, failure(state, stderr)
	}
}

// command prepares the invocation.
func (t *Transport) command(command protocol.Command) *exec.Cmd {
	cmd := &exec.Cmd{
		Path: t.Path,
		Args: slices.Concat([]string{t.Path}, t.Args, []string{string(command)}),
		Env:  t.Env,
	}
	runFile(cmd, t.File)
	return cmd
}

// supervise waits for the end of the process, and brings it about when the
// deadline passes, ctx is done or too much has been written. stopped tells why
// the process had to be ended; err is the system's failure to wait.
func (t *Transport) supervise(ctx context.Context, running *process.Process, streams *streams) (stopped, err error) {
	timeout := t.timeout()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	ended := make(chan error, 1)
	go func() { ended <- running.Wait() }()
	select {
	case err := <-ended:
		return nil, err
	case <-streams.full:
		running.Kill()
		return nil, <-ended
	case <-deadline.C:
		stopped = &TimeoutError{Timeout: timeout}
	case <-ctx.Done():
		stopped = context.Cause(ctx)
	}
	running.Interrupt()
	grace := time.NewTimer(t.grace())
	defer grace.Stop()
	select {
	case err = <-ended:
	case <-grace.C:
		running.Kill()
		err = <-ended
	}
	return stopped, err
}

func (t *Transport) timeout() time.Duration {
	if t.Timeout == 0 {
		return DefaultTimeout
	}
	return t.Timeout
}

func (t *Transport) grace() time.Duration {
	if t.Grace == 0 {
		return DefaultGrace
	}
	return t.Grace
}

func (t *Transport) maxOutput() int64 {
	if t.MaxOutput == 0 {
		return protocol.MaxMessageSize
	}
	return t.MaxOutput
}

// failure makes the error of a process that ended without success and without
// a proper error.
func failure(state *os.ProcessState, stderr []byte) error {
	const tail = 4 << 10
	exit := &ExitError{Code: state.ExitCode(), State: state.String(), Stderr: string(stderr[max(0, len(stderr)-tail):])}
	if exit.Code != 1 {
		return exit
	}
	if _, err := protocol.ParseError(stderr); err != nil && bytes.HasPrefix(bytes.TrimSpace(stderr), []byte("{")) {
		return &protocol.AnswerError{Reason: "exit status 1 with a malformed error", Err: err}
	}
	return exit
}

// lastLine returns the last line of text that says anything, made fit for print.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '�' {
			return -1
		}
		return r
	}, lines[len(lines)-1]))
}

// errTooMuch says which stream went over its bound.
func errTooMuch(stream string, limit int64) error {
	return &protocol.AnswerError{Reason: fmt.Sprintf("wrote more than %d bytes to %s", limit, stream)}
}
