package grpcserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/signet-project/signet/protocol/internal/grpcframe"
)

// rawClient speaks HTTP/2 frame by frame.
type rawClient struct {
	*http2.Framer
	conn  net.Conn
	ended chan struct{} // the server has given up the connection
	block bytes.Buffer
	hpack *hpack.Encoder
	// seen is what the server sent: "RST 1 NO_ERROR", "GOAWAY PROTOCOL_ERROR", "HEADERS 1",
	// "DATA 1 5", "END 1".
	seen chan string
}

// newRawClient connects to a server without TLS.
func newRawClient(ctx context.Context) *rawClient {
	ours, theirs := net.Pipe()
	server := &Server{Limit: limit, Methods: map[string]Method{
		"/test/Echo": func(_ context.Context, message []byte) ([]byte, error) { return message, nil },
		"/test/Wait": func(ctx context.Context, _ []byte) ([]byte, error) { <-ctx.Done(); return nil, errors.New("over") },
	}}
	c := &rawClient{Framer: http2.NewFramer(ours, ours), conn: ours, ended: make(chan struct{}), seen: make(chan string, 10_000)}
	c.hpack = hpack.NewEncoder(&c.block)
	c.AllowIllegalWrites = true
	go func() {
		defer close(c.ended)
		newConnection(ctx, server, theirs).serve()
	}()
	go c.read()
	return c
}

func (c *rawClient) read() {
	defer close(c.seen)
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			return
		}
		switch f := frame.(type) {
		case *http2.RSTStreamFrame:
			c.seen <- fmt.Sprintf("RST %d %s", f.StreamID, f.ErrCode)
		case *http2.GoAwayFrame:
			c.seen <- fmt.Sprintf("GOAWAY %s", f.ErrCode)
		case *http2.DataFrame:
			c.seen <- fmt.Sprintf("DATA %d %d", f.StreamID, len(f.Data()))
		case *http2.HeadersFrame:
			if f.StreamEnded() {
				c.seen <- fmt.Sprintf("END %d", f.StreamID)
			} else {
				c.seen <- fmt.Sprintf("HEADERS %d", f.StreamID)
			}
		case *http2.PingFrame:
			c.seen <- fmt.Sprintf("PING %v %s", f.IsAck(), f.Data)
		}
	}
}

// open writes the headers of a call.
func (c *rawClient) open(id uint32, method string, end bool, more ...hpack.HeaderField) {
	c.block.Reset()
	fields := []hpack.HeaderField{{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"}, {Name: ":path", Value: method}, {Name: "content-type", Value: grpcframe.ContentType}}
	for _, field := range append(fields, more...) {
		c.hpack.WriteField(field)
	}
	block := c.block.Bytes()
	first := block[:min(len(block), 16<<10)]
	block = block[len(first):]
	c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: first, EndStream: end, EndHeaders: len(block) == 0})
	for len(block) > 0 {
		next := block[:min(len(block), 16<<10)]
		block = block[len(next):]
		c.WriteContinuation(id, len(block) == 0, next)
	}
}

// message is the frame of one of so many bytes.
func message(size int) []byte {
	frame := make([]byte, 5+size)
	frame[2], frame[3], frame[4] = byte(size>>16), byte(size>>8), byte(size)
	return frame
}

// call makes a whole call.
func (c *rawClient) call(id uint32, method string, size int) {
	c.open(id, method, false)
	for data := message(size); len(data) > 0; {
		n := min(len(data), 16<<10)
		c.WriteData(id, n == len(data), data[:n])
		data = data[n:]
	}
}

