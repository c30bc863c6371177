package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestParseCertificates(t *testing.T) {
	t.Parallel()
	leaf := testpki.Root(t, "root").Intermediate(t, "middle").Leaf(t, "leaf", ec)
	der := slices.Concat(leaf.RawChain()...)
	keyPEM := leaf.KeyPEM(t)
	for _, c := range []struct {
		name string
		data []byte
		want int // certificates; 0 for an error
	}{
		{"CERT-17 one PEM block", leaf.CertPEM(), 1},
		{"CERT-17 many PEM blocks", leaf.ChainPEM(), 3},
		{"CERT-17 text around PEM", slices.Concat([]byte("subject=leaf\n"), leaf.ChainPEM(), []byte("the end\n")), 3},
		{"CERT-17 any PEM type", slices.Concat(block("TRUSTED CERTIFICATE", leaf.Cert.Raw), block("ANYTHING", leaf.Issuer.Cert.Raw)), 2},
		{"CERT-17 CRLF", bytes.ReplaceAll(leaf.ChainPEM(), []byte("\n"), []byte("\r\n")), 3},
		{"CERT-17 one DER", leaf.Cert.Raw, 1},
		{"CERT-17 concatenated DER", der, 3},
		{"CERT-17 DER with trailing bytes", append(slices.Clone(der), 0), 0},
		{"CERT-17 cut DER", der[:len(der)-1], 0},
		{"CERT-17 a key in PEM", slices.Concat(leaf.CertPEM(), keyPEM), 0},
		{"CERT-17 last block cut", leaf.ChainPEM()[:len(leaf.ChainPEM())-40], 0},
		{"CERT-17 only block cut", leaf.CertPEM()[:len(leaf.CertPEM())-40], 0},
		{"CERT-17 middle block malformed", slices.Concat(leaf.CertPEM(), []byte("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"), leaf.CertPEM()), 0},
		{"CERT-17 text", []byte("not a certificate"), 0},
		{"CERT-17 empty", nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			certs, err := ParseCertificates(c.data)
			if len(certs) != c.want || (err == nil) != (c.want > 0) {
				t.Fatalf("got %d certificates and %v, want %d", len(certs), err, c.want)
			}
			if c.want > 0 && c.name != "CERT-17 any PEM type" && !certs[0].Equal(leaf.Cert) {
				t.Fatal("order not kept")
			}
		})
	}
	t.Run("CERT-17 nothing found is ErrNoCertificates", func(t *testing.T) {
		t.Parallel()
		if _, err := ParseCertificates(nil); !errors.Is(err, ErrNoCertificates) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestParseCertificateChain(t *testing.T) {
	t.Parallel()
	leaf := testpki.Root(t, "root").Leaf(t, "leaf", ec)
	for _, c := range []struct {
		name string
		data []byte
		want int
	}{
		{"CERT-18 chain", leaf.ChainPEM(), 2},
		{"CERT-18 other blocks skipped", slices.Concat(leaf.KeyPEM(t), leaf.ChainPEM()), 2},
		{"CERT-18 no DER", leaf.Cert.Raw, 0},
		{"CERT-18 malformed certificate", block("CERTIFICATE", []byte{1}), 0},
		{"CERT-18 only other blocks", leaf.KeyPEM(t), 0},
		{"CERT-18 cut block", append(leaf.ChainPEM(), "-----BEGIN CERTIFICATE-----\nMII"...), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			certs, err := ParseCertificateChain(c.data)
			if len(certs) != c.want || (err == nil) != (c.want > 0) {
				t.Fatalf("got %d certificates and %v", len(certs), err)
			}
		})
	}
}

func TestParsePrivateKey(t *testing.T) {
	t.Parallel()
	rsaKey2048 := testpki.Key(t, protocol.KeySpecRSA2048).(*rsa.PrivateKey)
	ecKey256 := testpki.Key(t, ec).(*ecdsa.PrivateKey)
	pkcs8 := func(key crypto.Signer) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	sec1, err := x509.MarshalECPrivateKey(ecKey256)
	if err != nil {
		t.Fatal(err)
	}
	legacy := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte{1}})
	leaf := testpki.SelfSigned(t, "self", ec)
	for _, c := range []struct {
		name string
		data []byte
		want string // "" for a key
	}{
		{"CERT-18 PKCS#8 RSA", block("PRIVATE KEY", pkcs8(rsaKey2048)), ""},
		{"CERT-18 PKCS#8 EC", block("PRIVATE KEY", pkcs8(ecKey256)), ""},
		{"CERT-18 SEC 1", block("EC PRIVATE KEY", sec1), ""},
		{"CERT-18 SEC 1 after parameters", slices.Concat(block("EC PARAMETERS", []byte{6, 0}), block("EC PRIVATE KEY", sec1)), ""},
		{"CERT-18 PKCS#1", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey2048)), ""},
		{"CERT-18 after a certificate", slices.Concat(leaf.CertPEM(), leaf.KeyPEM(t)), ""},
		{"CERT-18 encrypted PKCS#8", block("ENCRYPTED PRIVATE KEY", []byte{1}), "is encrypted"},
		{"CERT-18 encrypted legacy", legacy, "is encrypted"},
		{"CERT-18 Ed25519", block("PRIVATE KEY", pkcs8(ed25519Key(t))), "is not supported"},
		{"CERT-18 P-224", block("PRIVATE KEY", pkcs8(ecKey(t, elliptic.P224()))), "is not supported"},
		{"CERT-18 other type", block("OPENSSH PRIVATE KEY", []byte{1}), "unsupported PEM block type: OPENSSH PRIVATE KEY"},
		{"CERT-18 malformed", block("PRIVATE KEY", []byte{1}), "asn1"},
		{"CERT-18 only a certificate", leaf.CertPEM(), "no private key"},
		{"CERT-18 DER", pkcs8(ecKey256), "no PEM data"},
		{"CERT-18 empty", nil, "no PEM data"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			key, err := ParsePrivateKey(c.data)
			if c.want == "" {
				if err != nil || key == nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestFormatName(t *testing.T) {
	t.Parallel()
	attribute := func(id asn1.ObjectIdentifier, tag int, value []byte) []byte {
		der, err := asn1.Marshal([][]pair{{{id, asn1.RawValue{Tag: tag, Bytes: value}}}})
		if err != nil {
			t.Fatal(err)
		}
		// The inner SEQUENCE OF must be a SET: one level below the outer header.
		der[2] = 0x31
		return der
	}
	cn := asn1.ObjectIdentifier{2, 5, 4, 3}
	long, err := asn1.Marshal(testpki.DefaultSubject("leaf").ToRDNSequence())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		der  []byte
		want string
	}{
		{"reference order", long, "CN=leaf,O=signet test,L=Seattle,ST=WA,C=US"},
		{"empty", []byte{0x30, 0}, ""},
		{"escapes", attribute(cn, asn1.TagUTF8String, []byte(`a,b+c"d\e<f>g;#h `)), `CN=a\,b\+c\"d\\e\<f\>g\;#h\ `},
		{"control characters", attribute(cn, asn1.TagUTF8String, []byte("a\x1b[2J\nb")), `CN=a\1B[2J\0Ab`},
		{"direction override", attribute(cn, asn1.TagUTF8String, []byte("a\u202eb")), `CN=a\E2\80\AEb`},
		{"BMPString", attribute(cn, asn1.TagBMPString, []byte{0, 'a', 0x04, 0x10}), "CN=aА"},
		{"T61String", attribute(cn, asn1.TagT61String, []byte{'a', 0xe9}), "CN=aé"},
		{"bit string", attribute(cn, asn1.TagBitString, []byte{0, 1}), `CN=\#03020001`},
		{"broken UTF-8", attribute(cn, asn1.TagUTF8String, []byte{0xff}), `CN=\#0c01ff`},
		{"unknown type", attribute(asn1.ObjectIdentifier{1, 2, 3}, asn1.TagUTF8String, []byte("x")), "1.2.3=#130178"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := FormatName(c.der)
			if err != nil || got != c.want {
				t.Fatalf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
	for _, bad := range [][]byte{nil, {0x30}, {0x30, 1, 0}, {0x31, 0}, append(slices.Clone(long), 0), long[:len(long)-1]} {
		if _, err := FormatName(bad); err == nil {
			t.Errorf("%x accepted", bad)
		}
	}
	t.Run("same as crypto/x509", func(t *testing.T) {
		t.Parallel()
		cert := testpki.SelfSigned(t, "self", ec, testpki.Subject(pkix.Name{
			CommonName: "x, y", SerialNumber: "7", Organization: []string{"b", "a"}, OrganizationalUnit: []string{"u"}, PostalCode: []string{"1"},
			StreetAddress: []string{"s"}, ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}, Value: "dc"}},
		})).Cert
		if got, err := FormatName(cert.RawSubject); err != nil || got != cert.Subject.String() {
			t.Fatalf("got %q, %v; want %q", got, err, cert.Subject.String())
		}
	})
}

type pair struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

func FuzzParseCertificates(f *testing.F) {
	leaf := testpki.Root(f, "root").Leaf(f, "leaf", ec)
	f.Add(leaf.ChainPEM())
	f.Add(leaf.Cert.Raw)
	f.Add(slices.Concat(leaf.RawChain()...))
	f.Add(append([]byte("x\n"), leaf.CertPEM()...))
	f.Add(leaf.CertPEM()[:200])
	f.Fuzz(func(t *testing.T, data []byte) {
		certs, err := ParseCertificates(data)
		if (err == nil) != (len(certs) > 0) {
			t.Fatalf("%d certificates and %v", len(certs), err)
		}
		var again []byte
		for _, cert := range certs {
			again = append(again, cert.Raw...)
			if _, err := FormatName(cert.RawSubject); err != nil {
				t.Fatalf("subject of a parsed certificate: %v", err)
			}
		}
		if len(certs) == 0 {
			return
		}
		twice, err := ParseCertificates(again)
		if err != nil || !slices.EqualFunc(certs, twice, (*x509.Certificate).Equal) {
			t.Fatalf("round trip: %v", err)
		}
		_ = CheckChain(certs, CodeSigning)
		_ = CheckChain(certs, Timestamping)
		_, _ = ParsePrivateKey(data)
		_, _ = ParseCertificateChain(data)
	})
}
