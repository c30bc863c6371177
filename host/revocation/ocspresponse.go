package revocation

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// status is an OCSP CertStatus, the more severe the greater.
type status int

const (
	statusGood status = iota
	statusUnknown
	statusRevoked
)

// answer is what an OCSP responder says about one certificate.
type answer struct {
	status     status
	revocation Revocation // of statusRevoked
	producedAt time.Time
	thisUpdate time.Time
	nextUpdate time.Time // zero when absent
	// responder is the delegated responder's certificate, issued by the authority;
	// nil when the authority itself signed.
	responder *x509.Certificate
	url       string
	fetchedAt time.Time
}

// response is a parsed BasicOCSPResponse (RFC 6960, section 4.2.1).
type response struct {
	tbs          []byte
	algorithm    x509.SignatureAlgorithm
	signature    []byte
	certificates [][]byte
	byName       []byte // DER of the responder's Name, or
	byKey        []byte // the SHA-1 of its key
	producedAt   time.Time
	critical     asn1.ObjectIdentifier // a critical extension that is not understood
	singles      []single
}

// single is a SingleResponse.
type single struct {
	id       certID
	answer   answer
	critical asn1.ObjectIdentifier
}

// certID names a certificate by hashes of its issuer and its serial number.
type certID struct {
	hash              asn1.ObjectIdentifier
	nameHash, keyHash []byte
	serial            []byte // INTEGER content
}

// maxSingles bounds the certificates that one response is about.
const maxSingles = 100

// maxCertificates bounds the certificates that a response brings along.
const maxCertificates = 8

// ResponderError is an OCSP error status (RFC 6960, section 4.2.1).
type ResponderError struct{ Status int }

// Error gives the status its name.
func (e *ResponderError) Error() string {
	names := map[int]string{1: "malformed request", 2: "internal error", 3: "try later", 5: "signature required", 6: "unauthorized"}
	return fmt.Sprintf("the OCSP responder answers with error status %d %s", e.Status, names[e.Status])
}

func badResponse(what string) error {
	return problem(ProblemMalformed, "malformed OCSP response: %s", what)
}

// parseResponse reads an OCSPResponse. No signature is checked.
func parseResponse(der []byte) (*response, error) {
	input := cryptobyte.String(der)
	var outer, wrapped, inner, basic cryptobyte.String
	var code int
	var kind asn1.ObjectIdentifier
	if !input.ReadASN1(&outer, cryptobyte_asn1.SEQUENCE) || !input.Empty() || !outer.ReadASN1Enum(&code) {
		return nil, badResponse("not one DER sequence")
	}
	if code != 0 {
		return nil, &Error{ProblemStatus, &ResponderError{Status: code}}
	}
	if !outer.ReadASN1(&wrapped, contextTag(0)) || !outer.Empty() || !wrapped.ReadASN1(&inner, cryptobyte_asn1.SEQUENCE) || !wrapped.Empty() ||
		!inner.ReadASN1ObjectIdentifier(&kind) || !kind.Equal(oidBasicResponse) ||
		!inner.ReadASN1(&basic, cryptobyte_asn1.OCTET_STRING) || !inner.Empty() {
		return nil, badResponse("not a basic response")
	}
	return parseBasic(basic)
}

func parseBasic(input cryptobyte.String) (*response, error) {
	r := &response{}
	var basic, tbs, algorithm, bundle, certificates cryptobyte.String
	var bundled bool
	if !input.ReadASN1(&basic, cryptobyte_asn1.SEQUENCE) || !input.Empty() ||
		!basic.ReadASN1Element(&tbs, cryptobyte_asn1.SEQUENCE) || !basic.ReadASN1(&algorithm, cryptobyte_asn1.SEQUENCE) ||
		!basic.ReadASN1BitStringAsBytes(&r.signature) || !basic.ReadOptionalASN1(&bundle, &bundled, contextTag(0)) || !basic.Empty() {
		return nil, badResponse("basic response")
	}
	r.tbs, r.algorithm = tbs, signatureAlgorithm(algorithm)
	if bundled && (!bundle.ReadASN1(&certificates, cryptobyte_asn1.SEQUENCE) || !bundle.Empty()) {
		return nil, badResponse("certificates")
	}
	for !certificates.Empty() {
		var cert cryptobyte.String
		if !certificates.ReadASN1Element(&cert, cryptobyte_asn1.SEQUENCE) || len(r.certificates) == maxCertificates {
			return nil, badResponse("certificates")
		}
		r.certificates = append(r.certificates, cert)
	}
	return r, r.parseData(tbs)
}

