package revocation

import (
	"crypto"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/ocsp"

	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

// web is a server on loopback whose first path element says who answers.
type web struct {
	*httptest.Server
	mu       sync.Mutex
	handlers map[string]http.HandlerFunc
	requests []*http.Request
}

func newWeb(t testing.TB) *web {
	w := &web{handlers: map[string]http.HandlerFunc{}}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		w.mu.Lock()
		w.requests = append(w.requests, r)
		handler := w.handlers[name]
		w.mu.Unlock()
		if handler == nil {
			http.NotFound(rw, r)
			return
		}
		handler(rw, r)
	}))
	t.Cleanup(w.Close)
	return w
}

// handle makes handler answer for name and returns its URL.
func (w *web) handle(name string, handler http.HandlerFunc) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.handlers[name] = handler
	return w.URL + "/" + name
}

// file serves bytes.
func (w *web) file(name string, data []byte) string {
	return w.handle(name, func(rw http.ResponseWriter, _ *http.Request) { rw.Write(data) })
}

func (w *web) count(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, r := range w.requests {
		if first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/"); first == name {
			n++
		}
	}
	return n
}

// silent answers nothing until the client gives up.
func silent(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// clock is a clock that tests move: from where it stands, or, live, ahead of the
// machine's own.
type clock struct {
	mu   sync.Mutex
	now  time.Time
	live bool
}

func newClock() *clock { return &clock{now: time.Now().UTC().Truncate(time.Second)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live {
		return time.Now().UTC().Truncate(time.Second).Add(c.now.Sub(time.Time{}))
	}
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// scene is what most scenarios start from: an authority, a server, a clock and
// a checker.
type scene struct {
	t       testing.TB
	web     *web
	clock   *clock
	root    *testpki.Entity
	checker *Checker
}

func newScene(t testing.TB) *scene {
	if t, ok := t.(*testing.T); ok {
		t.Parallel()
	}
	s := &scene{t: t, web: newWeb(t), clock: newClock(), root: testpki.Root(t, "root")}
	// A loaded machine must not turn an answer into a timeout.
	s.checker = &Checker{HTTPClient: s.web.Client(), Now: s.clock.Now, OCSPTimeout: time.Minute, CRLTimeout: time.Minute}
	return s
}

func urls(ocsp, crl []string) testpki.Edit {
	return func(c *x509.Certificate) { c.OCSPServer, c.CRLDistributionPoints = ocsp, crl }
}

func extensions(list ...pkix.Extension) testpki.Edit {
	return func(c *x509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, list...) }
}

func (s *scene) leaf(ocsp, crl []string, edits ...testpki.Edit) *testpki.Entity {
	s.t.Helper()
	return s.root.Leaf(s.t, "signer", protocol.KeySpecEC256, append([]testpki.Edit{urls(ocsp, crl)}, edits...)...)
}

// check checks e's chain and returns what it says about e.
func (s *scene) check(e *testpki.Entity, edits ...func(*Request)) CertificateReport {
	s.t.Helper()
	request := Request{Chain: e.Chain()}
	for _, edit := range edits {
		edit(&request)
	}
	report := s.checker.Check(s.t.Context(), request)
	if report.ChainErr != nil {
		s.t.Fatal(report.ChainErr)
	}
	return report.Certificates[0]
}

func (s *scene) want(got CertificateReport, result Result, problems ...Problem) {
	s.t.Helper()
	if got.Result != result {
		s.t.Errorf("result is %q, want %q; attempts: %v", got.Result, result, describe(got.Attempts))
	}
	for i, want := range problems {
		if i >= len(got.Attempts) {
			s.t.Errorf("attempt %d is missing, want problem %q", i, want)
			continue
		}
		if have := problemOf(got.Attempts[i].Err); have != want {
			s.t.Errorf("attempt %d has problem %q (%v), want %q", i, have, got.Attempts[i].Err, want)
		}
	}
}

func problemOf(err error) Problem {
	if e, ok := err.(*Error); ok {
		return e.Problem
	}
	return ""
}

func describe(attempts []Attempt) []string {
	var out []string
	for _, a := range attempts {
		text := "ok"
		if a.Err != nil {
			text = a.Err.Error()
		}
		out = append(out, string(a.Method)+" "+a.URL+": "+text)
	}
	return out
}

func signedAt(at time.Time) func(*Request) { return func(r *Request) { r.ReferenceTime = at } }

func stampedAt(at time.Time) func(*Request) {
	return func(r *Request) { r.ReferenceTime, r.FromTimestamp = at, true }
}

func purpose(p pki.Purpose) func(*Request) { return func(r *Request) { r.Purpose = p } }

// sign signs tbs with a key and returns the algorithm's DER and the signature.
func sign(t testing.TB, key crypto.Signer, tbs []byte) (algorithm, signature []byte) {
	t.Helper()
	digest := sha256.Sum256(tbs)
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	id := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}
	if spec, _ := protocol.SuiteForKey(key.Public()); spec.RSA() {
		id = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, Parameters: asn1.NullRawValue}
	}
	return marshal(t, id), signature
}

