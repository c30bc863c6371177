//go:build cgo

package pkcs11

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	cryptoki "github.com/miekg/pkcs11"

	"github.com/signet-project/signet/internal/plugintest"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testservers"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
	"github.com/signet-project/signet/protocol/stdio"
)

// bench is a token with keys and the plugin in front of it.
type bench struct {
	*testservers.HSM
	t      *testing.T
	plugin *plugintest.Process
}

func newBench(t *testing.T, settings ...string) *bench {
	t.Helper()
	hsm := testservers.SoftHSM(t, settings...)
	env := append([]string{hsm.ConfigEnv, EnvModulePath + "=" + hsm.ModulePath, "LOCK_DIR=" + t.TempDir()}, hsm.Env...)
	return &bench{hsm, t, plugintest.Start(t, "pkcs11", env...)}
}

// with is the plugin with the right PIN and more in its environment.
func (b *bench) with(env ...string) *plugintest.Process {
	return b.plugin.With(append([]string{EnvPIN + "=" + b.PIN}, env...)...)
}

// keyID is the id of a key on the token.
func (b *bench) keyID(attributes string) string {
	return "pkcs11:token=" + b.TokenLabel + ";" + attributes
}

// write puts a certificate on the token.
func (b *bench) write(e *testpki.Entity, label, id string) {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "cert.der")
	if err := os.WriteFile(path, e.Cert.Raw, 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.Tool(b.t, "--write-object", path, "--type", "cert", "--label", label, "--id", id)
}

// generate makes the token make a P-256 key pair, in a process of its own: this
// one can't load the module for several tests at once.
func (b *bench) generate(label string, maySign bool) {
	b.t.Helper()
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.CommandContext(b.t.Context(), self)
	cmd.Env = append(os.Environ(), append(b.Env, b.ConfigEnv, EnvPIN+"="+b.PIN, "GENERATE="+label,
		"GENERATE_MODULE="+b.ModulePath, fmt.Sprintf("GENERATE_SIGN=%t", maySign))...)
	if output, err := cmd.CombinedOutput(); err != nil {
		b.t.Fatalf("%v\n%s", err, output)
	}
}

func init() {
	label := os.Getenv("GENERATE")
	if label == "" {
		return
	}
	ctx := cryptoki.New(os.Getenv("GENERATE_MODULE"))
	check := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	check(ctx.Initialize())
	slots, err := ctx.GetSlotList(true)
	check(err)
	session, err := ctx.OpenSession(slots[0], cryptoki.CKF_SERIAL_SESSION|cryptoki.CKF_RW_SESSION)
	check(err)
	check(ctx.Login(session, cryptoki.CKU_USER, os.Getenv(EnvPIN)))
	_, _, err = ctx.GenerateKeyPair(session, []*cryptoki.Mechanism{cryptoki.NewMechanism(cryptoki.CKM_EC_KEY_PAIR_GEN, nil)},
		[]*cryptoki.Attribute{
			cryptoki.NewAttribute(cryptoki.CKA_TOKEN, true), cryptoki.NewAttribute(cryptoki.CKA_LABEL, label), cryptoki.NewAttribute(cryptoki.CKA_ID, []byte(label)),
			cryptoki.NewAttribute(cryptoki.CKA_EC_PARAMS, []byte("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07")),
		}, []*cryptoki.Attribute{
			cryptoki.NewAttribute(cryptoki.CKA_TOKEN, true), cryptoki.NewAttribute(cryptoki.CKA_LABEL, label), cryptoki.NewAttribute(cryptoki.CKA_ID, []byte(label)),
			cryptoki.NewAttribute(cryptoki.CKA_SIGN, os.Getenv("GENERATE_SIGN") == "true"),
		})
	check(err)
	check(ctx.Finalize())
	os.Exit(0)
}

