package grpcclient

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signet-project/signet/protocol/internal/grpcframe"
)

const (
	// authority is the name that servers are called by; nobody resolves it.
	authority = "localhost"
	// maxHeaders bounds the headers and the trailers of an answer, in bytes.
	maxHeaders = 64 << 10
	// streamWindow and connectionWindow are how much a server may send ahead of
	// the reader, in bytes.
	streamWindow     = 1 << 20
	connectionWindow = 3 << 20
	// courtesy is how much later than ours the deadline is that a server is told,
	// so that it is us who give up.
	courtesy = time.Second
)

// Dial connects to the server. ALPN has to have settled on "h2" (NextProto).
type Dial func(ctx context.Context) (*tls.Conn, error)

// NextProto is the name of HTTP/2 in ALPN.
const NextProto = "h2"

// Conn is a connection to a server. It may be used by several goroutines at once.
type Conn struct {
	transport *http.Transport

	mu     sync.Mutex
	conns  []*http.ClientConn // those that may be open; calls go to the last
	closed bool
}

// Open connects. A connection that the server closes in peace, as some do with idle
// ones, is made anew by the next call.
func Open(ctx context.Context, dial Dial) (*Conn, error) {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	c := &Conn{transport: &http.Transport{
		Protocols:              protocols,
		DialTLSContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return checked(dial(ctx)) },
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeaders,
		HTTP2:                  &http.HTTP2Config{MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: connectionWindow},
	}}
	_, err := c.connect(ctx, nil)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// checked makes sure that the server speaks HTTP/2.
func checked(conn *tls.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	if conn.ConnectionState().NegotiatedProtocol != NextProto {
		conn.Close()
		return nil, &ProtocolError{Reason: "does not offer HTTP/2 by ALPN"}
	}
	return conn, nil
}

// connect returns the connection to use, another than one that failed.
func (c *Conn) connect(ctx context.Context, failed *http.ClientConn) (*http.ClientConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, net.ErrClosed
	}
	if n := len(c.conns); n > 0 && c.conns[n-1] != failed {
		return c.conns[n-1], nil
	}
	conn, err := c.transport.NewClientConn(ctx, "https", authority+":443")
	if err != nil {
		return nil, err
	}
	c.conns = append(slices.DeleteFunc(c.conns, func(old *http.ClientConn) bool { return old.Err() != nil }), conn)
	return conn, nil
}

// Close ends the connection, and the calls that are running on it.
func (c *Conn) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, conn := range c.conns {
		conn.Close()
	}
}

