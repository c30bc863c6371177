package revocation

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

func TestResponders(t *testing.T) {
	t.Run("REV-03 OCSP is preferred", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf([]string{s.responder("ocsp", ocspSpec{})}, []string{s.web.file("crl", nil)})
		got := s.check(leaf)
		s.want(got, ResultOK)
		if got.Method != MethodOCSP || s.web.count("crl") != 0 {
			t.Errorf("method %q, CRL fetched %d times", got.Method, s.web.count("crl"))
		}
	})
	t.Run("REV-03 OCSP 500 falls back to CRL", func(t *testing.T) {
		s := newScene(t)
		failing := s.web.handle("ocsp", func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "no", 500) })
		leaf := s.leaf([]string{failing}, []string{s.web.file("crl", s.crl(crlSpec{}))})
		got := s.check(leaf)
		s.want(got, ResultOK, ProblemStatus, "")
		if failed, ok := errors.AsType[*HTTPError](got.Attempts[0].Err); !ok || failed.Code != 500 {
			t.Errorf("error is %v", got.Attempts[0].Err)
		}
		if got.Method != MethodCRL {
			t.Errorf("method %q", got.Method)
		}
	})
	t.Run("REV-03 revoked by OCSP is final", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf([]string{s.responder("ocsp", ocspSpec{status: statusRevoked, reason: ReasonKeyCompromise})}, []string{s.web.file("crl", s.crl(crlSpec{}))})
		got := s.check(leaf)
		s.want(got, ResultRevoked)
		if got.Revocation == nil || got.Revocation.Reason != ReasonKeyCompromise || !got.Revocation.Time.Equal(s.clock.Now().Add(-2*time.Hour)) {
			t.Errorf("revocation is %+v", got.Revocation)
		}
	})
	t.Run("REV-04 responders in order until a usable answer", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf([]string{
			s.web.file("garbage", []byte("not an OCSP response")), s.web.URL + "/missing",
			s.responder("third", ocspSpec{}), s.responder("fourth", ocspSpec{status: statusRevoked}),
		}, nil)
		got := s.check(leaf)
		s.want(got, ResultOK, ProblemMalformed, ProblemStatus, "")
		if s.web.count("fourth") != 0 || got.Server != s.web.URL+"/third" {
			t.Errorf("server %q, fourth asked %d times", got.Server, s.web.count("fourth"))
		}
	})
	t.Run("REV-04 error answers of responders move on", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf([]string{
			s.web.file("later", ocsp.TryLaterErrorResponse), s.web.file("denied", ocsp.UnauthorizedErrorResponse), s.responder("ocsp", ocspSpec{}),
		}, nil)
		got := s.check(leaf)
		s.want(got, ResultOK, ProblemStatus, ProblemStatus)
		if failed, ok := errors.AsType[*ResponderError](got.Attempts[0].Err); !ok || failed.Status != 3 {
			t.Errorf("error is %v", got.Attempts[0].Err)
		}
	})
	t.Run("REV-04 a certificate with a hundred responders", func(t *testing.T) {
		s := newScene(t)
		var many []string
		for range 100 {
			many = append(many, s.web.URL+"/missing")
		}
		got := s.check(s.leaf(many, nil))
		s.want(got, ResultUnknown)
		if n := s.web.count("missing"); n != maxServers || len(got.Attempts) != maxServers+1 {
			t.Errorf("%d requests, %d attempts", n, len(got.Attempts))
		}
	})
	t.Run("REV-05 https responder", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf([]string{"https" + strings.TrimPrefix(s.responder("ocsp", ocspSpec{}), "http")}, nil)
		s.want(s.check(leaf), ResultUnknown, ProblemURL)
		if s.web.count("ocsp") != 0 {
			t.Error("the responder was asked")
		}
	})
	t.Run("REV-05 HTTP in capitals is http", func(t *testing.T) {
		s := newScene(t)
		s.want(s.check(s.leaf([]string{"HTTP" + strings.TrimPrefix(s.responder("ocsp", ocspSpec{}), "http")}, nil)), ResultOK)
	})
	t.Run("REV-05 other schemes and no host", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf([]string{"ldap://host/x", "file:///etc/passwd", "http:///path", "http://a b/", "gopher"}, nil)
		s.want(s.check(leaf), ResultUnknown, ProblemURL, ProblemURL, ProblemURL, ProblemURL, ProblemURL)
	})
	t.Run("REV-05 redirects follow http alone", func(t *testing.T) {
		s := newScene(t)
		secure := s.web.handle("secure", func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "https://127.0.0.1:1/", http.StatusFound)
		})
		loop := s.web.handle("loop", func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, r.URL.Path, http.StatusFound) })
		plain := s.web.handle("plain", func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, strings.Replace(r.URL.EscapedPath(), "/plain/", "/ocsp/", 1), http.StatusFound)
		})
		s.responder("ocsp", ocspSpec{})
		s.want(s.check(s.leaf([]string{secure, loop, plain}, nil)), ResultOK, ProblemURL, ProblemUnreachable, "")
		if n := s.web.count("loop"); n != maxRedirects+1 {
			t.Errorf("%d requests in a redirect loop", n)
		}
	})
	t.Run("REV-07 21 KiB", func(t *testing.T) {
		s := newScene(t)
		padded := func(size int) http.HandlerFunc {
			return func(rw http.ResponseWriter, r *http.Request) {
				request, err := readRequest("x", r)
				if err != nil {
					t.Error(err)
					return
				}
				spec := ocspSpec{extensions: []pkix.Extension{ext(asn1.ObjectIdentifier{1, 2, 3}, false, make([]byte, size))}}
				rw.(http.Flusher).Flush() // no Content-Length
				rw.Write(spec.build(t, s.root, request.SerialNumber, s.clock.Now()))
			}
		}
		s.web.handle("x", padded(21<<10))
		s.want(s.check(s.leaf([]string{s.web.URL + "/x"}, nil)), ResultUnknown, ProblemSize)
		s.web.handle("x", padded(19<<10))
		s.want(s.check(s.leaf([]string{s.web.URL + "/x"}, nil)), ResultOK)
	})
	t.Run("REV-07 gigabytes are not read", func(t *testing.T) {
		s := newScene(t)
		endless := func(rw http.ResponseWriter, _ *http.Request) {
			for block := make([]byte, 1<<16); ; {
				if _, err := rw.Write(block); err != nil {
					return
				}
			}
		}
		announced := func(rw http.ResponseWriter, _ *http.Request) { rw.Header().Set("Content-Length", "99999999999") }
		s.want(s.check(s.leaf([]string{s.web.handle("endless", endless), s.web.handle("announced", announced)}, nil)), ResultUnknown, ProblemSize, ProblemSize)
	})
	t.Run("REV-35 User-Agent", func(t *testing.T) {
		s := newScene(t)
		s.checker.UserAgent = "notation/1.2.3"
		leaf := s.leaf([]string{s.web.URL + "/missing"}, []string{s.web.file("crl", s.crl(crlSpec{}))})
		s.want(s.check(leaf), ResultOK)
		for _, r := range s.web.requests {
			if got := r.Header.Get("User-Agent"); got != "notation/1.2.3" {
				t.Errorf("%s: User-Agent is %q", r.URL, got)
			}
		}
	})
}

