package awskms

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/signet-project/signet/internal/plugintest"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testservers"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

func TestMain(m *testing.M) {
	plugintest.Main(m, "awskms", func() protocol.Plugin { return New(Options{}) })
}

// keySpecs are the names that KMS has for key specs.
var keySpecs = map[protocol.KeySpec]string{
	protocol.KeySpecRSA2048: "RSA_2048", protocol.KeySpecRSA3072: "RSA_3072", protocol.KeySpecRSA4096: "RSA_4096",
	protocol.KeySpecEC256: "ECC_NIST_P256", protocol.KeySpecEC384: "ECC_NIST_P384", protocol.KeySpecEC521: "ECC_NIST_P521",
}

type object = map[string]any

const (
	signVerify = "SIGN_VERIFY"
	// secret is a secret access key that local-kms takes, like any other.
	secret = "wJalrXUtnFEMI-a-secret-of-the-test"
)

// alone is the environment of a plugin that finds nothing of this machine's.
func alone(t *testing.T) []string {
	none := filepath.Join(t.TempDir(), "none")
	return []string{"HOME=" + t.TempDir(), "AWS_CONFIG_FILE=" + none, "AWS_SHARED_CREDENTIALS_FILE=" + none, "AWS_EC2_METADATA_DISABLED=true"}
}

// known is alone with credentials.
func known(t *testing.T, more ...string) []string {
	return slices.Concat(alone(t), []string{"AWS_ACCESS_KEY_ID=AKIDTEST", "AWS_SECRET_ACCESS_KEY=" + secret}, more)
}

// process is the plugin in a process for each call, with credentials.
func process(t *testing.T, more ...string) *plugintest.Process {
	t.Helper()
	return plugintest.Start(t, "awskms", known(t, more...)...)
}

// warm is the plugin in this process, whose environment is set for the test.
func warm(t *testing.T) plugintest.InProcess {
	t.Helper()
	setenv(t, append(known(t), "AWS_PROFILE=", "AWS_REGION=", "AWS_DEFAULT_REGION=", "AWS_ENDPOINT_URL=", "AWS_ENDPOINT_URL_KMS=", "AWS_CA_BUNDLE=")...)
	return plugintest.InProcess{Plugin: New(Options{})}
}

func over(transport protocol.Transport) *protocol.Client {
	return protocol.NewClient("awskms", transport)
}

func setenv(t *testing.T, env ...string) {
	t.Helper()
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		t.Setenv(name, value)
	}
}

// at is the plugin configuration of keys behind an endpoint, and of tests that
// have time.
func at(kms *testservers.KMS, endpoint string) map[string]string {
	return map[string]string{ConfigRegion: kms.Region, ConfigEndpoint: endpoint, ConfigTimeout: "5m"}
}

// with is a configuration with one more entry.
func with(config map[string]string, name, value string) map[string]string {
	more := map[string]string{name: value}
	for name, value := range config {
		if _, ok := more[name]; !ok {
			more[name] = value
		}
	}
	return more
}

// generate signs with a P-256 key, for a CSR where the configuration has no chain.
func generate(t *testing.T, client *protocol.Client, keyID string, config map[string]string) (*protocol.GenerateSignatureResponse, error) {
	t.Helper()
	request := &protocol.GenerateSignatureRequest{
		KeyID: keyID, KeySpec: protocol.KeySpecEC256, Hash: protocol.HashSHA256, Payload: []byte("payload"), PluginConfig: config,
	}
	if config[signer.ConfigCertificateChain] == "" {
		request.Purpose = protocol.PurposeCSR
	}
	return client.GenerateSignature(t.Context(), request)
}

