package timestamp

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/signet-project/signet/host/pki"
)

// Token is what a timestamp token says (RFC 3161, TSTInfo).
type Token struct {
	// GenTime is when the authority made the token, in UTC.
	GenTime time.Time
	// Accuracy is how far the true time may lie from GenTime on either side: as
	// stated, else 1 s under the baseline policy 0.4.0.2023.1.1, else 0.
	Accuracy time.Duration
	// Policy is the policy under which the authority made the token.
	Policy asn1.ObjectIdentifier
	// Hash and HashedMessage are the message imprint: the algorithm and the digest.
	// Hash is 0 when it is none of SHA-256, SHA-384 and SHA-512; Verify refuses such a
	// token.
	Hash          crypto.Hash
	HashedMessage []byte
	// SerialNumber is the authority's number for the token.
	SerialNumber *big.Int
	// Nonce is that of the request, nil when absent.
	Nonce *big.Int
	// Certificates are those embedded in the token, in its order; nothing is known
	// about them.
	Certificates []*x509.Certificate
	// Chain is the authority's certificate chain, leaf first and trusted root last.
	// Only Verify sets it.
	Chain []*x509.Certificate

	signed *signedData
}

// Range returns the earliest and the latest time at which the token can have
// been made (RFC 3161, section 2.4.2).
func (t *Token) Range() (lower, upper time.Time) {
	return t.GenTime.Add(-t.Accuracy), t.GenTime.Add(t.Accuracy)
}

// CheckSigningChain checks that the token was made while every certificate of
// the signing chain was valid, whatever within its range is the true time
// (trust-store-trust-policy.md, "Validate Authentic Timestamp"). The chain is
// that of the signature the token is over, not of the authority. The error wraps
// a *pki.ValidityError.
func (t *Token) CheckSigningChain(chain []*x509.Certificate) error {
	lower, upper := t.Range()
	for _, bound := range []time.Time{lower, upper} {
		if err := pki.CheckValidity(chain, bound); err != nil {
			return fmt.Errorf("at the time of the timestamp: %w", err)
		}
	}
	return nil
}

// ErrImprint says that a token was made over something else.
var ErrImprint = errors.New("the timestamp token was not made over this signature")

// checkMessage checks that the token is over a message, the bytes of a
// signature: by the hash that the imprint names, which must be SHA-256, SHA-384
// or SHA-512. It checks no signature. The error is ErrImprint or says that the
// hash is not allowed.
func (t *Token) checkMessage(message []byte) error {
	if t.Hash == 0 {
		return errors.New("the timestamp token's imprint uses a digest algorithm that is not allowed: SHA-256, SHA-384 or SHA-512 is required")
	}
	if !bytes.Equal(sum(t.Hash, message), t.HashedMessage) {
		return ErrImprint
	}
	return nil
}

// Parse reads a token, the DER or BER of a CMS ContentInfo, without trusting it:
// no signature and no certificate is checked. Errors wrap ErrMalformed.
func Parse(token []byte) (*Token, error) {
	signed, err := parseSignedData(token)
	if err != nil {
		return nil, err
	}
	t, err := parseInfo(signed.content)
	if err != nil {
		return nil, err
	}
	t.Certificates, t.signed = signed.certificates, signed
	return t, nil
}

// parseInfo reads a TSTInfo, which is DER even in a token that is BER.
func parseInfo(der []byte) (*Token, error) {
	in := cryptobyte.String(der)
	var sequence, imprint, hashed, generated cryptobyte.String
	var version int
	var algorithm algorithmIdentifier
	t := &Token{SerialNumber: new(big.Int)}
	if !in.ReadASN1(&sequence, cbasn1.SEQUENCE) || !in.Empty() || !sequence.ReadASN1Integer(&version) {
		return nil, malformed("no timestamp information")
	}
	if version != 1 {
		return nil, malformed("timestamp information version %d is not supported: version 1 is required", version)
	}
	if !sequence.ReadASN1ObjectIdentifier(&t.Policy) || !sequence.ReadASN1(&imprint, cbasn1.SEQUENCE) ||
		!readAlgorithm(&imprint, &algorithm) || !imprint.ReadASN1(&hashed, cbasn1.OCTET_STRING) || !imprint.Empty() ||
		!sequence.ReadASN1Integer(t.SerialNumber) || !sequence.ReadASN1(&generated, cbasn1.GeneralizedTime) {
		return nil, malformed("timestamp information has the wrong fields")
	}
	var err error
	if t.GenTime, err = parseTime(string(generated)); err != nil {
		return nil, err
	}
	t.HashedMessage = hashed
	if hash, err := algorithm.digest(); err == nil {
		if t.Hash = hash; hash.Size() != len(hashed) {
			return nil, malformed("the message imprint has %d bytes where %d belong", len(hashed), hash.Size())
		}
	}
	return t, t.readOptional(sequence)
}

