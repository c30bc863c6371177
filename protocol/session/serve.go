package session

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/internal/grpcserver"
	"github.com/signet-project/signet/protocol/internal/sessionwire"
)

// How long a process lives on after its session has ended: a host kills it after
// two seconds.
const (
	// lastCalls is for calls still running to notice that they are cancelled.
	lastCalls = 500 * time.Millisecond
	// lastRites is for the plugin to be closed.
	lastRites = time.Second
)

// gcPercent is how much garbage there may be for what is in use. Of that a plugin has
// little: by default it would collect again each time that 4 MiB have gathered.
const gcPercent = 400

// Serve runs p as a plugin process and ends the process. It is the whole main
// function of a plugin: in place of protocol.Serve, whose rules hold, it offers
// sessions besides and says so in the metadata.
//
// In a session the methods of p are called concurrently, and what p keeps from
// one call to the next saves time. The context of a call is cancelled when the
// host gives up on it. A panic answers its call with an error and leaves the
// others alone. The session ends with stdin, which the host holds open, or by
// SIGINT or SIGTERM; the contexts of running calls are cancelled then, and a p
// that is an [io.Closer] is closed. The garbage of calls is collected more rarely in a
// session than Go does by default, unless GOGC is set.
func Serve(p protocol.Plugin) {
	p = protocol.WithTransports(p, stdioName, Name)
	if len(os.Args) != 2 || os.Args[1] != Argument {
		protocol.Serve(p)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	protocol.ServeBy(p, func(ctx context.Context, stdout io.Writer) int {
		status := Run(ctx, inProcess{p}, os.Stdin, stdout, os.Stderr, os.Getenv)
		time.AfterFunc(lastRites, func() { os.Exit(status) }) // however long Close takes
		return status
	})
}

// inProcess is a plugin as a transport.
type inProcess struct{ plugin protocol.Plugin }

func (p inProcess) Call(ctx context.Context, command protocol.Command, request []byte) ([]byte, error) {
	var answer bytes.Buffer
	if err := protocol.Handle(ctx, p.plugin, string(command), bytes.NewReader(request), &answer); err != nil {
		return nil, err
	}
	return answer.Bytes(), nil
}

// Run serves a session with everything passed in: each call of the host is
// made to t, until stdin or ctx ends. It returns the exit status: 1 when there
// was no session, with the reason as an error of the contract on stderr. Nobody
// else may write to stdout.
func Run(ctx context.Context, t protocol.Transport, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) int {
	if err := serve(ctx, t, stdin, stdout, getenv); err != nil {
		data, _ := json.Marshal(protocol.AsError(err)) // a struct of strings
		stderr.Write(append(data, '\n'))
		return 1
	}
	return 0
}

func serve(ctx context.Context, t protocol.Transport, stdin io.Reader, stdout io.Writer, getenv func(string) string) error {
	if getenv(sessionwire.CookieVariable) != Name {
		return protocol.Errorf(protocol.CodeValidation, "%q is an argument for hosts: a session cannot be started by hand", Argument)
	}
	config, certificate, err := pluginTLS(getenv(sessionwire.CertificateVariable))
	if err != nil {
		return err
	}
	listener, err := listen(getenv)
	if err != nil {
		return fmt.Errorf("no session could be opened: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		io.Copy(io.Discard, stdin)
		cancel()
	}()
	server := &grpcserver.Server{Methods: answerer{t}.methods(cancel), Limit: protocol.MaxMessageSize + sessionwire.Overhead, TLS: config}
	served := make(chan error, 1)
	go func() {
		defer cancel()
		served <- server.Serve(ctx, listener)
	}()
	line := sessionwire.Handshake{Network: listener.Addr().Network(), Address: listener.Addr().String(), Certificate: certificate}
	if _, err = fmt.Fprintln(stdout, &line); err != nil {
		cancel()
	}
	err = errors.Join(err, <-served)
	server.Wait(lastCalls)
	return err
}

// pluginTLS is the plugin's side of mutual TLS, and its certificate as DER; host is
// the certificate of the only host it talks to, PEM.
func pluginTLS(host string) (config *tls.Config, certificate []byte, err error) {
	hosts := x509.NewCertPool()
	if !hosts.AppendCertsFromPEM([]byte(host)) {
		return nil, nil, protocol.Errorf(protocol.CodeValidation, "the host gave no certificate in %s: a session needs mutual TLS", sessionwire.CertificateVariable)
	}
	own, err := sessionwire.NewCertificate(x509.ExtKeyUsageServerAuth)
	if err != nil {
		return nil, nil, err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{own},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    hosts,
		MinVersion:   tls.VersionTLS12,
	}, own.Certificate[0], nil
}

// answerer answers the calls of a session.
type answerer struct{ transport protocol.Transport }

// methods are what a host can call: that of the session, and of go-plugin's those without
// which a host that it serves takes the plugin for unwell, or has to kill it.
func (a answerer) methods(shutdown func()) map[string]grpcserver.Method {
	return map[string]grpcserver.Method{
		sessionwire.FullMethod:   a.answer,
		sessionwire.HealthMethod: func(context.Context, []byte) ([]byte, error) { return sessionwire.Healthy(), nil },
		sessionwire.ShutdownMethod: func(context.Context, []byte) ([]byte, error) {
			shutdown()
			return nil, nil
		},
	}
}

func (a answerer) answer(ctx context.Context, message []byte) ([]byte, error) {
	var q sessionwire.Request
	if err := q.Decode(message); err != nil {
		return nil, err
	}
	var r sessionwire.Response
	var err error
	if r.Response, err = a.transport.Call(ctx, protocol.Command(q.Command), q.Request); err != nil {
		data, _ := json.Marshal(protocol.AsError(err)) // a struct of strings
		r = sessionwire.Response{Error: data}
	}
	return r.Encode(), nil
}
