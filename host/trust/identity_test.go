package trust

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

func TestParseDN(t *testing.T) {
	t.Parallel()
	const base = "C=US, ST=WA, "
	tests := []struct {
		name, dn string
		typ      string // attribute to look at
		want     string // its value, or the text of the error
		fails    bool
	}{
		{"TP-25 comma", base + `O=a`, "O", "a", false},
		{"TP-25 semicolon", `C=US;ST=WA;O=a`, "O", "a", false},
		{"TP-25 spaces trimmed", `  C = US ,  ST  =WA,O=  a b  `, "O", "a b", false},
		{"TP-25 inner spaces kept", base + `O=a   b`, "O", "a   b", false},
		{"TP-25 specials", base + `O=\"\#\+\,\;\<\=\>\\\ `, "O", `"#+,;<=>\ `, false},
		{"TP-25 hex", base + `O=\41\c3\A9`, "O", "Aé", false},
		{"TP-25 hex comma", base + `O=a\2cb`, "O", "a,b", false},
		{"TP-25 unescaped equals", base + `O=a=b`, "O", "a=b", false},
		{"TP-25 UTF-8", base + `O=Ünïcode 株式会社`, "O", "Ünïcode 株式会社", false},
		{"TP-25 one hex digit", base + `O=\4`, "", "is not an escape of RFC 4514", true},
		{"TP-25 unknown escape", base + `O=\q1`, "", "is not an escape of RFC 4514", true},
		{"TP-25 final backslash", base + `O=a\`, "", "is not an escape of RFC 4514", true},
		{"TP-25 not UTF-8", base + `O=\ff`, "", "not UTF-8", true},
		{"TP-25 unescaped quote", base + `O="a"`, "", `has to be escaped as \22`, true},
		{"TP-25 unescaped angle", base + `O=a<b`, "", `has to be escaped as \3C`, true},
		{"TP-25 trailing comma", base + `O=a,`, "", "is not of the form type=value", true},
		{"TP-25 no equals", base + `O`, "", "is not of the form type=value", true},
		{"TP-25 no type", base + `=a`, "", "has no type", true},
		{"TP-25 space in type", `C=US,ST=WA,O=a,C N=b`, "", "is not an attribute type", true},
		{"TP-26 comma in O", base + `O=Acme\, Inc.`, "O", "Acme, Inc.", false},
		{"TP-26 semicolon", base + `O=a\;b`, "O", "a;b", false},
		{"TP-26 backslash", base + `O=a\\b`, "O", `a\b`, false},
		{"TP-26 leading space", base + `O=\ a`, "O", " a", false},
		{"TP-26 trailing space", base + `O=a\ `, "O", "a ", false},
		{"TP-26 trailing space, spaces after", base + `O=a\   , CN=x`, "O", "a ", false},
		{"TP-27 S is ST", `C=US, S=WA, O=a`, "ST", "WA", false},
		{"TP-27 missing C", `ST=WA, O=a`, "", `has no mandatory RDN attribute for "C"`, true},
		{"TP-27 missing ST", `C=US, O=a`, "", `has no mandatory RDN attribute for "ST"`, true},
		{"TP-27 missing O", `C=US, ST=WA, CN=x`, "", `has no mandatory RDN attribute for "O"`, true},
		{"TP-27 empty O", `C=US, ST=WA, O=`, "", `attribute "O" has no value`, true},
		{"TP-27 lower case", `c=US, ST=WA, O=a`, "", `has no mandatory RDN attribute for "C"`, true},
		{"TP-27 other type allowed", base + `O=a, foo-1=b`, "foo-1", "b", false},
		{"TP-28 duplicate", base + `O=a, O=b`, "", `has duplicate RDN attribute for "O"`, true},
		{"TP-28 duplicate by alias", `C=US, ST=WA, S=WA, O=a`, "", `has duplicate RDN attribute for "ST"`, true},
		{"TP-28 duplicate by OID", base + `O=a, 2.5.4.10=a`, "", "has duplicate RDN attribute", true},
		{"TP-28 multi-valued", base + `O=a+CN=b`, "", "has multi-valued RDN attributes, remove multi-valued RDN attributes as they are not supported", true},
		{"TP-28 hexadecimal value", base + `O=#0401`, "", `containing "=#" are not supported`, true},
		{"TP-28 hexadecimal value after a space", base + `O= #0401`, "", "hexadecimal form is not supported", true},
		{"TP-28 =# within a value", base + `O=a=#b`, "", `containing "=#" are not supported`, true},
		{"TP-28 escaped number sign", base + `O=\#1`, "O", "#1", false},
		{"TP-28 empty value", base + `O=a, CN=`, "", `attribute "CN" has no value`, true},
		{"TP-28 only spaces", base + `O=a, CN=  `, "", `attribute "CN" has no value`, true},
		{"TP-28 escaped space is a value", base + `O=\ `, "O", " ", false},
		{"TP-30 OID", base + `O=a, 1.2.840.113549.1.9.1=x@y.z`, "1.2.840.113549.1.9.1", "x@y.z", false},
		{"TP-30 bad OID", base + `O=a, 1.02.3=x`, "", "is not an object identifier", true},
		{"TP-30 huge arc", base + `O=a, 1.99999999999999999999=x`, "", "is not an object identifier", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			attributes, err := parseDN(tt.dn)
			if tt.fails {
				wantText(t, err, tt.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range attributes {
				if a.name == tt.typ {
					if a.value != tt.want {
						t.Errorf("value %q, want %q", a.value, tt.want)
					}
					return
				}
			}
			t.Errorf("no attribute %q in %v", tt.typ, attributes)
		})
	}
}

func leafOf(t testing.TB, name pkix.Name) *x509.Certificate {
	t.Helper()
	return testpki.SelfSigned(t, "x", protocol.KeySpecEC256, testpki.Subject(name)).Cert
}

var (
	oidEmail = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}
	oidDC    = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}
	oidUID   = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}
	oidOwn   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}
)

