package timestamp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testtsa"
	"github.com/signet-project/signet/protocol"
)

var signature = []byte("the bytes of a signature")

// authority returns a client of a well-behaved or misbehaving authority.
func authority(t *testing.T, opts testtsa.Options, behaviour testtsa.Behaviour) (*Authority, *testtsa.Server) {
	t.Helper()
	if opts.Signer == nil {
		opts.Signer = testtsa.NewSigner(t, protocol.KeySpecEC256)
	}
	server := testtsa.NewServer(t, opts, behaviour)
	return &Authority{URL: server.URL, Roots: []*x509.Certificate{testtsa.Root(opts.Signer).Cert}}, server
}

// refused checks that a request fails, with an *AuthorityError of one line that
// has the text.
func refused(t *testing.T, a *Authority, text string) error {
	t.Helper()
	token, err := a.Timestamp(t.Context(), signature, crypto.SHA256)
	var authorityError *AuthorityError
	if !errors.As(err, &authorityError) || token != nil {
		t.Fatalf("got token of %d bytes, error %v; want an *AuthorityError", len(token), err)
	}
	if !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q, want one line with %q", err, text)
	}
	return err
}

func TestRootFile(t *testing.T) {
	t.Parallel()
	root := testpki.Root(t, "root")
	ca := root.Intermediate(t, "ca")
	trusted := pem.EncodeToMemory(&pem.Block{Type: "TRUSTED CERTIFICATE", Bytes: root.Cert.Raw})
	for name, data := range map[string][]byte{"PEM": root.CertPEM(), "DER": root.Cert.Raw, "PEM of another type": trusted} {
		t.Run("TSA-02 root file in "+name, func(t *testing.T) {
			cert, err := ParseRootFile(data)
			if err != nil || !cert.Equal(root.Cert) {
				t.Errorf("error %v", err)
			}
		})
	}
	for name, data := range map[string][]byte{
		"two certificates":    append(root.CertPEM(), root.CertPEM()...),
		"no certificate":      nil,
		"garbage":             []byte("garbage"),
		"an intermediate":     ca.CertPEM(),
		"a self-signed leaf":  testpki.SelfSigned(t, "leaf", protocol.KeySpecEC256).CertPEM(),
		"self-issued by name": root.Intermediate(t, "root").CertPEM(),
	} {
		t.Run("TSA-02 root file with "+name, func(t *testing.T) {
			if _, err := ParseRootFile(data); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestURL(t *testing.T) {
	t.Parallel()
	root := []*x509.Certificate{testpki.Root(t, "root").Cert}
	for url, text := range map[string]string{
		"ftp://tsa.example":       "scheme must be http or https",
		"tsa.example":             "scheme must be http or https",
		"":                        "scheme must be http or https",
		"http://":                 "must have a host",
		"https:///tsr":            "must have a host",
		"http://:8080":            "must have a host",
		"http://tsa.example\x7f/": "does not parse",
	} {
		t.Run(fmt.Sprintf("TSA-03 %q", url), func(t *testing.T) {
			refused(t, &Authority{URL: url, Roots: root}, text)
		})
	}
	t.Run("TSA-03 password stays hidden", func(t *testing.T) {
		err := refused(t, &Authority{URL: "ftp://user:secret@tsa.example", Roots: root}, "tsa.example")
		if strings.Contains(err.Error(), "secret") {
			t.Error(err)
		}
	})
}

func TestRequest(t *testing.T) {
	t.Parallel()
	for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		t.Run(fmt.Sprintf("TSA-04 request fields %v", hash), func(t *testing.T) {
			a, server := authority(t, testtsa.Options{}, testtsa.Behaviour{})
			a.UserAgent = "notation/1.2.3"
			a.Rand = bytes.NewReader(bytes.Repeat([]byte{0xff}, 20))
			if _, err := a.Timestamp(t.Context(), signature, hash); err != nil {
				t.Fatal(err)
			}
			request := server.Requests()[0]
			if request.Version != 1 || !request.CertReq || request.Policy != nil {
				t.Errorf("request %+v", request)
			}
			if !bytes.Equal(request.Imprint.HashedMessage, sum(hash, signature)) || !request.Imprint.HashAlgorithm.Algorithm.Equal(testtsa.HashAlgorithm(hash).Algorithm) {
				t.Errorf("imprint %+v", request.Imprint)
			}
			if !bytes.Equal(request.Imprint.HashAlgorithm.Parameters.FullBytes, asn1.NullBytes) {
				t.Errorf("hash parameters %x, want NULL", request.Imprint.HashAlgorithm.Parameters.FullBytes)
			}
			limit := new(big.Int).Lsh(big.NewInt(1), 159)
			if want := new(big.Int).Sub(limit, big.NewInt(1)); request.Nonce.Cmp(want) != 0 {
				t.Errorf("nonce %v, want the 159 random bits", request.Nonce)
			}
			if request.Method != http.MethodPost || request.Header.Get("Content-Type") != "application/timestamp-query" || request.Header.Get("User-Agent") != "notation/1.2.3" {
				t.Errorf("method %s, header %v", request.Method, request.Header)
			}
		})
	}
	t.Run("TSA-04 nonces differ", func(t *testing.T) {
		a, server := authority(t, testtsa.Options{}, testtsa.Behaviour{})
		for range 2 {
			if _, err := a.Timestamp(t.Context(), signature, crypto.SHA256); err != nil {
				t.Fatal(err)
			}
		}
		if requests := server.Requests(); requests[0].Nonce.Cmp(requests[1].Nonce) == 0 {
			t.Error("the same nonce twice")
		}
	})
	t.Run("TSA-04 no randomness", func(t *testing.T) {
		a, server := authority(t, testtsa.Options{}, testtsa.Behaviour{})
		a.Rand = bytes.NewReader(make([]byte, 19))
		refused(t, a, "nonce")
		if len(server.Requests()) != 0 {
			t.Error("sent a request")
		}
	})
	t.Run("TSA-04 hash not allowed", func(t *testing.T) {
		a, _ := authority(t, testtsa.Options{}, testtsa.Behaviour{})
		if _, err := a.Timestamp(t.Context(), signature, crypto.SHA1); err == nil {
			t.Error("accepted SHA-1")
		}
	})
	t.Run("TSA-04 nothing to timestamp", func(t *testing.T) {
		a, _ := authority(t, testtsa.Options{}, testtsa.Behaviour{})
		if _, err := a.Timestamp(t.Context(), nil, crypto.SHA256); err == nil {
			t.Error("accepted an empty signature")
		}
	})
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		behaviour testtsa.Behaviour
		text      string
	}{
		"status 500":        {testtsa.Behaviour{HTTPStatus: 500}, `status "500 Internal Server Error"`},
		"status 202":        {testtsa.Behaviour{HTTPStatus: 202}, `status "202 Accepted"`},
		"content type html": {testtsa.Behaviour{ContentType: "text/html"}, `content type "text/html"`},
		"content type with parameter": {
			testtsa.Behaviour{ContentType: "application/timestamp-reply; charset=binary"}, "content type",
		},
		"huge answer":  {testtsa.Behaviour{EditReply: func([]byte) []byte { return make([]byte, 1<<20) }}, "too large"},
		"empty answer": {testtsa.Behaviour{EditReply: func([]byte) []byte { return nil }}, "malformed"},
		"garbage":      {testtsa.Behaviour{EditReply: func([]byte) []byte { return []byte("<html>") }}, "malformed"},
	} {
		t.Run("TSA-05 "+name, func(t *testing.T) {
			a, _ := authority(t, testtsa.Options{}, tc.behaviour)
			refused(t, a, tc.text)
		})
	}
	t.Run("TSA-05 answer just below 1 MiB is read", func(t *testing.T) {
		// The padding lies behind the answer, so that only the reason tells.
		a, _ := authority(t, testtsa.Options{}, testtsa.Behaviour{EditReply: func(reply []byte) []byte {
			return append(reply, make([]byte, 1<<20-1-len(reply))...)
		}})
		refused(t, a, "bytes follow it")
	})
	t.Run("TSA-05 endless answer", func(t *testing.T) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/timestamp-reply")
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}))
		defer server.Close()
		refused(t, &Authority{URL: server.URL, Roots: []*x509.Certificate{testpki.Root(t, "r").Cert}}, "too large")
	})
	t.Run("TSA-05 redirect of the POST is followed", func(t *testing.T) {
		a, _ := authority(t, testtsa.Options{}, testtsa.Behaviour{})
		front := httptest.NewServer(http.RedirectHandler(a.URL, http.StatusTemporaryRedirect))
		defer front.Close()
		a.URL = front.URL
		if _, err := a.Timestamp(t.Context(), signature, crypto.SHA256); err != nil {
			t.Error(err)
		}
	})
	t.Run("TSA-05 redirect to a GET is not", func(t *testing.T) {
		a, server := authority(t, testtsa.Options{}, testtsa.Behaviour{})
		front := httptest.NewServer(http.RedirectHandler(a.URL, http.StatusMovedPermanently))
		defer front.Close()
		a.URL = front.URL
		refused(t, a, "301 Moved Permanently")
		if len(server.Requests()) != 0 {
			t.Error("followed")
		}
	})
	t.Run("TSA-05 redirects without end", func(t *testing.T) {
		server := httptest.NewServer(http.RedirectHandler("/", http.StatusTemporaryRedirect))
		defer server.Close()
		refused(t, &Authority{URL: server.URL, Roots: []*x509.Certificate{testpki.Root(t, "r").Cert}}, "10 redirects")
	})
	t.Run("TSA-05 nobody listens", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener.Close()
		refused(t, &Authority{URL: "http://" + listener.Addr().String(), Roots: []*x509.Certificate{testpki.Root(t, "r").Cert}}, "the request failed")
	})
	t.Run("TSA-05 caller gives up", func(t *testing.T) {
		a, _ := authority(t, testtsa.Options{}, testtsa.Behaviour{Hang: true})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := a.Timestamp(ctx, signature, crypto.SHA256); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
}

// roundTripper is a function that answers requests.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// silentBody never ends and never gives anything.
type silentBody struct{ ctx context.Context }

func (b silentBody) Read([]byte) (int, error) { <-b.ctx.Done(); return 0, b.ctx.Err() }
func (b silentBody) Close() error             { return nil }

func TestTimeout(t *testing.T) {
	root := testpki.Root(t, "root").Cert
	for name, answer := range map[string]roundTripper{
		"no answer": func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() },
		"no end of the body": func(r *http.Request) (*http.Response, error) {
			header := http.Header{"Content-Type": {"application/timestamp-reply"}}
			return &http.Response{StatusCode: 200, Header: header, Body: silentBody{r.Context()}}, nil
		},
	} {
		t.Run("TSA-05 15 seconds, "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				a := &Authority{URL: "http://tsa.example", Roots: []*x509.Certificate{root}, HTTPClient: &http.Client{Transport: answer}}
				refused(t, a, "no complete answer within 15s")
				if took := time.Since(start); took != 15*time.Second {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

func TestReply(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		opts      testtsa.Options
		behaviour testtsa.Behaviour
		text      string
	}{
		"rejected": {
			behaviour: testtsa.Behaviour{Status: 2, Failure: 0, StatusText: "no such\nhash"},
			text:      `request not granted, status 2 (rejection), badAlg, "no such\nhash"`,
		},
		"system failure":          {behaviour: testtsa.Behaviour{Status: 2, Failure: 25}, text: "systemFailure"},
		"waiting":                 {behaviour: testtsa.Behaviour{Status: 3, Failure: -1}, text: "status 3 (waiting)"},
		"status unknown":          {behaviour: testtsa.Behaviour{Status: 77, Failure: -1}, text: "status 77"},
		"granted without token":   {behaviour: testtsa.Behaviour{OmitToken: true}, text: "granted without a token"},
		"wrong nonce":             {behaviour: testtsa.Behaviour{Nonce: big.NewInt(7)}, text: "nonce is not that of the request"},
		"no nonce":                {behaviour: testtsa.Behaviour{OmitNonce: true}, text: "no nonce"},
		"wrong imprint":           {behaviour: testtsa.Behaviour{Imprint: &testtsa.MessageImprint{HashAlgorithm: testtsa.HashAlgorithm(crypto.SHA256), HashedMessage: make([]byte, 32)}}, text: "not made over this signature"},
		"imprint by another hash": {behaviour: testtsa.Behaviour{Imprint: &testtsa.MessageImprint{HashAlgorithm: testtsa.HashAlgorithm(crypto.SHA512), HashedMessage: sum(crypto.SHA512, signature)}}, text: "not made over this signature"},
		"version 2":               {opts: testtsa.Options{EditInfo: func(i *testtsa.TSTInfo) { i.Version = 2 }}, text: "version 2"},
		"genTime not UTC":         {opts: testtsa.Options{EditInfo: func(i *testtsa.TSTInfo) { i.GenTime = testtsa.GeneralizedTime("20260101000000+0100") }}, text: "not a UTC time"},
		"no certificates":         {opts: testtsa.Options{NoCertificates: true}, text: "does not contain its signing certificate"},
		"trailing bytes":          {behaviour: testtsa.Behaviour{EditReply: func(b []byte) []byte { return append(b, 0) }}, text: "follow it"},
		"two tokens":              {opts: testtsa.Options{EditToken: func(b []byte) []byte { return append(b, b...) }}, text: "follow it"},
	} {
		t.Run("TSA-06 "+name, func(t *testing.T) {
			a, _ := authority(t, tc.opts, tc.behaviour)
			refused(t, a, tc.text)
		})
	}
	t.Run("TSA-06 typed rejection", func(t *testing.T) {
		a, _ := authority(t, testtsa.Options{}, testtsa.Behaviour{Status: 2, Failure: 15, StatusText: strings.Repeat("long ", 1000)})
		rejected, ok := errors.AsType[*RejectedError](refused(t, a, "unacceptedPolicy"))
		if !ok || rejected.Status != 2 || len(rejected.Failures) != 1 || len(rejected.Text) > 300 {
			t.Errorf("got %+v", rejected)
		}
	})
	for name, opts := range map[string]struct {
		opts      testtsa.Options
		behaviour testtsa.Behaviour
	}{
		"granted":                     {},
		"granted with modifications":  {behaviour: testtsa.Behaviour{Status: 1}},
		"hash without NULL":           {opts: testtsa.Options{NoNULL: true}},
		"token in BER":                {opts: testtsa.Options{Indefinite: true}},
		"whole answer in BER":         {behaviour: testtsa.Behaviour{EditReply: testtsa.Indefinite}},
		"text with a granted request": {behaviour: testtsa.Behaviour{StatusText: "fine"}},
	} {
		t.Run("TSA-06 "+name, func(t *testing.T) {
			a, _ := authority(t, opts.opts, opts.behaviour)
			token, err := a.Timestamp(t.Context(), signature, crypto.SHA256)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Verify(token, VerifyOptions{Message: signature, Roots: a.Roots}); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("TSA-08 received bytes are kept", func(t *testing.T) {
		for _, indefinite := range []bool{false, true} {
			var sent []byte
			keep := func(token []byte) []byte { sent = bytes.Clone(token); return token }
			a, _ := authority(t, testtsa.Options{Indefinite: indefinite, EditToken: keep}, testtsa.Behaviour{})
			token, err := a.Timestamp(t.Context(), signature, crypto.SHA256)
			if err != nil || !bytes.Equal(token, sent) {
				t.Errorf("indefinite %v: error %v, %d bytes of %d", indefinite, err, len(token), len(sent))
			}
		}
	})
}

func TestFreshToken(t *testing.T) {
	t.Parallel()
	t.Run("TSA-07 other root", func(t *testing.T) {
		a, _ := authority(t, testtsa.Options{}, testtsa.Behaviour{})
		a.Roots = []*x509.Certificate{testpki.Root(t, "tsa root").Cert}
		refused(t, a, "tsa root")
	})
	t.Run("TSA-07 no root", func(t *testing.T) {
		a, server := authority(t, testtsa.Options{}, testtsa.Behaviour{})
		a.Roots = nil
		refused(t, a, "root certificate")
		if len(server.Requests()) != 0 {
			t.Error("sent a request")
		}
	})
	t.Run("TSA-07 two extended key usages", func(t *testing.T) {
		signer := testtsa.NewSigner(t, protocol.KeySpecEC256, extendedKeyUsage(t, true, usageTimestamping, usageCodeSigning))
		a, _ := authority(t, testtsa.Options{Signer: signer}, testtsa.Behaviour{})
		refused(t, a, "extended key usage")
	})
	t.Run("TSA-07 expired now, valid by its own clock", func(t *testing.T) {
		past := time.Now().Add(-48 * time.Hour).Truncate(time.Second)
		signer := testpki.Root(t, "root", testpki.Validity(past, past.Add(96*time.Hour))).TSA(t, "tsa", protocol.KeySpecEC256, testpki.Validity(past, past.Add(time.Hour)))
		a, _ := authority(t, testtsa.Options{Signer: signer, GenTime: past.Add(time.Minute)}, testtsa.Behaviour{})
		refused(t, a, "is not valid at")
		a.Now = func() time.Time { return past.Add(2 * time.Minute) }
		if _, err := a.Timestamp(t.Context(), signature, crypto.SHA256); err != nil {
			t.Error(err)
		}
	})
	t.Run("TSA-07 revocation refuses", func(t *testing.T) {
		a, _ := authority(t, testtsa.Options{}, testtsa.Behaviour{})
		revoked := errors.New(`timestamping certificate with subject "x" is revoked`)
		a.Revocation = func(_ context.Context, chain []*x509.Certificate) error {
			if len(chain) != 3 || !chain[2].Equal(a.Roots[0]) {
				t.Errorf("chain of %d", len(chain))
			}
			return revoked
		}
		if err := refused(t, a, "is revoked"); !errors.Is(err, revoked) {
			t.Error(err)
		}
		a.Revocation = func(context.Context, []*x509.Certificate) error { return nil }
		if _, err := a.Timestamp(t.Context(), signature, crypto.SHA256); err != nil {
			t.Error(err)
		}
	})
}

func TestOpenSSL(t *testing.T) {
	t.Parallel()
	for _, spec := range testpki.Specs {
		t.Run("TSA-07 openssl ts with "+string(spec), func(t *testing.T) {
			t.Parallel()
			signer := testtsa.NewSigner(t, spec)
			roots := []*x509.Certificate{testtsa.Root(signer).Cert}
			suite, _ := protocol.SuiteOf(spec)
			digest := strings.ToLower(strings.ReplaceAll(string(suite.Hash), "-", ""))
			url := testtsa.NewOpenSSL(t, signer, testtsa.OpenSSLOptions{Digest: digest, CertificateHash: digest})
			a := &Authority{URL: url, Roots: roots, Timeout: 2 * time.Minute}
			token, err := a.Timestamp(t.Context(), signature, suite.CryptoHash)
			if err != nil {
				t.Fatal(err)
			}
			verified, err := Verify(token, VerifyOptions{Message: signature, Roots: roots})
			if err != nil {
				t.Fatal(err)
			}
			if verified.Accuracy != 1500100*time.Microsecond || verified.Hash != suite.CryptoHash || verified.Policy.String() != "1.2.3.4.1" {
				t.Errorf("got %+v", verified)
			}
			if age := time.Since(verified.GenTime); age < -time.Minute || age > time.Minute {
				t.Errorf("made at %v", verified.GenTime)
			}
		})
	}
	t.Run("TSA-11 openssl ts with the v1 attribute", func(t *testing.T) {
		t.Parallel()
		signer := testtsa.NewSigner(t, protocol.KeySpecEC256)
		url := testtsa.NewOpenSSL(t, signer, testtsa.OpenSSLOptions{CertificateHash: "sha1"})
		refused(t, &Authority{URL: url, Roots: []*x509.Certificate{testtsa.Root(signer).Cert}, Timeout: 2 * time.Minute}, "signing-certificate-v2 is required")
	})
}

func FuzzParseReply(f *testing.F) {
	signer := testtsa.NewSigner(f, protocol.KeySpecEC256)
	for _, behaviour := range []testtsa.Behaviour{{}, {Status: 2, StatusText: "no", Failure: 2}, {OmitToken: true}, {EditReply: testtsa.Indefinite}} {
		handler := testtsa.NewHandler(testtsa.Options{Signer: signer}, behaviour)
		req, err := newRequest(signature, crypto.SHA256, bytes.NewReader(make([]byte, 20)))
		if err != nil {
			f.Fatal(err)
		}
		query, err := req.marshal()
		if err != nil {
			f.Fatal(err)
		}
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(query)))
		reply, err := io.ReadAll(recorder.Body)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(reply)
	}
	f.Fuzz(func(t *testing.T, reply []byte) {
		token, err := parseReply(reply)
		if (err == nil) != (len(token) > 0) {
			t.Fatalf("%d bytes, error %v", len(token), err)
		}
		if err != nil && (err.Error() == "" || strings.Contains(err.Error(), "\n")) {
			t.Fatalf("error %q", err)
		}
	})
}
