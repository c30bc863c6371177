package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"
)

// coseEdits change parts of a COSE envelope that attributes do not reach.
type coseEdits struct {
	// protected and unprotected change the entries of the two headers, before they
	// are sorted.
	protected, unprotected func(*[]pair)
	// shuffled leaves the entries of the protected header in their order.
	shuffled bool
	// protectedBytes replaces the encoded protected header.
	protectedBytes []byte
	// context and external replace those parts of the Sig_structure.
	context  string
	external []byte
	// items changes the four items of the envelope, after signing; their number may
	// change.
	items func([][]byte) [][]byte
	// prefix replaces tag 18.
	prefix []byte
}

// pair is an entry of a CBOR map; key and value are encoded.
type pair struct{ key, value []byte }

// The major types of CBOR (RFC 8949, section 3.1).
const (
	majorUint     = 0
	majorNegative = 1
	majorBytes    = 2
	majorText     = 3
	majorArray    = 4
	majorMap      = 5
	majorTag      = 6
)

// COSE header labels.
const (
	labelAlgorithm   = 1
	labelCritical    = 2
	labelContentType = 3
	labelX5Chain     = 33
)

// head is the shortest head of an item.
func head(major byte, n uint64) []byte {
	major <<= 5
	switch {
	case n < 24:
		return []byte{major | byte(n)}
	case n <= math.MaxUint8:
		return []byte{major | 24, byte(n)}
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16([]byte{major | 25}, uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32([]byte{major | 26}, uint32(n))
	}
	return binary.BigEndian.AppendUint64([]byte{major | 27}, n)
}

func cborBytes(data []byte) []byte { return append(head(majorBytes, uint64(len(data))), data...) }

func cborArray(items ...[]byte) []byte {
	return append(head(majorArray, uint64(len(items))), bytes.Join(items, nil)...)
}

func cborTag(number uint64, content []byte) []byte { return append(head(majorTag, number), content...) }

func cborMap(pairs []pair) []byte {
	out := head(majorMap, uint64(len(pairs)))
	for _, p := range pairs {
		out = slices.Concat(out, p.key, p.value)
	}
	return out
}

// cborValue encodes what attributes and labels may hold. Times are seconds under
// tag 1.
func cborValue(value any) []byte {
	switch value := value.(type) {
	case encoded:
		return value
	case []byte:
		return cborBytes(value)
	case string:
		return append(head(majorText, uint64(len(value))), value...)
	case int:
		if value < 0 {
			return head(majorNegative, uint64(-1-value))
		}
		return head(majorUint, uint64(value))
	case float64:
		return binary.BigEndian.AppendUint64([]byte{0xfb}, math.Float64bits(value))
	case bool:
		if value {
			return []byte{0xf5}
		}
		return []byte{0xf4}
	case nil:
		return []byte{0xf6}
	case time.Time:
		return cborTag(1, cborValue(int(value.Unix())))
	case []any:
		items := make([][]byte, len(value))
		for i, item := range value {
			items[i] = cborValue(item)
		}
		return cborArray(items...)
	case [][]byte:
		items := make([][]byte, len(value))
		for i, item := range value {
			items[i] = cborBytes(item)
		}
		return cborArray(items...)
	}
	panic(fmt.Sprintf("no CBOR for %T", value))
}

func entry(key, value any) pair { return pair{cborValue(key), cborValue(value)} }

// setPair gives a key a value, and adds it if it is not there.
func setPair(pairs *[]pair, key, value any) {
	dropPair(pairs, key)
	*pairs = append(*pairs, entry(key, value))
}

func dropPair(pairs *[]pair, key any) {
	wanted := cborValue(key)
	*pairs = slices.DeleteFunc(*pairs, func(p pair) bool { return bytes.Equal(p.key, wanted) })
}

// sorted orders entries as RFC 8949, section 4.2.1, has it.
func sorted(pairs []pair) []pair {
	slices.SortStableFunc(pairs, func(a, b pair) int { return bytes.Compare(a.key, b.key) })
	return pairs
}

// protectedCOSE is the encoded protected header.
func (s *scene) protectedCOSE() []byte {
	if s.cose.protectedBytes != nil {
		return s.cose.protectedBytes
	}
	var pairs []pair
	if s.suite.cose != nil {
		pairs = append(pairs, entry(labelAlgorithm, s.suite.cose))
	}
	if s.critical != nil {
		pairs = append(pairs, entry(labelCritical, s.critical))
	}
	if s.contentType != nil {
		pairs = append(pairs, entry(labelContentType, s.contentType))
	}
	for _, a := range s.attributes {
		pairs = append(pairs, entry(a.key, a.value))
	}
	if s.cose.protected != nil {
		s.cose.protected(&pairs)
	}
	if !s.cose.shuffled {
		pairs = sorted(pairs)
	}
	return cborMap(pairs)
}

func (s *scene) encodeCOSE() []byte {
	context, prefix := s.cose.context, s.cose.prefix
	if context == "" {
		context = "Signature1"
	}
	if prefix == nil {
		prefix = head(majorTag, 18)
	}
	protected := s.protectedCOSE()
	signature := s.sign(cborArray(cborValue(context), cborBytes(protected), cborBytes(s.cose.external), cborBytes(s.payload)))

	unprotected := []pair{entry(labelX5Chain, s.chain)}
	if s.token != nil {
		unprotected = append(unprotected, entry(attrTimestamp, s.token(signature)))
	}
	if s.agent != nil {
		unprotected = append(unprotected, entry(attrAgent, s.agent))
	}
	if s.cose.unprotected != nil {
		s.cose.unprotected(&unprotected)
	}
	items := [][]byte{cborBytes(protected), cborMap(sorted(unprotected)), cborBytes(s.payload), cborBytes(signature)}
	if s.cose.items != nil {
		items = s.cose.items(items)
	}
	return append(prefix, cborArray(items...)...)
}
