// Package grpcserver is as much of a gRPC server as a plugin needs: unary methods for
// hosts that connect by mutual TLS, on the frames of golang.org/x/net/http2. A library for
// gRPC would double the time that each start of a plugin takes, for calls without a session,
// too; the server of net/http takes a third longer for a signature.
//
// The protocols are HTTP/2 (RFC 9113) and that of PROTOCOL-HTTP2.md in the repository of
// gRPC; comments name their sections. The client has a certificate, and yet what it sends
// is bounded: in streams, headers, and bytes of a message.
package grpcserver

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// Method answers one call. ctx is done when the client gives up on it, when its deadline
// has passed, or with the server. An error is answered with the status Unknown.
type Method func(ctx context.Context, message []byte) (answer []byte, err error)

// Server answers the calls of whoever connects.
type Server struct {
	// Methods are named "/service/name".
	Methods map[string]Method
	// Limit bounds messages and answers, in bytes.
	Limit int64
	// TLS tells who may connect; ALPN is the server's.
	TLS *tls.Config

	running sync.WaitGroup // calls
}

// handshakeTime is how long a client may take to introduce itself.
const handshakeTime = 10 * time.Second

// Serve serves whoever connects to listener, which it closes, until ctx is done: then it
// closes all connections, so that calls that are running have no answer any more, ends
// their contexts, and returns, without waiting for them. The error is that of the
// listener.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var connections sync.WaitGroup
	defer connections.Wait()
	defer cancel()
	context.AfterFunc(ctx, func() { listener.Close() })
	config := s.TLS.Clone()
	config.NextProtos = []string{http2.NextProtoTLS}
	for {
		accepted, err := listener.Accept()
		if err != nil && ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		connections.Go(func() { s.serve(ctx, tls.Server(accepted, config)) })
	}
}

// Wait waits for the calls that are still running once Serve has returned, at most for so
// long.
func (s *Server) Wait(patience time.Duration) {
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience):
	}
}

// serve serves one connection to its end.
func (s *Server) serve(ctx context.Context, conn *tls.Conn) {
	// At once: what a closing record says TCP and sockets say, too.
	defer conn.NetConn().Close()
	defer context.AfterFunc(ctx, func() { conn.NetConn().Close() })()
	shaking, stop := context.WithTimeout(ctx, handshakeTime)
	defer stop()
	if conn.HandshakeContext(shaking) != nil || conn.ConnectionState().NegotiatedProtocol != http2.NextProtoTLS {
		return
	}
	newConnection(context.WithoutCancel(ctx), s, conn).serve()
}
