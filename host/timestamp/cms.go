package timestamp

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// MaxTokenSize is the largest token that is read, in bytes. Real ones have 2 to
// 10 KiB.
const MaxTokenSize = 1 << 20

// The most certificates and signers that a token may have. Real ones have up to
// four, and one.
const (
	maxCertificates = 32
	maxSigners      = 8
)

// ErrMalformed says that a token or an answer of an authority does not have the
// structure of RFC 3161 or RFC 5652.
var ErrMalformed = errors.New("malformed timestamp token")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrMalformed, fmt.Errorf(format, args...))
}

// context tags of ASN.1 modules with IMPLICIT tags.
var (
	tag0            = cbasn1.Tag(0).ContextSpecific()
	tag1            = cbasn1.Tag(1).ContextSpecific()
	tag0Constructed = tag0.Constructed()
	tag1Constructed = tag1.Constructed()
	tagDirectory    = cbasn1.Tag(4).ContextSpecific().Constructed()
)

// signedData is the SignedData of RFC 5652 as a time-stamping authority uses it.
type signedData struct {
	contentType  asn1.ObjectIdentifier
	content      []byte
	certificates []*x509.Certificate
	// signers are the DER of the signerInfos. They are read one by one when
	// verified: one good signer suffices, whatever the others look like.
	signers [][]byte
}

// parseSignedData reads a ContentInfo in BER that holds SignedData of version 3.
func parseSignedData(token []byte) (*signedData, error) {
	if len(token) > MaxTokenSize {
		return nil, malformed("it has %d bytes, more than the limit of %d", len(token), MaxTokenSize)
	}
	der, rest, err := toDER(token)
	if err != nil {
		return nil, malformed("%w", err)
	}
	if len(rest) > 0 {
		return nil, malformed("%d bytes follow it", len(rest))
	}
	in := cryptobyte.String(der)
	var info, explicit, sequence, algorithms, encapsulated, certificates, signers cryptobyte.String
	var contentType asn1.ObjectIdentifier
	var version int
	if !in.ReadASN1(&info, cbasn1.SEQUENCE) || !info.ReadASN1ObjectIdentifier(&contentType) {
		return nil, malformed("not a CMS content info")
	}
	if !contentType.Equal(oidSignedData) {
		return nil, malformed("content type %v is not signed data", contentType)
	}
	if !info.ReadASN1(&explicit, tag0Constructed) || !info.Empty() || !explicit.ReadASN1(&sequence, cbasn1.SEQUENCE) || !explicit.Empty() {
		return nil, malformed("no signed data")
	}
	if !sequence.ReadASN1Integer(&version) || version != 3 {
		return nil, malformed("signed data version 3 is required")
	}
	if !sequence.ReadASN1(&algorithms, cbasn1.SET) ||
		!sequence.ReadASN1(&encapsulated, cbasn1.SEQUENCE) ||
		!sequence.ReadOptionalASN1(&certificates, nil, tag0Constructed) ||
		!sequence.SkipOptionalASN1(tag1Constructed) || // CRLs: revocation is not taken from the token
		!sequence.ReadASN1(&signers, cbasn1.SET) || !sequence.Empty() {
		return nil, malformed("signed data has the wrong fields")
	}
	data := &signedData{}
	if err := data.readContent(encapsulated); err != nil {
		return nil, err
	}
	if err := data.readCertificates(certificates); err != nil {
		return nil, err
	}
	return data, data.readSigners(signers)
}

// readContent reads an EncapsulatedContentInfo.
func (d *signedData) readContent(in cryptobyte.String) error {
	var explicit, content cryptobyte.String
	if !in.ReadASN1ObjectIdentifier(&d.contentType) {
		return malformed("no encapsulated content")
	}
	if !d.contentType.Equal(oidTSTInfo) {
		return malformed("content type %v is not timestamp information", d.contentType)
	}
	if !in.ReadASN1(&explicit, tag0Constructed) || !in.Empty() || !explicit.ReadASN1(&content, cbasn1.OCTET_STRING) || !explicit.Empty() {
		return malformed("no encapsulated content")
	}
	d.content = content
	return nil
}

func (d *signedData) readCertificates(in cryptobyte.String) error {
	for !in.Empty() {
		if len(d.certificates) == maxCertificates {
			return malformed("more than %d certificates", maxCertificates)
		}
		var element cryptobyte.String
		if !in.ReadASN1Element(&element, cbasn1.SEQUENCE) {
			return malformed("only X.509 certificates are supported")
		}
		cert, err := x509.ParseCertificate(element)
		if err != nil {
			return malformed("a certificate does not parse: %w", err)
		}
		d.certificates = append(d.certificates, cert)
	}
	return nil
}

