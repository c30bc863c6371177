package azurekv

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/plugintest"
	"github.com/signet-project/signet/internal/testkeyvault"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testservers"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

func TestMain(m *testing.M) {
	plugintest.Main(m, "azurekv", func() protocol.Plugin { return New(Options{}) })
}

// patience is a timeout for busy machines.
const patience = "5m"

// bench is a tenant with a vault, a managed HSM and an application that may do
// everything.
type bench struct {
	*testkeyvault.Azure
	t     *testing.T
	vault *testkeyvault.Vault
	hsm   *testkeyvault.Vault
	app   *testkeyvault.Principal
}

func newBench(t *testing.T) *bench {
	t.Helper()
	azure := testkeyvault.New(t)
	return &bench{azure, t, azure.NewVault("signet-test.vault.azure.net"), azure.NewVault("signet-test.managedhsm.azure.net"), azure.NewPrincipal()}
}

// as is the plugin configuration with which an application logs in by its
// federated token.
func (b *bench) as(p *testkeyvault.Principal) map[string]string {
	return map[string]string{
		ConfigCredential: "WorkloadIdentityCredential", ConfigTenantID: testkeyvault.TenantID, ConfigClientID: p.ClientID,
		ConfigFederatedTokenFile: writeFile(b.t, []byte(p.Assertion)), ConfigTimeout: patience,
	}
}

// with adds to a plugin configuration.
func with(config map[string]string, name, value string) map[string]string {
	more := map[string]string{name: value}
	for n, v := range config {
		if n != name {
			more[n] = v
		}
	}
	return more
}

// warm is the plugin in this process, to which a front is Azure.
func warm(f *testkeyvault.Front) plugintest.InProcess {
	return plugintest.InProcess{Plugin: New(Options{HTTP: f.Client()})}
}

// forgetful is the plugin in this process, which opens its keys anew each time as
// one in a process of its own does.
func (b *bench) forgetful() protocol.Transport {
	var calls atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(calls.Add(1)) * time.Hour) }
	return plugintest.InProcess{Plugin: New(Options{HTTP: b.Client(), Now: now})}
}

func plugin(f *testkeyvault.Front) *protocol.Client { return protocol.NewClient("azurekv", warm(f)) }

// answers is a front where requests to sign are answered with a status.
func (b *bench) answers(status int, body string, header ...string) *testkeyvault.Front {
	return b.NewFront(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/sign") {
			return false
		}
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
		return true
	})
}

// slow is a front where nobody answers a path's requests.
func (b *bench) slow(path string) *testkeyvault.Front {
	return b.NewFront(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, path) {
			return false
		}
		testservers.Hang(w, r)
		return true
	})
}

