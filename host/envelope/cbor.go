package envelope

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
)

// strictCBOR checks data before cborItem walks over it: well-formed, definite
// lengths, nothing after the item, bounded in depth and in number of elements.
var strictCBOR = must(cbor.DecOptions{
	IndefLength:      cbor.IndefLengthForbidden,
	MaxNestedLevels:  16,
	MaxArrayElements: 1024,
	MaxMapPairs:      maxAttributes,
}.DecMode())

// deterministicCBOR writes maps in the order of RFC 8949, section 4.2.1.
var deterministicCBOR = must(cbor.EncOptions{
	Sort:        cbor.SortBytewiseLexical,
	IndefLength: cbor.IndefLengthForbidden,
}.EncMode())

// must unwraps a mode whose options are constant.
func must[T any](mode T, err error) T {
	if err != nil {
		panic(err)
	}
	return mode
}

// The major types of CBOR (RFC 8949, section 3.1).
const (
	majorUint = iota
	majorNegative
	majorBytes
	majorText
	majorArray
	majorMap
	majorTag
	majorSimple
)

const (
	simpleFalse = 20
	simpleTrue  = 21
	simpleNull  = 22
)

// cborItem is one data item, cut out of well-formed data without a copy.
type cborItem struct {
	major byte
	// info is the low five bits of the first byte: for simple values and floats
	// it tells which of them it is.
	info byte
	// arg is the number, the length, the count, the tag or the float's bits.
	arg uint64
	// body is the contents: of a string its bytes, of anything else the items
	// within. raw is the whole item.
	body, raw []byte
}

// nextItem cuts the first item off data, which must be well-formed.
func nextItem(data []byte) (item cborItem, rest []byte) {
	item.major, item.info = data[0]>>5, data[0]&0x1f
	size := 1
	switch item.info {
	case 24:
		item.arg, size = uint64(data[1]), 2
	case 25:
		item.arg, size = uint64(binary.BigEndian.Uint16(data[1:])), 3
	case 26:
		item.arg, size = uint64(binary.BigEndian.Uint32(data[1:])), 5
	case 27:
		item.arg, size = binary.BigEndian.Uint64(data[1:]), 9
	default:
		item.arg = uint64(item.info)
	}
	end := size
	switch item.major {
	case majorBytes, majorText:
		end += int(item.arg)
	case majorArray:
		end = skipItems(data, size, item.arg)
	case majorMap:
		end = skipItems(data, size, 2*item.arg)
	case majorTag:
		end = skipItems(data, size, 1)
	}
	item.body, item.raw = data[size:end], data[:end]
	return item, data[end:]
}

// skipItems returns where count items that start at an offset end. Its depth is
// bounded by strictCBOR.
func skipItems(data []byte, offset int, count uint64) int {
	for range count {
		_, rest := nextItem(data[offset:])
		offset = len(data) - len(rest)
	}
	return offset
}

// knownTexts are those that nearly every envelope has: found here, they need not be
// allocated for each of them.
var knownTexts = func() map[string]any {
	texts := map[string]any{}
	for _, text := range []string{
		attrScheme, attrSigningTime, attrAuthenticTime, attrExpiry, attrTimestamp, attrAgent,
		MediaTypePayload, string(SchemeX509), string(SchemeSigningAuthority),
	} {
		texts[text] = text
	}
	return texts
}()

// text returns a text string; false for other items and broken UTF-8.
func (i cborItem) text() (string, bool) {
	if i.major != majorText || !utf8.Valid(i.body) {
		return "", false
	}
	if known, ok := knownTexts[string(i.body)]; ok {
		return known.(string), true
	}
	return string(i.body), true
}

// bytes returns a byte string without a copy; false for other items.
func (i cborItem) bytes() ([]byte, bool) {
	return i.body, i.major == majorBytes
}

// isNull tells null from all other items.
func (i cborItem) isNull() bool { return i.major == majorSimple && i.info == simpleNull }

// integer returns an integer; false for other items and for what int64 cannot
// hold.
func (i cborItem) integer() (int64, bool) {
	switch {
	case i.arg > math.MaxInt64:
		return 0, false
	case i.major == majorUint:
		return int64(i.arg), true
	case i.major == majorNegative:
		return -1 - int64(i.arg), true
	}
	return 0, false
}

