package vault

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/plugintest"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testservers"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

func TestMain(m *testing.M) {
	plugintest.Main(m, "vault", func() protocol.Plugin { return New(Options{Getenv: os.Getenv}) })
}

// keyTypes are the server's names of the key specs.
var keyTypes = map[protocol.KeySpec]string{
	protocol.KeySpecRSA2048: "rsa-2048", protocol.KeySpecRSA3072: "rsa-3072", protocol.KeySpecRSA4096: "rsa-4096",
	protocol.KeySpecEC256: "ecdsa-p256", protocol.KeySpecEC384: "ecdsa-p384", protocol.KeySpecEC521: "ecdsa-p521",
}

type object = map[string]any

// bench is an OpenBao server with a transit engine.
type bench struct {
	*testservers.Bao
	t *testing.T
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{testservers.OpenBao(t), t}
	b.Do(t, "POST", "sys/mounts/transit", object{"type": "transit"})
	return b
}

// create makes a transit key and returns its key id.
func (b *bench) create(name, kind string) string {
	b.t.Helper()
	b.Do(b.t, "POST", "transit/keys/"+name, object{"type": kind})
	return "transit/keys/" + name
}

// token makes a token that may do what the rules say, path to capability.
func (b *bench) token(rules map[string]string) string {
	b.t.Helper()
	name := fmt.Sprintf("policy-%d", policies.Add(1))
	b.policy(name, rules)
	return b.Do(b.t, "POST", "auth/token/create", object{"policies": []string{name}})["auth"].(object)["client_token"].(string)
}

var policies atomic.Int32

func (b *bench) policy(name string, rules map[string]string) {
	b.t.Helper()
	var text strings.Builder
	for path, capability := range rules {
		fmt.Fprintf(&text, "path %q { capabilities = [%q] }\n", path, capability)
	}
	b.Do(b.t, "POST", "sys/policies/acl/"+name, object{"policy": text.String()})
}

// patience is for busy machines; the environment of a test may say otherwise.
const patience = "VAULT_CLIENT_TIMEOUT=300s"

// warm is the plugin in this process, with an environment of its own.
func warm(env ...string) plugintest.InProcess {
	return plugintest.InProcess{Plugin: New(Options{Getenv: environ(append(env, patience)...)})}
}

func plugin(env ...string) *protocol.Client { return protocol.NewClient("vault", warm(env...)) }

func (b *bench) plugin(env ...string) *protocol.Client {
	return plugin(append(env, "VAULT_ADDR="+b.Addr, "VAULT_TOKEN="+b.Token)...)
}

// leaf issues a certificate for the latest version of a key.
func leaf(t *testing.T, client *protocol.Client, issuer *testpki.Entity, keyID string) *testpki.Entity {
	t.Helper()
	described, err := client.DescribeKey(t.Context(), &protocol.DescribeKeyRequest{KeyID: keyID})
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(described.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return issuer.LeafFor(t, "leaf", public)
}

func writeFile(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// answers is a server in front that answers requests to sign with a status.
func (b *bench) answers(t *testing.T, status int, header ...string) *testservers.Front {
	f := testservers.NewFront(t, b.Addr, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/sign/") {
			return false
		}
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, `{"errors":["injected fault"]}`)
		return true
	})
	f.Start()
	return f
}

// slow is a server in front that answers requests to sign with nothing.
func (b *bench) slow(t *testing.T) *testservers.Front {
	f := testservers.NewFront(t, b.Addr, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/sign/") {
			return false
		}
		testservers.Hang(w, r)
		return true
	})
	f.Start()
	return f
}

