package trust

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// attribute is one type and value of a distinguished name.
type attribute struct {
	name string // as written, with S for ST resolved
	// oid is nil for a name that is not known: it matches no certificate (TP-27).
	oid   asn1.ObjectIdentifier
	value string
}

// sameType tells whether two attributes have one type, under whatever names.
func (a attribute) sameType(b attribute) bool {
	if a.oid == nil || b.oid == nil {
		return a.name == b.name
	}
	return a.oid.Equal(b.oid)
}

// attributeTypes maps the attribute type names of policies to OIDs: those that
// the reference knows, and those that RFC 4514, section 3, and RFC 5280,
// appendix A.1, add (TP-27, TP-30). Any other type can be written as an OID.
var attributeTypes = map[string]asn1.ObjectIdentifier{
	"CN": {2, 5, 4, 3}, "SERIALNUMBER": {2, 5, 4, 5}, "C": {2, 5, 4, 6}, "L": {2, 5, 4, 7}, "ST": {2, 5, 4, 8},
	"STREET": {2, 5, 4, 9}, "O": {2, 5, 4, 10}, "OU": {2, 5, 4, 11}, "POSTALCODE": {2, 5, 4, 17},
	"SN": {2, 5, 4, 4}, "TITLE": {2, 5, 4, 12}, "GIVENNAME": {2, 5, 4, 42},
	"DC": {0, 9, 2342, 19200300, 100, 1, 25}, "UID": {0, 9, 2342, 19200300, 100, 1, 1},
	"emailAddress": {1, 2, 840, 113549, 1, 9, 1}, "EMAILADDRESS": {1, 2, 840, 113549, 1, 9, 1},
}

// mandatory are the attribute types without which an identity is too wide (TP-27).
var mandatory = []string{"C", "ST", "O"}

// parseDN reads the distinguished name of an identity by RFC 4514, under the
// rules of trust-store-trust-policy.md, Trusted Identities Constraints
// (TP-25..28).
func parseDN(dn string) ([]attribute, error) {
	attributes, err := scanDN(dn)
	if err != nil {
		return nil, err
	}
	for _, name := range mandatory {
		want := attribute{name: name, oid: attributeTypes[name]}
		if !slices.ContainsFunc(attributes, want.sameType) {
			return nil, fmt.Errorf("distinguished name (DN) %q has no mandatory RDN attribute for %q, it must contain 'C', 'ST' or 'S', and 'O' RDN attributes at a minimum, in upper case", strings.TrimLeft(dn, " "), name)
		}
	}
	return attributes, nil
}

// significance is the order of attribute types in a certificate's subject, from
// the widest on; CN comes last and what is not listed before it.
var significance = []string{"DC", "C", "ST", "L", "POSTALCODE", "STREET", "O", "OU"}

// ParseSubject reads a distinguished name, written as trusted identities are, for
// a certificate's subject. The attributes come in the usual order, whatever
// theirs in dn; C, ST and O may be missing, though no trusted identity matches a
// subject without them.
func ParseSubject(dn string) (pkix.Name, error) {
	attributes, err := scanDN(dn)
	if err != nil {
		return pkix.Name{}, err
	}
	rank := func(a attribute) int {
		if i := slices.Index(significance, a.name); i >= 0 {
			return i
		}
		if a.name == "CN" {
			return len(significance) + 1
		}
		return len(significance)
	}
	slices.SortStableFunc(attributes, func(a, b attribute) int { return rank(a) - rank(b) })
	var name pkix.Name
	for _, a := range attributes {
		if a.oid == nil {
			return pkix.Name{}, fmt.Errorf("distinguished name (DN) %q has an attribute of the unknown type %q: write the type as an object identifier", dn, a.name)
		}
		name.ExtraNames = append(name.ExtraNames, pkix.AttributeTypeAndValue{Type: a.oid, Value: a.value})
	}
	return name, nil
}

