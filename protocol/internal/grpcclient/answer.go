package grpcclient

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/signet-project/signet/protocol/internal/grpcframe"
	"github.com/signet-project/signet/protocol/oneline"
)

// ProtocolError says in which way a server does not keep to gRPC or HTTP/2. It
// begins with a verb, of which the server is the subject.
type ProtocolError struct {
	Reason string
	// Err is the cause, when there is one; its text is not part of Reason.
	Err error
}

// Error returns the reason, followed by the cause if there is one.
func (e *ProtocolError) Error() string {
	if e.Err == nil {
		return e.Reason
	}
	return e.Reason + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *ProtocolError) Unwrap() error { return e.Err }

// LostError says that the connection broke, or that the server would not take a
// call.
type LostError struct{ Err error }

// Error returns the cause.
func (e *LostError) Error() string { return "the connection was lost: " + e.Err.Error() }

// Unwrap returns Err.
func (e *LostError) Unwrap() error { return e.Err }

// Code is a gRPC status.
type Code uint32

// The codes that mean something here.
const (
	Unimplemented Code = 12
	Unavailable   Code = 14
)

// names are those of the codes, in their order.
var names = strings.Fields("OK Canceled Unknown InvalidArgument DeadlineExceeded NotFound AlreadyExists PermissionDenied " +
	"ResourceExhausted FailedPrecondition Aborted OutOfRange Unimplemented Internal Unavailable DataLoss Unauthenticated")

// String returns the name, or the number of a code that has none.
func (c Code) String() string {
	if int64(c) < int64(len(names)) {
		return names[c]
	}
	return strconv.FormatUint(uint64(c), 10)
}

// StatusError is a status other than OK that a server answered with.
type StatusError struct {
	Code Code
	// Message is the server's, in one line.
	Message string
}

// Error returns "gRPC status PermissionDenied: …".
func (e *StatusError) Error() string {
	return fmt.Sprintf("answered with gRPC status %s: %s", e.Code, e.Message)
}

// checkResponse looks at the headers of an answer.
func checkResponse(r *http.Response) error {
	kind := r.Header.Get("Content-Type")
	if r.StatusCode == http.StatusOK && grpcframe.IsGRPC(kind) {
		return nil
	}
	return &ProtocolError{Reason: fmt.Sprintf("answered with HTTP status %d and content type %q, which is not gRPC", r.StatusCode, cut(kind))}
}

// statusOf returns the status of an answer that was read to its end: nil for OK, a
// [*StatusError], or a [*ProtocolError] when there is none. It stands in the
// trailers; an answer without messages may have nothing but headers (section
// Responses, Trailers-Only).
func statusOf(r *http.Response, empty bool) error {
	fields := r.Trailer
	if len(fields["Grpc-Status"]) == 0 && empty {
		fields = r.Header
	}
	values := fields["Grpc-Status"]
	if len(values) != 1 {
		return &ProtocolError{Reason: fmt.Sprintf("answered with %d gRPC statuses, not one", len(values))}
	}
	code, err := strconv.ParseUint(values[0], 10, 32)
	switch {
	case err != nil:
		return &ProtocolError{Reason: fmt.Sprintf("answered with %q as its gRPC status, which is no number", cut(values[0]))}
	case code == 0:
		return nil
	}
	return &StatusError{Code: Code(code), Message: message(fields.Get("Grpc-Message"))}
}

// unescape decodes a message (section Status-Message). What is no valid escape
// stands for itself.
func unescape(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		if len(text) >= 3 && text[0] == '%' {
			if plain, err := url.PathUnescape(text[:3]); err == nil {
				b.WriteString(plain)
				text = text[3:]
				continue
			}
		}
		b.WriteByte(text[0])
		text = text[1:]
	}
	return b.String()
}

// message makes an escaped text of the server's fit for an error.
func message(escaped string) string {
	return oneline.Words(strings.ToValidUTF8(unescape(escaped), "?"), maxText)
}

// maxText bounds the server's texts in errors, in bytes.
const maxText = 1000

// cut returns the beginning of a text that is long.
func cut(text string) string {
	if len(text) > maxText {
		return text[:maxText] + "…"
	}
	return text
}

// source is the body of an answer, whose errors are those of a call.
type source struct {
	body  io.ReadCloser
	conn  *http.ClientConn
	some  bool // something has been read
	ended bool // and all of it
}

// Read implements [io.Reader].
func (s *source) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	s.some = s.some || n > 0
	if err == io.EOF {
		s.ended = true
		return n, err
	}
	return n, explain(err, s.conn)
}

// close resets the stream, unless it was read to its end. That can wait for the
// server to read: what is known of its answer does not wait with it.
func (s *source) close() {
	if s.ended {
		s.body.Close()
		return
	}
	go s.body.Close() // ends with the connection at the latest
}

// streamError is how net/http says that a stream was reset, by either side: errors
// of its own that have these fields may be read as one ([http.Transport] on
// golang.org/x/net/http2.StreamError).
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return fmt.Sprintf("HTTP/2 error code %d: %v", e.Code, e.Cause) }

// explain returns the error of a call for one of net/http, none for none.
func explain(err error, conn *http.ClientConn) error {
	if err == nil {
		return nil
	}
	// Such a server has not looked at the call.
	const refusedStream = 7
	reset, ok := errors.AsType[streamError](err)
	switch {
	case ok && reset.Code != refusedStream:
		return &ProtocolError{Reason: "broke off the call", Err: reset}
	case err == io.ErrUnexpectedEOF && conn.Err() == nil:
		return &ProtocolError{Reason: "answered with another length than it told"}
	}
	return &LostError{Err: err}
}