// sign describes a key and signs with it, for a CSR or with its chain.
func sign(t *testing.T, transport protocol.Transport, keyID string, config map[string]string, csr bool) (*protocol.GenerateSignatureResponse, error) {
	t.Helper()
	client := protocol.NewClient("pkcs11", transport)
	described, err := client.DescribeKey(t.Context(), &protocol.DescribeKeyRequest{KeyID: keyID, PluginConfig: config})
	if err != nil {
		return nil, err
	}
	suite, _ := protocol.SuiteOf(described.KeySpec)
	request := &protocol.GenerateSignatureRequest{KeyID: keyID, KeySpec: described.KeySpec, Hash: suite.Hash, Payload: []byte("payload"), PluginConfig: config}
	if csr {
		request.Purpose = protocol.PurposeCSR
	}
	return client.GenerateSignature(t.Context(), request)
}

func mustSign(t *testing.T, transport protocol.Transport, keyID string, csr bool) *protocol.GenerateSignatureResponse {
	t.Helper()
	signed, err := sign(t, transport, keyID, nil, csr)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func wantFailure(t *testing.T, transport protocol.Transport, keyID string, code protocol.ErrorCode, text ...string) {
	t.Helper()
	_, err := sign(t, transport, keyID, nil, true)
	plugintest.WantError(t, err, code, text...)
}

func TestSoftHSM(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	keys := map[protocol.KeySpec]string{}
	for i, spec := range testpki.Specs {
		b.Import(t, testpki.Key(t, spec), string(spec), fmt.Sprintf("%02d", i))
		keys[spec] = b.keyID("object=" + string(spec))
	}
	pinFile := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(pinFile, []byte("0000"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.generate("verify-only", false)
	plugintest.Run(t, plugintest.Backend{
		Name: "pkcs11", Transport: b.with(), Keys: keys, MissingKey: b.keyID("object=missing"), Secrets: []string{b.PIN + "\"", "9876"},
		Failures: []plugintest.Failure{
			{Name: "key not allowed to sign", KeyID: b.keyID("object=verify-only"), Code: protocol.CodeAccessDenied, Text: []string{"CKR_KEY_FUNCTION_NOT_PERMITTED", "object=verify-only", b.TokenLabel}},
			{Name: "wrong PIN", Transport: b.with(EnvPIN + "=9876"), Code: protocol.CodeAccessDenied, Text: []string{"CKR_PIN_INCORRECT", b.TokenLabel}},
			{Name: "wrong PIN in a file", Config: map[string]string{ConfigPINSource: pinFile}, Code: protocol.CodeAccessDenied, Text: []string{"CKR_PIN_INCORRECT"}},
			{Name: "no PIN", Transport: b.plugin, Code: protocol.CodeAccessDenied, Text: []string{"needs a PIN"}},
			{Name: "missing token", KeyID: "pkcs11:token=other;object=k", Code: protocol.CodeValidation, Text: []string{`token "other"`, `but "signet-test"`}},
			{Name: "missing module", KeyID: b.keyID("object=EC-256") + "?module-path=/does/not/exist.so", Code: protocol.CodeValidation, Text: []string{"/does/not/exist.so"}},
			{Name: "not a module", KeyID: b.keyID("object=EC-256") + "?module-path=libc.so.6", Code: protocol.CodeValidation, Text: []string{"libc.so.6", "no PKCS #11 library for"}},
		},
	})
}

func TestKeyIDs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	root := testpki.Root(t, "root")
	first, second := testpki.FreshKey(t, protocol.KeySpecEC256), testpki.FreshKey(t, protocol.KeySpecEC256)
	b.Import(t, first, "release", "a1")
	b.Import(t, second, "release", "b2")

	t.Run("several keys match", func(t *testing.T) {
		wantFailure(t, b.with(), b.keyID("object=release"), protocol.CodeValidation, "2 keys", "id=%a1", "id=%b2")
	})
	t.Run("by id", func(t *testing.T) {
		mustSign(t, b.with(), b.keyID("id=%B2"), true)
		mustSign(t, b.with(), "pkcs11:id=%B2;type=private", true)
		mustSign(t, b.with(), b.keyID("manufacturer=SoftHSM%20project;model=SoftHSM%20v2;library-description=Implementation%20of%20PKCS11;id=%B2"), true)
	})
	t.Run("by the certificate", func(t *testing.T) {
		leaf := testpki.Issue(t, root, second, root.LeafFor(t, "x", second.Public()).Cert)
		path := filepath.Join(t.TempDir(), "chain.pem")
		if err := os.WriteFile(path, leaf.ChainPEM(), 0o600); err != nil {
			t.Fatal(err)
		}
		signed, err := sign(t, b.with(), b.keyID("object=release"), map[string]string{signer.ConfigCertificateChain: path}, false)
		if err != nil || !bytes.Equal(signed.CertificateChain[0], leaf.Cert.Raw) {
			t.Error(err)
		}
	})
	t.Run("PIN from the key id's pin-source", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "pin")
		if err := os.WriteFile(path, []byte(b.PIN+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		mustSign(t, b.plugin, b.keyID("id=%a1")+"?pin-source=file:"+path, true)
	})
	t.Run("several tokens match", func(t *testing.T) {
		b.AddToken(t, b.TokenLabel)
		wantFailure(t, b.with(), b.keyID("id=%a1"), protocol.CodeValidation, "2 tokens match", "serial")
		wantFailure(t, b.with(), "pkcs11:id=%a1", protocol.CodeValidation, "2 tokens match")
	})
}

func TestCertificatesOnToken(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	root := testpki.Root(t, "root")
	issuer := root.Intermediate(t, "issuer")
	leaf := issuer.Leaf(t, "leaf", protocol.KeySpecEC256)
	b.Import(t, leaf.Key, "release", "01")
	b.write(leaf, "release certificate", "01")
	b.write(testpki.Root(t, "unrelated"), "unrelated", "77")
	wantFailure := func(t *testing.T, text string) {
		t.Helper()
		_, err := sign(t, b.with(), b.keyID("object=release"), nil, false)
		plugintest.WantError(t, err, protocol.CodeValidation, text)
	}
	t.Run("CERT-02 leaf alone", func(t *testing.T) { wantFailure(t, `add the certificate of "CN=issuer,`) })
	t.Run("CERT-02 issuers in a file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "issuers.pem")
		if err := os.WriteFile(path, issuer.ChainPEM(), 0o600); err != nil {
			t.Fatal(err)
		}
		signed, err := sign(t, b.with(), b.keyID("object=release"), map[string]string{signer.ConfigCertificateChain: path}, false)
		if err != nil || len(signed.CertificateChain) != 3 {
			t.Error(err)
		}
	})
	b.write(root, "root", "03")
	b.write(issuer, "issuer", "02")
	t.Run("CERT-02 complete", func(t *testing.T) {
		signed := mustSign(t, b.with(), b.keyID("object=release"), false)
		for i, want := range leaf.RawChain() {
			if !bytes.Equal(signed.CertificateChain[i], want) {
				t.Errorf("certificate %d is another one", i)
			}
		}
	})
	t.Run("no public object, certificate found by id", func(t *testing.T) {
		b.Tool(t, "--delete-object", "--type", "pubkey", "--id", "01")
		mustSign(t, b.with(), b.keyID("id=%01"), false)
		mustSign(t, b.with(), b.keyID("object=release"), false) // the label of the private key
		mustSign(t, b.with(), b.keyID("object=release%20certificate"), false)
	})
}

func TestPrivateKeyAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.Import(t, testpki.Key(t, protocol.KeySpecRSA2048), "rsa", "01")
	b.Import(t, testpki.Key(t, protocol.KeySpecEC256), "ec", "02")
	b.Tool(t, "--delete-object", "--type", "pubkey", "--id", "01")
	b.Tool(t, "--delete-object", "--type", "pubkey", "--id", "02")
	mustSign(t, b.with(), b.keyID("object=rsa"), true) // an RSA private key tells its public half
	wantFailure(t, b.with(), b.keyID("object=ec"), protocol.CodeValidation, "neither public key nor certificate", "id=%02")
}

