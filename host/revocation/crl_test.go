package revocation

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

// listed checks a leaf that is listed with the given entries, whose cert is
// filled in, in a list that is otherwise as spec says.
func (s *scene) listed(spec crlSpec, entries ...entrySpec) *testpki.Entity {
	s.t.Helper()
	s.forget()
	leaf := s.leaf(nil, []string{s.web.URL + "/crl"})
	for i := range entries {
		entries[i].cert = leaf.Cert
	}
	spec.entries = append(entries, entrySpec{cert: s.root.Cert}) // and somebody else
	s.web.file("crl", s.crl(spec))
	return leaf
}

// forget empties the cache of lists.
func (s *scene) forget() { s.checker.lists = memory[listKey, *fetchedList]{} }

func TestDistributionPoints(t *testing.T) {
	t.Run("REV-16 404 then 200", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf(nil, []string{s.web.URL + "/missing", s.web.file("crl", s.crl(crlSpec{}))})
		got := s.check(leaf)
		s.want(got, ResultOK, ProblemStatus, "")
		if got.Server != s.web.URL+"/crl" || got.Method != MethodCRL {
			t.Errorf("decided by %q %q", got.Method, got.Server)
		}
	})
	t.Run("REV-16 the first 200 ends the search", func(t *testing.T) {
		s := newScene(t)
		s.want(s.check(s.leaf(nil, []string{s.web.file("crl", s.crl(crlSpec{})), s.web.URL + "/second"})), ResultOK, "")
		if s.web.count("second") != 0 {
			t.Error("the second CRL was fetched")
		}
	})
	t.Run("REV-16 an unusable 200 moves on", func(t *testing.T) {
		s := newScene(t)
		rogue := testpki.Root(t, "root")
		leaf := s.leaf(nil, []string{
			s.web.file("garbage", []byte("hello")),
			s.web.file("foreign", s.crl(crlSpec{issuer: rogue})),
			s.web.file("stale", s.crl(crlSpec{next: s.clock.Now().Add(-time.Minute)})),
			s.web.file("critical", s.crl(crlSpec{extensions: []pkix.Extension{ext(asn1.ObjectIdentifier{1, 2, 3}, true, nil)}})),
			s.web.file("delta", s.crl(crlSpec{number: 5, extensions: []pkix.Extension{deltaIndicator(t, 4)}})),
			s.web.file("good", s.crl(crlSpec{})),
		})
		s.want(s.check(leaf), ResultOK, ProblemMalformed, ProblemSignature, ProblemTime, ProblemCritical, ProblemDelta, "")
	})
	t.Run("REV-16 unavailable when none is left", func(t *testing.T) {
		s := newScene(t)
		s.want(s.check(s.leaf(nil, []string{s.web.URL + "/missing", s.web.file("garbage", nil)})), ResultUnknown, ProblemStatus, ProblemMalformed)
	})
	t.Run("REV-16 a server that breaks off", func(t *testing.T) {
		s := newScene(t)
		der := s.crl(crlSpec{})
		url := s.web.handle("crl", func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "100000")
			rw.Write(der)
		})
		s.want(s.check(s.leaf(nil, []string{url})), ResultUnknown, ProblemUnreachable)
	})
	t.Run("REV-17 ldap and https are skipped", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf(nil, []string{"ldap://host/cn=ca?certificateRevocationList", "https://host/crl", s.web.file("crl", s.crl(crlSpec{}))})
		s.want(s.check(leaf), ResultOK, ProblemURL, ProblemURL, "")
	})
	t.Run("REV-17 ldap only is unavailable", func(t *testing.T) {
		s := newScene(t)
		s.want(s.check(s.leaf(nil, []string{"ldap://host/cn=ca"})), ResultUnknown, ProblemURL)
	})
	t.Run("REV-17 a distribution point without URL is unavailable", func(t *testing.T) {
		s := newScene(t)
		s.want(s.check(s.leaf(nil, nil, extensions(ext(oidCRLDistributionPoints, false, distributionPoints(t))))), ResultUnknown, ProblemURL)
	})
	t.Run("REV-17 a directory name before the URL", func(t *testing.T) {
		s := newScene(t)
		url := s.web.file("crl", s.crl(crlSpec{}))
		names := asn1.RawValue{Class: 2, Tag: 0, IsCompound: true, Bytes: slices.Concat(
			marshal(t, asn1.RawValue{Class: 2, Tag: 4, IsCompound: true, Bytes: s.root.Cert.RawSubject}),
			marshal(t, asn1.RawValue{Class: 2, Tag: 6, Bytes: []byte(url)}))}
		point := marshal(t, asn1.RawValue{Class: 2, Tag: 0, IsCompound: true, Bytes: marshal(t, names)})
		value := marshal(t, []asn1.RawValue{{Tag: 16, IsCompound: true, Bytes: point}})
		s.want(s.check(s.leaf(nil, nil, extensions(ext(oidCRLDistributionPoints, false, value)))), ResultOK, "")
	})
	t.Run("REV-16 a certificate with a hundred CRLs", func(t *testing.T) {
		s := newScene(t)
		got := s.check(s.leaf(nil, slices.Repeat([]string{s.web.URL + "/missing"}, 100)))
		s.want(got, ResultUnknown)
		if n := s.web.count("missing"); n != maxServers {
			t.Errorf("%d requests", n)
		}
	})
	t.Run("REV-18 PEM", func(t *testing.T) {
		s := newScene(t)
		text := pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: s.crl(crlSpec{})})
		s.want(s.check(s.leaf(nil, []string{s.web.file("crl", text)})), ResultUnknown, ProblemMalformed)
	})
	t.Run("REV-18 32 MiB and one byte", func(t *testing.T) {
		s := newScene(t)
		url := s.web.handle("crl", func(rw http.ResponseWriter, _ *http.Request) {
			for block := make([]byte, 1<<20); ; { // endless
				if _, err := rw.Write(block); err != nil {
					return
				}
			}
		})
		s.want(s.check(s.leaf(nil, []string{url})), ResultUnknown, ProblemSize)
	})
}

