package host

import (
	"crypto/x509"
	"slices"

	"github.com/signet-project/signet/host/pki"
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
	root      string // fingerprint
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
		signature: signature, identity: signature.Identity, root: pki.Fingerprint(signature.Anchor),
		publicKey: string(signature.leaf().RawSubjectPublicKeyInfo),
	}
	if slices.ContainsFunc(b.votes, func(v vote) bool {
		return v.identity == cast.identity && v.publicKey == cast.publicKey && v.root == cast.root
	}) {
		return nil
	}
	chosen := b.complete([]vote{cast}, b.votes)
	b.votes = append(b.votes, cast)
	if len(chosen) < b.threshold.Signatures {
		return nil
	}
	signatures := make([]*SignatureOutcome, len(chosen))
	for i, v := range chosen {
		signatures[i] = v.signature
	}
	return signatures
}

// complete adds as many of the other votes to chosen as the threshold needs and
// as can stand side by side; it returns the longest selection it finds.
func (b *ballot) complete(chosen, others []vote) []vote {
	best := chosen
	for i, candidate := range others {
		if len(best) >= b.threshold.Signatures {
			break
		}
		if slices.ContainsFunc(chosen, func(v vote) bool { return b.sameSigner(v, candidate) }) {
			continue
		}
		if found := b.complete(append(slices.Clip(chosen), candidate), others[i+1:]); len(found) > len(best) {
			best = found
		}
	}
	return best
}

// sameSigner tells whether two votes count as one.
func (b *ballot) sameSigner(v, w vote) bool {
	return v.identity == w.identity || v.publicKey == w.publicKey || b.threshold.Distinct == trust.DistinctRoot && v.root == w.root
}

// missed is the error of a threshold that was not met.
func (b *ballot) missed(reference string) error {
	found := 0
	for i, v := range b.votes {
		found = max(found, len(b.complete([]vote{v}, b.votes[i+1:])))
	}
	return &ThresholdError{Reference: reference, Threshold: b.threshold, Found: found}
}

// leaf is the signing certificate of an envelope that was read.
func (s *SignatureOutcome) leaf() *x509.Certificate { return s.Envelope.Certificates[0] }
