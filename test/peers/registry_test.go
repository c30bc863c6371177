package peers

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	_ "github.com/distribution/distribution/v3/registry/auth/token"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/olareg/olareg"
	olaregconfig "github.com/olareg/olareg/config"
	"golang.org/x/crypto/bcrypt"
)

// server is a registry on the loopback interface.
type server struct {
	// host is "localhost" with a port, which signet speaks to by plain HTTP.
	host string

	mu       sync.Mutex
	requests []string
}

// serve starts a registry and keeps the method and path of each request.
func serve(t testing.TB, registry http.Handler) *server {
	t.Helper()
	s := &server{}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
		s.mu.Unlock()
		registry.ServeHTTP(w, r)
	}))
	t.Cleanup(web.Close)
	s.host = localhost(t, web.URL)
	return s
}

// localhost is the host and port of a test server as users would write it.
func localhost(t testing.TB, address string) string {
	t.Helper()
	parsed, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return "localhost:" + parsed.Port()
}

// count returns how many requests began with a method and had a part in them.
func (s *server) count(method, part string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, request := range s.requests {
		if strings.HasPrefix(request, method+" ") && strings.Contains(request, part) {
			n++
		}
	}
	return n
}

// withReferrers starts a registry that has the Referrers API; a response holds
// no more than pageSize bytes, 0 for the registry's default.
func withReferrers(t testing.TB, pageSize int64) *server {
	t.Helper()
	registry := olareg.New(olaregconfig.Config{
		Storage: olaregconfig.ConfigStorage{StoreType: olaregconfig.StoreMem, GC: olaregconfig.ConfigGC{Frequency: -1}},
		API:     olaregconfig.ConfigAPI{Referrer: olaregconfig.ConfigAPIReferrer{Limit: pageSize}},
		Log:     slog.New(slog.DiscardHandler),
	})
	s := serve(t, registry)
	t.Cleanup(func() { registry.Close() })
	return s
}

// mislabelling starts another registry with the Referrers API. It takes a
// manifest's config media type for its artifact type.
func mislabelling(t testing.TB) *server {
	t.Helper()
	return serve(t, ggcr.New(ggcr.WithReferrersSupport(true), ggcr.Logger(log.New(io.Discard, "", 0))))
}

// withoutReferrers starts a registry that lacks the Referrers API. access is
// how it authenticates, nil for not at all.
func withoutReferrers(t testing.TB, access configuration.Auth) *server {
	t.Helper()
	config := &configuration.Configuration{
		Storage: configuration.Storage{
			"inmemory":    configuration.Parameters{},
			"delete":      configuration.Parameters{"enabled": true},
			"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
		},
		Auth: access,
	}
	config.HTTP.Secret = "of no importance: there is one process"
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	return serve(t, handlers.NewApp(ctx, config))
}

// basic makes a registry ask for one user's name and password.
func basic(t testing.TB, username, password string) configuration.Auth {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(path, []byte(username+":"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return configuration.Auth{"htpasswd": configuration.Parameters{"realm": "peers", "path": path}}
}

// writeJSON writes a file.
func writeJSON(t testing.TB, path string, value any) {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