func (d *signedData) readSigners(in cryptobyte.String) error {
	for !in.Empty() {
		var element cryptobyte.String
		if len(d.signers) == maxSigners || !in.ReadASN1Element(&element, cbasn1.SEQUENCE) {
			return malformed("signerInfos must hold one to %d signers", maxSigners)
		}
		d.signers = append(d.signers, element)
	}
	if len(d.signers) == 0 {
		return malformed("signerInfos must hold one to %d signers", maxSigners)
	}
	return nil
}

// signerInfo is the SignerInfo of RFC 5652, version 1.
type signerInfo struct {
	// issuer and serial are the signer identifier.
	issuer             []byte
	serial             *big.Int
	digest             crypto.Hash
	signatureAlgorithm algorithmIdentifier
	signature          []byte
	// signed is the DER of the signed attributes as a SET, the signed message.
	signed     []byte
	attributes []attribute
}

type attribute struct {
	oid    asn1.ObjectIdentifier
	values cryptobyte.String
}

func parseSigner(der []byte) (*signerInfo, error) {
	in := cryptobyte.String(der)
	var sequence, sid, issuer, attributes, signature cryptobyte.String
	var version int
	var digest algorithmIdentifier
	var hasAttributes bool
	s := &signerInfo{serial: new(big.Int)}
	if !in.ReadASN1(&sequence, cbasn1.SEQUENCE) || !in.Empty() || !sequence.ReadASN1Integer(&version) {
		return nil, malformed("the signer info does not parse")
	}
	if version != 1 {
		return nil, malformed("signer info version %d is not supported: version 1, which names the certificate by issuer and serial number, is required", version)
	}
	if !sequence.ReadASN1(&sid, cbasn1.SEQUENCE) || !sid.ReadASN1Element(&issuer, cbasn1.SEQUENCE) || !sid.ReadASN1Integer(s.serial) || !sid.Empty() {
		return nil, malformed("the signer identifier is not an issuer and serial number")
	}
	if !readAlgorithm(&sequence, &digest) ||
		!sequence.ReadOptionalASN1(&attributes, &hasAttributes, tag0Constructed) ||
		!readAlgorithm(&sequence, &s.signatureAlgorithm) ||
		!sequence.ReadASN1(&signature, cbasn1.OCTET_STRING) ||
		!sequence.SkipOptionalASN1(tag1Constructed) || !sequence.Empty() {
		return nil, malformed("the signer info does not parse")
	}
	if !hasAttributes {
		return nil, malformed("it has no signed attributes")
	}
	var err error
	if s.digest, err = digest.digest(); err != nil {
		return nil, err
	}
	s.issuer, s.signature = issuer, signature
	return s, s.readAttributes(attributes)
}

// readAttributes reads the signed attributes and restores their DER, in which
// the members of a SET OF are sorted: that is what was signed (RFC 5652, section
// 5.4).
func (s *signerInfo) readAttributes(in cryptobyte.String) error {
	var elements [][]byte
	size := 0
	for !in.Empty() {
		var element, sequence cryptobyte.String
		var attr attribute
		if !in.ReadASN1Element(&element, cbasn1.SEQUENCE) {
			return malformed("the signed attributes do not parse")
		}
		elements, size = append(elements, element), size+len(element)
		if !element.ReadASN1(&sequence, cbasn1.SEQUENCE) || !sequence.ReadASN1ObjectIdentifier(&attr.oid) ||
			!sequence.ReadASN1(&attr.values, cbasn1.SET) || !sequence.Empty() {
			return malformed("the signed attributes do not parse")
		}
		s.attributes = append(s.attributes, attr)
	}
	slices.SortFunc(elements, bytes.Compare)
	s.signed = append(make([]byte, 0, size+6), byte(cbasn1.SET))
	s.signed = appendLength(s.signed, size)
	for _, element := range elements {
		s.signed = append(s.signed, element...)
	}
	return nil
}

// attribute returns the one value of a signed attribute, nil when the attribute
// is absent.
func (s *signerInfo) attribute(oid asn1.ObjectIdentifier) (cryptobyte.String, error) {
	var value cryptobyte.String
	for _, attr := range s.attributes {
		if !attr.oid.Equal(oid) {
			continue
		}
		var tag cbasn1.Tag
		values := attr.values
		if value != nil || !values.ReadAnyASN1Element(&value, &tag) || !values.Empty() {
			return nil, malformed("signed attribute %v must have exactly one value", oid)
		}
	}
	return value, nil
}