func TestRequestEncoding(t *testing.T) {
	longSerial := func(c *x509.Certificate) { c.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 150) }
	t.Run("REV-06 GET with an escaped SHA-1 CertID", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf([]string{s.responder("ocsp", ocspSpec{}) + "/"}, nil)
		s.want(s.check(leaf), ResultOK)
		r := s.web.requests[0]
		if r.Method != http.MethodGet || strings.ContainsAny(strings.TrimPrefix(r.RequestURI, "/ocsp/"), "/+=") {
			t.Errorf("%s %s", r.Method, r.RequestURI)
		}
		request, err := readRequest("ocsp", r)
		if err != nil {
			t.Fatal(err)
		}
		if request.HashAlgorithm != crypto.SHA1 || request.SerialNumber.Cmp(leaf.Cert.SerialNumber) != 0 {
			t.Errorf("request is %+v", request)
		}
	})
	t.Run("REV-06 POST from 255 characters on", func(t *testing.T) {
		s := newScene(t)
		// The encoded request is as long as the request itself makes it: the serial
		// number is what varies.
		for _, bits := range []uint{8, 1000, 1300} {
			serial := new(big.Int).Lsh(big.NewInt(1), bits)
			target := newTarget(&x509.Certificate{SerialNumber: serial}, s.root.Cert)
			request, err := ocspRequest(t.Context(), target, "http://ocsp.example/base")
			if err != nil {
				t.Fatal(err)
			}
			der, err := ocsp.CreateRequest(target.cert, target.issuer, nil)
			if err != nil {
				t.Fatal(err)
			}
			encoded := encode(der)
			switch {
			case len(encoded) < 255:
				if request.Method != http.MethodGet || request.URL.EscapedPath() != "/base/"+encoded {
					t.Errorf("%d characters: %s %s", len(encoded), request.Method, request.URL)
				}
			default:
				body, _ := io.ReadAll(request.Body)
				if request.Method != http.MethodPost || request.Header.Get("Content-Type") != "application/ocsp-request" || string(body) != string(der) {
					t.Errorf("%d characters: %s %s", len(encoded), request.Method, request.Header)
				}
			}
		}
	})
	t.Run("REV-06 POST end to end", func(t *testing.T) {
		s := newScene(t)
		// A query in the URL leaves no place for the request.
		url := s.responder("ocsp", ocspSpec{}) + "?tenant=7"
		s.want(s.check(s.leaf([]string{url}, nil, longSerial)), ResultOK)
		if r := s.web.requests[0]; r.Method != http.MethodPost || r.URL.RawQuery != "tenant=7" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
	})
}

