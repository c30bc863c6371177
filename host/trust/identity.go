package trust

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// x509Prefix starts the trusted identities that are compared with a
// certificate's subject.
const x509Prefix = "x509.subject"

// Identities is a statement's list of trusted identities, ready to be compared
// with certificates.
type Identities struct {
	any      bool
	subjects [][]attribute
}

// attribute is one type and value of a distinguished name. The type is the
// dotted OID.
type attribute struct{ oid, value string }

// oids maps the attribute type names of policies to OIDs (RFC 4514, section 3,
// and RFC 5280, appendix A). S is an alias of ST.
var oids = map[string]string{
	"CN": "2.5.4.3", "SERIALNUMBER": "2.5.4.5", "C": "2.5.4.6", "L": "2.5.4.7", "ST": "2.5.4.8", "S": "2.5.4.8",
	"STREET": "2.5.4.9", "O": "2.5.4.10", "OU": "2.5.4.11", "POSTALCODE": "2.5.4.17",
}

// mandatory are the attribute types without which an identity is too wide (TP-27).
var mandatory = []string{"C", "ST", "O"}

// ParseIdentities reads the trustedIdentities of a statement (TP-22..32):
// either "*" alone, or entries of the form "prefix:value". Entries with a
// prefix other than x509.subject are for plugins and match no certificate.
func ParseIdentities(entries []string) (Identities, error) {
	if slices.Contains(entries, "*") {
		if len(entries) > 1 {
			return Identities{}, errors.New("a wildcard trusted identity '*' cannot be used together with other identities")
		}
		return Identities{any: true}, nil
	}
	var ids Identities
	var texts []string
	for _, entry := range entries {
		if entry == "" {
			return Identities{}, errors.New("an empty trusted identity is not allowed")
		}
		prefix, value, found := strings.Cut(entry, ":")
		if !found {
			return Identities{}, fmt.Errorf("trusted identity %q has no separator ':': write x509.subject:<distinguished name>", entry)
		}
		if prefix != x509Prefix {
			continue
		}
		subject, err := parseSubject(value)
		if err != nil {
			return Identities{}, fmt.Errorf("trusted identity %q: %w", entry, err)
		}
		for i, other := range ids.subjects {
			if compatible(subject, other) {
				return Identities{}, fmt.Errorf("trusted identities %q and %q overlap: a certificate could match both", texts[i], entry)
			}
		}
		ids.subjects = append(ids.subjects, subject)
		texts = append(texts, entry)
	}
	return ids, nil
}

