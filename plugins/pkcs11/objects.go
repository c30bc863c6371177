//go:build cgo

package pkcs11

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"

	cryptoki "github.com/miekg/pkcs11"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// maxObjects bounds the objects of one class that are looked at.
const maxObjects = 512

var errNoPrivateKey = errors.New("no private key")

// object is what all objects have.
type object struct {
	handle cryptoki.ObjectHandle
	id     []byte
	label  string
}

// publicPool is what a token shows of its public keys and certificates.
type publicPool struct {
	keys  []candidate
	certs []certificate
	// unusable says why a key that the URI matches can't be used.
	unusable error
}

type certificate struct {
	candidate
	x509 *x509.Certificate
}

// readPublic reads all certificates, and the public keys that u matches.
func (s *session) readPublic(u *uri) (*publicPool, error) {
	pool := &publicPool{}
	keys, err := s.objects(cryptoki.CKO_PUBLIC_KEY, nil)
	if err != nil {
		return nil, err
	}
	for _, o := range keys {
		public, err := s.publicKey(o.handle)
		if err == nil {
			pool.keys = append(pool.keys, candidate{o.id, o.label, public})
		} else if u.matchesObject(o.id, o.label) {
			pool.unusable = fmt.Errorf("public key object=%s;id=%s: %w", o.label, encodeID(o.id), err)
		}
	}
	certs, err := s.objects(cryptoki.CKO_CERTIFICATE, nil)
	if err != nil {
		return nil, err
	}
	for _, o := range certs {
		cert, err := x509.ParseCertificate(s.attribute(o.handle, cryptoki.CKA_VALUE))
		if err == nil { // others are of no use here
			pool.certs = append(pool.certs, certificate{candidate{o.id, o.label, cert.PublicKey}, cert})
		}
	}
	return pool, nil
}

// matching returns the key pairs that u matches by their public key or, where no
// public key does, by their certificate.
func (p *publicPool) matching(u *uri) []candidate {
	var found []candidate
	add := func(c candidate) {
		if u.matchesObject(c.id, c.label) && !slices.ContainsFunc(found, func(f candidate) bool { return signer.SamePublicKey(f.public, c.public) }) {
			found = append(found, c)
		}
	}
	for _, c := range p.keys {
		add(c)
	}
	if len(found) > 0 {
		return found
	}
	for _, c := range p.certs {
		if !c.x509.IsCA && len(c.id) > 0 {
			add(c.candidate)
		}
	}
	return found
}

// publicOf finds the public key of a private one by its CKA_ID.
func (p *publicPool) publicOf(id []byte) crypto.PublicKey {
	if len(id) == 0 {
		return nil
	}
	for _, c := range p.keys {
		if bytes.Equal(c.id, id) {
			return c.public
		}
	}
	for _, c := range p.certs {
		if bytes.Equal(c.id, id) {
			return c.public
		}
	}
	return nil
}

// relevant returns the certificates of candidates and, as far as they are there,
// those of their issuers.
func (p *publicPool) relevant(candidates []candidate) []*x509.Certificate {
	var found []*x509.Certificate
	for _, cert := range p.certs {
		if slices.ContainsFunc(candidates, func(c candidate) bool { return signer.SamePublicKey(c.public, cert.public) }) {
			found = append(found, cert.x509)
		}
	}
	for i := 0; i < len(found); i++ {
		for _, cert := range p.certs {
			if bytes.Equal(cert.x509.RawSubject, found[i].RawIssuer) && !slices.ContainsFunc(found, cert.x509.Equal) {
				found = append(found, cert.x509)
			}
		}
	}
	return found
}

// readPrivate finds the private keys that u matches, with their public keys.
func (s *session) readPrivate(u *uri, pool *publicPool) ([]candidate, error) {
	objects, err := s.objects(cryptoki.CKO_PRIVATE_KEY, nil)
	if err != nil {
		return nil, err
	}
	var found []candidate
	for _, o := range objects {
		if !u.matchesObject(o.id, o.label) {
			continue
		}
		public := pool.publicOf(o.id)
		if public == nil {
			if public, err = s.publicKey(o.handle); err != nil {
				pool.unusable = fmt.Errorf("private key object=%s;id=%s: the token has neither public key nor certificate with that id: %w", o.label, encodeID(o.id), err)
				continue
			}
		}
		found = append(found, candidate{o.id, o.label, public})
	}
	return found, nil
}

