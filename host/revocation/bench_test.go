package revocation

import (
	"crypto/x509"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/testpki"
)

var listSizes = []int{10, 1_000, 100_000, 1_000_000}

// largeList makes a CRL with n entries of 8-byte serial numbers and no reasons,
// which is 27 MB for a million.
func largeList(b *testing.B, issuer *testpki.Entity, n int) (der []byte, serials []*big.Int) {
	b.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	date := marshal(b, time.Now().UTC(), "utc")
	var content []byte
	for i := range n {
		serial := random.Uint64() >> 1
		serial |= 1 << 62
		entry := []byte{0x30, byte(10 + len(date)), 2, 8}
		for shift := 56; shift >= 0; shift -= 8 {
			entry = append(entry, byte(serial>>shift))
		}
		content = append(append(content, entry...), date...)
		if i%(n/10) == 0 {
			serials = append(serials, new(big.Int).SetUint64(serial))
		}
	}
	return crlSpec{issuer: issuer, rawEntries: content, number: 1}.build(b, time.Now()), serials
}

// BenchmarkOpenList parses a list, checks its signature and indexes its entries.
func BenchmarkOpenList(b *testing.B) {
	root := testpki.Root(b, "root")
	target := newTarget(root.Cert, root.Cert)
	for _, n := range listSizes {
		der, _ := largeList(b, root, n)
		b.Run(fmt.Sprintf("by=signet/entries=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(der)))
			for b.Loop() {
				if _, err := openList(der, target, "", time.Time{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("by=crypto-x509/entries=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(der)))
			for b.Loop() {
				l, err := x509.ParseRevocationList(der)
				if err == nil {
					err = l.CheckSignatureFrom(root.Cert)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLookup looks serial numbers up that are in the list.
func BenchmarkLookup(b *testing.B) {
	root := testpki.Root(b, "root")
	for _, n := range listSizes {
		der, serials := largeList(b, root, n)
		l, err := openList(der, newTarget(root.Cert, root.Cert), "", time.Time{})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				found, err := l.lookup(integerContent(serials[i%len(serials)]))
				if err != nil || len(found) == 0 {
					b.Fatal(err, len(found))
				}
				i++
			}
		})
	}
}

// BenchmarkFileCache reads a list from a file, as the first check of a process does.
func BenchmarkFileCache(b *testing.B) {
	root := testpki.Root(b, "root")
	target := newTarget(root.Cert, root.Cert)
	for _, n := range listSizes {
		der, _ := largeList(b, root, n)
		checker := &Checker{Cache: &FileCache{Dir: b.TempDir()}}
		if err := checker.Cache.store("http://x/", &cached{Base: der, storedAt: time.Now()}); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(der)))
			for b.Loop() {
				if checker.loadFile(target, "http://x/") == nil {
					b.Fatal("not found")
				}
			}
		})
	}
}

// BenchmarkWarmCheck checks a chain of leaf, intermediate and root whose answers
// are in memory.
func BenchmarkWarmCheck(b *testing.B) {
	for _, method := range []Method{MethodOCSP, MethodCRL} {
		for _, checked := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s/chainChecked=%v", method, checked), func(b *testing.B) {
				s := newScene(b)
				inter := s.root.Intermediate(b, "inter", urls([]string{s.responder("a", ocspSpec{next: time.Now().Add(24 * time.Hour)})}, nil))
				leaf := inter.Leaf(b, "signer", "EC-256", urls([]string{s.responderOf("b", inter, ocspSpec{next: time.Now().Add(24 * time.Hour)})}, nil))
				if method == MethodCRL {
					inter = s.root.Intermediate(b, "inter", urls(nil, []string{s.web.file("a", s.crl(crlSpec{}))}))
					leaf = inter.Leaf(b, "signer", "EC-256", urls(nil, []string{s.web.file("b", s.crl(crlSpec{issuer: inter}))}))
				}
				s.checker.HTTPClient = &http.Client{Timeout: time.Minute}
				request := Request{Chain: leaf.Chain(), ChainChecked: checked}
				b.ReportAllocs()
				for b.Loop() {
					if report := s.checker.Check(b.Context(), request); report.Result != ResultOK {
						b.Fatal(report.Err())
					}
				}
			})
		}
	}
}