// compatible tells whether some certificate could satisfy both identities:
// subjects may repeat attribute types, but the specification compares names as
// maps, so two values for one type exclude each other (TP-32).
func compatible(a, b []attribute) bool {
	for _, x := range a {
		for _, y := range b {
			if x.oid == y.oid && x.value != y.value {
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
// (TP-29). It returns nil on a match.
func (ids Identities) Match(leaf *x509.Certificate) error {
	if ids.any {
		return nil
	}
	if len(ids.subjects) == 0 {
		return errors.New("no x509 trusted identities are configured in the trust policy")
	}
	names := leaf.Subject.Names
	for _, subject := range ids.subjects {
		if !slices.ContainsFunc(subject, func(want attribute) bool { return !contains(names, want) }) {
			return nil
		}
	}
	return errors.New("signing certificate from the digital signature does not match the X.509 trusted identities defined in the trust policy")
}

// contains looks for an attribute among a certificate's, whatever their types,
// repetitions or grouping (TP-30).
func contains(names []pkix.AttributeTypeAndValue, want attribute) bool {
	return slices.ContainsFunc(names, func(name pkix.AttributeTypeAndValue) bool {
		value, isString := name.Value.(string)
		return isString && value == want.value && isOID(name.Type, want.oid)
	})
}

// isOID compares without making a string of oid: names are matched for every
// signature.
func isOID(oid asn1.ObjectIdentifier, dotted string) bool {
	var buffer [32]byte
	text := buffer[:0]
	for i, arc := range oid {
		if i > 0 {
			text = append(text, '.')
		}
		text = strconv.AppendInt(text, int64(arc), 10)
	}
	return string(text) == dotted
}

// parseSubject reads the distinguished name of an identity. Attribute types
// that no certificate is compared by keep their name in place of an OID and so
// never match (TP-27).
func parseSubject(dn string) ([]attribute, error) {
	dn = strings.TrimLeft(dn, " ")
	if dn == "" {
		return nil, errors.New("the distinguished name is empty")
	}
	if strings.Contains(dn, "=#") {
		return nil, errors.New("attribute values in hexadecimal form ('=#') are not supported")
	}
	scanner := dnScanner{rest: dn}
	var subject []attribute
	seen := map[string]bool{}
	for !scanner.done {
		name, value, err := scanner.next()
		if err != nil {
			return nil, err
		}
		oid, known := oids[name]
		if !known {
			oid = name
		}
		if seen[oid] {
			return nil, fmt.Errorf("distinguished name has duplicate attribute type %q", name)
		}
		seen[oid] = true
		subject = append(subject, attribute{oid, value})
	}
	for _, name := range mandatory {
		if !seen[oids[name]] {
			return nil, fmt.Errorf("distinguished name has no mandatory attribute %q: it must have C, ST and O", name)
		}
	}
	return subject, nil
}

// dnScanner splits a distinguished name by RFC 4514.
type dnScanner struct {
	rest string
	done bool
}

// next reads one "type=value" up to a separator.
func (s *dnScanner) next() (name, value string, err error) {
	name, rest, found := strings.Cut(s.rest, "=")
	name = strings.Trim(name, " ")
	if !found || name == "" || strings.ContainsAny(name, `,;+"\<>#`) {
		return "", "", fmt.Errorf("%q is not of the form type=value", s.rest)
	}
	value, err = s.value(rest)
	if err == nil && value == "" {
		err = fmt.Errorf("attribute %q has no value", name)
	}
	return name, value, err
}

// value reads an attribute value, resolves its escapes, trims its unescaped
// spaces and leaves the scanner behind the separator.
func (s *dnScanner) value(rest string) (string, error) {
	var out []byte
	kept := 0 // length of out up to its last character that is no unescaped space
	rest = strings.TrimLeft(rest, " ")
	i := 0
	for i < len(rest) {
		c := rest[i]
		switch {
		case c == '\\':
			b, width, err := unescape(rest[i:])
			if err != nil {
				return "", err
			}
			out = append(out, b)
			kept = len(out)
			i += width
			continue
		case c == ',' || c == ';':
			s.rest = rest[i+1:]
			return checkUTF8(out[:kept])
		case c == '+':
			return "", errors.New("multi-valued relative distinguished names ('+') are not supported: escape the plus sign as \\+")
		case c == '"' || c == '<' || c == '>':
			return "", fmt.Errorf("character %q has to be escaped as \\%c", c, c)
		case c == 0:
			return "", errors.New("a NUL character has to be escaped as \\00")
		}
		out = append(out, c)
		if c != ' ' {
			kept = len(out)
		}
		i++
	}
	s.done = true
	return checkUTF8(out[:kept])
}

func checkUTF8(b []byte) (string, error) {
	if !utf8.Valid(b) {
		return "", errors.New("an attribute value is not UTF-8")
	}
	return string(b), nil
}

// unescape reads \X for a special character or \HH for a byte.
func unescape(s string) (b byte, width int, err error) {
	if len(s) >= 2 && strings.IndexByte(` "#+,;<=>\`, s[1]) >= 0 {
		return s[1], 2, nil
	}
	if len(s) >= 3 {
		high, low := strings.IndexByte(hexDigits, lower(s[1])), strings.IndexByte(hexDigits, lower(s[2]))
		if high >= 0 && low >= 0 {
			return byte(high<<4 | low), 3, nil
		}
	}
	return 0, 0, fmt.Errorf("%q is not an escape of RFC 4514: use \\ before a special character or two hexadecimal digits", s[:min(3, len(s))])
}

const hexDigits = "0123456789abcdef"

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
