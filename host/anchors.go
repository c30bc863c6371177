package host

import (
	"context"
	"crypto/x509"
	"sync"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/host/trust"
)

// openStore is one trust store of a statement as it is at the start of a
// verification.
type openStore struct {
	ref   trust.StoreRef
	certs *certificateSet // nil with err
	err   error
}

// openStores reads the trust stores of a statement. What is wrong with one of
// them matters to the checks that need it.
func (v *Verifier) openStores(ctx context.Context, statement *trust.Statement) []openStore {
	stores := make([]openStore, len(statement.TrustStores))
	for i, ref := range statement.TrustStores {
		stores[i].ref = ref
		certs, err := v.Stores.Certificates(ctx, ref)
		if err != nil {
			stores[i].err = err
			continue
		}
		stores[i].certs = v.sets.of(ref, certs)
	}
	return stores
}

// mayAnchor tells whether a signature with these manifest annotations could be
// anchored in the stores (MAN-19). The annotation is not signed: absent or
// unreadable, it decides nothing; nor does it where a store cannot be read, so that
// each signature fails with that reason.
func mayAnchor(stores []openStore, annotations map[string]string) bool {
	thumbprints, ok := artifact.Thumbprints(annotations)
	if !ok {
		return true
	}
	for _, store := range stores {
		if store.ref.Type == trust.StoreTSA {
			continue
		}
		if store.err != nil {
			return true
		}
		for _, thumbprint := range thumbprints {
			if store.certs.hasThumbprint(thumbprint) {
				return true
			}
		}
	}
	return false
}

// certificateSet is the content of a trust store, ready to look certificates up
// in, however many there are.
type certificateSet struct {
	list        []*x509.Certificate
	raw         map[string]struct{} // DER
	thumbprints func() map[string]struct{}
}

func newCertificateSet(list []*x509.Certificate) *certificateSet {
	set := &certificateSet{list: list, raw: make(map[string]struct{}, len(list))}
	for _, cert := range list {
		set.raw[string(cert.Raw)] = struct{}{}
	}
	set.thumbprints = sync.OnceValue(func() map[string]struct{} {
		thumbprints := make(map[string]struct{}, len(list))
		for _, cert := range list {
			thumbprints[pki.Fingerprint(cert)] = struct{}{}
		}
		return thumbprints
	})
	return set
}

func (s *certificateSet) has(cert *x509.Certificate) bool {
	_, found := s.raw[string(cert.Raw)]
	return found
}

func (s *certificateSet) hasThumbprint(thumbprint string) bool {
	_, found := s.thumbprints()[thumbprint]
	return found
}

// maxSets bounds the stores whose sets a Verifier keeps.
const maxSets = 64

// certificateSets keeps the set of each store for as long as the store returns
// the very same slice, which nobody may change (trust.Store); so a set cannot
// outlive what it was made of. The zero value is ready for use.
type certificateSets struct {
	mu   sync.Mutex
	sets map[trust.StoreRef]*certificateSet
}

// of returns the set of what a store has just returned.
func (c *certificateSets) of(ref trust.StoreRef, list []*x509.Certificate) *certificateSet {
	c.mu.Lock()
	defer c.mu.Unlock()
	if set := c.sets[ref]; set != nil && sameSlice(set.list, list) {
		return set
	}
	if c.sets == nil || len(c.sets) >= maxSets {
		c.sets = map[trust.StoreRef]*certificateSet{}
	}
	set := newCertificateSet(list)
	c.sets[ref] = set
	return set
}

func sameSlice(a, b []*x509.Certificate) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}