// rich is a subject with repeated types and types that have no short name.
func rich(t testing.TB) *x509.Certificate {
	return leafOf(t, pkix.Name{
		Country: []string{"US"}, Province: []string{"WA"}, Organization: []string{"acme, inc."},
		OrganizationalUnit: []string{"Tools", "Security"}, CommonName: "Builder", SerialNumber: "7",
		ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: oidEmail, Value: "x@y.z"}, {Type: oidDC, Value: "acme"}, {Type: oidDC, Value: "io"},
			{Type: oidUID, Value: "u1"}, {Type: oidOwn, Value: "own"},
		},
	})
}

// multiValued is a subject one of whose RDNs has two attributes.
func multiValued(t testing.TB) *x509.Certificate {
	t.Helper()
	type atv = pkix.AttributeTypeAndValue
	one := func(last int, value string) pkix.RelativeDistinguishedNameSET {
		return pkix.RelativeDistinguishedNameSET{atv{Type: asn1.ObjectIdentifier{2, 5, 4, last}, Value: value}}
	}
	raw, err := asn1.Marshal(pkix.RDNSequence{one(6, "US"), one(8, "WA"), append(one(10, "acme"), one(3, "both")...)})
	if err != nil {
		t.Fatal(err)
	}
	return testpki.SelfSigned(t, "x", protocol.KeySpecEC256, func(c *x509.Certificate) { c.RawSubject = raw }).Cert
}