func encode(der []byte) string { return url.QueryEscape(base64.StdEncoding.EncodeToString(der)) }

func TestResponderAuthorisation(t *testing.T) {
	type part struct {
		name string
		spec func(s *scene) ocspSpec
		want Problem // empty: accepted
	}
	parts := []part{
		{"REV-08 signed by the issuer", func(*scene) ocspSpec { return ocspSpec{} }, ""},
		{"REV-08 signed by the issuer, byKey", func(*scene) ocspSpec { return ocspSpec{byKey: true} }, ""},
		{"REV-08 the issuer's certificate comes along", func(s *scene) ocspSpec { return ocspSpec{certs: s.root.Chain()} }, ""},
		{"REV-08 delegated", func(s *scene) ocspSpec { return ocspSpec{signer: delegate(s.t, s.root, noCheck)} }, ""},
		{"REV-08 delegated, byKey", func(s *scene) ocspSpec { return ocspSpec{signer: delegate(s.t, s.root, noCheck), byKey: true} }, ""},
		{"REV-08 delegated, not the first certificate", func(s *scene) ocspSpec {
			d := delegate(s.t, s.root, noCheck)
			return ocspSpec{signer: d, certs: []*x509.Certificate{s.root.Cert, delegate(s.t, s.root).Cert, d.Cert}}
		}, ""},
		{"REV-08 delegated without its certificate", func(s *scene) ocspSpec {
			return ocspSpec{signer: delegate(s.t, s.root, noCheck), noCerts: true}
		}, ProblemSignature},
		{"REV-08 rogue responder", func(s *scene) ocspSpec {
			return ocspSpec{signer: delegate(s.t, testpki.Root(s.t, "rogue"), noCheck)}
		}, ProblemSignature},
		{"REV-08 rogue responder below a CA of the same name", func(s *scene) ocspSpec {
			return ocspSpec{signer: delegate(s.t, testpki.Root(s.t, "root"), noCheck)}
		}, ProblemSignature},
		{"REV-08 rogue CA of the same name", func(s *scene) ocspSpec {
			rogue := testpki.Root(s.t, "root")
			return ocspSpec{signer: rogue, issuer: s.root}
		}, ProblemSignature},
		{"REV-08 delegated by another CA of the chain", func(s *scene) ocspSpec {
			return ocspSpec{signer: delegate(s.t, s.root.Intermediate(s.t, "other"), noCheck)}
		}, ProblemSignature},
		{"REV-08 responder without id-kp-OCSPSigning", func(s *scene) ocspSpec {
			return ocspSpec{signer: delegate(s.t, s.root, noCheck, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} })}
		}, ProblemSignature},
		{"REV-08 another signer of the same CA", func(s *scene) ocspSpec {
			return ocspSpec{signer: s.root.Leaf(s.t, "colleague", protocol.KeySpecEC256)}
		}, ProblemSignature},
		{"REV-08 responder may not sign by its key usage", func(s *scene) ocspSpec {
			return ocspSpec{signer: delegate(s.t, s.root, noCheck, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment })}
		}, ProblemSignature},
		{"REV-08 responder certificate issued with SHA-1", func(s *scene) ocspSpec {
			return ocspSpec{signer: delegate(s.t, s.root, noCheck, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 })}
		}, ProblemSignature},
		{"REV-08 expired responder certificate", func(s *scene) ocspSpec {
			now := s.clock.Now()
			return ocspSpec{signer: delegate(s.t, s.root, noCheck, testpki.Validity(now.Add(-2*time.Hour), now.Add(-time.Second)))}
		}, ProblemSignature},
		{"REV-08 responder certificate not valid yet", func(s *scene) ocspSpec {
			now := s.clock.Now()
			return ocspSpec{signer: delegate(s.t, s.root, noCheck, testpki.Validity(now.Add(time.Second), now.Add(time.Hour)))}
		}, ProblemSignature},
		{"REV-08 responder ID names somebody else", func(s *scene) ocspSpec {
			d := delegate(s.t, s.root, noCheck)
			other := *d
			other.Key = testpki.FreshKey(s.t, protocol.KeySpecEC256)
			return ocspSpec{signer: &other}
		}, ProblemSignature},
		{"REV-08 delegated with an RSA key", func(s *scene) ocspSpec {
			template := &x509.Certificate{Subject: testpki.DefaultSubject("rsa"), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}}
			return ocspSpec{signer: testpki.Issue(s.t, s.root, testpki.Key(s.t, protocol.KeySpecRSA2048), template, noCheck)}
		}, ""},
	}
	for _, part := range parts {
		t.Run(part.name, func(t *testing.T) {
			s := newScene(t)
			s.accepts([]string{s.responder("ocsp", part.spec(s))}, part.want)
		})
	}
	t.Run("REV-08 the leaf cannot vouch for itself", func(t *testing.T) {
		s := newScene(t)
		// An intermediate may have the extended key usage; it still may not.
		url := s.web.URL + "/ocsp"
		inter := s.root.Intermediate(t, "inter", urls([]string{url}, nil), func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning, x509.ExtKeyUsageCodeSigning}
			c.KeyUsage |= x509.KeyUsageDigitalSignature
		})
		s.responder("ocsp", ocspSpec{signer: inter})
		report := s.checker.Check(t.Context(), Request{Chain: inter.Leaf(t, "signer", protocol.KeySpecEC256).Chain()})
		s.want(report.Certificates[1], ResultUnknown, ProblemSignature)

		leaf := s.leaf([]string{url}, nil)
		s.responder("ocsp", ocspSpec{signer: leaf})
		s.want(s.check(leaf), ResultUnknown, ProblemSignature)
	})
	t.Run("REV-08 altered response", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf([]string{s.web.URL + "/ocsp"}, nil)
		der := ocspSpec{}.build(t, s.root, leaf.Cert.SerialNumber, s.clock.Now())
		altered := []byte(strings.Replace(string(der), string([]byte{0x80, 0}), string([]byte{0x82, 0}), 1)) // good → unknown
		s.web.file("ocsp", altered)
		s.want(s.check(leaf), ResultUnknown, ProblemSignature)
	})
}

