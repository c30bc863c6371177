// Package grpcframe has what both sides of gRPC need: it reads and writes messages as they
// are framed (PROTOCOL-HTTP2.md in gRPC's repository, section Length-Prefixed-Message),
// without compression, and knows their content type. The other side is not trusted.
package grpcframe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ContentType is that of requests and answers (section Requests).
const ContentType = "application/grpc"

// IsGRPC tells whether a content type is that; the encoding of the messages and
// parameters may follow it.
func IsGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(contentType, ContentType)
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// PrefixSize is the size of what stands before a message, in bytes: one that tells
// whether it is compressed, and its length.
const PrefixSize = 5

// ErrTooLong says that a message is longer than it may be.
var ErrTooLong = errors.New("the message is too long")

// Error says what was sent that is no message.
type Error struct {
	// Reason is such as "a message that is cut short".
	Reason string
	// Compressed tells that it is one, which the other side may send without it.
	Compressed bool
}

// Error returns the reason.
func (e *Error) Error() string { return "got " + e.Reason }

// PutPrefix writes the prefix of a message of so many bytes.
func PutPrefix(prefix *[PrefixSize]byte, length int) {
	binary.BigEndian.PutUint32(prefix[1:], uint32(length))
}

// ReadOnly reads the one message of a unary call, of at most limit bytes. The errors are
// [ErrTooLong], an [*Error], and those of r.
func ReadOnly(r io.Reader, limit int64) ([]byte, error) {
	message, err := Read(r, limit)
	if err == io.EOF {
		return nil, &Error{Reason: "no message"}
	}
	if err != nil {
		return nil, err
	}
	var more [1]byte
	switch _, err := io.ReadFull(r, more[:]); err {
	case io.EOF:
		return message, nil
	case nil:
		return nil, &Error{Reason: "more than one message"}
	default:
		return nil, err
	}
}

// Read reads a message of at most limit bytes. The error is [io.EOF] where no message
// begins, [ErrTooLong] or an [*Error]; others of r are returned as they are. Memory grows
// with the bytes that come, not with the length that the prefix claims.
func Read(r io.Reader, limit int64) ([]byte, error) {
	var prefix [PrefixSize]byte
	_, err := io.ReadFull(r, prefix[:])
	switch {
	case err == io.ErrUnexpectedEOF:
		return nil, &Error{Reason: "a message that is cut short"}
	case err != nil:
		return nil, err
	case prefix[0] == 1:
		return nil, &Error{Reason: "a compressed message", Compressed: true}
	case prefix[0] != 0:
		return nil, &Error{Reason: fmt.Sprintf("a message of the unknown flag %d", prefix[0])}
	}
	length := int64(binary.BigEndian.Uint32(prefix[1:]))
	if length > limit {
		return nil, ErrTooLong
	}
	const once = 64 << 10
	message := bytes.NewBuffer(make([]byte, 0, min(length, once)+bytes.MinRead))
	read, err := io.CopyN(message, r, length)
	if err == io.EOF {
		return nil, &Error{Reason: fmt.Sprintf("%d bytes of a message of %d", read, length)}
	}
	return message.Bytes(), err
}
