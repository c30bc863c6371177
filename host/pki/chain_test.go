package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

const ec = protocol.KeySpecEC256

var (
	oidAny          = asn1.ObjectIdentifier{2, 5, 29, 37, 0}
	oidTimeStamping = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
	oidServerAuth   = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}
)

// ext replaces whatever extension crypto/x509 would have made.
func ext(t testing.TB, id asn1.ObjectIdentifier, critical bool, value any) testpki.Edit {
	t.Helper()
	der, ok := value.([]byte)
	if !ok {
		var err error
		if der, err = asn1.Marshal(value); err != nil {
			t.Fatal(err)
		}
	}
	return func(c *x509.Certificate) {
		c.ExtraExtensions = slices.DeleteFunc(c.ExtraExtensions, func(e pkix.Extension) bool { return e.Id.Equal(id) })
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: id, Critical: critical, Value: der})
	}
}

func usage(bits x509.KeyUsage) testpki.Edit {
	return func(c *x509.Certificate) { c.KeyUsage = bits }
}

func usages(list ...x509.ExtKeyUsage) testpki.Edit {
	return func(c *x509.Certificate) { c.ExtKeyUsage = list }
}

type constraints struct {
	CA      bool `asn1:"optional"`
	PathLen int  `asn1:"optional,default:-1"`
}

// keyUsageBits is a BIT STRING with digitalSignature or keyCertSign alone.
func keyUsageBits(bit int) asn1.BitString {
	b := make([]byte, 1)
	b[0] = 0x80 >> bit
	return asn1.BitString{Bytes: b, BitLength: bit + 1}
}

func template(name string, edits ...testpki.Edit) *x509.Certificate {
	c := &x509.Certificate{Subject: testpki.DefaultSubject(name), KeyUsage: x509.KeyUsageDigitalSignature}
	for _, edit := range edits {
		edit(c)
	}
	return c
}

type chainCase struct {
	name    string
	chain   []*x509.Certificate
	purpose Purpose
	want    string // part of the error; "" for a good chain
}

