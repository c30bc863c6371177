package netclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

// lounge is a TLS server that says whose certificate it was shown.
type lounge struct {
	*httptest.Server
	host string
}

// party is an organisation with its servers and a client certificate.
type party struct {
	root   *testpki.Entity
	caFile string
	Certificate
}

func newParty(t *testing.T) *party {
	t.Helper()
	p := &party{root: testpki.Root(t, "organisation"), caFile: filepath.Join(t.TempDir(), "ca.pem")}
	if err := os.WriteFile(p.caFile, p.root.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	p.Certificate = p.issue(t, "member")
	return p
}

func (p *party) issue(t *testing.T, name string) Certificate {
	client := p.root.Leaf(t, name, protocol.KeySpecEC256, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	key, cert := client.WriteFiles(t, t.TempDir(), name)
	return Certificate{CertFile: cert, KeyFile: key}
}

// lounge starts a server that admits members alone, or anybody.
func (p *party) lounge(t *testing.T, auth tls.ClientAuthType, handle http.HandlerFunc) lounge {
	t.Helper()
	if handle == nil {
		handle = func(w http.ResponseWriter, r *http.Request) {
			if len(r.TLS.PeerCertificates) == 0 {
				io.WriteString(w, "nobody")
				return
			}
			io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
		}
	}
	leaf := p.root.Leaf(t, "server", protocol.KeySpecEC256, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	})
	pool := x509.NewCertPool()
	pool.AddCert(p.root.Cert)
	server := httptest.NewUnstartedServer(handle)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: leaf.RawChain(), PrivateKey: leaf.Key}}, ClientAuth: auth, ClientCAs: pool}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return lounge{server, server.Listener.Addr().String()}
}

func TestClientCertificate(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	closed, open := p.lounge(t, tls.RequireAndVerifyClientCert, nil), p.lounge(t, tls.VerifyClientCertIfGiven, nil)
	other := p.issue(t, "other")
	away := p.lounge(t, tls.VerifyClientCertIfGiven, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, open.URL, http.StatusTemporaryRedirect)
	})
	back := p.lounge(t, tls.VerifyClientCertIfGiven, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/again" {
			http.Redirect(w, r, "/again", http.StatusTemporaryRedirect)
			return
		}
		io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
	})
	for name, c := range map[string]struct {
		opts Options
		url  string
		want string // empty for a failure
	}{
		"REG-15 none":                           {Options{CAFile: p.caFile}, closed.URL, ""},
		"REG-15 shown":                          {Options{CAFile: p.caFile, Certificate: p.Certificate}, closed.URL, "member"},
		"REG-15 shown where it is a choice":     {Options{CAFile: p.caFile, Certificate: p.Certificate}, open.URL, "member"},
		"REG-15 for a host":                     {Options{CAFile: p.caFile, Hosts: map[string]Host{closed.host: {Certificate: p.Certificate}}}, closed.URL, "member"},
		"REG-15 for another host":               {Options{CAFile: p.caFile, Hosts: map[string]Host{closed.host: {Certificate: p.Certificate}}}, open.URL, "nobody"},
		"REG-15 the host's before the general":  {Options{CAFile: p.caFile, Certificate: p.Certificate, Hosts: map[string]Host{closed.host: {Certificate: other}}}, closed.URL, "other"},
		"REG-15 authorities of a host":          {Options{Hosts: map[string]Host{open.host: {CAFile: p.caFile}}}, open.URL, "nobody"},
		"REG-15 authorities of another host":    {Options{Hosts: map[string]Host{closed.host: {CAFile: p.caFile}}}, open.URL, ""},
		"REG-16 not after a redirect elsewhere": {Options{CAFile: p.caFile, Certificate: p.Certificate}, away.URL, "nobody"},
		"REG-16 after a redirect within":        {Options{CAFile: p.caFile, Certificate: p.Certificate}, back.URL, "member"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := get(t, c.opts, c.url)
			if (err != nil) != (c.want == "") || got != c.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestBadClientCertificate(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	other := p.issue(t, "other")
	for name, opts := range map[string]Options{
		"no certificate":       {Certificate: Certificate{KeyFile: p.KeyFile}},
		"no key":               {Certificate: Certificate{CertFile: p.CertFile}},
		"another's key":        {Certificate: Certificate{CertFile: p.CertFile, KeyFile: other.KeyFile}},
		"a key as certificate": {Certificate: Certificate{CertFile: p.KeyFile, KeyFile: p.KeyFile}},
		"of a host":            {Hosts: map[string]Host{"r.example": {Certificate: Certificate{CertFile: "none", KeyFile: "none"}}}},
		"authorities of one":   {Hosts: map[string]Host{"r.example": {CAFile: "none"}}},
	} {
		t.Run("REG-15 "+name, func(t *testing.T) {
			if _, err := New(opts); err == nil || strings.Contains(err.Error(), "\n") {
				t.Error(err)
			}
		})
	}
}

func TestLargeClientCertificate(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	large := filepath.Join(t.TempDir(), "large.pem")
	if err := errors.Join(os.WriteFile(large, nil, 0o600), os.Truncate(large, maxFileSize+1)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []Certificate{{CertFile: large, KeyFile: p.KeyFile}, {CertFile: p.CertFile, KeyFile: large}} {
		if _, err := c.Load(); err == nil || err.Error() != large+" has more than 16777216 bytes" {
			t.Error(err)
		}
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{"R.example:443": "r.example", "r.example": "r.example", "r.example:5000": "r.example:5000"} {
		if got := canonical(host); got != want {
			t.Errorf("%s is %s, not %s", host, got, want)
		}
	}
}
