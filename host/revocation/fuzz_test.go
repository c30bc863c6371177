package revocation

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

// fuzzTarget is a leaf below a root, for seeds and checks.
func fuzzTarget(f *testing.F) (*testpki.Entity, *target) {
	root := testpki.Root(f, "root")
	leaf := root.Leaf(f, "signer", protocol.KeySpecEC256, urls([]string{"http://x/"}, []string{"http://x/"}))
	return root, newTarget(leaf.Cert, root.Cert)
}

// FuzzResponse: no input makes the parser panic, and none but what the authority
// signed is an answer.
func FuzzResponse(f *testing.F) {
	root, target := fuzzTarget(f)
	now := time.Now()
	signed := map[string]bool{}
	for _, spec := range []ocspSpec{
		{}, {byKey: true, sha256: true, noNext: true}, {status: statusUnknown}, {status: statusRevoked, reason: ReasonKeyCompromise, invalidity: now},
		{signer: delegate(f, root, noCheck), others: []ocspSpec{{status: statusRevoked}}},
	} {
		der := spec.build(f, root, target.cert.SerialNumber, now)
		parsed, err := parseResponse(der)
		if err != nil {
			f.Fatal(err)
		}
		signed[string(parsed.tbs)] = true
		f.Add(der)
	}
	f.Add(ocsp.TryLaterErrorResponse)
	f.Fuzz(func(t *testing.T, der []byte) {
		parsed, err := parseResponse(der)
		if err != nil {
			return
		}
		if a, err := parsed.answerFor(target); err == nil {
			a.checkTime(now)
			if !signed[string(parsed.tbs)] {
				t.Error("an answer that nobody signed is accepted")
			}
		}
	})
}

// FuzzList: no input makes the parser panic, and what it finds is what
// crypto/x509 finds.
func FuzzList(f *testing.F) {
	root, target := fuzzTarget(f)
	now := time.Now()
	for _, spec := range []crlSpec{
		{}, {number: 1, entries: []entrySpec{{cert: target.cert, reason: ReasonCertificateHold, invalidity: now}, {cert: root.Cert}}},
		{number: 2, noNext: true, extensions: []pkix.Extension{deltaIndicator(f, 1), freshest(f, "http://x/"), scopeSpec{urls: []string{"http://x/"}, user: true, reasons: []int{1}}.extension()}},
		{extensions: []pkix.Extension{ext(oidNextPublish, false, marshal(f, now.UTC(), "utc"))}},
	} {
		spec.issuer = root
		f.Add(spec.build(f, now))
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		l, err := parseList(der)
		if err != nil || l.buildIndex() != nil {
			return
		}
		(&pair{base: &fetchedList{list: l}}).judge(target, now)
		l.lookup(target.serial)
		theirs, err := x509.ParseRevocationList(der)
		if err != nil {
			return
		}
		if len(theirs.RevokedCertificateEntries) != l.count || !theirs.ThisUpdate.Equal(l.thisUpdate) || !theirs.NextUpdate.Equal(l.nextUpdate) {
			t.Fatalf("%d entries, crypto/x509 has %d", l.count, len(theirs.RevokedCertificateEntries))
		}
		for _, entry := range theirs.RevokedCertificateEntries {
			found, err := l.lookup(integerContent(entry.SerialNumber))
			if err == nil && len(found) == 0 {
				t.Fatalf("serial number %v is not found", entry.SerialNumber)
			}
		}
	})
}

// FuzzCacheFile: no file makes the cache panic, or yields a list that the issuer
// has not signed.
func FuzzCacheFile(f *testing.F) {
	root, target := fuzzTarget(f)
	list := crlSpec{issuer: root, number: 1}.build(f, time.Now())
	parsed, err := parseList(list)
	if err != nil {
		f.Fatal(err)
	}
	for _, content := range []*cached{{Base: list}, {Base: list, Delta: list}} {
		data, err := json.Marshal(content)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"baseCRL":"AAAA","deltaCRL":null}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		content, err := decodeCached(data)
		if err != nil {
			return
		}
		for _, der := range [][]byte{content.Base, content.Delta} {
			if l, err := openList(der, target, "", time.Now()); err == nil && !bytes.Equal(l.tbs, parsed.tbs) {
				t.Error("a list that nobody signed is accepted")
			}
		}
	})
}

// FuzzExtensions: no extension value of a certificate or list makes a parser panic.
func FuzzExtensions(f *testing.F) {
	f.Add(distributionPoints(f, "http://a/", "ldap://b/"))
	f.Add(scopeSpec{urls: []string{"http://a/"}, ca: true, indirect: true, attributes: true, reasons: []int{1, 8}}.extension().Value)
	f.Fuzz(func(t *testing.T, value []byte) {
		found, _ := readPoints(value)
		if s, ok := readScope(value); ok {
			s.check(true, found)
		}
		signatureAlgorithm(value)
	})
}