// parseData reads ResponseData.
func (r *response) parseData(input cryptobyte.String) error {
	var data, version, id, singles, extensions cryptobyte.String
	var versioned, extended bool
	if !input.ReadASN1(&data, cryptobyte_asn1.SEQUENCE) || !data.ReadOptionalASN1(&version, &versioned, contextTag(0)) {
		return badResponse("response data")
	}
	if number := 0; versioned && (!version.ReadASN1Integer(&number) || number != 0) {
		return badResponse("version")
	}
	switch {
	case data.PeekASN1Tag(contextTag(1)):
		if !data.ReadASN1(&id, contextTag(1)) {
			return badResponse("responder name")
		}
		r.byName = id
	case data.PeekASN1Tag(contextTag(2)):
		var key cryptobyte.String
		if !data.ReadASN1(&id, contextTag(2)) || !id.ReadASN1(&key, cryptobyte_asn1.OCTET_STRING) || !id.Empty() {
			return badResponse("responder key")
		}
		r.byKey = key
	default:
		return badResponse("responder ID")
	}
	if !data.ReadASN1GeneralizedTime(&r.producedAt) || !data.ReadASN1(&singles, cryptobyte_asn1.SEQUENCE) ||
		!data.ReadOptionalASN1(&extensions, &extended, contextTag(1)) || !data.Empty() {
		return badResponse("response data")
	}
	for !singles.Empty() {
		one, ok := readSingle(&singles)
		if !ok || len(r.singles) == maxSingles {
			return badResponse("single response")
		}
		one.answer.producedAt = r.producedAt
		r.singles = append(r.singles, one)
	}
	if extended {
		found, ok := readWrappedExtensions(extensions)
		if !ok {
			return badResponse("response extensions")
		}
		r.critical = firstCritical(found)
	}
	return nil
}

func readSingle(input *cryptobyte.String) (one single, ok bool) {
	var sequence, next, extensions cryptobyte.String
	var hasNext, extended bool
	a := &one.answer
	if !input.ReadASN1(&sequence, cryptobyte_asn1.SEQUENCE) || !readCertID(&sequence, &one.id) ||
		!readStatus(&sequence, a) || !sequence.ReadASN1GeneralizedTime(&a.thisUpdate) ||
		!sequence.ReadOptionalASN1(&next, &hasNext, contextTag(0)) ||
		!sequence.ReadOptionalASN1(&extensions, &extended, contextTag(1)) || !sequence.Empty() {
		return single{}, false
	}
	if hasNext && (!next.ReadASN1GeneralizedTime(&a.nextUpdate) || !next.Empty()) {
		return single{}, false
	}
	if !extended {
		return one, true
	}
	found, ok := readWrappedExtensions(extensions)
	if !ok {
		return single{}, false
	}
	one.critical = firstCritical(found, oidInvalidityDate)
	if ext := find(found, oidInvalidityDate); ext != nil && !invalidityDate(ext.value, &a.revocation.InvalidityDate) {
		return single{}, false
	}
	return one, true
}

func readCertID(input *cryptobyte.String, id *certID) bool {
	var sequence, algorithm, name, key, serial cryptobyte.String
	if !input.ReadASN1(&sequence, cryptobyte_asn1.SEQUENCE) || !sequence.ReadASN1(&algorithm, cryptobyte_asn1.SEQUENCE) ||
		!algorithm.ReadASN1ObjectIdentifier(&id.hash) || !sequence.ReadASN1(&name, cryptobyte_asn1.OCTET_STRING) ||
		!sequence.ReadASN1(&key, cryptobyte_asn1.OCTET_STRING) || !sequence.ReadASN1(&serial, cryptobyte_asn1.INTEGER) || !sequence.Empty() {
		return false
	}
	id.nameHash, id.keyHash, id.serial = name, key, serial
	return true
}