func runChainCases(t *testing.T, cases []chainCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := CheckChain(c.chain, c.purpose)
			if c.want == "" {
				if err != nil {
					t.Fatalf("good chain refused: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestChainOrder(t *testing.T) {
	t.Parallel()
	root := testpki.Root(t, "root")
	inter := root.Intermediate(t, "intermediate")
	leaf := inter.Leaf(t, "leaf", ec)
	single := testpki.SelfSigned(t, "self", ec)
	other := testpki.Root(t, "other")
	impostor := testpki.Root(t, "root") // same name, other key
	imposed := impostor.Leaf(t, "leaf", ec)
	selfIssued := root.Intermediate(t, "root", func(c *x509.Certificate) { c.Subject = testpki.DefaultSubject("root") })
	renewed := selfIssued.Leaf(t, "renewed", ec)
	long := root
	for range MaxChainLength {
		long = long.Intermediate(t, "again")
	}
	r, i, l := root.Cert, inter.Cert, leaf.Cert
	chain := func(c ...*x509.Certificate) []*x509.Certificate { return c }
	runChainCases(t, []chainCase{
		{"CERT-01 good chain", chain(l, i, r), CodeSigning, ""},
		{"CERT-02 leaf and root", root.Leaf(t, "l", ec).Chain(), CodeSigning, ""},
		{"CERT-02 empty", nil, CodeSigning, "at least one certificate"},
		{"CERT-02 root missing", chain(l, i), CodeSigning, "must end with a valid self-signed root"},
		{"CERT-02 intermediate missing", chain(l, r), CodeSigning, "not issued by"},
		{"CERT-02 shuffled", chain(l, r, i), CodeSigning, "not issued by"},
		{"CERT-02 reversed", chain(r, i, l), CodeSigning, "self-signed leaf"},
		{"CERT-02 issuer by name only", chain(imposed.Cert, r), CodeSigning, "not issued by"},
		{"CERT-02 root by name only", chain(l, i, impostor.Cert), CodeSigning, "not issued by"},
		{"CERT-02 self-issued certificate is no root", chain(renewed.Cert, selfIssued.Cert), CodeSigning, "not self-signed"},
		{"CERT-02 self-issued intermediate", renewed.Chain(), CodeSigning, ""},
		{"CERT-03 root twice", chain(l, i, r, r), CodeSigning, "self-signed intermediate"},
		{"CERT-03 leaf twice", chain(l, l, i, r), CodeSigning, "not issued by"},
		{"CERT-03 unrelated certificate", chain(l, i, r, other.Cert), CodeSigning, "self-signed intermediate"},
		{"CERT-03 two parents", chain(l, i, other.Cert, r), CodeSigning, "not issued by"},
		{"CERT-03 self-signed leaf in a chain", chain(single.Cert, r), CodeSigning, "self-signed leaf"},
		{"CERT-04 single certificate", chain(single.Cert), CodeSigning, ""},
		{"CERT-04 single, not self-issued", chain(l), CodeSigning, "not self-signed"},
		{"CERT-04 single, self-issued but not self-signed", chain(imposedSelf(t)), CodeSigning, "not self-signed"},
		{"CERT-04 single CA", chain(r), CodeSigning, "ca field must be set to false"},
		{"CERT-04 single time-stamping", chain(testpki.Issue(t, nil, testpki.Key(t, ec), template("tsa", ext(t, oidExtKeyUsage, true, []asn1.ObjectIdentifier{oidTimeStamping}))).Cert), Timestamping, ""},
		{"CERT-02 longer than the bound", long.Leaf(t, "far", ec).Chain(), CodeSigning, "at most 16"},
	})

	t.Run("CERT-02 error names the certificate", func(t *testing.T) {
		t.Parallel()
		err := CheckChain(chain(l, r), CodeSigning)
		broken, ok := errors.AsType[*ChainError](err)
		if !ok || broken.Index != 0 || broken.Subject != "CN=leaf,O=signet test,L=Seattle,ST=WA,C=US" {
			t.Fatalf("got %#v", err)
		}
		if !errors.Is(CheckChain(nil, CodeSigning), ErrEmptyChain) || !errors.Is(CheckIssuance(nil), ErrEmptyChain) {
			t.Fatal("an empty chain is not ErrEmptyChain")
		}
	})
}

// imposedSelf is self-issued, but signed with a key that is not its own.
func imposedSelf(t *testing.T) *x509.Certificate {
	root := testpki.Root(t, "self")
	return root.Leaf(t, "self", ec).Cert
}

func TestAuthorities(t *testing.T) {
	t.Parallel()
	// under makes a chain whose intermediate has an edit.
	under := func(edits ...testpki.Edit) []*x509.Certificate {
		return testpki.Root(t, "root").Intermediate(t, "middle", edits...).Leaf(t, "leaf", ec).Chain()
	}
	pathLen := func(n int) testpki.Edit {
		return func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = n, n == 0 }
	}
	tall := func(n int) []*x509.Certificate { // root with pathLen n above two authorities
		return testpki.Root(t, "root", pathLen(n)).Intermediate(t, "upper").Intermediate(t, "lower").Leaf(t, "leaf", ec).Chain()
	}
	tsa := func(edits ...testpki.Edit) []*x509.Certificate {
		return testpki.Root(t, "root").Intermediate(t, "middle", edits...).TSA(t, "tsa", ec).Chain()
	}
	noBasic := func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = false, false }
	plainBasic := ext(t, oidBasicConstraints, false, constraints{CA: true, PathLen: -1})
	plainUsage := ext(t, oidKeyUsage, false, keyUsageBits(5))
	const ca = "ca field in basic constraints must be present, critical, and set to true"
	runChainCases(t, []chainCase{
		{"CERT-05 no basic constraints", under(noBasic), CodeSigning, ca},
		{"CERT-05 cA false", under(func(c *x509.Certificate) { c.IsCA = false }), CodeSigning, ca},
		{"CERT-05 basic constraints not critical", under(plainBasic), CodeSigning, ca},
		{"CERT-05 basic constraints not critical, time-stamping", tsa(plainBasic), Timestamping, ca},
		{"CERT-05 root not critical", testpki.Root(t, "root", plainBasic).Leaf(t, "leaf", ec).Chain(), CodeSigning, ca},
		{"CERT-06 pathLen 0 above a leaf", testpki.Root(t, "root", pathLen(0)).Leaf(t, "leaf", ec).Chain(), CodeSigning, ""},
		{"CERT-06 pathLen 0 with two CAs", testpki.Root(t, "root", pathLen(0)).Intermediate(t, "middle").Leaf(t, "leaf", ec).Chain(), CodeSigning, "expected path length of 1 but certificate has path length 0 instead"},
		{"CERT-06 pathLen 1 with three CAs", tall(1), CodeSigning, "expected path length of 2 but certificate has path length 1 instead"},
		{"CERT-06 pathLen 2 with three CAs", tall(2), CodeSigning, ""},
		{"CERT-06 pathLen absent", tall(-1), CodeSigning, ""},
		{"CERT-07 no key usage", under(usage(0)), CodeSigning, "key usage extension must be present"},
		{"CERT-07 no keyCertSign", under(usage(x509.KeyUsageCRLSign)), CodeSigning, "key cert sign"},
		{"CERT-07 key usage not critical", under(plainUsage), CodeSigning, "must be marked critical"},
		{"CERT-07 key usage not critical, time-stamping", tsa(plainUsage), Timestamping, ""},
		{"CERT-07 no key usage, time-stamping", tsa(usage(0)), Timestamping, "key usage extension must be present"},
		{"CERT-12 any key in an authority", p224Authority(t), CodeSigning, ""},
	})
}

func p224Authority(t *testing.T) []*x509.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	authority := template("small", usage(x509.KeyUsageCertSign))
	authority.IsCA, authority.BasicConstraintsValid = true, true
	return testpki.Issue(t, testpki.Root(t, "root"), key, authority).Leaf(t, "leaf", ec).Chain()
}