func TestOpenBao(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	keys := map[protocol.KeySpec]string{}
	for spec, kind := range keyTypes {
		keys[spec] = b.create(string(spec), kind)
	}
	b.create("symmetric", "aes256-gcm96")
	b.create("edwards", "ed25519")
	b.create("old", "ecdsa-p256")
	b.Do(t, "POST", "transit/keys/old/rotate", nil)
	b.Do(t, "POST", "transit/keys/old/config", object{"min_encryption_version": 2})
	at, root := "VAULT_ADDR="+b.Addr, "VAULT_TOKEN="+b.Token
	reader := b.token(map[string]string{"transit/keys/+": "read"})
	nobody := b.token(map[string]string{"none": "deny"})
	plugintest.Run(t, plugintest.Backend{
		Name: "vault", Transport: plugintest.Start(t, "vault", at, root, patience, "HOME="+t.TempDir()), Warm: warm(at, root), Keys: keys, MissingKey: "transit/keys/missing",
		Secrets: []string{b.Token, reader, nobody, "hvs.wrong"},
		Rotate:  func(t *testing.T, keyID string) { b.Do(t, "POST", keyID+"/rotate", nil) },
		Failures: []plugintest.Failure{
			{Name: "no permission to sign", Transport: warm(at, "VAULT_TOKEN="+reader), Code: protocol.CodeAccessDenied, Text: []string{"permission denied", `path "transit/sign/EC-256" { capabilities = ["update"] }`, b.Addr}},
			{Name: "no permission at all", Transport: warm(at, "VAULT_TOKEN="+nobody), Code: protocol.CodeAccessDenied, Text: []string{`path "transit/keys/EC-256" { capabilities = ["read"] }`}},
			{Name: "no such token", Transport: warm(at, "VAULT_TOKEN=hvs.wrong"), Code: protocol.CodeAccessDenied},
			{Name: "no token", Transport: warm(at), Code: protocol.CodeAccessDenied, Text: []string{"set VAULT_TOKEN"}},
			{Name: "key that encrypts", KeyID: "transit/keys/symmetric", Code: protocol.CodeValidation, Text: []string{"aes256-gcm96, which cannot sign"}},
			{Name: "key of another curve", KeyID: "transit/keys/edwards", Code: protocol.CodeValidation, Text: []string{"ed25519"}},
			{Name: "no such version", KeyID: keys[protocol.KeySpecEC256] + ":7", Code: protocol.CodeValidation, Text: []string{"version 7"}},
			{Name: "version too old to sign", KeyID: "transit/keys/old:1", Code: protocol.CodeValidation, Text: []string{"no version 1", "min_encryption_version is 2"}},
			{Name: "no such mount", KeyID: "elsewhere/keys/k", Code: protocol.CodeValidation, Text: []string{`no transit engine at "elsewhere"`}},
			{Name: "not a key id", KeyID: "release", Code: protocol.CodeValidation, Text: []string{"transit/keys/NAME"}},
			{Name: "server down", Transport: warm("VAULT_ADDR="+testservers.ClosedAddress(t), root), Code: protocol.CodeGeneric, Text: []string{"no answer", "refused"}},
			{Name: "server slow", Transport: warm("VAULT_ADDR="+b.slow(t).URL, root, "VAULT_CLIENT_TIMEOUT=5s"), Code: protocol.CodeTimeout, Text: []string{"5s"}},
			{Name: "throttled", Transport: warm("VAULT_ADDR="+b.answers(t, 429).URL, root), Code: protocol.CodeThrottled, Text: []string{"injected fault"}},
			{Name: "sealed", Transport: warm("VAULT_ADDR="+b.answers(t, 503).URL, root), Code: protocol.CodeGeneric, Text: []string{"sealed"}},
		},
	})
}

