package main

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/rsa"
	"math/big"
	"slices"
)

// The signers of the other kinds of key. Their certificates are alike.
var (
	p384    = issue(root, "signer", ecKey(elliptic.P384(), "signer"), leafTemplate)
	p521    = issue(root, "signer", ecKey(elliptic.P521(), "signer"), leafTemplate)
	p224    = issue(root, "signer", ecKey(elliptic.P224(), "signer"), leafTemplate)
	edwards = issue(root, "signer", edKey("signer"), leafTemplate)
	rsa1024 = issue(root, "signer", rsaKey(1024), leafTemplate)
	rsa2048 = issue(root, "signer", rsaKey(2048), leafTemplate)
	rsa2560 = issue(root, "signer", rsaKey(2560), leafTemplate)
	rsa3072 = issue(root, "signer", rsaKey(3072), leafTemplate)
	rsa4096 = issue(root, "signer", rsaKey(4096), leafTemplate)
)

// algorithms is about keys, algorithms and the signature value.
var algorithms = []scenario{
	{"ALG-01", "RSA 2048", valid, both, by(rsa2048)},
	{"ALG-01", "RSA 3072", valid, both, by(rsa3072)},
	{"ALG-01", "RSA 4096", valid, both, by(rsa4096)},
	{"ALG-01", "RSA 1024", integrity, both, by(rsa1024)},
	{"ALG-01", "RSA 2560", integrity, both, by(rsa2560)},
	{"ALG-02", "P-256", valid, both, by(leaf)},
	{"ALG-02", "P-384", valid, both, by(p384)},
	{"ALG-02", "P-521", valid, both, by(p521)},
	{"ALG-02", "P-224", integrity, both, by(p224)},
	{"ALG-02", "Ed25519", integrity, both, by(edwards)},

	{"ENV-25", "no algorithm", malformed, both, suited(nil, nil)},
	{"ENV-25", "algorithm none", malformed, []string{jws}, suited("none", nil)},
	{"ENV-25", "HMAC with the public key", malformed, both, suited("HS256", 5)},
	{"ENV-25", "RSASSA-PKCS1-v1_5", malformed, both, suited("RS256", -257)},
	{"ENV-25", "EdDSA", malformed, both, suited("EdDSA", -8)},
	{"ENV-25", "secp256k1", malformed, both, suited("ES256K", -47)},
	{"ENV-25", "algorithm in lower case", malformed, []string{jws}, suited("es256", nil)},
	{"ENV-25", "algorithm of the wrong type", malformed, both, suited(-7, "ES256")},
	{"ENV-26", "P-256 key, algorithm of P-384", integrity, both, suitedAs("EC-384")},
	{"ENV-26", "P-384 key, algorithm of P-256", integrity, both, func(s *scene) { s.by(p384); s.suite = suites["EC-256"] }},
	{"ENV-26", "RSA 2048 key, algorithm of RSA 4096", integrity, both, func(s *scene) { s.by(rsa2048); s.suite = suites["RSA-4096"] }},
	{"ENV-26", "RSA 4096 key, algorithm of RSA 2048", integrity, both, func(s *scene) { s.by(rsa4096); s.suite = suites["RSA-2048"] }},
	{"ENV-26", "EC key, algorithm of RSA", integrity, both, func(s *scene) {
		s.sign = func(message []byte) []byte { return signature(leaf.Key, crypto.SHA256, message) }
		s.suite = suites["RSA-2048"]
	}},
	{"ENV-26", "the right algorithm named, another hash used", integrity, both, func(s *scene) {
		s.sign = func(message []byte) []byte { return signature(leaf.Key, crypto.SHA384, message) }
	}},
	{"ALG-03", "signed by another key", integrity, both, signedBy(func(message []byte) []byte { return signature(stranger.Key, crypto.SHA256, message) })},
	{"ALG-03", "signed by the key of the issuer", integrity, both, signedBy(func(message []byte) []byte { return signature(root.Key, crypto.SHA256, message) })},

	{"ENV-41", "ECDSA signature in DER", integrity, both, signedBy(func(message []byte) []byte {
		return must(leaf.Key.Sign(nil, sum(crypto.SHA256, message), crypto.SHA256))
	})},
	{"ENV-41", "ECDSA signature one byte short", integrity, both, resigned(func(value []byte) []byte { return value[1:] })},
	{"ENV-41", "ECDSA signature one byte long", integrity, both, resigned(func(value []byte) []byte { return append(value, 0) })},
	{"ENV-41", "ECDSA signature with numbers padded", integrity, both, resigned(func(value []byte) []byte {
		return slices.Concat([]byte{0}, value[:32], []byte{0}, value[32:])
	})},
	{"ENV-41", "ECDSA signature of zeros", integrity, both, resigned(func(value []byte) []byte { return make([]byte, len(value)) })},
	{"ENV-41", "ECDSA signature with numbers swapped", integrity, both, resigned(func(value []byte) []byte { return slices.Concat(value[32:], value[:32]) })},
	{"ENV-41", "ECDSA signature with s beyond the order", integrity, both, func(s *scene) {
		s.by(p521)
		s.sign = beyondOrder
	}},
	{"ENV-41", "ECDSA signature with the larger s", valid, both, resigned(largerS)},
	{"ENV-42", "PSS salt of 20 bytes", valid, []string{jws}, pss(crypto.SHA256, 20)},
	{"ENV-42", "PSS salt of 20 bytes", integrity, []string{cose}, pss(crypto.SHA256, 20)},
	{"ENV-42", "PSS without a salt", valid, []string{jws}, pss(crypto.SHA256, 0)},
	{"ENV-42", "PSS without a salt", integrity, []string{cose}, pss(crypto.SHA256, 0)},
	{"ENV-42", "PSS with the mask of SHA-1", integrity, both, pss(crypto.SHA1, 32)},
	{"ENV-42", "RSASSA-PKCS1-v1_5 signature named PSS", integrity, both, func(s *scene) {
		s.by(rsa2048)
		s.sign = func(message []byte) []byte {
			return must(rsa2048.Key.Sign(nil, sum(crypto.SHA256, message), crypto.SHA256))
		}
	}},
	{"ENV-42", "PSS signature of zeros", integrity, both, func(s *scene) {
		s.by(rsa2048)
		s.sign = func([]byte) []byte { return make([]byte, 256) }
	}},

	{"VER-10", "one bit of the signature", integrity, both, resigned(func(value []byte) []byte { value[7] ^= 1; return value })},
	{"VER-10", "another payload put in", integrity, both, func(s *scene) {
		other := bytes.Replace(s.payload, []byte(artifact.Digest), []byte(digestOf([]byte("other"))), 1)
		s.jws.envelope = func(o *object) { o.set("payload", base64URL(other)) }
		s.cose.items = func(items [][]byte) [][]byte { items[2] = cborBytes(other); return items }
	}},
	{"VER-10", "the right payload put in", integrity, both, func(s *scene) {
		right := s.payload
		otherArtifact("digest", digestOf([]byte("other")))(s)
		s.jws.envelope = func(o *object) { o.set("payload", base64URL(right)) }
		s.cose.items = func(items [][]byte) [][]byte { items[2] = cborBytes(right); return items }
	}},
	{"VER-10", "expiry moved afterwards", integrity, both, func(s *scene) {
		s.expires(noon.AddDate(0, 0, -1))
		later := newScene(s.format)
		later.expires(noon.AddDate(0, 0, 1))
		s.jws.envelope = func(o *object) { o.set("protected", base64URL(later.protectedJWS())) }
		s.cose.items = func(items [][]byte) [][]byte { items[0] = cborBytes(later.protectedCOSE()); return items }
	}},
	{"VER-10", "expiry taken out afterwards", integrity, both, func(s *scene) {
		s.expires(noon.AddDate(0, 0, -1))
		plain := newScene(s.format)
		s.jws.envelope = func(o *object) { o.set("protected", base64URL(plain.protectedJWS())) }
		s.cose.items = func(items [][]byte) [][]byte { items[0] = cborBytes(plain.protectedCOSE()); return items }
	}},
	{"VER-10", "chain of another key", integrity, both, func(s *scene) { s.chain = p256Other.RawChain() }},
	{"VER-10", "signature of another envelope", integrity, both, func(s *scene) {
		s.sign = func([]byte) []byte { return signature(leaf.Key, crypto.SHA256, []byte("another message")) }
	}},
	{"VER-10", "tampered, at level audit", integrity, both, func(s *scene) {
		resigned(func(value []byte) []byte { value[7] ^= 1; return value })(s)
		s.level("audit")
	}},
}

