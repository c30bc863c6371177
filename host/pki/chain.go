package pki

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signet-project/signet/protocol"
)

// Purpose says what a chain is used for; it selects the leaf's rules.
type Purpose int

// The purposes of signature-specification.md, "Certificate Requirements".
const (
	CodeSigning Purpose = iota
	Timestamping
)

// MaxChainLength is the largest number of certificates a chain may have. Real
// chains have two to four; the bound keeps hostile ones cheap.
const MaxChainLength = 16

// maxKeyBits bounds the keys that certificate signatures are checked with: an
// RSA verification takes time quadratic in the size of the modulus.
const maxKeyBits = 16384

var (
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}
)

// ErrEmptyChain says that a chain has no certificate.
var ErrEmptyChain = errors.New("certificate chain must contain at least one certificate")

// ChainError names the certificate of a chain that breaks a rule.
type ChainError struct {
	// Index is the certificate's place in the chain, the leaf being 0.
	Index int
	// Subject is the certificate's subject for display.
	Subject string
	// Err is the rule that does not hold.
	Err error
}

// Error says which certificate breaks which rule.
func (e *ChainError) Error() string {
	return fmt.Sprintf("certificate with subject %q: %v", e.Subject, e.Err)
}

// Unwrap returns the rule that does not hold.
func (e *ChainError) Unwrap() error { return e.Err }

// CheckChain checks every rule for a chain, leaf first and root last, that does
// not change as time goes by: CheckRules and CheckIssuance. Its result may be
// kept for as long as one likes; CheckValidity is what ages. Errors are
// ErrEmptyChain, a *ChainError, or one that says the chain is too long.
func CheckChain(chain []*x509.Certificate, purpose Purpose) error {
	if err := CheckRules(chain, purpose); err != nil {
		return err
	}
	return CheckIssuance(chain)
}

// CheckRules is the cheap part of CheckChain: the chain's length and order by
// names, the extensions, key sizes and signature algorithms
// (signature-specification.md, "Certificate Requirements"). Only
// basicConstraints, keyUsage and extendedKeyUsage are looked at; every other
// extension is ignored, critical or not.
func CheckRules(chain []*x509.Certificate, purpose Purpose) error {
	if len(chain) == 0 {
		return ErrEmptyChain
	}
	if len(chain) > MaxChainLength {
		return errChainLength(len(chain))
	}
	for i, cert := range chain {
		if err := checkCertificate(chain, i, purpose); err != nil {
			return &ChainError{Index: i, Subject: DisplayName(cert.RawSubject), Err: err}
		}
	}
	return nil
}

// CheckIssuance is the expensive part of CheckChain: each certificate is signed
// by the key of the next, and the last by its own. It expects a chain that
// CheckRules accepts. It begins with the root: where that is trusted already, what
// a stranger put below it fails at once.
func CheckIssuance(chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return ErrEmptyChain
	}
	for i, cert := range slices.Backward(chain) {
		if err := checkIssued(chain, i); err != nil {
			return &ChainError{Index: i, Subject: DisplayName(cert.RawSubject), Err: err}
		}
	}
	return nil
}

// CheckIncompleteChain is CheckChain for a chain that may end before its root:
// what a timestamp token carries, whose verifier has the root. It checks every
// certificate's own rules and that each issued the one before it. Errors are
// those of CheckChain.
func CheckIncompleteChain(chain []*x509.Certificate, purpose Purpose) error {
	if len(chain) > 0 && IsSelfSigned(chain[len(chain)-1]) {
		return CheckChain(chain, purpose)
	}
	if len(chain) == 0 {
		return ErrEmptyChain
	}
	if len(chain) > MaxChainLength {
		return errChainLength(len(chain))
	}
	for i, cert := range chain {
		err := checkConstraints(cert, i, purpose)
		if err == nil && i < len(chain)-1 {
			if err = checkNames(chain, i); err == nil {
				err = checkIssued(chain, i)
			}
		}
		if err != nil {
			return &ChainError{Index: i, Subject: DisplayName(cert.RawSubject), Err: err}
		}
	}
	return nil
}

func errChainLength(n int) error {
	return fmt.Errorf("certificate chain has %d certificates: at most %d are allowed", n, MaxChainLength)
}

// ValidityError names the certificate of a chain that is not valid at a time.
type ValidityError struct {
	// Index is the certificate's place in the chain, the leaf being 0.
	Index int
	// Subject is the certificate's subject for display.
	Subject string
	// At is the time asked about; NotBefore and NotAfter are the certificate's bounds.
	At, NotBefore, NotAfter time.Time
}

// Error names the certificate and its validity in UTC.
func (e *ValidityError) Error() string {
	return fmt.Sprintf("certificate with subject %q is not valid at %s: it is valid from %s to %s", e.Subject,
		e.At.UTC().Format(time.RFC3339), e.NotBefore.UTC().Format(time.RFC3339), e.NotAfter.UTC().Format(time.RFC3339))
}

// Expired tells a certificate that is no longer valid from one that is not yet.
func (e *ValidityError) Expired() bool { return e.At.After(e.NotAfter) }

// CheckValidity checks that every certificate of the chain is valid at a time,
// bounds included. The validity of one certificate need not lie within that of
// its issuer. The error is a *ValidityError.
func CheckValidity(chain []*x509.Certificate, at time.Time) error {
	for i, cert := range chain {
		if at.Before(cert.NotBefore) || at.After(cert.NotAfter) {
			return &ValidityError{Index: i, Subject: DisplayName(cert.RawSubject), At: at, NotBefore: cert.NotBefore, NotAfter: cert.NotAfter}
		}
	}
	return nil
}

// checkCertificate checks the rules for one certificate of a chain. A chain of
// one certificate meets the rules for leaves alone.
func checkCertificate(chain []*x509.Certificate, i int, purpose Purpose) error {
	if err := checkNames(chain, i); err != nil {
		return err
	}
	return checkConstraints(chain[i], i, purpose)
}

// checkConstraints checks what one certificate says of itself, i being its place
// in the chain.
func checkConstraints(cert *x509.Certificate, i int, purpose Purpose) error {
	switch cert.SignatureAlgorithm {
	case x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1, x509.MD5WithRSA, x509.MD2WithRSA:
		return fmt.Errorf("signature algorithm %v is not allowed: use SHA-256 or stronger", cert.SignatureAlgorithm)
	}
	if i == 0 {
		return checkLeaf(cert, purpose)
	}
	return checkAuthority(cert, i-1, purpose)
}

// checkNames compares issuer and subject bytes along the chain.
func checkNames(chain []*x509.Certificate, i int) error {
	cert := chain[i]
	switch {
	case i < len(chain)-1:
		if !bytes.Equal(cert.RawIssuer, chain[i+1].RawSubject) {
			if isSelfIssued(cert) {
				return errSelfSigned(i)
			}
			return fmt.Errorf("not issued by %q, the next certificate: order the chain from leaf to root", DisplayName(chain[i+1].RawSubject))
		}
	case !isSelfIssued(cert):
		return errors.New("not self-signed: the certificate chain must end with a valid self-signed root certificate")
	}
	return nil
}

func errSelfSigned(i int) error {
	place := "intermediate"
	if i == 0 {
		place = "leaf"
	}
	return fmt.Errorf("the certificate chain must not contain a self-signed %s certificate", place)
}

// checkIssued checks the signature on chain[i].
func checkIssued(chain []*x509.Certificate, i int) error {
	cert := chain[i]
	if i == len(chain)-1 {
		if err := checkSignedBy(cert, cert); err != nil {
			return fmt.Errorf("not self-signed: the certificate chain must end with a valid self-signed root certificate: %w", err)
		}
		return nil
	}
	// A self-issued certificate may be a renewed key signed by the former one;
	// only its signature tells.
	if isSelfIssued(cert) && checkSignedBy(cert, cert) == nil {
		return errSelfSigned(i)
	}
	if err := checkSignedBy(cert, chain[i+1]); err != nil {
		return fmt.Errorf("not issued by %q, the next certificate: %w", DisplayName(chain[i+1].RawSubject), err)
	}
	return nil
}

// checkSignedBy checks the signature on cert by issuer's key, and nothing else.
func checkSignedBy(cert, issuer *x509.Certificate) error {
	if key, ok := issuer.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxKeyBits {
		return fmt.Errorf("the issuer's key of %d bits is too large: at most %d are allowed", key.N.BitLen(), maxKeyBits)
	}
	return issuer.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature)
}

// checkAuthority checks a certificate that issued the one before it; below is
// the number of authorities between it and the leaf.
func checkAuthority(cert *x509.Certificate, below int, purpose Purpose) error {
	constraints := extension(cert, oidBasicConstraints)
	if constraints == nil || !constraints.Critical || !cert.IsCA {
		return errors.New("ca field in basic constraints must be present, critical, and set to true")
	}
	if limited := cert.MaxPathLen > 0 || cert.MaxPathLenZero; limited && cert.MaxPathLen < below {
		return fmt.Errorf("expected path length of %d but certificate has path length %d instead", below, cert.MaxPathLen)
	}
	if err := checkKeyUsagePresent(cert, purpose); err != nil {
		return err
	}
	if cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return errors.New("key usage must have the bit positions for key cert sign set")
	}
	return nil
}

