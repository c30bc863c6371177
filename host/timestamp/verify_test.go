package timestamp

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testtsa"
	"github.com/signet-project/signet/protocol"
)

// Object identifiers of extensions and key purposes.
var (
	usageTimestamping   = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
	usageCodeSigning    = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 3}
	oidExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidNameConstraints  = asn1.ObjectIdentifier{2, 5, 29, 30}
	oidUnknownExtension = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 7}
)

func marshal(t testing.TB, value any) []byte {
	t.Helper()
	der, err := asn1.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// extendedKeyUsage replaces that extension; with no usages it is absent.
func extendedKeyUsage(t testing.TB, critical bool, usages ...asn1.ObjectIdentifier) testpki.Edit {
	return func(c *x509.Certificate) {
		c.ExtraExtensions = nil
		if len(usages) > 0 {
			c.ExtraExtensions = []pkix.Extension{{Id: oidExtKeyUsage, Critical: critical, Value: marshal(t, usages)}}
		}
	}
}

func keyUsage(usage x509.KeyUsage) testpki.Edit {
	return func(c *x509.Certificate) { c.KeyUsage = usage }
}

// noncriticalKeyUsage states digitalSignature or keyCertSign without criticality.
func noncriticalKeyUsage(t testing.TB, bits byte) testpki.Edit {
	return func(c *x509.Certificate) {
		c.KeyUsage = 0
		value := marshal(t, asn1.BitString{Bytes: []byte{bits}, BitLength: 8})
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oidKeyUsage, Value: value})
	}
}

// scenario is a token and how Verify must judge it: err is a part of the error's
// text, empty for a good token.
type scenario struct {
	opts  testtsa.Options
	roots []*x509.Certificate // default the signer's root
	err   string
	is    error
}

func (s scenario) run(t *testing.T) *Token {
	t.Helper()
	if s.opts.Signer == nil {
		s.opts.Signer = testtsa.NewSigner(t, protocol.KeySpecEC256)
	}
	if s.roots == nil {
		s.roots = []*x509.Certificate{testtsa.Root(s.opts.Signer).Cert}
	}
	token := testtsa.Token(t, s.opts, signature, crypto.SHA256)
	verified, err := Verify(token, VerifyOptions{Message: signature, Roots: s.roots})
	if s.err == "" && s.is == nil {
		if err != nil {
			t.Fatal(err)
		}
		return verified
	}
	if err == nil {
		t.Fatal("accepted")
	}
	if !strings.Contains(err.Error(), s.err) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q, want one line with %q", err, s.err)
	}
	if s.is != nil && !errors.Is(err, s.is) {
		t.Errorf("error %v, want %v", err, s.is)
	}
	return nil
}

// runAll runs scenarios as subtests named after a requirement row.
func runAll(t *testing.T, row string, scenarios map[string]scenario) {
	t.Helper()
	for name, s := range scenarios {
		t.Run(row+" "+name, func(t *testing.T) { s.run(t) })
	}
}

func TestStructure(t *testing.T) {
	t.Parallel()
	content := func(edit func(*testtsa.SignedData)) testtsa.Options { return testtsa.Options{EditSignedData: edit} }
	attributes := func(edit func([]testtsa.Attribute) []testtsa.Attribute) testtsa.Options {
		return testtsa.Options{EditAttributes: edit}
	}
	replace := func(oid asn1.ObjectIdentifier, value any) testtsa.Options {
		return attributes(func(a []testtsa.Attribute) []testtsa.Attribute {
			i := slices.IndexFunc(a, func(a testtsa.Attribute) bool { return a.Type.Equal(oid) })
			a[i] = testtsa.NewAttribute(oid, value)
			return a
		})
	}
	runAll(t, "TSA-10", map[string]scenario{
		"good":                {},
		"indefinite lengths":  {opts: testtsa.Options{Indefinite: true}},
		"long length octets":  {opts: testtsa.Options{EditToken: longLengths}},
		"unsorted attributes": {opts: testtsa.Options{EditSigner: reverseAttributes}},
		"CRLs are passed over": {opts: content(func(d *testtsa.SignedData) {
			d.CRLs = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 1, IsCompound: true, Bytes: []byte{0x30, 0}}
		})},
		"unsigned attributes too": {opts: testtsa.Options{EditSigner: func(s *testtsa.SignerInfo) {
			s.Unsigned = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 1, IsCompound: true, Bytes: []byte{0x30, 0}}
		}}},
		"version 1":          {opts: content(func(d *testtsa.SignedData) { d.Version = 1 }), err: "version 3 is required", is: ErrMalformed},
		"version 4":          {opts: content(func(d *testtsa.SignedData) { d.Version = 4 }), is: ErrMalformed},
		"other content type": {opts: content(func(d *testtsa.SignedData) { d.Content.Type = testtsa.OIDData }), err: "not timestamp information", is: ErrMalformed},
		"not signed data": {opts: testtsa.Options{EditToken: func(b []byte) []byte {
			return bytes.Replace(b, marshal(t, testtsa.OIDSignedData), marshal(t, testtsa.OIDData), 1)
		}}, err: "not signed data", is: ErrMalformed},
		"content changed":               {opts: content(func(d *testtsa.SignedData) { d.Content.Content = changeSerial(t, d.Content.Content) }), err: "signed digest", is: ErrSignature},
		"no contentType":                {opts: testtsa.Options{Omit: []asn1.ObjectIdentifier{testtsa.OIDContentType}}, err: "contentType", is: ErrMalformed},
		"other contentType":             {opts: replace(testtsa.OIDContentType, testtsa.OIDData), err: "contentType", is: ErrMalformed},
		"no messageDigest":              {opts: testtsa.Options{Omit: []asn1.ObjectIdentifier{testtsa.OIDMessageDigest}}, err: "messageDigest", is: ErrMalformed},
		"other messageDigest":           {opts: replace(testtsa.OIDMessageDigest, make([]byte, 32)), is: ErrSignature},
		"messageDigest of another type": {opts: replace(testtsa.OIDMessageDigest, 5), is: ErrMalformed},
		"messageDigest twice":           {opts: attributes(func(a []testtsa.Attribute) []testtsa.Attribute { return append(a, a[1]) }), err: "exactly one value", is: ErrMalformed},
		"messageDigest with two values": {opts: attributes(func(a []testtsa.Attribute) []testtsa.Attribute {
			a[1].Values = append(a[1].Values, a[1].Values[0])
			return a
		}), err: "exactly one value", is: ErrMalformed},
		"messageDigest without value":     {opts: attributes(func(a []testtsa.Attribute) []testtsa.Attribute { a[1].Values = nil; return a }), err: "exactly one value", is: ErrMalformed},
		"no signed attributes":            {opts: testtsa.Options{EditSigner: func(s *testtsa.SignerInfo) { s.Attributes = asn1.RawValue{} }}, err: "no signed attributes", is: ErrMalformed},
		"attributes changed":              {opts: testtsa.Options{SigningTime: time.Now(), EditSigner: changeSigningTime}, is: ErrSignature},
		"signature changed":               {opts: testtsa.Options{EditSigner: func(s *testtsa.SignerInfo) { s.Signature[len(s.Signature)-1] ^= 1 }}, is: ErrSignature},
		"bytes behind":                    {opts: testtsa.Options{EditToken: func(b []byte) []byte { return append(b, 0) }}, err: "1 bytes follow it", is: ErrMalformed},
		"cut off":                         {opts: testtsa.Options{EditToken: func(b []byte) []byte { return b[:len(b)-1] }}, is: ErrMalformed},
		"indefinite and cut off":          {opts: testtsa.Options{Indefinite: true, EditToken: func(b []byte) []byte { return b[:len(b)-2] }}, is: ErrMalformed},
		"too large":                       {opts: testtsa.Options{EditToken: func(b []byte) []byte { return append(b, make([]byte, MaxTokenSize)...) }}, err: "more than the limit", is: ErrMalformed},
		"no signers":                      {opts: content(func(d *testtsa.SignedData) { d.SignerInfos = nil }), err: "signerInfos", is: ErrMalformed},
		"too many signers":                {opts: content(func(d *testtsa.SignedData) { d.SignerInfos = slices.Repeat(d.SignerInfos, 9) }), err: "signerInfos", is: ErrMalformed},
		"too many certificates":           {opts: content(func(d *testtsa.SignedData) { d.Certificates.Bytes = bytes.Repeat(d.Certificates.Bytes, 17) }), err: "more than 32 certificates", is: ErrMalformed},
		"a certificate that is not X.509": {opts: content(func(d *testtsa.SignedData) { d.Certificates.Bytes = append(d.Certificates.Bytes, 0xa1, 0) }), err: "only X.509", is: ErrMalformed},
		"a certificate that is garbage":   {opts: content(func(d *testtsa.SignedData) { d.Certificates.Bytes = append(d.Certificates.Bytes, 0x30, 0) }), err: "does not parse", is: ErrMalformed},
	})
	t.Run("TSA-10 certificate is where a token belongs", func(t *testing.T) {
		if _, err := Verify(testpki.Root(t, "r").Cert.Raw, VerifyOptions{Message: signature}); !errors.Is(err, ErrMalformed) {
			t.Error(err)
		}
	})
	t.Run("VER-18 no token", func(t *testing.T) {
		_, err := Verify(nil, VerifyOptions{Message: signature})
		if !errors.Is(err, ErrNoToken) || err.Error() != "no timestamp countersignature was found in the signature envelope" {
			t.Error(err)
		}
	})
}

