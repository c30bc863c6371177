package pki

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// errName says that bytes are not the DER of a distinguished name.
var errName = errors.New("malformed distinguished name")

// FormatName renders the DER of a distinguished name (RawSubject, RawIssuer) for
// people, as RFC 2253 text with the attributes in the order of [pkix.Name.String]: CN
// first, C last, rare types after them. Values of types that are not strings appear
// as # and the hexadecimal of their DER. Control and invisible formatting characters
// are escaped, so that no name can garble a terminal. The text is not fit for
// comparing names.
func FormatName(rawDN []byte) (string, error) {
	sequence, err := parseName(rawDN)
	if err != nil {
		return "", err
	}
	var name pkix.Name
	name.FillFromRDNSequence(&sequence)
	return escapeInvisible(name.String()), nil
}

// maxDisplayName bounds the names in messages, in bytes.
const maxDisplayName = 512

// DisplayName is FormatName for messages: a malformed name becomes a remark, and
// a very long one is cut.
func DisplayName(rawDN []byte) string {
	text, err := FormatName(rawDN)
	if err != nil {
		return fmt.Sprintf("(%v)", err)
	}
	if len(text) > maxDisplayName {
		text = strings.ToValidUTF8(text[:maxDisplayName], "") + "…"
	}
	return text
}

func parseName(rawDN []byte) (pkix.RDNSequence, error) {
	input := cryptobyte.String(rawDN)
	var rdns cryptobyte.String
	if !input.ReadASN1(&rdns, cryptobyte_asn1.SEQUENCE) || !input.Empty() {
		return nil, errName
	}
	var sequence pkix.RDNSequence
	for !rdns.Empty() {
		var set cryptobyte.String
		if !rdns.ReadASN1(&set, cryptobyte_asn1.SET) {
			return nil, errName
		}
		var rdn pkix.RelativeDistinguishedNameSET
		for !set.Empty() {
			var pair, element, value cryptobyte.String
			var tag cryptobyte_asn1.Tag
			var attribute pkix.AttributeTypeAndValue
			if !set.ReadASN1(&pair, cryptobyte_asn1.SEQUENCE) || !pair.ReadASN1ObjectIdentifier(&attribute.Type) ||
				!pair.ReadAnyASN1Element(&element, &tag) || !pair.Empty() {
				return nil, errName
			}
			whole := element
			if !element.ReadAnyASN1(&value, &tag) {
				return nil, errName
			}
			attribute.Value = nameValue(tag, value, whole)
			rdn = append(rdn, attribute)
		}
		sequence = append(sequence, rdn)
	}
	return sequence, nil
}

// nameValue decodes an attribute value the way crypto/x509 does, and renders
// what is not a string as # and hexadecimal.
func nameValue(tag cryptobyte_asn1.Tag, value, element []byte) string {
	switch tag {
	case cryptobyte_asn1.UTF8String, cryptobyte_asn1.PrintableString, cryptobyte_asn1.IA5String, asn1.TagNumericString:
		if utf8.Valid(value) {
			return string(value)
		}
	case cryptobyte_asn1.T61String: // Latin-1 in practice
		runes := make([]rune, len(value))
		for i, b := range value {
			runes[i] = rune(b)
		}
		return string(runes)
	case asn1.TagBMPString:
		if len(value)%2 != 0 {
			break
		}
		var runes []rune
		for i := 0; i < len(value); i += 2 {
			runes = append(runes, rune(value[i])<<8|rune(value[i+1]))
		}
		return strings.TrimSuffix(string(runes), "\x00")
	}
	return "#" + hex.EncodeToString(element)
}

// escapeInvisible writes characters that do not show as \XX for each of their
// bytes (RFC 2253, section 2.4).
func escapeInvisible(text string) string {
	hidden := func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
	}
	if strings.IndexFunc(text, hidden) < 0 {
		return text
	}
	var out strings.Builder
	for _, r := range text {
		if !hidden(r) {
			out.WriteRune(r)
			continue
		}
		for _, b := range []byte(string(r)) {
			fmt.Fprintf(&out, `\%02X`, b)
		}
	}
	return out.String()
}
