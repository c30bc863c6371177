package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

func ecKey(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func rsaKey(t testing.TB, bits int) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ed25519Key(t testing.TB) crypto.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestSignVerify(t *testing.T) {
	t.Parallel()
	message := []byte("what is signed")
	for _, spec := range testpki.Specs {
		t.Run("ALG-03 "+string(spec), func(t *testing.T) {
			t.Parallel()
			suite, _ := protocol.SuiteOf(spec)
			entity := testpki.SelfSigned(t, "self", spec)
			signature, err := Sign(entity.Key, message)
			if err != nil {
				t.Fatal(err)
			}
			if len(signature) != suite.SignatureSize() {
				t.Fatalf("signature has %d bytes, want %d", len(signature), suite.SignatureSize())
			}
			for _, check := range []func(*x509.Certificate, []byte, []byte) error{Verify, VerifyAnySalt} {
				if err := check(entity.Cert, message, signature); err != nil {
					t.Fatal(err)
				}
				for name, bad := range map[string][]byte{
					"cut": signature[1:], "longer": append([]byte{0}, signature...), "empty": nil,
					"zero": make([]byte, len(signature)), "flipped": flip(signature),
				} {
					if err := check(entity.Cert, message, bad); !errors.Is(err, ErrSignature) {
						t.Errorf("%s: got %v", name, err)
					}
				}
				if err := check(entity.Cert, []byte("something else"), signature); !errors.Is(err, ErrSignature) {
					t.Errorf("other message: got %v", err)
				}
			}
			// Independent of Verify: the hash and scheme are those of the table.
			hash := suite.CryptoHash.New()
			hash.Write(message)
			switch key := entity.Cert.PublicKey.(type) {
			case *rsa.PublicKey:
				if err := rsa.VerifyPSS(key, suite.CryptoHash, hash.Sum(nil), signature, &rsa.PSSOptions{SaltLength: suite.CryptoHash.Size()}); err != nil {
					t.Error(err)
				}
			case *ecdsa.PublicKey:
				half := len(signature) / 2
				if !ecdsa.Verify(key, hash.Sum(nil), new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])) {
					t.Error("not r‖s over the suite's hash")
				}
			}
		})
	}

	t.Run("ENV-42 salt of another length", func(t *testing.T) {
		t.Parallel()
		entity := testpki.SelfSigned(t, "self", protocol.KeySpecRSA2048)
		hashed := digest(nil, crypto.SHA256, message)
		longest := 256 - 2 - crypto.SHA256.Size()
		for _, salt := range []int{20, 64, longest} {
			signature, err := rsa.SignPSS(rand.Reader, entity.Key.(*rsa.PrivateKey), crypto.SHA256, hashed, &rsa.PSSOptions{SaltLength: salt})
			if err != nil {
				t.Fatal(err)
			}
			if err := VerifyAnySalt(entity.Cert, message, signature); err != nil {
				t.Errorf("VerifyAnySalt, salt %d: %v", salt, err)
			}
			if err := Verify(entity.Cert, message, signature); !errors.Is(err, ErrSignature) {
				t.Errorf("Verify, salt %d: got %v", salt, err)
			}
		}
	})
	t.Run("ALG-01 PKCS#1 v1.5 is not PSS", func(t *testing.T) {
		t.Parallel()
		entity := testpki.SelfSigned(t, "self", protocol.KeySpecRSA2048)
		signature, err := rsa.SignPKCS1v15(nil, entity.Key.(*rsa.PrivateKey), crypto.SHA256, digest(nil, crypto.SHA256, message))
		if err != nil {
			t.Fatal(err)
		}
		if err := VerifyAnySalt(entity.Cert, message, signature); !errors.Is(err, ErrSignature) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ENV-41 DER is not r‖s", func(t *testing.T) {
		t.Parallel()
		entity := testpki.SelfSigned(t, "self", ec)
		der, err := entity.Key.Sign(rand.Reader, digest(nil, crypto.SHA256, message), crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		if err := Verify(entity.Cert, message, der); !errors.Is(err, ErrSignature) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ALG-02 unsupported keys sign and verify nothing", func(t *testing.T) {
		t.Parallel()
		for _, key := range []crypto.Signer{rsaKey(t, 1024), ecKey(t, elliptic.P224()), ed25519Key(t)} {
			if _, err := Sign(key, message); err == nil || !strings.Contains(err.Error(), "is not supported") {
				t.Errorf("Sign with %T: got %v", key, err)
			}
			if err := Verify(&x509.Certificate{PublicKey: key.Public()}, message, make([]byte, 64)); err == nil {
				t.Errorf("Verify with %T passed", key)
			}
		}
	})
}

