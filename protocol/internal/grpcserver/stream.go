package grpcserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/signet-project/signet/protocol/internal/grpcframe"
)

// stream is one call.
type stream struct {
	connection *connection
	id         uint32
	ctx        context.Context
	cancel     context.CancelFunc
	method     string
	// refusal is why the call is answered with a status alone; nil when it is not.
	refusal *refusal

	// What only the reader uses: whether the message has come, or is longer than it may
	// be, and how much came since the client was told that there is room again.
	complete, tooLong bool
	consumed          int64
	// body is the frame of the message, as far as it came; the reader's until complete.
	body []byte

	// Guarded by the connection's mu: what the client takes on this stream, and whether
	// it has given up.
	window int64
	gone   bool
}

// refusal is an answer without a message.
type refusal struct {
	status int
	reason string
}

// The statuses that are answered with.
const (
	statusUnknown           = 2
	statusResourceExhausted = 8
	statusUnimplemented     = 12
	statusInternal          = 13
)

// maxReason bounds the text of a status, in bytes.
const maxReason = 1000

// newStream opens a stream by the headers of a call.
func newStream(c *connection, f *http2.MetaHeadersFrame) *stream {
	s := &stream{connection: c, id: f.StreamID}
	var verb, kind, timeout string
	for _, field := range f.Fields {
		switch field.Name {
		case ":method":
			verb = field.Value
		case ":path":
			s.method = field.Value
		case "content-type":
			kind = field.Value
		case "grpc-timeout":
			timeout = field.Value
		}
	}
	until, timed := parseTimeout(timeout)
	if timed {
		s.ctx, s.cancel = context.WithTimeout(c.ctx, until)
	} else {
		s.ctx, s.cancel = context.WithCancel(c.ctx)
	}
	switch {
	case verb != "POST" || !grpcframe.IsGRPC(kind):
		s.refusal = &refusal{statusInternal, fmt.Sprintf("%s of content type %q is not gRPC", verb, kind)}
	case timeout != "" && !timed:
		s.refusal = &refusal{statusInternal, "grpc-timeout is malformed"}
	case c.server.Methods[s.method] == nil:
		s.refusal = &refusal{statusUnimplemented, "there is no method " + s.method}
	}
	return s
}

// units are those of a timeout (section Requests, Timeout).
var units = map[byte]time.Duration{
	'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
}

// parseTimeout reads a timeout: at most eight digits and a unit.
func parseTimeout(text string) (time.Duration, bool) {
	const maxDigits = 8
	last := len(text) - 1
	if last < 1 || last > maxDigits || strings.Trim(text[:last], "0123456789") != "" {
		return 0, false
	}
	unit, ok := units[text[last]]
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(text[:last], 10, 64)
	const forever = 1 << 62
	if n > forever/int64(unit) {
		return forever, err == nil
	}
	return time.Duration(n) * unit, err == nil
}

// take takes a piece of the message.
func (s *stream) take(data []byte) {
	s.tooLong = int64(len(s.body)+len(data)) > s.connection.server.Limit+grpcframe.PrefixSize
	if !s.tooLong {
		s.body = append(s.body, data...)
	}
}

// answer makes the call and sends the answer.
func (s *stream) answer() {
	defer s.connection.server.running.Done()
	defer s.connection.drop(s.id)
	answer, refused := s.call()
	if refused != nil {
		s.refuse(refused)
		return
	}
	s.send(answer)
}

// call makes the call.
func (s *stream) call() ([]byte, *refusal) {
	if s.refusal != nil {
		return nil, s.refusal
	}
	limit := s.connection.server.Limit
	if s.tooLong {
		return nil, refuseMessage(grpcframe.ErrTooLong)
	}
	message, err := grpcframe.ReadOnly(bytes.NewReader(s.body), limit)
	s.body = nil
	if err != nil {
		return nil, refuseMessage(err)
	}
	answer, err := s.connection.server.Methods[s.method](s.ctx, message)
	switch {
	case err != nil:
		return nil, &refusal{statusUnknown, err.Error()}
	case int64(len(answer)) > limit:
		return nil, &refusal{statusResourceExhausted, fmt.Sprintf("the answer has %d bytes", len(answer))}
	}
	return answer, nil
}

// refuseMessage answers what could not be read (section Errors).
func refuseMessage(err error) *refusal {
	malformed, ok := errors.AsType[*grpcframe.Error](err)
	switch {
	case ok && malformed.Compressed:
		return &refusal{statusUnimplemented, err.Error()}
	case errors.Is(err, grpcframe.ErrTooLong):
		return &refusal{statusResourceExhausted, err.Error()}
	}
	return &refusal{statusInternal, err.Error()}
}

// The headers of an answer, and the trailers of one with a message.
var (
	answered = []hpack.HeaderField{{Name: ":status", Value: "200"}, {Name: "content-type", Value: grpcframe.ContentType}}
	ended    = hpack.HeaderField{Name: "grpc-status", Value: "0"}
)

// refuse answers with a status alone (section Responses, Trailers-Only). A client that is
// still sending is told to stop.
func (s *stream) refuse(r *refusal) {
	c := s.connection
	if c.stream(s.id) == nil {
		return // nobody waits for it
	}
	status := hpack.HeaderField{Name: "grpc-status", Value: strconv.Itoa(r.status)}
	message := hpack.HeaderField{Name: "grpc-message", Value: escape(r.reason[:min(len(r.reason), maxReason)])}
	_ = c.write(func() {
		c.writeHeaders(s.id, true, answered[0], answered[1], status, message)
		if s.tooLong {
			c.writer.WriteRSTStream(s.id, http2.ErrCodeNo)
		}
	})
}

// send sends an answer, all at once if the client takes it.
func (s *stream) send(answer []byte) {
	const (
		once  = 64 << 10 // so that others get their turns
		frame = 16 << 10 // what any client takes (RFC 9113, section 4.2)
	)
	var prefix [grpcframe.PrefixSize]byte
	grpcframe.PutPrefix(&prefix, len(answer))
	rest := append(prefix[:], answer...)
	c := s.connection
	for first := true; len(rest) > 0; first = false {
		n := c.reserve(s, min(len(rest), once))
		if n == 0 {
			return
		}
		err := c.write(func() {
			if first {
				c.writeHeaders(s.id, false, answered...)
			}
			for part := rest[:n]; len(part) > 0; {
				size := min(len(part), frame)
				c.writer.WriteData(s.id, false, part[:size])
				part = part[size:]
			}
			if n == len(rest) {
				c.writeHeaders(s.id, true, ended)
			}
		})
		if err != nil {
			return
		}
		rest = rest[n:]
	}
}

// escape encodes a message (section Status-Message).
func escape(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }
