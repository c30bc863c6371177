package timestamp

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/signet-project/signet/host/pki"
)

// ErrNoToken says that there is no token to verify.
var ErrNoToken = errors.New("no timestamp countersignature was found in the signature envelope")

// VerifyOptions says what a token must be over and whom to trust.
type VerifyOptions struct {
	// Message is what the token must be over: the bytes of the signature.
	Message []byte
	// Roots are the self-signed certificates of the trusted authorities.
	Roots []*x509.Certificate
}

// Verify checks a token: that it is over the message, was signed by an authority
// whose chain leads to a trusted root and meets the rules for time-stamping
// certificates, and that the chain was valid when the token was made. The result
// carries the chain, so that the caller can check its revocation; Verify makes no
// network request and does not look at the clock. Errors: ErrNoToken,
// ErrMalformed, ErrImprint, ErrSignature, ErrUntrusted, *pki.ChainError and
// *pki.ValidityError, most of them wrapped, or one that names an algorithm that is
// not allowed.
func Verify(token []byte, opts VerifyOptions) (*Token, error) {
	if len(token) == 0 {
		return nil, ErrNoToken
	}
	t, err := Parse(token)
	if err != nil {
		return nil, err
	}
	if err := t.checkMessage(opts.Message); err != nil {
		return nil, err
	}
	t.Chain, err = t.verifySigners(func(cert *x509.Certificate, signingTime time.Time) ([]*x509.Certificate, error) {
		return t.findChain(cert, opts.Roots, signingTime)
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Check is Verify without trust, for a token that someone else put into an
// envelope: the token is over the message, is signed by a certificate it
// contains, and the certificates it contains meet the rules as far as they form a
// chain. The result has no Chain. Errors are those of Verify.
func Check(token, message []byte) (*Token, error) {
	if len(token) == 0 {
		return nil, ErrNoToken
	}
	t, err := Parse(token)
	if err != nil {
		return nil, err
	}
	if err := t.checkMessage(message); err != nil {
		return nil, err
	}
	if _, err := t.verifySigners(t.embeddedChain); err != nil {
		return nil, err
	}
	return t, nil
}

// chainFinder finds the chain of a signing certificate, valid at the CMS signing time,
// which may be zero.
type chainFinder func(cert *x509.Certificate, signingTime time.Time) ([]*x509.Certificate, error)

// verifySigners returns the chain of the first good signer: one is enough,
// whatever becomes of the others (RFC 5652). Failing that, the error is that of
// the first.
func (t *Token) verifySigners(find chainFinder) ([]*x509.Certificate, error) {
	var first error
	for _, der := range t.signed.signers {
		chain, err := t.verifySigner(der, find)
		if err == nil {
			return chain, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// verifySigner checks one signerInfo and returns the signer's chain.
func (t *Token) verifySigner(der []byte, find chainFinder) ([]*x509.Certificate, error) {
	signer, err := parseSigner(der)
	if err != nil {
		return nil, err
	}
	if err := signer.checkContent(t.signed); err != nil {
		return nil, err
	}
	signingTime, err := signer.signingTime()
	if err != nil {
		return nil, err
	}
	cert, err := signer.signingCertificate(t.signed.certificates)
	if err != nil {
		return nil, err
	}
	chain, err := find(cert, signingTime)
	if err != nil {
		return nil, err
	}
	if err := checkSignature(cert, signer.signatureAlgorithm, signer.digest, signer.signed, signer.signature); err != nil {
		return nil, err
	}
	return chain, nil
}

// ErrUntrusted says that no trusted root issued a token's signing certificate.
var ErrUntrusted = errors.New("the timestamp token is not from a trusted authority")

// findChain returns a chain from cert to a trusted root that meets every rule for
// certificates, at the time of the token and at the CMS signing time if that is
// stated. When none does, the error is that of the most direct one.
func (t *Token) findChain(cert *x509.Certificate, roots []*x509.Certificate, signingTime time.Time) ([]*x509.Certificate, error) {
	var first error
	for chain := range paths(cert, t.signed.certificates, roots) {
		err := checkChain(chain, t.GenTime, signingTime)
		if err == nil {
			return chain, nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = fmt.Errorf("%w: certificate with subject %q, issued by %q, does not lead to a trusted root",
			ErrUntrusted, pki.DisplayName(cert.RawSubject), pki.DisplayName(cert.RawIssuer))
	}
	return nil, first
}

// embeddedChain returns the chain that the token's own certificates form above
// cert. It may end before the root.
func (t *Token) embeddedChain(cert *x509.Certificate, signingTime time.Time) ([]*x509.Certificate, error) {
	chain := []*x509.Certificate{cert}
	for len(chain) < pki.MaxChainLength {
		last := chain[len(chain)-1]
		i := slices.IndexFunc(t.signed.certificates, func(other *x509.Certificate) bool {
			return issuedByName(last, other) && !contains(chain, other)
		})
		if i < 0 {
			break
		}
		chain = append(chain, t.signed.certificates[i])
	}
	if err := pki.CheckIncompleteChain(chain, pki.Timestamping); err != nil {
		return nil, fmt.Errorf("timestamping %w", err)
	}
	return chain, checkTimes(chain, t.GenTime, signingTime)
}

// issuedByName tells whether other may have issued cert, by names, and where two
// bear the same name by key identifiers.
func issuedByName(cert, other *x509.Certificate) bool {
	return bytes.Equal(other.RawSubject, cert.RawIssuer) &&
		(len(cert.AuthorityKeyId) == 0 || len(other.SubjectKeyId) == 0 || bytes.Equal(cert.AuthorityKeyId, other.SubjectKeyId))
}

// checkChain checks everything about a chain that ends in a trusted root.
func checkChain(chain []*x509.Certificate, genTime, signingTime time.Time) error {
	if err := pki.CheckChain(chain, pki.Timestamping); err != nil {
		return fmt.Errorf("timestamping %w", err)
	}
	return checkTimes(chain, genTime, signingTime)
}

func checkTimes(chain []*x509.Certificate, genTime, signingTime time.Time) error {
	if err := pki.CheckValidity(chain, genTime); err != nil {
		return fmt.Errorf("timestamping %w", err)
	}
	if signingTime.IsZero() {
		return nil
	}
	if err := pki.CheckValidity(chain, signingTime); err != nil {
		return fmt.Errorf("the timestamp token's signing time is outside its chain's validity: %w", err)
	}
	return nil
}
