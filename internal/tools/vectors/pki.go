package main

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	_ "crypto/md5" // for certificates that must be refused
	"crypto/rsa"
	"crypto/sha3"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"time"

	"github.com/signet-project/signet/internal/testpki"
)

var (
	// noon is when verification takes place unless a scenario says otherwise, and
	// signed when the signatures were made.
	noon   = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	signed = time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)
	// The validity of certificates.
	notBefore = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC)
)

var p256 = elliptic.P256()

// entity is a certificate with its key and issuer.
type entity = testpki.Entity

// edit changes a certificate's template.
type edit = testpki.Edit

// issue makes a certificate below issuer, or a self-signed one when that is nil.
// Serial number and key identifier follow from name and key, so that nothing
// depends on the version of Go or on what else is issued.
func issue(issuer *entity, name string, key crypto.Signer, template x509.Certificate, edits ...edit) *entity {
	public := must(x509.MarshalPKIXPublicKey(key.Public()))
	id := sha3.SumSHAKE256(append([]byte(name), public...), 20)
	template.Subject = testpki.DefaultSubject(name)
	template.Subject.Organization = []string{"signet vectors"}
	template.SerialNumber = new(big.Int).SetBytes(id[:8])
	template.NotBefore, template.NotAfter = notBefore, notAfter
	if template.IsCA {
		template.SubjectKeyId = id
	}
	for _, edit := range edits {
		edit(&template)
	}
	parent, signer := &template, key
	if issuer != nil {
		parent, signer = issuer.Cert, issuer.Key
	}
	der := must(x509.CreateCertificate(nil, &template, parent, key.Public(), signer))
	return &entity{Cert: must(x509.ParseCertificate(der)), Key: key, Issuer: issuer}
}

var (
	caTemplate = x509.Certificate{
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true,
	}
	leafTemplate = x509.Certificate{
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	tsaTemplate = x509.Certificate{
		KeyUsage: x509.KeyUsageDigitalSignature, ExtraExtensions: []pkix.Extension{extKeyUsage(true, oidTimeStamping)},
	}
)

// authority makes a certificate authority with a key of its own.
func authority(issuer *entity, name string, edits ...edit) *entity {
	return issue(issuer, name, ecKey(p256, name), caTemplate, edits...)
}

// signer makes a code-signing certificate; they share one key.
func signer(issuer *entity, edits ...edit) *entity {
	return issue(issuer, "signer", ecKey(p256, "signer"), leafTemplate, edits...)
}

// timestamper makes a time-stamping certificate.
func timestamper(issuer *entity, edits ...edit) *entity {
	return issue(issuer, "tsa", ecKey(p256, "tsa"), tsaTemplate, edits...)
}

// The parties of most scenarios.
var (
	root     = authority(nil, "root")
	leaf     = signer(root)
	stranger = authority(nil, "stranger")
	tsaRoot  = authority(nil, "tsa root")
	tsa      = timestamper(tsaRoot)
)

var (
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidTimeStamping     = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
	oidCodeSigning      = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 3}
	oidUnknown          = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 7}
)

func validity(from, to time.Time) edit { return testpki.Validity(from, to) }

// extension adds an extension, or replaces the one that the template would give.
func extension(oid asn1.ObjectIdentifier, critical bool, value any) edit {
	return func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oid, Critical: critical, Value: must(asn1.Marshal(value))})
	}
}

func extKeyUsage(critical bool, usages ...asn1.ObjectIdentifier) pkix.Extension {
	return pkix.Extension{Id: oidExtKeyUsage, Critical: critical, Value: must(asn1.Marshal(usages))}
}

// keyUsage replaces the key usage; 0 leaves the extension out.
func keyUsage(usage x509.KeyUsage) edit { return func(c *x509.Certificate) { c.KeyUsage = usage } }

// algorithm chooses what the issuer signs with.
func algorithm(a x509.SignatureAlgorithm) edit {
	return func(c *x509.Certificate) { c.SignatureAlgorithm = a }
}

// withMD5 signs a certificate anew, by an RSA key, with an algorithm that
// crypto/x509 does not sign with any more.
func withMD5(e *entity) *entity {
	sha256OID := must(asn1.Marshal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}))
	md5OID := must(asn1.Marshal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 4}))
	var certificate struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	must(asn1.Unmarshal(bytes.ReplaceAll(e.Cert.Raw, sha256OID, md5OID), &certificate))
	private := e.Issuer.Key.(key).Signer.(*rsa.PrivateKey)
	certificate.Signature.Bytes = must(rsa.SignPKCS1v15(nil, private, crypto.MD5, sum(crypto.MD5, certificate.TBS.FullBytes)))
	e.Cert = must(x509.ParseCertificate(must(asn1.Marshal(certificate))))
	return e
}

// rawCertificates is the DER of certificates.
func rawCertificates(certificates ...*x509.Certificate) [][]byte {
	var out [][]byte
	for _, cert := range certificates {
		out = append(out, cert.Raw)
	}
	return out
}
