// Package envelope reads and writes Notary Project signature envelopes: bytes
// in, facts out, and the other way round. It applies the rules for structure,
// attributes and payload, and checks the envelope's own signature; it decides
// nothing about trust and never looks at the clock.
package envelope

import (
	"crypto/x509"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/protocol"
)

// Media types of the two envelope formats and of their payload.
const (
	MediaTypeJWS     = "application/jose+json"
	MediaTypeCOSE    = "application/cose"
	MediaTypePayload = "application/vnd.cncf.notary.payload.v1+json"
)

// MaxSize is the largest envelope that Parse reads, in bytes.
const MaxSize = 32 << 20

// maxAttributes bounds the signed attributes of an envelope, and the members of
// a COSE unprotected header. Real envelopes have fewer than ten.
const maxAttributes = 256

// maxCertificateSize bounds each certificate of a chain, in bytes. Real ones have 1
// to 4 KiB; parsed, a certificate made of names alone takes forty times its size.
const maxCertificateSize = 64 << 10

// Format is the short name of an envelope format.
type Format string

// The envelope formats.
const (
	FormatJWS  Format = "jws"
	FormatCOSE Format = "cose"
)

// MediaType returns the format's media type, "" for an unknown format.
func (f Format) MediaType() string {
	switch f {
	case FormatJWS:
		return MediaTypeJWS
	case FormatCOSE:
		return MediaTypeCOSE
	}
	return ""
}

// FormatOf returns the format with a media type; false for an unknown one.
func FormatOf(mediaType string) (Format, bool) {
	switch mediaType {
	case MediaTypeJWS:
		return FormatJWS, true
	case MediaTypeCOSE:
		return FormatCOSE, true
	}
	return "", false
}

// Scheme is a signing scheme (signing-scheme.md).
type Scheme string

// The signing schemes.
const (
	SchemeX509             Scheme = "notary.x509"
	SchemeSigningAuthority Scheme = "notary.x509.signingAuthority"
)

// Names of the signed and unsigned attributes, the same in both formats.
const (
	attrScheme           = "io.cncf.notary.signingScheme"
	attrSigningTime      = "io.cncf.notary.signingTime"
	attrAuthenticTime    = "io.cncf.notary.authenticSigningTime"
	attrExpiry           = "io.cncf.notary.expiry"
	attrPlugin           = "io.cncf.notary.verificationPlugin"
	attrPluginMinVersion = "io.cncf.notary.verificationPluginMinVersion"
	attrTimestamp        = "io.cncf.notary.timestampSignature"
	attrAgent            = "io.cncf.notary.signingAgent"
)

// Attribute is an extended signed attribute.
type Attribute struct {
	// Key is a string, or an int64 for a COSE integer label.
	Key any
	// Value is a string, a bool, nil, or a json.Number with the exact digits for
	// a number of either format; these can be marshalled as JSON as they are.
	// Anything else is a RawValue. A Draft also takes int, int64, uint64 and
	// float64.
	Value any
	// Critical tells that a verifier which does not process the attribute must
	// fail.
	Critical bool
}

// RawValue is the encoding (JSON or CBOR) of an attribute value that is neither
// string, number, bool nor null: an array, an object, bytes, a tag.
type RawValue []byte

// Envelope is what a signature envelope says. Its contents can be believed only
// after VerifySignature and after the chain has been anchored.
type Envelope struct {
	// MediaType is the envelope's: MediaTypeJWS or MediaTypeCOSE.
	MediaType string
	// ContentType is the payload's media type, MediaTypePayload.
	ContentType string
	// Payload is the JSON that was signed; see [Envelope.Target].
	Payload []byte
	// Algorithm is the one that the envelope names; VerifySignature holds it to the key.
	Algorithm protocol.SignatureAlgorithm
	Scheme    Scheme
	// SigningTime is the authentic signing time under SchemeSigningAuthority and
	// the signer's unauthenticated claim under SchemeX509. In UTC.
	SigningTime time.Time
	// Expiry is zero when the signature never expires. In UTC.
	Expiry time.Time
	// Extended are the signed attributes of no standard meaning, in the order of
	// the envelope.
	Extended []Attribute
	// VerificationPlugin and VerificationPluginMinVersion are "" when absent. The
	// second may stand alone; then nobody can process it, and verification must
	// fail.
	VerificationPlugin, VerificationPluginMinVersion string
	// Certificates is the chain as the envelope orders it, leaf first, not yet
	// checked by any rule. It has at least one certificate.
	Certificates []*x509.Certificate
	// Timestamp is the RFC 3161 TimeStampToken, nil when absent.
	Timestamp []byte
	// Agent names the software that signed; anyone may have written it.
	Agent string
	// Signature is the primitive signature: r‖s for ECDSA.
	Signature []byte

	// The two parts that the signature covers, as the format has them: for JWS
	// the base64url texts, for COSE the encoded protected header and the payload.
	signedHeader, signedPayload []byte
}

// SyntaxError says that bytes are not an envelope of the format at all.
type SyntaxError struct {
	MediaType string
	Err       error
}

// Error names the format and the fault.
func (e *SyntaxError) Error() string {
	format, _ := FormatOf(e.MediaType)
	return oneLine(fmt.Sprintf("malformed %s envelope: %v", format, e.Err))
}

