package revocation

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// points is where an extension of type CRLDistributionPoints says that lists
// are to be had (RFC 5280, sections 4.2.1.13 and 4.2.1.15).
type points struct {
	// present tells an extension without usable places from none.
	present bool
	// urls are the URIs, in order.
	urls []string
	// names are the DER of all names, to compare with a list's own.
	names [][]byte
}

// certificatePoints reads an extension of a certificate.
func certificatePoints(cert *x509.Certificate, id asn1.ObjectIdentifier) points {
	for _, ext := range cert.Extensions {
		if ext.Id.Equal(id) {
			found, ok := readPoints(ext.Value)
			if !ok {
				return points{present: true}
			}
			return found
		}
	}
	return points{}
}

// namesCRL tells whether a certificate has the extension CRLDistributionPoints.
func namesCRL(cert *x509.Certificate) bool {
	return slices.ContainsFunc(cert.Extensions, func(ext pkix.Extension) bool { return ext.Id.Equal(oidCRLDistributionPoints) })
}

// readPoints reads the value of CRLDistributionPoints or FreshestCRL.
func readPoints(value cryptobyte.String) (points, bool) {
	found := points{present: true}
	var sequence cryptobyte.String
	if !value.ReadASN1(&sequence, cryptobyte_asn1.SEQUENCE) || !value.Empty() {
		return points{}, false
	}
	for !sequence.Empty() {
		var point, name cryptobyte.String
		var named bool
		if !sequence.ReadASN1(&point, cryptobyte_asn1.SEQUENCE) || !point.ReadOptionalASN1(&name, &named, contextTag(0)) {
			return points{}, false
		}
		if !named {
			continue
		}
		names, urls, ok := readPointName(name)
		if !ok {
			return points{}, false
		}
		found.names = append(found.names, names...)
		found.urls = append(found.urls, urls...)
	}
	return found, true
}

// readPointName reads the content of [0] DistributionPointName: the full names,
// of which some are URIs, or a name relative to the issuer, which is kept whole.
func readPointName(name cryptobyte.String) (names [][]byte, urls []string, ok bool) {
	if name.PeekASN1Tag(contextTag(1)) {
		return [][]byte{name}, nil, true
	}
	var full cryptobyte.String
	if !name.ReadASN1(&full, contextTag(0)) || !name.Empty() {
		return nil, nil, false
	}
	uri := cryptobyte_asn1.Tag(6).ContextSpecific()
	for !full.Empty() {
		var element cryptobyte.String
		var tag cryptobyte_asn1.Tag
		if !full.ReadAnyASN1Element(&element, &tag) {
			return nil, nil, false
		}
		names = append(names, element)
		if tag != uri {
			continue
		}
		var text cryptobyte.String
		if !element.ReadASN1(&text, uri) {
			return nil, nil, false
		}
		urls = append(urls, string(text))
	}
	return names, urls, true
}

// reasons is a set of revocation reasons, bit n being bit n of ReasonFlags
// (RFC 5280, section 4.2.1.13).
type reasons uint16

// allReasons are the reasons for which a public key certificate can be revoked:
// keyCompromise (1) to privilegeWithdrawn (7). aACompromise (8) is about
// attribute certificates.
const allReasons reasons = 0b1111_1110

// scope is an issuingDistributionPoint: which certificates and reasons a list
// is about (RFC 5280, section 5.2.5).
type scope struct {
	raw                  []byte
	names                [][]byte
	userOnly, caOnly     bool
	attributeOnly        bool
	indirect             bool
	reasons              reasons // allReasons when it does not say
	hasDistributionPoint bool
}

func readScope(value cryptobyte.String) (*scope, bool) {
	s := &scope{raw: value, reasons: allReasons}
	var sequence, name, flags cryptobyte.String
	var hasReasons bool
	if !value.ReadASN1(&sequence, cryptobyte_asn1.SEQUENCE) || !value.Empty() ||
		!sequence.ReadOptionalASN1(&name, &s.hasDistributionPoint, contextTag(0)) ||
		!readFlag(&sequence, 1, &s.userOnly) || !readFlag(&sequence, 2, &s.caOnly) ||
		!sequence.ReadOptionalASN1(&flags, &hasReasons, cryptobyte_asn1.Tag(3).ContextSpecific()) ||
		!readFlag(&sequence, 4, &s.indirect) || !readFlag(&sequence, 5, &s.attributeOnly) || !sequence.Empty() {
		return nil, false
	}
	if s.hasDistributionPoint {
		var ok bool
		if s.names, _, ok = readPointName(name); !ok {
			return nil, false
		}
	}
	if hasReasons {
		// The content of a BIT STRING: the number of unused bits, then the bits.
		if len(flags) < 1 || len(flags) > 3 || flags[0] > 7 || (len(flags) == 1 && flags[0] != 0) {
			return nil, false
		}
		bits := asn1.BitString{Bytes: flags[1:], BitLength: 8*(len(flags)-1) - int(flags[0])}
		s.reasons = 0
		for i := range bits.BitLength {
			s.reasons |= reasons(bits.At(i)) << i
		}
		s.reasons &= allReasons
	}
	return s, true
}

// readFlag reads [n] IMPLICIT BOOLEAN DEFAULT FALSE.
func readFlag(input *cryptobyte.String, n uint8, out *bool) bool {
	var content cryptobyte.String
	var present bool
	if !input.ReadOptionalASN1(&content, &present, cryptobyte_asn1.Tag(n).ContextSpecific()) {
		return false
	}
	if present {
		if len(content) != 1 || (content[0] != 0 && content[0] != 0xff) {
			return false
		}
		*out = content[0] == 0xff
	}
	return true
}

// check tells whether a list of this scope can say anything about a certificate
// that names the given distribution points. A nil scope covers everything.
func (s *scope) check(isCA bool, named points) error {
	switch {
	case s == nil:
		return nil
	case s.indirect:
		return problem(ProblemScope, "the CRL is an indirect one, which is not supported")
	case s.attributeOnly:
		return problem(ProblemScope, "the CRL is for attribute certificates only")
	case s.userOnly && isCA:
		return problem(ProblemScope, "the CRL is for end-entity certificates only")
	case s.caOnly && !isCA:
		return problem(ProblemScope, "the CRL is for CA certificates only")
	case s.hasDistributionPoint && !s.namesOneOf(named):
		return problem(ProblemScope, "the CRL is for another distribution point than the certificate's")
	}
	return nil
}

func (s *scope) namesOneOf(named points) bool {
	return slices.ContainsFunc(s.names, func(name []byte) bool {
		return slices.ContainsFunc(named.names, func(other []byte) bool { return bytes.Equal(name, other) })
	})
}

// checkURL allows http alone. An https server would need revocation checking of
// its own, and ldap is not spoken here.
func checkURL(raw string) error {
	parsed, err := url.Parse(raw)
	if err != nil {
		return problem(ProblemURL, "malformed URL")
	}
	if !strings.EqualFold(parsed.Scheme, "http") || parsed.Host == "" {
		return problem(ProblemURL, "only http URLs are supported")
	}
	return nil
}