func writeFile(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// unversioned is a key id without its version.
func unversioned(url string) string { return url[:strings.LastIndexByte(url, '/')] }

// onHSM says that a key is kept in an HSM.
func onHSM(k *testkeyvault.Key) { k.Type += "-HSM" }

// TestKeyVault runs the suite on keys that the vault keeps in software and in
// HSMs, and on those of a managed HSM.
func TestKeyVault(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	keys, hsmKeys := map[protocol.KeySpec]string{}, map[protocol.KeySpec]string{}
	for _, spec := range testpki.Specs {
		var edits []func(*testkeyvault.Key)
		if spec == protocol.KeySpecRSA3072 || spec == protocol.KeySpecEC384 {
			edits = append(edits, onHSM)
		}
		keys[spec] = unversioned(b.vault.AddKey(string(spec), testpki.Key(t, spec), edits...))
		hsmKeys[spec] = unversioned(b.hsm.AddKey(string(spec), testpki.Key(t, spec), onHSM))
	}
	config := b.as(b.app)
	transport := b.forgetful()
	if runtime.GOOS == "linux" { // where SSL_CERT_FILE counts
		transport = plugintest.Start(t, "azurekv", append(b.Env(), "HOME="+t.TempDir())...)
	}
	t.Run("vault", func(t *testing.T) {
		plugintest.Run(t, plugintest.Backend{
			Name: "azurekv", Transport: transport, Warm: warm(b.Front), Config: config, Keys: keys, MissingKey: b.vault.URL + "/keys/missing",
			Secrets:  []string{b.app.Secret, b.app.Assertion, "token-"},
			Rotate:   func(t *testing.T, keyID string) { b.rotate(keyID) },
			Failures: b.failures(keys[protocol.KeySpecEC256]),
		})
	})
	t.Run("managed HSM", func(t *testing.T) {
		plugintest.Run(t, plugintest.Backend{
			Name: "azurekv", Transport: b.forgetful(), Warm: warm(b.Front), Config: config, Keys: hsmKeys, MissingKey: b.hsm.URL + "/keys/missing",
			Secrets: []string{b.app.Secret, b.app.Assertion, "token-"},
			Rotate:  func(t *testing.T, keyID string) { b.rotate(keyID) },
			Failures: []plugintest.Failure{
				{Name: "no permission to sign", Config: b.as(b.NewPrincipal("keys/get")), Code: protocol.CodeAccessDenied, Text: []string{"keys/sign", `role "Managed HSM Crypto User"`}},
				{Name: "certificate", KeyID: b.hsm.URL + "/certificates/release", Code: protocol.CodeValidation, Text: []string{"managed HSM has keys and no certificates"}},
			},
		})
	})
}

// rotate makes a new version of an EC P-256 key.
func (b *bench) rotate(keyID string) {
	vault := b.vault
	if strings.HasPrefix(keyID, b.hsm.URL) {
		vault = b.hsm
	}
	vault.AddKey(keyID[strings.LastIndexByte(keyID, '/')+1:], testpki.FreshKey(b.t, protocol.KeySpecEC256))
}

// failures are the suite's; keyID is that of a key that signs.
func (b *bench) failures(keyID string) []plugintest.Failure {
	ec := func() *testkeyvault.Key {
		return &testkeyvault.Key{Private: testpki.FreshKey(b.t, protocol.KeySpecEC256)}
	}
	odd := func(name string, edit func(*testkeyvault.Key)) string {
		return unversioned(b.vault.AddKey(name, ec().Private, edit))
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		b.t.Fatal(err)
	}
	stranger := &testkeyvault.Principal{ClientID: b.app.ClientID, Assertion: "of-somebody-else"}
	now, brief := time.Now(), map[string]string{ConfigTimeout: "5s"}
	address, dialer := strings.TrimPrefix(testservers.ClosedAddress(b.t), "http://"), &net.Dialer{}
	down := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, address)
	}}}
	nameless := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "acme", IsNotFound: true}
	}}}
	return []plugintest.Failure{
		{Name: "no permission to sign", Config: b.as(b.NewPrincipal("keys/get")), Code: protocol.CodeAccessDenied,
			Text: []string{"sign with version", keyID, "ForbiddenByRbac", "Microsoft.KeyVault/vaults/keys/sign/action", "permission keys/sign is missing", `role "Key Vault Crypto User"`}},
		{Name: "no permission at all", Config: b.as(b.NewPrincipal("none")), Code: protocol.CodeAccessDenied, Text: []string{"read key " + keyID, "permission keys/get"}},
		{Name: "no such login", Config: b.as(stranger), Code: protocol.CodeAccessDenied, Text: []string{"log in by WorkloadIdentityCredential", "AADSTS700213", "application's federated credential"}},
		{Name: "no such application", Config: b.as(&testkeyvault.Principal{ClientID: "none", Assertion: "x"}), Code: protocol.CodeAccessDenied, Text: []string{"AADSTS700016"}},
		{Name: "login in another tenant", Config: with(b.as(b.app), ConfigTenantID, "contoso.example"), Code: protocol.CodeAccessDenied, Text: []string{testkeyvault.TenantID}},
		{Name: "no federated token", Config: with(b.as(b.app), ConfigFederatedTokenFile, filepath.Join(b.t.TempDir(), "none")), Code: protocol.CodeAccessDenied, Text: []string{"none", "federated_token_file"}},
		{Name: "disabled key", KeyID: odd("disabled", func(k *testkeyvault.Key) { k.Disabled = true }), Code: protocol.CodeValidation, Text: []string{"/keys/disabled", "it is disabled", "--enabled true"}},
		{Name: "expired key", KeyID: odd("expired", func(k *testkeyvault.Key) { k.Expires = now.Add(-time.Hour) }), Code: protocol.CodeValidation, Text: []string{"/keys/expired", "KeyExpired", "set-attributes"}},
		{Name: "key not yet valid", KeyID: odd("early", func(k *testkeyvault.Key) { k.NotBefore = now.Add(time.Hour) }), Code: protocol.CodeValidation, Text: []string{"/keys/early", "KeyNotYetValid"}},
		{Name: "key that verifies", KeyID: odd("verify", func(k *testkeyvault.Key) { k.Operations = []string{"verify"} }), Code: protocol.CodeValidation, Text: []string{"sign is not among its permitted operations"}},
		{Name: "key on P-256K", KeyID: odd("p256k", func(k *testkeyvault.Key) { k.Private, k.Curve = nil, "P-256K" }), Code: protocol.CodeValidation, Text: []string{"P-256K", "P-256, P-384 or P-521"}},
		{Name: "symmetric key", KeyID: odd("oct", func(k *testkeyvault.Key) { k.Private, k.Type = nil, "oct-HSM" }), Code: protocol.CodeValidation, Text: []string{"oct-HSM"}},
		{Name: "RSA key of 1024 bits", KeyID: unversioned(b.vault.AddKey("small", small)), Code: protocol.CodeValidation, Text: []string{"1024 bits"}},
		{Name: "no such version", KeyID: keyID + "/" + strings.Repeat("0", 32), Code: protocol.CodeValidation, Text: []string{"status 404 Not Found KeyNotFound"}},
		{Name: "no such certificate", KeyID: b.vault.URL + "/certificates/missing", Code: protocol.CodeValidation, Text: []string{"read certificate", "CertificateNotFound"}},
		{Name: "not a key id", KeyID: "release", Code: protocol.CodeValidation, Text: []string{"https://VAULT.vault.azure.net/keys/NAME"}},
		{Name: "server down", Transport: plugintest.InProcess{Plugin: New(Options{HTTP: down})}, Code: protocol.CodeGeneric, Text: []string{keyID, "no answer", "refused"}},
		{Name: "no such vault", Transport: plugintest.InProcess{Plugin: New(Options{HTTP: nameless})}, Code: protocol.CodeGeneric, Text: []string{keyID, "no such host", "check the vault's name"}},
		{Name: "server slow", Transport: plugintest.InProcess{Plugin: New(Options{HTTP: b.slow("/sign").Client()})}, Config: brief, Code: protocol.CodeTimeout, Text: []string{"no answer within 5s"}},
		{Name: "login slow", Transport: plugintest.InProcess{Plugin: New(Options{HTTP: b.slow("/token").Client()})}, Config: brief, Code: protocol.CodeTimeout, Text: []string{"no answer within 5s, the login by WorkloadIdentityCredential included"}},
		{Name: "throttled", Transport: warm(b.answers(429, `{"error":{"code":"Throttled","message":"Request was not processed because too many requests were received. Reason: VaultRequestTypeLimitReached"}}`)), Code: protocol.CodeThrottled, Text: []string{"VaultRequestTypeLimitReached"}},
		{Name: "firewall", Transport: warm(b.answers(403, `{"error":{"code":"Forbidden","message":"Client address is not authorized and caller is not a trusted service.\r\nClient address: 203.0.113.7","innererror":{"code":"ForbiddenByFirewall"}}}`)), Code: protocol.CodeAccessDenied, Text: []string{"203.0.113.7", "network rules"}},
		{Name: "access policy", Transport: warm(b.answers(403, `{"error":{"code":"Forbidden","message":"The user, group or application 'appid=a;oid=b;iss=c' does not have keys sign permission on key vault 'signet-test;location=westeurope'.","innererror":{"code":"ForbiddenByPolicy"}}}`)), Code: protocol.CodeAccessDenied, Text: []string{"does not have keys sign permission"}},
		{Name: "failing", Transport: warm(b.answers(503, "<html>\nunavailable")), Code: protocol.CodeGeneric, Text: []string{"status 503 Service Unavailable"}},
		{Name: "gateway late", Transport: warm(b.answers(504, "")), Code: protocol.CodeTimeout, Text: []string{"status 504"}},
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	root := testpki.Root(t, "root")
	leaf := root.Leaf(t, "leaf", protocol.KeySpecEC256)
	keyID := unversioned(b.vault.AddKey("k", leaf.Key))
	certificateID := unversioned(b.vault.AddCertificate("c", leaf.Key, leaf.Cert))
	config := with(b.as(b.app), signer.ConfigCertificateChain, writeFile(t, leaf.ChainPEM()))
	want := func(t *testing.T, f *testkeyvault.Front, want ...string) {
		t.Helper()
		if got := f.Requests(); !slices.Equal(got, want) {
			t.Errorf("requests %v, want %v", got, want)
		}
	}
	t.Run("key", func(t *testing.T) {
		client := plugin(b.Front)
		if _, err := plugintest.Generate(t, client, keyID, protocol.KeySpecEC256, config, false); err != nil {
			t.Fatal(err)
		}
		want(t, b.Front, "challenge", "token", "keys/get", "keys/sign")
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, err := plugintest.Generate(t, client, keyID, protocol.KeySpecEC256, config, false); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		want(t, b.Front, slices.Repeat([]string{"keys/sign"}, 20)...)
	})
	t.Run("certificate", func(t *testing.T) {
		client := plugin(b.Front)
		if _, err := plugintest.Generate(t, client, certificateID, protocol.KeySpecEC256, config, false); err != nil {
			t.Fatal(err)
		}
		want(t, b.Front, "challenge", "token", "certificates/get", "challenge", "keys/sign")
		if _, err := plugintest.Generate(t, client, certificateID, protocol.KeySpecEC256, config, false); err != nil {
			t.Fatal(err)
		}
		want(t, b.Front, "keys/sign")
	})
	for _, status := range []int{408, 429, 500, 502, 503, 504} {
		front := b.answers(status, "", "Retry-After", "1")
		if _, err := plugintest.Generate(t, plugin(front), keyID, protocol.KeySpecEC256, config, false); err == nil {
			t.Error("signed")
		}
		want(t, front, "challenge", "token", "keys/get", "keys/sign") // the host owns retries
	}
	for _, c := range []struct {
		status int
		body   string
		code   protocol.ErrorCode
		want   string
	}{
		{503, "<html>", protocol.CodeGeneric, "status 503 Service Unavailable"},
		{504, "", protocol.CodeTimeout, "status 504 Gateway Timeout"},
		{429, `{"error":"temporarily_unavailable","error_description":"AADSTS90055: too many requests. Trace ID: x"}`, protocol.CodeThrottled, "AADSTS90055: too many requests"},
		{200, `{"access_token":"token-of-nobody"}`, protocol.CodeAccessDenied, "expires_in"},
		{200, "<html>", protocol.CodeAccessDenied, "json"},
	} {
		t.Run(fmt.Sprintf("login answered with %d %.6s", c.status, c.body), func(t *testing.T) {
			front := b.NewFront(func(w http.ResponseWriter, r *http.Request) bool {
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
				return true
			})
			_, err := plugintest.Generate(t, plugin(front), keyID, protocol.KeySpecEC256, config, false)
			plugintest.WantError(t, err, c.code, "log in by WorkloadIdentityCredential", c.want)
			if strings.Contains(fmt.Sprint(err), "token-of-nobody") {
				t.Errorf("a token is in %v", err)
			}
			want(t, front, "challenge", "token")
		})
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	root := testpki.Root(t, "root")
	config := b.as(b.app)
	first := root.Leaf(t, "first", protocol.KeySpecEC256)
	firstID := b.vault.AddKey("k", first.Key)
	keyID := unversioned(firstID)
	chain := func(e *testpki.Entity) map[string]string {
		return with(config, signer.ConfigCertificateChain, writeFile(t, e.ChainPEM()))
	}
	for range 30 { // more than a page of the list, or than are looked at
		b.vault.AddKey("k", testpki.FreshKey(t, protocol.KeySpecEC256))
	}
	second := root.Leaf(t, "second", protocol.KeySpecEC256)
	b.vault.AddKey("k", second.Key)
	b.vault.AddKey("k", testpki.FreshKey(t, protocol.KeySpecEC256))

	t.Run("the version before the latest", func(t *testing.T) {
		plugintest.MustSign(t, plugin(b.Front), keyID, chain(second), false)
		// describe-key and generate-signature share what was opened.
		if got, want := b.Requests(), []string{"challenge", "token", "keys/get", "keys/list", "keys/list", "keys/get", "keys/sign"}; !slices.Equal(got, want) {
			t.Errorf("requests %v, want %v", got, want)
		}
	})
	t.Run("too far back to be found", func(t *testing.T) {
		_, err := plugintest.Sign(t, plugin(b.Front), keyID, chain(first), false)
		plugintest.WantError(t, err, protocol.CodeValidation, keyID, "name the version in the key id")
	})
	t.Run("named", func(t *testing.T) { plugintest.MustSign(t, plugin(b.Front), firstID, chain(first), false) })
	t.Run("named in upper case", func(t *testing.T) {
		plugintest.MustSign(t, plugin(b.Front), keyID+"/"+strings.ToUpper(firstID[len(keyID)+1:]), chain(first), false)
	})
	t.Run("CERT-02 named, with another's chain", func(t *testing.T) {
		_, err := plugintest.Sign(t, plugin(b.Front), firstID, chain(second), false)
		plugintest.WantError(t, err, protocol.CodeValidation, firstID, "none of the 2 certificates is for it")
	})
	t.Run("disabled", func(t *testing.T) {
		only := root.Leaf(t, "only", protocol.KeySpecEC256)
		id := unversioned(b.vault.AddKey("d", only.Key, func(k *testkeyvault.Key) { k.Disabled = true }))
		b.vault.AddKey("d", testpki.FreshKey(t, protocol.KeySpecEC256))
		_, err := plugintest.Sign(t, plugin(b.Front), id, chain(only), false)
		plugintest.WantError(t, err, protocol.CodeValidation, id, "other 0 versions that are enabled (1 are not)")
	})
	t.Run("latest disabled", func(t *testing.T) {
		older := root.Leaf(t, "older", protocol.KeySpecEC256)
		id := unversioned(b.vault.AddKey("l", older.Key))
		b.vault.AddKey("l", testpki.FreshKey(t, protocol.KeySpecEC256), func(k *testkeyvault.Key) { k.Disabled = true })
		plugintest.MustSign(t, plugin(b.Front), id, chain(older), false)
		_, err := plugintest.Sign(t, plugin(b.Front), id, config, true)
		plugintest.WantError(t, err, protocol.CodeValidation, id, "it is disabled")
	})
	t.Run("latest of another type", func(t *testing.T) {
		older := root.Leaf(t, "older", protocol.KeySpecEC384)
		id := unversioned(b.vault.AddKey("o", older.Key))
		b.vault.AddKey("o", testpki.FreshKey(t, protocol.KeySpecEC256), func(k *testkeyvault.Key) { k.Private, k.Curve = nil, "P-256K" })
		plugintest.MustSign(t, plugin(b.Front), id, chain(older), false)
	})
	t.Run("no permission to list", func(t *testing.T) {
		config := with(b.as(b.NewPrincipal("keys/get", "keys/sign")), signer.ConfigCertificateChain, writeFile(t, second.ChainPEM()))
		_, err := plugintest.Sign(t, plugin(b.Front), keyID, config, false)
		plugintest.WantError(t, err, protocol.CodeAccessDenied, "list the versions", "keys/list")
	})
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	root := testpki.Root(t, "root")
	issuer := root.Intermediate(t, "intermediate")
	leaf := issuer.Leaf(t, "leaf", protocol.KeySpecRSA3072)
	versioned := b.vault.AddCertificate("c", leaf.Key, leaf.Cert)
	keyID := unversioned(versioned)
	issuers := with(b.as(b.app), signer.ConfigCertificateChain, writeFile(t, append(root.CertPEM(), issuer.CertPEM()...)))
	wantChain := func(t *testing.T, signed *protocol.GenerateSignatureResponse, leaf *testpki.Entity) {
		t.Helper()
		if !slices.EqualFunc(signed.CertificateChain, leaf.RawChain(), slices.Equal) {
			t.Errorf("a chain of %d certificates, or another one", len(signed.CertificateChain))
		}
	}
	t.Run("CERT-02 leaf of the vault, issuers of the file", func(t *testing.T) {
		wantChain(t, plugintest.MustSign(t, plugin(b.Front), keyID, issuers, false), leaf)
	})
	t.Run("CERT-02 issuers missing", func(t *testing.T) {
		_, err := plugintest.Sign(t, plugin(b.Front), keyID, b.as(b.app), false)
		plugintest.WantError(t, err, protocol.CodeValidation, keyID, `add the certificate of "CN=intermediate,`)
	})
	t.Run("CERT-02 self-signed", func(t *testing.T) {
		alone := testpki.SelfSigned(t, "alone", protocol.KeySpecEC256)
		wantChain(t, plugintest.MustSign(t, plugin(b.Front), unversioned(b.vault.AddCertificate("alone", alone.Key, alone.Cert)), b.as(b.app), false), alone)
	})
	t.Run("CERT-02 renewed", func(t *testing.T) {
		renewed := issuer.Leaf(t, "renewed", protocol.KeySpecEC384)
		b.vault.AddCertificate("c", renewed.Key, renewed.Cert)
		wantChain(t, plugintest.MustSign(t, plugin(b.Front), keyID, issuers, false), renewed)
		wantChain(t, plugintest.MustSign(t, plugin(b.Front), versioned, issuers, false), leaf)
	})
	t.Run("pending", func(t *testing.T) {
		id := unversioned(b.vault.AddCertificate("p", testpki.FreshKey(t, protocol.KeySpecEC256), nil))
		_, err := plugintest.Sign(t, plugin(b.Front), id, issuers, false)
		plugintest.WantError(t, err, protocol.CodeValidation, id, "no certificate yet", "pending merge")
	})
	t.Run("disabled", func(t *testing.T) {
		id := unversioned(b.vault.AddCertificate("d", leaf.Key, leaf.Cert))
		b.vault.DisableCertificate("d")
		_, err := plugintest.Sign(t, plugin(b.Front), id, issuers, false)
		plugintest.WantError(t, err, protocol.CodeValidation, id, "it is disabled")
	})
	t.Run("PLG-12 no permission", func(t *testing.T) {
		config := with(b.as(b.NewPrincipal("keys/get", "keys/sign")), signer.ConfigCertificateChain, issuers[signer.ConfigCertificateChain])
		_, err := plugintest.Sign(t, plugin(b.Front), keyID, config, false)
		plugintest.WantError(t, err, protocol.CodeAccessDenied, "read certificate "+keyID, "permission certificates/get", `role "Key Vault Reader"`)
	})
	t.Run("csr", func(t *testing.T) { plugintest.MustSign(t, plugin(b.Front), keyID, b.as(b.app), true) })
	if slices.ContainsFunc(b.Requests(), func(r string) bool { return strings.HasPrefix(r, "secrets") }) {
		t.Error("the secret behind a certificate was asked for")
	}
}

// TestClouds signs in other clouds, each with its own identity service.
func TestClouds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, host := range []string{"signet-test.vault.azure.cn", "signet-test.vault.usgovcloudapi.net"} {
		id := unversioned(b.NewVault(host).AddKey("k", testpki.FreshKey(t, protocol.KeySpecEC256)))
		plugintest.MustSign(t, plugin(b.Front), id, b.as(b.app), true)
	}
}

