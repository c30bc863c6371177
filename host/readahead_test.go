package host

import (
	"bytes"
	"context"
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
			n, err := hashFile(t.Context(), h, shape(bytes.NewReader(data[:size])))
			if want := sha256.Sum256(data[:size]); err != nil || n != int64(size) || !bytes.Equal(h.Sum(nil), want[:]) {
				t.Errorf("%d bytes, %s: %d, %v, %x", size, name, n, err, h.Sum(nil))
			}
		}
	}
	for _, broken := range []error{errors.New("the disk is broken"), io.ErrUnexpectedEOF} {
		for _, size := range []int{0, 1, headSize, headSize + 1, headSize + blockSize, headSize + 2*blockSize + 1} {
			if _, err := hashFile(t.Context(), sha256.New(), io.MultiReader(bytes.NewReader(data[:size]), iotest.ErrReader(broken))); err != broken {
				t.Errorf("after %d bytes: %v, want %v", size, err, broken)
			}
		}
	}
}

// endless is a file without end.
type endless struct{ reads chan struct{} }

func (e endless) Read(p []byte) (int, error) {
	select {
	case e.reads <- struct{}{}:
	default:
	}
	return len(p), nil
}

// silent is a pipe that nobody writes to any more, after a first block.
type silent struct {
	head    io.Reader
	blocked chan struct{}
	end     <-chan struct{}
}

func (s *silent) Read(p []byte) (int, error) {
	if n, err := s.head.Read(p); err == nil {
		return n, nil
	}
	close(s.blocked)
	<-s.end
	return 0, io.EOF
}

func TestHashFileEndsWithContext(t *testing.T) {
	t.Parallel()
	gone := errors.New("the user went home")
	t.Run("file without end", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		r := endless{make(chan struct{})}
		go func() {
			for range 3 {
				<-r.reads
			}
			cancel(gone)
		}()
		if _, err := hashFile(ctx, sha256.New(), r); err != gone {
			t.Error(err)
		}
	})
	t.Run("silent pipe", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		r := &silent{head: bytes.NewReader(make([]byte, headSize+blockSize)), blocked: make(chan struct{}), end: t.Context().Done()}
		go func() {
			<-r.blocked
			cancel(gone)
		}()
		if _, err := hashFile(ctx, sha256.New(), r); err != gone {
			t.Error(err)
		}
	})
}