// Unwrap returns the fault.
func (e *SyntaxError) Unwrap() error { return e.Err }

// InvalidError says which rule for attributes, payload or algorithm an envelope
// or a draft breaks. The text is the specification's or reference's own where
// people search for it.
type InvalidError struct{ Reason string }

// Error is the reason.
func (e *InvalidError) Error() string { return e.Reason }

// UnsupportedError says that a media type is none of the envelope formats.
type UnsupportedError struct{ MediaType string }

// Error names the media type.
func (e *UnsupportedError) Error() string {
	return oneLine(fmt.Sprintf("signature envelope format with media type %q is not supported", e.MediaType))
}

// IntegrityError says that the signature does not cover the envelope.
type IntegrityError struct{ Err error }

// Error says what the check of the signature reports.
func (e *IntegrityError) Error() string { return "signature is invalid. Error: " + e.Err.Error() }

// Unwrap returns what the check of the signature reports.
func (e *IntegrityError) Unwrap() error { return e.Err }

func invalid(format string, args ...any) error {
	return &InvalidError{Reason: oneLine(fmt.Sprintf(format, args...))}
}

// maxMessage bounds the texts of errors, in bytes.
const maxMessage = 1024

// oneLine makes a text that quotes an envelope fit for a message: bounded, and
// without control characters.
func oneLine(text string) string {
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	if strings.IndexFunc(text, unicode.IsControl) < 0 {
		return text
	}
	var out strings.Builder
	for _, r := range text {
		if unicode.IsControl(r) {
			fmt.Fprintf(&out, `\u%04x`, r)
		} else {
			out.WriteRune(r)
		}
	}
	return out.String()
}

// Parser parses envelopes. The zero value is ready for use.
type Parser struct {
	// Certificates parses the DER of one certificate, so that a caller can keep
	// parsed ones. It must not keep der itself. Nil means x509.ParseCertificate.
	Certificates func(der []byte) (*x509.Certificate, error)
}

// Parse is Parser.Parse with the zero Parser.
func Parse(mediaType string, data []byte) (*Envelope, error) {
	return new(Parser).Parse(mediaType, data)
}

// Parse reads an envelope of the format that mediaType names and applies the
// rules for its structure and attributes. It checks no signature, no
// certificate rule and no time against the clock. The envelope refers to data,
// which must not change afterwards. Errors: *UnsupportedError, *SyntaxError or
// *InvalidError.
func (p *Parser) Parse(mediaType string, data []byte) (*Envelope, error) {
	if len(data) > MaxSize {
		return nil, &SyntaxError{mediaType, fmt.Errorf("it has %d bytes, at most %d are allowed", len(data), MaxSize)}
	}
	switch mediaType {
	case MediaTypeJWS:
		return p.parseJWS(data)
	case MediaTypeCOSE:
		return p.parseCOSE(data)
	}
	return nil, &UnsupportedError{mediaType}
}

// VerifySignature checks that the envelope's algorithm is the one its leaf key
// selects, and that the signature covers header and payload. Errors:
// *InvalidError for the algorithm, *IntegrityError for the signature.
func (e *Envelope) VerifySignature() error {
	leaf := e.Certificates[0]
	suite, err := protocol.SuiteForKey(leaf.PublicKey)
	if err != nil {
		return invalid("%v", err)
	}
	if suite.Algorithm != e.Algorithm {
		return invalid("mismatch between signature algorithm derived from signing certificate (%s) and signing algorithm specified (%s)", suite.Algorithm, e.Algorithm)
	}
	if e.MediaType == MediaTypeJWS {
		err = pki.VerifyAnySalt(leaf, e.SigningInput(), e.Signature)
	} else {
		err = pki.Verify(leaf, e.SigningInput(), e.Signature)
	}
	if err != nil {
		return &IntegrityError{err}
	}
	return nil
}

// SigningInput returns the bytes that Signature covers: header and payload as the
// format puts them together (RFC 7515 section 5.1, RFC 9052 section 4.4).
func (e *Envelope) SigningInput() []byte {
	if e.MediaType == MediaTypeJWS {
		return jwsSigningInput(e.signedHeader, e.signedPayload)
	}
	return coseSigningInput(e.signedHeader, e.signedPayload)
}

// certificates parses a chain with the caller's parser.
func (p *Parser) certificates(ders [][]byte) ([]*x509.Certificate, error) {
	switch {
	case len(ders) == 0:
		return nil, invalid("certificate chain is not present")
	case len(ders) > pki.MaxChainLength:
		return nil, invalid("certificate chain has %d certificates: at most %d are allowed", len(ders), pki.MaxChainLength)
	}
	parse := p.Certificates
	if parse == nil {
		parse = x509.ParseCertificate
	}
	certs := make([]*x509.Certificate, len(ders))
	for i, der := range ders {
		if len(der) > maxCertificateSize {
			return nil, invalid("certificate %d of the chain has %d bytes: at most %d are allowed", i+1, len(der), maxCertificateSize)
		}
		cert, err := parse(der)
		if err != nil {
			return nil, invalid("certificate %d of the chain is malformed: %v", i+1, err)
		}
		certs[i] = cert
	}
	return certs, nil
}
