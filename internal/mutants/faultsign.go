package mutants

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// Certificates that faults answer with, in the folder of the key: for the same key
// but against the rules, for the same key but expired, and for a key of another spec.
const (
	BadCertificates     = "bad.crt"
	ExpiredCertificates = "expired.crt"
	OtherCertificates   = "other.crt"
)

// signFaults are those of plugins that sign bytes.
var signFaults = map[string]map[string]Mutant{
	"describe.answers":  {"error": {change: answers(describing, func(c *call, _ map[string]any) { general(c) })}},
	"describe.key-id":   {"other": {change: answers(describing, set("keyId", "another"))}, "none": {change: answers(describing, drop("keyId"))}},
	"describe.key-spec": {"unknown": {change: answers(describing, set("keySpec", "RSA-1024"))}},
	"key.unknown":       {"general": {change: unknownKey(general)}, "other-code": {change: unknownKey(func(c *call) { c.fail(protocol.CodeUnsupportedContract) })}},

	"sign.answers":   {"error": {change: answers(generating, func(c *call, _ map[string]any) { general(c) })}},
	"sign.key-id":    {"other": {change: answers(generating, set("keyId", "another"))}},
	"sign.algorithm": {"other": {change: answers(generating, set("signingAlgorithm", "RSASSA-PSS-SHA-256"))}, "lower": {change: answers(generating, set("signingAlgorithm", "ecdsa-sha-256"))}},
	"sign.form":      {"der": {change: answers(generating, asn1)}},
	"sign.salt":      {"longest": {Key: protocol.KeySpecRSA2048, change: answers(generating, salted)}},
	"sign.verifies": {
		"other-payload": {change: answers(generating, func(c *call, _ map[string]any) {
			c.repeatWith(map[string]any{"payload": []byte("something else")})
		})},
		"pkcs1v15": {Key: protocol.KeySpecRSA2048, change: answers(generating, pkcs1v15)},
	},
	"sign.payloads": {"cut": {change: answers(generating, func(c *call, _ map[string]any) {
		if payload := c.payload(); len(payload) > 4096 {
			c.repeatWith(map[string]any{"payload": payload[:4096]})
		}
	})}},
	"sign.leaf": {"other": {change: answers(generating, chainFrom(OtherCertificates))}},
	"sign.chain": {
		"reversed": {change: answers(generating, chain(func(ders []any) []any { slices.Reverse(ders); return ders }))},
		"no-root":  {change: answers(generating, chain(func(ders []any) []any { return ders[:len(ders)-1] }))},
		"no-chain": {change: answers(generating, chain(func([]any) []any { return []any{} }))},
		"shuffled": {change: answers(generating, chain(func(ders []any) []any { return []any{ders[0], ders[2], ders[1]} }))},
		"pem":      {change: answers(generating, chain(func([]any) []any { return []any{[]byte("-----BEGIN CERTIFICATE-----")} }))},
	},
	"sign.certificates": {"usage": {change: answers(generating, chainFrom(BadCertificates))}},
	"sign.validity":     {"expired": {change: answers(generating, chainFrom(ExpiredCertificates))}},
	"sign.key-spec": {"ignored": {change: on(generating, func(c *call) {
		if suite, _ := protocol.SuiteOf(keySpec(c)); c.request["hashAlgorithm"] == string(suite.Hash) && suite.KeySpec != protocol.KeySpecEC256 && suite.KeySpec != "" {
			c.repeatWith(map[string]any{"keySpec": protocol.KeySpecEC256, "hashAlgorithm": protocol.HashSHA256})
		}
	})}},
	"sign.hash": {"ignored": {change: on(generating, func(c *call) {
		if hash, _ := c.request["hashAlgorithm"].(string); keySpec(c) == protocol.KeySpecEC256 && hash != "" && hash != string(protocol.HashSHA256) {
			c.repeatWith(map[string]any{"hashAlgorithm": protocol.HashSHA256})
		}
	})}},
	"public-key.describe": {
		"other": {change: answers(describing, func(c *call, m map[string]any) {
			stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				panic(err)
			}
			if m["publicKey"], err = x509.MarshalPKIXPublicKey(stranger.Public()); err != nil {
				panic(err)
			}
			c.respond(m)
		})},
		"pem":  {change: answers(describing, set("publicKey", []byte("-----BEGIN PUBLIC KEY-----")))},
		"none": {change: answers(describing, drop("publicKey"))},
	},
	"public-key.csr": {
		"refused": {change: answers(generating, func(c *call, _ map[string]any) {
			if c.request["purpose"] != nil {
				c.fail(protocol.CodeValidation)
			}
		})},
		"other-payload": {change: answers(generating, func(c *call, _ map[string]any) {
			if c.request["purpose"] != nil {
				c.repeatWith(map[string]any{"payload": []byte("something else")})
			}
		})},
	},
}

