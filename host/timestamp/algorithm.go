package timestamp

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha256" // the digests of RFC 5816 that the specification allows
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/signet-project/signet/host/pki"
)

// Object identifiers of CMS (RFC 5652), RFC 3161, RFC 5035 and of algorithms.
var (
	oidSignedData           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidTSTInfo              = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	oidContentType          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningTime          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	oidSigningCertificate   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	oidSigningCertificateV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	oidBaselinePolicy       = asn1.ObjectIdentifier{0, 4, 0, 2023, 1, 1}

	oidRSA = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidPSS = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
)

// digests are the hash functions a token may use anywhere.
var digests = []struct {
	hash crypto.Hash
	oid  asn1.ObjectIdentifier
}{
	{crypto.SHA256, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}},
	{crypto.SHA384, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}},
	{crypto.SHA512, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}},
}

func hashForOID(oid asn1.ObjectIdentifier) (crypto.Hash, bool) {
	for _, d := range digests {
		if d.oid.Equal(oid) {
			return d.hash, true
		}
	}
	return 0, false
}

func oidForHash(hash crypto.Hash) (asn1.ObjectIdentifier, bool) {
	for _, d := range digests {
		if d.hash == hash {
			return d.oid, true
		}
	}
	return nil, false
}

func sum(hash crypto.Hash, data []byte) []byte {
	h := hash.New()
	h.Write(data)
	return h.Sum(nil)
}

// algorithmIdentifier is the AlgorithmIdentifier of RFC 5280.
type algorithmIdentifier struct {
	oid asn1.ObjectIdentifier
	// parameters is the DER of the parameters, empty when absent.
	parameters []byte
}

func readAlgorithm(in *cryptobyte.String, out *algorithmIdentifier) bool {
	var sequence cryptobyte.String
	if !in.ReadASN1(&sequence, cbasn1.SEQUENCE) || !sequence.ReadASN1ObjectIdentifier(&out.oid) {
		return false
	}
	out.parameters = nil
	if sequence.Empty() {
		return true
	}
	var parameters cryptobyte.String
	var tag cbasn1.Tag
	if !sequence.ReadAnyASN1Element(&parameters, &tag) {
		return false
	}
	out.parameters = parameters
	return sequence.Empty()
}

// plain tells whether the parameters are absent or NULL; the two mean the same
// for the SHA-2 family (RFC 5754, section 2).
func (a algorithmIdentifier) plain() bool {
	return len(a.parameters) == 0 || bytes.Equal(a.parameters, asn1.NullBytes)
}

// digest returns the hash function that the identifier names.
func (a algorithmIdentifier) digest() (crypto.Hash, error) {
	hash, ok := hashForOID(a.oid)
	if !ok {
		return 0, fmt.Errorf("digest algorithm %v is not allowed: SHA-256, SHA-384 or SHA-512 is required", a.oid)
	}
	if !a.plain() {
		return 0, fmt.Errorf("digest algorithm %v has parameters", a.oid)
	}
	return hash, nil
}

// scheme is a way of signing.
type scheme int

const (
	schemePKCS1v15 scheme = iota
	schemePSS
	schemeECDSA
)

// signatures are the signature algorithms that name their hash function.
var signatures = []struct {
	oid    asn1.ObjectIdentifier
	scheme scheme
	hash   crypto.Hash
}{
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, schemePKCS1v15, crypto.SHA256},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, schemePKCS1v15, crypto.SHA384},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}, schemePKCS1v15, crypto.SHA512},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, schemeECDSA, crypto.SHA256},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}, schemeECDSA, crypto.SHA384},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}, schemeECDSA, crypto.SHA512},
}

// signature returns how the identifier says to verify, given the signer's digest
// algorithm, which rsaEncryption leaves the choice of hash to (RFC 3370).
func (a algorithmIdentifier) signature(digest crypto.Hash) (scheme, crypto.Hash, error) {
	if a.oid.Equal(oidPSS) {
		hash, ok := pki.PSSHash(a.parameters)
		if !ok {
			return 0, 0, errPSS
		}
		return schemePSS, hash, nil
	}
	if a.oid.Equal(oidRSA) && a.plain() {
		return schemePKCS1v15, digest, nil
	}
	for _, s := range signatures {
		if s.oid.Equal(a.oid) && a.plain() {
			return s.scheme, s.hash, nil
		}
	}
	return 0, 0, fmt.Errorf("signature algorithm %v is not allowed: RSA or ECDSA with SHA-256, SHA-384 or SHA-512 is required", a.oid)
}

// errPSS refuses RSASSA-PSS parameters.
var errPSS = errors.New("the RSASSA-PSS parameters are not allowed: SHA-256, SHA-384 or SHA-512 with MGF1 of the same and a salt of its length is required")

// ErrSignature says that a token was not signed with its signing certificate's
// key, or was changed since.
var ErrSignature = errors.New("the timestamp token's signature does not verify")

// checkSignature verifies a signature over message. RSASSA-PKCS1-v1_5, which the
// specification does not list, is what most public authorities use.
func checkSignature(cert *x509.Certificate, algorithm algorithmIdentifier, digest crypto.Hash, message, signature []byte) error {
	scheme, hash, err := algorithm.signature(digest)
	if err != nil {
		return err
	}
	hashed := sum(hash, message)
	valid := false
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		switch scheme {
		case schemePKCS1v15:
			valid = rsa.VerifyPKCS1v15(key, hash, hashed, signature) == nil
		case schemePSS:
			valid = rsa.VerifyPSS(key, hash, hashed, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
	case *ecdsa.PublicKey:
		valid = scheme == schemeECDSA && ecdsa.VerifyASN1(key, hashed, signature)
	}
	if !valid {
		return ErrSignature
	}
	return nil
}
