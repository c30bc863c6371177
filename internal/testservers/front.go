package testservers

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
)

// Front is a server in front of another one, which counts requests and may answer
// some of them itself.
type Front struct {
	*httptest.Server
	// Requests is how many have come in.
	Requests atomic.Int32
}

// NewFront makes a server in front of the one at target, a URL. Each request goes
// to handle first, which tells whether it has answered it; nil never does. The
// server's Start or StartTLS starts it; it ends with the test.
func NewFront(t testing.TB, target string, handle func(http.ResponseWriter, *http.Request) bool) *Front {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	f, proxy := &Front{Server: httptest.NewUnstartedServer(nil)}, httputil.NewSingleHostReverseProxy(u)
	f.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that tests make fail
	f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.Requests.Add(1)
		if handle == nil || !handle(w, r) {
			proxy.ServeHTTP(w, r)
		}
	})
	t.Cleanup(f.Close)
	return f
}

// Hang answers a request with nothing for as long as the client waits.
func Hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // so that the server notices when the client leaves
	<-r.Context().Done()
}

// Proxy is an HTTP proxy through which one host, as it seems, can be reached.
type Proxy struct {
	*httptest.Server
	// Tunnels is how many connections it was asked for.
	Tunnels atomic.Int32
}

// NewProxy starts a proxy for the time of the test: connections to host, with a
// port, go to address; others are refused.
func NewProxy(t testing.TB, host, address string) *Proxy {
	t.Helper()
	return NewProxyTo(t, func(asked string) string {
		if asked == host {
			return address
		}
		return ""
	})
}

// NewProxyTo is NewProxy for several hosts: lead tells the address to which a host,
// with a port, leads, "" for one that is refused.
func NewProxyTo(t testing.TB, lead func(host string) string) *Proxy {
	t.Helper()
	p := &Proxy{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.Tunnels.Add(1)
		address := lead(r.Host)
		if r.Method != http.MethodConnect || address == "" {
			http.Error(w, "this proxy does not lead to "+r.Host, http.StatusForbidden)
			return
		}
		Tunnel(w, address)
	}))
	t.Cleanup(p.Close)
	return p
}

// Tunnel is the answer of a proxy to CONNECT: it connects the client with address.
func Tunnel(w http.ResponseWriter, address string) {
	upstream, err := net.Dial("tcp", address)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer upstream.Close()
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	down, read, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer down.Close()
	go func() {
		_, _ = io.Copy(upstream, read)
		_ = upstream.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(down, upstream)
}

// ClosedAddress is the URL of an address that nothing listens on.
func ClosedAddress(t testing.TB) string {
	t.Helper()
	return "http://" + freeAddress(t)
}