func TestRequests(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	keyID := b.create("k", "ecdsa-p256")
	chain := writeFile(t, leaf(t, b.plugin(), testpki.Root(t, "root"), keyID).ChainPEM())
	config := map[string]string{signer.ConfigCertificateChain: chain}
	front := testservers.NewFront(t, b.Addr, nil)
	front.Start()
	env := []string{"VAULT_ADDR=" + front.URL, "VAULT_TOKEN=" + b.Token}
	count := func(what string, want int32) {
		t.Helper()
		if got := front.Requests.Swap(0); got != want {
			t.Errorf("%s: %d requests, want %d", what, got, want)
		}
	}
	client := plugin(env...)
	if _, err := plugintest.Generate(t, client, keyID, protocol.KeySpecEC256, config, false); err != nil {
		t.Fatal(err)
	}
	count("generate-signature alone", 2)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := plugintest.Generate(t, client, keyID, protocol.KeySpecEC256, config, false); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	count("20 more in a warm session", 20)
	for _, status := range []int{429, 500, 502, 503, 504} {
		front := b.answers(t, status, "Retry-After", "1")
		if _, err := plugintest.Generate(t, plugin("VAULT_ADDR="+front.URL, "VAULT_TOKEN="+b.Token), keyID, protocol.KeySpecEC256, config, false); err == nil {
			t.Error("signed")
		}
		if got := front.Requests.Load(); got != 2 {
			t.Errorf("status %d: %d requests: the host owns retries", status, got)
		}
	}
}

func TestCertificatesOfTheServer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	client := b.plugin()
	keyID := b.create("k", "ecdsa-p256")
	root := testpki.Root(t, "root")
	first := leaf(t, client, root.Intermediate(t, "intermediate"), keyID)
	wantLeaf := func(t *testing.T, config map[string]string, want *testpki.Entity) {
		t.Helper()
		signed := plugintest.MustSign(t, b.plugin(), keyID, config, false)
		if len(signed.CertificateChain) != len(want.Chain()) || !bytes.Equal(signed.CertificateChain[0], want.Cert.Raw) {
			t.Errorf("%d certificates, or another leaf", len(signed.CertificateChain))
		}
	}
	t.Run("CERT-02 none", func(t *testing.T) {
		_, err := plugintest.Sign(t, b.plugin(), keyID, nil, false)
		plugintest.WantError(t, err, protocol.CodeValidation, "no certificate is known", signer.ConfigCertificateChain)
	})
	t.Run("CERT-02 kept with the key", func(t *testing.T) {
		b.Do(t, "POST", keyID+"/set-certificate", object{"version": 1, "certificate_chain": string(first.ChainPEM())})
		wantLeaf(t, nil, first)
	})
	t.Run("CERT-02 kept with an older version", func(t *testing.T) {
		b.Do(t, "POST", keyID+"/rotate", nil)
		wantLeaf(t, nil, first)
		_, err := plugintest.Sign(t, b.plugin(), keyID+":2", nil, false)
		plugintest.WantError(t, err, protocol.CodeValidation, "no certificate is known")
	})
	t.Run("CERT-02 file instead of what is kept with the key", func(t *testing.T) {
		second := root.LeafFor(t, "second", latest(t, b, keyID))
		wantLeaf(t, map[string]string{signer.ConfigCertificateChain: writeFile(t, second.ChainPEM())}, second)
	})
	t.Run("CERT-02 chain of no version", func(t *testing.T) {
		stranger := root.Leaf(t, "stranger", protocol.KeySpecEC256)
		_, err := plugintest.Sign(t, b.plugin(), keyID, map[string]string{signer.ConfigCertificateChain: writeFile(t, stranger.ChainPEM())}, false)
		plugintest.WantError(t, err, protocol.CodeValidation, "none of the 2 certificates is for one of its versions (2, 1)")
	})
	b.Do(t, "POST", "secret/data/signing/k", object{"data": object{"certificate_chain": string(first.ChainPEM()), "number": 1}})
	b.Do(t, "POST", "sys/mounts/old", object{"type": "kv", "options": object{"version": "1"}})
	b.Do(t, "POST", "old/k", object{"pem": string(first.ChainPEM()), "junk": "junk"})
	for path, want := range map[string]string{
		"secret/data/signing/k":        "",
		"old/k#pem":                    "",
		"secret/signing/k":             "data/",
		"secret/data/signing/k#number": `no text "number"`,
		"secret/data/signing/none":     "no text",
		"old/k#junk":                   "no PEM certificate",
	} {
		t.Run("CERT-02 KV "+path, func(t *testing.T) {
			config := map[string]string{ConfigKV: path}
			if want == "" {
				wantLeaf(t, config, first)
				return
			}
			_, err := plugintest.Sign(t, b.plugin(), keyID, config, false)
			plugintest.WantError(t, err, protocol.CodeValidation, want)
		})
	}
	t.Run("PLG-12 KV without permission", func(t *testing.T) {
		token := b.token(map[string]string{"transit/keys/k": "read", "transit/sign/k": "update"})
		_, err := plugintest.Sign(t, plugin("VAULT_ADDR="+b.Addr, "VAULT_TOKEN="+token), keyID, map[string]string{ConfigKV: "secret/data/signing/k"}, false)
		plugintest.WantError(t, err, protocol.CodeAccessDenied, `path "secret/data/signing/k" { capabilities = ["read"] }`)
	})
}