// findPrivate finds the private half of a key pair: by id, or by label where it
// has none. Of several the one that tells the same public key is taken, or else
// the first: the signature is verified before it goes out.
func (s *session) findPrivate(c candidate) (cryptoki.ObjectHandle, error) {
	template := []*cryptoki.Attribute{cryptoki.NewAttribute(cryptoki.CKA_ID, c.id)}
	if len(c.id) == 0 {
		template = []*cryptoki.Attribute{cryptoki.NewAttribute(cryptoki.CKA_LABEL, c.label)}
	}
	objects, err := s.objects(cryptoki.CKO_PRIVATE_KEY, template)
	if err != nil {
		return 0, err
	}
	if len(objects) == 0 {
		return 0, errNoPrivateKey
	}
	for _, o := range objects {
		if public, err := s.publicKey(o.handle); err == nil && signer.SamePublicKey(public, c.public) {
			return o.handle, nil
		}
	}
	return objects[0].handle, nil
}

// objects lists the objects of a class.
func (s *session) objects(class uint, template []*cryptoki.Attribute) ([]object, error) {
	template = append([]*cryptoki.Attribute{cryptoki.NewAttribute(cryptoki.CKA_CLASS, class)}, template...)
	if err := s.FindObjectsInit(s.handle, template); err != nil {
		return nil, err
	}
	var handles []cryptoki.ObjectHandle
	for {
		more, _, err := s.FindObjects(s.handle, 64)
		if err != nil {
			_ = s.FindObjectsFinal(s.handle)
			return nil, err
		}
		handles = append(handles, more...)
		if len(more) == 0 || len(handles) > maxObjects {
			break
		}
	}
	if err := s.FindObjectsFinal(s.handle); err != nil {
		return nil, err
	}
	if len(handles) > maxObjects {
		return nil, protocol.Errorf(protocol.CodeValidation, "the token has more than %d objects of one class, too many to search", maxObjects)
	}
	objects := make([]object, len(handles))
	for i, handle := range handles {
		objects[i] = object{handle, s.attribute(handle, cryptoki.CKA_ID), string(s.attribute(handle, cryptoki.CKA_LABEL))}
	}
	return objects, nil
}

// attribute reads one attribute; nil when the object has none or doesn't tell.
func (s *session) attribute(handle cryptoki.ObjectHandle, kind uint) []byte {
	got, err := s.GetAttributeValue(s.handle, handle, []*cryptoki.Attribute{cryptoki.NewAttribute(kind, nil)})
	if err != nil || len(got) != 1 || len(got[0].Value) > 64<<10 {
		return nil
	}
	return got[0].Value
}

// flag reads a boolean attribute; absent is false.
func (s *session) flag(handle cryptoki.ObjectHandle, kind uint) bool {
	value := s.attribute(handle, kind)
	return len(value) == 1 && value[0] != 0
}

// publicKey reads the public key that an object, public or private, tells.
func (s *session) publicKey(handle cryptoki.ObjectHandle) (crypto.PublicKey, error) {
	if spki := s.attribute(handle, cryptoki.CKA_PUBLIC_KEY_INFO); len(spki) > 0 {
		if public, err := x509.ParsePKIXPublicKey(spki); err == nil {
			return public, nil
		}
	}
	modulus, exponent := s.attribute(handle, cryptoki.CKA_MODULUS), s.attribute(handle, cryptoki.CKA_PUBLIC_EXPONENT)
	if len(modulus) > 0 && len(exponent) > 0 {
		return rsaKey(modulus, exponent)
	}
	params, point := s.attribute(handle, cryptoki.CKA_EC_PARAMS), s.attribute(handle, cryptoki.CKA_EC_POINT)
	if len(params) > 0 && len(point) > 0 {
		return ecKey(params, point)
	}
	return nil, errors.New("neither an RSA nor an EC public key can be read from it")
}

func rsaKey(modulus, exponent []byte) (crypto.PublicKey, error) {
	e := new(big.Int).SetBytes(exponent)
	if !e.IsInt64() || e.Int64() < 3 || e.Int64() > math.MaxInt32 {
		return nil, errors.New("the RSA public exponent is out of range")
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: int(e.Int64())}, nil
}

// The curves of the contract by the DER of their object identifiers, as
// CKA_EC_PARAMS has them.
var curves = map[string]elliptic.Curve{
	"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07": elliptic.P256(),
	"\x06\x05\x2b\x81\x04\x00\x22":             elliptic.P384(),
	"\x06\x05\x2b\x81\x04\x00\x23":             elliptic.P521(),
}

// ecKey makes a public key of a point, which is a DER OCTET STRING or, from
// tokens that know no better, bare.
func ecKey(params, point []byte) (crypto.PublicKey, error) {
	curve, ok := curves[string(params)]
	if !ok {
		return nil, fmt.Errorf("its curve (parameters %x) is none of P-256, P-384 and P-521", params)
	}
	var inner cryptobyte.String
	if input := cryptobyte.String(point); input.ReadASN1(&inner, asn1.OCTET_STRING) && input.Empty() {
		point = inner
	}
	return ecdsa.ParseUncompressedPublicKey(curve, point)
}
