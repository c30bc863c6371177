package sessionwire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Request and Response are the messages of spec/session.proto. On the plugin's side
// protobuf takes their struct tags as well as generated code; the host, which does
// not link it, writes the one with Encode and reads the other with Decode.

// Request is one call.
type Request struct {
	Command string `protobuf:"bytes,1,opt,name=command,proto3"`
	Request []byte `protobuf:"bytes,2,opt,name=request,proto3"`
}

// Reset, String and ProtoMessage make it a message to protobuf.
func (r *Request) Reset() { *r = Request{} }

// String names the command and says how long its request is.
func (r *Request) String() string { return fmt.Sprintf("%s, %d bytes", r.Command, len(r.Request)) }

// ProtoMessage marks it as a message.
func (*Request) ProtoMessage() {}

// Response has one of its fields only: neither is ever empty when it is there.
type Response struct {
	Response []byte `protobuf:"bytes,1,opt,name=response,proto3"`
	Error    []byte `protobuf:"bytes,2,opt,name=error,proto3"`
}

// Reset, String and ProtoMessage make it a message to protobuf.
func (r *Response) Reset() { *r = Response{} }

// String says how long the answer is, without quoting it.
func (r *Response) String() string {
	return fmt.Sprintf("%d bytes, error of %d bytes", len(r.Response), len(r.Error))
}

// ProtoMessage marks it as a message.
func (*Response) ProtoMessage() {}

// Encode returns the message as it goes over the wire.
func (r *Request) Encode() []byte {
	b := make([]byte, 0, len(r.Command)+len(r.Request)+2*(1+binary.MaxVarintLen64))
	b = appendField(b, 1, r.Command)
	return appendField(b, 2, r.Request)
}

// Decode reads the message, of which the fields become parts.
func (r *Response) Decode(message []byte) error {
	r.Reset()
	return eachField(message, func(number uint64, f field) {
		switch {
		case number == 1 && f.wireType == wireBytes:
			r.Response = f.bytes
		case number == 2 && f.wireType == wireBytes:
			r.Error = f.bytes
		}
	})
}

// HealthCheck is the message by which a host asks, as go-plugin does, whether a
// plugin takes calls: HealthCheckRequest of grpc.health.v1.
func HealthCheck() []byte { return appendField(nil, 1, "plugin") }

// The methods of go-plugin's own services that a host calls.
const (
	HealthMethod = "/grpc.health.v1.Health/Check"
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