// readOptional reads what follows genTime in a TSTInfo.
func (t *Token) readOptional(in cryptobyte.String) error {
	explicit := in.PeekASN1Tag(cbasn1.SEQUENCE)
	if explicit {
		var accuracy cryptobyte.String
		if !in.ReadASN1(&accuracy, cbasn1.SEQUENCE) || !readAccuracy(accuracy, &t.Accuracy) {
			return malformed("the accuracy does not parse")
		}
	} else if t.Policy.Equal(oidBaselinePolicy) {
		t.Accuracy = time.Second
	}
	var ordering bool
	if in.PeekASN1Tag(cbasn1.BOOLEAN) && !in.ReadASN1Boolean(&ordering) {
		return malformed("the ordering does not parse")
	}
	if in.PeekASN1Tag(cbasn1.INTEGER) {
		t.Nonce = new(big.Int)
		if !in.ReadASN1Integer(t.Nonce) {
			return malformed("the nonce does not parse")
		}
	}
	var extensions cryptobyte.String
	if !in.SkipOptionalASN1(tag0Constructed) || !in.ReadOptionalASN1(&extensions, nil, tag1Constructed) || !in.Empty() {
		return malformed("timestamp information has the wrong fields")
	}
	return checkExtensions(extensions)
}

// readAccuracy reads the fields of an Accuracy; each missing one is 0.
func readAccuracy(in cryptobyte.String, out *time.Duration) bool {
	var seconds, millis, micros uint64
	if in.PeekASN1Tag(cbasn1.INTEGER) && !in.ReadASN1Integer(&seconds) {
		return false
	}
	for _, field := range []struct {
		tag cbasn1.Tag
		out *uint64
	}{{tag0, &millis}, {tag1, &micros}} {
		var content cryptobyte.String
		var present bool
		if !in.ReadOptionalASN1(&content, &present, field.tag) || present && !readSmall(content, field.out) {
			return false
		}
	}
	if !in.Empty() || seconds > 1<<31 {
		return false
	}
	*out = time.Duration(seconds)*time.Second + time.Duration(millis)*time.Millisecond + time.Duration(micros)*time.Microsecond
	return true
}

// readSmall reads the contents of an INTEGER (1..999). Authorities state 0 as
// well, which does no harm.
func readSmall(content []byte, out *uint64) bool {
	if len(content) == 0 || len(content) > 2 || content[0]&0x80 != 0 || len(content) == 2 && content[0] == 0 && content[1]&0x80 == 0 {
		return false
	}
	for _, b := range content {
		*out = *out<<8 | uint64(b)
	}
	return *out <= 999
}

// checkExtensions refuses critical extensions, none of which is known here.
func checkExtensions(in cryptobyte.String) error {
	for !in.Empty() {
		var extension, value cryptobyte.String
		var oid asn1.ObjectIdentifier
		var critical bool
		if !in.ReadASN1(&extension, cbasn1.SEQUENCE) || !extension.ReadASN1ObjectIdentifier(&oid) ||
			extension.PeekASN1Tag(cbasn1.BOOLEAN) && !extension.ReadASN1Boolean(&critical) ||
			!extension.ReadASN1(&value, cbasn1.OCTET_STRING) || !extension.Empty() {
			return malformed("the extensions do not parse")
		}
		if critical {
			return malformed("critical extension %v is not supported", oid)
		}
	}
	return nil
}

// parseTime reads the GeneralizedTime of RFC 3161: UTC, seconds present, a
// fraction without trailing zeros.
func parseTime(text string) (time.Time, error) {
	const layout = "20060102150405.999999999Z"
	at, err := time.Parse(layout, text)
	if err != nil || strings.Contains(text, ",") || at.Format(layout) != text {
		return time.Time{}, malformed("genTime %q is not a UTC time of the form YYYYMMDDhhmmss[.s]Z", text)
	}
	return at, nil
}
