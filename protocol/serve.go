package protocol

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Serve runs p as a plugin process and ends the process: the command comes from
// the first argument, the request from stdin, the answer goes to stdout and a
// failure as JSON to stderr, with exit status 1. It is the whole main function
// of a plugin that serves one call a process; package session has a Serve that
// offers sessions besides.
//
// While p works, anything that it or its libraries print on stdout goes to
// stderr instead, so that the answer stays alone. SIGINT and SIGTERM cancel the
// context; a second one ends the process at once. After a SIGINT the process ends
// by that signal, so that a host which gave it the terminal learns of the Ctrl-C.
//
// A p that is an [io.Closer] is closed before the process ends.
func Serve(p Plugin) {
	ServeBy(p, func(ctx context.Context, stdout io.Writer) int {
		return Run(ctx, p, os.Args, &patientReader{ctx, os.Stdin}, stdout, os.Stderr)
	})
}

// ServeBy is what [Serve] does around [Run], for packages that reach a plugin in
// another way: run gets the stdout that has been set aside, and returns the exit
// status.
func ServeBy(p Plugin, run func(ctx context.Context, stdout io.Writer) int) {
	stdout, err := takeStdout()
	if err != nil {
		os.Exit(refuse(os.Stderr, Errorf(CodeGeneric, "set stdout aside: %w", err)))
	}
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	interrupted := make(chan struct{})
	go func() {
		got := <-signals
		signal.Reset(os.Interrupt, syscall.SIGTERM)
		if got == os.Interrupt {
			close(interrupted)
		}
		cancel()
	}()
	status := run(ctx, stdout)
	if closer, ok := as[io.Closer](p); ok {
		_ = closer.Close() // the answer is out; nobody could be told
	}
	select {
	case <-interrupted:
		dieInterrupted()
	default:
	}
	os.Exit(status)
}

// patientReader waits for input as long as its context lets it: a signal ends a
// plugin whose host keeps stdin open, too.
type patientReader struct {
	ctx context.Context
	r   io.Reader
}

// Read reads in the background, where it is left behind when the context is done.
func (p *patientReader) Read(into []byte) (int, error) {
	buffer := make([]byte, len(into))
	var n int
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		n, err = p.r.Read(buffer)
	}()
	select {
	case <-done:
		return copy(into, buffer[:n]), err
	case <-p.ctx.Done():
		return 0, p.ctx.Err()
	}
}

// Run is Serve with everything passed in: args as in os.Args. It returns the
// exit status: 0 for an answer on stdout, 1 for a failure on stderr.
func Run(ctx context.Context, p Plugin, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	command := ""
	if len(args) > 1 {
		command = args[1]
	}
	switch command {
	case "", "-h", "--help", "help", "--version", "version":
		return introduce(ctx, p, command, stderr)
	}
	if err := Handle(ctx, p, command, stdin, stdout); err != nil {
		return refuse(stderr, AsError(err))
	}
	return 0
}

// refuse writes a failure the way a host reads it, and returns the exit status.
func refuse(stderr io.Writer, failure *Error) int {
	encoded, err := encode(failure)
	if err != nil { // a message that is not UTF-8
		encoded, _ = encode(&Error{Code: failure.Code, Message: fmt.Sprintf("%q", failure.Message)})
	}
	stderr.Write(append(encoded, '\n'))
	return 1
}

// introduce tells a person who started the plugin by hand what it is.
func introduce(ctx context.Context, p Plugin, command string, stderr io.Writer) int {
	metadata, err := p.GetMetadata(ctx, &GetMetadataRequest{})
	if err != nil || metadata == nil {
		metadata = &Metadata{Name: "?"}
	}
	binary := BinaryPrefix + metadata.Name
	fmt.Fprintf(stderr, "%s %s - %s\n", binary, metadata.Version, metadata.Description)
	if command == "version" || command == "--version" {
		return 0
	}
	fmt.Fprintf(stderr, `%s

This is a plugin for Notary Project hosts such as signet and notation, which
start it themselves. By hand: %s <command> < request.json
Commands: %s, %s, %s, %s, %s
`, metadata.URL, binary,
		CommandGetMetadata, CommandDescribeKey, CommandGenerateSignature, CommandGenerateEnvelope, CommandVerifySignature)
	if command == "" {
		return 1
	}
	return 0
}
