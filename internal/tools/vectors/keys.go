package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha3"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
)

// rsaPEM holds a key each of 1024, 2048, 2560, 3072 and 4096 bits. They are known
// to everyone and good for nothing but test vectors.
//
//go:embed rsa.pem
var rsaPEM []byte

// key is a private key that gives the same signature over the same message each
// time, whatever source of randomness it is handed.
type key struct{ crypto.Signer }

// Sign is that of [crypto.Signer].
func (k key) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	private, isRSA := k.Signer.(*rsa.PrivateKey)
	if !isRSA {
		return k.Signer.Sign(nil, digest, opts) // RFC 6979 for ECDSA
	}
	if pss, ok := opts.(*rsa.PSSOptions); ok {
		return signPSS(private, pss.Hash, pss.Hash, digest, pss.Hash.Size()), nil
	}
	return rsa.SignPKCS1v15(nil, private, opts.HashFunc(), digest)
}

// must is for steps that fail only if a scenario is written wrong.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// ecKey derives a key of a curve from a name.
func ecKey(curve elliptic.Curve, name string) key {
	order := curve.Params().N
	size := (order.BitLen() + 7) / 8
	scalar := new(big.Int).SetBytes(sha3.SumSHAKE256([]byte("signet vectors "+name), size+16))
	scalar.Mod(scalar, new(big.Int).Sub(order, big.NewInt(1))).Add(scalar, big.NewInt(1))
	return key{must(ecdsa.ParseRawPrivateKey(curve, scalar.FillBytes(make([]byte, size))))}
}

// edKey derives an Ed25519 key from a name.
func edKey(name string) key {
	return key{ed25519.NewKeyFromSeed(sha3.SumSHAKE256([]byte("signet vectors "+name), ed25519.SeedSize))}
}

// rsaKey is the committed RSA key of a size.
func rsaKey(bits int) key {
	for rest := rsaPEM; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			panic(fmt.Sprintf("no RSA key of %d bits", bits))
		}
		private := must(x509.ParsePKCS8PrivateKey(block.Bytes)).(*rsa.PrivateKey)
		if private.N.BitLen() == bits {
			return key{private}
		}
	}
}

// signPSS makes an RSASSA-PSS signature (RFC 8017, section 8.1.1) with a salt that
// follows from the digest. crypto/rsa would mix in randomness of its own, and has
// one hash for both purposes.
func signPSS(private *rsa.PrivateKey, hash, mask crypto.Hash, digest []byte, saltLength int) []byte {
	bits := private.N.BitLen() - 1
	length := (bits + 7) / 8
	salt := sha3.SumSHAKE256(digest, saltLength)

	h := sum(hash, make([]byte, 8), digest, salt)
	db := make([]byte, length-len(h)-1)
	db[len(db)-saltLength-1] = 1
	copy(db[len(db)-saltLength:], salt)
	for i, b := range mgf1(mask, h, len(db)) {
		db[i] ^= b
	}
	db[0] &= 0xff >> (8*length - bits)
	encoded := append(append(db, h...), 0xbc)
	return power(private, encoded)
}

// mgf1 is the mask generation function of RFC 8017, appendix B.2.1.
func mgf1(hash crypto.Hash, seed []byte, length int) []byte {
	var out []byte
	for counter := byte(0); len(out) < length; counter++ {
		out = append(out, sum(hash, seed, []byte{0, 0, 0, counter})...)
	}
	return out[:length]
}

// power is the private-key operation.
func power(private *rsa.PrivateKey, encoded []byte) []byte {
	m := new(big.Int).SetBytes(encoded)
	return m.Exp(m, private.D, private.N).FillBytes(make([]byte, private.Size()))
}

// sum hashes parts one after the other.
func sum(hash crypto.Hash, parts ...[]byte) []byte {
	h := hash.New()
	h.Write(bytes.Join(parts, nil))
	return h.Sum(nil)
}
