// Package testpki makes certificate authorities, signers and time-stamping
// authorities for tests: well-formed by default, wrong in just the way a test
// asks for.
package testpki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signet-project/signet/protocol"
)

// Specs lists every key spec of the contract, in the order of the
// specification's table.
var Specs = []protocol.KeySpec{
	protocol.KeySpecRSA2048, protocol.KeySpecRSA3072, protocol.KeySpecRSA4096,
	protocol.KeySpecEC256, protocol.KeySpecEC384, protocol.KeySpecEC521,
}

// Entity is a certificate with its private key and the entity that issued it.
type Entity struct {
	Cert *x509.Certificate
	Key  crypto.Signer
	// Issuer is nil for a self-signed entity.
	Issuer *Entity
}

// Edit changes a certificate's template before it is issued.
type Edit func(*x509.Certificate)

// Validity sets notBefore and notAfter.
func Validity(notBefore, notAfter time.Time) Edit {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = notBefore, notAfter }
}

// Subject replaces the subject.
func Subject(name pkix.Name) Edit {
	return func(c *x509.Certificate) { c.Subject = name }
}

// Root makes a self-signed P-256 certificate authority.
func Root(t testing.TB, name string, edits ...Edit) *Entity {
	t.Helper()
	return Authority(t, nil, name, protocol.KeySpecEC256, edits...)
}

// Authority makes a certificate authority with a key of the given spec, below e
// or self-signed when e is nil.
func Authority(t testing.TB, e *Entity, name string, spec protocol.KeySpec, edits ...Edit) *Entity {
	t.Helper()
	return issue(t, e, FreshKey(t, spec), caTemplate(name), edits)
}

// Intermediate makes a P-256 certificate authority below e.
func (e *Entity) Intermediate(t testing.TB, name string, edits ...Edit) *Entity {
	t.Helper()
	return Authority(t, e, name, protocol.KeySpecEC256, edits...)
}

// Leaf makes a code-signing certificate below e with a key of the given spec.
func (e *Entity) Leaf(t testing.TB, name string, spec protocol.KeySpec, edits ...Edit) *Entity {
	t.Helper()
	return issue(t, e, Key(t, spec), leafTemplate(name), edits)
}

// LeafFor makes a code-signing certificate below e for a public key whose
// private half is elsewhere; the entity's Key cannot sign.
func (e *Entity) LeafFor(t testing.TB, name string, public crypto.PublicKey, edits ...Edit) *Entity {
	t.Helper()
	return issue(t, e, publicOnly{public}, leafTemplate(name), edits)
}

// publicOnly is a crypto.Signer that doesn't sign.
type publicOnly struct{ public crypto.PublicKey }

func (k publicOnly) Public() crypto.PublicKey { return k.public }

func (k publicOnly) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("the private key is not here")
}

// SelfSigned makes a self-signed code-signing certificate: a chain of one.
func SelfSigned(t testing.TB, name string, spec protocol.KeySpec, edits ...Edit) *Entity {
	t.Helper()
	return issue(t, nil, Key(t, spec), leafTemplate(name), edits)
}

// TSA makes a time-stamping certificate below e: critical extended key usage,
// id-kp-timeStamping alone.
func (e *Entity) TSA(t testing.TB, name string, spec protocol.KeySpec, edits ...Edit) *Entity {
	t.Helper()
	template := leafTemplate(name)
	template.ExtKeyUsage = nil
	value, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		t.Fatal(err)
	}
	template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: value}}
	return issue(t, e, Key(t, spec), template, edits)
}

// Chain returns the certificates from e to its root.
func (e *Entity) Chain() []*x509.Certificate {
	var chain []*x509.Certificate
	for ; e != nil; e = e.Issuer {
		chain = append(chain, e.Cert)
	}
	return chain
}

// RawChain returns the DER of the certificates from e to its root.
func (e *Entity) RawChain() [][]byte {
	var raw [][]byte
	for _, cert := range e.Chain() {
		raw = append(raw, cert.Raw)
	}
	return raw
}

// ChainPEM returns the certificates from e to its root as PEM blocks.
func (e *Entity) ChainPEM() []byte {
	var out []byte
	for _, cert := range e.Chain() {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return out
}

// CertPEM returns e's own certificate as a PEM block.
func (e *Entity) CertPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.Cert.Raw})
}

// KeyPEM returns e's private key as a PKCS#8 PEM block.
func (e *Entity) KeyPEM(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(e.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// WriteFiles writes dir/name.key and dir/name.crt (the whole chain) and returns
// their paths.
func (e *Entity) WriteFiles(t testing.TB, dir, name string) (keyPath, certPath string) {
	t.Helper()
	keyPath, certPath = filepath.Join(dir, name+".key"), filepath.Join(dir, name+".crt")
	for path, data := range map[string][]byte{keyPath: e.KeyPEM(t), certPath: e.ChainPEM()} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return keyPath, certPath
}

var keys sync.Map // protocol.KeySpec → func() (crypto.Signer, error)

// Key returns a key of a spec. RSA keys are made once a process and shared,
// because making them is slow; use FreshKey where two must differ.
func Key(t testing.TB, spec protocol.KeySpec) crypto.Signer {
	t.Helper()
	if suite, _ := protocol.SuiteOf(spec); !suite.RSA() {
		return FreshKey(t, spec)
	}
	once, _ := keys.LoadOrStore(spec, sync.OnceValues(func() (crypto.Signer, error) { return generate(spec) }))
	key, err := once.(func() (crypto.Signer, error))()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// FreshKey makes a new key of a spec.
func FreshKey(t testing.TB, spec protocol.KeySpec) crypto.Signer {
	t.Helper()
	key, err := generate(spec)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func generate(spec protocol.KeySpec) (crypto.Signer, error) {
	switch spec {
	case protocol.KeySpecEC256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case protocol.KeySpecEC384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case protocol.KeySpecEC521:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	}
	suite, _ := protocol.SuiteOf(spec)
	return rsa.GenerateKey(rand.Reader, suite.Bits)
}

func caTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:               DefaultSubject(name),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
}

func leafTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:     DefaultSubject(name),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
}

// DefaultSubject is the subject of an entity called name:
// CN=name,O=signet test,L=Seattle,ST=WA,C=US.
func DefaultSubject(name string) pkix.Name {
	return pkix.Name{CommonName: name, Organization: []string{"signet test"}, Locality: []string{"Seattle"}, Province: []string{"WA"}, Country: []string{"US"}}
}

var serial atomic.Int64

// issue signs template with issuer's key, or with key itself when issuer is
// nil. Validity defaults to an hour ago until tomorrow.
func issue(t testing.TB, issuer *Entity, key crypto.Signer, template *x509.Certificate, edits []Edit) *Entity {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	template.SerialNumber = big.NewInt(now.UnixMicro() + serial.Add(1))
	template.NotBefore, template.NotAfter = now.Add(-time.Hour), now.Add(24*time.Hour)
	for _, edit := range edits {
		edit(template)
	}
	parent, signer := template, key
	if issuer != nil {
		parent, signer = issuer.Cert, issuer.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &Entity{Cert: cert, Key: key, Issuer: issuer}
}

// Issue makes an entity below e, or a self-signed one when e is nil, from a
// template and key of the caller's own.
func Issue(t testing.TB, e *Entity, key crypto.Signer, template *x509.Certificate, edits ...Edit) *Entity {
	t.Helper()
	return issue(t, e, key, template, edits)
}