func TestAlwaysAuthenticate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.Tool(t, "--keypairgen", "--key-type", "EC:prime256v1", "--label", "signing", "--id", "9c", "--always-auth", "--usage-sign")
	logins := filepath.Join(t.TempDir(), "logins")
	mustSign(t, b.faulty("none", "FAULT_LOGINS="+logins), b.keyID("object=signing"), true)
	if got := size(logins); got != 2 {
		t.Errorf("%d logins, want one to the token and one for the signature", got)
	}
}

// size is that of a file, 0 without one.
func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// TestSession signs many times in one process. It is not parallel, because the
// module reads the process's environment.
func TestSession(t *testing.T) {
	b := newBench(t)
	leaf := testpki.Root(t, "root").Leaf(t, "leaf", protocol.KeySpecEC256)
	b.Import(t, leaf.Key, "key", "01")
	b.Import(t, testpki.Key(t, protocol.KeySpecRSA2048), "rsa", "02")
	b.write(leaf, "leaf", "01")
	b.write(leaf.Issuer, "root", "03")
	name, value, _ := strings.Cut(b.ConfigEnv, "=")
	t.Setenv(name, value)
	logins := filepath.Join(t.TempDir(), "logins")
	module := b.ModulePath
	if runtime.GOOS != "windows" {
		module = faultyModule(t)
		t.Setenv("FAULT_MODULE", b.ModulePath)
		t.Setenv("FAULT_LOGINS", logins)
	}
	p := New(Options{Getenv: func(name string) string { return map[string]string{EnvPIN: b.PIN, EnvModulePath: module}[name] }})
	transport := plugintest.InProcess{Plugin: p}
	many := func() {
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				label := []string{"key", "rsa"}[i%2]
				if _, err := sign(t, transport, b.keyID("object="+label), nil, true); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	many()
	if got := size(logins); module != b.ModulePath && got != 1 {
		t.Errorf("%d logins", got)
	}
	for _, m := range p.modules.loaded { // as when the token is pulled and comes back
		for _, tok := range m.tokens {
			if tok.open > maxSessions {
				t.Errorf("%d sessions", tok.open)
			}
			if err := m.CloseAllSessions(tok.slot.id); err != nil {
				t.Error(err)
			}
		}
	}
	many()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	next := New(p.options)
	if _, err := sign(t, plugintest.InProcess{Plugin: next}, b.keyID("object=key"), nil, false); err != nil {
		t.Errorf("after Close, with a new plugin: %v", err)
	}
	// A module that stays initialised would go on with this test's token.
	if err := next.Close(); err != nil {
		t.Error(err)
	}
}

func TestHashingOnToken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		setting string
		spec    protocol.KeySpec
		want    string
	}{
		"RSA":           {"slots.mechanisms = -CKM_RSA_PKCS_PSS", protocol.KeySpecRSA3072, ""},
		"neither":       {"slots.mechanisms = CKM_RSA_PKCS,CKM_SHA256_RSA_PKCS_PSS", protocol.KeySpecRSA3072, "RSASSA-PSS-SHA-384"},
		"EC has no way": {"slots.mechanisms = CKM_RSA_PKCS_PSS", protocol.KeySpecEC256, "ECDSA-SHA-256"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.Import(t, testpki.Key(t, c.spec), "key", "01")
			config, err := os.ReadFile(strings.TrimPrefix(b.ConfigEnv, "SOFTHSM2_CONF="))
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "restricted.conf")
			if err := os.WriteFile(path, append(config, (c.setting+"\n")...), 0o600); err != nil {
				t.Fatal(err)
			}
			plugin := b.with("SOFTHSM2_CONF=" + path)
			if c.want != "" {
				wantFailure(t, plugin, b.keyID("object=key"), protocol.CodeValidation, c.want, b.TokenLabel)
				return
			}
			mustSign(t, plugin, b.keyID("object=key"), true)
		})
	}
}

