package sessionwire

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

// Request and Response are the messages of spec/session.proto.

// Request is one call.
type Request struct {
	Command string
	Request []byte
}

// Response has one of its fields only: neither is ever empty when it is there.
type Response struct {
	Response []byte
	Error    []byte
}

// Encode returns the message as it goes over the wire.
func (r *Request) Encode() []byte { return encode(r.Command, r.Request) }

// Decode reads the message, of which the fields become parts.
func (r *Request) Decode(message []byte) error {
	*r = Request{}
	err := eachField(message, func(number uint64, f field) {
		switch {
		case number == 1 && f.wireType == wireBytes:
			r.Command = string(f.bytes)
		case number == 2 && f.wireType == wireBytes:
			r.Request = f.bytes
		}
	})
	if err == nil && !utf8.ValidString(r.Command) {
		err = errMalformed
	}
	return err
}

// Encode returns the message as it goes over the wire.
func (r *Response) Encode() []byte { return encode(r.Response, r.Error) }

// Decode reads the message, of which the fields become parts.
func (r *Response) Decode(message []byte) error {
	*r = Response{}
	return eachField(message, func(number uint64, f field) {
		switch {
		case number == 1 && f.wireType == wireBytes:
			r.Response = f.bytes
		case number == 2 && f.wireType == wireBytes:
			r.Error = f.bytes
		}
	})
}

// encode returns a message of two fields, which are left out when they are empty.
func encode[T string | []byte](first T, second []byte) []byte {
	b := make([]byte, 0, len(first)+len(second)+2*(1+binary.MaxVarintLen64))
	b = appendField(b, 1, first)
	return appendField(b, 2, second)
}

// HealthCheck is the message by which a host asks, as go-plugin does, whether a
// plugin takes calls: HealthCheckRequest of grpc.health.v1.
func HealthCheck() []byte { return appendField(nil, 1, "plugin") }

// Healthy is the answer of a plugin that does: HealthCheckResponse.
func Healthy() []byte {
	const serving = 1
	return binary.AppendUvarint([]byte{1<<3 | wireVarint}, serving)
}

// The methods of go-plugin's own services that hosts call.
const (
	HealthMethod = "/grpc.health.v1.Health/Check"
	// ShutdownMethod is how a host that go-plugin serves ends a session. Both of its
	// messages are empty.
	ShutdownMethod = "/plugin.GRPCController/Shutdown"
	// OutputMethod brings what a plugin that go-plugin serves prints: go-plugin
	// puts pipes of its own in place of stdout and stderr. Its request is empty.
	OutputMethod = "/plugin.GRPCStdio/StreamStdio"
)

// Output is a piece of what a plugin printed: StdioData of go-plugin's
// grpc_stdio.proto.
type Output struct {
	Stderr bool // not stdout
	Data   []byte
}

// Decode reads the message.
func (o *Output) Decode(message []byte) error {
	const stderr = 2
	*o = Output{}
	return eachField(message, func(number uint64, f field) {
		switch {
		case number == 1 && f.wireType == wireVarint:
			o.Stderr = f.varint == stderr
		case number == 2 && f.wireType == wireBytes:
			o.Data = f.bytes
		}
	})
}

// The wire types of protobuf's encoding that are in use; groups are not.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// field is the value of one field.
type field struct {
	wireType uint64
	varint   uint64
	bytes    []byte
}

func appendField[T string | []byte](b []byte, number uint64, value T) []byte {
	if len(value) == 0 {
		return b
	}
	b = binary.AppendUvarint(b, number<<3|wireBytes)
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}

var errMalformed = errors.New("malformed protobuf message")

// eachField calls use for each field of a message, known or not, in order.
func eachField(message []byte, use func(number uint64, f field)) error {
	varint := func() (value uint64, ok bool) {
		value, size := binary.Uvarint(message)
		if size <= 0 {
			return 0, false
		}
		message = message[size:]
		return value, true
	}
	take := func(size uint64) ([]byte, bool) {
		if size > uint64(len(message)) {
			return nil, false
		}
		value := message[:size:size]
		message = message[size:]
		return value, true
	}
	const maxNumber = 1<<29 - 1
	for len(message) > 0 {
		tag, ok := varint()
		if number := tag >> 3; !ok || number == 0 || number > maxNumber {
			return errMalformed
		}
		f := field{wireType: tag & 7}
		switch f.wireType {
		case wireVarint:
			f.varint, ok = varint()
		case wireFixed64:
			f.bytes, ok = take(8)
		case wireFixed32:
			f.bytes, ok = take(4)
		case wireBytes:
			var size uint64
			if size, ok = varint(); ok {
				f.bytes, ok = take(size)
			}
		default:
			return errMalformed
		}
		if !ok {
			return errMalformed
		}
		use(tag>>3, f)
	}
	return nil
}