func TestLeaves(t *testing.T) {
	t.Parallel()
	root := testpki.Root(t, "root")
	leaf := func(edits ...testpki.Edit) []*x509.Certificate { return root.Leaf(t, "leaf", ec, edits...).Chain() }
	tsa := func(edits ...testpki.Edit) []*x509.Certificate { return root.TSA(t, "tsa", ec, edits...).Chain() }
	keyed := func(key crypto.Signer) []*x509.Certificate {
		return testpki.Issue(t, root, key, template("keyed")).Chain()
	}
	basic := func(ca bool) testpki.Edit {
		return func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = true, ca }
	}
	plainUsage := ext(t, oidKeyUsage, false, keyUsageBits(0))
	digital := x509.KeyUsageDigitalSignature
	cases := []chainCase{
		{"CERT-08 cA true", leaf(basic(true)), CodeSigning, "ca field must be set to false"},
		{"CERT-08 cA true, time-stamping", tsa(basic(true)), Timestamping, "ca field must be set to false"},
		{"CERT-08 cA false", leaf(basic(false)), CodeSigning, ""},
		{"CERT-09 no key usage", leaf(usage(0)), CodeSigning, "key usage extension must be present"},
		{"CERT-09 no key usage, time-stamping", tsa(usage(0)), Timestamping, "key usage extension must be present"},
		{"CERT-09 no digitalSignature", leaf(usage(x509.KeyUsageContentCommitment)), CodeSigning, `"Digital Signature" set`},
		{"CERT-09 contentCommitment", leaf(usage(digital | x509.KeyUsageContentCommitment)), CodeSigning, ""},
		{"CERT-09 not critical", leaf(plainUsage), CodeSigning, "must be marked critical"},
		{"CERT-09 not critical, time-stamping", tsa(plainUsage), Timestamping, ""},
		{"CERT-10 none", leaf(usages()), CodeSigning, ""},
		{"CERT-10 codeSigning and unknown", leaf(func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 2, 3}} }), CodeSigning, ""},
		{"CERT-10 any among others", leaf(ext(t, oidExtKeyUsage, false, []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 3}, oidAny})), CodeSigning, "must not contain Any eku"},
		{"CERT-11 good", tsa(), Timestamping, ""},
		{"CERT-11 absent", root.Leaf(t, "l", ec, usages()).Chain(), Timestamping, "have Timestamping as extended key usage"},
		{"CERT-11 code signing", leaf(), Timestamping, "have Timestamping as extended key usage"},
		{"CERT-11 extra", tsa(ext(t, oidExtKeyUsage, true, []asn1.ObjectIdentifier{oidTimeStamping, oidServerAuth})), Timestamping, "only have Timestamping"},
		{"CERT-11 extra unknown", tsa(ext(t, oidExtKeyUsage, true, []asn1.ObjectIdentifier{oidTimeStamping, {1, 2, 3}})), Timestamping, "only have Timestamping"},
		{"CERT-11 twice", tsa(ext(t, oidExtKeyUsage, true, []asn1.ObjectIdentifier{oidTimeStamping, oidTimeStamping})), Timestamping, "only have Timestamping"},
		{"CERT-11 not critical", tsa(ext(t, oidExtKeyUsage, false, []asn1.ObjectIdentifier{oidTimeStamping})), Timestamping, "marked as critical"},
		{"CERT-12 P-224", keyed(ecKey(t, elliptic.P224())), CodeSigning, "ecdsa key size 224 bits is not supported"},
		{"ALG-01 RSA 1024", keyed(rsaKey(t, 1024)), CodeSigning, "rsa key size 1024 bits is not supported"},
		{"ALG-01 RSA 2560", keyed(rsaKey(t, 2560)), CodeSigning, "rsa key size 2560 bits is not supported"},
		{"CERT-12 RSA 2560 TSA", testpki.Issue(t, root, rsaKey(t, 2560), template("tsa", ext(t, oidExtKeyUsage, true, []asn1.ObjectIdentifier{oidTimeStamping}))).Chain(), Timestamping, "rsa key size 2560 bits is not supported"},
		{"ALG-02 Ed25519", testpki.Issue(t, root, ed25519Key(t), template("ed")).Chain(), CodeSigning, "is not supported"},
		{"CERT-14 critical name constraints", leaf(ext(t, asn1.ObjectIdentifier{2, 5, 29, 30}, true, excludeAllDNS)), CodeSigning, ""},
		{"CERT-14 critical unknown extension", leaf(ext(t, asn1.ObjectIdentifier{1, 2, 3, 4}, true, []byte{0xff, 0x00})), CodeSigning, ""},
		{"CERT-14 critical policy constraints", tsa(ext(t, asn1.ObjectIdentifier{2, 5, 29, 36}, true, []byte{0x30, 0x03, 0x80, 0x01, 0x00})), Timestamping, ""},
	}
	for _, usage := range forbiddenLeafUsages {
		with := func(c *x509.Certificate) { c.KeyUsage |= usage.bit }
		want := `"Digital Signature" only, but found "` + usage.name + `"`
		cases = append(cases,
			chainCase{"CERT-09 " + usage.name, leaf(with), CodeSigning, want},
			chainCase{"CERT-09 time-stamping " + usage.name, tsa(with), Timestamping, want})
	}
	for usage, name := range forbiddenCodeSigningUsages {
		cases = append(cases, chainCase{"CERT-10 " + name, leaf(usages(x509.ExtKeyUsageCodeSigning, usage)), CodeSigning, "must not contain " + name + " eku"})
	}
	for _, spec := range testpki.Specs {
		cases = append(cases,
			chainCase{"CERT-12 " + string(spec), root.Leaf(t, "leaf", spec).Chain(), CodeSigning, ""},
			chainCase{"CERT-12 time-stamping " + string(spec), root.TSA(t, "tsa", spec).Chain(), Timestamping, ""})
	}
	runChainCases(t, cases)

	t.Run("CERT-14 critical extensions in authorities", func(t *testing.T) {
		t.Parallel()
		strange := testpki.Root(t, "root", ext(t, asn1.ObjectIdentifier{2, 5, 29, 30}, true, excludeAllDNS))
		for _, chain := range [][]*x509.Certificate{
			strange.Leaf(t, "leaf", ec, func(c *x509.Certificate) { c.DNSNames = []string{"excluded.example"} }).Chain(),
		} {
			if err := CheckChain(chain, CodeSigning); err != nil {
				t.Fatal(err)
			}
		}
		if err := CheckChain(strange.TSA(t, "tsa", ec).Chain(), Timestamping); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("CERT-14 odd but legal contents parse", func(t *testing.T) {
		t.Parallel()
		odd := root.Leaf(t, "odd", ec, testpki.Subject(pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: asn1.ObjectIdentifier{1, 2, 3}, Value: "x"}, {Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: ""},
		}}), func(c *x509.Certificate) {
			c.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 150)
			c.NotAfter = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
		})
		if err := CheckChain(odd.Chain(), CodeSigning); err != nil {
			t.Fatal(err)
		}
	})
}