func latest(t *testing.T, b *bench, keyID string) any {
	t.Helper()
	described, err := b.plugin().DescribeKey(t.Context(), &protocol.DescribeKeyRequest{KeyID: keyID + ":2"})
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(described.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func TestLogin(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	keyID := b.create("k", "ecdsa-p256")
	b.policy("signer", map[string]string{"transit/keys/k": "read", "transit/sign/k": "update"})
	addr := "VAULT_ADDR=" + b.Addr

	t.Run("token file", func(t *testing.T) {
		plugintest.MustSign(t, plugin(addr), keyID, map[string]string{ConfigTokenFile: writeFile(t, []byte(b.Token+"\n"))}, true)
	})
	t.Run("approle", func(t *testing.T) {
		b.Do(t, "POST", "sys/auth/approle", object{"type": "approle"})
		b.Do(t, "POST", "auth/approle/role/ci", object{"token_policies": "signer", "token_ttl": "60s"})
		roleID := b.Do(t, "GET", "auth/approle/role/ci/role-id", nil)["data"].(object)["role_id"].(string)
		secretID := b.Do(t, "POST", "auth/approle/role/ci/secret-id", nil)["data"].(object)["secret_id"].(string)
		config := map[string]string{ConfigAuthMethod: "approle", ConfigRoleID: roleID}
		plugintest.MustSign(t, plugin(addr, "VAULT_SECRET_ID="+secretID), keyID, config, true)
		config[ConfigSecretIDFile] = writeFile(t, []byte(secretID+"\n"))
		plugintest.MustSign(t, plugin(addr), keyID, config, true)
		_, err := plugintest.Sign(t, plugin(addr, "VAULT_SECRET_ID=wrong-secret"), keyID, config, true)
		plugintest.WantError(t, err, protocol.CodeAccessDenied, "log in by approle", "auth/approle")
		if strings.Contains(err.Error(), "wrong-secret") {
			t.Error(err)
		}
		config[ConfigAuthMount] = "elsewhere"
		_, err = plugintest.Sign(t, plugin(addr, "VAULT_SECRET_ID="+secretID), keyID, config, true)
		plugintest.WantError(t, err, protocol.CodeAccessDenied, "auth/elsewhere")
	})
	t.Run("token that expires in a session", func(t *testing.T) {
		front := testservers.NewFront(t, b.Addr, nil)
		front.Start()
		roleID := b.Do(t, "GET", "auth/approle/role/ci/role-id", nil)["data"].(object)["role_id"].(string)
		secretID := b.Do(t, "POST", "auth/approle/role/ci/secret-id", nil)["data"].(object)["secret_id"].(string)
		var passed atomic.Int64
		client := protocol.NewClient("vault", plugintest.InProcess{Plugin: New(Options{
			Getenv: environ("VAULT_ADDR="+front.URL, "VAULT_AUTH_METHOD=approle", "VAULT_ROLE_ID="+roleID, "VAULT_SECRET_ID="+secretID),
			Now:    func() time.Time { return time.Unix(1e9, 0).Add(time.Duration(passed.Load())) },
		})})
		for _, step := range []struct {
			after time.Duration
			want  int32
		}{{0, 3}, {40 * time.Second, 1}, {20 * time.Second, 2}} { // log in, read, sign; sign; log in, sign
			passed.Add(int64(step.after))
			if _, err := plugintest.Generate(t, client, keyID, protocol.KeySpecEC256, nil, true); err != nil {
				t.Fatal(err)
			}
			if got := front.Requests.Swap(0); got != step.want {
				t.Errorf("after %s: %d requests, want %d", step.after, got, step.want)
			}
		}
	})
	key := testpki.FreshKey(t, protocol.KeySpecEC256).(*ecdsa.PrivateKey)
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}))
	token := mint(t, key, object{"iss": "https://ci.example.com", "sub": "build", "aud": "vault", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Add(-time.Minute).Unix()})
	t.Run("jwt", func(t *testing.T) {
		b.Do(t, "POST", "sys/auth/ci", object{"type": "jwt"})
		b.Do(t, "POST", "auth/ci/config", object{"jwt_validation_pubkeys": []string{publicPEM}})
		b.Do(t, "POST", "auth/ci/role/build", object{"role_type": "jwt", "user_claim": "sub", "bound_audiences": "vault", "bound_subject": "build", "token_policies": "signer"})
		config := map[string]string{ConfigAuthMethod: "jwt", ConfigAuthMount: "ci", ConfigAuthRole: "build"}
		plugintest.MustSign(t, plugin(addr, "BAO_JWT="+token), keyID, config, true)
		config[ConfigJWTFile] = writeFile(t, []byte(token))
		plugintest.MustSign(t, plugin(addr), keyID, config, true)
		_, err := plugintest.Sign(t, plugin(addr, "VAULT_JWT="+token[:len(token)-8]+"AAAAAAAA"), keyID, config, true)
		plugintest.WantError(t, err, protocol.CodeAccessDenied, "log in by jwt")
	})
	t.Run("kubernetes", func(t *testing.T) {
		// What a cluster answers to a TokenReview.
		cluster := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var review struct{ Spec struct{ Token string } }
			json.NewDecoder(r.Body).Decode(&review)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusCreated)
			json.NewEncoder(w).Encode(object{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": object{
				"authenticated": review.Spec.Token == token, "audiences": []string{"vault"}, "user": object{"username": "system:serviceaccount:ci:build", "uid": "1", "groups": []string{"system:serviceaccounts"}}}})
		}))
		defer cluster.Close()
		b.Do(t, "POST", "sys/auth/kubernetes", object{"type": "kubernetes"})
		b.Do(t, "POST", "auth/kubernetes/config", object{"kubernetes_host": cluster.URL, "kubernetes_ca_cert": string(testpki.Root(t, "cluster").CertPEM()), "token_reviewer_jwt": token, "disable_local_ca_jwt": true, "disable_iss_validation": true})
		b.Do(t, "POST", "auth/kubernetes/role/build", object{"bound_service_account_names": "build", "bound_service_account_namespaces": "ci", "token_policies": "signer", "audience": "vault"})
		account := mint(t, key, object{"iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:ci:build", "aud": []string{"vault"}, "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Add(-time.Minute).Unix(),
			"kubernetes.io": object{"namespace": "ci", "serviceaccount": object{"name": "build", "uid": "1"}}})
		token = account // the one that the cluster knows
		config := map[string]string{ConfigAuthMethod: "kubernetes", ConfigAuthRole: "build", ConfigJWTFile: writeFile(t, []byte(account))}
		plugintest.MustSign(t, plugin(addr), keyID, config, true)
		config[ConfigAuthRole] = "other"
		_, err := plugintest.Sign(t, plugin(addr), keyID, config, true)
		plugintest.WantError(t, err, protocol.CodeAccessDenied, "log in by kubernetes")
	})
	t.Run("namespace", func(t *testing.T) {
		b.Do(t, "POST", "sys/namespaces/team", object{})
		b.DoAs(t, b.Token, "team", "POST", "sys/mounts/transit", object{"type": "transit"})
		b.DoAs(t, b.Token, "team", "POST", "transit/keys/theirs", object{"type": "ecdsa-p256"})
		plugintest.MustSign(t, b.plugin("VAULT_NAMESPACE=team"), "transit/keys/theirs", nil, true)
		plugintest.MustSign(t, b.plugin(), "transit/keys/theirs", map[string]string{ConfigNamespace: "team"}, true)
		_, err := plugintest.Sign(t, b.plugin("VAULT_NAMESPACE=team"), keyID, nil, true)
		plugintest.WantError(t, err, protocol.CodeValidation, "namespace team")
	})
}