func TestMatch(t *testing.T) {
	t.Parallel()
	const base = `x509.subject: C=US, ST=WA, O=acme\, inc.`
	cert, multi := rich(t), multiValued(t)
	tests := []struct {
		name     string
		identity string
		leaf     *x509.Certificate
		want     error
	}{
		{"TP-22 wildcard", "*", cert, nil},
		{"TP-24 other prefix", "did:web:acme", cert, ErrNoX509Identities},
		{"TP-23 prefix is exact", "X509.subject: C=US, ST=WA, O=acme", cert, ErrNoX509Identities},
		{"TP-29 subset", base, cert, nil},
		{"TP-29 order is irrelevant", `x509.subject:CN=Builder,O=acme\, inc.,ST=WA,C=US`, cert, nil},
		{"TP-29 case-sensitive", `x509.subject: C=us, ST=WA, O=acme\, inc.`, cert, ErrIdentityMismatch},
		{"TP-29 other value", base + ", CN=Other", cert, ErrIdentityMismatch},
		{"TP-29 absent attribute", base + ", L=Seattle", cert, ErrIdentityMismatch},
		{"TP-29 no prefix match", base + ", CN=Build", cert, ErrIdentityMismatch},
		{"TP-29 value of another type", base + ", CN=Security", cert, ErrIdentityMismatch},
		{"TP-27 S", `x509.subject: C=US, S=WA, O=acme\, inc.`, cert, nil},
		{"TP-27 unknown type never matches", base + ", foo=own", cert, ErrIdentityMismatch},
		{"TP-27 SERIALNUMBER", base + ", SERIALNUMBER=7", cert, nil},
		{"TP-30 repeated OU, first", base + ", OU=Tools", cert, nil},
		{"TP-30 repeated OU, second", base + ", OU=Security", cert, nil},
		{"TP-30 repeated OU, neither", base + ", OU=Sales", cert, ErrIdentityMismatch},
		{"TP-30 email", base + ", emailAddress=x@y.z", cert, nil},
		{"TP-30 email, other", base + ", emailAddress=a@y.z", cert, ErrIdentityMismatch},
		{"TP-30 DC", base + ", DC=io", cert, nil},
		{"TP-30 UID", base + ", UID=u1", cert, nil},
		{"TP-30 OID without a name", base + ", 1.3.6.1.4.1.99999.1=own", cert, nil},
		{"TP-30 multi-valued RDN", "x509.subject: C=US, ST=WA, O=acme, CN=both", multi, nil},
		{"TP-28 no match for a missing CN", "x509.subject: C=US, ST=WA, O=acme, CN=other", multi, ErrIdentityMismatch},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ids, err := parseIdentities([]string{tt.identity})
			if err != nil {
				t.Fatal(err)
			}
			if err := ids.Match(tt.leaf); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	t.Run("TP-29 leaf only", func(t *testing.T) {
		t.Parallel()
		root := testpki.Root(t, "root")
		leaf := root.Leaf(t, "leaf", protocol.KeySpecEC256)
		ids, err := parseIdentities([]string{"x509.subject: C=US, ST=WA, O=signet test, CN=root"})
		if err != nil {
			t.Fatal(err)
		}
		if err := ids.Match(leaf.Cert); !errors.Is(err, ErrIdentityMismatch) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("TP-29 zero value matches none", func(t *testing.T) {
		t.Parallel()
		if err := (Identities{}).Match(cert); !errors.Is(err, ErrNoX509Identities) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("EXT-4 entry", func(t *testing.T) {
		t.Parallel()
		ids, err := parseIdentities([]string{"did:x", "x509.subject: C=US, ST=WA, O=b", base})
		if err != nil {
			t.Fatal(err)
		}
		if i, ok := ids.Entry(cert); !ok || i != 2 || ids.Len() != 2 {
			t.Errorf("entry %d, %t of %d", i, ok, ids.Len())
		}
		if _, ok := ids.Entry(multi); ok {
			t.Error("a mismatch has an entry")
		}
	})
}

func TestOverlap(t *testing.T) {
	t.Parallel()
	const base = "x509.subject: C=US, ST=WA, O=a"
	tests := []struct {
		name, a, b string
		overlap    bool
	}{
		{"TP-32 subset", base, base + ", OU=x", true},
		{"TP-32 CN and OU", base + ", CN=y", base + ", OU=x", true},
		{"TP-32 equal but for spaces", base, "x509.subject:O=a,ST=WA,C=US", true},
		{"TP-32 equal but for escapes", base, `x509.subject: C=US, ST=WA, O=\61`, true},
		{"TP-32 S and ST", base, "x509.subject: C=US, S=WA, O=a, CN=x", true},
		{"TP-32 name and OID", base + ", emailAddress=x", base + ", 1.2.840.113549.1.9.1=x, CN=y", true},
		{"TP-32 other CN", base + ", CN=x", base + ", CN=y", false},
		{"TP-32 other O", base, "x509.subject: C=US, ST=WA, O=b, CN=x", false},
		{"TP-32 other CN, both OU", base + ", CN=x, OU=z", base + ", CN=y, OU=z", false},
		{"TP-32 other email by OID", base + ", emailAddress=x", base + ", 1.2.840.113549.1.9.1=y", false},
		{"TP-32 same entry twice", "did:x", "did:x", true},
		{"TP-32 plugin entries", "did:x", "did:y", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, pair := range [][]string{{tt.a, tt.b}, {tt.b, tt.a}} {
				if _, err := parseIdentities(pair); (err != nil) != tt.overlap {
					t.Errorf("%q: %v", pair, err)
				}
			}
		})
	}
}

// escapeDN writes a value the way RFC 4514 asks for.
func escapeDN(value string) string {
	var out strings.Builder
	for _, b := range []byte(value) {
		fmt.Fprintf(&out, `\%02x`, b)
	}
	return out.String()
}

func FuzzParseDN(f *testing.F) {
	for _, seed := range []string{
		"C=US, ST=WA, O=acme", `C=US;S=WA;O=Acme\, Inc.\ ,CN=\41\c3\a9`, "C=US,ST=WA,O=a+CN=b", "O=#04", "1.2.3=x,C=", `\`, "=", ",", "C=US,ST=WA,O=a\x00", "2.5.4.6=US,2.5.4.8=WA,2.5.4.10=x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, dn string) {
		attributes, err := parseDN(dn)
		if err != nil {
			return
		}
		var text []string
		for i, a := range attributes {
			if a.value == "" || a.name == "" {
				t.Fatalf("empty attribute in %q", dn)
			}
			for _, b := range attributes[:i] {
				if a.sameType(b) {
					t.Fatalf("duplicate type in %q", dn)
				}
			}
			text = append(text, a.name+"="+escapeDN(a.value))
		}
		again, err := parseDN(strings.Join(text, ","))
		if err != nil {
			t.Fatalf("%q does not survive a round trip: %v", dn, err)
		}
		for i := range again {
			if again[i].value != attributes[i].value || !again[i].sameType(attributes[i]) {
				t.Fatalf("%q: %v became %v", dn, attributes[i], again[i])
			}
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	leaf := rich(b)
	for _, count := range []int{1, 10, 1000} {
		b.Run(fmt.Sprintf("identities=%d", count), func(b *testing.B) {
			var entries []string
			for i := range count - 1 {
				entries = append(entries, fmt.Sprintf(`x509.subject: C=US, ST=WA, O=acme\, inc., CN=other%d`, i))
			}
			ids, err := parseIdentities(append(entries, `x509.subject: C=US, ST=WA, O=acme\, inc., CN=Builder`))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := ids.Match(leaf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
