package grpcclient

import (
	"io"
	"math"
	"strings"
	"testing"
	"time"
)

func TestTimeout(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second:            "1m",
		time.Microsecond:        "1m",
		time.Minute:             "60000m",
		99_999_999e6:            "99999999m",
		100_000_000e6:           "100000S",
		math.MaxInt64:           "99999999S",
		1500 * time.Millisecond: "1500m",
	} {
		if got := timeout(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestStatusMessage(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "",
		"plain":                     "plain",
		"100%25":                    "100%",
		"%e4%bd%a0":                 "你",
		"%E4%BD%A0 50% %zz %4":      "你 50% %zz %4",
		"two%0alines%1b[2J":         "two lines [2J",
		"%ff":                       "?",
		strings.Repeat("x", 10_000): strings.Repeat("x", 1000) + "…",
	} {
		if got := message(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestBody reads the frame of a request in pieces of every size: the end comes
// with the last of them.
func TestBody(t *testing.T) {
	const want = "\x00\x00\x00\x00\x05hello"
	for size := 1; size <= len(want)+1; size++ {
		b, got := newBody([]byte("hello")), []byte(nil)
		for {
			piece := make([]byte, size)
			n, err := b.Read(piece)
			got = append(got, piece[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil || len(got) >= len(want) {
				t.Fatalf("%q, %v", got, err)
			}
		}
		if string(got) != want || !b.begun.Load() {
			t.Errorf("%q", got)
		}
	}
}