func marshal(t testing.TB, value any, params ...string) []byte {
	t.Helper()
	der, err := asn1.MarshalWithParams(value, strings.Join(params, ","))
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func generalized(t testing.TB, at time.Time) []byte {
	return marshal(t, at.UTC().Truncate(time.Second), "generalized")
}

func ext(id asn1.ObjectIdentifier, critical bool, value []byte) pkix.Extension {
	return pkix.Extension{Id: id, Critical: critical, Value: value}
}

// distributionPoints is the value of CRLDistributionPoints and FreshestCRL with
// one point of many URLs.
func distributionPoints(t testing.TB, urls ...string) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { addPointName(b, urls) })
	})
	return b.BytesOrPanic()
}

func addPointName(b *cryptobyte.Builder, urls []string) {
	b.AddASN1(contextTag(0), func(b *cryptobyte.Builder) {
		b.AddASN1(contextTag(0), func(b *cryptobyte.Builder) {
			for _, u := range urls {
				b.AddASN1(cryptobyte_asn1.Tag(6).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte(u)) })
			}
		})
	})
}

// scopeSpec describes an issuingDistributionPoint.
type scopeSpec struct {
	urls                           []string
	user, ca, indirect, attributes bool
	reasons                        []int
}

func (s scopeSpec) extension() pkix.Extension {
	var b cryptobyte.Builder
	flag := func(b *cryptobyte.Builder, n uint8, on bool) {
		if on {
			b.AddASN1(cryptobyte_asn1.Tag(n).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddUint8(0xff) })
		}
	}
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if s.urls != nil {
			addPointName(b, s.urls)
		}
		flag(b, 1, s.user)
		flag(b, 2, s.ca)
		if s.reasons != nil {
			var bits [2]byte
			for _, r := range s.reasons {
				bits[r/8] |= 0x80 >> (r % 8)
			}
			b.AddASN1(cryptobyte_asn1.Tag(3).ContextSpecific(), func(b *cryptobyte.Builder) {
				b.AddUint8(7)
				b.AddBytes(bits[:])
			})
		}
		flag(b, 4, s.indirect)
		flag(b, 5, s.attributes)
	})
	return ext(oidIssuingDistributionPoint, true, b.BytesOrPanic())
}

// crlSpec describes a CRL. The zero value of most fields is what is usual.
type crlSpec struct {
	issuer     *testpki.Entity
	signer     crypto.Signer // nil: the issuer's key
	this, next time.Time     // zero: an hour ago; in a day
	noNext     bool
	number     int64 // zero: no extension
	entries    []entrySpec
	rawEntries []byte // DER of entries, instead
	extensions []pkix.Extension
}

type entrySpec struct {
	cert       *x509.Certificate
	at         time.Time // zero: two hours ago
	reason     Reason
	invalidity time.Time
	extensions []pkix.Extension
}

func (s crlSpec) build(t testing.TB, now time.Time) []byte {
	t.Helper()
	if s.this.IsZero() {
		s.this = now.Add(-time.Hour)
	}
	if s.next.IsZero() {
		s.next = now.Add(24 * time.Hour)
	}
	if s.number != 0 {
		s.extensions = append([]pkix.Extension{ext(oidCRLNumber, false, marshal(t, big.NewInt(s.number)))}, s.extensions...)
	}
	key := s.issuer.Key
	if s.signer != nil {
		key = s.signer
	}
	algorithm, _ := sign(t, key, nil)
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddBytes(algorithm)
		b.AddBytes(s.issuer.Cert.RawSubject)
		b.AddASN1UTCTime(s.this)
		if !s.noNext {
			b.AddASN1UTCTime(s.next)
		}
		if len(s.entries) > 0 {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, entry := range s.entries {
					entry.add(t, b, now)
				}
			})
		}
		if len(s.rawEntries) > 0 {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(s.rawEntries) })
		}
		if len(s.extensions) > 0 {
			b.AddASN1(contextTag(0), func(b *cryptobyte.Builder) { b.AddBytes(marshal(t, s.extensions)) })
		}
	})
	tbs := b.BytesOrPanic()
	_, signature := sign(t, key, tbs)
	return signedDER(tbs, algorithm, signature, nil)
}