// scanDN reads the attributes of a distinguished name, one of each type.
func scanDN(dn string) ([]attribute, error) {
	dn = strings.TrimLeft(dn, " ")
	if strings.Contains(dn, "=#") {
		return nil, fmt.Errorf("unsupported distinguished name (DN) %q: x509.subject identities containing \"=#\" are not supported, write the value as text and # as \\#", dn)
	}
	scanner := dnScanner{rest: dn}
	var attributes []attribute
	for !scanner.done {
		next, err := scanner.next()
		if err != nil {
			return nil, fmt.Errorf("parsing distinguished name (DN) %q failed with err: %w. A valid DN must contain 'C', 'ST' or 'S', and 'O' RDN attributes at a minimum, and follow RFC 4514 standard", dn, err)
		}
		for _, other := range attributes {
			if next.sameType(other) {
				return nil, fmt.Errorf("distinguished name (DN) %q has duplicate RDN attribute for %q, DN can only have unique RDN attributes", dn, next.name)
			}
		}
		attributes = append(attributes, next)
		if scanner.plus {
			return nil, fmt.Errorf("distinguished name (DN) %q has multi-valued RDN attributes, remove multi-valued RDN attributes as they are not supported, or write a plus sign as \\+", dn)
		}
	}
	return attributes, nil
}

// dnScanner splits a distinguished name by RFC 4514, section 3.
type dnScanner struct {
	rest string
	done bool // nothing follows the last attribute read
	plus bool // a plus sign follows it
}

// next reads one "type=value" up to a separator.
func (s *dnScanner) next() (attribute, error) {
	name, rest, found := strings.Cut(s.rest, "=")
	if !found {
		return attribute{}, fmt.Errorf("%q is not of the form type=value", s.rest)
	}
	a, err := newAttribute(strings.Trim(name, " "))
	if err != nil {
		return attribute{}, err
	}
	a.value, err = s.value(rest)
	if err == nil && a.value == "" {
		err = fmt.Errorf("attribute %q has no value", a.name)
	}
	return a, err
}

// newAttribute resolves an attribute type: a name, or an OID in dotted form.
func newAttribute(name string) (attribute, error) {
	if name == "S" {
		name = "ST"
	}
	if oid := attributeTypes[name]; oid != nil {
		return attribute{name: name, oid: oid}, nil
	}
	if name == "" {
		return attribute{}, errors.New("an attribute has no type")
	}
	if '0' <= name[0] && name[0] <= '9' {
		oid, err := parseOID(name)
		return attribute{name: name, oid: oid}, err
	}
	for i := range len(name) {
		c := lower(name[i])
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || c != '-' && (c < '0' || c > '9')) {
			return attribute{}, fmt.Errorf("%q is not an attribute type", name)
		}
	}
	return attribute{name: name}, nil
}

// maxArcs bounds the length of an OID.
const maxArcs = 32

func parseOID(text string) (asn1.ObjectIdentifier, error) {
	parts := strings.Split(text, ".")
	if len(parts) < 2 || len(parts) > maxArcs {
		return nil, fmt.Errorf("%q is not an object identifier", shorten(text))
	}
	oid := make(asn1.ObjectIdentifier, len(parts))
	for i, part := range parts {
		arc, err := strconv.ParseUint(part, 10, 31)
		if err != nil || len(part) > 1 && part[0] == '0' {
			return nil, fmt.Errorf("%q is not an object identifier", shorten(text))
		}
		oid[i] = int(arc)
	}
	return oid, nil
}

// value reads an attribute value, resolves its escapes, trims its unescaped
// spaces and leaves the scanner behind the separator.
func (s *dnScanner) value(rest string) (string, error) {
	rest = strings.TrimLeft(rest, " ")
	if strings.HasPrefix(rest, "#") {
		return "", errors.New(`a value in hexadecimal form is not supported: write it as text and # as \#`)
	}
	var out []byte
	kept := 0 // length of out up to its last character that is no unescaped space
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; c {
		case '\\':
			b, width, err := unescape(rest[i:])
			if err != nil {
				return "", err
			}
			out = append(out, b)
			kept = len(out)
			i += width - 1
		case ',', ';', '+':
			s.rest, s.plus = rest[i+1:], c == '+'
			return checkUTF8(out[:kept])
		case '"', '<', '>', 0:
			return "", fmt.Errorf("character %q has to be escaped as \\%02X", c, c)
		default:
			out = append(out, c)
			if c != ' ' {
				kept = len(out)
			}
		}
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
