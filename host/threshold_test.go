package host

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/signet-project/signet/host/trust"
)

// bruteForce tries every selection of the votes.
func bruteForce(b *ballot, votes []vote) int {
	best := 0
	for selection := range 1 << len(votes) {
		different := true
		for i, v := range votes {
			for j := range i {
				if selection>>i&1 == 1 && selection>>j&1 == 1 && b.sameSigner(v, votes[j]) {
					different = false
				}
			}
		}
		if different {
			best = max(best, bits.OnesCount(uint(selection)))
		}
	}
	return best
}

func TestBallot(t *testing.T) {
	t.Parallel()
	t.Run("the selection is the largest there is", func(t *testing.T) {
		seed := uint64(time.Now().UnixNano())
		random := rand.New(rand.NewPCG(seed, 0))
		for range 300 {
			for _, distinct := range []trust.Distinct{trust.DistinctIdentity, trust.DistinctRoot} {
				b := &ballot{threshold: trust.Threshold{Distinct: distinct}}
				for range random.IntN(9) {
					b.votes = append(b.votes, vote{
						identity: fmt.Sprint(random.IntN(4)), publicKey: fmt.Sprint(random.IntN(4)), root: fmt.Sprint(random.IntN(4)),
					})
				}
				want := bruteForce(b, b.votes)
				if got := errorAs[*ThresholdError](b.missed("x")).Found; got != want {
					t.Fatalf("seed %d: %d of %+v by %s, want %d", seed, got, b.votes, distinct, want)
				}
				if len(b.complete(nil, b.votes, want)) != want || b.complete(nil, b.votes, want+1) != nil {
					t.Fatalf("seed %d: %+v: no selection of %d, or one of more", seed, b.votes, want)
				}
			}
		}
	})
	t.Run("signers with many keys do not keep it busy", func(t *testing.T) {
		// Two of ten identities share their only key: nine is the most there is.
		for _, distinct := range []trust.Distinct{trust.DistinctIdentity, trust.DistinctRoot} {
			b := &ballot{threshold: trust.Threshold{Signatures: 10, Distinct: distinct}}
			for key := range 40 {
				for identity := range 8 {
					b.votes = append(b.votes, vote{identity: fmt.Sprint(identity), publicKey: fmt.Sprint(identity, key), root: fmt.Sprint(key)})
				}
			}
			b.votes = append(b.votes, vote{identity: "8", publicKey: "shared", root: "a"}, vote{identity: "9", publicKey: "shared", root: "b"})
			if found := errorAs[*ThresholdError](b.missed("x")).Found; found != 9 {
				t.Errorf("%s: found %d", distinct, found)
			}
		}
	})
}
