package host

import (
	"context"
	"hash"
	"io"
)

const (
	// headSize is read before anything else: small files need no more.
	headSize = 4 << 10
	// blockSize is how much of a larger file is read while the block before it is
	// hashed, in bytes. There are two blocks.
	blockSize = 256 << 10
)

// hashFile hashes r to its end, or until ctx is done, and returns how many bytes that
// were. Reading takes a fifth of the time that hashing does even when nothing has to
// come from a disk; so one block is read while another is hashed.
func hashFile(ctx context.Context, h hash.Hash, r io.Reader) (size int64, err error) {
	head := make([]byte, headSize)
	n, err := fill(r, head)
	h.Write(head[:n]) // never fails
	if err != nil {
		return int64(n), endOfFile(err)
	}
	size = int64(n)
	var failure error // of the reader; to be read when it has ended
	full, free := make(chan []byte, 2), make(chan []byte, 2)
	defer close(free)
	free <- make([]byte, blockSize)
	free <- make([]byte, blockSize)
	go func() {
		defer close(full)
		for block := range free {
			n, err := fill(r, block)
			full <- block[:n]
			if err != nil {
				failure = endOfFile(err)
				return
			}
		}
	}()
	for {
		select {
		case block, more := <-full:
			if !more {
				return size, failure
			}
			h.Write(block)
			size += int64(len(block))
			free <- block[:cap(block)]
		case <-ctx.Done():
			return size, context.Cause(ctx)
		}
	}
}

// fill reads until block is full or r has an error, which at its end is io.EOF. (Of
// io.ReadFull one could not tell a file that has ended from one that was cut short.)
func fill(r io.Reader, block []byte) (n int, err error) {
	for n < len(block) && err == nil {
		var more int
		more, err = r.Read(block[n:])
		n += more
	}
	return n, err
}

// endOfFile makes the end of a file no error.
func endOfFile(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}