// mint makes a JSON Web Token.
func mint(t *testing.T, key *ecdsa.PrivateKey, claims object) string {
	t.Helper()
	part := func(v any) string {
		encoded, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(encoded)
	}
	text := part(object{"alg": "ES256", "typ": "JWT"}) + "." + part(claims)
	suite, _ := protocol.SuiteOf(protocol.KeySpecEC256)
	signature, err := signer.FromSigner(key).Sign(t.Context(), suite, signer.Digest(suite, []byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	keyID := b.create("k", "ecdsa-p256")
	root := testpki.Root(t, "clients")
	client := root.Leaf(t, "client", protocol.KeySpecEC256)
	keyPath, certPath := client.WriteFiles(t, t.TempDir(), "client")

	front := testservers.NewFront(t, b.Addr, nil)
	front.StartTLS()
	ca := writeFile(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}))
	token := "VAULT_TOKEN=" + b.Token
	t.Run("CA file", func(t *testing.T) {
		plugintest.MustSign(t, plugin("VAULT_ADDR="+front.URL, token), keyID, map[string]string{ConfigCACert: ca}, true)
		plugintest.MustSign(t, plugin("VAULT_ADDR="+front.URL, token, "BAO_CACERT="+ca), keyID, nil, true)
		plugintest.MustSign(t, plugin("VAULT_ADDR="+front.URL, token, "VAULT_CACERT="+ca, "VAULT_TLS_SERVER_NAME=example.com"), keyID, nil, true)
	})
	t.Run("unknown CA", func(t *testing.T) {
		_, err := plugintest.Sign(t, plugin("VAULT_ADDR="+front.URL, token), keyID, nil, true)
		plugintest.WantError(t, err, protocol.CodeGeneric, "VAULT_CACERT")
	})
	t.Run("another name", func(t *testing.T) {
		_, err := plugintest.Sign(t, plugin("VAULT_ADDR="+front.URL, token, "VAULT_CACERT="+ca, "VAULT_TLS_SERVER_NAME=other.test"), keyID, nil, true)
		plugintest.WantError(t, err, protocol.CodeGeneric, "other.test")
	})
	t.Run("client certificate", func(t *testing.T) {
		mutual := testservers.NewFront(t, b.Addr, nil)
		pool := x509.NewCertPool()
		pool.AddCert(root.Cert)
		mutual.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
		mutual.StartTLS()
		plugintest.MustSign(t, plugin("VAULT_ADDR="+mutual.URL, token, "VAULT_CACERT="+ca, "VAULT_CLIENT_CERT="+certPath, "VAULT_CLIENT_KEY="+keyPath), keyID, nil, true)
		_, err := plugintest.Sign(t, plugin("VAULT_ADDR="+mutual.URL, token, "VAULT_CACERT="+ca), keyID, nil, true)
		plugintest.WantError(t, err, protocol.CodeGeneric)
	})
	proxy := testservers.NewProxy(t, "example.com:443", front.Listener.Addr().String())
	t.Run("VAULT_PROXY_ADDR", func(t *testing.T) {
		plugintest.MustSign(t, plugin("VAULT_ADDR=https://example.com", token, "VAULT_CACERT="+ca, "VAULT_PROXY_ADDR="+proxy.URL), keyID, nil, true)
		if proxy.Tunnels.Swap(0) == 0 {
			t.Error("the proxy saw nothing")
		}
	})
}