// Call makes a unary call of the method "/service/name" and returns the message of
// the answer, of at most limit bytes. It returns when ctx is done at the latest,
// and cancels the call then; a deadline of ctx is told to the server.
//
// The errors are ctx's; a [*StatusError] that the server answered with; [grpcframe.ErrTooLong];
// a [*ProtocolError]; and a [*LostError], with which it is not known whether the
// server has seen the call. No call is sent twice.
func (c *Conn) Call(ctx context.Context, method string, message []byte, limit int64) ([]byte, error) {
	if int64(len(message)) > math.MaxUint32 {
		return nil, grpcframe.ErrTooLong
	}
	type result struct {
		message []byte
		err     error
	}
	done := make(chan result, 1)
	// net/http may wait for the server, be it to take the frame that cancels a call.
	go func() {
		var r result
		r.err = c.exchange(ctx, method, message, func(body io.Reader) error {
			var err error
			r.message, err = grpcframe.ReadOnly(body, limit)
			return err
		})
		done <- r
	}()
	select {
	case r := <-done:
		return r.message, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Stream calls a method that answers with any number of messages, each of at most
// limit bytes, and calls use with one after the other, until the server ends them,
// use returns an error, or ctx is done. The errors are those of Call and of use.
func (c *Conn) Stream(ctx context.Context, method string, message []byte, limit int64, use func([]byte) error) error {
	return c.exchange(ctx, method, message, func(body io.Reader) error {
		for {
			message, err := grpcframe.Read(body, limit)
			if err == io.EOF {
				return nil
			}
			if err == nil {
				err = use(message)
			}
			if err != nil {
				return err
			}
		}
	})
}

// exchange sends a request with one message, has the messages of the answer read,
// and looks at its status.
func (c *Conn) exchange(ctx context.Context, method string, message []byte, read func(body io.Reader) error) error {
	conn, response, err := c.send(ctx, method, message)
	if err != nil {
		return err
	}
	body := &source{body: response.Body, conn: conn}
	defer body.close()
	if err := checkResponse(response); err != nil {
		return err
	}
	err = read(body)
	if malformed, ok := errors.AsType[*grpcframe.Error](err); ok {
		err = &ProtocolError{Reason: "answered with " + malformed.Reason}
	}
	if !body.ended {
		return err
	}
	status := statusOf(response, !body.some)
	_, failed := errors.AsType[*StatusError](status)
	if failed || status != nil && !body.some || err == nil {
		return status
	}
	return err
}

// send sends a request and waits for the headers of the answer. A connection that
// turns out to be closed before it took any of the message is replaced, once: the
// server has not seen that call.
func (c *Conn) send(ctx context.Context, method string, message []byte) (conn *http.ClientConn, response *http.Response, err error) {
	for range 2 {
		if conn, err = c.connect(ctx, conn); err != nil {
			return nil, nil, &LostError{Err: err}
		}
		body := newBody(message)
		response, err = conn.RoundTrip(newRequest(ctx, method, body))
		if err == nil || body.begun.Load() || ctx.Err() != nil {
			break
		}
	}
	return conn, response, explain(err, conn)
}

// newRequest makes a request (section Requests).
func newRequest(ctx context.Context, method string, body io.ReadCloser) *http.Request {
	request := &http.Request{
		Method: http.MethodPost,
		URL:    &url.URL{Scheme: "https", Host: authority, Path: method},
		Host:   authority,
		Header: http.Header{
			"Te":           {"trailers"},
			"Content-Type": {grpcframe.ContentType},
			"User-Agent":   {"grpc-go-signet/1"},
		},
		Body:          body, // without GetBody, and so not to be sent again
		ContentLength: -1,
	}
	if deadline, ok := ctx.Deadline(); ok {
		request.Header["Grpc-Timeout"] = []string{timeout(time.Until(deadline) + courtesy)}
	}
	return request.WithContext(ctx)
}

// timeout writes a duration as a header has it: at most eight digits and a unit.
func timeout(d time.Duration) string {
	const most = 99_999_999
	if n := max(d.Milliseconds(), 1); n <= most {
		return strconv.FormatInt(n, 10) + "m"
	}
	return strconv.FormatInt(min(int64(d/time.Second), most), 10) + "S"
}

// body is a request's: the frame of one message.
type body struct {
	prefix  [grpcframe.PrefixSize]byte
	message []byte
	at      int // how much of both has been read
	begun   atomic.Bool
}

func newBody(message []byte) *body {
	b := &body{message: message}
	grpcframe.PutPrefix(&b.prefix, len(message))
	return b
}

// Read implements [io.Reader]. The end comes with the last bytes, which saves a
// frame.
func (b *body) Read(p []byte) (n int, err error) {
	b.begun.Store(true)
	if b.at < grpcframe.PrefixSize {
		n = copy(p, b.prefix[b.at:])
		b.at += n
	}
	if b.at >= grpcframe.PrefixSize {
		copied := copy(p[n:], b.message[b.at-grpcframe.PrefixSize:])
		n, b.at = n+copied, b.at+copied
	}
	if b.at == grpcframe.PrefixSize+len(b.message) {
		err = io.EOF
	}
	return n, err
}

// Close implements [io.Closer].
func (b *body) Close() error { return nil }