func mustGenerate(t *testing.T, client *protocol.Client, keyID string, config map[string]string) *protocol.GenerateSignatureResponse {
	t.Helper()
	signed, err := generate(t, client, keyID, config)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// leaf issues a certificate for a key and returns it with the file of its chain.
func leaf(t *testing.T, client *protocol.Client, issuer *testpki.Entity, keyID string, config map[string]string) (*testpki.Entity, string) {
	t.Helper()
	described, err := client.DescribeKey(t.Context(), &protocol.DescribeKeyRequest{KeyID: keyID, PluginConfig: config})
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(described.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	entity := issuer.LeafFor(t, "leaf", public)
	return entity, writeFile(t, entity.ChainPEM())
}

func writeFile(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// signing tells whether a request is one to sign.
func signing(r *http.Request) bool { return r.Header.Get("X-Amz-Target") == "TrentService.Sign" }

// answers is a server in front of KMS that answers requests to sign with a status
// and an error code; with a page where code is "".
func answers(t *testing.T, kms *testservers.KMS, status int, code, message string) *testservers.Front {
	f := testservers.NewFront(t, kms.URL, func(w http.ResponseWriter, r *http.Request) bool {
		if !signing(r) {
			return false
		}
		if code == "" {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			io.WriteString(w, "<html>\n"+message+"\n</html>")
			return true
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": message})
		return true
	})
	f.Start()
	return f
}

// slow is a server in front of KMS that never answers requests to sign.
func slow(t *testing.T, kms *testservers.KMS) *testservers.Front {
	f := testservers.NewFront(t, kms.URL, func(w http.ResponseWriter, r *http.Request) bool {
		if signing(r) {
			testservers.Hang(w, r)
		}
		return signing(r)
	})
	f.Start()
	return f
}

func TestKMS(t *testing.T) {
	kms := testservers.LocalKMS(t)
	keys := map[protocol.KeySpec]string{}
	for spec, name := range keySpecs {
		keys[spec] = kms.CreateKey(t, name, signVerify)
	}
	// The other forms of a key id.
	alias := func(name, key string) {
		kms.Do(t, "CreateAlias", object{"AliasName": "alias/" + name, "TargetKeyId": key})
	}
	alias("release", keys[protocol.KeySpecEC256])
	alias("team-a/release", keys[protocol.KeySpecEC384])
	prefix, id, _ := strings.Cut(keys[protocol.KeySpecEC521], "key/")
	keys[protocol.KeySpecEC256] = "alias/release"
	keys[protocol.KeySpecEC384] = prefix + "alias/team-a/release"
	keys[protocol.KeySpecEC521] = id

	disabled := kms.CreateKey(t, "ECC_NIST_P256", signVerify)
	kms.Do(t, "DisableKey", object{"KeyId": disabled})
	deleted := kms.CreateKey(t, "ECC_NIST_P256", signVerify)
	kms.Do(t, "ScheduleKeyDeletion", object{"KeyId": deleted, "PendingWindowInDays": 7})
	config := at(kms, kms.URL)
	limit := func(status int, code, message string) map[string]string {
		return with(nil, ConfigEndpoint, answers(t, kms, status, code, message).URL)
	}
	denied := "User: arn:aws:iam::111122223333:user/ci is not authorized to perform: kms:Sign on this resource"
	stdio := process(t)
	plugintest.Run(t, plugintest.Backend{
		Name: "awskms", Transport: stdio, Warm: warm(t), Keys: keys, Config: config,
		MissingKey: "alias/missing", Secrets: []string{secret},
		Failures: []plugintest.Failure{
			{Name: "no key of this id", KeyID: "01234567-89ab-cdef-0123-456789abcdef", Code: protocol.CodeValidation, Text: []string{"NotFoundException", "01234567", "us-east-2"}},
			{Name: "disabled key", KeyID: disabled, Code: protocol.CodeValidation, Text: []string{"DisabledException", "enable the key"}},
			{Name: "key disabled in the meantime", Config: limit(400, "DisabledException", keys[protocol.KeySpecEC256]+" is disabled."), Code: protocol.CodeValidation, Text: []string{"sign with key alias/release", "is disabled"}},
			{Name: "key about to be deleted", KeyID: deleted, Code: protocol.CodeValidation, Text: []string{"KMSInvalidStateException", "pending deletion"}},
			{Name: "symmetric key", KeyID: kms.CreateKey(t, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"), Code: protocol.CodeValidation, Text: []string{"not an asymmetric key"}},
			{Name: "HMAC key", KeyID: kms.CreateKey(t, "HMAC_256", "GENERATE_VERIFY_MAC"), Code: protocol.CodeValidation, Text: []string{"not an asymmetric key"}},
			{Name: "key that encrypts", KeyID: kms.CreateKey(t, "RSA_2048", "ENCRYPT_DECRYPT"), Code: protocol.CodeValidation, Text: []string{"usage is ENCRYPT_DECRYPT, not SIGN_VERIFY"}},
			{Name: "key of another curve", KeyID: kms.CreateKey(t, "ECC_SECG_P256K1", signVerify), Code: protocol.CodeValidation, Text: []string{"ECC_SECG_P256K1", "ECC_NIST_P521"}},
			{Name: "not a key id", KeyID: "release key", Code: protocol.CodeValidation, Text: []string{"alias/NAME"}},
			{Name: "ARN of another region", KeyID: "arn:aws:kms:eu-west-1:111122223333:alias/release", Code: protocol.CodeValidation, Text: []string{"us-east-2", "eu-west-1"}},
			{Name: "no permission to sign", Config: limit(400, "AccessDeniedException", denied), Code: protocol.CodeAccessDenied, Text: []string{"alias/release", "region us-east-2", "kms:Sign is missing", "user/ci"}},
			{Name: "server down", Config: with(nil, ConfigEndpoint, testservers.ClosedAddress(t)), Code: protocol.CodeGeneric, Text: []string{"no answer", "refused"}},
			{Name: "server slow", Config: with(with(nil, ConfigEndpoint, slow(t, kms).URL), ConfigTimeout, "5s"), Code: protocol.CodeTimeout, Text: []string{"no answer within 5s"}},
			{Name: "throttled", Config: limit(400, "ThrottlingException", "Rate exceeded"), Code: protocol.CodeThrottled, Text: []string{"Rate exceeded"}},
			{Name: "over a limit", Config: limit(400, "LimitExceededException", "too much"), Code: protocol.CodeThrottled, Text: []string{"too much"}},
			{Name: "service fails", Config: limit(500, "KMSInternalException", "oh\nno"), Code: protocol.CodeGeneric, Text: []string{"KMSInternalException, oh no"}},
			{Name: "a page of a proxy", Config: limit(403, "", "Blocked"), Code: protocol.CodeAccessDenied, Text: []string{"not one of AWS", "403 Forbidden"}},
			{Name: "no credentials", Transport: plugintest.Start(t, "awskms", alone(t)...), Code: protocol.CodeAccessDenied, Text: []string{"AWS_PROFILE", "AWS_ACCESS_KEY_ID", "alias/release", "us-east-2"}},
			{Name: "no such profile", Config: with(nil, ConfigProfile, "nobody"), Code: protocol.CodeValidation, Text: []string{"AWS configuration", "nobody"}},
			{Name: "no region", Config: with(nil, ConfigRegion, ""), Code: protocol.CodeValidation, Text: []string{"no AWS region is known", "AWS_REGION"}},
			{Name: "CA file missing", Transport: process(t, "AWS_CA_BUNDLE=/does/not/exist"), Code: protocol.CodeValidation, Text: []string{"/does/not/exist"}},
		},
	})
	if printed := stdio.Printed(); strings.Contains(printed, "SDK ") {
		t.Errorf("the SDK printed %q", printed)
	}
}

// recorder notes the key of each request, in order.
type recorder struct {
	mu   sync.Mutex
	keys []string
}

func (r *recorder) note(request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	request.Body = io.NopCloser(bytes.NewReader(body))
	var in struct{ KeyId string }
	_ = json.Unmarshal(body, &in)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = append(r.keys, strings.TrimPrefix(request.Header.Get("X-Amz-Target"), "TrentService.")+" "+in.KeyId)
}

func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := r.keys
	r.keys = nil
	return keys
}

func TestRequests(t *testing.T) {
	kms := testservers.LocalKMS(t)
	arn := kms.CreateKey(t, "ECC_NIST_P256", signVerify)
	kms.Do(t, "CreateAlias", object{"AliasName": "alias/k", "TargetKeyId": arn})
	_, chain := leaf(t, over(warm(t)), testpki.Root(t, "root"), arn, at(kms, kms.URL))
	var seen recorder
	front := testservers.NewFront(t, kms.URL, func(_ http.ResponseWriter, r *http.Request) bool { seen.note(r); return false })
	front.Start()
	config := with(at(kms, front.URL), signer.ConfigCertificateChain, chain)
	want := func(what string, want ...string) {
		t.Helper()
		if got := seen.take(); !slices.Equal(got, want) {
			t.Errorf("%s: requests %q, want %q", what, got, want)
		}
	}
	stdio, session := over(process(t)), over(warm(t))
	mustGenerate(t, stdio, "alias/k", config)
	want("a process", "GetPublicKey alias/k", "Sign "+arn)
	if _, err := stdio.DescribeKey(t.Context(), &protocol.DescribeKeyRequest{KeyID: "alias/k", PluginConfig: config}); err != nil {
		t.Fatal(err)
	}
	want("describe-key", "GetPublicKey alias/k")
	mustGenerate(t, session, "alias/k", config)
	want("first in a session", "GetPublicKey alias/k", "Sign "+arn)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := generate(t, session, "alias/k", config); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	want("20 more in the session", slices.Repeat([]string{"Sign " + arn}, 20)...)

	for status, code := range map[int]string{400: "ThrottlingException", 429: "TooManyRequestsException", 500: "KMSInternalException", 502: "", 503: "ServiceUnavailable", 504: ""} {
		front := answers(t, kms, status, code, "injected fault")
		if _, err := generate(t, stdio, "alias/k", with(config, ConfigEndpoint, front.URL)); err == nil {
			t.Error("signed")
		}
		if got := front.Requests.Load(); got != 2 {
			t.Errorf("status %d: %d requests: the host owns retries", status, got)
		}
	}
}

// TestAlias points an alias at another key.
func TestAlias(t *testing.T) {
	kms := testservers.LocalKMS(t)
	first, second := kms.CreateKey(t, "ECC_NIST_P256", signVerify), kms.CreateKey(t, "ECC_NIST_P256", signVerify)
	kms.Do(t, "CreateAlias", object{"AliasName": "alias/k", "TargetKeyId": first})
	point := func(key string) { kms.Do(t, "UpdateAlias", object{"AliasName": "alias/k", "TargetKeyId": key}) }
	config, root := at(kms, kms.URL), testpki.Root(t, "root")
	firstLeaf, firstChain := leaf(t, over(warm(t)), root, first, config)
	secondLeaf, secondChain := leaf(t, over(warm(t)), root, second, config)
	stdio, session := over(process(t)), over(warm(t))
	sign := func(client *protocol.Client, endpoint, chain string, want *testpki.Entity) {
		t.Helper()
		signed := mustGenerate(t, client, "alias/k", with(at(kms, endpoint), signer.ConfigCertificateChain, chain))
		suite, _ := protocol.SuiteOf(protocol.KeySpecEC256)
		if err := signer.Verify(want.Cert.PublicKey, suite, signer.Digest(suite, []byte("payload")), signed.Signature); err != nil {
			t.Error(err)
		}
		if !bytes.Equal(signed.CertificateChain[0], want.Cert.Raw) {
			t.Error("another leaf")
		}
	}
	sign(session, kms.URL, firstChain, firstLeaf)
	t.Run("between the two requests of a signature", func(t *testing.T) {
		front := testservers.NewFront(t, kms.URL, func(_ http.ResponseWriter, r *http.Request) bool {
			if signing(r) {
				point(second)
			}
			return false
		})
		front.Start()
		sign(stdio, front.URL, firstChain, firstLeaf)
	})
	t.Run("with the chain of the old key", func(t *testing.T) {
		_, err := generate(t, stdio, "alias/k", with(config, signer.ConfigCertificateChain, firstChain))
		plugintest.WantError(t, err, protocol.CodeValidation, "none of the 2 certificates found belongs to key alias/k")
	})
	t.Run("with the chain of the new key", func(t *testing.T) { sign(stdio, kms.URL, secondChain, secondLeaf) })
	t.Run("with both chains", func(t *testing.T) {
		both := writeFile(t, append(firstLeaf.ChainPEM(), secondLeaf.ChainPEM()...))
		sign(stdio, kms.URL, both, secondLeaf)
		point(first)
		sign(stdio, kms.URL, both, firstLeaf)
		point(second)
	})
	t.Run("in a session that knows the old key", func(t *testing.T) { sign(session, kms.URL, firstChain, firstLeaf) })
}

// network is a KMS behind TLS of a corporate authority, and a proxy.
type network struct {
	kms   *testservers.KMS
	front *testservers.Front
	proxy *testservers.Proxy
	arn   string
	// ca is the authority's file, port where the front listens.
	ca, port string
	config   map[string]string
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{kms: testservers.LocalKMS(t), config: map[string]string{ConfigTimeout: "5m"}}
	n.arn = n.kms.CreateKey(t, "ECC_NIST_P256", signVerify)
	// What has this name is never asked for by name: the proxy connects.
	const host = "kms.us-east-2.amazonaws.com"
	root := testpki.Root(t, "corporate root")
	n.front = testservers.NewFront(t, n.kms.URL, nil)
	server := testpki.Issue(t, root, testpki.FreshKey(t, protocol.KeySpecEC256), &x509.Certificate{
		DNSNames: []string{host}, IPAddresses: []net.IP{net.IPv4zero}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	n.front.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: server.RawChain(), PrivateKey: server.Key}}}
	n.front.StartTLS()
	_, n.port, _ = net.SplitHostPort(n.front.Listener.Addr().String())
	n.proxy = testservers.NewProxy(t, host+":443", n.front.Listener.Addr().String())
	n.ca = writeFile(t, root.CertPEM())
	return n
}

// process is the plugin with the proxy.
func (n *network) process(t *testing.T, more ...string) *plugintest.Process {
	t.Helper()
	return process(t, append([]string{"HTTPS_PROXY=" + n.proxy.URL}, more...)...)
}

func TestNetwork(t *testing.T) {
	n := newNetwork(t)
	t.Run("proxy and AWS_CA_BUNDLE, region of the ARN", func(t *testing.T) {
		mustGenerate(t, over(n.process(t, "AWS_CA_BUNDLE="+n.ca)), n.arn, n.config)
		if n.proxy.Tunnels.Swap(0) == 0 || n.front.Requests.Swap(0) != 2 {
			t.Error("not through the proxy")
		}
	})
	t.Run("CA and region of a profile", func(t *testing.T) {
		_, id, _ := strings.Cut(n.arn, "key/")
		file := writeFile(t, fmt.Appendf(nil, "[profile corporate]\nregion = %s\nca_bundle = %s\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = %s\n", n.kms.Region, n.ca, secret))
		mustGenerate(t, over(n.process(t, "AWS_CONFIG_FILE="+file)), id, with(n.config, ConfigProfile, "corporate"))
	})
	t.Run("unknown CA", func(t *testing.T) {
		other := writeFile(t, testpki.Root(t, "other").CertPEM())
		_, err := generate(t, over(n.process(t, "AWS_CA_BUNDLE="+other)), n.arn, n.config)
		plugintest.WantError(t, err, protocol.CodeGeneric, "AWS_CA_BUNDLE", "unknown authority")
	})
	t.Run("proxy that refuses", func(t *testing.T) {
		_, err := generate(t, over(n.process(t)), strings.Replace(n.arn, n.kms.Region, "eu-west-1", 1), n.config)
		plugintest.WantError(t, err, protocol.CodeGeneric, "no answer", "eu-west-1", "Forbidden")
	})
}
