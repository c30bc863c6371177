package revocation

import (
	"encoding/asn1"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxExtensions bounds the extensions of one list, entry or response.
const maxExtensions = 64

// maxIntegerBytes bounds CRL numbers: RFC 5280 allows 20 octets.
const maxIntegerBytes = 64

var (
	oidReasonCode               = asn1.ObjectIdentifier{2, 5, 29, 21}
	oidInvalidityDate           = asn1.ObjectIdentifier{2, 5, 29, 24}
	oidCRLNumber                = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidDeltaCRLIndicator        = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidIssuingDistributionPoint = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidCRLDistributionPoints    = asn1.ObjectIdentifier{2, 5, 29, 31}
	oidAuthorityKeyIdentifier   = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidFreshestCRL              = asn1.ObjectIdentifier{2, 5, 29, 46}
	oidNextPublish              = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 21, 4}
	oidNoCheck                  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}
	oidBasicResponse            = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
)

// contextTag is [n], constructed.
func contextTag(n uint8) cryptobyte_asn1.Tag {
	return cryptobyte_asn1.Tag(n).ContextSpecific().Constructed()
}

type extension struct {
	id       asn1.ObjectIdentifier
	critical bool
	value    cryptobyte.String
}

// readExtensions reads the content of Extensions (RFC 5280, section 4.1). No
// extension may appear twice.
func readExtensions(input cryptobyte.String) ([]extension, bool) {
	var extensions []extension
	for !input.Empty() {
		var item cryptobyte.String
		var ext extension
		if !input.ReadASN1(&item, cryptobyte_asn1.SEQUENCE) || !item.ReadASN1ObjectIdentifier(&ext.id) {
			return nil, false
		}
		if item.PeekASN1Tag(cryptobyte_asn1.BOOLEAN) && !item.ReadASN1Boolean(&ext.critical) {
			return nil, false
		}
		if !item.ReadASN1(&ext.value, cryptobyte_asn1.OCTET_STRING) || !item.Empty() {
			return nil, false
		}
		if len(extensions) == maxExtensions || find(extensions, ext.id) != nil {
			return nil, false
		}
		extensions = append(extensions, ext)
	}
	return extensions, true
}

func find(extensions []extension, id asn1.ObjectIdentifier) *extension {
	for i := range extensions {
		if extensions[i].id.Equal(id) {
			return &extensions[i]
		}
	}
	return nil
}

// readTime reads a Time, UTCTime or GeneralizedTime.
func readTime(input *cryptobyte.String, out *time.Time) bool {
	if input.PeekASN1Tag(cryptobyte_asn1.UTCTime) {
		return input.ReadASN1UTCTime(out)
	}
	return input.ReadASN1GeneralizedTime(out)
}

// wholeTime reads a value that is one Time and nothing else.
func wholeTime(value cryptobyte.String, out *time.Time) bool {
	return readTime(&value, out) && value.Empty()
}

// invalidityDate reads the value of that extension: a GeneralizedTime.
func invalidityDate(value cryptobyte.String, out *time.Time) bool {
	return value.ReadASN1GeneralizedTime(out) && value.Empty()
}

// wholeInteger reads a value that is one INTEGER of moderate size.
func wholeInteger(value cryptobyte.String) (*big.Int, bool) {
	number := new(big.Int)
	if len(value) > maxIntegerBytes || !value.ReadASN1Integer(number) || !value.Empty() {
		return nil, false
	}
	return number, true
}

// integerContent returns the content octets of number as a DER INTEGER.
func integerContent(number *big.Int) []byte {
	var builder cryptobyte.Builder
	builder.AddASN1BigInt(number)
	der, err := builder.Bytes()
	if err != nil {
		return nil
	}
	input, content := cryptobyte.String(der), cryptobyte.String(nil)
	if !input.ReadASN1(&content, cryptobyte_asn1.INTEGER) {
		return nil
	}
	return content
}