// excludeAllDNS is a NameConstraints value that excludes every DNS name.
var excludeAllDNS = []byte{0x30, 0x06, 0xa1, 0x04, 0x30, 0x02, 0x82, 0x00}

func TestWeakSignatures(t *testing.T) {
	t.Parallel()
	with := func(alg x509.SignatureAlgorithm) testpki.Edit {
		return func(c *x509.Certificate) { c.SignatureAlgorithm = alg }
	}
	rsaRoot := template("rsa root", usage(x509.KeyUsageCertSign), with(x509.SHA256WithRSA))
	rsaRoot.IsCA, rsaRoot.BasicConstraintsValid = true, true
	strong := testpki.Issue(t, nil, testpki.Key(t, protocol.KeySpecRSA2048), rsaRoot)
	ecRoot := testpki.Root(t, "ec root")
	weakRoot := testpki.Root(t, "weak root", with(x509.ECDSAWithSHA1))
	md5 := strong.Leaf(t, "md5", ec, with(x509.SHA256WithRSA))
	// sha256WithRSAEncryption becomes md5WithRSAEncryption.
	der := bytes.ReplaceAll(md5.Cert.Raw, []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b}, []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04})
	md5Cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	const weak = "is not allowed: use SHA-256 or stronger"
	runChainCases(t, []chainCase{
		{"CERT-13 leaf SHA1-RSA", strong.Leaf(t, "leaf", ec, with(x509.SHA1WithRSA)).Chain(), CodeSigning, weak},
		{"CERT-13 leaf ECDSA-SHA1", ecRoot.Leaf(t, "leaf", ec, with(x509.ECDSAWithSHA1)).Chain(), CodeSigning, weak},
		{"CERT-13 intermediate", ecRoot.Intermediate(t, "middle", with(x509.ECDSAWithSHA1)).Leaf(t, "leaf", ec).Chain(), CodeSigning, weak},
		{"CERT-13 root", weakRoot.Leaf(t, "leaf", ec).Chain(), CodeSigning, weak},
		{"CERT-13 single self-signed", testpki.SelfSigned(t, "self", ec, with(x509.ECDSAWithSHA1)).Chain(), CodeSigning, weak},
		{"CERT-13 time-stamping", ecRoot.TSA(t, "tsa", ec, with(x509.ECDSAWithSHA1)).Chain(), Timestamping, weak},
		{"CERT-13 MD5", []*x509.Certificate{md5Cert, strong.Cert}, CodeSigning, weak},
		{"CERT-13 strong RSA", strong.Leaf(t, "leaf", ec).Chain(), CodeSigning, ""},
		{"CERT-13 strong RSA-PSS", strong.Leaf(t, "leaf", ec, with(x509.SHA256WithRSAPSS)).Chain(), CodeSigning, ""},
	})
	t.Run("CERT-02 issuer key over the bound", func(t *testing.T) {
		t.Parallel()
		huge := *strong.Cert
		huge.PublicKey = &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), maxKeyBits), E: 65537}
		err := CheckIssuance([]*x509.Certificate{md5.Cert, &huge})
		if err == nil || !strings.Contains(err.Error(), "too large") {
			t.Fatalf("got %v", err)
		}
	})
}

