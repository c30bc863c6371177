package testtsa

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
)

// attributes are the signed attributes for a content.
func (o Options) attributes(content []byte, hash crypto.Hash) ([]Attribute, error) {
	certificate, err := o.certificateAttribute()
	if err != nil {
		return nil, err
	}
	attributes := []Attribute{
		NewAttribute(OIDContentType, OIDTSTInfo),
		NewAttribute(OIDMessageDigest, sum(hash, content)),
		certificate,
	}
	if !o.SigningTime.IsZero() {
		attributes = append(attributes, NewAttribute(OIDSigningTime, o.SigningTime.UTC()))
	}
	attributes = slices.DeleteFunc(attributes, func(a Attribute) bool { return slices.ContainsFunc(o.Omit, a.Type.Equal) })
	if o.EditAttributes != nil {
		attributes = o.EditAttributes(attributes)
	}
	return attributes, nil
}

// NewAttribute makes an attribute with one value, which must be one that
// encoding/asn1 can marshal.
func NewAttribute(oid asn1.ObjectIdentifier, value any) Attribute {
	der, err := asn1.Marshal(value)
	if err != nil {
		panic(err) // a mistake in the test
	}
	return Attribute{Type: oid, Values: []asn1.RawValue{{FullBytes: der}}}
}

type issuerSerial struct {
	Issuer asn1.RawValue
	Serial *big.Int
}

// certificateAttribute makes signing-certificate-v2, or its predecessor.
func (o Options) certificateAttribute() (Attribute, error) {
	cert := o.Signer.Cert
	id := struct {
		HashAlgorithm pkix.AlgorithmIdentifier `asn1:"optional"`
		Digest        []byte
		IssuerSerial  issuerSerial `asn1:"optional"`
	}{Digest: sum(crypto.SHA256, cert.Raw)}
	if hash := o.CertificateID.Hash; hash != 0 {
		id.HashAlgorithm, id.Digest = o.hashAlgorithm(hash), sum(hash, cert.Raw)
	}
	if o.CertificateID.Digest != nil {
		id.Digest = o.CertificateID.Digest
	}
	if o.CertificateID.IssuerSerial {
		directory := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: cert.RawIssuer}
		names, err := asn1.Marshal([]asn1.RawValue{directory})
		if err != nil {
			return Attribute{}, err
		}
		id.IssuerSerial = issuerSerial{asn1.RawValue{FullBytes: names}, cert.SerialNumber}
	}
	der, err := asn1.Marshal(id)
	if err != nil {
		return Attribute{}, err
	}
	oid := OIDSigningCertificateV2
	if o.V1Attribute {
		oid = OIDSigningCertificate
		if der, err = asn1.Marshal(struct{ Digest []byte }{sum(crypto.SHA1, cert.Raw)}); err != nil {
			return Attribute{}, err
		}
	}
	return NewAttribute(oid, struct{ IDs []asn1.RawValue }{[]asn1.RawValue{{FullBytes: der}}}), nil
}

// Indefinite turns the DER of a token into BER: every constructed value outside
// the certificates gets an indefinite length, and octet strings longer than 64
// bytes come in pieces.
func Indefinite(der []byte) []byte {
	var out []byte
	for len(der) > 0 {
		var value asn1.RawValue
		rest, err := asn1.Unmarshal(der, &value)
		if err != nil {
			panic(err) // what this package encoded
		}
		out, der = append(out, indefinite(value)...), rest
	}
	return out
}

func indefinite(value asn1.RawValue) []byte {
	if value.Tag == asn1.TagOctetString && value.Class == asn1.ClassUniversal && len(value.Bytes) > 64 {
		out := []byte{0x24, 0x80}
		for piece := range slices.Chunk(value.Bytes, 64) {
			out = append(append(out, asn1.TagOctetString, byte(len(piece))), piece...)
		}
		return append(out, 0, 0)
	}
	if !value.IsCompound {
		return value.FullBytes
	}
	out := []byte{value.FullBytes[0], 0x80}
	// The certificate set keeps the DER of each certificate.
	if value.Class == asn1.ClassContextSpecific && len(value.Bytes) > 0 && isCertificates(value.Bytes) {
		return append(append(out, value.Bytes...), 0, 0)
	}
	return append(append(out, Indefinite(value.Bytes)...), 0, 0)
}

// isCertificates tells whether DER begins with a certificate.
func isCertificates(der []byte) bool {
	var first asn1.RawValue
	if _, err := asn1.Unmarshal(der, &first); err != nil {
		return false
	}
	_, err := x509.ParseCertificate(first.FullBytes)
	return err == nil
}
