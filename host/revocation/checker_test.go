package revocation

import (
	"context"
	"crypto/fips140"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

func TestChains(t *testing.T) {
	t.Run("REV-01 chain of 4", func(t *testing.T) {
		s := newScene(t)
		// Each authority vouches for what is below it; the root's own URLs are nobody's business.
		s.root = testpki.Root(t, "root", urls([]string{s.web.URL + "/root"}, []string{s.web.URL + "/root"}))
		upper := s.root.Intermediate(t, "upper", urls([]string{s.responder("upper", ocspSpec{})}, nil))
		lower := upper.Intermediate(t, "lower", urls(nil, []string{s.web.file("lower", s.crl(crlSpec{issuer: upper}))}))
		chain := lower.Leaf(t, "signer", protocol.KeySpecEC256).Chain()
		report := s.checker.Check(t.Context(), Request{Chain: chain})
		want := []Result{ResultNonRevokable, ResultOK, ResultOK, ResultNonRevokable}
		for i, cert := range report.Certificates {
			s.want(cert, want[i])
			if !cert.Certificate.Equal(chain[i]) {
				t.Errorf("entry %d is about %q", i, cert.Subject())
			}
		}
		if report.Result != ResultOK || report.Err() != nil {
			t.Errorf("%q: %v", report.Result, report.Err())
		}
		if s.web.count("root") != 0 {
			t.Error("somebody was asked about the root")
		}
	})
	t.Run("REV-01 revoked wins over unknown, unknown over ok", func(t *testing.T) {
		s := newScene(t)
		revoked := s.responder("revoked", ocspSpec{status: statusRevoked})
		upper := s.root.Intermediate(t, "upper", urls([]string{revoked}, nil))
		lower := upper.Intermediate(t, "lower", urls([]string{s.web.URL + "/missing"}, nil))
		leaf := lower.Leaf(t, "signer", protocol.KeySpecEC256, urls([]string{s.responderOf("good", lower, ocspSpec{})}, nil))
		report := s.checker.Check(t.Context(), Request{Chain: leaf.Chain()})
		if report.Result != ResultRevoked {
			t.Errorf("result %q", report.Result)
		}
		if text := report.Err().Error(); !strings.Contains(text, "CN=upper") {
			t.Errorf("error %q", text)
		}
		s.responder("revoked", ocspSpec{})
		s.checker.answers = memory[answerKey, *answer]{}
		if report := s.checker.Check(t.Context(), Request{Chain: leaf.Chain()}); report.Result != ResultUnknown || !strings.Contains(report.Err().Error(), "CN=lower") {
			t.Errorf("%q: %v", report.Result, report.Err())
		}
	})
	t.Run("REV-01 a self-signed certificate", func(t *testing.T) {
		s := newScene(t)
		single := testpki.SelfSigned(t, "single", protocol.KeySpecEC256, urls([]string{s.web.URL + "/ocsp"}, nil))
		report := s.checker.Check(t.Context(), Request{Chain: single.Chain()})
		if report.Result != ResultNonRevokable || report.Err() != nil || s.web.count("ocsp") != 0 {
			t.Errorf("%q: %v", report.Result, report.Err())
		}
	})
	t.Run("REV-01 the chain is validated for its purpose first", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf([]string{s.responder("ocsp", ocspSpec{})}, nil)
		stranger := testpki.Root(t, "root")
		for name, request := range map[string]Request{
			"empty":                   {},
			"no root":                 {Chain: leaf.Chain()[:1]},
			"another root":            {Chain: []*x509.Certificate{leaf.Cert, stranger.Cert}},
			"not for timestamps":      {Chain: leaf.Chain(), Purpose: pki.Timestamping},
			"empty, said to be valid": {ChainChecked: true},
		} {
			report := s.checker.Check(t.Context(), request)
			if _, ok := errors.AsType[*ChainError](report.Err()); !ok || report.Result != ResultUnknown || len(report.Certificates) != 0 {
				t.Errorf("%s: %q: %v", name, report.Result, report.Err())
			}
		}
		if s.web.count("ocsp") != 0 {
			t.Error("the responder was asked")
		}
		if report := s.checker.Check(t.Context(), Request{Chain: leaf.Chain(), ChainChecked: true}); report.Err() != nil {
			t.Error(report.Err())
		}
	})
	t.Run("REV-02 neither OCSP nor CDP", func(t *testing.T) {
		s := newScene(t)
		var text strings.Builder
		s.checker.Logger = slog.New(slog.NewTextHandler(&text, nil))
		report := s.checker.Check(t.Context(), Request{Chain: s.leaf(nil, nil).Chain()})
		if report.Result != ResultNonRevokable || report.Err() != nil {
			t.Errorf("%q: %v", report.Result, report.Err())
		}
		if got := strings.Count(text.String(), "level=WARN"); got != 1 || !strings.Contains(text.String(), "CN=signer") {
			t.Errorf("log: %s", &text)
		}
	})
	t.Run("REV-34 VER-20 texts", func(t *testing.T) {
		s := newScene(t)
		revoked := s.leaf([]string{s.responder("revoked", ocspSpec{status: statusRevoked})}, nil)
		unknown := s.leaf([]string{s.web.URL + "/missing"}, nil)
		const subject = `"CN=signer,O=signet test,L=Seattle,ST=WA,C=US"`
		for _, c := range []struct {
			leaf *testpki.Entity
			want string
		}{
			{revoked, "signing certificate with subject " + subject + " is revoked"},
			{unknown, "signing certificate with subject " + subject + " revocation status is unknown"},
		} {
			err := s.checker.Check(t.Context(), Request{Chain: c.leaf.Chain()}).Err()
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		}
		err := s.checker.Check(t.Context(), Request{Chain: unknown.Chain()}).Err()
		if failed, ok := errors.AsType[*HTTPError](err); !ok || failed.Code != http.StatusNotFound {
			t.Errorf("the cause is lost: %v", err)
		}
		if status, ok := errors.AsType[*StatusError](err); !ok || status.Index != 0 || len(status.Attempts) != 1 {
			t.Errorf("error is %#v", err)
		}
	})
	t.Run("REV-34 TSA-16 texts for time-stamping chains", func(t *testing.T) {
		s := newScene(t)
		tsa := s.root.TSA(t, "tsa", protocol.KeySpecEC256, urls([]string{s.web.URL + "/ocsp"}, nil))
		request := Request{Chain: tsa.Chain(), Purpose: pki.Timestamping}
		const subject = `"CN=tsa,O=signet test,L=Seattle,ST=WA,C=US"`
		if err := s.checker.Check(t.Context(), request).Err(); err == nil || err.Error() != "timestamping certificate with subject "+subject+" revocation status is unknown" {
			t.Error(err)
		}
		s.responder("ocsp", ocspSpec{status: statusRevoked})
		if err := s.checker.Check(t.Context(), request).Err(); err == nil || err.Error() != "timestamping certificate with subject "+subject+" is revoked" {
			t.Error(err)
		}
	})
	t.Run("REV-13 TSA-16 no reference time for time-stamping chains", func(t *testing.T) {
		s := newScene(t)
		at := s.clock.Now().Add(-time.Hour)
		tsa := s.root.TSA(t, "tsa", protocol.KeySpecEC256, urls([]string{s.responder("ocsp", ocspSpec{status: statusRevoked, invalidity: at.Add(time.Minute)})}, nil))
		s.want(s.check(tsa, purpose(pki.Timestamping), signedAt(at)), ResultRevoked)
		tsa = s.root.TSA(t, "tsa", protocol.KeySpecEC256, urls(nil, []string{s.web.URL + "/crl"}))
		s.web.file("crl", s.crl(crlSpec{entries: []entrySpec{{cert: tsa.Cert, invalidity: at.Add(time.Minute)}}}))
		s.want(s.check(tsa, purpose(pki.Timestamping), signedAt(at)), ResultRevoked)
		s.want(s.check(tsa, purpose(pki.Timestamping), stampedAt(at)), ResultRevoked)
	})
	t.Run("REV-35 certificates are checked concurrently", func(t *testing.T) {
		s := newScene(t)
		// Nobody is answered before everybody has asked.
		var waiting atomic.Int32
		all := make(chan struct{})
		meet := func(issuer *testpki.Entity, name string) string {
			s.responderOf(name, issuer, ocspSpec{})
			answer := s.web.handlers[name]
			return s.web.handle(name, func(rw http.ResponseWriter, r *http.Request) {
				if waiting.Add(1) == 3 {
					close(all)
				}
				select {
				case <-all:
					answer(rw, r)
				case <-r.Context().Done():
				}
			})
		}
		upper := s.root.Intermediate(t, "upper", urls([]string{meet(s.root, "a")}, nil))
		lower := upper.Intermediate(t, "lower", urls([]string{meet(upper, "b")}, nil))
		leaf := lower.Leaf(t, "signer", protocol.KeySpecEC256, urls([]string{meet(lower, "c")}, nil))
		if report := s.checker.Check(t.Context(), Request{Chain: leaf.Chain()}); report.Result != ResultOK {
			t.Error(report.Err())
		}
	})
	t.Run("REV-01 a cancelled context leaves the status unknown", func(t *testing.T) {
		s := newScene(t)
		ctx, cancel := context.WithCancel(t.Context())
		leaf := s.leaf([]string{s.web.handle("ocsp", func(rw http.ResponseWriter, r *http.Request) { cancel(); silent(rw, r) })}, []string{s.web.URL + "/crl"})
		report := s.checker.Check(ctx, Request{Chain: leaf.Chain()})
		if report.Result != ResultUnknown || !errors.Is(report.Err(), context.Canceled) {
			t.Errorf("%q: %v", report.Result, report.Err())
		}
	})
	t.Run("REV-01 a report that no check returned is no pass", func(t *testing.T) {
		if (Report{}).Err() == nil {
			t.Error("the zero report passes")
		}
	})
}