// envelopeFaults are those of plugins that make whole envelopes.
var envelopeFaults = map[string]map[string]Mutant{
	"envelope.answers": {
		"refused": {change: answers(wrapping, func(c *call, _ map[string]any) { c.fail(protocol.CodeValidation) })},
		"cose-error": {change: answers(wrapping, func(c *call, _ map[string]any) {
			if c.request["signatureEnvelopeType"] == envelope.MediaTypeCOSE {
				general(c)
			}
		})},
	},
	"envelope.type": {"none": {change: answers(wrapping, drop("signatureEnvelopeType"))}, "short": {change: answers(wrapping, set("signatureEnvelopeType", "jws"))}},
	"envelope.form": {
		"garbage": {change: answers(wrapping, set("signatureEnvelope", []byte("garbage")))},
		"jws-always": {change: answers(wrapping, func(c *call, _ map[string]any) {
			wanted := c.request["signatureEnvelopeType"]
			c.repeatWith(map[string]any{"signatureEnvelopeType": envelope.MediaTypeJWS})
			set("signatureEnvelopeType", wanted)(c, c.answer())
		})},
	},
	"envelope.signature": {"broken": {change: answers(wrapping, jws(func(members map[string]any) {
		signature, _ := base64.RawURLEncoding.DecodeString(members["signature"].(string))
		signature[0] ^= 1
		members["signature"] = base64.RawURLEncoding.EncodeToString(signature)
	}))}},
	"envelope.chain": {"no-root": {change: answers(wrapping, jws(func(members map[string]any) {
		header := members["header"].(map[string]any)
		certificates := header["x5c"].([]any)
		header["x5c"] = certificates[:len(certificates)-1]
	}))}},
	"envelope.payload": {
		"size":   {change: answers(wrapping, target(func(target map[string]any) { target["size"] = 529 }))},
		"digest": {change: answers(wrapping, target(func(target map[string]any) { target["digest"] = "sha256:" + strings.Repeat("0", 64) }))},
		"member": {change: answers(wrapping, target(func(target map[string]any) { target["vendor"] = "acme" }))},
	},
	"envelope.annotations": {
		"dropped": {change: answers(wrapping, target(func(target map[string]any) { delete(target, "annotations") }))},
		"changed": {change: answers(wrapping, target(func(target map[string]any) {
			target["annotations"] = map[string]string{"com.example.conformance": "changed"}
		}))},
	},
	"envelope.expiry": {
		"ignored": {change: answers(wrapping, func(c *call, _ map[string]any) { c.repeatWith(map[string]any{"expiryDurationInSeconds": nil}) })},
		"minutes": {change: answers(wrapping, func(c *call, _ map[string]any) {
			if c.request["expiryDurationInSeconds"] != nil {
				c.repeatWith(map[string]any{"expiryDurationInSeconds": 60 * 3600})
			}
		})},
		"always": {change: answers(wrapping, func(c *call, _ map[string]any) {
			if c.request["expiryDurationInSeconds"] == nil {
				c.repeatWith(map[string]any{"expiryDurationInSeconds": 3600})
			}
		})},
	},
	"envelope.unknown-type": {
		"general": {change: unknownType("signatureEnvelopeType", general)},
		"jws":     {change: unknownType("signatureEnvelopeType", func(c *call) { c.repeatWith(map[string]any{"signatureEnvelopeType": envelope.MediaTypeJWS}) })},
	},
	"envelope.payload-type": {"ignored": {change: unknownType("payloadType", func(c *call) { c.repeatWith(map[string]any{"payloadType": envelope.MediaTypePayload}) })}},
}

func keySpec(c *call) protocol.KeySpec {
	spec, _ := c.request["keySpec"].(string)
	return protocol.KeySpec(spec)
}

