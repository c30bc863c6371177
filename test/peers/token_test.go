package peers

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

// grant is one request for a token.
type grant struct {
	method, kind, client string
	scopes               []string
	granted              bool
}

// tokens is a token server (distribution, "Token Authentication") with three
// users: "writer", "reader" and whoever has the identity token.
type tokens struct {
	// oauth makes it take OAuth 2.0 requests too.
	oauth bool
	url   string
	key   *testpki.Entity

	mu     sync.Mutex
	grants []grant
}

const (
	tokenIssuer  = "peers"
	tokenService = "registry of peers"
	// secret is the password of both users.
	secret        = "open sesame"
	identityToken = "identity-token-of-writer"
)

// newTokens starts a token server and returns what a registry has to know of it.
func newTokens(t testing.TB, oauth bool) (*tokens, configuration.Auth) {
	t.Helper()
	s := &tokens{oauth: oauth, key: testpki.Root(t, "token issuer")}
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	s.url = "http://" + localhost(t, web.URL) + "/token"
	bundle := filepath.Join(t.TempDir(), "issuer.crt")
	if err := os.WriteFile(bundle, s.key.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return s, configuration.Auth{"token": configuration.Parameters{
		"realm": s.url, "issuer": tokenIssuer, "service": tokenService, "rootcertbundle": bundle,
	}}
}

// ServeHTTP answers a request for a token: GET as Docker always did, POST as
// OAuth 2.0 has it.
func (s *tokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	g := grant{method: r.Method, kind: r.PostForm.Get("grant_type"), client: r.PostForm.Get("client_id")}
	for _, scope := range r.Form["scope"] {
		g.scopes = append(g.scopes, strings.Fields(scope)...)
	}
	user, status := s.authenticate(r)
	g.granted = status == http.StatusOK
	s.mu.Lock()
	s.grants = append(s.grants, g)
	s.mu.Unlock()
	if !g.granted {
		w.WriteHeader(status)
		return
	}
	token, err := s.issue(user, g.scopes)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	name := "token"
	if r.Method == http.MethodPost {
		name = "access_token"
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{name: token, "expires_in": 300})
}

// authenticate finds out who asks, and refuses with a status.
func (s *tokens) authenticate(r *http.Request) (user string, status int) {
	user, password, ok := r.BasicAuth()
	switch {
	case r.Method == http.MethodPost && !s.oauth:
		return "", http.StatusMethodNotAllowed
	case r.Method == http.MethodPost && r.PostForm.Get("grant_type") == "refresh_token":
		if r.PostForm.Get("refresh_token") != identityToken {
			return "", http.StatusUnauthorized
		}
		return "writer", http.StatusOK
	case r.Method == http.MethodPost:
		user, password, ok = r.PostForm.Get("username"), r.PostForm.Get("password"), true
	}
	if !ok || password != secret || (user != "writer" && user != "reader") {
		return "", http.StatusUnauthorized
	}
	return user, http.StatusOK
}

// issue makes a token for what the user may do of what was asked.
func (s *tokens) issue(user string, scopes []string) (string, error) {
	type access struct {
		Type    string   `json:"type"`
		Name    string   `json:"name"`
		Actions []string `json:"actions"`
	}
	var allowed []access
	for _, scope := range scopes {
		kind, rest, _ := strings.Cut(scope, ":")
		i := strings.LastIndexByte(rest, ':')
		if i < 0 {
			continue
		}
		actions := strings.Split(rest[i+1:], ",")
		if user == "reader" {
			actions = slices.DeleteFunc(actions, func(action string) bool { return action != "pull" })
		}
		allowed = append(allowed, access{kind, rest[:i], actions})
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: s.key.Key}, (&jose.SignerOptions{}).WithType("JWT").
		WithHeader("x5c", []string{base64.StdEncoding.EncodeToString(s.key.Cert.Raw)}))
	if err != nil {
		return "", err
	}
	now := time.Now()
	return jwt.Signed(signer).Claims(map[string]any{
		"iss": tokenIssuer, "sub": user, "aud": tokenService, "access": allowed,
		"exp": now.Add(5 * time.Minute).Unix(), "nbf": now.Add(-time.Minute).Unix(), "iat": now.Unix(), "jti": now.String(),
	}).Serialize()
}

// take returns the requests since it was last called.
func (s *tokens) take() []grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.grants
	s.grants = nil
	return taken
}

// allPosted tells whether all requests were OAuth 2.0 requests of one kind.
func allPosted(grants []grant, kind string) bool {
	return len(grants) > 0 && !slices.ContainsFunc(grants, func(g grant) bool {
		return g.method != http.MethodPost || g.kind != kind || g.client != "notation" || !g.granted
	})
}

// asked tells whether any request was for an action.
func asked(grants []grant, action string) bool {
	return slices.ContainsFunc(grants, func(g grant) bool {
		return slices.ContainsFunc(g.scopes, func(scope string) bool {
			return slices.Contains(strings.Split(scope[strings.LastIndexByte(scope, ':')+1:], ","), action)
		})
	})
}

// key is a signer that the program of a test knows by default.
func (c *command) addKey(t testing.TB, signer *testpki.Entity) {
	t.Helper()
	keyPath, certPath := signer.WriteFiles(t, t.TempDir(), "signer")
	writeJSON(t, filepath.Join(c.config, "signingkeys.json"), map[string]any{
		"default": "signer",
		"keys":    []map[string]string{{"name": "signer", "keyPath": keyPath, "certPath": certPath}},
	})
}

// newSigner is a program with a key, and the trust that makes it accept what it signs.
func newSigner(t testing.TB) *command {
	t.Helper()
	root := testpki.Root(t, "root")
	c := newCommand(t, newConfig(t, root, "ca:peers"))
	c.addKey(t, root.Leaf(t, "signer", protocol.KeySpecEC256))
	return c
}
