// Package testtsa is an RFC 3161 time-stamping authority for tests: well-behaved
// by default, wrong in just the way a test asks for.
package testtsa

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // for tokens that must be refused
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

// Object identifiers that tests put into tokens.
var (
	OIDSignedData           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	OIDData                 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	OIDTSTInfo              = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	OIDContentType          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	OIDMessageDigest        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	OIDSigningTime          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	OIDSigningCertificate   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	OIDSigningCertificateV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	OIDTestPolicy           = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}
	OIDBaselinePolicy       = asn1.ObjectIdentifier{0, 4, 0, 2023, 1, 1}

	oidPSS           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	oidRSAEncryption = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
)

var hashOIDs = map[crypto.Hash]asn1.ObjectIdentifier{
	crypto.SHA1:   {1, 3, 14, 3, 2, 26},
	crypto.SHA256: {2, 16, 840, 1, 101, 3, 4, 2, 1},
	crypto.SHA384: {2, 16, 840, 1, 101, 3, 4, 2, 2},
	crypto.SHA512: {2, 16, 840, 1, 101, 3, 4, 2, 3},
}

// HashAlgorithm is the AlgorithmIdentifier of a hash with NULL parameters.
func HashAlgorithm(hash crypto.Hash) pkix.AlgorithmIdentifier {
	return pkix.AlgorithmIdentifier{Algorithm: hashOIDs[hash], Parameters: asn1.NullRawValue}
}

func sum(hash crypto.Hash, data []byte) []byte {
	h := hash.New()
	h.Write(data)
	return h.Sum(nil)
}

// Scheme is a signature algorithm of an RSA authority.
type Scheme int

// The schemes that authorities use with RSA keys. With EC keys it is always
// ECDSA.
const (
	// RSAEncryption is RSASSA-PKCS1-v1_5 under the key's OID, as most public
	// authorities have it.
	RSAEncryption Scheme = iota
	// PKCS1v15 is the same signature under an OID that names the hash.
	PKCS1v15
	PSS
)

// Options says how tokens are made. The zero value of every field but Signer is
// what a sound authority does.
type Options struct {
	// Signer is the authority's key and certificate. Required.
	Signer *testpki.Entity
	// Scheme is the signature algorithm of an RSA key.
	Scheme Scheme
	// Hash is the digest algorithm of the signature; default SHA-256.
	Hash crypto.Hash
	// GenTime is the time in the tokens; default now, in whole seconds.
	GenTime time.Time
	// Accuracy is stated unless nil.
	Accuracy *Accuracy
	// Policy defaults to OIDTestPolicy.
	Policy asn1.ObjectIdentifier
	// Certificates are embedded; default the signer's chain without its root.
	Certificates []*x509.Certificate
	// NoCertificates embeds none.
	NoCertificates bool
	// CertificateID is how signing-certificate-v2 names the certificate.
	CertificateID CertificateID
	// SigningTime adds that attribute unless zero.
	SigningTime time.Time

	// SKI identifies the signer by subject key identifier, with signer info
	// version 3.
	SKI bool
	// V1Attribute names the certificate by SHA-1 (signing-certificate) alone.
	V1Attribute bool
	// NoNULL omits the parameters of every hash algorithm.
	NoNULL bool
	// Omit leaves signed attributes out, by OID.
	Omit []asn1.ObjectIdentifier
	// Indefinite encodes the token in BER as streaming encoders do: indefinite
	// lengths and the content in pieces.
	Indefinite bool

	// The edits change parts before they are encoded; EditAttributes those that
	// are then signed, EditSigner after the signature was made.
	EditInfo       func(*TSTInfo)
	EditAttributes func([]Attribute) []Attribute
	EditSigner     func(*SignerInfo)
	EditSignedData func(*SignedData)
	EditToken      func([]byte) []byte
}

// CertificateID says how signing-certificate-v2 names a certificate.
type CertificateID struct {
	// Hash is the hash of the certificate; default SHA-256.
	Hash crypto.Hash
	// IssuerSerial adds the issuer and the serial number.
	IssuerSerial bool
	// Digest replaces the hash's value unless nil.
	Digest []byte
}

// Accuracy is that of RFC 3161.
type Accuracy struct {
	Seconds int `asn1:"optional"`
	Millis  int `asn1:"optional,tag:0"`
	Micros  int `asn1:"optional,tag:1"`
}

// MessageImprint is that of RFC 3161.
type MessageImprint struct {
	HashAlgorithm pkix.AlgorithmIdentifier
	HashedMessage []byte
}

// TSTInfo is that of RFC 3161. GenTime and Accuracy are DER, so that tests can
// put anything there; an empty Accuracy is absent.
type TSTInfo struct {
	Version        int
	Policy         asn1.ObjectIdentifier
	MessageImprint MessageImprint
	SerialNumber   *big.Int
	GenTime        asn1.RawValue
	Accuracy       asn1.RawValue    `asn1:"optional"`
	Ordering       bool             `asn1:"optional"`
	Nonce          *big.Int         `asn1:"optional"`
	TSA            asn1.RawValue    `asn1:"optional"`
	Extensions     []pkix.Extension `asn1:"optional,tag:1"`
}