// TestConnection lets clients break the rules of HTTP/2, or go to their limits.
func TestConnection(t *testing.T) {
	t.Parallel()
	fill := func(c *rawClient, id uint32, bytes int) {
		for ; bytes > 0; bytes -= 16 << 10 {
			c.WriteData(id, false, make([]byte, min(bytes, 16<<10)))
		}
	}
	for name, script := range map[string]struct {
		do   func(c *rawClient)
		want string // the last thing that the server sends, apart from what it has to
	}{
		"a call":                    {func(c *rawClient) { c.call(1, "/test/Echo", 100) }, "HEADERS 1, DATA 1 105, END 1"},
		"calls one after the other": {func(c *rawClient) { c.call(1, "/test/Other", 0); <-c.seen; c.call(7, "/test/Other", 0) }, "END 7"},
		"ping":                      {func(c *rawClient) { c.WritePing(false, [8]byte([]byte("12345678"))) }, "PING true 12345678"},
		"an even stream":            {func(c *rawClient) { c.open(2, "/test/Echo", true) }, "GOAWAY PROTOCOL_ERROR"},
		"data for no stream":        {func(c *rawClient) { c.WriteData(1, true, nil) }, "GOAWAY PROTOCOL_ERROR"},
		"reset of no stream":        {func(c *rawClient) { c.WriteRSTStream(1, http2.ErrCodeCancel) }, "GOAWAY PROTOCOL_ERROR"},
		"window of no stream":       {func(c *rawClient) { c.WriteWindowUpdate(1, 1) }, "GOAWAY PROTOCOL_ERROR"},
		"a promise": {func(c *rawClient) {
			c.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, EndHeaders: true})
		}, "GOAWAY PROTOCOL_ERROR"},
		"a window of nothing":          {func(c *rawClient) { c.WriteWindowUpdate(0, 0) }, "GOAWAY PROTOCOL_ERROR"},
		"a window too large":           {func(c *rawClient) { c.WriteWindowUpdate(0, maxWindow) }, "GOAWAY FLOW_CONTROL_ERROR"},
		"a stream's window too large":  {func(c *rawClient) { c.open(1, "/test/Wait", false); c.WriteWindowUpdate(1, maxWindow) }, "RST 1 FLOW_CONTROL_ERROR"},
		"settings out of their bounds": {func(c *rawClient) { c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31}) }, "GOAWAY FLOW_CONTROL_ERROR"},
		"a frame too large":            {func(c *rawClient) { c.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, 1<<20)) }, ""},
		"headers twice":                {func(c *rawClient) { c.open(1, "/test/Wait", false); c.open(1, "/test/Wait", false) }, "RST 1 STREAM_CLOSED"},
		"data behind the end":          {func(c *rawClient) { c.call(1, "/test/Wait", 0); c.WriteData(1, true, nil) }, "RST 1 STREAM_CLOSED"},
		"headers too large": {func(c *rawClient) {
			c.open(1, "/test/Echo", false, hpack.HeaderField{Name: "x", Value: strings.Repeat("x", maxHeaders)})
		}, "RST 1 ENHANCE_YOUR_CALM"},
		"a message too long": {func(c *rawClient) {
			c.open(1, "/test/Echo", false)
			fill(c, 1, limit+1000)
			c.WriteData(1, true, nil)
		}, "END 1, RST 1 NO_ERROR"},
		"a window that grows late": {func(c *rawClient) {
			c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 3})
			c.call(1, "/test/Echo", 5)
			<-c.seen // the headers
			<-c.seen // what went into the window
			c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 5})
			<-c.seen
			c.WriteWindowUpdate(1, 100)
		}, "DATA 1 5, END 1"},
		"a call that is reset": {func(c *rawClient) {
			c.call(1, "/test/Wait", 0)
			c.WriteRSTStream(1, http2.ErrCodeCancel)
			c.call(3, "/test/Other", 0)
		}, "END 3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c := newRawClient(ctx)
			defer c.conn.Close()
			io.WriteString(c.conn, http2.ClientPreface)
			c.WriteSettings()
			script.do(c)
			var got []string
			if script.want != "" {
				for range strings.Split(script.want, ", ") {
					got = append(got, <-c.seen)
				}
			}
			if got := strings.Join(got, ", "); got != script.want {
				t.Errorf("got %s", got)
			}
			c.conn.Close()
			<-c.ended
		})
	}
	t.Run("as many streams as there may be", func(t *testing.T) {
		t.Parallel()
		c := newRawClient(t.Context())
		defer c.conn.Close()
		io.WriteString(c.conn, http2.ClientPreface)
		c.WriteSettings()
		for i := range uint32(maxStreams) {
			c.open(2*i+1, "/test/Wait", false)
		}
		c.open(2*maxStreams+1, "/test/Wait", false)
		if got, want := <-c.seen, fmt.Sprintf("RST %d REFUSED_STREAM", 2*maxStreams+1); got != want {
			t.Error(got)
		}
		c.WriteRSTStream(1, http2.ErrCodeCancel)
		c.call(2*maxStreams+3, "/test/Other", 0)
		if got, want := <-c.seen, fmt.Sprintf("END %d", 2*maxStreams+3); got != want {
			t.Error(got)
		}
	})
	t.Run("another protocol", func(t *testing.T) {
		t.Parallel()
		c := newRawClient(t.Context())
		io.WriteString(c.conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		<-c.ended
	})
}

// FuzzConnection sends anything behind the prefaces: the server comes to an end with the
// connection.
func FuzzConnection(f *testing.F) {
	for _, script := range []func(*rawClient){
		func(c *rawClient) { c.call(1, "/test/Echo", 10) },
		func(c *rawClient) { c.call(1, "/test/Wait", 10); c.WriteRSTStream(1, 8); c.WritePing(false, [8]byte{}) },
		func(c *rawClient) {
			c.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 10})
			c.WriteWindowUpdate(0, 9)
		},
	} {
		var sent bytes.Buffer
		c := &rawClient{Framer: http2.NewFramer(&sent, nil)}
		c.hpack = hpack.NewEncoder(&c.block)
		script(c)
		f.Add(sent.Bytes())
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		c := newRawClient(ctx)
		go func() {
			for range c.seen {
			}
		}()
		io.WriteString(c.conn, http2.ClientPreface)
		c.WriteSettings()
		c.conn.Write(sent)
		c.conn.Close()
		<-c.ended
	})
}
