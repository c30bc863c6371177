package timestamp

import (
	"bytes"
	"errors"
	"slices"
)

// maxDepth bounds how deeply values may nest. A token with certificates needs
// fewer than 20 levels.
const maxDepth = 32

var errBER = errors.New("malformed BER")

// toDER re-encodes one BER value of CMS (X.690) with definite, shortest lengths
// and unsplit octet strings, so that it can be read with a strict DER reader. It
// returns what follows the value in data. Primitive contents, and with them all
// that lies inside octet strings, stay as they are.
func toDER(data []byte) (der, rest []byte, err error) {
	return appendDER(make([]byte, 0, len(data)+8), data, maxDepth)
}

// appendDER appends the first value of data to out.
func appendDER(out, data []byte, depth int) ([]byte, []byte, error) {
	header, data, err := readHeader(data)
	if err != nil {
		return nil, nil, err
	}
	start := len(out)
	out, rest, err := appendContent(out, header, data, depth)
	if err != nil {
		return nil, nil, err
	}
	identifier := bytes.Clone(header.identifier)
	if header.octetString() {
		identifier[0] = tagOctetString
	}
	return slices.Insert(out, start, appendLength(identifier, len(out)-start)...), rest, nil
}

// appendContent appends the contents of a value whose header has been read.
func appendContent(out []byte, header berHeader, data []byte, depth int) ([]byte, []byte, error) {
	if !header.constructed() {
		return append(out, data[:header.length]...), data[header.length:], nil
	}
	if depth == 0 {
		return nil, nil, errors.New("values nest too deeply")
	}
	body, rest := data, []byte(nil)
	if !header.indefinite {
		body, rest = data[:header.length], data[header.length:]
	}
	for {
		if header.indefinite && bytes.HasPrefix(body, []byte{0, 0}) {
			return out, body[2:], nil
		}
		if !header.indefinite && len(body) == 0 {
			return out, rest, nil
		}
		var err error
		if header.octetString() {
			out, body, err = appendSegment(out, body, depth-1)
		} else {
			out, body, err = appendDER(out, body, depth-1)
		}
		if err != nil {
			return nil, nil, err
		}
	}
}

// appendSegment appends the contents of one piece of a split octet string.
func appendSegment(out, data []byte, depth int) ([]byte, []byte, error) {
	header, data, err := readHeader(data)
	if err != nil {
		return nil, nil, err
	}
	if !header.octetString() {
		return nil, nil, errBER
	}
	return appendContent(out, header, data, depth)
}

const (
	tagOctetString  = 0x04
	constructedBit  = 0x20
	highTagNumber   = 0x1f
	indefiniteOctet = 0x80
)

// berHeader is what precedes the contents of a BER value.
type berHeader struct {
	identifier []byte
	length     int
	indefinite bool
}

func (h berHeader) constructed() bool { return h.identifier[0]&constructedBit != 0 }

func (h berHeader) octetString() bool { return h.identifier[0]&^constructedBit == tagOctetString }

// readHeader reads a value's identifier and length octets. A definite length
// never exceeds what is left of data.
func readHeader(data []byte) (berHeader, []byte, error) {
	n := identifierSize(data)
	if n == 0 || len(data) <= n || data[0] == 0 {
		return berHeader{}, nil, errBER
	}
	header := berHeader{identifier: data[:n]}
	first, data := data[n], data[n+1:]
	switch {
	case first == indefiniteOctet:
		header.indefinite = true
		if !header.constructed() {
			return berHeader{}, nil, errBER
		}
		return header, data, nil
	case first > indefiniteOctet:
		octets := int(first & 0x7f)
		if octets > 4 || octets > len(data) {
			return berHeader{}, nil, errBER
		}
		var length uint64
		for _, octet := range data[:octets] {
			length = length<<8 | uint64(octet)
		}
		data = data[octets:]
		if length > uint64(len(data)) {
			return berHeader{}, nil, errBER
		}
		header.length = int(length)
	default:
		header.length = int(first)
	}
	if header.length > len(data) {
		return berHeader{}, nil, errBER
	}
	return header, data, nil
}

// identifierSize is the number of identifier octets, 0 when they are cut off or
// longer than any tag in use.
func identifierSize(data []byte) int {
	if len(data) == 0 {
		return 0
	}
	if data[0]&highTagNumber != highTagNumber {
		return 1
	}
	for n := 1; n < min(len(data), 5); n++ {
		if data[n]&0x80 == 0 {
			return n + 1
		}
	}
	return 0
}

// appendLength appends DER length octets.
func appendLength(out []byte, length int) []byte {
	if length < 0x80 {
		return append(out, byte(length))
	}
	var octets []byte
	for ; length > 0; length >>= 8 {
		octets = append(octets, byte(length))
	}
	slices.Reverse(octets)
	return append(append(out, 0x80|byte(len(octets))), octets...)
}
