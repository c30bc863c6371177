package testkeyvault

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"
)

// TenantID is the tenant's.
const TenantID = "72f988bf-86f1-41af-91ab-2d7cd011db47"

// lifetime is that of a token.
const lifetime = time.Hour

// Principal is an application or managed identity that may log in.
type Principal struct {
	ClientID string
	// Secret and Assertion are two ways to log in: a client secret, and a token of
	// another issuer that the application trusts.
	Secret, Assertion string
	// Permissions are what it may do in every vault, as "keys/sign"; "" for all.
	Permissions []string
}

// token is what a token says, which nobody but the vaults can read.
type token struct {
	principal        *Principal
	audience, tenant string
	expires          time.Time
}

// NewPrincipal adds one to the tenant. Without permissions it may do everything.
func (a *Azure) NewPrincipal(permissions ...string) *Principal {
	p := &Principal{
		ClientID: strings.ToLower(rand.Text()[:8]) + "-0000-4000-8000-000000000000",
		Secret:   "secret-" + rand.Text(), Assertion: "assertion-" + rand.Text(), Permissions: permissions,
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.principals = append(a.principals, p)
	return p
}

func (p *Principal) may(permission string) bool {
	return len(p.Permissions) == 0 || slices.Contains(p.Permissions, permission)
}

// Token makes a token for an audience, "https://vault.azure.net" as a rule.
func (a *Azure) Token(p *Principal, audience string) string {
	return a.issue(token{p, audience, TenantID, time.Now().Add(lifetime)})
}

// ForeignToken makes a token of another tenant.
func (a *Azure) ForeignToken(p *Principal, audience string) string {
	return a.issue(token{p, audience, "11111111-2222-4333-8444-555555555555", time.Now().Add(lifetime)})
}

func (a *Azure) issue(t token) string {
	text := "token-" + rand.Text()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens[text] = t
	return text
}

// identity answers as Microsoft Entra ID.
func (a *Azure) identity(f *Front, host string, w http.ResponseWriter, r *http.Request) {
	tenant, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	base := "https://" + host + "/" + tenant
	switch {
	case r.URL.Path == "/common/discovery/instance":
		writeJSON(w, http.StatusOK, object{
			"tenant_discovery_endpoint": strings.TrimSuffix(r.FormValue("authorization_endpoint"), "/oauth2/v2.0/authorize") + "/v2.0/.well-known/openid-configuration",
			"api-version":               "1.1",
			"metadata":                  []object{{"preferred_network": host, "preferred_cache": host, "aliases": []string{host}}},
		})
	case path == "v2.0/.well-known/openid-configuration":
		writeJSON(w, http.StatusOK, object{
			"issuer": base + "/v2.0", "authorization_endpoint": base + "/oauth2/v2.0/authorize", "token_endpoint": base + "/oauth2/v2.0/token",
		})
	case path == "oauth2/v2.0/token" && r.Method == http.MethodPost:
		f.note("token")
		if !f.faulty(w, r) {
			a.grant(tenant, w, r)
		}
	default:
		http.NotFound(w, r)
	}
}

// grant gives out a token for client credentials.
func (a *Azure) grant(tenant string, w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, code, description string) {
		writeJSON(w, status, object{
			"error": code, "error_description": description + " Trace ID: 0b4b6a40-0000-0000-0000-000000000000 Correlation ID: 5ba80ef1-0000-0000-0000-000000000000 Timestamp: 2026-01-01 00:00:00Z",
			"error_codes": []int{7000215}, "error_uri": "https://login.microsoftonline.com/error?code=7000215",
		})
	}
	if tenant != TenantID {
		refuse(http.StatusBadRequest, "invalid_request", "AADSTS90002: Tenant '"+tenant+"' not found.")
		return
	}
	if r.FormValue("grant_type") != "client_credentials" {
		refuse(http.StatusBadRequest, "unsupported_grant_type", "AADSTS70003: The app requested an unsupported grant type.")
		return
	}
	p := a.principal(r.FormValue("client_id"))
	if p == nil {
		refuse(http.StatusBadRequest, "unauthorized_client", "AADSTS700016: Application with identifier '"+r.FormValue("client_id")+"' was not found in the directory 'test'.")
		return
	}
	if assertion := r.FormValue("client_assertion"); assertion != "" {
		if r.FormValue("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || !same(assertion, p.Assertion) {
			refuse(http.StatusUnauthorized, "invalid_client", "AADSTS700213: No matching federated identity record found for presented assertion subject.")
			return
		}
	} else if !same(r.FormValue("client_secret"), p.Secret) {
		refuse(http.StatusUnauthorized, "invalid_client", "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value.")
		return
	}
	audience, ok := strings.CutSuffix(scope(r.FormValue("scope")), "/.default")
	if !ok {
		refuse(http.StatusBadRequest, "invalid_scope", "AADSTS1002012: The provided value for scope is not valid.")
		return
	}
	writeJSON(w, http.StatusOK, object{
		"token_type": "Bearer", "expires_in": int(lifetime.Seconds()), "ext_expires_in": int(lifetime.Seconds()), "access_token": a.Token(p, audience),
	})
}

// scope is the one of a resource, without those that every client asks for.
func scope(text string) string {
	for one := range strings.FieldsSeq(text) {
		if strings.HasPrefix(one, "https://") {
			return one
		}
	}
	return ""
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func (a *Azure) principal(clientID string) *Principal {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.principals {
		if p.ClientID == clientID {
			return p
		}
	}
	return nil
}

// ManagedIdentity starts the endpoint by which App Service gives tokens of managed
// identities, and returns the environment that leads there. One of them belongs to
// the system, the others are asked for by their client id.
func (a *Azure) ManagedIdentity(system *Principal, assigned ...*Principal) []string {
	header := "header-" + rand.Text()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := system
		if id := r.FormValue("client_id"); id != "" {
			p = nil
			if i := slices.IndexFunc(assigned, func(p *Principal) bool { return p.ClientID == id }); i >= 0 {
				p = assigned[i]
			}
		}
		if !same(r.Header.Get("X-IDENTITY-HEADER"), header) || p == nil {
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(object{"error": "invalid_request", "error_description": "Identity not found"})
			return
		}
		writeJSON(w, http.StatusOK, object{
			"access_token": a.Token(p, r.FormValue("resource")), "expires_on": time.Now().Add(lifetime).Unix(), "resource": r.FormValue("resource"),
			"token_type": "Bearer", "client_id": p.ClientID,
		})
	}))
	a.t.Cleanup(server.Close)
	return []string{"IDENTITY_ENDPOINT=" + server.URL + "/msi/token", "IDENTITY_HEADER=" + header}
}