// float returns a floating-point number of any width; false for other items.
func (i cborItem) float() (float64, bool) {
	if i.major != majorSimple || i.info < 25 {
		return 0, false
	}
	var value float64
	err := cbor.Unmarshal(i.raw, &value)
	return value, err == nil
}

// label returns a header label: a string or an int64.
func (i cborItem) label() (any, error) {
	if known, ok := knownTexts[string(i.body)]; ok && i.major == majorText {
		return known, nil
	}
	if name, ok := i.text(); ok {
		return name, nil
	}
	if n, ok := i.integer(); ok {
		return n, nil
	}
	return nil, errors.New("a header label is neither an integer nor a text string")
}

// pairs calls do with the label and value of each entry of a map, and refuses
// labels that occur twice.
func (i cborItem) pairs(do func(label any, value cborItem) error) error {
	if i.major != majorMap {
		return errors.New("a header is not a map")
	}
	seen := make([]any, 0, 8)
	for rest := i.body; len(rest) > 0; {
		var key, value cborItem
		key, rest = nextItem(rest)
		value, rest = nextItem(rest)
		label, err := key.label()
		if err != nil {
			return err
		}
		for _, other := range seen {
			if other == label {
				return fmt.Errorf("header label %s occurs twice", quoted(label))
			}
		}
		seen = append(seen, label)
		if err := do(label, value); err != nil {
			return err
		}
	}
	return nil
}

// elements calls do with each element of an array.
func (i cborItem) elements(do func(cborItem) error) error {
	for rest := i.body; len(rest) > 0; {
		var element cborItem
		element, rest = nextItem(rest)
		if err := do(element); err != nil {
			return err
		}
	}
	return nil
}

// time returns an epoch-based time (RFC 8949, section 3.4.2): tag 1 around an
// integer or a float.
func (i cborItem) time() (*time.Time, error) {
	if i.major != majorTag {
		return nil, errors.New("invalid timeValue type")
	}
	if i.arg != 1 {
		return nil, errors.New("only Tag `1` Datetime CBOR object is supported")
	}
	content, _ := nextItem(i.body)
	var t time.Time
	if seconds, ok := content.integer(); ok {
		// The bound keeps time.Time from overflowing.
		if seconds > -1<<40 && seconds < 1<<40 {
			t = time.Unix(seconds, 0).UTC()
		}
	} else if seconds, ok := content.float(); ok {
		if math.Abs(seconds) < 1<<40 {
			whole, fraction := math.Modf(seconds)
			t = time.Unix(int64(whole), int64(math.Round(fraction*1e9))).UTC()
		}
	} else {
		return nil, errors.New("invalid timeValue type")
	}
	if !inRange(t) || t.IsZero() {
		return nil, errors.New("time out of range")
	}
	return &t, nil
}

// value returns an attribute's value the way Attribute documents.
func (i cborItem) value() any {
	switch i.major {
	case majorUint:
		return json.Number(strconv.FormatUint(i.arg, 10))
	case majorNegative:
		n := new(big.Int).SetUint64(i.arg)
		return json.Number(n.Not(n).String())
	case majorText:
		if text, ok := i.text(); ok {
			return text
		}
	case majorSimple:
		switch i.info {
		case simpleFalse, simpleTrue:
			return i.info == simpleTrue
		case simpleNull:
			return nil
		}
		if f, ok := i.float(); ok && !math.IsNaN(f) && !math.IsInf(f, 0) {
			text, _ := json.Marshal(f)
			return json.Number(text)
		}
	}
	return RawValue(i.raw)
}

// appendBytes appends a byte string.
func appendBytes(out, value []byte) []byte {
	return append(appendHead(out, majorBytes, uint64(len(value))), value...)
}

// appendHead appends the shortest head for a major type and an argument.
func appendHead(out []byte, major byte, arg uint64) []byte {
	major <<= 5
	switch {
	case arg < 24:
		return append(out, major|byte(arg))
	case arg <= math.MaxUint8:
		return append(out, major|24, byte(arg))
	case arg <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(out, major|25), uint16(arg))
	case arg <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(out, major|26), uint32(arg))
	default:
		return binary.BigEndian.AppendUint64(append(out, major|27), arg)
	}
}