// faulty compiles testdata/faults.c and returns the plugin with that module in
// front of SoftHSM's.
func (b *bench) faulty(fault string, env ...string) *plugintest.Process {
	b.t.Helper()
	if runtime.GOOS == "windows" {
		b.t.Skip("the module in front is for systems with dlopen")
	}
	return b.with(append([]string{EnvModulePath + "=" + faultyModule(b.t), "FAULT_MODULE=" + b.ModulePath, "FAULT=" + fault}, env...)...)
}

var compiled = struct {
	sync.Mutex
	path string
}{}

func faultyModule(t *testing.T) string {
	t.Helper()
	compiled.Lock()
	defer compiled.Unlock()
	if compiled.path != "" {
		return compiled.path
	}
	header, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/miekg/pkcs11").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "signet-faults") // outlives this test, for the next ones
	if err != nil {
		t.Fatal(err)
	}
	compiler := cmp.Or(os.Getenv("CC"), "cc")
	path := filepath.Join(dir, "faults.so")
	output, err := exec.CommandContext(t.Context(), compiler, "-shared", "-fPIC", "-I", strings.TrimSpace(string(header)),
		"-o", path, filepath.Join("testdata", "faults.c"), "-ldl").CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", compiler, err, output)
	}
	compiled.path = path
	return path
}

