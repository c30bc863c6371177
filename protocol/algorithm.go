package protocol

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
)

// KeySpec names the type and size of a signing key (signature-specification.md,
// Algorithm Selection).
type KeySpec string

// The key specs of contract 1.0.
const (
	KeySpecRSA2048 KeySpec = "RSA-2048"
	KeySpecRSA3072 KeySpec = "RSA-3072"
	KeySpecRSA4096 KeySpec = "RSA-4096"
	KeySpecEC256   KeySpec = "EC-256"
	KeySpecEC384   KeySpec = "EC-384"
	KeySpecEC521   KeySpec = "EC-521"
)

// HashAlgorithm names a digest algorithm on the wire.
type HashAlgorithm string

// The hash algorithms of contract 1.0.
const (
	HashSHA256 HashAlgorithm = "SHA-256"
	HashSHA384 HashAlgorithm = "SHA-384"
	HashSHA512 HashAlgorithm = "SHA-512"
)

// SignatureAlgorithm names a signature algorithm on the wire.
type SignatureAlgorithm string

// The signature algorithms of contract 1.0.
const (
	AlgorithmPSS256   SignatureAlgorithm = "RSASSA-PSS-SHA-256"
	AlgorithmPSS384   SignatureAlgorithm = "RSASSA-PSS-SHA-384"
	AlgorithmPSS512   SignatureAlgorithm = "RSASSA-PSS-SHA-512"
	AlgorithmECDSA256 SignatureAlgorithm = "ECDSA-SHA-256"
	AlgorithmECDSA384 SignatureAlgorithm = "ECDSA-SHA-384"
	AlgorithmECDSA512 SignatureAlgorithm = "ECDSA-SHA-512"
)

// Suite is one row of the specification's algorithm table: what follows from a
// key spec.
type Suite struct {
	KeySpec   KeySpec
	Algorithm SignatureAlgorithm
	// Hash is the digest's name on the wire and CryptoHash the same for Go.
	Hash       HashAlgorithm
	CryptoHash crypto.Hash
	// Bits is the modulus size for RSA and the field size for EC keys.
	Bits int
}

// RSA tells whether the suite signs with RSASSA-PSS; otherwise it is ECDSA.
func (s Suite) RSA() bool { return s.KeySpec[0] == 'R' }

// curve is the curve of a suite that signs with ECDSA.
func (s Suite) curve() elliptic.Curve {
	switch s.KeySpec {
	case KeySpecEC256:
		return elliptic.P256()
	case KeySpecEC384:
		return elliptic.P384()
	default:
		return elliptic.P521()
	}
}

// SignatureSize is the length in bytes of a signature of this suite: that of
// the modulus for RSA, of r‖s for ECDSA.
func (s Suite) SignatureSize() int {
	if s.RSA() {
		return s.Bits / 8
	}
	return 2 * ((s.Bits + 7) / 8)
}

// suites is the algorithm table of signature-specification.md.
var suites = []Suite{
	{KeySpecRSA2048, AlgorithmPSS256, HashSHA256, crypto.SHA256, 2048},
	{KeySpecRSA3072, AlgorithmPSS384, HashSHA384, crypto.SHA384, 3072},
	{KeySpecRSA4096, AlgorithmPSS512, HashSHA512, crypto.SHA512, 4096},
	{KeySpecEC256, AlgorithmECDSA256, HashSHA256, crypto.SHA256, 256},
	{KeySpecEC384, AlgorithmECDSA384, HashSHA384, crypto.SHA384, 384},
	{KeySpecEC521, AlgorithmECDSA512, HashSHA512, crypto.SHA512, 521},
}

// SuiteOf returns the algorithms that go with a key spec; false for an unknown one.
func SuiteOf(spec KeySpec) (Suite, bool) {
	for _, s := range suites {
		if s.KeySpec == spec {
			return s, true
		}
	}
	return Suite{}, false
}

// SuiteForAlgorithm returns the suite that signs with alg; false for an unknown one.
func SuiteForAlgorithm(alg SignatureAlgorithm) (Suite, bool) {
	for _, s := range suites {
		if s.Algorithm == alg {
			return s, true
		}
	}
	return Suite{}, false
}

// SuiteForKey returns the suite that a public key selects. The size of an RSA
// key is its modulus length in bytes times 8. The error says which type or size
// is not supported.
func SuiteForKey(pub crypto.PublicKey) (Suite, error) {
	switch key := pub.(type) {
	case *rsa.PublicKey:
		bits := key.Size() * 8
		for _, s := range suites {
			if s.RSA() && s.Bits == bits {
				return s, nil
			}
		}
		return Suite{}, fmt.Errorf("rsa key size %d bits is not supported", bits)
	case *ecdsa.PublicKey:
		for _, s := range suites {
			if !s.RSA() && s.curve() == key.Curve {
				return s, nil
			}
		}
		return Suite{}, fmt.Errorf("ecdsa key size %d bits is not supported", key.Curve.Params().BitSize)
	default:
		return Suite{}, fmt.Errorf("key type %T is not supported: use RSA 2048, 3072 or 4096, or EC P-256, P-384 or P-521", pub)
	}
}