func TestLists(t *testing.T) {
	unknown := asn1.ObjectIdentifier{1, 2, 3}
	t.Run("REV-19 foreign key", func(t *testing.T) {
		s := newScene(t)
		leaf := s.listed(crlSpec{signer: testpki.FreshKey(t, protocol.KeySpecEC256)}, entrySpec{})
		s.want(s.check(leaf), ResultUnknown, ProblemSignature)
	})
	t.Run("REV-19 another CA of the chain", func(t *testing.T) {
		s := newScene(t)
		inter := s.root.Intermediate(t, "inter")
		leaf := inter.Leaf(t, "signer", protocol.KeySpecEC256, urls(nil, []string{s.web.file("crl", s.crl(crlSpec{}))}))
		s.want(s.check(leaf), ResultUnknown, ProblemSignature)
	})
	t.Run("REV-19 a CA that may not sign CRLs", func(t *testing.T) {
		s := newScene(t)
		s.root = testpki.Root(t, "root", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign })
		s.want(s.check(s.listed(crlSpec{})), ResultUnknown, ProblemSignature)
	})
	t.Run("REV-19 every kind of CA key", func(t *testing.T) {
		s := newScene(t)
		for _, spec := range []protocol.KeySpec{protocol.KeySpecRSA2048, protocol.KeySpecEC384} {
			for _, algorithm := range []x509.SignatureAlgorithm{0, x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS, x509.SHA512WithRSA} {
				if algorithm != 0 && spec == protocol.KeySpecEC384 {
					continue
				}
				template := &x509.Certificate{Subject: testpki.DefaultSubject("ca"), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte{1}}
				s.root = testpki.Issue(t, nil, testpki.Key(t, spec), template)
				leaf := s.leaf(nil, []string{s.web.URL + "/crl"})
				// crypto/x509 makes the list.
				list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: s.clock.Now(), NextUpdate: s.clock.Now().Add(time.Hour), SignatureAlgorithm: algorithm,
					RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: leaf.Cert.SerialNumber, RevocationTime: s.clock.Now(), ReasonCode: 4}}}
				der, err := x509.CreateRevocationList(rand.Reader, list, s.root.Cert, s.root.Key)
				if err != nil {
					t.Fatal(err)
				}
				s.web.file("crl", der)
				got := s.check(leaf)
				s.want(got, ResultRevoked)
				if got.Revocation != nil && got.Revocation.Reason != ReasonSuperseded {
					t.Errorf("reason %v", got.Revocation.Reason)
				}
			}
		}
	})
	t.Run("REV-20 stale, not listed", func(t *testing.T) {
		s := newScene(t)
		s.want(s.check(s.listed(crlSpec{next: s.clock.Now().Add(-time.Second)})), ResultUnknown, ProblemTime)
	})
	t.Run("REV-20 valid to the second", func(t *testing.T) {
		s := newScene(t)
		s.want(s.check(s.listed(crlSpec{next: s.clock.Now()})), ResultOK)
	})
	t.Run("REV-20 no nextUpdate", func(t *testing.T) {
		s := newScene(t)
		s.want(s.check(s.listed(crlSpec{noNext: true})), ResultUnknown, ProblemTime)
	})
	t.Run("REV-21 stale, listed", func(t *testing.T) {
		s := newScene(t)
		stale := crlSpec{next: s.clock.Now().Add(-time.Second)}
		s.want(s.check(s.listed(stale, entrySpec{reason: ReasonKeyCompromise})), ResultRevoked)
		s.want(s.check(s.listed(stale, entrySpec{})), ResultRevoked)
		s.want(s.check(s.listed(stale, entrySpec{reason: ReasonCertificateHold})), ResultUnknown, ProblemTime)
		s.want(s.check(s.listed(crlSpec{noNext: true}, entrySpec{})), ResultRevoked)
	})
	t.Run("REV-21 stale, listed, forged", func(t *testing.T) {
		s := newScene(t)
		forged := crlSpec{next: s.clock.Now().Add(-time.Second), signer: testpki.FreshKey(t, protocol.KeySpecEC256)}
		s.want(s.check(s.listed(forged, entrySpec{})), ResultUnknown, ProblemSignature)
	})
	t.Run("REV-21 stale, listed, excused", func(t *testing.T) {
		s := newScene(t)
		at := s.clock.Now().Add(-time.Hour)
		leaf := s.listed(crlSpec{next: s.clock.Now().Add(-time.Second)}, entrySpec{invalidity: at.Add(time.Minute)})
		s.want(s.check(leaf, signedAt(at)), ResultUnknown, ProblemTime)
	})
	t.Run("REV-12 REV-13 invalidity date against signing time and timestamp", func(t *testing.T) {
		s := newScene(t)
		at := s.clock.Now().Add(-time.Hour)
		for _, reference := range []func(*Request){signedAt(at), stampedAt(at)} {
			got := s.check(s.listed(crlSpec{}, entrySpec{invalidity: at.Add(time.Second), reason: ReasonKeyCompromise}), reference)
			s.want(got, ResultOK)
			if got.Revocation == nil || got.Revocation.Reason != ReasonKeyCompromise {
				t.Error("the excused revocation is not reported")
			}
			s.want(s.check(s.listed(crlSpec{}, entrySpec{invalidity: at}), reference), ResultRevoked)
			s.want(s.check(s.listed(crlSpec{}, entrySpec{}), reference), ResultRevoked)
		}
		s.want(s.check(s.listed(crlSpec{}, entrySpec{invalidity: at.Add(time.Hour)})), ResultRevoked)
	})
	t.Run("REV-23 hold", func(t *testing.T) {
		s := newScene(t)
		got := s.check(s.listed(crlSpec{}, entrySpec{reason: ReasonCertificateHold}))
		s.want(got, ResultRevoked)
		if got.Revocation == nil || got.Revocation.Reason != ReasonCertificateHold {
			t.Errorf("revocation %+v", got.Revocation)
		}
	})
	t.Run("REV-23 hold and unhold", func(t *testing.T) {
		s := newScene(t)
		now := s.clock.Now()
		s.want(s.check(s.listed(crlSpec{}, entrySpec{reason: ReasonCertificateHold, at: now.Add(-time.Hour)}, entrySpec{reason: ReasonRemoveFromCRL, at: now})), ResultOK)
	})
	orders := []struct {
		name    string
		entries func(now time.Time) []entrySpec
		want    Result
	}{
		{"unhold before hold in time", func(now time.Time) []entrySpec {
			return []entrySpec{{reason: ReasonRemoveFromCRL, at: now.Add(-time.Hour)}, {reason: ReasonCertificateHold, at: now}}
		}, ResultRevoked},
		{"unhold listed before hold", func(now time.Time) []entrySpec {
			return []entrySpec{{reason: ReasonRemoveFromCRL, at: now}, {reason: ReasonCertificateHold, at: now.Add(-time.Hour)}}
		}, ResultOK},
		{"hold and unhold at once", func(now time.Time) []entrySpec {
			return []entrySpec{{reason: ReasonCertificateHold, at: now}, {reason: ReasonRemoveFromCRL, at: now}}
		}, ResultRevoked},
		{"a permanent reason wins over a later removal", func(now time.Time) []entrySpec {
			return []entrySpec{{reason: ReasonKeyCompromise, at: now.Add(-time.Hour)}, {reason: ReasonRemoveFromCRL, at: now}}
		}, ResultRevoked},
		{"a permanent reason wins though listed last", func(now time.Time) []entrySpec {
			return []entrySpec{{reason: ReasonCertificateHold, at: now.Add(-2 * time.Hour)}, {reason: ReasonRemoveFromCRL, at: now}, {at: now.Add(-time.Hour)}}
		}, ResultRevoked},
		{"an unknown reason is permanent", func(now time.Time) []entrySpec { return []entrySpec{{reason: 7}} }, ResultRevoked},
	}
	for _, order := range orders {
		t.Run("REV-24 "+order.name, func(t *testing.T) {
			s := newScene(t)
			s.want(s.check(s.listed(crlSpec{}, order.entries(s.clock.Now())...)), order.want)
		})
	}
	t.Run("REV-25 critical extensions", func(t *testing.T) {
		s := newScene(t)
		critical := []pkix.Extension{ext(unknown, true, nil)}
		s.want(s.check(s.listed(crlSpec{extensions: critical})), ResultUnknown, ProblemCritical)
		s.want(s.check(s.listed(crlSpec{}, entrySpec{extensions: critical})), ResultUnknown, ProblemCritical)
		s.want(s.check(s.listed(crlSpec{extensions: critical}, entrySpec{})), ResultUnknown, ProblemCritical)
		s.want(s.check(s.listed(crlSpec{extensions: []pkix.Extension{ext(unknown, false, nil)}})), ResultOK)
		s.want(s.check(s.listed(crlSpec{extensions: []pkix.Extension{scopeSpec{user: true}.extension()}})), ResultOK)
	})
	t.Run("REV-25 a critical extension on another certificate's entry", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf(nil, []string{s.web.URL + "/crl"})
		s.web.file("crl", s.crl(crlSpec{entries: []entrySpec{{cert: s.root.Cert, extensions: []pkix.Extension{ext(asn1.ObjectIdentifier{2, 5, 29, 29}, true, nil)}}}}))
		s.want(s.check(leaf), ResultUnknown, ProblemCritical)
	})
	t.Run("REV-25 a delta CRL in place of a complete one", func(t *testing.T) {
		s := newScene(t)
		s.want(s.check(s.listed(crlSpec{number: 9, extensions: []pkix.Extension{deltaIndicator(t, 8)}})), ResultUnknown, ProblemDelta)
	})
}

