package grpcserver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// maxStreams is how many calls may run at a time on a connection.
	maxStreams = 1000
	// maxHeaders bounds the headers of a call, in bytes.
	maxHeaders = 64 << 10
	// streamWindow and connectionWindow are how much a client may send ahead, in bytes.
	streamWindow     = 1 << 20
	connectionWindow = 4 << 20
	// defaultWindow is what both are until told otherwise (RFC 9113, section 6.9.2), and
	// maxWindow the most that they can be (section 6.9.1).
	defaultWindow = 1<<16 - 1
	maxWindow     = math.MaxInt32
)

// connection is one with a client.
type connection struct {
	server *Server
	conn   net.Conn
	ctx    context.Context // what those of the calls come from, which end one by one
	// reader reads frames from conn, and writer writes them to pending.
	reader, writer *http2.Framer

	writing sync.Mutex // held to write frames, and guards what follows
	pending bytes.Buffer
	headers *hpack.Encoder
	block   bytes.Buffer // of headers, as encoded

	mu      sync.Mutex // guards what follows, and the streams
	changed *sync.Cond // a window grew, or a stream was reset
	streams map[uint32]*stream
	window  int64 // what the client takes on the connection, in bytes
	initial int64 // and on a new stream

	// What only the reader uses: the last stream that was opened, and how much came on
	// the connection since the client was told that there is room again.
	last     uint32
	consumed int64
	// idle takes calls for those who have answered one, and whose stacks have grown by it.
	idle chan *stream
}

func newConnection(ctx context.Context, s *Server, conn net.Conn) *connection {
	c := &connection{
		server: s, conn: conn, ctx: ctx,
		streams: map[uint32]*stream{}, window: defaultWindow, initial: defaultWindow,
		idle: make(chan *stream),
	}
	c.changed = sync.NewCond(&c.mu)
	c.writer = http2.NewFramer(&c.pending, nil)
	c.headers = hpack.NewEncoder(&c.block)
	c.reader = http2.NewFramer(nil, bufio.NewReaderSize(conn, 32<<10))
	c.reader.ReadMetaHeaders = hpack.NewDecoder(4<<10, nil)
	c.reader.MaxHeaderListSize = maxHeaders
	c.reader.SetReuseFrames()
	return c
}

// serve reads what the client sends, until one of both ends the connection.
func (c *connection) serve() {
	defer c.abandon()
	if c.begin() != nil {
		return
	}
	for {
		frame, err := c.reader.ReadFrame()
		if err == nil {
			err = c.take(frame)
		}
		if stream, ok := errors.AsType[http2.StreamError](err); ok {
			c.last = max(c.last, stream.StreamID)
			c.drop(stream.StreamID)
			err = c.write(func() { c.writer.WriteRSTStream(stream.StreamID, stream.Code) })
		}
		if err != nil {
			if code, ok := errors.AsType[http2.ConnectionError](err); ok {
				_ = c.write(func() { c.writer.WriteGoAway(c.last, http2.ErrCode(code), nil) })
			}
			return
		}
	}
}

// begin exchanges the prefaces (RFC 9113, section 3.4).
func (c *connection) begin() error {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c.conn, preface); err != nil {
		return err
	}
	if string(preface) != http2.ClientPreface {
		return errors.New("the client does not speak HTTP/2")
	}
	return c.write(func() {
		c.writer.WriteSettings(
			http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: maxStreams},
			http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: maxHeaders},
			http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamWindow})
		c.writer.WriteWindowUpdate(0, connectionWindow-defaultWindow)
	})
}

// abandon ends all calls once the connection has ended.
func (c *connection) abandon() {
	c.conn.Close()
	close(c.idle)
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.streams {
		c.forget(id)
	}
}

// take takes one frame. The errors are those that end a stream or the connection.
func (c *connection) take(frame http2.Frame) error {
	switch f := frame.(type) {
	case *http2.MetaHeadersFrame:
		return c.takeHeaders(f)
	case *http2.DataFrame:
		return c.takeData(f)
	case *http2.WindowUpdateFrame:
		return c.takeWindow(f)
	case *http2.SettingsFrame:
		return c.takeSettings(f)
	case *http2.PingFrame:
		if !f.IsAck() {
			return c.write(func() { c.writer.WritePing(true, f.Data) })
		}
	case *http2.RSTStreamFrame:
		if f.StreamID > c.last {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
		c.drop(f.StreamID)
	case *http2.PushPromiseFrame:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	return nil
}

// takeHeaders opens a stream, or ends one with trailers, which say nothing here.
func (c *connection) takeHeaders(f *http2.MetaHeadersFrame) error {
	if f.StreamID <= c.last {
		s := c.stream(f.StreamID)
		if s == nil || s.complete || !f.StreamEnded() {
			return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeStreamClosed}
		}
		c.finish(s)
		return nil
	}
	if f.StreamID%2 == 0 {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	c.last = f.StreamID
	if f.Truncated {
		return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeEnhanceYourCalm}
	}
	s := newStream(c, f)
	c.mu.Lock()
	full := len(c.streams) >= maxStreams
	if !full {
		s.window = c.initial
		c.streams[s.id] = s
	}
	c.mu.Unlock()
	if full {
		s.cancel()
		return http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeRefusedStream}
	}
	if f.StreamEnded() {
		c.finish(s)
	}
	return nil
}