// longLengths re-encodes the outermost length with four octets, which is BER but
// not DER.
func longLengths(der []byte) []byte {
	var value asn1.RawValue
	if _, err := asn1.Unmarshal(der, &value); err != nil {
		panic(err)
	}
	n := len(value.Bytes)
	return append([]byte{0x30, 0x84, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, value.Bytes...)
}

// reverseAttributes transmits the signed attributes in another order than the one
// they are signed in.
func reverseAttributes(s *testtsa.SignerInfo) {
	var set asn1.RawValue
	if _, err := asn1.Unmarshal(s.Attributes.FullBytes, &set); err != nil {
		panic(err)
	}
	var reversed []byte
	for rest := set.Bytes; len(rest) > 0; {
		var err error
		var attribute asn1.RawValue
		if rest, err = asn1.Unmarshal(rest, &attribute); err != nil {
			panic(err)
		}
		reversed = append(bytes.Clone(attribute.FullBytes), reversed...)
	}
	s.Attributes = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: reversed}
}

// changeSigningTime alters a signed attribute that nothing but the signature
// protects.
func changeSigningTime(s *testtsa.SignerInfo) {
	i := bytes.Index(s.Attributes.FullBytes, []byte{asn1.TagUTCTime, 13})
	s.Attributes.FullBytes[i+13] ^= 1 // the last digit of the seconds
}

// changeSerial alters the serial number in a TSTInfo.
func changeSerial(t *testing.T, der []byte) []byte {
	var info testtsa.TSTInfo
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		t.Fatal(err)
	}
	info.SerialNumber = big.NewInt(424242)
	return marshal(t, info)
}

func TestSigningCertificate(t *testing.T) {
	t.Parallel()
	id := func(id testtsa.CertificateID) testtsa.Options { return testtsa.Options{CertificateID: id} }
	attribute := func(value any) testtsa.Options {
		return testtsa.Options{EditAttributes: func(a []testtsa.Attribute) []testtsa.Attribute {
			a[2] = testtsa.NewAttribute(testtsa.OIDSigningCertificateV2, value)
			return a
		}}
	}
	otherSID := func(s *testtsa.SignerInfo) {
		s.SID = asn1.RawValue{FullBytes: marshal(t, struct {
			Issuer pkix.RDNSequence
			Serial int
		}{pkix.Name{CommonName: "nobody"}.ToRDNSequence(), 1})}
	}
	runAll(t, "TSA-11", map[string]scenario{
		"default hash":              {},
		"SHA-256 stated":            {opts: id(testtsa.CertificateID{Hash: crypto.SHA256})},
		"SHA-384":                   {opts: id(testtsa.CertificateID{Hash: crypto.SHA384})},
		"SHA-512":                   {opts: id(testtsa.CertificateID{Hash: crypto.SHA512, IssuerSerial: true})},
		"issuerSerial":              {opts: id(testtsa.CertificateID{IssuerSerial: true})},
		"issuerSerial, not the sid": {opts: testtsa.Options{CertificateID: testtsa.CertificateID{IssuerSerial: true}, EditSigner: otherSID}},
		"sid names another":         {opts: testtsa.Options{EditSigner: otherSID}, err: "does not contain its signing certificate"},
		"SHA-1 hash":                {opts: id(testtsa.CertificateID{Hash: crypto.SHA1}), err: "not allowed"},
		"wrong hash":                {opts: id(testtsa.CertificateID{Digest: make([]byte, 32)}), err: "does not have the hash"},
		"v1 only":                   {opts: testtsa.Options{V1Attribute: true}, err: "signing-certificate-v2 is required", is: ErrMalformed},
		"missing":                   {opts: testtsa.Options{Omit: []asn1.ObjectIdentifier{testtsa.OIDSigningCertificateV2}}, err: "signing-certificate-v2 is missing", is: ErrMalformed},
		"empty":                     {opts: attribute(struct{ IDs []asn1.RawValue }{}), is: ErrMalformed},
		"garbage":                   {opts: attribute(5), is: ErrMalformed},
		"certificate not embedded":  {opts: testtsa.Options{NoCertificates: true}, err: "does not contain its signing certificate"},
	})
	t.Run("TSA-11 the first of several identifiers decides", func(t *testing.T) {
		signer := testtsa.NewSigner(t, protocol.KeySpecEC256)
		type essID struct{ Digest []byte }
		good, bad := essID{sum(crypto.SHA256, signer.Cert.Raw)}, essID{make([]byte, 32)}
		for _, tc := range []struct {
			ids []essID
			err string
		}{{[]essID{good, bad}, ""}, {[]essID{bad, good}, "does not have the hash"}} {
			opts := attribute(struct{ IDs []essID }{tc.ids})
			opts.Signer = signer
			scenario{opts: opts, err: tc.err}.run(t)
		}
	})
}