func (e entrySpec) add(t testing.TB, b *cryptobyte.Builder, now time.Time) {
	if e.at.IsZero() {
		e.at = now.Add(-2 * time.Hour)
	}
	list := e.extensions
	if e.reason != ReasonUnspecified {
		list = append(list, ext(oidReasonCode, false, marshal(t, asn1.Enumerated(e.reason))))
	}
	if !e.invalidity.IsZero() {
		list = append(list, ext(oidInvalidityDate, false, generalized(t, e.invalidity)))
	}
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(e.cert.SerialNumber)
		b.AddASN1UTCTime(e.at)
		if len(list) > 0 {
			b.AddBytes(marshal(t, list))
		}
	})
}

// signedDER is SEQUENCE { tbs, algorithm, signature, rest }.
func signedDER(tbs, algorithm, signature, rest []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(algorithm)
		b.AddASN1BitString(signature)
		b.AddBytes(rest)
	})
	return b.BytesOrPanic()
}

// crl builds a list by the scene's root and clock.
func (s *scene) crl(spec crlSpec) []byte {
	s.t.Helper()
	if spec.issuer == nil {
		spec.issuer = s.root
	}
	return spec.build(s.t, s.clock.Now())
}

// deltaIndicator and freshest are extensions of lists.
func deltaIndicator(t testing.TB, base int64) pkix.Extension {
	return ext(oidDeltaCRLIndicator, true, marshal(t, big.NewInt(base)))
}

func freshest(t testing.TB, urls ...string) pkix.Extension {
	return ext(oidFreshestCRL, false, distributionPoints(t, urls...))
}

// ocspSpec describes an OCSP response. The zero value of most fields is what is
// usual: good, by the issuer itself, made now, valid for an hour.
type ocspSpec struct {
	signer           *testpki.Entity // nil: the issuer
	byKey            bool
	certs            []*x509.Certificate
	noCerts          bool
	issuer           *testpki.Entity // nil: the one asked about
	serial           *big.Int        // nil: the one asked about
	sha256           bool
	status           status
	reason           Reason
	invalidity       time.Time
	this, next       time.Time
	produced         time.Time
	noNext           bool
	singleExtensions []pkix.Extension
	extensions       []pkix.Extension
	others           []ocspSpec // further single responses
}

// build answers a request.
func (s ocspSpec) build(t testing.TB, issuer *testpki.Entity, serial *big.Int, now time.Time) []byte {
	t.Helper()
	signer := s.signer
	if signer == nil {
		signer = issuer
	}
	if s.produced.IsZero() {
		s.produced = now
	}
	certs := s.certs
	if certs == nil && s.signer != nil && !s.noCerts {
		certs = []*x509.Certificate{s.signer.Cert}
	}
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if s.byKey {
			b.AddASN1(contextTag(2), func(b *cryptobyte.Builder) {
				hash := sha1.Sum(keyBits(signer.Cert))
				b.AddASN1OctetString(hash[:])
			})
		} else {
			b.AddASN1(contextTag(1), func(b *cryptobyte.Builder) { b.AddBytes(signer.Cert.RawSubject) })
		}
		b.AddBytes(generalized(t, s.produced))
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, one := range append([]ocspSpec{s}, s.others...) {
				one.addSingle(t, b, issuer, serial, now)
			}
		})
		if len(s.extensions) > 0 {
			b.AddASN1(contextTag(1), func(b *cryptobyte.Builder) { b.AddBytes(marshal(t, s.extensions)) })
		}
	})
	tbs := b.BytesOrPanic()
	algorithm, signature := sign(t, signer.Key, tbs)
	return wrapResponse(tbs, algorithm, signature, certs)
}

