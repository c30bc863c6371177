package testplugin

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/session"
)

// serveSession does what the script says of sessions, and ends the process.
func serveSession(script Script, path string, funcs map[string]Func) {
	s := script.Session
	notePid(script.Pids)
	stdin := io.Reader(os.Stdin)
	if s.Deaf {
		signal.Ignore(syscall.SIGTERM, os.Interrupt)
		stdin = endless{}
	}
	if s.Fork != "" {
		start(path, s.Fork, script.Pids, true)
	}
	os.Stderr.WriteString(s.Stderr)
	os.Stdout.WriteString(s.Before)
	switch {
	case s.Exit != 0:
		os.Exit(s.Exit)
	case s.Silent:
		time.Sleep(time.Minute)
	case s.Line != "":
		os.Stdout.WriteString(strings.ReplaceAll(s.Line, "{socket}", deadSocket()) + "\n")
		io.Copy(io.Discard, stdin)
		os.Exit(0)
	}
	protocol.ServeBy(wellBehaved{script, path}, func(ctx context.Context, stdout io.Writer) int {
		if s.Noise {
			go makeNoise()
		}
		return session.Run(ctx, scripted{script, path, funcs, stdout}, stdin, stdout, os.Stderr, os.Getenv)
	})
}

// endless is a stdin whose end nobody hears.
type endless struct{}

func (endless) Read([]byte) (int, error) { select {} }

// makeNoise prints, with and without line feeds.
func makeNoise() {
	for {
		fmt.Print("noise|", "1|1|tcp|127.0.0.1:1|grpc|\n", "more ")
		fmt.Fprintln(os.Stderr, "noise")
		time.Sleep(time.Millisecond)
	}
}

// deadSocket listens, and never answers.
func deadSocket() string {
	path := filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "dead")
	listener, err := net.Listen("unix", path)
	if err != nil {
		panic(err)
	}
	go func() {
		for {
			if _, err := listener.Accept(); err != nil {
				return
			}
		}
	}()
	return path
}

// scripted answers the calls of a session. It has kept the stdout that is set
// aside for the handshake.
type scripted struct {
	script Script
	path   string
	funcs  map[string]Func
	stdout io.Writer
}

// Call implements [protocol.Transport]. It does what the reply says, in the order
// of its fields.
func (s scripted) Call(ctx context.Context, command protocol.Command, request []byte) ([]byte, error) {
	r := run{script: s.script, path: s.path, command: command, reply: s.script.reply(command), funcs: s.funcs}
	r.record(request, Record{Session: true})
	if r.reply.Fork != "" {
		start(r.path, r.reply.Fork, r.script.Pids, true)
	}
	time.Sleep(r.reply.Delay)
	os.Stderr.WriteString(r.reply.Stderr)
	io.WriteString(s.stdout, r.reply.Before)
	answer, failure := r.answer(request)
	flood(s.stdout, r.reply.FloodStdout)
	flood(os.Stderr, r.reply.FloodStderr)
	if r.reply.Hang {
		r.hang(ctx, request)
	}
	if r.reply.Kill {
		killSelf()
	}
	if r.reply.Exit != 0 {
		os.Exit(r.reply.Exit)
	}
	if failure != nil {
		return nil, failure
	}
	return answer, nil
}

// hang waits for the call's context, with IgnoreTerm for nothing.
func (r run) hang(ctx context.Context, request []byte) {
	minute := time.After(time.Minute)
	done := ctx.Done()
	if r.reply.IgnoreTerm {
		done = nil
	}
	select {
	case <-done:
		r.record(request, Record{Session: true, Cancelled: true})
	case <-minute:
	}
}
