package revocation

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"hash/maphash"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// list is a parsed CRL (RFC 5280, section 5.1), complete or delta. Its entries
// stay where they are in the DER; an index of serial numbers finds them.
type list struct {
	der        []byte
	tbs        []byte
	algorithm  x509.SignatureAlgorithm
	signature  []byte
	rawIssuer  []byte
	thisUpdate time.Time
	nextUpdate time.Time // zero when absent
	// nextPublish is when Microsoft's CA publishes the next list, which is
	// earlier than nextUpdate; zero when absent.
	nextPublish time.Time
	number      *big.Int // nil when absent
	// baseNumber is the deltaCRLIndicator; nil for a complete list.
	baseNumber *big.Int
	scope      *scope // nil when absent
	freshest   points
	// critical names a critical extension, of the list or of an entry, that is
	// not understood; nil when there is none.
	critical asn1.ObjectIdentifier

	entries cryptobyte.String
	count   int
	index   serialIndex
}

func malformed(what string) error { return problem(ProblemMalformed, "malformed CRL: %s", what) }

// parseList reads everything but the entries; see buildIndex. No signature is
// checked.
func parseList(der []byte) (*list, error) {
	if bytes.HasPrefix(der, []byte("-----BEGIN")) {
		return nil, malformed("it is PEM, where DER is required")
	}
	l := &list{der: der}
	input := cryptobyte.String(der)
	var outer, tbs, tbsAlgorithm, algorithm cryptobyte.String
	if !input.ReadASN1(&outer, cryptobyte_asn1.SEQUENCE) || !input.Empty() {
		return nil, malformed("not one DER sequence")
	}
	if !outer.ReadASN1Element(&tbs, cryptobyte_asn1.SEQUENCE) || !outer.ReadASN1(&algorithm, cryptobyte_asn1.SEQUENCE) ||
		!outer.ReadASN1BitStringAsBytes(&l.signature) || !outer.Empty() {
		return nil, malformed("signature")
	}
	l.tbs = tbs
	if !tbs.ReadASN1(&tbs, cryptobyte_asn1.SEQUENCE) {
		return nil, malformed("tbsCertList")
	}
	var version int
	if !tbs.PeekASN1Tag(cryptobyte_asn1.INTEGER) {
		return nil, malformed("version 1, where version 2 is required")
	}
	if !tbs.ReadASN1Integer(&version) || version != 1 {
		return nil, malformed("version")
	}
	if !tbs.ReadASN1(&tbsAlgorithm, cryptobyte_asn1.SEQUENCE) || !bytes.Equal(algorithm, tbsAlgorithm) {
		return nil, malformed("the two signature algorithms differ")
	}
	l.algorithm = signatureAlgorithm(algorithm)
	var issuer cryptobyte.String
	if !tbs.ReadASN1Element(&issuer, cryptobyte_asn1.SEQUENCE) {
		return nil, malformed("issuer")
	}
	l.rawIssuer = issuer
	if !readTime(&tbs, &l.thisUpdate) {
		return nil, malformed("thisUpdate")
	}
	if tbs.PeekASN1Tag(cryptobyte_asn1.UTCTime) || tbs.PeekASN1Tag(cryptobyte_asn1.GeneralizedTime) {
		if !readTime(&tbs, &l.nextUpdate) {
			return nil, malformed("nextUpdate")
		}
	}
	var extensions cryptobyte.String
	var extended bool
	if tbs.PeekASN1Tag(cryptobyte_asn1.SEQUENCE) && !tbs.ReadASN1(&l.entries, cryptobyte_asn1.SEQUENCE) {
		return nil, malformed("revokedCertificates")
	}
	if !tbs.ReadOptionalASN1(&extensions, &extended, contextTag(0)) || !tbs.Empty() {
		return nil, malformed("extensions")
	}
	if !extended {
		return l, nil
	}
	return l, l.readExtensions(extensions)
}

// readExtensions reads the list's own extensions.
func (l *list) readExtensions(input cryptobyte.String) error {
	var sequence cryptobyte.String
	if !input.ReadASN1(&sequence, cryptobyte_asn1.SEQUENCE) || !input.Empty() {
		return malformed("extensions")
	}
	extensions, ok := readExtensions(sequence)
	if !ok {
		return malformed("extensions")
	}
	for _, ext := range extensions {
		ok := true
		switch {
		case ext.id.Equal(oidCRLNumber):
			l.number, ok = wholeInteger(ext.value)
		case ext.id.Equal(oidDeltaCRLIndicator):
			l.baseNumber, ok = wholeInteger(ext.value)
		case ext.id.Equal(oidIssuingDistributionPoint):
			l.scope, ok = readScope(ext.value)
		case ext.id.Equal(oidFreshestCRL):
			l.freshest, ok = readPoints(ext.value)
		case ext.id.Equal(oidNextPublish):
			ok = wholeTime(ext.value, &l.nextPublish)
		case ext.id.Equal(oidAuthorityKeyIdentifier):
			// The issuer is known: the signature tells.
		case ext.critical:
			l.critical = ext.id
		}
		if !ok {
			return malformed("extension " + ext.id.String())
		}
	}
	return nil
}

// checkSignature checks that the issuing authority signed the list and may sign
// lists.
func (l *list) checkSignature(issuer *x509.Certificate) error {
	switch {
	case !bytes.Equal(l.rawIssuer, issuer.RawSubject):
		return problem(ProblemSignature, "the CRL is not issued by the certificate's issuer")
	case issuer.KeyUsage != 0 && issuer.KeyUsage&x509.KeyUsageCRLSign == 0:
		return problem(ProblemSignature, "the issuer's key usage does not allow it to sign CRLs")
	case l.algorithm == x509.UnknownSignatureAlgorithm:
		return problem(ProblemSignature, "the CRL's signature algorithm is not supported")
	}
	if err := issuer.CheckSignature(l.algorithm, l.tbs, l.signature); err != nil {
		return problem(ProblemSignature, "the CRL's signature is not by the certificate's issuer: %w", err)
	}
	return nil
}

