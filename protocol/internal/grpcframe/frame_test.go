package grpcframe

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// FuzzReadOnly reads the message of a unary call.
func FuzzReadOnly(f *testing.F) {
	const limit = 1 << 16
	for _, sent := range []string{
		"", "\x00\x00\x00\x00\x00", "\x00\x00\x00\x00\x02{}", "\x01\x00\x00\x00\x02{}", "\x00\x00\x00\x00\x03{}",
		"\x00\xff\xff\xff\xff{}", "\x00\x00\x00\x00\x02{}\x00\x00\x00\x00\x02{}", "\x00\x00",
	} {
		f.Add([]byte(sent))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		message, err := ReadOnly(bytes.NewReader(sent), limit)
		again, err2 := ReadOnly(iotest.OneByteReader(bytes.NewReader(sent)), limit)
		if !bytes.Equal(message, again) || (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() {
			t.Errorf("%q, %v; byte by byte %q, %v", message, err, again, err2)
		}
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok && err != ErrTooLong {
				t.Errorf("%T %v", err, err)
			}
			return
		}
		var prefix [PrefixSize]byte
		PutPrefix(&prefix, len(message))
		if whole := append(prefix[:], message...); !bytes.Equal(whole, sent) {
			t.Errorf("%q is the frame of %q", sent, whole)
		}
		// A connection that breaks is no end.
		if _, err := ReadOnly(io.MultiReader(bytes.NewReader(sent), iotest.ErrReader(io.ErrNoProgress)), limit); err != io.ErrNoProgress {
			t.Error(err)
		}
	})
}