// TestHostileServer asks servers that answer nonsense.
func TestHostileServer(t *testing.T) {
	t.Parallel()
	spec := protocol.KeySpecEC256
	spki, err := x509.MarshalPKIXPublicKey(testpki.Key(t, spec).Public())
	if err != nil {
		t.Fatal(err)
	}
	public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}))
	good := object{"data": object{"type": "ecdsa-p256", "supports_signing": true, "keys": object{"1": object{"public_key": public}}}}
	for _, c := range []struct {
		name   string
		status int
		key    any
		sign   any
		code   protocol.ErrorCode
		want   string
	}{
		{"another version signs", 200, good, object{"data": object{"signature": "vault:v2:AAAA"}}, protocol.CodeGeneric, "version 1 was to sign"},
		{"signature without a form", 200, good, object{"data": object{"signature": "AAAA"}}, protocol.CodeGeneric, "vault:vN"},
		{"signature not base64", 200, good, object{"data": object{"signature": "vault:v1:*"}}, protocol.CodeGeneric, "base64"},
		{"signature not DER", 200, good, object{"data": object{"signature": "vault:v1:AAAA"}}, protocol.CodeGeneric, "DER"},
		{"signature a number", 200, good, object{"data": object{"signature": 1}}, protocol.CodeGeneric, "vault:vN"},
		{"signature of another key", 200, good, object{"data": object{"signature": "vault:v1:MAYCAQECAQE="}}, protocol.CodeGeneric, "does not verify"},
		{"nothing signed", 200, good, object{}, protocol.CodeGeneric, "vault:vN"},
		{"version not a number", 200, object{"data": object{"supports_signing": true, "keys": object{"x": object{}}}}, nil, protocol.CodeGeneric, "not a version"},
		{"no versions", 200, object{"data": object{"supports_signing": true}}, nil, protocol.CodeValidation, "no version"},
		{"keys a list", 200, object{"data": object{"supports_signing": true, "keys": []int{1}}}, nil, protocol.CodeGeneric, "read key"},
		{"not JSON", 200, json.RawMessage(`"x`), nil, protocol.CodeGeneric, ""},
		{"a page", 502, json.RawMessage(`"` + strings.Repeat("<html>\n", 100)), nil, protocol.CodeGeneric, "502 Bad Gateway"},
		{"a long error", 400, object{"errors": []string{strings.Repeat("x\n", 1000)}}, nil, protocol.CodeValidation, "x x x"},
		{"a long answer", 200, object{"data": strings.Repeat("x", maxAnswer<<20)}, nil, protocol.CodeGeneric, "longer than 4 MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answer := c.key
				if strings.Contains(r.URL.Path, "/sign/") {
					answer = c.sign
				}
				w.WriteHeader(c.status)
				if raw, ok := answer.(json.RawMessage); ok {
					w.Write(raw)
					return
				}
				json.NewEncoder(w).Encode(answer)
			}))
			defer server.Close()
			_, err := plugintest.Sign(t, plugin("VAULT_ADDR="+server.URL, "VAULT_TOKEN=x"), "transit/keys/k", nil, true)
			plugintest.WantError(t, err, c.code, c.want)
			if err != nil && len(err.Error()) > 1000 {
				t.Errorf("message of %d bytes", len(err.Error()))
			}
		})
	}
}