// readStatus reads a CertStatus.
func readStatus(input *cryptobyte.String, a *answer) bool {
	var content, reason cryptobyte.String
	var tag cryptobyte_asn1.Tag
	if !input.ReadAnyASN1(&content, &tag) {
		return false
	}
	switch tag {
	case cryptobyte_asn1.Tag(0).ContextSpecific():
		a.status = statusGood
		return content.Empty()
	case cryptobyte_asn1.Tag(2).ContextSpecific():
		a.status = statusUnknown
		return content.Empty()
	case contextTag(1):
		a.status = statusRevoked
	default:
		return false
	}
	var hasReason bool
	var code int
	if !content.ReadASN1GeneralizedTime(&a.revocation.Time) || !content.ReadOptionalASN1(&reason, &hasReason, contextTag(0)) || !content.Empty() {
		return false
	}
	if hasReason && (!reason.ReadASN1Enum(&code) || !reason.Empty()) {
		return false
	}
	a.revocation.Reason = Reason(code)
	return true
}

func readWrappedExtensions(input cryptobyte.String) ([]extension, bool) {
	var sequence cryptobyte.String
	if !input.ReadASN1(&sequence, cryptobyte_asn1.SEQUENCE) || !input.Empty() {
		return nil, false
	}
	return readExtensions(sequence)
}

// firstCritical returns a critical extension that is not among those understood.
func firstCritical(extensions []extension, understood ...asn1.ObjectIdentifier) asn1.ObjectIdentifier {
	for _, ext := range extensions {
		if ext.critical && !slices.ContainsFunc(understood, ext.id.Equal) {
			return ext.id
		}
	}
	return nil
}

// answerFor returns what the response says about t, once everything about it
// holds that does not age: who signed, who may, and that it is about t.
func (r *response) answerFor(t *target) (*answer, error) {
	found, err := r.singleFor(t)
	if err != nil {
		return nil, err
	}
	responder, err := r.authorizedSigner(t)
	if err != nil {
		return nil, err
	}
	for _, id := range []asn1.ObjectIdentifier{r.critical, found.critical} {
		if id != nil {
			return nil, problem(ProblemCritical, "the OCSP response has critical extension %v, which is not supported", id)
		}
	}
	result := found.answer
	result.responder = responder
	return &result, nil
}

// singleFor finds the certificate among those the response is about. Where it
// appears more than once, the worst counts.
func (r *response) singleFor(t *target) (*single, error) {
	var found *single
	otherIssuer := false
	for i := range r.singles {
		one := &r.singles[i]
		if !bytes.Equal(one.id.serial, t.serial) {
			continue
		}
		if !one.id.issuedBy(t.issuer) {
			otherIssuer = true
			continue
		}
		if found == nil || one.answer.status > found.answer.status {
			found = one
		}
	}
	switch {
	case found != nil:
		return found, nil
	case otherIssuer:
		return nil, problem(ProblemMismatch, "the OCSP response is about a certificate of another issuer")
	}
	return nil, problem(ProblemMismatch, "the OCSP response is not about the certificate")
}

// hashes are the functions that a CertID may use.
var hashes = []struct {
	id  asn1.ObjectIdentifier
	sum func([]byte) []byte
}{
	{asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, sumSHA1},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, func(b []byte) []byte { s := sha256.Sum256(b); return s[:] }},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, func(b []byte) []byte { s := sha512.Sum384(b); return s[:] }},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, func(b []byte) []byte { s := sha512.Sum512(b); return s[:] }},
}

func sumSHA1(b []byte) []byte { s := sha1.Sum(b); return s[:] }

func (id *certID) issuedBy(issuer *x509.Certificate) bool {
	for _, hash := range hashes {
		if id.hash.Equal(hash.id) {
			return bytes.Equal(id.nameHash, hash.sum(issuer.RawSubject)) && bytes.Equal(id.keyHash, hash.sum(keyBits(issuer)))
		}
	}
	return false
}

// keyBits returns the public key as OCSP hashes it: the content of
// subjectPublicKey, without tag, length and number of unused bits.
func keyBits(cert *x509.Certificate) []byte {
	input := cryptobyte.String(cert.RawSubjectPublicKeyInfo)
	var sequence, algorithm cryptobyte.String
	var bits []byte
	if !input.ReadASN1(&sequence, cryptobyte_asn1.SEQUENCE) || !sequence.ReadASN1(&algorithm, cryptobyte_asn1.SEQUENCE) ||
		!sequence.ReadASN1BitStringAsBytes(&bits) {
		return nil
	}
	return bits
}

