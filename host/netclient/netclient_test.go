package netclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testservers"
	"github.com/signet-project/signet/protocol"
)

// proxy is a forward proxy on loopback that sends everything to one backend and
// notes what it was asked for.
type proxy struct {
	backend string
	mu      sync.Mutex
	seen    []string
}

func newProxy(t *testing.T, backend *httptest.Server) (*proxy, string) {
	t.Helper()
	p := &proxy{backend: backend.Listener.Addr().String()}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	return p, server.URL
}

func (p *proxy) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.seen)
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.seen = append(p.seen, r.Method+" "+r.RequestURI+" "+r.Header.Get("Proxy-Authorization"))
	p.mu.Unlock()
	if r.Method != http.MethodConnect {
		io.WriteString(w, "by proxy")
		return
	}
	testservers.Tunnel(w, p.backend)
}

// newTLSBackend serves https for tsa.example and 127.0.0.1 with a certificate
// below a fresh root, whose PEM file it returns.
func newTLSBackend(t *testing.T) (*httptest.Server, string) {
	t.Helper()
	root := testpki.Root(t, "corporate root")
	server := root.Leaf(t, "tsa.example", protocol.KeySpecEC256, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		c.DNSNames, c.IPAddresses = []string{"tsa.example"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	})
	backend := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "over TLS") }))
	backend.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: server.RawChain(), PrivateKey: server.Key}}}
	backend.Config.ErrorLog = log.New(io.Discard, "", 0)
	backend.StartTLS()
	t.Cleanup(backend.Close)
	file := filepath.Join(t.TempDir(), "corporate.pem")
	if err := os.WriteFile(file, root.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return backend, file
}

func newBackend(t *testing.T) *httptest.Server {
	t.Helper()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "direct") }))
	t.Cleanup(backend.Close)
	return backend
}

// env makes a lookup from pairs.
func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func get(t *testing.T, opts Options, url string) (string, error) {
	t.Helper()
	client, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func TestHTTPProxy(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"HTTP_PROXY", "http_proxy"} {
		t.Run(name, func(t *testing.T) {
			p, address := newProxy(t, newBackend(t))
			withUser := strings.Replace(address, "http://", "http://user:secret@", 1)
			body, err := get(t, Options{Env: env(name, withUser)}, "http://ocsp.example/status")
			if err != nil || body != "by proxy" {
				t.Fatalf("got %q, error %v", body, err)
			}
			if seen := p.requests(); len(seen) != 1 || seen[0] != "GET http://ocsp.example/status Basic dXNlcjpzZWNyZXQ=" {
				t.Errorf("the proxy saw %q", seen)
			}
		})
	}
	t.Run("host and port alone", func(t *testing.T) {
		_, address := newProxy(t, newBackend(t))
		body, err := get(t, Options{Env: env("HTTP_PROXY", strings.TrimPrefix(address, "http://"))}, "http://ocsp.example/")
		if err != nil || body != "by proxy" {
			t.Errorf("got %q, error %v", body, err)
		}
	})
	t.Run("upper case first", func(t *testing.T) {
		_, address := newProxy(t, newBackend(t))
		body, err := get(t, Options{Env: env("http_proxy", "http://127.0.0.1:1", "HTTP_PROXY", address)}, "http://ocsp.example/")
		if err != nil || body != "by proxy" {
			t.Errorf("got %q, error %v", body, err)
		}
	})
	t.Run("proxy function in place of the environment", func(t *testing.T) {
		_, address := newProxy(t, newBackend(t))
		parsed, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		opts := Options{Proxy: http.ProxyURL(parsed), Env: env("HTTP_PROXY", "http://127.0.0.1:1")}
		if body, err := get(t, opts, "http://ocsp.example/"); err != nil || body != "by proxy" {
			t.Errorf("got %q, error %v", body, err)
		}
	})
	t.Run("unreachable proxy is no direct connection", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener.Close()
		opts := Options{Env: env("HTTP_PROXY", "http://"+listener.Addr().String())}
		if _, err := get(t, opts, "http://ocsp.example/"); err == nil || !strings.Contains(err.Error(), "proxyconnect") && !strings.Contains(err.Error(), "refused") {
			t.Errorf("error %v", err)
		}
	})
}