func TestCheckValidity(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	root := testpki.Root(t, "root", testpki.Validity(now.Add(-time.Hour), now.Add(time.Hour)))
	chain := root.Leaf(t, "leaf", ec, testpki.Validity(now.Add(-2*time.Hour), now.Add(2*time.Hour))).Chain()
	for _, c := range []struct {
		name    string
		at      time.Time
		ok      bool
		expired bool
	}{
		{"CERT-16 inside, no nesting demanded", now, true, false},
		{"CERT-16 first moment", now.Add(-time.Hour), true, false},
		{"CERT-16 last moment", now.Add(time.Hour), true, false},
		{"CERT-16 root not yet valid", now.Add(-time.Hour - time.Second), false, false},
		{"CERT-16 root expired", now.Add(time.Hour + time.Second), false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := CheckValidity(chain, c.at)
			if c.ok {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			invalid, ok := errors.AsType[*ValidityError](err)
			if !ok || invalid.Index != 1 || invalid.Expired() != c.expired || !strings.Contains(err.Error(), "CN=root") {
				t.Fatalf("got %v", err)
			}
		})
	}
	t.Run("CERT-16 CheckChain ignores time", func(t *testing.T) {
		t.Parallel()
		old := testpki.Validity(now.AddDate(-9, 0, 0), now.AddDate(-8, 0, 0))
		if err := CheckChain(testpki.Root(t, "r", old).Leaf(t, "l", ec, old).Chain(), CodeSigning); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFacts(t *testing.T) {
	t.Parallel()
	root := testpki.Root(t, "root")
	leaf := root.Leaf(t, "leaf", ec)
	single := testpki.SelfSigned(t, "self", ec)
	if !IsSelfSigned(root.Cert) || !IsSelfSigned(single.Cert) || IsSelfSigned(leaf.Cert) || IsSelfSigned(imposedSelf(t)) {
		t.Error("IsSelfSigned is wrong")
	}
	if !IsCA(root.Cert) || IsCA(leaf.Cert) || IsCA(single.Cert) {
		t.Error("IsCA is wrong")
	}
	if f := Fingerprint(leaf.Cert); len(f) != 64 || f != strings.ToLower(f) || f == Fingerprint(root.Cert) {
		t.Errorf("Fingerprint is %q", f)
	}
}