func flip(b []byte) []byte {
	out := append([]byte(nil), b...)
	out[len(out)-1] ^= 1
	return out
}

// oddSigner answers with a signature of its own making.
type oddSigner struct {
	crypto.Signer
	der []byte
}

func (s oddSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return s.der, nil }

func TestMalformedKeyAnswers(t *testing.T) {
	t.Parallel()
	key := testpki.Key(t, ec)
	encode := func(r, s *big.Int) []byte {
		der, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	one, wide := big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), 256)
	for name, der := range map[string][]byte{
		"ENV-41 not DER":  []byte("signature"),
		"ENV-41 trailing": append(encode(one, one), 0),
		"ENV-41 zero":     encode(one, new(big.Int)),
		"ENV-41 negative": encode(big.NewInt(-1), one),
		"ENV-41 too wide": encode(one, wide),
		"ENV-41 empty":    nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := Sign(oddSigner{key, der}, []byte("m")); err == nil {
				t.Fatal("malformed answer accepted")
			}
		})
	}
	t.Run("ENV-41 short numbers are padded", func(t *testing.T) {
		t.Parallel()
		signature, err := Sign(oddSigner{key, encode(one, big.NewInt(2))}, []byte("m"))
		if err != nil || len(signature) != 64 || signature[31] != 1 || signature[63] != 2 {
			t.Fatalf("got %x, %v", signature, err)
		}
	})
}

func TestCheckKeyPair(t *testing.T) {
	t.Parallel()
	leaf := testpki.SelfSigned(t, "self", ec)
	if err := CheckKeyPair(leaf.Key, leaf.Cert); err != nil {
		t.Error(err)
	}
	t.Run("CERT-18 mismatch", func(t *testing.T) {
		t.Parallel()
		for _, key := range []crypto.Signer{testpki.FreshKey(t, ec), testpki.Key(t, protocol.KeySpecRSA2048), ed25519Key(t)} {
			if err := CheckKeyPair(key, leaf.Cert); err == nil {
				t.Errorf("%T accepted", key)
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, spec := range []protocol.KeySpec{ec, protocol.KeySpecEC384, protocol.KeySpecRSA3072} {
		b.Run(string(spec), func(b *testing.B) {
			entity := testpki.SelfSigned(b, "self", spec)
			message := make([]byte, 600)
			signature, err := Sign(entity.Key, message)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := Verify(entity.Cert, message, signature); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// FuzzDERSignature compares the form of ECDSA signatures with what encoding/asn1 makes of
// the two numbers.
func FuzzDERSignature(f *testing.F) {
	for _, size := range []int{32, 48, 66} {
		for _, fill := range []byte{0, 1, 0x7f, 0x80, 0xff} {
			f.Add(bytes.Repeat([]byte{fill}, 2*size))
		}
	}
	f.Add(append(make([]byte, 63), 1))
	f.Add(append([]byte{0, 0, 0x80}, make([]byte, 61)...))
	f.Fuzz(func(t *testing.T, signature []byte) {
		half := len(signature) / 2
		if len(signature)%2 != 0 || half == 0 || half > 66 {
			return
		}
		var numbers struct{ R, S *big.Int }
		numbers.R, numbers.S = new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:])
		want, err := asn1.Marshal(numbers)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendDERSignature(nil, signature); !bytes.Equal(got, want) || len(got) > maxDERSignature {
			t.Errorf("%x, want %x", got, want)
		}
	})
}