func TestNoProxy(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		env     func(string) string
		url     string
		proxied bool
	}{
		"no environment":              {nil, "http://ocsp.example/", false},
		"nothing set":                 {env(), "http://ocsp.example/", false},
		"proxied":                     {env("HTTP_PROXY", "proxy.example:1"), "http://ocsp.example/", true},
		"NO_PROXY names the host":     {env("HTTP_PROXY", "proxy.example:1", "NO_PROXY", "ocsp.example"), "http://ocsp.example/", false},
		"no_proxy names a domain":     {env("HTTP_PROXY", "proxy.example:1", "no_proxy", ".example"), "http://ocsp.example/", false},
		"NO_PROXY names another":      {env("HTTP_PROXY", "proxy.example:1", "NO_PROXY", "crl.example"), "http://ocsp.example/", true},
		"NO_PROXY names all":          {env("HTTP_PROXY", "proxy.example:1", "NO_PROXY", "*"), "http://ocsp.example/", false},
		"NO_PROXY names a network":    {env("HTTP_PROXY", "proxy.example:1", "NO_PROXY", "10.0.0.0/8"), "http://10.1.2.3/", false},
		"HTTP_PROXY is not for https": {env("HTTP_PROXY", "proxy.example:1"), "https://tsa.example/", false},
		"HTTPS_PROXY":                 {env("HTTPS_PROXY", "proxy.example:1"), "https://tsa.example/", true},
		"HTTPS_PROXY is not for http": {env("HTTPS_PROXY", "proxy.example:1"), "http://tsa.example/", false},
		"loopback":                    {env("HTTP_PROXY", "proxy.example:1"), "http://127.0.0.1:8080/", false},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := New(Options{Env: tc.env})
			if err != nil {
				t.Fatal(err)
			}
			request, err := http.NewRequest(http.MethodGet, tc.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			var chosen *url.URL
			if choose := client.Transport.(*http.Transport).Proxy; choose != nil {
				if chosen, err = choose(request); err != nil {
					t.Fatal(err)
				}
			}
			if (chosen != nil) != tc.proxied {
				t.Errorf("proxy %v, want proxied = %v", chosen, tc.proxied)
			}
		})
	}
	t.Run("a CGI request cannot set the proxy", func(t *testing.T) {
		_, address := newProxy(t, newBackend(t))
		if _, err := get(t, Options{Env: env("HTTP_PROXY", address, "REQUEST_METHOD", "GET")}, "http://ocsp.example/"); err == nil {
			t.Error("accepted")
		}
	})
}

func TestHTTPSProxy(t *testing.T) {
	t.Parallel()
	backend, caFile := newTLSBackend(t)
	p, address := newProxy(t, backend)
	opts := Options{Env: env("HTTPS_PROXY", address), CAFile: caFile}
	body, err := get(t, opts, "https://tsa.example/tsr")
	if err != nil || body != "over TLS" {
		t.Fatalf("got %q, error %v", body, err)
	}
	if seen := p.requests(); len(seen) != 1 || seen[0] != "CONNECT tsa.example:443 " {
		t.Errorf("the proxy saw %q", seen)
	}
}