func TestNextPublish(t *testing.T) {
	published := func(t *testing.T, at time.Time) []pkix.Extension {
		return []pkix.Extension{ext(oidNextPublish, false, marshal(t, at.UTC(), "utc"))}
	}
	// requests records whether each request asked proxies not to use their caches.
	type server struct {
		answers [][]byte
		fresh   []bool
	}
	serve := func(s *scene, answers ...[]byte) *server {
		v := &server{answers: answers}
		s.web.handle("crl", func(rw http.ResponseWriter, r *http.Request) {
			v.fresh = append(v.fresh, r.Header.Get("Cache-Control") == "no-cache")
			if len(v.answers) == 0 {
				http.NotFound(rw, r)
				return
			}
			rw.Write(v.answers[0])
			v.answers = v.answers[1:]
		})
		return v
	}
	t.Run("REV-22 not listed, past nextPublish: the fresh CRL decides", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf(nil, []string{s.web.URL + "/crl"})
		old := s.crl(crlSpec{extensions: published(t, s.clock.Now().Add(-time.Minute))})
		v := serve(s, old, s.crl(crlSpec{this: s.clock.Now(), entries: []entrySpec{{cert: leaf.Cert}}}))
		s.want(s.check(leaf), ResultRevoked)
		if !slices.Equal(v.fresh, []bool{false, true}) {
			t.Errorf("requests %v", v.fresh)
		}
	})
	t.Run("REV-22 from memory: past the cache", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf(nil, []string{s.web.URL + "/crl"})
		v := serve(s, s.crl(crlSpec{extensions: published(t, s.clock.Now().Add(time.Minute))}), s.crl(crlSpec{this: s.clock.Now(), entries: []entrySpec{{cert: leaf.Cert}}}))
		s.want(s.check(leaf), ResultOK)
		s.clock.advance(2 * time.Minute)
		s.want(s.check(leaf), ResultRevoked)
		if len(v.fresh) != 2 {
			t.Errorf("%d requests", len(v.fresh))
		}
	})
	t.Run("REV-22 hold, past nextPublish: released by the fresh CRL", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf(nil, []string{s.web.URL + "/crl"})
		hold := entrySpec{cert: leaf.Cert, reason: ReasonCertificateHold}
		serve(s, s.crl(crlSpec{entries: []entrySpec{hold}, extensions: published(t, s.clock.Now().Add(-time.Minute))}), s.crl(crlSpec{this: s.clock.Now()}))
		s.want(s.check(leaf), ResultOK)
	})
	t.Run("REV-22 revoked for good: no fresh CRL", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf(nil, []string{s.web.URL + "/crl"})
		v := serve(s, s.crl(crlSpec{entries: []entrySpec{{cert: leaf.Cert}}, extensions: published(t, s.clock.Now().Add(-time.Minute))}))
		s.want(s.check(leaf), ResultRevoked)
		if len(v.fresh) != 1 {
			t.Errorf("%d requests", len(v.fresh))
		}
	})
	t.Run("REV-22 the fresh CRL fails: the unexpired one decides", func(t *testing.T) {
		s := newScene(t)
		for name, second := range map[string][]byte{
			"missing": nil, "garbage": []byte("x"), "forged": s.crl(crlSpec{this: s.clock.Now(), signer: testpki.FreshKey(t, protocol.KeySpecEC256)}),
			"expired": s.crl(crlSpec{next: s.clock.Now().Add(-time.Second)}),
		} {
			leaf := s.leaf(nil, []string{s.web.URL + "/crl"})
			serve(s, s.crl(crlSpec{extensions: published(t, s.clock.Now().Add(-time.Minute))}), second)
			s.forget()
			if got := s.check(leaf); got.Result != ResultOK {
				t.Errorf("%s: %q %v", name, got.Result, describe(got.Attempts))
			}
		}
	})
	t.Run("REV-22 an older CRL is no fresh one", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf(nil, []string{s.web.URL + "/crl"})
		hold := entrySpec{cert: leaf.Cert, reason: ReasonCertificateHold}
		serve(s, s.crl(crlSpec{entries: []entrySpec{hold}, extensions: published(t, s.clock.Now().Add(-time.Minute))}), s.crl(crlSpec{this: s.clock.Now().Add(-48 * time.Hour)}))
		s.want(s.check(leaf), ResultRevoked)
		s.want(s.check(leaf), ResultRevoked) // the older one is not in memory either
	})
	t.Run("REV-22 once: a CA that is late is not asked for each signature", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf(nil, []string{s.web.URL + "/crl"})
		der := s.crl(crlSpec{extensions: published(t, s.clock.Now().Add(-time.Minute))})
		v := serve(s, slices.Repeat([][]byte{der}, 10)...)
		for range 5 {
			s.want(s.check(leaf), ResultOK)
		}
		if len(v.fresh) != 2 {
			t.Errorf("%d requests", len(v.fresh))
		}
		s.clock.advance(2 * refreshInterval)
		s.want(s.check(leaf), ResultOK)
		if len(v.fresh) != 3 {
			t.Errorf("%d requests after a while", len(v.fresh))
		}
	})
}

