// Package netclient builds the HTTP client for everything that goes over the network:
// registries, revocation lists, OCSP, timestamps and downloads, through the proxies of
// the environment and with an organisation's own certificate authorities.
package netclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/signet-project/signet/host/internal/wholefile"
	"github.com/signet-project/signet/host/pki"
)

// Bounds on parts of an exchange; the whole of it is bounded by Options.Timeout
// and by the deadline of each request.
const (
	dialTimeout      = 10 * time.Second
	handshakeTimeout = 10 * time.Second
	idleTimeout      = 90 * time.Second
	maxHeaderBytes   = 64 << 10
	// maxIdle is how many connections are kept for the next request. A run over many
	// artifacts of one registry has that many requests under way.
	maxIdle = 256
	// maxFileSize bounds a file of certificates or of a key, in bytes.
	maxFileSize = 16 << 20
)

// Options says how a client reaches the network. The zero value goes there
// directly and trusts the system's certificate authorities.
type Options struct {
	// Env looks up HTTPS_PROXY, HTTP_PROXY and NO_PROXY, and their lower-case
	// forms, which come second; nil means no proxy. The values are those of
	// golang.org/x/net/http/httpproxy: loopback addresses are never proxied, and
	// HTTP_PROXY is ignored where REQUEST_METHOD is set.
	Env func(string) string
	// Proxy chooses the proxy of a request in place of Env.
	Proxy func(*http.Request) (*url.URL, error)
	// CAFile is the path of a file with certificates, PEM or DER, that https
	// servers and proxies may chain to besides those the system trusts.
	CAFile string
	// Certificate, unless it is empty, is shown to servers that ask for one, but not
	// where a redirect to another host leads.
	Certificate Certificate
	// Hosts are those spoken to in a way of their own, by the host of the URL, with
	// its port unless that is 443.
	Hosts map[string]Host
	// Timeout bounds every exchange, redirects and body included; 0 means none.
	Timeout time.Duration
}

// Certificate names a client certificate by the paths of two PEM files: the
// certificate with its chain, and its private key.
type Certificate struct {
	CertFile, KeyFile string
}

// Load reads the files.
func (c Certificate) Load() (tls.Certificate, error) {
	chain, err := wholefile.Read(c.CertFile, maxFileSize)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := wholefile.Read(c.KeyFile, maxFileSize)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(chain, key)
}

// Host is how one host is spoken to by TLS.
type Host struct {
	// CAFile is the path of a file with certificates that this host may chain to
	// besides all others; may be empty.
	CAFile string
	// Certificate is shown to this host alone, and in place of another.
	Certificate Certificate
}

// New makes a client with connections of its own. The error names the
// environment variable or the file that cannot be used.
func New(opts Options) (*http.Client, error) {
	proxy, err := opts.proxy()
	if err != nil {
		return nil, err
	}
	plain, err := newTransport(proxy, Certificate{}, opts.CAFile)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Timeout: opts.Timeout, Transport: plain}
	if len(opts.Hosts) == 0 && opts.Certificate == (Certificate{}) {
		return client, nil
	}
	ways := &switchboard{plain: plain, named: plain, hosts: map[string]*http.Transport{}}
	if opts.Certificate != (Certificate{}) {
		if ways.named, err = newTransport(proxy, opts.Certificate, opts.CAFile); err != nil {
			return nil, err
		}
	}
	for name, host := range opts.Hosts {
		certificate := cmp.Or(host.Certificate, opts.Certificate)
		if ways.hosts[canonical(name)], err = newTransport(proxy, certificate, opts.CAFile, host.CAFile); err != nil {
			return nil, fmt.Errorf("host %s: %w", name, err)
		}
	}
	client.Transport = ways
	return client, nil
}