// TestHostileVault asks vaults that answer nonsense.
func TestHostileVault(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	versioned := b.vault.AddKey("k", testpki.FreshKey(t, protocol.KeySpecEC256))
	keyID := unversioned(versioned)
	certificateID := b.vault.URL + "/certificates/c"
	kid := func(url string) string { return `{"kid":"` + url + `","value":"AAAA"}` }
	for _, c := range []struct {
		name, keyID string
		at          string // part of the path answered with body
		body        string
		code        protocol.ErrorCode
		want        string
	}{
		{"another version signs", keyID, "/sign", kid(keyID + "/" + strings.Repeat("0", 32)), protocol.CodeGeneric, `version "00000000000000000000000000000000" did`},
		{"no version signs", keyID, "/sign", `{"value":"AAAA"}`, protocol.CodeGeneric, `version "" did`},
		{"signature of three bytes", keyID, "/sign", kid(versioned), protocol.CodeGeneric, "does not verify"},
		{"signature of another key", keyID, "/sign", strings.Replace(kid(versioned), "AAAA", strings.Repeat("AQ", 43)[:86], 1), protocol.CodeGeneric, "does not verify"},
		{"signature not base64", keyID, "/sign", `{"kid":"` + versioned + `","value":"*"}`, protocol.CodeGeneric, "not one of a vault"},
		{"signature a number", keyID, "/sign", `{"kid":"` + versioned + `","value":1}`, protocol.CodeGeneric, ""},
		{"not JSON", keyID, "/keys/", `<html>`, protocol.CodeGeneric, "not one of a vault"},
		{"nothing", keyID, "/keys/", `{}`, protocol.CodeGeneric, "no version of a key"},
		{"key without a version", keyID, "/keys/", `{"key":{"kid":"` + keyID + `"}}`, protocol.CodeGeneric, "no version of a key"},
		{"key id with a control character", keyID, "/keys/", `{"key":{"kid":"\u0000"}}`, protocol.CodeGeneric, "no version of a key"},
		{"key without a type", keyID, "/keys/", `{"key":{"kid":"` + versioned + `"}}`, protocol.CodeValidation, "type (none)"},
		{"RSA key without a modulus", keyID, "/keys/", `{"key":{"kid":"` + versioned + `","kty":"RSA","e":"AQAB"}}`, protocol.CodeValidation, "not one of RSA"},
		{"RSA key with a huge exponent", keyID, "/keys/", `{"key":{"kid":"` + versioned + `","kty":"RSA","n":"AQAB","e":"` + strings.Repeat("_", 100) + `"}}`, protocol.CodeValidation, "not one of RSA"},
		{"point that is not on the curve", keyID, "/keys/", `{"key":{"kid":"` + versioned + `","kty":"EC","crv":"P-256","x":"AQAB","y":"AQAB"}}`, protocol.CodeValidation, "not on curve P-256"},
		{"coordinate that is too long", keyID, "/keys/", `{"key":{"kid":"` + versioned + `","kty":"EC","crv":"P-256","x":"` + strings.Repeat("A", 48) + `","y":"AQAB"}}`, protocol.CodeValidation, "not on curve P-256"},
		{"a long answer", keyID, "/keys/", `{"key":"` + strings.Repeat("x", maxAnswer<<20) + `"}`, protocol.CodeGeneric, "longer than 4 MiB"},
		{"certificate that is none", certificateID, "/certificates/", `{"cer":"AAAA","kid":"` + versioned + `"}`, protocol.CodeValidation, "its certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			front := b.NewFront(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, c.at) || c.at != "/sign" && strings.HasSuffix(r.URL.Path, "/sign") {
					return false
				}
				_, _ = io.WriteString(w, c.body)
				return true
			})
			_, err := plugintest.Sign(t, plugin(front), c.keyID, b.as(b.app), true)
			plugintest.WantError(t, err, c.code, c.want)
			if err != nil && len(err.Error()) > 1500 {
				t.Errorf("message of %d bytes", len(err.Error()))
			}
		})
	}
	t.Run("key of a certificate in another vault", func(t *testing.T) {
		leaf := testpki.SelfSigned(t, "leaf", protocol.KeySpecEC256)
		front := b.NewFront(func(w http.ResponseWriter, r *http.Request) bool {
			body, err := json.Marshal(map[string]any{"cer": leaf.Cert.Raw, "kid": "https://elsewhere.vault.azure.net/keys/k/" + strings.Repeat("0", 32)})
			if err != nil {
				t.Error(err)
			}
			if !strings.Contains(r.URL.Path, "/certificates/") {
				return false
			}
			_, _ = w.Write(body)
			return true
		})
		_, err := plugintest.Sign(t, plugin(front), certificateID, b.as(b.app), true)
		plugintest.WantError(t, err, protocol.CodeGeneric, "elsewhere.vault.azure.net")
	})
}