func TestSigners(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	// A SET OF is sorted when encoded: the filler decides which signer comes first.
	withBad := func(filler byte) testtsa.Options {
		return testtsa.Options{EditSignedData: func(d *testtsa.SignedData) {
			bad := d.SignerInfos[0]
			bad.Signature = bytes.Repeat([]byte{filler}, len(bad.Signature))
			d.SignerInfos = append(d.SignerInfos, bad)
		}}
	}
	withUnsupported := testtsa.Options{EditSignedData: func(d *testtsa.SignedData) {
		unsupported := d.SignerInfos[0]
		unsupported.Version = 0
		d.SignerInfos = append(d.SignerInfos, unsupported)
	}}
	runAll(t, "TSA-12", map[string]scenario{
		"sid by key identifier":               {opts: testtsa.Options{SKI: true}, err: "signer info version 3 is not supported", is: ErrMalformed},
		"version 1 with key identifier":       {opts: testtsa.Options{SKI: true, EditSigner: func(s *testtsa.SignerInfo) { s.Version = 1 }}, err: "not an issuer and serial number", is: ErrMalformed},
		"version 3 with issuer and serial":    {opts: testtsa.Options{EditSigner: func(s *testtsa.SignerInfo) { s.Version = 3 }}, is: ErrMalformed},
		"one good signer suffices, bad first": {opts: withBad(0)},
		"one good signer suffices, bad last":  {opts: withBad(0xff)},
		"one good signer among unsupported":   {opts: withUnsupported},
		"signingTime within validity":         {opts: testtsa.Options{SigningTime: now}},
		"signingTime before the chain":        {opts: testtsa.Options{SigningTime: now.Add(-2 * time.Hour)}, err: "signing time is outside"},
		"signingTime after the chain":         {opts: testtsa.Options{SigningTime: now.Add(48 * time.Hour)}, err: "signing time is outside"},
		"signingTime as GeneralizedTime": {opts: testtsa.Options{EditAttributes: func(a []testtsa.Attribute) []testtsa.Attribute {
			return append(a, testtsa.NewAttribute(testtsa.OIDSigningTime, testtsa.GeneralizedTime("20500101000000Z")))
		}}, err: "signing time is outside"},
		"signingTime of another type": {opts: testtsa.Options{EditAttributes: func(a []testtsa.Attribute) []testtsa.Attribute {
			return append(a, testtsa.NewAttribute(testtsa.OIDSigningTime, 5))
		}}, err: "signingTime does not parse", is: ErrMalformed},
	})
}

func TestAlgorithms(t *testing.T) {
	t.Parallel()
	for _, spec := range testpki.Specs {
		signer := testtsa.NewSigner(t, spec)
		suite, _ := protocol.SuiteOf(spec)
		schemes := map[string]testtsa.Scheme{"ECDSA": 0}
		if suite.RSA() {
			schemes = map[string]testtsa.Scheme{"rsaEncryption": testtsa.RSAEncryption, "PKCS1-v1_5": testtsa.PKCS1v15, "PSS": testtsa.PSS}
		}
		for name, scheme := range schemes {
			for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
				t.Run(fmt.Sprintf("TSA-13 G51 %s %s %v", spec, name, hash), func(t *testing.T) {
					scenario{opts: testtsa.Options{Signer: signer, Scheme: scheme, Hash: hash}}.run(t)
				})
			}
		}
	}
	rsaSigner := testtsa.NewSigner(t, protocol.KeySpecRSA2048)
	pss := func(hash, mask crypto.Hash, salt int) testtsa.Options {
		return testtsa.Options{Signer: rsaSigner, Scheme: testtsa.PSS, EditSigner: func(s *testtsa.SignerInfo) { s.SignatureAlgorithm = testtsa.PSSAlgorithm(hash, mask, salt) }}
	}
	algorithm := func(signer *testpki.Entity, algorithm pkix.AlgorithmIdentifier) testtsa.Options {
		return testtsa.Options{Signer: signer, EditSigner: func(s *testtsa.SignerInfo) { s.SignatureAlgorithm = algorithm }}
	}
	runAll(t, "TSA-13", map[string]scenario{
		"hash identifiers without NULL": {opts: testtsa.Options{NoNULL: true}},
		"SHA-1 with ECDSA":              {opts: testtsa.Options{Hash: crypto.SHA1}, err: "digest algorithm 1.3.14.3.2.26 is not allowed"},
		"SHA-1 with RSA":                {opts: testtsa.Options{Signer: rsaSigner, Hash: crypto.SHA1}, err: "is not allowed"},
		"SHA-1 under a SHA-256 digest":  {opts: algorithm(rsaSigner, pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}}), err: "signature algorithm 1.2.840.113549.1.1.5 is not allowed"},
		"PSS without parameters":        {opts: algorithm(rsaSigner, pkix.AlgorithmIdentifier{Algorithm: oidPSS}), err: "RSASSA-PSS parameters"},
		"PSS by SHA-1":                  {opts: pss(crypto.SHA1, crypto.SHA1, 20), err: "RSASSA-PSS parameters"},
		"PSS with another mask hash":    {opts: pss(crypto.SHA256, crypto.SHA512, 32), err: "RSASSA-PSS parameters"},
		"PSS with another salt length":  {opts: pss(crypto.SHA256, crypto.SHA256, 20), err: "RSASSA-PSS parameters"},
		"PSS stated, PKCS1 made": {opts: testtsa.Options{Signer: rsaSigner, EditSigner: func(s *testtsa.SignerInfo) {
			s.SignatureAlgorithm = testtsa.PSSAlgorithm(crypto.SHA256, crypto.SHA256, 32)
		}}, is: ErrSignature},
		"RSA stated, ECDSA made":     {opts: algorithm(nil, pkix.AlgorithmIdentifier{Algorithm: oidRSA}), is: ErrSignature},
		"ECDSA stated, RSA made":     {opts: algorithm(rsaSigner, pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}), is: ErrSignature},
		"digest with odd parameters": {opts: testtsa.Options{EditSigner: func(s *testtsa.SignerInfo) { s.DigestAlgorithm.Parameters = asn1.RawValue{FullBytes: []byte{2, 1, 0}} }}, err: "has parameters"},
	})
	root := testpki.Root(t, "root")
	for name, key := range map[string]crypto.Signer{"P-224": ecKey(t, elliptic.P224()), "RSA 2560": rsaKey(t, 2560)} {
		t.Run("CERT-12 TSA key "+name, func(t *testing.T) {
			signer := testpki.Issue(t, root, key, timestampingTemplate(t))
			scenario{opts: testtsa.Options{Signer: signer}, err: "is not supported"}.run(t)
		})
	}
}

