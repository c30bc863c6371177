package envelope

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"strings"
	"testing"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

var benchSpecs = []protocol.KeySpec{protocol.KeySpecEC256, protocol.KeySpecEC384, protocol.KeySpecRSA3072}

// benchEntity is a leaf below one intermediate and a root.
func benchEntity(b *testing.B, spec protocol.KeySpec) *testpki.Entity {
	return testpki.Root(b, "root").Intermediate(b, "intermediate").Leaf(b, "leaf", spec)
}

// cached remembers parsed certificates by their bytes, as a verifier would.
func cached() *Parser {
	known := make(map[string]*x509.Certificate)
	return &Parser{Certificates: func(der []byte) (*x509.Certificate, error) {
		if cert, ok := known[string(der)]; ok {
			return cert, nil
		}
		cert, err := x509.ParseCertificate(der)
		if err == nil {
			known[string(der)] = cert
		}
		return cert, err
	}}
}

func benchName(mediaType string) string {
	format, _ := FormatOf(mediaType)
	return strings.ToUpper(string(format))
}

func BenchmarkParse(b *testing.B) {
	entity := benchEntity(b, protocol.KeySpecEC256)
	for _, mediaType := range formats {
		b.Run(benchName(mediaType), func(b *testing.B) {
			data := seal(b, mediaType, entity, DraftOptions{}, SealOptions{Agent: "signet/1.0.0"})
			parser := cached()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := parser.Parse(mediaType, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkVerify compares parsing and verifying an envelope, certificates
// cached, with the bare public-key operation on a hash of the same size.
func BenchmarkVerify(b *testing.B) {
	for _, spec := range benchSpecs {
		entity := benchEntity(b, spec)
		b.Run("bare/"+string(spec), func(b *testing.B) { benchBare(b, entity) })
		for _, mediaType := range formats {
			b.Run(benchName(mediaType)+"/"+string(spec), func(b *testing.B) {
				data := seal(b, mediaType, entity, DraftOptions{}, SealOptions{Agent: "signet/1.0.0"})
				parser := cached()
				b.ReportAllocs()
				for b.Loop() {
					e, err := parser.Parse(mediaType, data)
					if err == nil {
						err = e.VerifySignature()
					}
					if err == nil {
						_, err = e.Target()
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func benchBare(b *testing.B, entity *testpki.Entity) {
	s, err := protocol.SuiteForKey(entity.Key.Public())
	if err != nil {
		b.Fatal(err)
	}
	hash := s.CryptoHash.New().Sum(nil)
	b.ReportAllocs()
	switch key := entity.Key.(type) {
	case *ecdsa.PrivateKey:
		r, t, err := ecdsa.Sign(rand.Reader, key, hash)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if !ecdsa.Verify(&key.PublicKey, hash, r, t) {
				b.Fatal("does not verify")
			}
		}
	case *rsa.PrivateKey:
		signature, err := rsa.SignPSS(rand.Reader, key, s.CryptoHash, hash, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if rsa.VerifyPSS(&key.PublicKey, s.CryptoHash, hash, signature, nil) != nil {
				b.Fatal("does not verify")
			}
		}
	}
}
