package timestamp

import (
	"bytes"
	"crypto/x509"
	"iter"
	"slices"

	"github.com/signet-project/signet/host/pki"
)

// How much is tried to find a path: steps bounds the certificates looked at and
// paths the complete paths whose signatures get checked. An honest token has one
// path, or two around the renewal of a root.
const (
	maxPathSteps = 256
	maxPaths     = 8
)

// paths yields the paths by names from a certificate to a root, the most direct
// first, through the other certificates at hand. Names alone decide, so that
// extensions such as name constraints, which the specification has ignored, have
// no say; the caller checks all the rest. A root never is the certificate itself.
func paths(cert *x509.Certificate, others, roots []*x509.Certificate) iter.Seq[[]*x509.Certificate] {
	return func(yield func([]*x509.Certificate) bool) {
		search := &pathSearch{others: others, roots: roots, steps: maxPathSteps, paths: maxPaths, yield: yield}
		search.extend([]*x509.Certificate{cert})
	}
}

type pathSearch struct {
	others, roots []*x509.Certificate
	steps, paths  int
	yield         func([]*x509.Certificate) bool
}

// extend looks for the issuers of the last certificate of a path. It returns
// false when the search is over.
func (s *pathSearch) extend(path []*x509.Certificate) bool {
	if s.steps--; s.steps < 0 {
		return false
	}
	issuer := path[len(path)-1].RawIssuer
	for _, root := range s.roots {
		if !bytes.Equal(root.RawSubject, issuer) || contains(path, root) {
			continue
		}
		if s.paths--; s.paths < 0 || !s.yield(append(slices.Clone(path), root)) {
			return false
		}
	}
	if len(path) == pki.MaxChainLength-1 {
		return true
	}
	for _, other := range s.others {
		if !bytes.Equal(other.RawSubject, issuer) || contains(path, other) || contains(s.roots, other) {
			continue
		}
		if !s.extend(append(slices.Clone(path), other)) {
			return false
		}
	}
	return true
}

func contains(certs []*x509.Certificate, cert *x509.Certificate) bool {
	return slices.ContainsFunc(certs, cert.Equal)
}