func ecKey(t *testing.T, curve elliptic.Curve) crypto.Signer {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func rsaKey(t *testing.T, bits int) crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func timestampingTemplate(t testing.TB) *x509.Certificate {
	template := &x509.Certificate{Subject: testpki.DefaultSubject("tsa"), KeyUsage: x509.KeyUsageDigitalSignature}
	extendedKeyUsage(t, true, usageTimestamping)(template)
	return template
}

func TestCertificateRules(t *testing.T) {
	t.Parallel()
	const spec = protocol.KeySpecEC256
	root := testpki.Root(t, "root")
	leaf := func(edits ...testpki.Edit) testtsa.Options {
		return testtsa.Options{Signer: root.TSA(t, "tsa", spec, edits...)}
	}
	below := func(edits ...testpki.Edit) testtsa.Options {
		return testtsa.Options{Signer: root.Intermediate(t, "ca", edits...).TSA(t, "tsa", spec)}
	}
	runAll(t, "CERT-07 TSA", map[string]scenario{
		"authority's key usage not critical": {opts: below(noncriticalKeyUsage(t, 0x04))},
		"authority without key usage":        {opts: below(keyUsage(0)), err: "key usage extension must be present"},
		"authority without keyCertSign":      {opts: below(keyUsage(x509.KeyUsageCRLSign)), err: "key cert sign"},
		"authority that is none":             {opts: below(func(c *x509.Certificate) { c.IsCA = false }), err: "ca field"},
		"path too long":                      {opts: testtsa.Options{Signer: testpki.Root(t, "root", func(c *x509.Certificate) { c.MaxPathLenZero = true }).Intermediate(t, "ca").TSA(t, "tsa", spec)}, err: "path length"},
	})
	runAll(t, "CERT-09 TSA", map[string]scenario{
		"key usage not critical":    {opts: leaf(noncriticalKeyUsage(t, 0x80))},
		"contentCommitment allowed": {opts: leaf(keyUsage(x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment))},
		"no key usage":              {opts: leaf(keyUsage(0)), err: "key usage extension must be present"},
		"no digitalSignature":       {opts: leaf(keyUsage(x509.KeyUsageContentCommitment)), err: "Digital Signature"},
		"keyEncipherment":           {opts: leaf(keyUsage(x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment)), err: "KeyEncipherment"},
	})
	runAll(t, "CERT-11", map[string]scenario{
		"absent":                   {opts: leaf(extendedKeyUsage(t, true)), err: "only have Timestamping"},
		"not critical":             {opts: leaf(extendedKeyUsage(t, false, usageTimestamping)), err: "marked as critical"},
		"another":                  {opts: leaf(extendedKeyUsage(t, true, usageCodeSigning)), err: "only have Timestamping"},
		"one too many":             {opts: leaf(extendedKeyUsage(t, true, usageTimestamping, usageCodeSigning)), err: "only have Timestamping"},
		"one unknown one too many": {opts: leaf(extendedKeyUsage(t, true, usageTimestamping, oidUnknownExtension)), err: "only have Timestamping"},
	})
	// RFC 5280 would have both refused; the specification evaluates neither.
	constraints := marshal(t, struct {
		Permitted []asn1.RawValue `asn1:"tag:0"`
	}{[]asn1.RawValue{{FullBytes: marshal(t, []asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 2, Bytes: []byte("example.com")}})}}})
	directoryConstraints := marshal(t, struct {
		Permitted []asn1.RawValue `asn1:"tag:0"`
	}{[]asn1.RawValue{{FullBytes: marshal(t, []asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: marshal(t, pkix.Name{CommonName: "other"}.ToRDNSequence())}})}}})
	extension := func(id asn1.ObjectIdentifier, value []byte) testpki.Edit {
		return func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: id, Critical: true, Value: value})
		}
	}
	runAll(t, "G24 TSA-14 CERT-14", map[string]scenario{
		"name constraints of an authority":           {opts: below(extension(oidNameConstraints, constraints))},
		"directory name constraints of an authority": {opts: below(extension(oidNameConstraints, directoryConstraints))},
		"unknown critical extension of an authority": {opts: below(extension(oidUnknownExtension, []byte{5, 0}))},
		"unknown critical extension of the leaf":     {opts: leaf(extension(oidUnknownExtension, []byte{5, 0}))},
		"DNS name outside the constraints": {opts: testtsa.Options{Signer: root.Intermediate(t, "ca", extension(oidNameConstraints, constraints)).
			TSA(t, "tsa", spec, func(c *x509.Certificate) { c.DNSNames = []string{"tsa.example.org"} })}},
	})
}