// accepts checks a fresh leaf whose responders are given. Without a problem the
// answer must count, with one it must not.
func (s *scene) accepts(responders []string, want Problem) {
	s.t.Helper()
	result, problems := ResultOK, []Problem(nil)
	if want != "" {
		result, problems = ResultUnknown, []Problem{want}
	}
	s.want(s.check(s.leaf(responders, nil)), result, problems...)
}

func TestResponseContent(t *testing.T) {
	type part struct {
		name string
		spec func(s *scene) ocspSpec
		want Problem
	}
	parts := []part{
		{"REV-09 stale", func(s *scene) ocspSpec {
			return ocspSpec{this: s.clock.Now().Add(-time.Hour), next: s.clock.Now().Add(-time.Second)}
		}, ProblemTime},
		{"REV-09 valid to the second", func(s *scene) ocspSpec { return ocspSpec{next: s.clock.Now()} }, ""},
		{"REV-10 no nextUpdate", func(s *scene) ocspSpec { return ocspSpec{noNext: true, this: s.clock.Now().Add(-240 * time.Hour)} }, ""},
		{"REV-10 no nextUpdate, replayed", func(s *scene) ocspSpec {
			return ocspSpec{noNext: true, produced: s.clock.Now().Add(-25 * time.Hour)}
		}, ProblemTime},
		{"REV-10 thisUpdate in the future", func(s *scene) ocspSpec { return ocspSpec{this: s.clock.Now().Add(5 * time.Minute)} }, ProblemTime},
		{"REV-15 another serial number", func(s *scene) ocspSpec { return ocspSpec{serial: big.NewInt(77)} }, ProblemMismatch},
		{"REV-15 swapped issuer", func(s *scene) ocspSpec { return ocspSpec{issuer: testpki.Root(s.t, "other")} }, ProblemMismatch},
		{"REV-15 same issuer name, another key", func(s *scene) ocspSpec { return ocspSpec{issuer: testpki.Root(s.t, "root")} }, ProblemMismatch},
		{"REV-15 same issuer key, another name", func(s *scene) ocspSpec {
			twin := *s.root
			cert := *twin.Cert
			cert.RawSubject = testpki.Root(s.t, "twin").Cert.RawSubject
			twin.Cert = &cert
			return ocspSpec{issuer: &twin}
		}, ProblemMismatch},
		{"REV-15 SHA-256 CertID", func(s *scene) ocspSpec { return ocspSpec{sha256: true} }, ""},
		{"REV-15 the certificate's answer is not the first", func(s *scene) ocspSpec {
			return ocspSpec{issuer: testpki.Root(s.t, "other"), status: statusRevoked, others: []ocspSpec{{serial: big.NewInt(5), status: statusRevoked}, {}}}
		}, ""},
		{"REV-25 critical response extension", func(s *scene) ocspSpec {
			return ocspSpec{extensions: []pkix.Extension{ext(asn1.ObjectIdentifier{1, 2, 3}, true, nil)}}
		}, ProblemCritical},
		{"REV-25 critical extension of the answer", func(s *scene) ocspSpec {
			return ocspSpec{singleExtensions: []pkix.Extension{ext(asn1.ObjectIdentifier{1, 2, 3}, true, nil)}}
		}, ProblemCritical},
		{"REV-25 other extensions are ignored", func(s *scene) ocspSpec {
			return ocspSpec{singleExtensions: []pkix.Extension{ext(asn1.ObjectIdentifier{1, 2, 3}, false, nil)}, extensions: []pkix.Extension{ext(asn1.ObjectIdentifier{1, 2, 3}, false, nil)}}
		}, ""},
	}
	for _, part := range parts {
		t.Run(part.name, func(t *testing.T) {
			s := newScene(t)
			s.accepts([]string{s.responder("ocsp", part.spec(s))}, part.want)
		})
	}
	t.Run("REV-11 good, revoked, unknown", func(t *testing.T) {
		s := newScene(t)
		s.want(s.check(s.leaf([]string{s.responder("good", ocspSpec{})}, nil)), ResultOK)
		s.want(s.check(s.leaf([]string{s.responder("revoked", ocspSpec{status: statusRevoked})}, nil)), ResultRevoked)
		s.want(s.check(s.leaf([]string{s.responder("unknown", ocspSpec{status: statusUnknown})}, nil)), ResultUnknown, ProblemUnknown)
	})
	t.Run("REV-11 unknown asks no further responder, then the CRL", func(t *testing.T) {
		s := newScene(t)
		responders := []string{s.responder("unknown", ocspSpec{status: statusUnknown}), s.responder("good", ocspSpec{})}
		s.want(s.check(s.leaf(responders, nil)), ResultUnknown, ProblemUnknown)
		if s.web.count("good") != 0 {
			t.Error("the second responder was asked")
		}
		got := s.check(s.leaf(responders, []string{s.web.file("crl", s.crl(crlSpec{}))}))
		s.want(got, ResultOK, ProblemUnknown, "")
		if got.Method != MethodCRL {
			t.Errorf("method %q", got.Method)
		}
	})
	t.Run("REV-11 the worst of two answers counts", func(t *testing.T) {
		s := newScene(t)
		s.want(s.check(s.leaf([]string{s.responder("ocsp", ocspSpec{others: []ocspSpec{{status: statusRevoked}}})}, nil)), ResultRevoked)
	})
	t.Run("REV-12 invalidity date against the authentic signing time", func(t *testing.T) {
		s := newScene(t)
		at := s.clock.Now().Add(-3 * time.Hour)
		dated := func(name string, invalidity time.Time) *testpki.Entity {
			return s.leaf([]string{s.responder(name, ocspSpec{status: statusRevoked, invalidity: invalidity})}, nil)
		}
		got := s.check(dated("later", at.Add(time.Second)), signedAt(at))
		s.want(got, ResultOK)
		if got.Revocation == nil || got.Revocation.InvalidityDate.IsZero() {
			t.Error("the excused revocation is not reported")
		}
		s.want(s.check(dated("same", at), signedAt(at)), ResultRevoked)
		s.want(s.check(dated("earlier", at.Add(-time.Second)), signedAt(at)), ResultRevoked)
		s.want(s.check(dated("none", time.Time{}), signedAt(at)), ResultRevoked)
		s.want(s.check(dated("unsigned", at.Add(time.Hour))), ResultRevoked)
	})
	t.Run("REV-13 a timestamp does not excuse what OCSP says", func(t *testing.T) {
		s := newScene(t)
		at := s.clock.Now().Add(-3 * time.Hour)
		leaf := s.leaf([]string{s.responder("ocsp", ocspSpec{status: statusRevoked, invalidity: at.Add(time.Hour)})}, nil)
		s.want(s.check(leaf, stampedAt(at)), ResultRevoked)
		s.want(s.check(leaf, signedAt(at)), ResultOK) // from memory: facts are kept, not results
		s.want(s.check(leaf, stampedAt(at)), ResultRevoked)
	})
}