func wrapResponse(tbs, algorithm, signature []byte, certs []*x509.Certificate) []byte {
	var bundle cryptobyte.Builder
	if len(certs) > 0 {
		bundle.AddASN1(contextTag(0), func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, cert := range certs {
					b.AddBytes(cert.Raw)
				}
			})
		})
	}
	basic := signedDER(tbs, algorithm, signature, bundle.BytesOrPanic())
	var outer cryptobyte.Builder
	outer.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Enum(0)
		b.AddASN1(contextTag(0), func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidBasicResponse)
				b.AddASN1OctetString(basic)
			})
		})
	})
	return outer.BytesOrPanic()
}

func (s ocspSpec) addSingle(t testing.TB, b *cryptobyte.Builder, issuer *testpki.Entity, serial *big.Int, now time.Time) {
	if s.issuer != nil {
		issuer = s.issuer
	}
	if s.serial != nil {
		serial = s.serial
	}
	if s.this.IsZero() {
		s.this = now
	}
	if s.next.IsZero() {
		s.next = now.Add(time.Hour)
	}
	hash := hashes[0]
	if s.sha256 {
		hash = hashes[1]
	}
	list := s.singleExtensions
	if !s.invalidity.IsZero() {
		list = append(list, ext(oidInvalidityDate, false, generalized(t, s.invalidity)))
	}
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(hash.id) })
			b.AddASN1OctetString(hash.sum(issuer.Cert.RawSubject))
			b.AddASN1OctetString(hash.sum(keyBits(issuer.Cert)))
			b.AddASN1BigInt(serial)
		})
		switch s.status {
		case statusGood:
			b.AddASN1(cryptobyte_asn1.Tag(0).ContextSpecific(), func(*cryptobyte.Builder) {})
		case statusUnknown:
			b.AddASN1(cryptobyte_asn1.Tag(2).ContextSpecific(), func(*cryptobyte.Builder) {})
		case statusRevoked:
			b.AddASN1(contextTag(1), func(b *cryptobyte.Builder) {
				b.AddBytes(generalized(t, now.Add(-2*time.Hour)))
				if s.reason != ReasonUnspecified {
					b.AddASN1(contextTag(0), func(b *cryptobyte.Builder) { b.AddASN1Enum(int64(s.reason)) })
				}
			})
		}
		b.AddBytes(generalized(t, s.this))
		if !s.noNext {
			b.AddASN1(contextTag(0), func(b *cryptobyte.Builder) { b.AddBytes(generalized(t, s.next)) })
		}
		if len(list) > 0 {
			b.AddASN1(contextTag(1), func(b *cryptobyte.Builder) { b.AddBytes(marshal(t, list)) })
		}
	})
}

// responder makes name an OCSP responder of the scene's root that gives the
// answer of a spec, and returns its URL.
func (s *scene) responder(name string, spec ocspSpec) string {
	return s.responderOf(name, s.root, spec)
}

func (s *scene) responderOf(name string, issuer *testpki.Entity, spec ocspSpec) string {
	return s.web.handle(name, func(rw http.ResponseWriter, r *http.Request) {
		request, err := readRequest(name, r)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		rw.Write(spec.build(s.t, issuer, request.SerialNumber, s.clock.Now()))
	})
}

// readRequest reads an OCSP request from the path of a GET or the body of a POST.
func readRequest(name string, r *http.Request) (*ocsp.Request, error) {
	der, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if r.Method == http.MethodGet {
		text, err := url.QueryUnescape(strings.TrimPrefix(r.URL.EscapedPath(), "/"+name+"/"))
		if err != nil {
			return nil, err
		}
		if der, err = base64.StdEncoding.DecodeString(text); err != nil {
			return nil, err
		}
	}
	return ocsp.ParseRequest(der)
}

// delegate makes a responder certificate below e.
func delegate(t testing.TB, e *testpki.Entity, edits ...testpki.Edit) *testpki.Entity {
	t.Helper()
	template := &x509.Certificate{
		Subject:     testpki.DefaultSubject("responder"),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning},
	}
	return testpki.Issue(t, e, testpki.FreshKey(t, protocol.KeySpecEC256), template, edits...)
}

// noCheck is the id-pkix-ocsp-nocheck extension.
var noCheck = extensions(ext(oidNoCheck, false, asn1.NullBytes))
