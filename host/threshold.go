package host

import (
	"crypto/x509"
	"slices"

	"github.com/signet-project/signet/host/trust"
)

// ballot gathers the signatures that pass until they satisfy a statement: one
// does, unless a threshold asks for more by different signers.
type ballot struct {
	threshold trust.Threshold
	votes     []vote
}

// vote is a signature that passed, with what tells its signer from others.
type vote struct {
	signature *SignatureOutcome
	identity  string
	publicKey string // SubjectPublicKeyInfo, DER
	root      string // SubjectPublicKeyInfo of the anchor, which a renewed certificate keeps
}

func newBallot(statement *trust.Statement) *ballot {
	if statement.Threshold == nil {
		return &ballot{threshold: trust.Threshold{Signatures: 1}}
	}
	return &ballot{threshold: *statement.Threshold}
}

// cast adds a signature that passed. It returns the signatures that satisfy the
// statement together, or nil as long as there are too few.
func (b *ballot) cast(signature *SignatureOutcome) []*SignatureOutcome {
	if b.threshold.Distinct == "" {
		return []*SignatureOutcome{signature}
	}
	if signature.Anchor == nil || signature.Identity == "" || signature.Result(trust.CheckAuthenticity).Status != StatusPassed {
		return nil // only logged as failing; it has no signer that could be told apart
	}
	cast := vote{
		signature: signature, identity: signature.Identity, root: string(signature.Anchor.RawSubjectPublicKeyInfo),
		publicKey: string(signature.leaf().RawSubjectPublicKeyInfo),
	}
	if slices.ContainsFunc(b.votes, func(v vote) bool {
		return v.identity == cast.identity && v.publicKey == cast.publicKey && v.root == cast.root
	}) {
		return nil
	}
	chosen := b.complete([]vote{cast}, b.others(b.votes, cast), b.threshold.Signatures)
	b.votes = append(b.votes, cast)
	var signatures []*SignatureOutcome
	for _, v := range chosen {
		signatures = append(signatures, v.signature)
	}
	return signatures
}

// complete adds to chosen as many of the votes as make want, all by different
// signers; nil when that cannot be done. Each of the votes is by another signer than
// all of chosen.
func (b *ballot) complete(chosen, votes []vote, want int) []vote {
	if len(chosen) == want {
		return chosen
	}
	for len(chosen)+b.atMost(votes) >= want {
		next := votes[0]
		votes = votes[1:]
		if found := b.complete(append(slices.Clip(chosen), next), b.others(votes, next), want); found != nil {
			return found
		}
	}
	return nil
}

// others returns those votes that do not count as one with v.
func (b *ballot) others(votes []vote, v vote) []vote {
	var others []vote
	for _, other := range votes {
		if !b.sameSigner(v, other) {
			others = append(others, other)
		}
	}
	return others
}

// sameSigner tells whether two votes count as one.
func (b *ballot) sameSigner(v, w vote) bool {
	return v.identity == w.identity || v.publicKey == w.publicKey || b.threshold.Distinct == trust.DistinctRoot && v.root == w.root
}

// atMost bounds how many of the votes are by different signers: exactly, unless
// roots must differ, too. Without such a bound complete would try combinations
// without end where signers have many certificates.
func (b *ballot) atMost(votes []vote) int {
	identity, publicKey, root := func(v vote) string { return v.identity }, func(v vote) string { return v.publicKey }, func(v vote) string { return v.root }
	bound := pairings(votes, identity, publicKey)
	if b.threshold.Distinct == trust.DistinctRoot {
		bound = min(bound, pairings(votes, identity, root), pairings(votes, root, publicKey))
	}
	return bound
}

// pairings is the largest number of votes of which no two agree in the one or in the
// other: a matching of greatest size, found by augmenting paths.
func pairings(votes []vote, one, other func(vote) string) int {
	options := map[string][]string{}
	for _, v := range votes {
		options[one(v)] = append(options[one(v)], other(v))
	}
	taken := map[string]string{} // by whom
	var place func(who string, tried map[string]bool) bool
	place = func(who string, tried map[string]bool) bool {
		for _, option := range options[who] {
			if tried[option] {
				continue
			}
			tried[option] = true
			if holder, held := taken[option]; !held || place(holder, tried) {
				taken[option] = who
				return true
			}
		}
		return false
	}
	for who := range options {
		place(who, map[string]bool{})
	}
	return len(taken)
}

// missed is the error of a threshold that was not met.
func (b *ballot) missed(reference string) error {
	found := b.atMost(b.votes)
	for found > 0 && b.complete(nil, b.votes, found) == nil {
		found--
	}
	return &ThresholdError{Reference: reference, Threshold: b.threshold, Found: found}
}

// leaf is the signing certificate of an envelope that was read.
func (s *SignatureOutcome) leaf() *x509.Certificate { return s.Envelope.Certificates[0] }
