package signer

import (
	"fmt"
	"io"
	"os"

	"github.com/signet-project/signet/protocol/oneline"
)

// OneLine makes the text of a key service fit for an error message: on one line,
// without what does not print, of at most 400 bytes and a sign that it was cut.
func OneLine(text string) string { return oneline.Words(text, 400) }

// maxFile bounds a file, in bytes.
const maxFile = 1 << 20

// ReadFile reads a file that a user names, such as one of certificates or of a secret,
// of at most 1 MiB.
func ReadFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is larger than %d KiB", path, maxFile>>10)
	}
	return data, err
}

// BoundBody makes reads of a key service's answer fail when it is longer than so
// many MiB.
func BoundBody(body io.ReadCloser, mebibytes int64) io.ReadCloser {
	return &boundBody{body, mebibytes, mebibytes<<20 + 1}
}

type boundBody struct {
	io.ReadCloser
	mebibytes int64
	// left counts down to 0, which is one byte too many.
	left int64
}

// Read reads from the answer, up to the limit.
func (b *boundBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	if b.left -= int64(n); b.left == 0 {
		return 0, fmt.Errorf("the answer is longer than %d MiB", b.mebibytes)
	}
	return n, err
}
