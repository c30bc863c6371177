package grpcclient

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Each message has a prefix (section Length-Prefixed-Message): a byte that tells
// whether it is compressed, and its length.
const prefixSize = 5

// ErrTooLong says that a message is longer than it may be.
var ErrTooLong = errors.New("the message is too long")

func putPrefix(prefix *[prefixSize]byte, length int) {
	binary.BigEndian.PutUint32(prefix[1:], uint32(length))
}

// readOnly reads the one message of a unary call.
func readOnly(r io.Reader, limit int64) ([]byte, error) {
	message, err := readMessage(r, limit)
	if err == io.EOF {
		return nil, &ProtocolError{Reason: "answered without a message"}
	}
	if err != nil {
		return nil, err
	}
	var more [1]byte
	switch _, err := io.ReadFull(r, more[:]); err {
	case io.EOF:
		return message, nil
	case nil:
		return nil, &ProtocolError{Reason: "answered with more than one message"}
	default:
		return nil, err
	}
}

// readMessage reads a message of at most limit bytes. The error is [io.EOF] where no
// message begins; others of r are returned as they are. Memory grows with the bytes
// that come, not with the length that the prefix claims.
func readMessage(r io.Reader, limit int64) ([]byte, error) {
	var prefix [prefixSize]byte
	_, err := io.ReadFull(r, prefix[:])
	switch {
	case err == io.ErrUnexpectedEOF:
		return nil, &ProtocolError{Reason: "answered with a message that is cut short"}
	case err != nil:
		return nil, err
	case prefix[0] == 1:
		return nil, &ProtocolError{Reason: "answered with a compressed message"}
	case prefix[0] != 0:
		return nil, &ProtocolError{Reason: fmt.Sprintf("answered with a message of the unknown flag %d", prefix[0])}
	}
	length := int64(binary.BigEndian.Uint32(prefix[1:]))
	if length > limit {
		return nil, ErrTooLong
	}
	const once = 64 << 10
	message := bytes.NewBuffer(make([]byte, 0, min(length, once)+bytes.MinRead))
	read, err := io.CopyN(message, r, length)
	if err == io.EOF {
		return nil, &ProtocolError{Reason: fmt.Sprintf("answered with %d bytes of a message of %d", read, length)}
	}
	return message.Bytes(), err
}
