package signer

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

// bundle writes certificates to a PEM file, in the order given.
func bundle(t testing.TB, certs ...*x509.Certificate) string {
	t.Helper()
	text := []byte("# exported by hand\n")
	for _, cert := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	path := filepath.Join(t.TempDir(), "chain.pem")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func metadata() protocol.Metadata {
	return protocol.Metadata{Name: "test", Description: "test signer", Version: "1.0.0", URL: "https://example.com"}
}

// single is a plugin with one key, whatever its id.
func single(key Key) *Plugin {
	return New(Options{Metadata: metadata(), Open: func(context.Context, string, map[string]string) (Key, error) { return key, nil }})
}

func request(spec protocol.KeySpec, config map[string]string) *protocol.GenerateSignatureRequest {
	suite, _ := protocol.SuiteOf(spec)
	return &protocol.GenerateSignatureRequest{
		ContractVersion: "1.0", KeyID: "k", KeySpec: spec, Hash: suite.Hash,
		Payload: bytes.Repeat([]byte("payload"), 1000), PluginConfig: config,
	}
}

func wantCode(t testing.TB, err error, code protocol.ErrorCode, text string) {
	t.Helper()
	failure, ok := errors.AsType[*protocol.Error](err)
	if !ok || failure.Code != code || !strings.Contains(failure.Message, text) {
		t.Fatalf("error %v, want %s with %q", err, code, text)
	}
}

func TestSignEveryKeySpec(t *testing.T) {
	for _, spec := range testpki.Specs {
		t.Run("PLG-25 "+string(spec), func(t *testing.T) {
			t.Parallel()
			root := testpki.Root(t, "root")
			leaf := root.Intermediate(t, "intermediate").Leaf(t, "leaf", spec)
			chain := leaf.Chain()
			config := map[string]string{ConfigCertificateChain: bundle(t, chain[2], chain[0], chain[1])}
			p := single(FromSigner(leaf.Key))

			described, err := p.DescribeKey(t.Context(), &protocol.DescribeKeyRequest{KeyID: "k", PluginConfig: config})
			if err != nil {
				t.Fatal(err)
			}
			spki, err := x509.MarshalPKIXPublicKey(leaf.Key.Public())
			if err != nil || described.KeySpec != spec || !bytes.Equal(described.PublicKey, spki) {
				t.Fatalf("described %+v, %v", described, err)
			}
			q := request(spec, config)
			signed, err := p.GenerateSignature(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			suite, _ := protocol.SuiteOf(spec)
			if signed.SigningAlgorithm != suite.Algorithm || !slices.EqualFunc(signed.CertificateChain, leaf.RawChain(), bytes.Equal) {
				t.Errorf("algorithm %s, %d certificates", signed.SigningAlgorithm, len(signed.CertificateChain))
			}
			if err := Verify(leaf.Cert.PublicKey, suite, Digest(suite, q.Payload), signed.Signature); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPluginMetadata(t *testing.T) {
	t.Run("PLG-76 static and completed", func(t *testing.T) {
		p := New(Options{Metadata: metadata(), Open: func(context.Context, string, map[string]string) (Key, error) {
			t.Error("opened a key")
			return nil, errors.New("no")
		}})
		m, err := p.GetMetadata(t.Context(), &protocol.GetMetadataRequest{})
		if err != nil || !slices.Equal(m.Capabilities, []protocol.Capability{protocol.CapabilitySignatureGenerator}) ||
			!slices.Equal(m.Extensions, []protocol.Extension{protocol.ExtensionPublicKey}) {
			t.Fatalf("%+v, %v", m, err)
		}
	})
}

func TestGenerateSignatureRefusals(t *testing.T) {
	root := testpki.Root(t, "root")
	intermediate := root.Intermediate(t, "intermediate")
	leaf := intermediate.Leaf(t, "leaf", protocol.KeySpecEC256)
	other := intermediate.Leaf(t, "other", protocol.KeySpecEC256)
	complete := bundle(t, leaf.Chain()...)
	junk := filepath.Join(t.TempDir(), "junk.pem")
	if err := os.WriteFile(junk, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path string
		spec       protocol.KeySpec
		key        crypto.Signer
		want       string
	}{
		{"key spec of another key", complete, protocol.KeySpecEC384, leaf.Key, "key k is of spec EC-256"},
		{"no certificate", "", protocol.KeySpecEC256, leaf.Key, "name a PEM file"},
		{"no such file", "/does/not/exist", protocol.KeySpecEC256, leaf.Key, "certificate_chain"},
		{"file without PEM", junk, protocol.KeySpecEC256, leaf.Key, "no PEM certificate"},
		{"chain of another key", bundle(t, other.Chain()...), protocol.KeySpecEC256, leaf.Key, "none of the 3 certificates"},
		{"root missing", bundle(t, leaf.Cert, intermediate.Cert), protocol.KeySpecEC256, leaf.Key, `add the certificate of "CN=root,`},
		{"intermediate missing", bundle(t, leaf.Cert, root.Cert), protocol.KeySpecEC256, leaf.Key, `add the certificate of "CN=intermediate,`},
	} {
		t.Run("PLG-26 "+c.name, func(t *testing.T) {
			config := map[string]string{}
			if c.path != "" {
				config[ConfigCertificateChain] = c.path
			}
			_, err := single(FromSigner(c.key)).GenerateSignature(t.Context(), request(c.spec, config))
			wantCode(t, err, protocol.CodeValidation, c.want)
		})
	}
	t.Run("backend signs with another version", func(t *testing.T) {
		_, err := single(liar{FromSigner(leaf.Key), FromSigner(other.Key)}).GenerateSignature(t.Context(),
			request(protocol.KeySpecEC256, map[string]string{ConfigCertificateChain: complete}))
		wantCode(t, err, protocol.CodeGeneric, "does not verify")
	})
	t.Run("no right to read the certificates", func(t *testing.T) {
		p := single(FromSigner(leaf.Key))
		p.options.ReadFile = func(path string) ([]byte, error) {
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
		}
		_, err := p.GenerateSignature(t.Context(), request(protocol.KeySpecEC256, map[string]string{ConfigCertificateChain: complete}))
		wantCode(t, err, protocol.CodeAccessDenied, "plugin config certificate_chain")
	})
	for name, config := range map[string]map[string]string{
		"csr needs no certificates": nil,
		"nor their file":            {ConfigCertificateChain: filepath.Join(t.TempDir(), "chain.pem")},
	} {
		t.Run(name, func(t *testing.T) {
			p, q := single(FromSigner(leaf.Key)), request(protocol.KeySpecEC256, config)
			q.Purpose = protocol.PurposeCSR
			signed, err := p.GenerateSignature(t.Context(), q)
			if err != nil || len(signed.CertificateChain) != 0 || len(signed.Signature) != 64 {
				t.Fatalf("%+v, %v", signed, err)
			}
			if config == nil {
				return
			}
			// The authority answers.
			pem, err := os.ReadFile(complete)
			if err == nil {
				err = os.WriteFile(config[ConfigCertificateChain], pem, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			q.Purpose = ""
			if signed, err = p.GenerateSignature(t.Context(), q); err != nil || len(signed.CertificateChain) != 3 {
				t.Fatalf("%+v, %v", signed, err)
			}
		})
	}
}

// liar answers with the public key of one key and signs with another.
type liar struct {
	Key
	signs Key
}

func (l liar) Sign(ctx context.Context, suite protocol.Suite, digest []byte) ([]byte, error) {
	return l.signs.Sign(ctx, suite, digest)
}

// versioned is a service with several versions of a key and certificates beside them.
type versioned struct {
	Key
	versions []crypto.Signer
	certs    []*x509.Certificate
}

func (v versioned) Certificates(context.Context) ([]*x509.Certificate, error) { return v.certs, nil }

func (v versioned) Select(_ context.Context, certs []*x509.Certificate) (Key, error) {
	for _, version := range slices.Backward(v.versions) {
		for _, cert := range certs {
			if SamePublicKey(cert.PublicKey, version.Public()) {
				return FromSigner(version), nil
			}
		}
	}
	return nil, protocol.Errorf(protocol.CodeValidation, "no version has a certificate")
}

func TestVersionOfTheCertificate(t *testing.T) {
	root := testpki.Root(t, "root")
	leaf := root.Leaf(t, "leaf", protocol.KeySpecEC256)
	rotated := testpki.FreshKey(t, protocol.KeySpecEC256)
	key := versioned{FromSigner(rotated), []crypto.Signer{leaf.Key, rotated}, leaf.Chain()}
	signed, err := single(key).GenerateSignature(t.Context(), request(protocol.KeySpecEC256, nil))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(signed.CertificateChain[0], leaf.Cert.Raw) {
		t.Error("not the leaf")
	}
}

func TestKeysAreOpenedOnce(t *testing.T) {
	leaf := testpki.Root(t, "root").Leaf(t, "leaf", protocol.KeySpecEC256)
	path := bundle(t, leaf.Chain()...)
	var opened atomic.Int32
	now := time.Unix(1e9, 0)
	failing := false
	p := New(Options{
		Metadata: metadata(),
		Now:      func() time.Time { return now },
		Open: func(context.Context, string, map[string]string) (Key, error) {
			opened.Add(1)
			return maybe{FromSigner(leaf.Key), &failing}, nil
		},
	})
	sign := func() error {
		_, err := p.GenerateSignature(t.Context(), request(protocol.KeySpecEC256, map[string]string{ConfigCertificateChain: path}))
		return err
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if err := sign(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	step := func(what string, want int32) {
		t.Helper()
		if got := opened.Load(); got != want {
			t.Errorf("%s: opened %d times, want %d", what, got, want)
		}
	}
	step("50 concurrent signatures", 1)
	now = now.Add(keyLifetime)
	sign()
	step("after its lifetime", 2)
	if err := os.WriteFile(path, append(leaf.ChainPEM(), '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	sign()
	step("after the certificate file changed", 3)
	failing = true
	if sign() == nil {
		t.Error("no error")
	}
	failing = false
	sign()
	step("after a failure", 4)
}

type maybe struct {
	Key
	failing *bool
}

func (m maybe) Sign(ctx context.Context, suite protocol.Suite, digest []byte) ([]byte, error) {
	if *m.failing {
		return nil, protocol.Errorf(protocol.CodeAccessDenied, "key disabled")
	}
	return m.Key.Sign(ctx, suite, digest)
}

func TestOrderChain(t *testing.T) {
	root := testpki.Root(t, "root")
	a := root.Intermediate(t, "a")
	b := a.Intermediate(t, "b")
	leaf := b.Leaf(t, "leaf", protocol.KeySpecEC256)
	other := testpki.Root(t, "other")
	// root's key, certified by another root: a longer way that must not be taken.
	crossTemplate := *root.Cert
	cross := testpki.Issue(t, other, root.Key, &x509.Certificate{Subject: crossTemplate.Subject, KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true})
	older := testpki.Issue(t, b, leaf.Key, &x509.Certificate{Subject: testpki.DefaultSubject("older"), KeyUsage: x509.KeyUsageDigitalSignature},
		testpki.Validity(time.Now().Add(-48*time.Hour), time.Now().Add(time.Hour)))
	impostor := testpki.Root(t, "b") // b's name, another key
	self := testpki.SelfSigned(t, "self", protocol.KeySpecEC256)

	want := leaf.Chain()
	for name, certs := range map[string][]*x509.Certificate{
		"in order":         want,
		"reversed":         {root.Cert, a.Cert, b.Cert, leaf.Cert},
		"with duplicates":  append(slices.Clone(want), want...),
		"with strangers":   {self.Cert, other.Cert, root.Cert, leaf.Cert, b.Cert, a.Cert},
		"cross-signed":     {other.Cert, cross.Cert, a.Cert, b.Cert, leaf.Cert, root.Cert},
		"older leaf first": {older.Cert, leaf.Cert, a.Cert, b.Cert, root.Cert},
		"same name":        {impostor.Cert, leaf.Cert, a.Cert, b.Cert, root.Cert},
	} {
		t.Run("CERT-02 "+name, func(t *testing.T) {
			chain, err := OrderChain(leaf.Key.Public(), certs)
			if err != nil || !slices.EqualFunc(chain, want, (*x509.Certificate).Equal) {
				t.Fatalf("%d certificates, %v", len(chain), err)
			}
		})
	}
	t.Run("CERT-02 self-signed leaf", func(t *testing.T) {
		chain, err := OrderChain(self.Key.Public(), []*x509.Certificate{root.Cert, self.Cert})
		if err != nil || len(chain) != 1 || !chain[0].Equal(self.Cert) {
			t.Fatalf("%d certificates, %v", len(chain), err)
		}
	})
	t.Run("CERT-02 circle without a root", func(t *testing.T) {
		crossOther := testpki.Issue(t, root, other.Key, &x509.Certificate{Subject: other.Cert.Subject, KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true})
		_, err := OrderChain(leaf.Key.Public(), []*x509.Certificate{leaf.Cert, b.Cert, a.Cert, cross.Cert, crossOther.Cert})
		if _, ok := errors.AsType[*IncompleteChainError](err); !ok {
			t.Fatal(err)
		}
	})
	t.Run("CERT-02 issuer with the right name and another key", func(t *testing.T) {
		_, err := OrderChain(leaf.Key.Public(), []*x509.Certificate{leaf.Cert, impostor.Cert})
		if incomplete, ok := errors.AsType[*IncompleteChainError](err); !ok || incomplete.MissingIssuer != b.Cert.Subject.String() {
			t.Fatal(err)
		}
	})
	t.Run("no certificates", func(t *testing.T) {
		if _, err := OrderChain(leaf.Key.Public(), nil); !errors.Is(err, ErrNoLeaf) {
			t.Fatal(err)
		}
	})
	t.Run("too many", func(t *testing.T) {
		if _, err := OrderChain(leaf.Key.Public(), slices.Repeat(want, 20)); err == nil {
			t.Fatal("accepted")
		}
	})
}

func TestFixedSignature(t *testing.T) {
	for _, spec := range []protocol.KeySpec{protocol.KeySpecEC256, protocol.KeySpecEC384, protocol.KeySpecEC521} {
		t.Run("ENV-41 "+string(spec), func(t *testing.T) {
			suite, _ := protocol.SuiteOf(spec)
			key := testpki.FreshKey(t, spec)
			for range 50 { // short r or s come up now and then
				digest := Digest(suite, []byte("x"))
				der, err := key.Sign(rand.Reader, digest, suite.CryptoHash)
				if err != nil {
					t.Fatal(err)
				}
				fixed, err := FixedSignature(suite, der)
				if err != nil || len(fixed) != suite.SignatureSize() {
					t.Fatalf("%d bytes, %v", len(fixed), err)
				}
				back, err := DERSignature(suite, fixed)
				if err != nil || !bytes.Equal(back, der) || !ecdsa.VerifyASN1(key.Public().(*ecdsa.PublicKey), digest, back) {
					t.Fatalf("round trip: %v", err)
				}
			}
		})
	}
	suite, _ := protocol.SuiteOf(protocol.KeySpecEC256)
	for name, der := range map[string][]byte{
		"empty":         {},
		"trailing byte": {0x30, 6, 2, 1, 1, 2, 1, 1, 0},
		"zero":          {0x30, 6, 2, 1, 0, 2, 1, 1},
		"negative":      {0x30, 6, 2, 1, 0x80, 2, 1, 1},
		"third integer": {0x30, 9, 2, 1, 1, 2, 1, 1, 2, 1, 1},
		"not minimal":   {0x30, 7, 2, 2, 0, 1, 2, 1, 1},
		"too long":      append([]byte{0x30, 38, 2, 33, 1}, append(make([]byte, 32), 2, 1, 1)...),
		"r‖s already":   make([]byte, 64),
	} {
		t.Run("ENV-41 "+name, func(t *testing.T) {
			if fixed, err := FixedSignature(suite, der); err == nil {
				t.Fatalf("gave %x", fixed)
			}
		})
	}
	if _, err := DERSignature(suite, make([]byte, 63)); err == nil {
		t.Error("63 bytes accepted")
	}
}

func TestVerifyRefusesOtherSalt(t *testing.T) {
	suite, _ := protocol.SuiteOf(protocol.KeySpecRSA2048)
	key := testpki.Key(t, protocol.KeySpecRSA2048).(*rsa.PrivateKey)
	digest := Digest(suite, []byte("x"))
	signature, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest, &rsa.PSSOptions{SaltLength: 20})
	if err != nil {
		return // FIPS 140 mode refuses to make such a salt
	}
	if Verify(key.Public(), suite, digest, signature) == nil {
		t.Error("accepted")
	}
}

func FuzzFixedSignature(f *testing.F) {
	f.Add([]byte{0x30, 6, 2, 1, 1, 2, 1, 1})
	f.Add([]byte{0x30, 0x80, 2, 1, 1})
	suite, _ := protocol.SuiteOf(protocol.KeySpecEC521)
	f.Fuzz(func(t *testing.T, der []byte) {
		fixed, err := FixedSignature(suite, der)
		if err != nil {
			return
		}
		if back, err := DERSignature(suite, fixed); err != nil || !bytes.Equal(back, der) {
			t.Fatalf("%x became %x, %v", der, back, err)
		}
	})
}

func FuzzParseCertificates(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("text"))
	f.Fuzz(func(t *testing.T, data []byte) {
		certs, err := ParseCertificates(data)
		if (err == nil) == (len(certs) == 0) {
			t.Fatalf("%d certificates, %v", len(certs), err)
		}
	})
}

// hasher is a service that hashes by itself.
type hasher struct{ Key }

func (h hasher) Sign(context.Context, protocol.Suite, []byte) ([]byte, error) {
	return nil, errors.New("not for digests")
}

func (h hasher) SignMessage(ctx context.Context, suite protocol.Suite, message []byte) ([]byte, error) {
	return h.Key.Sign(ctx, suite, Digest(suite, message))
}

func TestMessageSigner(t *testing.T) {
	leaf := testpki.Root(t, "root").Leaf(t, "leaf", protocol.KeySpecEC256)
	config := map[string]string{ConfigCertificateChain: bundle(t, leaf.Chain()...)}
	if _, err := single(hasher{FromSigner(leaf.Key)}).GenerateSignature(t.Context(), request(protocol.KeySpecEC256, config)); err != nil {
		t.Fatal(err)
	}
}

func TestCheckConfig(t *testing.T) {
	known := []string{"vault_addr", "pin_source"}
	for name, want := range map[string]string{
		"vault_addr": "", "pin_source": "", ConfigCertificateChain: "",
		"pin": "no secret", "Vault_Token": "no secret", "password": "no secret", "secret_id": "no secret",
		"vault_adr": "certificate_chain, pin_source, vault_addr",
	} {
		err := CheckConfig(map[string]string{name: "hunter2"}, known...)
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		wantCode(t, err, protocol.CodeValidation, want)
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the value is in the message: %v", err)
		}
	}
}