// p256Other is a signer like leaf with another key.
var p256Other = issue(root, "signer", ecKey(p256, "other signer"), leafTemplate)

func by(e *entity) func(*scene) { return func(s *scene) { s.by(e) } }

// suited names an algorithm by its JWS name and its COSE number.
func suited(name, number any) func(*scene) {
	return func(s *scene) { s.suite.jws, s.suite.cose = name, number }
}

// suitedAs names the algorithm of another kind of key and uses its hash.
func suitedAs(kind string) func(*scene) { return func(s *scene) { s.suite = suites[kind] } }

func signedBy(sign func([]byte) []byte) func(*scene) { return func(s *scene) { s.sign = sign } }

// resigned changes the signature value of leaf.
func resigned(edit func([]byte) []byte) func(*scene) {
	return signedBy(func(message []byte) []byte { return edit(signature(leaf.Key, crypto.SHA256, message)) })
}

// pss signs by an RSA key of 2048 bits with a mask and a salt of choice.
func pss(mask crypto.Hash, salt int) func(*scene) {
	return func(s *scene) {
		s.by(rsa2048)
		s.sign = func(message []byte) []byte {
			private := rsa2048.Key.(key).Signer.(*rsa.PrivateKey)
			return signPSS(private, crypto.SHA256, mask, sum(crypto.SHA256, message), salt)
		}
	}
}

// largerS replaces s by its negative where that is larger; both are valid.
func largerS(value []byte) []byte {
	order := p256.Params().N
	s := new(big.Int).SetBytes(value[32:])
	if negative := new(big.Int).Sub(order, s); negative.Cmp(s) > 0 {
		negative.FillBytes(value[32:])
	}
	return value
}

// beyondOrder signs by a key of 521 bits, whose numbers have room for more than
// the order of the curve, and adds the order to s.
func beyondOrder(message []byte) []byte {
	r, s := ecdsaSignature(p521.Key, crypto.SHA512, message)
	s.Add(s, elliptic.P521().Params().N)
	return slices.Concat(r.FillBytes(make([]byte, 66)), s.FillBytes(make([]byte, 66)))
}