// expired tells whether the list is past its nextUpdate, or has none.
func (l *list) expired(now time.Time) bool {
	return l.nextUpdate.IsZero() || now.After(l.nextUpdate)
}

func (l *list) checkTime(now time.Time) error {
	switch {
	case l.nextUpdate.IsZero():
		return problem(ProblemTime, "the CRL has no nextUpdate")
	case now.After(l.nextUpdate):
		return problem(ProblemTime, "the CRL expired at %s", showTime(l.nextUpdate))
	}
	return nil
}

// size is roughly how much memory the list takes.
func (l *list) size() int64 { return int64(len(l.der)) + 4*int64(len(l.index.slots)) }

// serialIndex is a hash table with open addressing from serial numbers to
// entries. A serial number that has several entries has several slots.
type serialIndex struct {
	seed  maphash.Seed
	slots []uint32 // offset of an entry in list.entries, plus one; 0 is free
}

// maxProbes bounds the search for a free slot. Honest lists, whose serial
// numbers appear once or twice, need a few dozen at most.
const maxProbes = 1024

// entryParts splits the entry at the start of input, which it moves past it.
func entryParts(input *cryptobyte.String) (serial, date, extensions cryptobyte.String, ok bool) {
	var entry, rest cryptobyte.String
	var tag cryptobyte_asn1.Tag
	if !input.ReadASN1(&entry, cryptobyte_asn1.SEQUENCE) || !entry.ReadASN1(&serial, cryptobyte_asn1.INTEGER) ||
		len(serial) == 0 || !entry.ReadAnyASN1Element(&date, &tag) ||
		(tag != cryptobyte_asn1.UTCTime && tag != cryptobyte_asn1.GeneralizedTime) {
		return nil, nil, nil, false
	}
	if entry.Empty() {
		return serial, date, nil, true
	}
	if !entry.ReadASN1(&rest, cryptobyte_asn1.SEQUENCE) || !entry.Empty() {
		return nil, nil, nil, false
	}
	return serial, date, rest, true
}

// buildIndex reads the entries: their form, their critical extensions, and
// where each serial number is. It is called once the signature is known to hold.
func (l *list) buildIndex() error {
	for rest := l.entries; !rest.Empty(); l.count++ {
		var entry cryptobyte.String
		if !rest.ReadASN1Element(&entry, cryptobyte_asn1.SEQUENCE) {
			return malformed("revoked certificate")
		}
	}
	slots := 1
	for slots < 2*l.count {
		slots *= 2
	}
	l.index = serialIndex{seed: maphash.MakeSeed(), slots: make([]uint32, slots)}
	var understood cryptobyte.String // the last extensions seen; lists repeat them
	for rest := l.entries; !rest.Empty(); {
		offset := len(l.entries) - len(rest)
		serial, _, extensions, ok := entryParts(&rest)
		if !ok {
			return malformed("revoked certificate")
		}
		if len(extensions) > 0 && !bytes.Equal(extensions, understood) {
			critical, ok := criticalOf(extensions)
			if !ok {
				return malformed("revoked certificate")
			}
			if critical != nil {
				l.critical = critical
			}
			understood = extensions
		}
		if !l.index.add(serial, offset) {
			return malformed("too many entries for one serial number")
		}
	}
	return nil
}

// criticalOf returns a critical entry extension that is not understood.
func criticalOf(input cryptobyte.String) (asn1.ObjectIdentifier, bool) {
	extensions, ok := readExtensions(input)
	if !ok {
		return nil, false
	}
	return firstCritical(extensions, oidReasonCode, oidInvalidityDate), true
}

func (x *serialIndex) add(serial []byte, offset int) bool {
	mask := uint64(len(x.slots) - 1)
	slot := maphash.Bytes(x.seed, serial) & mask
	for range maxProbes {
		if x.slots[slot] == 0 {
			x.slots[slot] = uint32(offset) + 1
			return true
		}
		slot = (slot + 1) & mask
	}
	return false
}

// lookup returns the entries for a serial number, given as INTEGER content.
func (l *list) lookup(serial []byte) ([]Revocation, error) {
	if l.count == 0 {
		return nil, nil
	}
	var found []Revocation
	mask := uint64(len(l.index.slots) - 1)
	for slot := maphash.Bytes(l.index.seed, serial) & mask; l.index.slots[slot] != 0; slot = (slot + 1) & mask {
		rest := l.entries[l.index.slots[slot]-1:]
		listed, date, extensions, ok := entryParts(&rest)
		if !ok {
			return nil, malformed("revoked certificate")
		}
		if !bytes.Equal(listed, serial) {
			continue
		}
		entry, ok := readEntry(date, extensions)
		if !ok {
			return nil, malformed("revoked certificate")
		}
		found = append(found, entry)
	}
	return found, nil
}

func readEntry(date, input cryptobyte.String) (entry Revocation, ok bool) {
	if !readTime(&date, &entry.Time) {
		return Revocation{}, false
	}
	extensions, ok := readExtensions(input)
	if !ok {
		return Revocation{}, false
	}
	if ext := find(extensions, oidReasonCode); ext != nil {
		var code int
		if !ext.value.ReadASN1Enum(&code) || !ext.value.Empty() {
			return Revocation{}, false
		}
		entry.Reason = Reason(code)
	}
	if ext := find(extensions, oidInvalidityDate); ext != nil && !invalidityDate(ext.value, &entry.InvalidityDate) {
		return Revocation{}, false
	}
	return entry, true
}