func TestCAFile(t *testing.T) {
	t.Parallel()
	backend, caFile := newTLSBackend(t)
	t.Run("corporate authority", func(t *testing.T) {
		if body, err := get(t, Options{CAFile: caFile}, backend.URL); err != nil || body != "over TLS" {
			t.Errorf("got %q, error %v", body, err)
		}
	})
	t.Run("DER", func(t *testing.T) {
		data, err := os.ReadFile(caFile)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(data)
		file := filepath.Join(t.TempDir(), "corporate.crt")
		if err := os.WriteFile(file, block.Bytes, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := get(t, Options{CAFile: file}, backend.URL); err != nil {
			t.Error(err)
		}
	})
	t.Run("not trusted without the file", func(t *testing.T) {
		if _, err := get(t, Options{}, backend.URL); err == nil {
			t.Error("accepted")
		}
	})
	t.Run("the system's authorities stay", func(t *testing.T) {
		roots, err := loadRoots([]string{caFile, ""})
		if err != nil {
			t.Fatal(err)
		}
		system, err := x509.SystemCertPool()
		if err != nil {
			t.Fatal(err)
		}
		if roots.Equal(system) {
			t.Error("the file was not added")
		}
		data, err := os.ReadFile(caFile)
		if err != nil {
			t.Fatal(err)
		}
		system.AppendCertsFromPEM(data)
		if !roots.Equal(system) {
			t.Error("not the system's authorities and the file's")
		}
	})
	dir := t.TempDir()
	for name, data := range map[string]string{"empty": "", "garbage": "garbage", "cut off": "-----BEGIN CERTIFICATE-----\nMIIB"} {
		t.Run("file that is "+name, func(t *testing.T) {
			file := filepath.Join(dir, name)
			if err := os.WriteFile(file, []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := New(Options{CAFile: file}); err == nil || !strings.Contains(err.Error(), "certificate authority file") {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("file that is missing", func(t *testing.T) {
		if _, err := New(Options{CAFile: filepath.Join(dir, "missing")}); !os.IsNotExist(err) && (err == nil || !strings.Contains(err.Error(), "missing")) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("file that is too large", func(t *testing.T) {
		file := filepath.Join(dir, "large")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(file, maxFileSize+1); err != nil {
			t.Fatal(err)
		}
		if _, err := New(Options{CAFile: file}); err == nil || !strings.Contains(err.Error(), "more than") {
			t.Errorf("error %v", err)
		}
	})
}

func TestBadProxy(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"http://", "ftp://proxy.example", "http://user:secret@proxy example", "http://[::1", ":3128"} {
		for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "https_proxy"} {
			_, err := New(Options{Env: env(name, value)})
			if err == nil || !strings.Contains(err.Error(), strings.ToUpper(name)) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s=%q: error %v", name, value, err)
			}
		}
	}
	for _, value := range []string{"http://proxy.example", "https://proxy.example:1", "socks5://proxy.example:1080", "proxy.example:3128", "proxy", "http://[::1]:3128"} {
		if _, err := New(Options{Env: env("HTTPS_PROXY", value)}); err != nil {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	t.Run("timeout", func(t *testing.T) {
		release := make(chan struct{})
		silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}))
		defer silent.Close()
		defer close(release)
		_, err := get(t, Options{Timeout: 50 * time.Millisecond}, silent.URL)
		if timeout, ok := err.(net.Error); !ok || !timeout.Timeout() {
			t.Errorf("error %v", err)
		}
	})
	t.Run("huge header", func(t *testing.T) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Padding", strings.Repeat("x", 2*maxHeaderBytes))
		}))
		defer server.Close()
		if _, err := get(t, Options{}, server.URL); err == nil {
			t.Error("accepted")
		}
	})
	t.Run("old TLS", func(t *testing.T) {
		backend, caFile := newTLSBackend(t)
		backend.TLS.MinVersion, backend.TLS.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		if _, err := get(t, Options{CAFile: caFile}, backend.URL); err == nil {
			t.Error("accepted TLS 1.1")
		}
	})
	t.Run("caller gives up", func(t *testing.T) {
		client, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, newBackend(t).URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Do(req); err == nil {
			t.Error("no error")
		}
	})
}

func TestLocalhost(t *testing.T) {
	t.Parallel()
	client, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		DNSStart: func(info httptrace.DNSStartInfo) { t.Errorf("somebody was asked where %s is", info.Host) },
	})
	get := func(url string) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		listener, err := net.Listen("tcp", address)
		if err != nil && address != "127.0.0.1:0" {
			continue // a machine without IPv6
		}
		if err != nil {
			t.Fatal(err)
		}
		server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.NotFoundHandler()}}
		server.Start()
		_, port, _ := net.SplitHostPort(listener.Addr().String())
		for _, host := range []string{"localhost", "LocalHost", "localhost."} {
			t.Run("REG-03 "+host+" on "+address, func(t *testing.T) {
				if err := get("http://" + net.JoinHostPort(host, port)); err != nil {
					t.Error(err)
				}
			})
		}
		server.Close()
		client.CloseIdleConnections()
		if err := get("http://localhost:" + port); err == nil || !strings.Contains(err.Error(), "127.0.0.1:"+port) {
			t.Errorf("nobody listens: %v", err)
		}
	}
}
