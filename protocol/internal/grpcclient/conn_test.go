package grpcclient

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/signet-project/signet/protocol/internal/grpcframe"
)

// deafConn is a connection whose other end reads no more from some time on.
type deafConn struct {
	net.Conn
	deaf    chan struct{} // closed at that time
	waiting chan struct{} // closed when a writer waits for it
	gone    chan struct{} // closed with the connection
	once    struct{ waiting, gone sync.Once }
}

func (c *deafConn) Write(p []byte) (int, error) {
	select {
	case <-c.deaf:
		c.once.waiting.Do(func() { close(c.waiting) })
		<-c.gone
		return 0, net.ErrClosed
	default:
		return c.Conn.Write(p)
	}
}

func (c *deafConn) Close() error {
	c.once.gone.Do(func() { close(c.gone) })
	return c.Conn.Close()
}

// TestDeafServer is about a server that breaks the rules and reads no more: what it
// did wrong is told without waiting until it has been told that the call is over.
func TestDeafServer(t *testing.T) {
	conn := &deafConn{deaf: make(chan struct{}), waiting: make(chan struct{}), gone: make(chan struct{})}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.URL.Path != "/test/Deaf" {
			return
		}
		close(conn.deaf)
		w.Header().Set("Content-Type", grpcframe.ContentType)
		w.Write([]byte("\x00\x00\x00\x00\x01a\x00\x00\x00\x00\x01b"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	client, err := Open(t.Context(), func(ctx context.Context) (_ *tls.Conn, err error) {
		if conn.Conn, err = net.Dial("tcp", server.Listener.Addr().String()); err != nil {
			return nil, err
		}
		secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{NextProto}})
		return secure, secure.HandshakeContext(ctx)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Call(t.Context(), "/test/Settle", nil, 100); err == nil { // both sides' settings are settled then
		t.Error("a page was taken for an answer")
	}
	if _, err := client.Call(t.Context(), "/test/Deaf", []byte("x"), 100); err == nil || !strings.Contains(err.Error(), "answered with more than one message") {
		t.Error(err)
	}
	<-conn.waiting
}
