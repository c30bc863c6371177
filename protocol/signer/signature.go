package signer

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/signet-project/signet/protocol"
)

// Digest hashes payload with the suite's hash.
func Digest(suite protocol.Suite, payload []byte) []byte {
	h := suite.CryptoHash.New()
	h.Write(payload)
	return h.Sum(nil)
}

// PSSOptions are the RSASSA-PSS parameters of a suite: its hash, for MGF1 too,
// and a salt as long as the hash (signature-specification.md, Algorithm
// Selection).
func PSSOptions(suite protocol.Suite) *rsa.PSSOptions {
	return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: suite.CryptoHash}
}

// FixedSignature converts an ECDSA signature from ASN.1 DER (RFC 3279, section
// 2.2.3), as most key services answer, to the r‖s of fixed length that the
// contract wants (RFC 7518, section 3.4).
func FixedSignature(suite protocol.Suite, der []byte) ([]byte, error) {
	var r, s big.Int
	var sequence cryptobyte.String
	input := cryptobyte.String(der)
	if !input.ReadASN1(&sequence, asn1.SEQUENCE) || !input.Empty() ||
		!sequence.ReadASN1Integer(&r) || !sequence.ReadASN1Integer(&s) || !sequence.Empty() {
		return nil, errors.New("ecdsa signature is not DER of two integers")
	}
	half := suite.SignatureSize() / 2
	if r.Sign() <= 0 || s.Sign() <= 0 || r.BitLen() > suite.Bits || s.BitLen() > suite.Bits {
		return nil, fmt.Errorf("ecdsa signature is out of range for %s", suite.KeySpec)
	}
	fixed := make([]byte, 2*half)
	r.FillBytes(fixed[:half])
	s.FillBytes(fixed[half:])
	return fixed, nil
}

// DERSignature converts an ECDSA signature from r‖s to ASN.1 DER.
func DERSignature(suite protocol.Suite, fixed []byte) ([]byte, error) {
	if suite.RSA() || len(fixed) != suite.SignatureSize() {
		return nil, fmt.Errorf("ecdsa signature has %d bytes, %s has %d", len(fixed), suite.KeySpec, suite.SignatureSize())
	}
	half := len(fixed) / 2
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(new(big.Int).SetBytes(fixed[:half]))
		b.AddASN1BigInt(new(big.Int).SetBytes(fixed[half:]))
	})
	return b.Bytes()
}

// Verify checks a signature over digest in the contract's form: r‖s, or
// RSASSA-PSS with a salt as long as the hash.
func Verify(pub crypto.PublicKey, suite protocol.Suite, digest, signature []byte) error {
	if len(signature) != suite.SignatureSize() {
		return fmt.Errorf("signature has %d bytes, %s has %d", len(signature), suite.KeySpec, suite.SignatureSize())
	}
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPSS(pub, suite.CryptoHash, digest, signature, PSSOptions(suite))
	case *ecdsa.PublicKey:
		half := len(signature) / 2
		if !ecdsa.Verify(pub, digest, new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])) {
			return errors.New("ecdsa signature does not verify")
		}
		return nil
	}
	return fmt.Errorf("key type %T is not supported", pub)
}

// FromSigner makes a Key of a private key that is at hand, or of whatever else
// signs as Go's crypto packages do (ECDSA as DER).
func FromSigner(private crypto.Signer) Key { return localKey{private} }

type localKey struct{ private crypto.Signer }

func (k localKey) PublicKey(context.Context) (crypto.PublicKey, error) {
	return k.private.Public(), nil
}

func (k localKey) Sign(_ context.Context, suite protocol.Suite, digest []byte) ([]byte, error) {
	if suite.RSA() {
		return k.private.Sign(rand.Reader, digest, PSSOptions(suite))
	}
	der, err := k.private.Sign(rand.Reader, digest, suite.CryptoHash)
	if err != nil {
		return nil, err
	}
	return FixedSignature(suite, der)
}