// authorizedSigner verifies the response's signature. It returns nil where the
// authority itself signed, and otherwise the certificate of the responder it
// delegated to: issued by the authority for signing OCSP responses. Whether that
// certificate is still valid is for usable to see.
func (r *response) authorizedSigner(t *target) (*x509.Certificate, error) {
	if r.algorithm == x509.UnknownSignatureAlgorithm {
		return nil, problem(ProblemSignature, "the OCSP response's signature algorithm is not supported")
	}
	if r.identifies(t.issuer) && t.issuer.CheckSignature(r.algorithm, r.tbs, r.signature) == nil {
		return nil, nil
	}
	reason := problem(ProblemSignature, "the OCSP response is not signed by the certificate's issuer, nor by a responder whose certificate it contains")
	for _, der := range r.certificates {
		cert, err := x509.ParseCertificate(der)
		if err != nil || !r.identifies(cert) {
			continue
		}
		if err := mayRespond(cert, t); err != nil {
			reason = err
			continue
		}
		if err := cert.CheckSignature(r.algorithm, r.tbs, r.signature); err != nil {
			reason = problem(ProblemSignature, "the OCSP response's signature does not verify: %w", err)
			continue
		}
		return cert, nil
	}
	return nil, reason
}

// identifies tells whether the response names the certificate's holder as the
// one who signed.
func (r *response) identifies(cert *x509.Certificate) bool {
	if r.byName != nil {
		return bytes.Equal(r.byName, cert.RawSubject)
	}
	return bytes.Equal(r.byKey, sumSHA1(keyBits(cert)))
}

// mayRespond checks what does not age about a delegated responder's certificate
// (RFC 6960, section 4.2.2.2).
func mayRespond(cert *x509.Certificate, t *target) error {
	switch {
	case cert.Equal(t.cert):
		return problem(ProblemSignature, "the OCSP response is signed by the certificate that it is about")
	case !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return problem(ProblemSignature, "the OCSP response is signed by a certificate that is not for OCSP signing")
	case cert.KeyUsage != 0 && cert.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0:
		return problem(ProblemSignature, "the OCSP response is signed by a certificate whose key usage does not allow signatures")
	case !bytes.Equal(cert.RawIssuer, t.issuer.RawSubject):
		return problem(ProblemSignature, "the OCSP responder's certificate is not issued by the certificate's issuer")
	}
	// Unlike CheckSignature, this takes no SHA-1, which the chain itself may not use either.
	if err := cert.CheckSignatureFrom(t.issuer); err != nil {
		return problem(ProblemSignature, "the OCSP responder's certificate is not issued by the certificate's issuer: %w", err)
	}
	return nil
}

// hasNoCheck tells whether the authority wants the responder's certificate to be
// trusted for as long as it is valid (RFC 6960, section 4.2.2.2.1).
func hasNoCheck(cert *x509.Certificate) bool {
	return slices.ContainsFunc(cert.Extensions, func(ext pkix.Extension) bool { return ext.Id.Equal(oidNoCheck) })
}

// maxUndated is how old an answer without nextUpdate may be: it says that newer
// information is always to be had, so an old one has been kept by somebody.
const maxUndated = 24 * time.Hour

// checkTime checks what ages about an answer.
func (a *answer) checkTime(now time.Time) error {
	switch {
	case a.thisUpdate.After(now.Add(clockSkew)):
		return problem(ProblemTime, "the OCSP response is from the future: thisUpdate is %s", showTime(a.thisUpdate))
	case !a.nextUpdate.IsZero() && now.After(a.nextUpdate):
		return problem(ProblemTime, "the OCSP response expired at %s", showTime(a.nextUpdate))
	case a.nextUpdate.IsZero() && now.Sub(a.producedAt) > maxUndated:
		return problem(ProblemTime, "the OCSP response has no nextUpdate and was made at %s, more than %v ago", showTime(a.producedAt), maxUndated)
	case a.responder != nil && (now.Before(a.responder.NotBefore) || now.After(a.responder.NotAfter)):
		return problem(ProblemSignature, "the OCSP responder's certificate is valid from %s to %s only", showTime(a.responder.NotBefore), showTime(a.responder.NotAfter))
	}
	return nil
}
