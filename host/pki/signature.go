package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// ErrSignature says that a signature was not made over the message with the
// certificate's key.
var ErrSignature = errors.New("signature does not verify with the signing certificate's key")

// Verify checks a signature over a message. The algorithm follows from the key
// alone: RSASSA-PSS with a salt as long as the hash, or ECDSA as r‖s of fixed
// length. Errors are ErrSignature, or one that says the key is not supported.
func Verify(cert *x509.Certificate, message, signature []byte) error {
	return verify(cert, message, signature, rsa.PSSSaltLengthEqualsHash)
}

// VerifyAnySalt is Verify for JWS envelopes, whose RSASSA-PSS salt may have any
// length.
func VerifyAnySalt(cert *x509.Certificate, message, signature []byte) error {
	return verify(cert, message, signature, rsa.PSSSaltLengthAuto)
}

func verify(cert *x509.Certificate, message, signature []byte, saltLength int) error {
	suite, err := protocol.SuiteForKey(cert.PublicKey)
	if err != nil {
		return err
	}
	if len(signature) != suite.SignatureSize() {
		return fmt.Errorf("%w: it has %d bytes where %d belong", ErrSignature, len(signature), suite.SignatureSize())
	}
	var buffer [sha512.Size]byte
	hashed := digest(buffer[:0], suite.CryptoHash, message)
	valid := false
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		valid = rsa.VerifyPSS(key, suite.CryptoHash, hashed, signature, &rsa.PSSOptions{SaltLength: saltLength}) == nil
	case *ecdsa.PublicKey:
		var der [maxDERSignature]byte
		valid = ecdsa.VerifyASN1(key, hashed, appendDERSignature(der[:0], signature))
	}
	if !valid {
		return ErrSignature
	}
	return nil
}

// maxDERSignature is the size that an ECDSA signature may have in DER, in bytes: two
// numbers as long as those of a P-521 key.
const maxDERSignature = 3 + 2*(2+1+66)

// appendDERSignature appends what ECDSA-Sig-Value (RFC 3279, section 2.2.3) is in DER for
// a signature r‖s. (crypto/ecdsa verifies no other form; by way of math/big, as
// ecdsa.Verify goes, the form alone costs twelve allocations.)
func appendDERSignature(out, signature []byte) []byte {
	const sequence, longForm = 0x30, 0x81
	var body [maxDERSignature]byte
	half := len(signature) / 2
	integers := appendDERInteger(appendDERInteger(body[:0], signature[:half]), signature[half:])
	out = append(out, sequence)
	if len(integers) >= 0x80 {
		out = append(out, longForm)
	}
	return append(append(out, byte(len(integers))), integers...)
}

// appendDERInteger appends an INTEGER for a big-endian number without a sign, of fewer
// than 127 bytes.
func appendDERInteger(out, number []byte) []byte {
	const integer = 0x02
	for len(number) > 1 && number[0] == 0 {
		number = number[1:]
	}
	if number[0] >= 0x80 { // would be negative
		return append(append(out, integer, byte(len(number)+1), 0), number...)
	}
	return append(append(out, integer, byte(len(number))), number...)
}

// digest appends the hash of a message to out.
func digest(out []byte, hash crypto.Hash, message []byte) []byte {
	switch hash {
	case crypto.SHA384:
		sum := sha512.Sum384(message)
		return append(out, sum[:]...)
	case crypto.SHA512:
		sum := sha512.Sum512(message)
		return append(out, sum[:]...)
	default:
		sum := sha256.Sum256(message)
		return append(out, sum[:]...)
	}
}

// Sign signs a message with the algorithm that the key selects: RSASSA-PSS with
// a salt as long as the hash, or ECDSA as r‖s of fixed length. The error says
// that the key is not supported, or what the key itself reports.
func Sign(key crypto.Signer, message []byte) ([]byte, error) {
	suite, err := protocol.SuiteForKey(key.Public())
	if err != nil {
		return nil, err
	}
	hashed := digest(nil, suite.CryptoHash, message)
	if suite.RSA() {
		return key.Sign(rand.Reader, hashed, signer.PSSOptions(suite))
	}
	der, err := key.Sign(rand.Reader, hashed, suite.CryptoHash)
	if err != nil {
		return nil, err
	}
	fixed, err := signer.FixedSignature(suite, der)
	if err != nil {
		return nil, errors.New("the key returned a malformed ecdsa signature")
	}
	return fixed, nil
}

// CheckKeyPair checks that a private key is that of a signing certificate, and
// that the key is one of the supported sizes.
func CheckKeyPair(key crypto.Signer, leaf *x509.Certificate) error {
	if _, err := protocol.SuiteForKey(key.Public()); err != nil {
		return err
	}
	if !signer.SamePublicKey(key.Public(), leaf.PublicKey) {
		return fmt.Errorf("the private key does not belong to the certificate with subject %q: pass the key and the certificate chain that belong together", DisplayName(leaf.RawSubject))
	}
	return nil
}