// checkLeaf checks a signing certificate.
func checkLeaf(cert *x509.Certificate, purpose Purpose) error {
	if cert.IsCA {
		return errors.New("if the basic constraints extension is present, the ca field must be set to false")
	}
	if err := checkKeyUsagePresent(cert, purpose); err != nil {
		return err
	}
	if err := checkLeafKeyUsage(cert.KeyUsage); err != nil {
		return err
	}
	check := checkCodeSigningUsage
	if purpose == Timestamping {
		check = checkTimestampingUsage
	}
	if err := check(cert); err != nil {
		return err
	}
	_, err := protocol.SuiteForKey(cert.PublicKey)
	return err
}

func checkKeyUsagePresent(cert *x509.Certificate, purpose Purpose) error {
	usage := extension(cert, oidKeyUsage)
	if usage == nil {
		return errors.New("key usage extension must be present")
	}
	if purpose == CodeSigning && !usage.Critical {
		return errors.New("key usage extension must be marked critical")
	}
	return nil
}

// forbiddenLeafUsages are the key usages a leaf may not have. contentCommitment
// is not among them.
var forbiddenLeafUsages = []struct {
	bit  x509.KeyUsage
	name string
}{
	{x509.KeyUsageKeyEncipherment, "KeyEncipherment"},
	{x509.KeyUsageDataEncipherment, "DataEncipherment"},
	{x509.KeyUsageKeyAgreement, "KeyAgreement"},
	{x509.KeyUsageCertSign, "CertSign"},
	{x509.KeyUsageCRLSign, "CRLSign"},
	{x509.KeyUsageEncipherOnly, "EncipherOnly"},
	{x509.KeyUsageDecipherOnly, "DecipherOnly"},
}

func checkLeafKeyUsage(usage x509.KeyUsage) error {
	if usage&x509.KeyUsageDigitalSignature == 0 {
		return errors.New(`the key usage must have the bit positions for "Digital Signature" set`)
	}
	var found []string
	for _, forbidden := range forbiddenLeafUsages {
		if usage&forbidden.bit != 0 {
			found = append(found, fmt.Sprintf("%q", forbidden.name))
		}
	}
	if len(found) > 0 {
		return fmt.Errorf(`the key usage must be "Digital Signature" only, but found %s`, strings.Join(found, ", "))
	}
	return nil
}

// forbiddenCodeSigningUsages are the extended key usages of other trades.
var forbiddenCodeSigningUsages = map[x509.ExtKeyUsage]string{
	x509.ExtKeyUsageAny:             "Any",
	x509.ExtKeyUsageServerAuth:      "ServerAuth",
	x509.ExtKeyUsageClientAuth:      "ClientAuth",
	x509.ExtKeyUsageEmailProtection: "EmailProtection",
	x509.ExtKeyUsageTimeStamping:    "Timestamping",
	x509.ExtKeyUsageOCSPSigning:     "OCSPSigning",
}

func checkCodeSigningUsage(cert *x509.Certificate) error {
	for _, usage := range cert.ExtKeyUsage {
		if name, forbidden := forbiddenCodeSigningUsages[usage]; forbidden {
			return fmt.Errorf("extended key usage must not contain %s eku", name)
		}
	}
	return nil
}

// checkTimestampingUsage checks RFC 3161, section 2.3: one critical extended
// key usage, id-kp-timeStamping and nothing else.
func checkTimestampingUsage(cert *x509.Certificate) error {
	usage := extension(cert, oidExtKeyUsage)
	if usage == nil || len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping || len(cert.UnknownExtKeyUsage) != 0 {
		return errors.New("a timestamp signing certificate must have and only have Timestamping as extended key usage")
	}
	if !usage.Critical {
		return errors.New("a timestamp signing certificate must have extended key usage extension marked as critical")
	}
	return nil
}

// extension returns an extension with its criticality, which crypto/x509's
// parsed fields lose; nil when the certificate has none.
func extension(cert *x509.Certificate, id asn1.ObjectIdentifier) *pkix.Extension {
	for i := range cert.Extensions {
		if cert.Extensions[i].Id.Equal(id) {
			return &cert.Extensions[i]
		}
	}
	return nil
}

func isSelfIssued(cert *x509.Certificate) bool {
	return bytes.Equal(cert.RawSubject, cert.RawIssuer)
}

// IsSelfSigned tells whether a certificate names itself as its issuer and is
// signed with its own key.
func IsSelfSigned(cert *x509.Certificate) bool {
	return isSelfIssued(cert) && checkSignedBy(cert, cert) == nil
}

// IsCA tells whether a certificate's basic constraints make it an authority.
func IsCA(cert *x509.Certificate) bool {
	return cert.BasicConstraintsValid && cert.IsCA
}