func TestDelta(t *testing.T) {
	// arrange serves a base, number 10, whose Freshest CRL is at /delta.
	arrange := func(s *scene, delta crlSpec, baseEntries, deltaEntries []entrySpec) *testpki.Entity {
		leaf := s.leaf(nil, []string{s.web.URL + "/crl"})
		for _, entries := range [][]entrySpec{baseEntries, deltaEntries} {
			for i := range entries {
				entries[i].cert = leaf.Cert
			}
		}
		delta.entries = deltaEntries
		s.web.file("crl", s.crl(crlSpec{number: 10, entries: baseEntries, extensions: []pkix.Extension{freshest(s.t, "ldap://host/x", s.web.URL+"/delta")}}))
		s.web.file("delta", s.crl(delta))
		return leaf
	}
	indicator := func(t *testing.T, base int64) []pkix.Extension { return []pkix.Extension{deltaIndicator(t, base)} }
	t.Run("REV-26 the delta is read", func(t *testing.T) {
		s := newScene(t)
		got := s.check(arrange(s, crlSpec{number: 11, extensions: indicator(t, 10)}, nil, []entrySpec{{reason: ReasonKeyCompromise}}))
		s.want(got, ResultRevoked)
		s = &scene{t: t, web: s.web, clock: s.clock, root: s.root, checker: &Checker{Now: s.clock.Now}}
		s.want(s.check(arrange(s, crlSpec{number: 11, extensions: indicator(t, 10)}, nil, nil)), ResultOK)
	})
	t.Run("REV-26 delta 404", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf(nil, []string{s.web.file("crl", s.crl(crlSpec{number: 10, extensions: []pkix.Extension{freshest(t, s.web.URL+"/missing")}}))})
		s.want(s.check(leaf), ResultUnknown, ProblemDelta)
	})
	t.Run("REV-26 the second delta URL answers", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf(nil, []string{s.web.file("crl", s.crl(crlSpec{number: 10, extensions: []pkix.Extension{freshest(t, s.web.URL+"/missing", s.web.URL+"/delta")}}))})
		s.web.file("delta", s.crl(crlSpec{number: 11, extensions: indicator(t, 10)}))
		s.want(s.check(leaf), ResultOK)
	})
	t.Run("REV-26 ldap delta only", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf(nil, []string{s.web.file("crl", s.crl(crlSpec{number: 10, extensions: []pkix.Extension{freshest(t, "ldap://host/x")}}))})
		s.want(s.check(leaf), ResultUnknown, ProblemDelta)
	})
	t.Run("REV-26 revoked in the base, delta 404", func(t *testing.T) {
		s := newScene(t)
		leaf := s.listed(crlSpec{number: 10, extensions: []pkix.Extension{freshest(t, s.web.URL+"/missing")}}, entrySpec{})
		s.want(s.check(leaf), ResultRevoked)
	})
	t.Run("REV-27 Freshest CRL in the certificate", func(t *testing.T) {
		s := newScene(t)
		named := func() *testpki.Entity {
			return s.leaf(nil, []string{s.web.URL + "/crl"}, extensions(freshest(t, s.web.URL+"/delta")))
		}
		s.web.file("crl", s.crl(crlSpec{number: 10}))
		leaf := named()
		s.web.file("delta", s.crl(crlSpec{number: 11, extensions: indicator(t, 10), entries: []entrySpec{{cert: leaf.Cert}}}))
		s.want(s.check(leaf), ResultRevoked)
		s.want(s.check(named()), ResultOK)
		// A base that a certificate without the extension has put into memory does
		// not spare this one its delta.
		s.want(s.check(s.leaf(nil, []string{s.web.URL + "/crl"})), ResultOK)
		s.want(s.check(leaf), ResultRevoked)
	})
	t.Run("REV-27 unreachable", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf(nil, []string{s.web.file("crl", s.crl(crlSpec{number: 10}))}, extensions(freshest(t, s.web.URL+"/missing")))
		s.want(s.check(leaf), ResultUnknown, ProblemDelta)
	})
	cases := []struct {
		name  string
		delta func(s *scene) crlSpec
		want  Result
	}{
		{"indicator equals the base number", func(s *scene) crlSpec { return crlSpec{number: 12, extensions: indicator(t, 10)} }, ResultOK},
		{"indicator below the base number", func(s *scene) crlSpec { return crlSpec{number: 12, extensions: indicator(t, 3)} }, ResultOK},
		{"indicator above the base number", func(s *scene) crlSpec { return crlSpec{number: 12, extensions: indicator(t, 11)} }, ResultUnknown},
		{"number equals the base number", func(s *scene) crlSpec { return crlSpec{number: 10, extensions: indicator(t, 9)} }, ResultUnknown},
		{"number below the base number", func(s *scene) crlSpec { return crlSpec{number: 9, extensions: indicator(t, 9)} }, ResultUnknown},
		{"no number", func(s *scene) crlSpec { return crlSpec{extensions: indicator(t, 9)} }, ResultUnknown},
		{"no indicator", func(s *scene) crlSpec { return crlSpec{number: 12} }, ResultUnknown},
		{"expired", func(s *scene) crlSpec {
			return crlSpec{number: 12, extensions: indicator(t, 10), next: s.clock.Now().Add(-time.Second)}
		}, ResultUnknown},
		{"no nextUpdate", func(s *scene) crlSpec { return crlSpec{number: 12, extensions: indicator(t, 10), noNext: true} }, ResultUnknown},
		{"foreign key", func(s *scene) crlSpec {
			return crlSpec{number: 12, extensions: indicator(t, 10), signer: testpki.FreshKey(t, protocol.KeySpecEC256)}
		}, ResultUnknown},
		{"another CA", func(s *scene) crlSpec {
			return crlSpec{issuer: testpki.Root(t, "other"), number: 12, extensions: indicator(t, 10)}
		}, ResultUnknown},
		{"unknown critical extension", func(s *scene) crlSpec {
			return crlSpec{number: 12, extensions: append(indicator(t, 10), ext(asn1.ObjectIdentifier{1, 2, 3}, true, nil))}
		}, ResultUnknown},
		{"another scope", func(s *scene) crlSpec {
			return crlSpec{number: 12, extensions: append(indicator(t, 10), scopeSpec{user: true}.extension())}
		}, ResultUnknown},
	}
	for _, c := range cases {
		t.Run("REV-28 "+c.name, func(t *testing.T) {
			s := newScene(t)
			s.want(s.check(arrange(s, c.delta(s), nil, nil)), c.want)
		})
	}
	t.Run("REV-28 an expired delta that lists the certificate", func(t *testing.T) {
		s := newScene(t)
		stale := crlSpec{number: 12, extensions: indicator(t, 10), next: s.clock.Now().Add(-time.Second)}
		s.want(s.check(arrange(s, stale, nil, []entrySpec{{}})), ResultRevoked)
	})
	t.Run("REV-23 hold in the base, removed by the delta", func(t *testing.T) {
		s := newScene(t)
		now := s.clock.Now()
		leaf := arrange(s, crlSpec{number: 12, extensions: indicator(t, 10)},
			[]entrySpec{{reason: ReasonCertificateHold, at: now.Add(-2 * time.Hour)}}, []entrySpec{{reason: ReasonRemoveFromCRL, at: now.Add(-time.Hour)}})
		s.want(s.check(leaf), ResultOK)
	})
	t.Run("REV-24 revoked in the base, removed by the delta", func(t *testing.T) {
		s := newScene(t)
		now := s.clock.Now()
		leaf := arrange(s, crlSpec{number: 12, extensions: indicator(t, 10)},
			[]entrySpec{{reason: ReasonKeyCompromise, at: now.Add(-2 * time.Hour)}}, []entrySpec{{reason: ReasonRemoveFromCRL, at: now.Add(-time.Hour)}})
		s.want(s.check(leaf), ResultRevoked)
	})
	t.Run("REV-28 a base in memory that is too old for today's delta", func(t *testing.T) {
		s := newScene(t)
		leaf := arrange(s, crlSpec{number: 11, extensions: indicator(t, 10), next: s.clock.Now().Add(10 * time.Minute)}, nil, nil)
		s.want(s.check(leaf), ResultOK)
		s.clock.advance(11 * time.Minute)
		s.web.file("crl", s.crl(crlSpec{number: 20, extensions: []pkix.Extension{freshest(t, s.web.URL+"/delta")}}))
		s.web.file("delta", s.crl(crlSpec{number: 21, extensions: indicator(t, 20)}))
		s.want(s.check(leaf), ResultOK)
	})
	t.Run("REV-28 a delta in memory that is too old for today's base", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf(nil, []string{s.web.URL + "/crl"})
		freshestDelta := []pkix.Extension{freshest(t, s.web.URL+"/delta")}
		s.web.file("crl", s.crl(crlSpec{number: 10, next: s.clock.Now().Add(10 * time.Minute), extensions: freshestDelta}))
		s.web.file("delta", s.crl(crlSpec{number: 11, extensions: indicator(t, 10)}))
		s.want(s.check(leaf), ResultOK)
		s.clock.advance(11 * time.Minute)
		s.web.file("crl", s.crl(crlSpec{number: 20, extensions: freshestDelta}))
		s.web.file("delta", s.crl(crlSpec{number: 21, extensions: indicator(t, 20)}))
		s.want(s.check(leaf), ResultOK)
	})
}