func TestResponderRevocation(t *testing.T) {
	t.Run("REV-14 nocheck", func(t *testing.T) {
		s := newScene(t)
		d := delegate(t, s.root, noCheck, urls(nil, []string{s.web.URL + "/crl"}))
		s.web.file("crl", s.crl(crlSpec{entries: []entrySpec{{cert: d.Cert}}}))
		s.accepts([]string{s.responder("ocsp", ocspSpec{signer: d})}, "")
		if s.web.count("crl") != 0 {
			t.Error("the CRL was read")
		}
	})
	t.Run("REV-14 no nocheck, good by CRL", func(t *testing.T) {
		s := newScene(t)
		d := delegate(t, s.root, urls(nil, []string{s.web.file("crl", s.crl(crlSpec{}))}))
		s.accepts([]string{s.responder("ocsp", ocspSpec{signer: d})}, "")
		if s.web.count("crl") != 1 {
			t.Error("the CRL was not read")
		}
	})
	t.Run("REV-14 no nocheck, revoked", func(t *testing.T) {
		s := newScene(t)
		d := delegate(t, s.root, urls(nil, []string{s.web.URL + "/crl"}))
		s.web.file("crl", s.crl(crlSpec{entries: []entrySpec{{cert: d.Cert}}}))
		s.accepts([]string{s.responder("ocsp", ocspSpec{signer: d})}, ProblemResponder)
	})
	t.Run("REV-14 no nocheck, invalidity date does not excuse", func(t *testing.T) {
		s := newScene(t)
		d := delegate(t, s.root, urls(nil, []string{s.web.URL + "/crl"}))
		s.web.file("crl", s.crl(crlSpec{entries: []entrySpec{{cert: d.Cert, invalidity: s.clock.Now()}}}))
		leaf := s.leaf([]string{s.responder("ocsp", ocspSpec{signer: d})}, nil)
		s.want(s.check(leaf, signedAt(s.clock.Now().Add(-time.Hour))), ResultUnknown, ProblemResponder)
	})
	t.Run("REV-14 no nocheck, undeterminable", func(t *testing.T) {
		s := newScene(t)
		d := delegate(t, s.root, urls(nil, []string{s.web.URL + "/missing"}))
		good := s.responder("good", ocspSpec{})
		s.want(s.check(s.leaf([]string{s.responder("ocsp", ocspSpec{signer: d}), good}, nil)), ResultOK, ProblemResponder, "")
	})
	t.Run("REV-14 no nocheck and no CDP", func(t *testing.T) {
		s := newScene(t)
		s.accepts([]string{s.responder("ocsp", ocspSpec{signer: delegate(t, s.root)})}, "")
	})
	t.Run("REV-14 nocheck in the response does not help", func(t *testing.T) {
		s := newScene(t)
		d := delegate(t, s.root, urls(nil, []string{s.web.URL + "/missing"}))
		marker := []pkix.Extension{ext(oidNoCheck, false, asn1.NullBytes)}
		s.accepts([]string{s.responder("ocsp", ocspSpec{signer: d, extensions: marker, singleExtensions: marker})}, ProblemResponder)
	})
	t.Run("REV-14 a responder revoked while its answer is in memory", func(t *testing.T) {
		s := newScene(t)
		d := delegate(t, s.root, urls(nil, []string{s.web.URL + "/crl"}))
		s.web.file("crl", s.crl(crlSpec{next: s.clock.Now().Add(10 * time.Minute)}))
		leaf := s.leaf([]string{s.responder("ocsp", ocspSpec{signer: d})}, nil)
		s.want(s.check(leaf), ResultOK)
		s.clock.advance(11 * time.Minute)
		s.web.file("crl", s.crl(crlSpec{entries: []entrySpec{{cert: d.Cert}}}))
		s.want(s.check(leaf), ResultUnknown, ProblemResponder)
	})
}