// checkContent checks the attributes that bind the signature to the content.
func (s *signerInfo) checkContent(data *signedData) error {
	value, err := s.attribute(oidContentType)
	if err != nil {
		return err
	}
	var contentType asn1.ObjectIdentifier
	if !value.ReadASN1ObjectIdentifier(&contentType) || !value.Empty() || !contentType.Equal(data.contentType) {
		return malformed("the signed attribute contentType must name timestamp information")
	}
	if value, err = s.attribute(oidMessageDigest); err != nil {
		return err
	}
	var digest cryptobyte.String
	if !value.ReadASN1(&digest, cbasn1.OCTET_STRING) || !value.Empty() {
		return malformed("the signed attribute messageDigest is missing")
	}
	if !bytes.Equal(digest, sum(s.digest, data.content)) {
		return fmt.Errorf("%w: the content does not have the signed digest", ErrSignature)
	}
	return nil
}

// signingTime returns the attribute of that name, zero when absent. It is a
// UTCTime or a GeneralizedTime.
func (s *signerInfo) signingTime() (time.Time, error) {
	value, err := s.attribute(oidSigningTime)
	if err != nil || value == nil {
		return time.Time{}, err
	}
	var at time.Time
	if value.PeekASN1Tag(cbasn1.UTCTime) && value.ReadASN1UTCTime(&at) || value.PeekASN1Tag(cbasn1.GeneralizedTime) && value.ReadASN1GeneralizedTime(&at) {
		return at, nil
	}
	return time.Time{}, malformed("the signed attribute signingTime does not parse")
}

// signingCertificate finds the signer's certificate by the signed attribute
// signing-certificate-v2 (RFC 5035, RFC 5816): its first ESSCertIDv2 holds the
// hash, and its issuerSerial, or else the signer identifier, says which of the
// token's certificates it is.
func (s *signerInfo) signingCertificate(certificates []*x509.Certificate) (*x509.Certificate, error) {
	value, err := s.attribute(oidSigningCertificateV2)
	if err != nil {
		return nil, err
	}
	if value == nil {
		if old, _ := s.attribute(oidSigningCertificate); old != nil {
			return nil, malformed("it identifies its certificate by SHA-1 alone (signing-certificate): signing-certificate-v2 is required")
		}
		return nil, malformed("the signed attribute signing-certificate-v2 is missing")
	}
	id, err := parseCertificateID(value)
	if err != nil {
		return nil, err
	}
	issuer, serial := id.issuer, id.serial
	if issuer == nil {
		issuer, serial = s.issuer, s.serial
	}
	for _, cert := range certificates {
		if !bytes.Equal(cert.RawIssuer, issuer) || cert.SerialNumber.Cmp(serial) != 0 {
			continue
		}
		if !bytes.Equal(sum(id.hash, cert.Raw), id.digest) {
			return nil, errors.New("the timestamp token's signing certificate does not have the hash that signing-certificate-v2 states")
		}
		return cert, nil
	}
	return nil, errors.New("the timestamp token does not contain its signing certificate")
}

// certificateID is the ESSCertIDv2 of RFC 5035.
type certificateID struct {
	hash   crypto.Hash
	digest []byte
	// issuer is the DER of a name, nil when the identifier has none.
	issuer []byte
	serial *big.Int
}

// parseCertificateID reads the first ESSCertIDv2 of a SigningCertificateV2.
func parseCertificateID(value cryptobyte.String) (*certificateID, error) {
	errAttribute := malformed("the signed attribute signing-certificate-v2 does not parse")
	var attribute, ids, first, digest cryptobyte.String
	if !value.ReadASN1(&attribute, cbasn1.SEQUENCE) || !value.Empty() || !attribute.ReadASN1(&ids, cbasn1.SEQUENCE) ||
		!attribute.SkipOptionalASN1(cbasn1.SEQUENCE) || !attribute.Empty() || !ids.ReadASN1(&first, cbasn1.SEQUENCE) {
		return nil, errAttribute
	}
	id := &certificateID{hash: crypto.SHA256, serial: new(big.Int)}
	if first.PeekASN1Tag(cbasn1.SEQUENCE) {
		var algorithm algorithmIdentifier
		if !readAlgorithm(&first, &algorithm) {
			return nil, errAttribute
		}
		var err error
		if id.hash, err = algorithm.digest(); err != nil {
			return nil, fmt.Errorf("signing-certificate-v2: %w", err)
		}
	}
	if !first.ReadASN1(&digest, cbasn1.OCTET_STRING) {
		return nil, errAttribute
	}
	id.digest = digest
	if first.Empty() {
		return id, nil
	}
	var issuerSerial, names, directory, name cryptobyte.String
	if !first.ReadASN1(&issuerSerial, cbasn1.SEQUENCE) || !first.Empty() ||
		!issuerSerial.ReadASN1(&names, cbasn1.SEQUENCE) || !issuerSerial.ReadASN1Integer(id.serial) || !issuerSerial.Empty() ||
		!names.ReadASN1(&directory, tagDirectory) || !names.Empty() ||
		!directory.ReadASN1Element(&name, cbasn1.SEQUENCE) || !directory.Empty() {
		return nil, errAttribute
	}
	id.issuer = name
	return id, nil
}