// Attribute is that of RFC 5652; Values is the DER of its values.
type Attribute struct {
	Type   asn1.ObjectIdentifier
	Values []asn1.RawValue `asn1:"set"`
}

// SignerInfo is that of RFC 5652. SID and Attributes are DER.
type SignerInfo struct {
	Version            int
	SID                asn1.RawValue
	DigestAlgorithm    pkix.AlgorithmIdentifier
	Attributes         asn1.RawValue `asn1:"optional"`
	SignatureAlgorithm pkix.AlgorithmIdentifier
	Signature          []byte
	Unsigned           asn1.RawValue `asn1:"optional"`
}

// SignedData is that of RFC 5652. Certificates and CRLs are DER with their tags.
type SignedData struct {
	Version          int
	DigestAlgorithms []pkix.AlgorithmIdentifier `asn1:"set"`
	Content          EncapsulatedContentInfo
	Certificates     asn1.RawValue `asn1:"optional"`
	CRLs             asn1.RawValue `asn1:"optional"`
	SignerInfos      []SignerInfo  `asn1:"set"`
}

// EncapsulatedContentInfo is that of RFC 5652.
type EncapsulatedContentInfo struct {
	Type    asn1.ObjectIdentifier
	Content []byte `asn1:"explicit,tag:0"`
}

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue
}

// NewSigner makes an authority below an intermediate below a root, with a key of
// the given spec. Edits apply to the authority's own certificate.
func NewSigner(t testing.TB, spec protocol.KeySpec, edits ...testpki.Edit) *testpki.Entity {
	t.Helper()
	return testpki.Root(t, "tsa root").Intermediate(t, "tsa intermediate").TSA(t, "tsa", spec, edits...)
}

// Root returns the root of an entity's chain.
func Root(e *testpki.Entity) *testpki.Entity {
	for e.Issuer != nil {
		e = e.Issuer
	}
	return e
}

// Token makes a token over a message, without any request.
func Token(t testing.TB, opts Options, message []byte, hash crypto.Hash) []byte {
	t.Helper()
	token, err := Make(opts, message, hash)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Make is Token for programs that are no tests. Its result depends on nothing but
// opts and message if GenTime is set, EditInfo sets the serial number and the
// signer's key asks for no randomness.
func Make(opts Options, message []byte, hash crypto.Hash) ([]byte, error) {
	return opts.token(MessageImprint{HashAlgorithm(hash), sum(hash, message)}, nil)
}

var serial atomic.Int64

// token makes a token over an imprint.
func (o Options) token(imprint MessageImprint, nonce *big.Int) ([]byte, error) {
	info, err := o.info(imprint, nonce)
	if err != nil {
		return nil, err
	}
	content, err := asn1.Marshal(info)
	if err != nil {
		return nil, err
	}
	signer, err := o.signerInfo(content)
	if err != nil {
		return nil, err
	}
	data := SignedData{
		Version:          3,
		DigestAlgorithms: []pkix.AlgorithmIdentifier{signer.DigestAlgorithm},
		Content:          EncapsulatedContentInfo{Type: OIDTSTInfo, Content: content},
		SignerInfos:      []SignerInfo{signer},
	}
	if !o.NoCertificates {
		data.Certificates = CertificateSet(o.certificates())
	}
	if o.EditSignedData != nil {
		o.EditSignedData(&data)
	}
	signedData, err := asn1.Marshal(data)
	if err != nil {
		return nil, err
	}
	explicit := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: signedData}
	token, err := asn1.Marshal(contentInfo{OIDSignedData, explicit})
	if err != nil {
		return nil, err
	}
	if o.Indefinite {
		token = Indefinite(token)
	}
	if o.EditToken != nil {
		token = o.EditToken(token)
	}
	return token, nil
}

func (o Options) info(imprint MessageImprint, nonce *big.Int) (TSTInfo, error) {
	genTime := o.GenTime
	if genTime.IsZero() {
		genTime = time.Now().Truncate(time.Second)
	}
	info := TSTInfo{
		Version: 1, Policy: o.Policy, MessageImprint: imprint, SerialNumber: big.NewInt(serial.Add(1)),
		GenTime: GeneralizedTime(genTime.UTC().Format("20060102150405.999999999Z")), Nonce: nonce,
	}
	if info.Policy == nil {
		info.Policy = OIDTestPolicy
	}
	if o.NoNULL {
		info.MessageImprint.HashAlgorithm.Parameters = asn1.RawValue{}
	}
	if o.Accuracy != nil {
		der, err := asn1.Marshal(*o.Accuracy)
		if err != nil {
			return TSTInfo{}, err
		}
		info.Accuracy = asn1.RawValue{FullBytes: der}
	}
	if o.EditInfo != nil {
		o.EditInfo(&info)
	}
	return info, nil
}

