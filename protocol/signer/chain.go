package signer

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

const maxCertificates = 64

// IncompleteChainError says which certificate a chain lacks.
type IncompleteChainError struct {
	// Subject is the last certificate found, MissingIssuer the one that should
	// follow it; both are distinguished names.
	Subject, MissingIssuer string
}

// Error names the missing certificate.
func (e *IncompleteChainError) Error() string {
	return fmt.Sprintf("certificate chain is incomplete, add the certificate of %q, which issued %q", e.MissingIssuer, e.Subject)
}

// ErrNoLeaf says that no certificate of a set belongs to the signing key.
var ErrNoLeaf = errors.New("none of the certificates belongs to the signing key")

// OrderChain picks the chain of a signing key out of certs, which may come in
// any order and hold more than is needed: leaf first, self-signed root last, as
// signature-specification.md demands of certificateChain. The leaf is the
// certificate whose public key is pub (the most recently issued of several); of
// several chains the shortest wins, and of renewed issuers the newest.
//
// The errors are ErrNoLeaf and [*IncompleteChainError]. Validity in time and the
// contents of the certificates are not looked at: that is the host's to judge.
func OrderChain(pub crypto.PublicKey, certs []*x509.Certificate) ([]*x509.Certificate, error) {
	if len(certs) > maxCertificates {
		return nil, fmt.Errorf("%d certificates given: more than %d are not searched for a chain", len(certs), maxCertificates)
	}
	certs = slices.Clone(certs)
	slices.SortStableFunc(certs, func(a, b *x509.Certificate) int { return b.NotBefore.Compare(a.NotBefore) })
	firstErr := ErrNoLeaf
	for _, cert := range certs {
		if !SamePublicKey(cert.PublicKey, pub) {
			continue
		}
		chain, err := shortestChain(cert, certs)
		if err == nil {
			return chain, nil
		}
		if firstErr == ErrNoLeaf {
			firstErr = err
		}
	}
	return nil, firstErr
}

// shortestChain searches breadth first from leaf for a self-signed certificate,
// so that cross-signed authorities can't send it in circles.
func shortestChain(leaf *x509.Certificate, certs []*x509.Certificate) ([]*x509.Certificate, error) {
	issued := map[*x509.Certificate]*x509.Certificate{leaf: nil} // issuer → the certificate it was found for
	queue := []*x509.Certificate{leaf}
	for i := 0; i < len(queue); i++ {
		cert := queue[i]
		if issuedBy(cert, cert) {
			var chain []*x509.Certificate
			for ; cert != nil; cert = issued[cert] {
				chain = append(chain, cert)
			}
			slices.Reverse(chain)
			return chain, nil
		}
		for _, candidate := range certs {
			if _, seen := issued[candidate]; !seen && issuedBy(cert, candidate) {
				issued[candidate] = cert
				queue = append(queue, candidate)
			}
		}
	}
	last := queue[len(queue)-1]
	return nil, &IncompleteChainError{Subject: last.Subject.String(), MissingIssuer: last.Issuer.String()}
}

func issuedBy(cert, issuer *x509.Certificate) bool {
	return bytes.Equal(cert.RawIssuer, issuer.RawSubject) &&
		issuer.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
}

// SamePublicKey tells whether two public keys of Go's crypto packages are equal. Keys
// of other types are equal to none.
func SamePublicKey(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}

// ParseCertificates reads the CERTIFICATE blocks of a PEM text, at least one,
// in their order; text and blocks of other types between them are skipped.
func ParseCertificates(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("no PEM certificate in it")
	}
	return certs, nil
}