// TestChallenge has vaults ask for tokens that are not for them.
func TestChallenge(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i, c := range []struct{ name, challenge, want string }{
		{"another service", `Bearer authorization="https://login.microsoftonline.com/` + testkeyvault.TenantID + `", resource="https://management.azure.com"`, "doesn't match the requested domain"},
		{"another vault service", `Bearer authorization="https://login.microsoftonline.com/` + testkeyvault.TenantID + `", resource="https://managedhsm.azure.net"`, "doesn't match the requested domain"},
		{"no resource", `Bearer authorization="https://login.microsoftonline.com/` + testkeyvault.TenantID + `"`, "resource"},
		{"another scheme", "Basic realm=vault", "resource"},
		{"authority that is none", `Bearer authorization="x", resource="https://vault.azure.net"`, "names no tenant"},
	} {
		t.Run(c.name, func(t *testing.T) {
			vault := b.NewVault(fmt.Sprintf("challenge-%d.vault.azure.net", i))
			vault.Challenge = c.challenge
			id := unversioned(vault.AddKey("k", testpki.FreshKey(t, protocol.KeySpecEC256)))
			_, err := plugintest.Sign(t, plugin(b.Front), id, b.as(b.app), true)
			plugintest.WantError(t, err, protocol.CodeGeneric, c.want)
			if strings.Contains(fmt.Sprint(err), "Disable") {
				t.Errorf("advises to switch off the check: %v", err)
			}
			if got := b.Requests(); !slices.Equal(got, []string{"challenge"}) {
				t.Errorf("requests %v", got)
			}
		})
	}
	t.Run("authority elsewhere", func(t *testing.T) {
		vault := b.NewVault("elsewhere.vault.azure.net")
		vault.Challenge = `Bearer authorization="https://login.evil.example/` + testkeyvault.TenantID + `", resource="https://vault.azure.net"`
		id := unversioned(vault.AddKey("k", testpki.FreshKey(t, protocol.KeySpecEC256)))
		plugintest.MustSign(t, plugin(b.Front), id, b.as(b.app), true) // the cloud's own authority gave the token
	})
}

func TestGivenUp(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	id := unversioned(b.vault.AddKey("k", testpki.FreshKey(t, protocol.KeySpecEC256)))
	ctx, cancel := context.WithCancel(t.Context())
	front := b.NewFront(func(w http.ResponseWriter, r *http.Request) bool {
		cancel()
		testservers.Hang(w, r)
		return true
	})
	_, err := New(Options{HTTP: front.Client()}).(protocol.KeyDescriber).DescribeKey(ctx, &protocol.DescribeKeyRequest{KeyID: id, PluginConfig: b.as(b.app)})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestExceptMetadata(t *testing.T) {
	proxy := &url.URL{Scheme: "http", Host: "proxy"}
	choose := exceptMetadata(func(*http.Request) (*url.URL, error) { return proxy, nil })
	for address, want := range map[string]*url.URL{
		"http://169.254.169.254/metadata/identity/oauth2/token": nil, "http://169.254.169.254:80/": nil,
		"https://acme.vault.azure.net/": proxy, "https://login.microsoftonline.com/": proxy,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := choose(r); got != want || err != nil {
			t.Errorf("%s: %v, %v", address, got, err)
		}
	}
}