func TestScope(t *testing.T) {
	scoped := func(s scopeSpec) crlSpec { return crlSpec{extensions: []pkix.Extension{s.extension()}} }
	cases := []struct {
		name  string
		scope scopeSpec
		want  Problem
	}{
		{"user certificates", scopeSpec{user: true}, ""},
		{"CA certificates", scopeSpec{ca: true}, ProblemScope},
		{"attribute certificates", scopeSpec{attributes: true}, ProblemScope},
		{"indirect", scopeSpec{indirect: true}, ProblemScope},
		{"nothing said", scopeSpec{}, ""},
		{"another distribution point", scopeSpec{urls: []string{"http://elsewhere/crl"}}, ProblemScope},
		{"all reasons, named", scopeSpec{reasons: []int{1, 2, 3, 4, 5, 6, 7, 8}}, ""},
	}
	for _, c := range cases {
		t.Run("REV-37 "+c.name, func(t *testing.T) {
			s := newScene(t)
			want := ResultOK
			if c.want != "" {
				want = ResultUnknown
			}
			s.want(s.check(s.listed(scoped(c.scope))), want, c.want)
		})
	}
	t.Run("REV-37 an intermediate and a list for users", func(t *testing.T) {
		s := newScene(t)
		for _, c := range []struct {
			scope scopeSpec
			want  Result
		}{{scopeSpec{user: true}, ResultUnknown}, {scopeSpec{ca: true}, ResultOK}} {
			inter := s.root.Intermediate(t, "inter", urls(nil, []string{s.web.file("crl", s.crl(scoped(c.scope)))}))
			s.forget()
			report := s.checker.Check(t.Context(), Request{Chain: inter.Leaf(t, "signer", protocol.KeySpecEC256).Chain()})
			s.want(report.Certificates[1], c.want)
		}
	})
	t.Run("REV-37 the certificate's distribution point", func(t *testing.T) {
		s := newScene(t)
		s.want(s.check(s.listed(scoped(scopeSpec{urls: []string{"ldap://x/", s.web.URL + "/crl"}}))), ResultOK)
	})
	t.Run("REV-37 lists split by reason", func(t *testing.T) {
		s := newScene(t)
		compromise := scopeSpec{reasons: []int{1, 2}}
		rest := scopeSpec{reasons: []int{3, 4, 5, 6, 7}}
		leaf := s.leaf(nil, []string{s.web.URL + "/compromise", s.web.URL + "/rest"})
		revoked := scoped(rest)
		revoked.entries = []entrySpec{{cert: leaf.Cert, reason: ReasonSuperseded}}
		s.web.file("compromise", s.crl(scoped(compromise)))
		s.web.file("rest", s.crl(revoked))
		s.want(s.check(leaf), ResultRevoked, "", "")
		s.want(s.check(s.leaf(nil, leaf.Cert.CRLDistributionPoints)), ResultOK, "", "")
		s.want(s.check(s.leaf(nil, leaf.Cert.CRLDistributionPoints[:1])), ResultUnknown, "", ProblemScope)
		s.want(s.check(s.leaf(nil, []string{s.web.URL + "/compromise", s.web.URL + "/missing"})), ResultUnknown, "", ProblemStatus, ProblemScope)
		s.want(s.check(s.leaf(nil, []string{s.web.URL + "/compromise", s.web.file("full", s.crl(crlSpec{}))})), ResultOK, "", "")
	})
}