// newTransport makes connections that show a certificate, unless it is empty, to
// servers that chain to the system's authorities or those of the files.
func newTransport(proxy func(*http.Request) (*url.URL, error), certificate Certificate, caFiles ...string) (*http.Transport, error) {
	roots, err := loadRoots(caFiles)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if certificate != (Certificate{}) {
		pair, err := certificate.Load()
		if err != nil {
			return nil, fmt.Errorf("client certificate %q with key %q: %w", certificate.CertFile, certificate.KeyFile, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	return &http.Transport{
		Proxy:                  proxy,
		DialContext:            dial(dialer),
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    handshakeTimeout,
		IdleConnTimeout:        idleTimeout,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdle,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ForceAttemptHTTP2:      true,
	}, nil
}

// dial connects to localhost without asking anybody where that is (RFC 6761, section
// 6.3): what is spoken to without TLS because it is this machine has to be this machine.
func dial(dialer *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil || strings.ToLower(strings.TrimSuffix(host, ".")) != "localhost" {
			return dialer.DialContext(ctx, network, address)
		}
		conn, err := dialer.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
		if err == nil {
			return conn, nil
		}
		if conn, err := dialer.DialContext(ctx, network, net.JoinHostPort("::1", port)); err == nil {
			return conn, nil
		}
		return nil, err
	}
}

// switchboard chooses connections by the host of a request, and by how the request
// came about.
type switchboard struct {
	plain, named *http.Transport
	hosts        map[string]*http.Transport
}

// RoundTrip sends a request.
func (s *switchboard) RoundTrip(request *http.Request) (*http.Response, error) {
	host := canonical(request.URL.Host)
	way := s.hosts[host]
	switch {
	case way != nil:
	case redirectedFrom(request) == host:
		way = s.named
	default:
		way = s.plain
	}
	return way.RoundTrip(request)
}

// CloseIdleConnections closes those of all ways.
func (s *switchboard) CloseIdleConnections() {
	for _, way := range append(slices.Collect(maps.Values(s.hosts)), s.plain, s.named) {
		way.CloseIdleConnections()
	}
}

// redirectedFrom is the host that was asked first.
func redirectedFrom(request *http.Request) string {
	for request.Response != nil && request.Response.Request != nil {
		request = request.Response.Request
	}
	return canonical(request.URL.Host)
}

// canonical writes a host in one way.
func canonical(host string) string { return strings.TrimSuffix(strings.ToLower(host), ":443") }

// proxy returns how to choose the proxy of a request.
func (o Options) proxy() (func(*http.Request) (*url.URL, error), error) {
	if o.Proxy != nil || o.Env == nil {
		return o.Proxy, nil
	}
	lookup := func(upper, lower string) string { return cmp.Or(o.Env(upper), o.Env(lower)) }
	config := httpproxy.Config{
		HTTPProxy:  lookup("HTTP_PROXY", "http_proxy"),
		HTTPSProxy: lookup("HTTPS_PROXY", "https_proxy"),
		NoProxy:    lookup("NO_PROXY", "no_proxy"),
		CGI:        o.Env("REQUEST_METHOD") != "",
	}
	// A proxy that does not parse would be passed over without a word.
	for _, variable := range []struct{ name, value string }{{"HTTP_PROXY", config.HTTPProxy}, {"HTTPS_PROXY", config.HTTPSProxy}} {
		if !isProxy(variable.value) {
			return nil, fmt.Errorf("environment variable %s is not the URL of a proxy: use a form like http://proxy.example:3128", variable.name)
		}
	}
	choose := config.ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return choose(r.URL) }, nil
}

// isProxy tells whether a value is empty, a proxy's URL, or its host and port
// alone.
func isProxy(value string) bool {
	if value == "" {
		return true
	}
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	parsed, err := url.Parse(value)
	return err == nil && parsed.Hostname() != "" && slices.Contains([]string{"http", "https", "socks5", "socks5h"}, parsed.Scheme)
}

// loadRoots returns the system's certificate authorities and those of files, whose
// names may be empty; nil, which means the system's, without a file.
func loadRoots(paths []string) (*x509.CertPool, error) {
	paths = slices.DeleteFunc(paths, func(path string) bool { return path == "" })
	if len(paths) == 0 {
		return nil, nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("the system's certificate authorities cannot be loaded: %w", err)
	}
	for _, path := range paths {
		certs, err := readCertificates(path)
		if err != nil {
			return nil, err
		}
		for _, cert := range certs {
			roots.AddCert(cert)
		}
	}
	return roots, nil
}

func readCertificates(path string) ([]*x509.Certificate, error) {
	data, err := wholefile.Read(path, maxFileSize)
	if err != nil {
		return nil, fmt.Errorf("certificate authority file: %w", err)
	}
	certs, err := pki.ParseCertificates(data)
	if err != nil {
		return nil, fmt.Errorf("certificate authority file %q: %w", path, err)
	}
	return certs, nil
}
