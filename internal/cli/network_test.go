package cli

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/signet-project/signet/internal/testocsp"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testservers"
	"github.com/signet-project/signet/internal/testtsa"
	"github.com/signet-project/signet/protocol"
)

// scriptTSA starts a timestamp authority.
func scriptTSA(ts *testscript.TestScript, args []string) error {
	tb := scriptTB{ts: ts}
	root := testpki.Root(tb, args[0]+" root")
	server := httptest.NewUnstartedServer(testtsa.NewHandler(testtsa.Options{Signer: root.TSA(tb, args[0], protocol.KeySpecEC256)}, testtsa.Behaviour{}))
	if len(args) > 1 {
		authority := testpki.Root(tb, "organisation")
		server.TLS = &tls.Config{Certificates: []tls.Certificate{serverCertificate(tb, authority)}}
		server.StartTLS()
		if err := os.WriteFile(ts.MkAbs("tls-ca.pem"), authority.CertPEM(), 0o600); err != nil {
			return err
		}
	} else {
		server.Start()
	}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	ts.Defer(server.Close)
	ts.Setenv("TSA", server.URL)
	return os.WriteFile(ts.MkAbs(args[0]+"-root.crt"), root.CertPEM(), 0o600)
}

// scriptJSONLog wants the lines of a file to be JSON objects, but for warnings.
func scriptJSONLog(ts *testscript.TestScript, args []string) error {
	objects := 0
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		if strings.HasPrefix(line, "Warning: ") {
			continue
		}
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			return fmt.Errorf("%w: %s", err, line)
		}
		objects++
	}
	if objects == 0 {
		return errors.New("there is no log")
	}
	return nil
}

// serveOCSP is a responder that finds every certificate good.
func serveOCSP(ts *testscript.TestScript, issuer func() *testpki.Entity) string {
	server := httptest.NewServer(testocsp.Handler(issuer, nil))
	ts.Defer(server.Close)
	return server.URL
}

// serverCertificate is one for the names of the servers of scripts.
func serverCertificate(tb testing.TB, root *testpki.Entity) tls.Certificate {
	leaf := root.Leaf(tb, "server", protocol.KeySpecEC256, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		c.DNSNames, c.IPAddresses = []string{"localhost", "registry.test", "tsa.test"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	})
	return tls.Certificate{Certificate: leaf.RawChain(), PrivateKey: leaf.Key}
}

// startTLS serves the registry by TLS at r.url, below the authority in tls-ca.pem.
func (r *testRegistry) startTLS(ts *testscript.TestScript) (stop func(), err error) {
	tb := scriptTB{ts: ts}
	root := testpki.Root(tb, "organisation")
	client := root.Leaf(tb, "client", protocol.KeySpecEC256, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	client.WriteFiles(tb, ts.MkAbs("."), "client")
	server := httptest.NewUnstartedServer(r)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{serverCertificate(tb, root)}, ClientCAs: x509.NewCertPool()}
	server.TLS.ClientCAs.AddCert(root.Cert)
	if r.mutual {
		server.TLS.ClientAuth = tls.RequireAndVerifyClientCert
	}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	r.url = server.URL
	return server.Close, os.WriteFile(ts.MkAbs("tls-ca.pem"), root.CertPEM(), 0o600)
}

// startStorage serves the registry's blobs at another address, and notes how it is
// asked for them.
func (r *testRegistry) startStorage() (stop func()) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		scheme, _, _ := strings.Cut(q.Header.Get("Authorization"), " ")
		r.requests = append(r.requests, strings.TrimSpace("storage "+q.Method+" "+q.URL.Path+" "+scheme))
		r.get(w, q, q.URL.Path[strings.LastIndexByte(q.URL.Path, '/')+1:])
	}))
	// localhost and 127.0.0.1 are different hosts to a client.
	r.storage = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	return server.Close
}

// forwardProxy finds the way to servers by names that nobody else knows.
type forwardProxy struct {
	routes map[string]string // host:port to address
	mu     sync.Mutex
	seen   []string
}

// proxyKey is the key of a script's proxy.
type proxyKey struct{}

func scriptProxy(ts *testscript.TestScript, args []string) error {
	p := &forwardProxy{routes: map[string]string{}}
	for _, arg := range args {
		name, address, _ := strings.Cut(arg, "=")
		_, bare, found := strings.Cut(address, "://")
		if !found {
			bare = address
		}
		host, _, _ := strings.Cut(bare, "/")
		p.routes[name] = strings.Replace(host, "localhost", "127.0.0.1", 1)
	}
	server := httptest.NewServer(p)
	ts.Defer(server.Close)
	ts.Setenv("PROXY", server.URL)
	ts.Value(proxyKey{}).(*proxyBox).proxy = p
	return nil
}

type proxyBox struct{ proxy *forwardProxy }

func scriptProxied(ts *testscript.TestScript, _ []string) error {
	p := ts.Value(proxyKey{}).(*proxyBox).proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintln(ts.Stdout(), strings.Join(p.seen, "\n"))
	p.seen = nil
	return nil
}

// ServeHTTP tunnels, or sends a request on.
func (p *forwardProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.seen = append(p.seen, r.Method+" "+r.RequestURI)
	p.mu.Unlock()
	route, ok := p.routes[r.Host]
	if !ok {
		http.Error(w, "no way to "+r.Host, http.StatusBadGateway)
		return
	}
	if r.Method != http.MethodConnect {
		to := &url.URL{Scheme: "http", Host: route}
		(&httputil.ReverseProxy{Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(to)
			pr.Out.Host = pr.In.Host
		}}).ServeHTTP(w, r)
		return
	}
	testservers.Tunnel(w, route)
}