func TestPath(t *testing.T) {
	t.Parallel()
	const spec = protocol.KeySpecEC256
	root, other := testpki.Root(t, "root"), testpki.Root(t, "root")
	ca := root.Intermediate(t, "ca")
	tsa := ca.TSA(t, "tsa", spec)
	sameName := other.Intermediate(t, "ca") // another key
	now := time.Now().Truncate(time.Second)
	past := now.Add(-30 * 24 * time.Hour)
	certs := func(entities ...*testpki.Entity) (out []*x509.Certificate) {
		for _, e := range entities {
			out = append(out, e.Cert)
		}
		return out
	}
	// The same key under two authorities, as after a cross-certification.
	crossed := testpki.Issue(t, other, ca.Key, &x509.Certificate{
		Subject: testpki.DefaultSubject("ca"), KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	})
	renewed := testpki.Issue(t, root, ca.Key, &x509.Certificate{
		Subject: testpki.DefaultSubject("ca"), KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}, testpki.Validity(past, past.Add(time.Hour)))

	runAll(t, "TSA-14", map[string]scenario{
		"untrusted root":                        {opts: testtsa.Options{Signer: tsa}, roots: certs(testpki.Root(t, "stranger")), is: ErrUntrusted, err: `"CN=tsa,`},
		"no roots":                              {opts: testtsa.Options{Signer: tsa}, roots: []*x509.Certificate{}, is: ErrUntrusted},
		"root of the same name, other key":      {opts: testtsa.Options{Signer: tsa}, roots: certs(other), err: "not issued by"},
		"one of several roots":                  {opts: testtsa.Options{Signer: tsa}, roots: certs(testpki.Root(t, "stranger"), other, root)},
		"root embedded as well":                 {opts: testtsa.Options{Signer: tsa, Certificates: certs(tsa, ca, root)}},
		"embedded in another order":             {opts: testtsa.Options{Signer: tsa, Certificates: certs(root, ca, tsa)}},
		"embedded root is not a trusted one":    {opts: testtsa.Options{Signer: tsa, Certificates: certs(tsa, ca, root)}, roots: certs(testpki.Root(t, "stranger")), is: ErrUntrusted},
		"unrelated certificates embedded":       {opts: testtsa.Options{Signer: tsa, Certificates: certs(other, sameName, tsa, ca)}},
		"intermediate missing":                  {opts: testtsa.Options{Signer: tsa, Certificates: certs(tsa)}, is: ErrUntrusted},
		"intermediate of the same name":         {opts: testtsa.Options{Signer: tsa, Certificates: certs(tsa, sameName)}, roots: certs(other), err: "not issued by"},
		"cross-certified, one root":             {opts: testtsa.Options{Signer: tsa, Certificates: certs(tsa, crossed, ca)}},
		"cross-certified, other root":           {opts: testtsa.Options{Signer: tsa, Certificates: certs(tsa, ca, crossed)}, roots: certs(other)},
		"expired twin of the intermediate":      {opts: testtsa.Options{Signer: tsa, Certificates: certs(tsa, renewed, ca)}},
		"expired intermediate alone":            {opts: testtsa.Options{Signer: tsa, Certificates: certs(tsa, renewed)}, err: "is not valid at"},
		"intermediate as root":                  {opts: testtsa.Options{Signer: tsa}, roots: certs(ca), err: "not self-signed"},
		"the authority itself as root":          {opts: testtsa.Options{Signer: tsa}, roots: certs(tsa), is: ErrUntrusted},
		"self-signed authority trusted as such": {opts: testtsa.Options{Signer: selfSignedTSA(t)}, is: ErrUntrusted},
		"at the time of the token, not now": {opts: testtsa.Options{GenTime: past.Add(time.Minute),
			Signer: testpki.Root(t, "r", testpki.Validity(past, past.Add(time.Hour))).TSA(t, "tsa", spec, testpki.Validity(past, past.Add(time.Hour)))}},
		"expired at the time of the token":      {opts: testtsa.Options{Signer: root.TSA(t, "tsa", spec, testpki.Validity(past, past.Add(time.Hour)))}, err: "is not valid at"},
		"not yet valid then":                    {opts: testtsa.Options{Signer: tsa, GenTime: now.Add(-2 * time.Hour)}, err: "is not valid at"},
		"root expired at the time of the token": {opts: testtsa.Options{Signer: testpki.Root(t, "r", testpki.Validity(past, past.Add(time.Hour))).TSA(t, "tsa", spec)}, err: "is not valid at"},
	})
	t.Run("TSA-14 typed errors", func(t *testing.T) {
		expired := root.TSA(t, "tsa", spec, testpki.Validity(past, past.Add(time.Hour)))
		_, err := Verify(testtsa.Token(t, testtsa.Options{Signer: expired}, signature, crypto.SHA256), VerifyOptions{Message: signature, Roots: certs(root)})
		if validity, ok := errors.AsType[*pki.ValidityError](err); !ok || !validity.Expired() {
			t.Errorf("error %v", err)
		}
		_, err = Verify(testtsa.Token(t, testtsa.Options{Signer: tsa}, signature, crypto.SHA256), VerifyOptions{Message: signature, Roots: certs(other)})
		if chain, ok := errors.AsType[*pki.ChainError](err); !ok || chain.Index != 1 {
			t.Errorf("error %v", err)
		}
	})
	t.Run("TSA-14 the chain is returned", func(t *testing.T) {
		token := scenario{opts: testtsa.Options{Signer: tsa}}.run(t)
		if !slices.EqualFunc(token.Chain, tsa.Chain(), (*x509.Certificate).Equal) {
			t.Errorf("chain of %d", len(token.Chain))
		}
		if len(token.Certificates) != 2 {
			t.Errorf("%d embedded certificates", len(token.Certificates))
		}
	})
	t.Run("TSA-14 a maze of equal names ends", func(t *testing.T) {
		var maze []*x509.Certificate
		for range 30 {
			maze = append(maze, testpki.Root(t, "root").Intermediate(t, "root").Cert)
		}
		signer := testpki.Root(t, "root").TSA(t, "tsa", spec)
		token := testtsa.Token(t, testtsa.Options{Signer: signer, Certificates: append(maze, signer.Cert)}, signature, crypto.SHA256)
		start := time.Now()
		for _, roots := range [][]*x509.Certificate{nil, certs(root, other, testpki.Root(t, "root"))} {
			if _, err := Verify(token, VerifyOptions{Message: signature, Roots: roots}); err == nil {
				t.Error("accepted")
			}
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// selfSignedTSA makes a time-stamping certificate that is its own root.
func selfSignedTSA(t testing.TB) *testpki.Entity {
	return testpki.Issue(t, nil, testpki.FreshKey(t, protocol.KeySpecEC256), timestampingTemplate(t))
}

func TestTime(t *testing.T) {
	t.Parallel()
	at := time.Now().UTC().Truncate(time.Second)
	accuracy := func(seconds, millis, micros int) *testtsa.Accuracy {
		return &testtsa.Accuracy{Seconds: seconds, Millis: millis, Micros: micros}
	}
	baseline := testtsa.OIDBaselinePolicy
	raw := func(der ...byte) testtsa.Options {
		return testtsa.Options{EditInfo: func(i *testtsa.TSTInfo) { i.Accuracy = asn1.RawValue{FullBytes: der} }}
	}
	for name, tc := range map[string]struct {
		opts testtsa.Options
		want time.Duration
	}{
		"explicit":                         {testtsa.Options{Accuracy: accuracy(2, 300, 40)}, 2*time.Second + 300*time.Millisecond + 40*time.Microsecond},
		"seconds alone":                    {testtsa.Options{Accuracy: accuracy(3, 0, 0)}, 3 * time.Second},
		"millis alone":                     {testtsa.Options{Accuracy: accuracy(0, 999, 0)}, 999 * time.Millisecond},
		"micros alone":                     {testtsa.Options{Accuracy: accuracy(0, 0, 128)}, 128 * time.Microsecond},
		"none":                             {testtsa.Options{}, 0},
		"none under the baseline policy":   {testtsa.Options{Policy: baseline}, time.Second},
		"explicit under the baseline":      {testtsa.Options{Policy: baseline, Accuracy: accuracy(0, 5, 0)}, 5 * time.Millisecond},
		"explicit zero under the baseline": {testtsa.Options{Policy: baseline, EditInfo: func(i *testtsa.TSTInfo) { i.Accuracy = asn1.RawValue{FullBytes: []byte{0x30, 3, 2, 1, 0}} }}, 0},
		"empty under the baseline":         {testtsa.Options{Policy: baseline, EditInfo: func(i *testtsa.TSTInfo) { i.Accuracy = asn1.RawValue{FullBytes: []byte{0x30, 0}} }}, 0},
	} {
		t.Run("TSA-15 accuracy "+name, func(t *testing.T) {
			tc.opts.GenTime = at
			token := scenario{opts: tc.opts}.run(t)
			lower, upper := token.Range()
			if token.Accuracy != tc.want || !lower.Equal(at.Add(-tc.want)) || !upper.Equal(at.Add(tc.want)) {
				t.Errorf("accuracy %v, range %v to %v", token.Accuracy, lower, upper)
			}
		})
	}
	text := func(text string) testtsa.Options {
		return testtsa.Options{EditInfo: func(i *testtsa.TSTInfo) { i.GenTime = testtsa.GeneralizedTime(text) }}
	}
	runAll(t, "TSA-15", map[string]scenario{
		"negative seconds":    {opts: raw(0x30, 3, 2, 1, 0xff), is: ErrMalformed},
		"seconds overflowing": {opts: raw(0x30, 7, 2, 5, 1, 0, 0, 0, 0), is: ErrMalformed},
		"millis 1000":         {opts: raw(0x30, 4, 0x80, 2, 3, 0xe8), is: ErrMalformed},
		"millis negative":     {opts: raw(0x30, 3, 0x80, 1, 0xff), is: ErrMalformed},
		"millis not minimal":  {opts: raw(0x30, 4, 0x80, 2, 0, 1), is: ErrMalformed},
		"micros before":       {opts: raw(0x30, 6, 0x81, 1, 1, 0x80, 1, 1), is: ErrMalformed},
		"unknown field":       {opts: raw(0x30, 3, 0x82, 1, 1), is: ErrMalformed},
	})
	zone := at.Format("20060102150405")
	runAll(t, "TSA-06 genTime", map[string]scenario{
		"with a fraction":             {opts: text(zone + ".123Z")},
		"with a fraction ending in 0": {opts: text(zone + ".120Z"), is: ErrMalformed},
		"with a comma":                {opts: text(zone + ",5Z"), is: ErrMalformed},
		"without zone":                {opts: text(zone), is: ErrMalformed},
		"with an offset":              {opts: text(zone + "+0000"), is: ErrMalformed},
		"without seconds":             {opts: text(zone[:12] + "Z"), is: ErrMalformed},
		"in month 13":                 {opts: text("20261301000000Z"), is: ErrMalformed},
		"empty":                       {opts: text(""), is: ErrMalformed},
	})
	extensions := func(critical bool) testtsa.Options {
		return testtsa.Options{EditInfo: func(i *testtsa.TSTInfo) {
			i.Extensions = []pkix.Extension{{Id: oidUnknownExtension, Critical: critical, Value: []byte{5, 0}}}
		}}
	}
	runAll(t, "TSA-06 timestamp information", map[string]scenario{
		"version 2":          {opts: testtsa.Options{EditInfo: func(i *testtsa.TSTInfo) { i.Version = 2 }}, err: "version 2", is: ErrMalformed},
		"all fields":         {opts: testtsa.Options{EditInfo: allFields(t)}},
		"extension":          {opts: extensions(false)},
		"critical extension": {opts: extensions(true), err: "critical extension", is: ErrMalformed},
		"short imprint":      {opts: testtsa.Options{EditInfo: func(i *testtsa.TSTInfo) { i.MessageImprint.HashedMessage = []byte{1} }}, err: "imprint has 1 bytes", is: ErrMalformed},
	})
}

// allFields fills every optional field of a TSTInfo.
func allFields(t testing.TB) func(*testtsa.TSTInfo) {
	return func(i *testtsa.TSTInfo) {
		i.Accuracy = asn1.RawValue{FullBytes: []byte{0x30, 3, 2, 1, 1}}
		i.Ordering, i.Nonce = true, big.NewInt(99)
		name := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: marshal(t, pkix.Name{CommonName: "tsa"}.ToRDNSequence())}
		i.TSA = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: marshal(t, name)}
		i.Extensions = []pkix.Extension{{Id: oidUnknownExtension, Value: []byte{5, 0}}}
	}
}

func TestSigningChain(t *testing.T) {
	t.Parallel()
	at := time.Now().UTC().Truncate(time.Second)
	token := &Token{GenTime: at, Accuracy: time.Second}
	lower, upper := token.Range()
	for name, tc := range map[string]struct {
		notBefore, notAfter time.Time
		valid               bool
	}{
		"within":                 {at.Add(-time.Hour), at.Add(time.Hour), true},
		"bounds are inclusive":   {lower, upper, true},
		"begins within the span": {lower.Add(time.Second), upper, false},
		"ends within the span":   {lower, upper.Add(-time.Second), false},
		"ended before":           {at.Add(-time.Hour), at.Add(-time.Minute), false},
	} {
		t.Run("VER-19 "+name, func(t *testing.T) {
			wide := testpki.Validity(at.Add(-time.Hour), at.Add(time.Hour))
			narrow := testpki.Validity(tc.notBefore, tc.notAfter)
			for _, chain := range [][]*x509.Certificate{
				testpki.Root(t, "root", wide).Leaf(t, "leaf", protocol.KeySpecEC256, narrow).Chain(),
				testpki.Root(t, "root", narrow).Leaf(t, "leaf", protocol.KeySpecEC256, wide).Chain(),
			} {
				err := token.CheckSigningChain(chain)
				if (err == nil) != tc.valid {
					t.Errorf("error %v, want valid = %v", err, tc.valid)
				}
				if _, ok := errors.AsType[*pki.ValidityError](err); err != nil && !ok {
					t.Errorf("error %v is no *pki.ValidityError", err)
				}
			}
		})
	}
}

func TestImprint(t *testing.T) {
	t.Parallel()
	signer := testtsa.NewSigner(t, protocol.KeySpecEC256)
	roots := []*x509.Certificate{testtsa.Root(signer).Cert}
	for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		t.Run(fmt.Sprintf("TSA-17 imprint by %v", hash), func(t *testing.T) {
			token := testtsa.Token(t, testtsa.Options{Signer: signer}, signature, hash)
			if verified, err := Verify(token, VerifyOptions{Message: signature, Roots: roots}); err != nil || verified.Hash != hash {
				t.Error(err)
			}
			if _, err := Verify(token, VerifyOptions{Message: []byte("another signature"), Roots: roots}); !errors.Is(err, ErrImprint) {
				t.Errorf("error %v", err)
			}
			if _, err := Verify(token, VerifyOptions{Roots: roots}); !errors.Is(err, ErrImprint) {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("TSA-17 TSA-13 imprint by SHA-1", func(t *testing.T) {
		token := testtsa.Token(t, testtsa.Options{Signer: signer}, signature, crypto.SHA1)
		if _, err := Verify(token, VerifyOptions{Message: signature, Roots: roots}); err == nil || !strings.Contains(err.Error(), "not allowed") {
			t.Errorf("error %v", err)
		}
		if parsed, err := Parse(token); err != nil || parsed.Hash != 0 {
			t.Errorf("cannot be inspected: %v", err)
		}
	})
}

func TestParse(t *testing.T) {
	t.Parallel()
	signer := testtsa.NewSigner(t, protocol.KeySpecEC256)
	at := time.Date(2026, 3, 4, 5, 6, 7, 890e6, time.UTC)
	token := testtsa.Token(t, testtsa.Options{Signer: signer, GenTime: at, EditInfo: allFields(t)}, signature, crypto.SHA384)
	t.Run("TSA-08 facts without trust", func(t *testing.T) {
		parsed, err := Parse(token)
		if err != nil {
			t.Fatal(err)
		}
		if !parsed.GenTime.Equal(at) || parsed.GenTime.Location() != time.UTC || parsed.Accuracy != time.Second || parsed.Hash != crypto.SHA384 ||
			!parsed.Policy.Equal(testtsa.OIDTestPolicy) || parsed.Nonce.Int64() != 99 || parsed.SerialNumber.Sign() <= 0 ||
			len(parsed.Certificates) != 2 || parsed.Chain != nil || !bytes.Equal(parsed.HashedMessage, sum(crypto.SHA384, signature)) {
			t.Errorf("got %+v", parsed)
		}
	})
	t.Run("TSA-10 every cut is malformed", func(t *testing.T) {
		for n := range token {
			if _, err := Parse(token[:n]); !errors.Is(err, ErrMalformed) {
				t.Fatalf("%d bytes: %v", n, err)
			}
		}
	})
	t.Run("TSA-10 no changed bit passes", func(t *testing.T) {
		roots := []*x509.Certificate{testpki.Root(t, "other").Cert, testtsa.Root(signer).Cert}
		sound := testtsa.Token(t, testtsa.Options{Signer: signer}, signature, crypto.SHA256)
		intermediate := bytes.Index(sound, signer.Issuer.Cert.Raw)
		passed := 0
		for i := range sound {
			changed := bytes.Clone(sound)
			changed[i] ^= 1
			verified, err := Verify(changed, VerifyOptions{Message: signature, Roots: roots})
			if err != nil {
				continue
			}
			// What is not signed may change: nothing that is said does.
			if passed++; i >= intermediate && i < intermediate+len(signer.Issuer.Cert.Raw) {
				t.Errorf("byte %d: a changed certificate passed", i)
			}
			if want, _ := Parse(sound); !verified.GenTime.Equal(want.GenTime) || !slices.EqualFunc(verified.Chain, signer.Chain(), (*x509.Certificate).Equal) {
				t.Errorf("byte %d: another token passed", i)
			}
		}
		if passed > 40 {
			t.Errorf("%d changes passed", passed)
		}
	})
}

func TestCheck(t *testing.T) {
	t.Parallel()
	const spec = protocol.KeySpecEC256
	signer := testtsa.NewSigner(t, spec)
	for name, tc := range map[string]struct {
		opts testtsa.Options
		err  string
	}{
		"good":                  {testtsa.Options{Signer: signer}, ""},
		"good with root":        {testtsa.Options{Signer: signer, Certificates: signer.Chain()}, ""},
		"good, leaf alone":      {testtsa.Options{Signer: signer, Certificates: signer.Chain()[:1]}, ""},
		"good, others embedded": {testtsa.Options{Signer: signer, Certificates: append(testpki.Root(t, "x").Intermediate(t, "tsa intermediate").Chain(), signer.Chain()...)}, ""},
		"leaf's rules":          {testtsa.Options{Signer: testtsa.NewSigner(t, spec, extendedKeyUsage(t, false, usageTimestamping))}, "critical"},
		"authority's rules":     {testtsa.Options{Signer: testpki.Root(t, "r").Intermediate(t, "ca", keyUsage(x509.KeyUsageCRLSign)).TSA(t, "tsa", spec)}, "key cert sign"},
		"expired":               {testtsa.Options{Signer: signer, GenTime: time.Now().Add(48 * time.Hour).Truncate(time.Second)}, "is not valid at"},
		"signature":             {testtsa.Options{Signer: signer, EditSigner: func(s *testtsa.SignerInfo) { s.Signature[len(s.Signature)-1] ^= 1 }}, "does not verify"},
		"v1 attribute":          {testtsa.Options{Signer: signer, V1Attribute: true}, "signing-certificate-v2"},
	} {
		t.Run("G12 token of a plugin, "+name, func(t *testing.T) {
			token, err := Check(testtsa.Token(t, tc.opts, signature, crypto.SHA256), signature)
			if tc.err == "" {
				if err != nil || token.Chain != nil {
					t.Errorf("error %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("error %v, want %q", err, tc.err)
			}
		})
	}
	t.Run("G12 token of a plugin, other signature", func(t *testing.T) {
		token := testtsa.Token(t, testtsa.Options{Signer: signer}, signature, crypto.SHA256)
		if _, err := Check(token, []byte("other")); !errors.Is(err, ErrImprint) {
			t.Error(err)
		}
		if _, err := Check(nil, signature); !errors.Is(err, ErrNoToken) {
			t.Error(err)
		}
	})
}

func TestBER(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ ber, der []byte }{
		"DER stays":               {[]byte{0x30, 3, 2, 1, 5}, []byte{0x30, 3, 2, 1, 5}},
		"long length":             {[]byte{0x30, 0x81, 3, 2, 1, 5}, []byte{0x30, 3, 2, 1, 5}},
		"indefinite":              {[]byte{0x30, 0x80, 2, 1, 5, 0, 0}, []byte{0x30, 3, 2, 1, 5}},
		"nested":                  {[]byte{0x30, 0x80, 0xa0, 0x80, 2, 1, 5, 0, 0, 0, 0}, []byte{0x30, 5, 0xa0, 3, 2, 1, 5}},
		"split octets":            {[]byte{0x24, 0x80, 4, 1, 1, 4, 2, 2, 3, 0, 0}, []byte{4, 3, 1, 2, 3}},
		"split twice":             {[]byte{0x24, 9, 0x24, 0x80, 4, 1, 1, 0, 0, 4, 0}, []byte{4, 1, 1}},
		"high tag":                {[]byte{0xbf, 0x81, 1, 0x80, 0, 0}, []byte{0xbf, 0x81, 1, 0}},
		"empty":                   {nil, nil},
		"primitive indefinite":    {[]byte{4, 0x80, 0, 0}, nil},
		"no end":                  {[]byte{0x30, 0x80, 2, 1, 5}, nil},
		"end within definite":     {[]byte{0x30, 2, 0, 0}, nil},
		"split with another type": {[]byte{0x24, 3, 2, 1, 1}, nil},
		"length beyond":           {[]byte{0x30, 4, 2, 1, 5}, nil},
		"length of five octets":   {[]byte{0x30, 0x85, 0, 0, 0, 0, 3, 2, 1, 5}, nil},
		"length cut off":          {[]byte{0x30, 0x82, 1}, nil},
		"length of 4 GiB":         {[]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0}, nil},
		"tag cut off":             {[]byte{0x3f, 0x81}, nil},
		"endless tag":             {[]byte{0x3f, 0x81, 0x81, 0x81, 0x81, 0x81, 1, 0}, nil},
		"too deep":                {bytes.Repeat([]byte{0x30, 0x80}, 100), nil},
	} {
		t.Run("TSA-10 BER "+name, func(t *testing.T) {
			der, rest, err := toDER(tc.ber)
			if (err == nil) != (tc.der != nil) || !bytes.Equal(der, tc.der) || len(rest) > 0 {
				t.Errorf("got %x, rest %x, error %v; want %x", der, rest, err, tc.der)
			}
		})
	}
	t.Run("TSA-10 BER large lengths", func(t *testing.T) {
		for _, n := range []int{0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000} {
			der := marshal(t, []asn1.RawValue{{Tag: asn1.TagOctetString, Bytes: make([]byte, n)}})
			got, _, err := toDER(testtsa.Indefinite(der))
			if err != nil || !bytes.Equal(got, der) {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
	})
}

func FuzzToken(f *testing.F) {
	signer := testtsa.NewSigner(f, protocol.KeySpecEC256)
	rsaSigner := testtsa.NewSigner(f, protocol.KeySpecRSA2048)
	for _, opts := range []testtsa.Options{
		{Signer: signer}, {Signer: signer, Indefinite: true}, {Signer: signer, EditInfo: allFields(f), SigningTime: time.Now()},
		{Signer: signer, SKI: true}, {Signer: signer, V1Attribute: true}, {Signer: rsaSigner, Scheme: testtsa.PSS},
		{Signer: rsaSigner, CertificateID: testtsa.CertificateID{Hash: crypto.SHA512, IssuerSerial: true}},
	} {
		f.Add(testtsa.Token(f, opts, signature, crypto.SHA256))
	}
	roots := []*x509.Certificate{testtsa.Root(signer).Cert, testtsa.Root(rsaSigner).Cert}
	f.Fuzz(func(t *testing.T, token []byte) {
		parsed, err := Parse(token)
		if err != nil {
			if !errors.Is(err, ErrMalformed) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %q", err)
			}
			return
		}
		if lower, upper := parsed.Range(); lower.After(upper) {
			t.Fatal("range the wrong way round")
		}
		verified, err := Verify(token, VerifyOptions{Message: signature, Roots: roots})
		if err == nil && (len(verified.Chain) < 2 || verified.checkMessage(signature) != nil) {
			t.Fatal("verified without chain or imprint")
		}
		Check(token, signature)
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, spec := range []protocol.KeySpec{protocol.KeySpecEC256, protocol.KeySpecRSA2048, protocol.KeySpecRSA4096} {
		signer := testtsa.NewSigner(b, spec)
		roots := []*x509.Certificate{testtsa.Root(signer).Cert}
		token := testtsa.Token(b, testtsa.Options{Signer: signer}, signature, crypto.SHA256)
		b.Run(string(spec), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Verify(token, VerifyOptions{Message: signature, Roots: roots}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	signer := testtsa.NewSigner(b, protocol.KeySpecEC256)
	for name, indefinite := range map[string]bool{"DER": false, "BER": true} {
		token := testtsa.Token(b, testtsa.Options{Signer: signer, Indefinite: indefinite}, signature, crypto.SHA256)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
