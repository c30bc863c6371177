package testkeyvault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testservers"
	"github.com/signet-project/signet/protocol"
)

// domains are where vaults, managed HSMs and the identity service are, in the
// public cloud and two others.
var domains = []string{
	"*.vault.azure.net", "*.managedhsm.azure.net", "login.microsoftonline.com",
	"*.vault.azure.cn", "login.chinacloudapi.cn",
	"*.vault.usgovcloudapi.net", "login.microsoftonline.us",
}

// Azure is a tenant with its vaults. Everything it says of itself may be used by
// several goroutines at once.
type Azure struct {
	// CAFile is a PEM file with the CA of its servers' certificates.
	CAFile string
	*Front
	t      testing.TB
	root   *testpki.Entity
	server tls.Certificate

	mu         sync.Mutex
	vaults     map[string]*Vault // by host
	principals []*Principal
	tokens     map[string]token
}

// New makes a tenant without vaults, for the time of the test.
func New(t testing.TB) *Azure {
	t.Helper()
	a := &Azure{t: t, root: testpki.Root(t, "Azure of the test"), vaults: map[string]*Vault{}, tokens: map[string]token{}}
	leaf := a.root.Leaf(t, "Azure", protocol.KeySpecEC256, func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = domains, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	a.server = tls.Certificate{Certificate: [][]byte{leaf.Cert.Raw}, PrivateKey: leaf.Key}
	a.CAFile = filepath.Join(t.TempDir(), "azure-ca.pem")
	if err := os.WriteFile(a.CAFile, a.root.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	a.Front = a.NewFront(nil)
	return a
}

// Front is a way to a tenant. Several lead to the same vaults, each with faults
// and a count of its own.
type Front struct {
	// Proxy is one to which every name of Azure is this tenant.
	Proxy   *testservers.Proxy
	azure   *Azure
	address string
	fault   func(http.ResponseWriter, *http.Request) bool

	mu       sync.Mutex
	requests []string
}

// NewFront opens a further way to the tenant. Each request goes to fault first,
// which tells whether it has answered it; nil never does.
func (a *Azure) NewFront(fault func(http.ResponseWriter, *http.Request) bool) *Front {
	f := &Front{azure: a, fault: fault}
	server := httptest.NewUnstartedServer(f)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that trust another CA
	server.TLS = &tls.Config{Certificates: []tls.Certificate{a.server}}
	server.StartTLS()
	a.t.Cleanup(server.Close)
	f.address = server.Listener.Addr().String()
	f.Proxy = testservers.NewProxyTo(a.t, func(host string) string {
		if name, ok := strings.CutSuffix(host, ":443"); ok && known(name) {
			return f.address
		}
		return ""
	})
	return f
}

// Client is an HTTP client to which every name of Azure is this tenant.
func (f *Front) Client() *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(f.azure.root.Cert)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: pool},
		MaxIdleConnsPerHost: 16,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, f.address)
		},
	}}
}

// Env is the environment in which a process finds the tenant by its proxy and CA.
func (f *Front) Env() []string {
	return []string{"HTTPS_PROXY=" + f.Proxy.URL, "SSL_CERT_FILE=" + f.azure.CAFile}
}

// Requests returns what was asked since it was last called: "keys/get" and other
// permissions for what a vault was asked with a token, "challenge" for what it
// was asked without, "token" for a token.
func (f *Front) Requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken := f.requests
	f.requests = nil
	return taken
}

func (f *Front) note(request string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, request)
}

// ServeHTTP answers as the identity service or a vault, whichever is asked.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host := strings.TrimSuffix(strings.ToLower(r.Host), ":443")
	if strings.HasPrefix(host, "login.") {
		f.azure.identity(f, host, w, r)
		return
	}
	f.azure.mu.Lock()
	v := f.azure.vaults[host]
	f.azure.mu.Unlock()
	if v == nil {
		http.Error(w, "no such vault", http.StatusBadGateway)
		return
	}
	v.serve(f, w, r)
}

// faulty tells whether a fault has answered a request.
func (f *Front) faulty(w http.ResponseWriter, r *http.Request) bool {
	return f.fault != nil && f.fault(w, r)
}

func known(host string) bool {
	for _, domain := range domains {
		if host == domain || strings.HasPrefix(domain, "*") && strings.HasSuffix(host, domain[1:]) {
			return true
		}
	}
	return false
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may have gone
}

// object is one of JSON.
type object = map[string]any
