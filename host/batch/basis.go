package batch

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
)

// Basis sums up what results rest on.
type Basis struct{ sum hash.Hash }

// NewBasis begins with settings.
func NewBasis(settings ...string) *Basis {
	b := &Basis{sha256.New()}
	for _, setting := range settings {
		b.Add([]byte(setting))
	}
	return b
}

// Add takes one more part; where a part ends makes a difference.
func (b *Basis) Add(part []byte) {
	b.sum.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
	b.sum.Write(part)
}

// String is the SHA-256 of all parts, as "sha256:<hex>".
func (b *Basis) String() string { return "sha256:" + hex.EncodeToString(b.sum.Sum(nil)) }
