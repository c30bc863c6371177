package host

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

func TestHashFile(t *testing.T) {
	t.Parallel()
	data := make([]byte, headSize+3*blockSize+17)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(data)
	for _, size := range []int{0, 1, headSize - 1, headSize, headSize + 1, headSize + blockSize - 1, headSize + blockSize, headSize + blockSize + 1, headSize + 2*blockSize, len(data)} {
		for name, shape := range map[string]func(io.Reader) io.Reader{
			"whole":             func(r io.Reader) io.Reader { return r },
			"in halves":         iotest.HalfReader,
			"end with the data": iotest.DataErrReader,
		} {
			h := sha256.New()
			n, err := hashFile(h, shape(bytes.NewReader(data[:size])))
			if want := sha256.Sum256(data[:size]); err != nil || n != int64(size) || !bytes.Equal(h.Sum(nil), want[:]) {
				t.Errorf("%d bytes, %s: %d, %v, %x", size, name, n, err, h.Sum(nil))
			}
		}
	}
	for _, broken := range []error{errors.New("the disk is broken"), io.ErrUnexpectedEOF} {
		for _, size := range []int{0, 1, headSize, headSize + 1, headSize + blockSize, headSize + 2*blockSize + 1} {
			if _, err := hashFile(sha256.New(), io.MultiReader(bytes.NewReader(data[:size]), iotest.ErrReader(broken))); err != broken {
				t.Errorf("after %d bytes: %v, want %v", size, err, broken)
			}
		}
	}
}