// takeData takes a piece of a message. It is taken out of the windows at once, so that a
// client that sends more than they allow gains nothing by it.
func (c *connection) takeData(f *http2.DataFrame) error {
	size := int64(f.Length) // with the padding
	if c.consumed += size; c.consumed >= connectionWindow/2 {
		if err := c.makeRoom(0, &c.consumed); err != nil {
			return err
		}
	}
	s := c.stream(f.StreamID)
	switch {
	case s == nil && f.StreamID > c.last:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	case s == nil || s.tooLong: // has been answered, or given up, or is going to be
		return nil
	case s.complete:
		return http2.StreamError{StreamID: s.id, Code: http2.ErrCodeStreamClosed}
	}
	s.consumed += size
	s.take(f.Data())
	switch {
	case f.StreamEnded() || s.tooLong:
		c.finish(s)
	case s.consumed >= streamWindow/2:
		return c.makeRoom(s.id, &s.consumed)
	}
	return nil
}

// makeRoom tells the client that it may send as much again as came.
func (c *connection) makeRoom(id uint32, consumed *int64) error {
	room := uint32(*consumed)
	*consumed = 0
	return c.write(func() { c.writer.WriteWindowUpdate(id, room) })
}

// takeWindow lets more be sent.
func (c *connection) takeWindow(f *http2.WindowUpdateFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.changed.Broadcast()
	if f.StreamID == 0 {
		if c.window += int64(f.Increment); c.window > maxWindow {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
		return nil
	}
	s := c.streams[f.StreamID]
	switch {
	case s == nil && f.StreamID > c.last:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	case s == nil:
		return nil
	}
	if s.window += int64(f.Increment); s.window > maxWindow {
		return http2.StreamError{StreamID: s.id, Code: http2.ErrCodeFlowControl}
	}
	return nil
}

// takeSettings keeps to what the client wants.
func (c *connection) takeSettings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	err := f.ForeachSetting(func(setting http2.Setting) error {
		if err := setting.Valid(); err != nil {
			return err
		}
		switch setting.ID {
		case http2.SettingInitialWindowSize:
			return c.resize(int64(setting.Val))
		case http2.SettingHeaderTableSize:
			c.writing.Lock()
			defer c.writing.Unlock()
			c.headers.SetMaxDynamicTableSizeLimit(setting.Val)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.write(func() { c.writer.WriteSettingsAck() })
}

// resize changes the windows of all streams, those that are open by the difference
// (RFC 9113, section 6.9.2).
func (c *connection) resize(initial int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.changed.Broadcast()
	difference := initial - c.initial
	c.initial = initial
	for _, s := range c.streams {
		if s.window += difference; s.window > maxWindow {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
	}
	return nil
}

// stream returns an open stream, nil when there is none.
func (c *connection) stream(id uint32) *stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.streams[id]
}

// drop gives up on a stream.
func (c *connection) drop(id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(id)
}

// forget ends a stream, open or not. It is called with c.mu held.
func (c *connection) forget(id uint32) {
	if s := c.streams[id]; s != nil {
		delete(c.streams, id)
		s.gone = true
		s.cancel()
		c.changed.Broadcast()
	}
}

// finish has a call answered whose message is complete, or too long.
func (c *connection) finish(s *stream) {
	s.complete = true
	c.server.running.Add(1)
	select {
	case c.idle <- s:
	default:
		go func() {
			for ok := true; ok; s, ok = <-c.idle {
				s.answer()
			}
		}()
	}
}

// reserve waits until some of size bytes may be sent on a stream, and returns how many;
// 0 when nobody waits for them any more.
func (c *connection) reserve(s *stream, size int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !s.gone && min(c.window, s.window) <= 0 {
		c.changed.Wait()
	}
	if s.gone {
		return 0
	}
	n := min(int64(size), c.window, s.window)
	c.window -= n
	s.window -= n
	return int(n)
}

// write writes what frames writes, all of it at once. An error ends the connection.
func (c *connection) write(frames func()) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	frames()
	_, err := c.conn.Write(c.pending.Bytes())
	c.pending.Reset()
	if err != nil {
		c.conn.Close() // so that the reader notices
	}
	return err
}

// writeHeaders writes headers, or the trailers that end a stream. They are small enough
// for one frame. It is for write.
func (c *connection) writeHeaders(id uint32, end bool, fields ...hpack.HeaderField) {
	c.block.Reset()
	for _, field := range fields {
		_ = c.headers.WriteField(field) // to memory
	}
	c.writer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block.Bytes(), EndStream: end, EndHeaders: true})
}