func TestAge(t *testing.T) {
	t.Run("REV-29 the age of an OCSP answer", func(t *testing.T) {
		s := newScene(t)
		start := s.clock.Now()
		leaf := s.leaf([]string{s.responder("ocsp", ocspSpec{this: start.Add(-time.Minute), next: start.Add(30 * time.Minute)})}, nil)
		want := Age{ThisUpdate: start.Add(-time.Minute), NextUpdate: start.Add(30 * time.Minute), FetchedAt: start}
		if got := s.check(leaf).Age; got != want {
			t.Errorf("got %+v", got)
		}
		s.clock.advance(10 * time.Minute)
		want.Cached = true
		if got := s.check(leaf).Age; got != want {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("REV-29 the age of a CRL and its delta", func(t *testing.T) {
		s := newScene(t)
		start := s.clock.Now()
		leaf := s.leaf(nil, []string{s.web.URL + "/crl"}, extensions(freshest(t, s.web.URL+"/delta")))
		s.web.file("crl", s.crl(crlSpec{number: 1, this: start.Add(-time.Hour), next: start.Add(time.Hour)}))
		s.web.file("delta", s.crl(crlSpec{number: 2, this: start.Add(-time.Minute), next: start.Add(time.Minute), extensions: nil}))
		delta := crlSpec{number: 2, this: start.Add(-time.Minute), next: start.Add(time.Minute)}
		delta.extensions = append(delta.extensions, deltaIndicator(t, 1))
		s.web.file("delta", s.crl(delta))
		want := Age{ThisUpdate: start.Add(-time.Minute), NextUpdate: start.Add(time.Minute), FetchedAt: start}
		got := s.check(leaf)
		s.want(got, ResultOK)
		if got.Age != want {
			t.Errorf("got %+v", got.Age)
		}
	})
}

func TestHTTPClient(t *testing.T) {
	t.Run("REV-35 OCSP and CRL go through the client's proxy", func(t *testing.T) {
		s := newScene(t)
		var proxied []string
		answers := map[string]http.HandlerFunc{}
		proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			proxied = append(proxied, r.URL.Host)
			if answer := answers[r.URL.Host]; answer != nil {
				answer(rw, r)
				return
			}
			http.NotFound(rw, r)
		}))
		t.Cleanup(proxy.Close)
		address, err := url.Parse(proxy.URL)
		if err != nil {
			t.Fatal(err)
		}
		der := s.crl(crlSpec{})
		answers["crl.example"] = func(rw http.ResponseWriter, _ *http.Request) { rw.Write(der) }
		s.checker.HTTPClient = &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(address)}}
		s.want(s.check(s.leaf([]string{"http://ocsp.example/"}, []string{"http://crl.example/x.crl"})), ResultOK, ProblemStatus, "")
		if strings.Join(proxied, " ") != "ocsp.example crl.example" {
			t.Errorf("the proxy saw %v", proxied)
		}
	})
	t.Run("REV-35 a proxy whose certificate is from a corporate CA", func(t *testing.T) {
		s := newScene(t)
		der := s.crl(crlSpec{})
		proxy := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.Write(der) }))
		proxy.Config.ErrorLog = log.New(io.Discard, "", 0)
		proxy.StartTLS()
		t.Cleanup(proxy.Close)
		address, err := url.Parse(proxy.URL)
		if err != nil {
			t.Fatal(err)
		}
		trusting := proxy.Client().Transport.(*http.Transport).Clone()
		trusting.Proxy = http.ProxyURL(address)
		leaf := s.leaf(nil, []string{"http://crl.example/x.crl"})
		s.checker.HTTPClient = &http.Client{Transport: &http.Transport{Proxy: trusting.Proxy}}
		s.want(s.check(leaf), ResultUnknown, ProblemUnreachable)
		s.checker.HTTPClient = &http.Client{Transport: trusting}
		s.want(s.check(leaf), ResultOK)
	})
	t.Run("REV-35 the zero value works", func(t *testing.T) {
		s := newScene(t)
		checker := &Checker{OCSPTimeout: time.Minute}
		report := checker.Check(t.Context(), Request{Chain: s.leaf([]string{s.responder("ocsp", ocspSpec{})}, nil).Chain()})
		if report.Err() != nil {
			t.Error(report.Err())
		}
	})
}

// TestFIPS documents what runs in FIPS 140-3 mode: all of it with
// GODEBUG=fips140=on, everything but OCSP with fips140=only.
func TestFIPS(t *testing.T) {
	if !fips140.Enforced() {
		return // the other tests have OCSP at work
	}
	t.Run("REV-06 no SHA-1, no OCSP", func(t *testing.T) {
		s := newScene(t)
		s.want(s.check(s.leaf([]string{s.web.URL + "/ocsp"}, []string{s.web.file("crl", s.crl(crlSpec{}))})), ResultOK, ProblemAlgorithm, "")
	})
}
