package batch

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// JobIndexVariable is where a Kubernetes Indexed Job tells a pod its number.
const JobIndexVariable = "JOB_COMPLETION_INDEX"

// maxShards bounds the parts that a list is split into.
const maxShards = 1 << 20

// Shard is one part of a list. The zero value is the whole list.
type Shard struct {
	// Index is the part's number, from 0 to Count-1; Count is the number of parts.
	Index, Count int
}

// ParseShard reads "i/n": part i of n, counted from 0. In "/n" the part is the
// one that getenv has in JOB_COMPLETION_INDEX. Empty text is the whole list.
func ParseShard(text string, getenv func(string) string) (Shard, error) {
	if text == "" {
		return Shard{}, nil
	}
	index, count, found := strings.Cut(text, "/")
	n, err := strconv.Atoi(count)
	if !found || err != nil || n < 1 || n > maxShards {
		return Shard{}, fmt.Errorf("shard %q is not of the form i/n, such as 0/4 for the first of four parts", text)
	}
	if index == "" {
		if index = getenv(JobIndexVariable); index == "" {
			return Shard{}, errors.New("shard \"" + text + "\" takes its part from " + JobIndexVariable + ", which is not set: write i/n, or run it as a Kubernetes Indexed Job")
		}
	}
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i >= n {
		return Shard{}, fmt.Errorf("shard %q: the part has to be a number from 0 to %d, and is %q", text, n-1, index)
	}
	return Shard{i, n}, nil
}

// Has tells whether an entry belongs to the shard: the first 8 bytes of its
// SHA-256, big-endian, modulo Count are Index. So it does not matter where in the
// list the entry stands, nor what else is in the list.
func (s Shard) Has(entry string) bool {
	if s.Count < 2 {
		return true
	}
	sum := sha256.Sum256([]byte(entry))
	return binary.BigEndian.Uint64(sum[:8])%uint64(s.Count) == uint64(s.Index)
}
