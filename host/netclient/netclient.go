// Package netclient builds the HTTP clients the flows hand to their rooms: for
// revocation lists, OCSP and timestamps, through the proxies of the environment
// and with an organisation's own certificate authorities.
package netclient

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"

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
	maxIdle       = 256
	maxCAFileSize = 16 << 20
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
	// Timeout bounds every exchange, redirects and body included; 0 means none.
	Timeout time.Duration
}

// New makes a client with connections of its own. The error names the
// environment variable or the file that cannot be used.
func New(opts Options) (*http.Client, error) {
	proxy, err := opts.proxy()
	if err != nil {
		return nil, err
	}
	roots, err := loadRoots(opts.CAFile)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	return &http.Client{
		Timeout: opts.Timeout,
		Transport: &http.Transport{
			Proxy:                  proxy,
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    handshakeTimeout,
			IdleConnTimeout:        idleTimeout,
			MaxIdleConns:           maxIdle,
			MaxIdleConnsPerHost:    maxIdle,
			MaxResponseHeaderBytes: maxHeaderBytes,
			ForceAttemptHTTP2:      true,
		},
	}, nil
}

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

// loadRoots returns the system's certificate authorities and those of a file;
// nil, which means the system's, without a file.
func loadRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("certificate authority file: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxCAFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("certificate authority file: %w", err)
	}
	if len(data) > maxCAFileSize {
		return nil, fmt.Errorf("certificate authority file %q has more than %d bytes", path, maxCAFileSize)
	}
	certs, err := pki.ParseCertificates(data)
	if err != nil {
		return nil, fmt.Errorf("certificate authority file %q: %w", path, err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("the system's certificate authorities cannot be loaded: %w", err)
	}
	for _, cert := range certs {
		roots.AddCert(cert)
	}
	return roots, nil
}
