package trust

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// anyIdentity is the trusted identity that every certificate has.
const anyIdentity = "*"

// x509Prefix starts the trusted identities that are compared with a
// certificate's subject.
const x509Prefix = "x509.subject"

// ErrNoX509Identities says that all of a statement's identities are for
// plugins, so that none can match a certificate (TP-24).
var ErrNoX509Identities = errors.New("no x509 trusted identities are configured in the trust policy")

// ErrIdentityMismatch says that a certificate has none of the trusted
// identities (TP-29).
var ErrIdentityMismatch = errors.New("signing certificate from the digital signature does not match the X.509 trusted identities defined in the trust policy")

var errWildcardMixed = errors.New("a wildcard trusted identity '*', a wildcard identity cannot be used in conjunction with other values")

// Identities is a statement's list of trusted identities, ready to be compared
// with certificates. The zero value matches none.
type Identities struct {
	any      bool
	subjects []subject
}

// subject is one identity of the form x509.subject.
type subject struct {
	entry      int // its place in the list
	text       string
	attributes []attribute
}

// parseIdentities reads the trustedIdentities of a statement (TP-22..32):
// either "*" alone, or entries of the form "prefix:value". Entries with a
// prefix other than x509.subject are for plugins and match no certificate.
func parseIdentities(entries []string) (Identities, error) {
	if slices.Contains(entries, anyIdentity) {
		if len(entries) > 1 {
			return Identities{}, errWildcardMixed
		}
		return Identities{any: true}, nil
	}
	var ids Identities
	seen := make(map[string]bool, len(entries))
	for i, entry := range entries {
		if seen[entry] {
			return Identities{}, fmt.Errorf("trusted identity %q twice", entry)
		}
		seen[entry] = true
		attributes, err := parseIdentity(entry)
		if err != nil {
			return Identities{}, err
		}
		if attributes == nil {
			continue
		}
		s := subject{i, entry, attributes}
		for _, other := range ids.subjects {
			if s.overlaps(other) {
				return Identities{}, fmt.Errorf("overlapping x509 trustedIdentities, %q overlaps with %q: a certificate could match both", other.text, s.text)
			}
		}
		ids.subjects = append(ids.subjects, s)
	}
	return ids, nil
}

// parseIdentity reads one entry; no attributes when it is for plugins.
func parseIdentity(entry string) ([]attribute, error) {
	if entry == "" {
		return nil, errors.New("an empty trusted identity")
	}
	prefix, value, found := strings.Cut(entry, ":")
	switch {
	case !found:
		return nil, fmt.Errorf("trusted identity %q missing separator ':', the required format is x509.subject:<distinguished name>", entry)
	case prefix == "":
		return nil, fmt.Errorf("trusted identity %q without a prefix, the required format is x509.subject:<distinguished name>", entry)
	case strings.Trim(value, " ") == "":
		return nil, fmt.Errorf("trusted identity %q without an identity value", entry)
	case prefix != x509Prefix:
		return nil, nil
	}
	attributes, err := parseDN(value)
	if err != nil {
		return nil, fmt.Errorf("trusted identity %q with invalid identity value: %w", entry, err)
	}
	return attributes, nil
}

// overlaps tells whether some certificate could satisfy both identities
// (TP-32). Two identities that name a type with different values exclude each
// other: names are compared as maps there, although a subject may repeat a type.
func (s subject) overlaps(other subject) bool {
	for _, x := range s.attributes {
		for _, y := range other.attributes {
			if x.sameType(y) && x.value != y.value {
				return false
			}
		}
	}
	return true
}

// Any tells whether every identity is trusted ("*").
func (ids Identities) Any() bool { return ids.any }

// Len returns the number of identities that are compared with certificates.
func (ids Identities) Len() int { return len(ids.subjects) }

// Match compares a leaf certificate's subject with the identities: all
// attributes of one identity must be in the subject with exactly the same value
// (TP-29). It returns nil on a match, ErrNoX509Identities or
// ErrIdentityMismatch.
func (ids Identities) Match(leaf *x509.Certificate) error {
	if ids.any {
		return nil
	}
	if len(ids.subjects) == 0 {
		return ErrNoX509Identities
	}
	if _, ok := ids.Entry(leaf); !ok {
		return ErrIdentityMismatch
	}
	return nil
}

// Entry returns the place in trustedIdentities of the first identity that a
// leaf certificate matches. Thresholds tell signers apart by it. It is false
// for "*", which tells nobody apart, and when nothing matches.
func (ids Identities) Entry(leaf *x509.Certificate) (index int, ok bool) {
	for i := range ids.subjects {
		if ids.subjects[i].in(leaf) {
			return ids.subjects[i].entry, true
		}
	}
	return 0, false
}

// in tells whether a certificate's subject has every attribute of s.
func (s *subject) in(leaf *x509.Certificate) bool {
	for i := range s.attributes {
		if !s.attributes[i].in(leaf) {
			return false
		}
	}
	return true
}

// in looks for an attribute among those of a certificate's subject, whatever
// their types, repetitions or grouping (TP-30).
func (a *attribute) in(leaf *x509.Certificate) bool {
	if a.oid == nil {
		return false
	}
	for i := range leaf.Subject.Names {
		name := &leaf.Subject.Names[i]
		if value, isText := name.Value.(string); isText && value == a.value && name.Type.Equal(a.oid) {
			return true
		}
	}
	return false
}
