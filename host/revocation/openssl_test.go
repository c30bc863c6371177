package revocation

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-project/signet/host/pki"
)

// The scenarios in this file have everything made by OpenSSL: certificates,
// requests' answers and CRLs. Its responder runs behind a server on loopback.

// openssl is an authority kept by "openssl ca" in a directory.
type openssl struct {
	t    *testing.T
	dir  string
	name string
	web  *web
	mu   sync.Mutex // the database has one writer
}

func newOpenSSL(t *testing.T, web *web, name string) *openssl {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("openssl is not installed")
		}
		t.Skip("openssl is not installed")
	}
	o := &openssl{t: t, dir: t.TempDir(), name: name, web: web}
	config := fmt.Sprintf(`
[ca]
default_ca = authority
[authority]
dir = .
database = index.txt
new_certs_dir = .
certificate = ca.crt
private_key = ca.key
rand_serial = yes
crlnumber = crlnumber
default_md = sha256
default_days = 30
default_crl_days = 1
policy = policy
crl_extensions = crl
unique_subject = no
[policy]
commonName = supplied
[req]
distinguished_name = dn
prompt = no
[dn]
CN = unused
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[crl]
authorityKeyIdentifier = keyid
[partition]
authorityKeyIdentifier = keyid
issuingDistributionPoint = critical,@partition_point
[partition_point]
onlysomereasons = keyCompromise,CACompromise
[withdelta]
authorityKeyIdentifier = keyid
freshestCRL = URI:%[1]s/delta
[delta]
authorityKeyIdentifier = keyid
2.5.29.27 = critical,ASN1:INTEGER:1
[ocsp_leaf]
keyUsage = critical,digitalSignature
extendedKeyUsage = codeSigning
authorityInfoAccess = OCSP;URI:%[1]s/ocsp
[crl_leaf]
keyUsage = critical,digitalSignature
extendedKeyUsage = codeSigning
crlDistributionPoints = URI:%[1]s/crl
[both_leaf]
keyUsage = critical,digitalSignature
extendedKeyUsage = codeSigning
authorityInfoAccess = OCSP;URI:%[1]s/ocsp
crlDistributionPoints = URI:%[1]s/crl
[nocheck]
keyUsage = critical,digitalSignature
extendedKeyUsage = OCSPSigning
noCheck = ignored
[check]
keyUsage = critical,digitalSignature
extendedKeyUsage = OCSPSigning
crlDistributionPoints = URI:%[1]s/crl
`, web.URL)
	for file, content := range map[string]string{"openssl.cnf": config, "index.txt": "", "index.txt.attr": "", "crlnumber": "01\n"} {
		if err := os.WriteFile(filepath.Join(o.dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o.key("ca")
	o.run("req", "-x509", "-config", "openssl.cnf", "-extensions", "root", "-key", "ca.key", "-subj", "/CN="+name, "-days", "30", "-out", "ca.crt")
	return o
}

func (o *openssl) run(args ...string) []byte {
	o.t.Helper()
	command := exec.Command("openssl", args...)
	command.Dir = o.dir
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		o.t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return out
}

func (o *openssl) key(name string) {
	o.t.Helper()
	o.run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name+".key")
}

// issue makes name.crt with the extensions of a section.
func (o *openssl) issue(name, section string) *x509.Certificate {
	o.t.Helper()
	o.key(name)
	o.run("req", "-new", "-config", "openssl.cnf", "-key", name+".key", "-subj", "/CN="+name, "-out", name+".csr")
	o.run("ca", "-batch", "-notext", "-config", "openssl.cnf", "-extensions", section, "-in", name+".csr", "-out", name+".crt")
	return o.cert(name)
}

func (o *openssl) cert(name string) *x509.Certificate {
	o.t.Helper()
	data, err := os.ReadFile(filepath.Join(o.dir, name+".crt"))
	if err != nil {
		o.t.Fatal(err)
	}
	certs, err := pki.ParseCertificates(data)
	if err != nil {
		o.t.Fatal(err)
	}
	return certs[0]
}

// revoke revokes name.crt; options say why.
func (o *openssl) revoke(name string, options ...string) {
	o.t.Helper()
	o.run(append([]string{"ca", "-config", "openssl.cnf", "-revoke", name + ".crt"}, options...)...)
}

// crl makes a list with the extensions of a section, and serves it.
func (o *openssl) crl(path, section string) {
	o.t.Helper()
	block, _ := pem.Decode(o.run("ca", "-config", "openssl.cnf", "-gencrl", "-crlexts", section))
	if block == nil {
		o.t.Fatal("openssl made no CRL")
	}
	o.web.file(path, block.Bytes)
}

// respond has "openssl ocsp" answer at /ocsp, signing with signer's key.
func (o *openssl) respond(signer string, options ...string) {
	o.web.handle("ocsp", func(rw http.ResponseWriter, r *http.Request) {
		der, err := io.ReadAll(r.Body)
		if r.Method == http.MethodGet {
			text, _ := url.QueryUnescape(strings.TrimPrefix(r.URL.EscapedPath(), "/ocsp/"))
			der, err = base64.StdEncoding.DecodeString(text)
		}
		if err != nil {
			o.t.Error(err)
			return
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		request, response := filepath.Join(o.dir, "request.der"), filepath.Join(o.dir, "response.der")
		if err := os.WriteFile(request, der, 0o600); err != nil {
			o.t.Error(err)
			return
		}
		args := append([]string{"ocsp", "-index", "index.txt", "-CA", "ca.crt", "-rsigner", signer + ".crt", "-rkey", signer + ".key",
			"-reqin", request, "-respout", response}, options...)
		command := exec.Command("openssl", args...)
		command.Dir = o.dir
		if out, err := command.CombinedOutput(); err != nil {
			o.t.Errorf("openssl ocsp: %v\n%s", err, out)
			return
		}
		http.ServeFile(rw, r, response)
	})
}

func (s *scene) wantFor(o *openssl, cert *x509.Certificate, result Result, problems ...Problem) CertificateReport {
	s.t.Helper()
	report := s.checker.Check(s.t.Context(), Request{Chain: []*x509.Certificate{cert, o.cert("ca")}})
	if report.ChainErr != nil {
		s.t.Fatal(report.ChainErr)
	}
	s.want(report.Certificates[0], result, problems...)
	return report.Certificates[0]
}

func TestOpenSSLResponder(t *testing.T) {
	begin := func(t *testing.T) (*scene, *openssl) {
		s := newScene(t)
		s.clock.live, s.clock.now = true, time.Time{} // as OpenSSL's
		s.checker.MaxAge = -1
		return s, newOpenSSL(t, s.web, "openssl root")
	}
	day := []string{"-ndays", "1"}
	t.Run("REV-11 openssl: good, then revoked", func(t *testing.T) {
		s, o := begin(t)
		cert := o.issue("signer", "ocsp_leaf")
		o.respond("ca", day...)
		s.wantFor(o, cert, ResultOK)
		o.revoke("signer", "-crl_reason", "superseded")
		if got := s.wantFor(o, cert, ResultRevoked); got.Revocation == nil || got.Revocation.Reason != ReasonSuperseded {
			t.Errorf("revocation %+v", got.Revocation)
		}
	})
	t.Run("REV-11 openssl: unknown", func(t *testing.T) {
		s, o := begin(t)
		cert := o.issue("signer", "ocsp_leaf")
		if err := os.WriteFile(filepath.Join(o.dir, "index.txt"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		o.respond("ca", day...)
		s.wantFor(o, cert, ResultUnknown, ProblemUnknown)
	})
	t.Run("REV-12 openssl: invalidity date", func(t *testing.T) {
		s, o := begin(t)
		cert := o.issue("signer", "ocsp_leaf")
		compromised := s.clock.Now().Add(-time.Hour)
		o.revoke("signer", "-crl_compromise", compromised.Format("20060102150405Z"))
		o.respond("ca", day...)
		got := s.wantFor(o, cert, ResultRevoked)
		if got.Revocation == nil || !got.Revocation.InvalidityDate.Equal(compromised) {
			t.Errorf("revocation %+v", got.Revocation)
		}
		report := s.checker.Check(t.Context(), Request{Chain: []*x509.Certificate{cert, o.cert("ca")}, ReferenceTime: compromised.Add(-time.Second)})
		s.want(report.Certificates[0], ResultOK)
	})
	t.Run("REV-08 openssl: delegated responder with nocheck, by name and by key", func(t *testing.T) {
		s, o := begin(t)
		cert := o.issue("signer", "ocsp_leaf")
		o.issue("responder", "nocheck")
		o.respond("responder", day...)
		s.wantFor(o, cert, ResultOK)
		o.respond("responder", append(day, "-resp_key_id")...)
		s.wantFor(o, cert, ResultOK)
		o.respond("responder", append(day, "-resp_no_certs")...)
		s.wantFor(o, cert, ResultUnknown, ProblemSignature)
	})
	t.Run("REV-14 openssl: delegated responder without nocheck", func(t *testing.T) {
		s, o := begin(t)
		cert := o.issue("signer", "ocsp_leaf")
		o.issue("responder", "check")
		o.respond("responder", day...)
		s.wantFor(o, cert, ResultUnknown, ProblemResponder)
		o.crl("crl", "crl")
		s.wantFor(o, cert, ResultOK)
		o.revoke("responder")
		o.crl("crl", "crl")
		s.wantFor(o, cert, ResultUnknown, ProblemResponder)
	})
	t.Run("REV-09 openssl: stale", func(t *testing.T) {
		s, o := begin(t)
		cert := o.issue("signer", "ocsp_leaf")
		o.respond("ca", "-nmin", "5")
		s.wantFor(o, cert, ResultOK)
		s.clock.advance(time.Hour)
		s.wantFor(o, cert, ResultUnknown, ProblemTime)
	})
	t.Run("REV-10 openssl: no nextUpdate, and from the future", func(t *testing.T) {
		s, o := begin(t)
		cert := o.issue("signer", "ocsp_leaf")
		o.respond("ca")
		s.wantFor(o, cert, ResultOK)
		s.clock.advance(-time.Hour)
		s.wantFor(o, cert, ResultUnknown, ProblemTime)
	})
	t.Run("REV-15 openssl: wrong issuer", func(t *testing.T) {
		s, o := begin(t)
		other := newOpenSSL(t, s.web, "another root")
		cert := o.issue("signer", "ocsp_leaf")
		other.respond("ca", day...)
		s.wantFor(o, cert, ResultUnknown, ProblemSignature)
	})
	t.Run("REV-04 openssl: silent", func(t *testing.T) {
		s, o := begin(t)
		cert := o.issue("signer", "both_leaf")
		s.web.handle("ocsp", silent)
		s.checker.OCSPTimeout = 50 * time.Millisecond
		o.crl("crl", "crl")
		s.wantFor(o, cert, ResultOK, ProblemTimeout, "")
	})
}

func TestOpenSSLLists(t *testing.T) {
	begin := func(t *testing.T) (*scene, *openssl) {
		s := newScene(t)
		s.clock.live, s.clock.now = true, time.Time{} // as OpenSSL's
		s.checker.MaxAge = -1
		return s, newOpenSSL(t, s.web, "openssl root")
	}
	t.Run("REV-19 openssl: good, then revoked", func(t *testing.T) {
		s, o := begin(t)
		cert := o.issue("signer", "crl_leaf")
		o.crl("crl", "crl")
		s.wantFor(o, cert, ResultOK)
		o.revoke("signer", "-crl_reason", "keyCompromise")
		o.crl("crl", "crl")
		if got := s.wantFor(o, cert, ResultRevoked); got.Revocation == nil || got.Revocation.Reason != ReasonKeyCompromise {
			t.Errorf("revocation %+v", got.Revocation)
		}
	})
	t.Run("REV-21 openssl: expired, listed and not", func(t *testing.T) {
		s, o := begin(t)
		listed, other := o.issue("signer", "crl_leaf"), o.issue("colleague", "crl_leaf")
		o.revoke("signer")
		o.crl("crl", "crl")
		s.clock.advance(25 * time.Hour)
		s.wantFor(o, listed, ResultRevoked)
		s.wantFor(o, other, ResultUnknown, ProblemTime)
	})
	t.Run("REV-23 openssl: on hold", func(t *testing.T) {
		s, o := begin(t)
		cert := o.issue("signer", "crl_leaf")
		o.revoke("signer", "-crl_reason", "certificateHold")
		o.crl("crl", "crl")
		if got := s.wantFor(o, cert, ResultRevoked); got.Revocation == nil || got.Revocation.Reason != ReasonCertificateHold {
			t.Errorf("revocation %+v", got.Revocation)
		}
	})
	t.Run("REV-12 openssl: invalidity date and timestamp", func(t *testing.T) {
		s, o := begin(t)
		cert := o.issue("signer", "crl_leaf")
		compromised := s.clock.Now().Add(-time.Hour)
		o.revoke("signer", "-crl_compromise", compromised.Format("20060102150405Z"))
		o.crl("crl", "crl")
		chain := []*x509.Certificate{cert, o.cert("ca")}
		for later, want := range map[time.Duration]Result{-time.Second: ResultOK, 0: ResultRevoked} {
			report := s.checker.Check(t.Context(), Request{Chain: chain, ReferenceTime: compromised.Add(later), FromTimestamp: true})
			s.want(report.Certificates[0], want)
		}
	})
	t.Run("REV-37 openssl: only some reasons", func(t *testing.T) {
		s, o := begin(t)
		cert := o.issue("signer", "crl_leaf")
		o.crl("crl", "partition")
		s.wantFor(o, cert, ResultUnknown, "", ProblemScope)
	})
	t.Run("REV-26 openssl: delta", func(t *testing.T) {
		s, o := begin(t)
		cert := o.issue("signer", "crl_leaf")
		o.crl("crl", "withdelta") // number 1
		s.wantFor(o, cert, ResultUnknown, ProblemDelta)
		o.crl("delta", "delta")
		s.wantFor(o, cert, ResultOK)
		o.revoke("signer")
		o.crl("delta", "delta")
		s.wantFor(o, cert, ResultRevoked)
	})
	t.Run("REV-19 openssl: another authority's CRL", func(t *testing.T) {
		s, o := begin(t)
		cert := o.issue("signer", "crl_leaf")
		newOpenSSL(t, s.web, "openssl root").crl("crl", "crl")
		s.wantFor(o, cert, ResultUnknown, ProblemSignature)
	})
}
