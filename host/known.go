package host

import (
	"bytes"
	"crypto/x509"
	"slices"
	"sync"

	"github.com/signet-project/signet/host/pki"
)

// maxKnownChains bounds what a Verifier remembers; a chain takes some 10 kB.
const maxKnownChains = 1024

// knownChains remembers facts about chains that do not age: what the bytes of a
// certificate say, and that a chain follows the rules and its signatures hold.
// Whether it is trusted, valid now or revoked is asked anew each time, so that a
// remembered chain cannot turn a "no" into a "yes".
//
// In a Verifier's only chains that a trust store vouched for get in: signatures by
// strangers cannot push others out. In a signing key's are its own. The zero value
// is empty and ready for use.
type knownChains struct {
	mu           sync.RWMutex
	certificates map[string]*x509.Certificate              // by DER
	chains       map[*x509.Certificate][]*x509.Certificate // by leaf, all from certificates
}

// parse is x509.ParseCertificate for certificates that need not be known.
func (k *knownChains) parse(der []byte) (*x509.Certificate, error) {
	k.mu.RLock()
	cert := k.certificates[string(der)]
	k.mu.RUnlock()
	if cert != nil {
		return cert, nil
	}
	return x509.ParseCertificate(bytes.Clone(der))
}

// has tells whether the chain is known to follow the rules for signing chains.
// Its certificates must come from parse.
func (k *knownChains) has(chain []*x509.Certificate) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	known := k.chains[chain[0]]
	return known != nil && slices.Equal(known, chain)
}

// check checks that a chain, whose certificates must come from parse, follows the
// rules for signing chains, unless it is known to, and remembers it.
func (k *knownChains) check(chain []*x509.Certificate) error {
	if len(chain) > 0 && k.has(chain) {
		return nil
	}
	if err := pki.CheckChain(chain, pki.CodeSigning); err != nil {
		return err
	}
	k.add(chain)
	return nil
}

// add remembers a chain that follows the rules.
func (k *knownChains) add(chain []*x509.Certificate) {
	if k.has(chain) {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.chains == nil || len(k.chains) >= maxKnownChains {
		k.certificates = map[string]*x509.Certificate{}
		k.chains = map[*x509.Certificate][]*x509.Certificate{}
	}
	known := make([]*x509.Certificate, len(chain))
	for i, cert := range chain {
		known[i] = k.certificates[string(cert.Raw)]
		if known[i] == nil {
			known[i] = cert
			k.certificates[string(cert.Raw)] = cert
		}
	}
	k.chains[known[0]] = known
}