// payload is the request's.
func (c *call) payload() []byte {
	text, _ := c.request["payload"].(string)
	data, _ := base64.StdEncoding.DecodeString(text)
	return data
}

// chain makes a fault of the certificates in an answer.
func chain(change func(ders []any) []any) func(*call, map[string]any) {
	return func(c *call, members map[string]any) {
		if ders, _ := members["certificateChain"].([]any); len(ders) > 0 { // none for a CSR
			members["certificateChain"] = change(ders)
			c.respond(members)
		}
	}
}

// chainFrom makes a fault that answers with other certificates.
func chainFrom(file string) func(*call, map[string]any) {
	return func(c *call, members map[string]any) {
		members["certificateChain"] = chainOf(c, file)
		c.respond(members)
	}
}

// chainOf reads certificates from a file beside the key.
func chainOf(c *call, file string) [][]byte {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(c.request["keyId"].(string)), file))
	if err != nil {
		panic(err)
	}
	certs, err := signer.ParseCertificates(text)
	if err != nil {
		panic(err)
	}
	var ders [][]byte
	for _, cert := range certs {
		ders = append(ders, cert.Raw)
	}
	return ders
}

// asn1 answers with ECDSA signatures as most services make them.
func asn1(c *call, members map[string]any) {
	suite, _ := protocol.SuiteOf(keySpec(c))
	if suite.RSA() {
		return
	}
	fixed, err := base64.StdEncoding.DecodeString(members["signature"].(string))
	if err != nil {
		panic(err)
	}
	if members["signature"], err = signer.DERSignature(suite, fixed); err != nil {
		panic(err)
	}
	c.respond(members)
}

// salted signs with the longest salt there can be.
func salted(c *call, members map[string]any) {
	resign(c, members, func(key *rsa.PrivateKey, suite protocol.Suite, digest []byte) ([]byte, error) {
		longest := key.Size() - 2 - suite.CryptoHash.Size() // written out, for in FIPS 140-3 mode Go means another by "auto"
		return rsa.SignPSS(rand.Reader, key, suite.CryptoHash, digest, &rsa.PSSOptions{SaltLength: longest})
	})
}

// pkcs1v15 signs with the other RSA scheme.
func pkcs1v15(c *call, members map[string]any) {
	resign(c, members, func(key *rsa.PrivateKey, suite protocol.Suite, digest []byte) ([]byte, error) {
		return rsa.SignPKCS1v15(nil, key, suite.CryptoHash, digest)
	})
}

func resign(c *call, members map[string]any, sign func(*rsa.PrivateKey, protocol.Suite, []byte) ([]byte, error)) {
	text, err := os.ReadFile(c.request["keyId"].(string))
	if err != nil {
		panic(err)
	}
	key, err := pki.ParsePrivateKey(text)
	if err != nil {
		panic(err)
	}
	suite, _ := protocol.SuiteOf(keySpec(c))
	if members["signature"], err = sign(key.(*rsa.PrivateKey), suite, signer.Digest(suite, c.payload())); err != nil {
		panic(err)
	}
	c.respond(members)
}

// jws makes a fault of JWS envelopes; others stay as they are.
func jws(change func(members map[string]any)) func(*call, map[string]any) {
	return func(c *call, answer map[string]any) {
		data, err := base64.StdEncoding.DecodeString(answer["signatureEnvelope"].(string))
		if err != nil {
			panic(err)
		}
		var members map[string]any
		if json.Unmarshal(data, &members) == nil {
			change(members)
			answer["signatureEnvelope"] = encode(members)
			c.respond(answer)
		}
	}
}

// target makes a fault that signs another descriptor than it was asked to.
func target(change func(target map[string]any)) func(*call, map[string]any) {
	return func(c *call, _ map[string]any) {
		var payload map[string]any
		if err := json.Unmarshal(c.payload(), &payload); err != nil {
			return
		}
		change(payload["targetArtifact"].(map[string]any))
		c.repeatWith(map[string]any{"payload": encode(payload)})
	}
}

// unknownType makes a fault of requests with an unknown type.
func unknownType(member string, change func(*call)) func(*call) {
	return on(wrapping, func(c *call) {
		if c.request[member] == "application/x-conformance" {
			change(c)
		}
	})
}