func TestFaults(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.Import(t, testpki.Key(t, protocol.KeySpecEC256), "key", "01")
	keyID := b.keyID("object=key")
	t.Run("token lost and back", func(t *testing.T) { mustSign(t, b.faulty("lost"), keyID, true) })
	t.Run("write-protected token", func(t *testing.T) { mustSign(t, b.faulty("readonly"), keyID, true) })
	t.Run("PLG-12 all sessions in use", func(t *testing.T) {
		wantFailure(t, b.faulty("sessions"), keyID, protocol.CodeThrottled, "sessions are in use", b.TokenLabel)
	})
	t.Run("PLG-12 cancelled at the token", func(t *testing.T) {
		wantFailure(t, b.faulty("nologin"), keyID, protocol.CodeAccessDenied, "CKR_FUNCTION_CANCELED")
	})
	t.Run("module crashes", func(t *testing.T) {
		_, err := sign(t, b.faulty("crash"), keyID, nil, true)
		if _, ok := errors.AsType[*stdio.ExitError](err); !ok {
			t.Error(err)
		}
	})
	t.Run("module hangs", func(t *testing.T) {
		plugin := b.faulty("hang")
		plugin.Timeout, plugin.Grace = 2*time.Second, 10*time.Second
		started := time.Now()
		_, err := sign(t, plugin, keyID, nil, true)
		if _, ok := errors.AsType[*stdio.TimeoutError](err); !ok || time.Since(started) > 30*time.Second {
			t.Errorf("%v after %s", err, time.Since(started))
		}
	})
}

func TestLockout(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.Import(t, testpki.Key(t, protocol.KeySpecEC256), "key", "01")
	keyID := b.keyID("object=key")
	tries, logins := filepath.Join(t.TempDir(), "tries"), filepath.Join(t.TempDir(), "logins")
	wrong := b.faulty("tries", "FAULT_TRIES="+tries, "FAULT_LOGINS="+logins, EnvPIN+"=9876")
	t.Run("one try a request", func(t *testing.T) {
		wantFailure(t, wrong, keyID, protocol.CodeAccessDenied, "CKR_PIN_INCORRECT", "not tried again")
		if size(logins) != 1 {
			t.Errorf("%d logins", size(logins))
		}
	})
	t.Run("many processes don't lock the token", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() { wantFailure(t, wrong, keyID, protocol.CodeAccessDenied) })
		}
		wg.Wait()
		if size(tries) != 2 {
			t.Errorf("%d tries spent", size(tries))
		}
		wantFailure(t, wrong, keyID, protocol.CodeAccessDenied, "one more wrong PIN locks it")
	})
	t.Run("locked token is left alone", func(t *testing.T) {
		if err := os.WriteFile(tries, []byte("xxx"), 0o600); err != nil {
			t.Fatal(err)
		}
		before := size(logins)
		wantFailure(t, wrong, keyID, protocol.CodeAccessDenied, "CKR_PIN_LOCKED")
		if size(logins) != before {
			t.Error("tried to log in")
		}
	})
}