// TestSilence runs in a bubble of its own time, where a timeout takes none.
func TestSilence(t *testing.T) {
	// transport never answers.
	transport := roundTripper(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	root := testpki.Root(t, "root")
	year := testpki.Validity(time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2049, 1, 1, 0, 0, 0, 0, time.UTC))
	leaf := root.Leaf(t, "signer", protocol.KeySpecEC256, year, urls([]string{"http://a/", "http://b/"}, []string{"http://c/"}))
	run := func(t *testing.T, checker *Checker, ctx context.Context) (CertificateReport, time.Duration) {
		checker.HTTPClient = &http.Client{Transport: transport}
		start := time.Now()
		report := checker.Check(ctx, Request{Chain: leaf.Chain()})
		return report.Certificates[0], time.Since(start)
	}
	t.Run("REV-04 silent responders take 2 s each, REV-16 silent CRL servers 5 s", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			got, took := run(t, &Checker{}, t.Context())
			if got.Result != ResultUnknown || took != 9*time.Second {
				t.Errorf("%q after %v", got.Result, took)
			}
			for _, attempt := range got.Attempts {
				if problemOf(attempt.Err) != ProblemTimeout || !errors.Is(attempt.Err, context.DeadlineExceeded) {
					t.Errorf("attempt %v: %v", attempt.URL, attempt.Err)
				}
			}
		})
	})
	t.Run("REV-29 timeouts are configurable", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			if _, took := run(t, &Checker{OCSPTimeout: time.Second, CRLTimeout: 10 * time.Second}, t.Context()); took != 12*time.Second {
				t.Errorf("took %v", took)
			}
		})
	})
	t.Run("REV-04 the caller's deadline ends the search", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			got, took := run(t, &Checker{}, ctx)
			if got.Result != ResultUnknown || took != time.Second {
				t.Errorf("%q after %v", got.Result, took)
			}
			synctest.Wait() // no request is left behind: the bubble would not end
		})
	})
	t.Run("REV-35 many who ask at a time share one request", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var asked atomic.Int32
			checker := &Checker{HTTPClient: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				asked.Add(1)
				return transport(r)
			})}}
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() { checker.Check(t.Context(), Request{Chain: leaf.Chain()}) })
			}
			wg.Wait()
			if n := asked.Load(); n != 3 {
				t.Errorf("%d requests", n)
			}
		})
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestMalformedResponses(t *testing.T) {
	s := newScene(t)
	leaf := s.leaf([]string{s.web.URL + "/ocsp"}, nil)
	der := ocspSpec{signer: delegate(t, s.root, noCheck)}.build(t, s.root, leaf.Cert.SerialNumber, s.clock.Now())
	target := newTarget(leaf.Cert, s.root.Cert)
	for i := range der { // every prefix, and every byte changed
		if _, err := parseResponse(der[:i]); err == nil {
			t.Errorf("a prefix of %d bytes is accepted", i)
		}
		mutant := append([]byte(nil), der...)
		mutant[i] ^= 1
		parsed, err := parseResponse(mutant)
		if err != nil {
			continue
		}
		if found, err := parsed.answerFor(target); err == nil && found.status == statusGood && found.responder.Equal(leaf.Cert) {
			t.Errorf("byte %d changed: accepted", i)
		}
	}
	if _, err := parseResponse(append(der, 0)); err == nil {
		t.Error("trailing data is accepted")
	}
}