func TestMalformedLists(t *testing.T) {
	s := newScene(t)
	leaf := s.leaf(nil, []string{"http://x/"})
	der := s.crl(crlSpec{number: 3, entries: []entrySpec{{cert: leaf.Cert, reason: ReasonKeyCompromise, invalidity: s.clock.Now()}}, extensions: []pkix.Extension{scopeSpec{user: true, reasons: []int{1}}.extension(), freshest(t, "http://x/")}})
	target := newTarget(leaf.Cert, s.root.Cert)
	for i := range der { // every prefix, and every byte changed
		if _, err := parseList(der[:i]); err == nil {
			t.Errorf("a prefix of %d bytes is accepted", i)
		}
		mutant := slices.Clone(der)
		mutant[i] ^= 1
		l, err := parseList(mutant)
		if err != nil {
			continue
		}
		if l.buildIndex() == nil {
			l.lookup(target.serial)
		}
		if l.checkSignature(s.root.Cert) == nil {
			t.Errorf("byte %d changed: the signature still holds", i)
		}
	}
	if _, err := parseList(append(slices.Clone(der), 0)); err == nil {
		t.Error("trailing data is accepted")
	}
	t.Run("REV-18 repeated extension", func(t *testing.T) {
		twice := []pkix.Extension{scopeSpec{}.extension(), scopeSpec{user: true}.extension()}
		if _, err := parseList(s.crl(crlSpec{extensions: twice})); problemOf(err) != ProblemMalformed {
			t.Errorf("error %v", err)
		}
	})
	t.Run("REV-18 one serial number thousands of times", func(t *testing.T) {
		l, err := parseList(s.crl(crlSpec{entries: slices.Repeat([]entrySpec{{cert: leaf.Cert}}, 2*maxProbes)}))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.buildIndex(); problemOf(err) != ProblemMalformed {
			t.Errorf("error %v", err)
		}
	})
}