// GeneralizedTime encodes a time's text as it is.
func GeneralizedTime(text string) asn1.RawValue {
	return asn1.RawValue{Tag: asn1.TagGeneralizedTime, Bytes: []byte(text)}
}

// CertificateSet encodes the certificates of a SignedData.
func CertificateSet(certs []*x509.Certificate) asn1.RawValue {
	set := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true}
	for _, cert := range certs {
		set.Bytes = append(set.Bytes, cert.Raw...)
	}
	return set
}

func (o Options) certificates() []*x509.Certificate {
	if o.Certificates != nil {
		return o.Certificates
	}
	chain := o.Signer.Chain()
	return chain[:max(1, len(chain)-1)]
}

// signerInfo signs a content.
func (o Options) signerInfo(content []byte) (SignerInfo, error) {
	hash := o.Hash
	if hash == 0 {
		hash = crypto.SHA256
	}
	info := SignerInfo{Version: 1, DigestAlgorithm: o.hashAlgorithm(hash)}
	sid, err := asn1.Marshal(struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}{asn1.RawValue{FullBytes: o.Signer.Cert.RawIssuer}, o.Signer.Cert.SerialNumber})
	if err != nil {
		return SignerInfo{}, err
	}
	info.SID = asn1.RawValue{FullBytes: sid}
	if o.SKI {
		info.Version = 3
		info.SID = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, Bytes: o.Signer.Cert.SubjectKeyId}
	}
	attributes, err := o.attributes(content, hash)
	if err != nil {
		return SignerInfo{}, err
	}
	set, err := asn1.MarshalWithParams(attributes, "set")
	if err != nil {
		return SignerInfo{}, err
	}
	info.SignatureAlgorithm, info.Signature, err = o.sign(set, hash)
	if err != nil {
		return SignerInfo{}, err
	}
	if len(attributes) > 0 {
		implicit := append([]byte{0xa0}, set[1:]...)
		info.Attributes = asn1.RawValue{FullBytes: implicit}
	}
	if o.EditSigner != nil {
		o.EditSigner(&info)
	}
	return info, nil
}

func (o Options) hashAlgorithm(hash crypto.Hash) pkix.AlgorithmIdentifier {
	algorithm := HashAlgorithm(hash)
	if o.NoNULL {
		algorithm.Parameters = asn1.RawValue{}
	}
	return algorithm
}

// sign signs a message and names the algorithm.
func (o Options) sign(message []byte, hash crypto.Hash) (pkix.AlgorithmIdentifier, []byte, error) {
	var algorithm pkix.AlgorithmIdentifier
	var opts crypto.SignerOpts = hash
	arc := map[crypto.Hash]int{crypto.SHA1: 5, crypto.SHA256: 11, crypto.SHA384: 12, crypto.SHA512: 13}[hash]
	switch o.Signer.Key.Public().(type) {
	case *ecdsa.PublicKey:
		algorithm.Algorithm = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, arc - 9}
		if hash == crypto.SHA1 {
			algorithm.Algorithm = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}
		}
	case *rsa.PublicKey:
		switch o.Scheme {
		case RSAEncryption:
			algorithm = pkix.AlgorithmIdentifier{Algorithm: oidRSAEncryption, Parameters: asn1.NullRawValue}
		case PKCS1v15:
			algorithm = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, arc}, Parameters: asn1.NullRawValue}
		case PSS:
			algorithm = PSSAlgorithm(hash, hash, hash.Size())
			opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
		}
	default:
		return algorithm, nil, fmt.Errorf("testtsa: key %T", o.Signer.Key)
	}
	signature, err := o.Signer.Key.Sign(rand.Reader, sum(hash, message), opts)
	return algorithm, signature, err
}

// PSSAlgorithm is the AlgorithmIdentifier of RSASSA-PSS.
func PSSAlgorithm(hash, mask crypto.Hash, salt int) pkix.AlgorithmIdentifier {
	type mgf struct {
		Algorithm asn1.ObjectIdentifier
		Hash      pkix.AlgorithmIdentifier
	}
	der, err := asn1.Marshal(struct {
		Hash pkix.AlgorithmIdentifier `asn1:"explicit,tag:0"`
		MGF  mgf                      `asn1:"explicit,tag:1"`
		Salt int                      `asn1:"explicit,tag:2"`
	}{HashAlgorithm(hash), mgf{oidMGF1, HashAlgorithm(mask)}, salt})
	if err != nil {
		panic(err) // constants that always encode
	}
	return pkix.AlgorithmIdentifier{Algorithm: oidPSS, Parameters: asn1.RawValue{FullBytes: der}}
}
