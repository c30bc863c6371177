package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/plugin"
	"github.com/signet-project/signet/internal/plugintest"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testservers"
	"github.com/signet-project/signet/plugins/pkcs11"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// stdioExample builds the example plugin without sessions and returns its path.
func stdioExample(b *testing.B) string {
	b.Helper()
	path := filepath.Join(filepath.Dir(binary(b, "signet")), "stdio", "notation-example"+exe())
	if err := goBuild(path, ".", "./stdioexample", "CGO_ENABLED=0"); err != nil {
		b.Fatal(err)
	}
	return path
}

// managerOf installs a plugin's executable, pinned, for a manager of its own. Its
// clock is ahead, so that the file, which was written just now, is hashed once.
func managerOf(b *testing.B, name, executable string, environ ...string) *plugin.Manager {
	b.Helper()
	m := plugin.NewManager(b.TempDir(), plugin.Options{
		Environ: append(environ, "SYSTEMROOT="+os.Getenv("SYSTEMROOT")), Now: func() time.Time { return time.Now().Add(time.Hour) },
	})
	path := filepath.Join(m.Dir(), name, plugin.BinaryName(name))
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		b.Fatal(err)
	}
	data, err := os.ReadFile(executable)
	if err == nil {
		err = os.WriteFile(path, data, 0o755)
	}
	if err != nil {
		b.Fatal(err)
	}
	if _, err := m.Pin(b.Context(), name); err != nil {
		b.Fatal(err)
	}
	return m
}

// BenchmarkSign1000 makes 1,000 P-256 signatures through the example plugin: by a
// session, 8 and 1 at a time, its opening and closing included, and by the same
// plugin built for stdio alone, one at a time.
func BenchmarkSign1000(b *testing.B) {
	const signatures = 1000
	key, chain := testpki.Root(b, "root").Intermediate(b, "intermediate").Leaf(b, "leaf", protocol.KeySpecEC256).WriteFiles(b, b.TempDir(), "leaf")
	config := map[string]string{signer.ConfigCertificateChain: chain}
	withSessions := managerOf(b, "example", binary(b, "notation-example"))
	stdioOnly := managerOf(b, "example", stdioExample(b))
	for _, by := range []struct {
		name    string
		manager *plugin.Manager
		atOnce  int
	}{{"session", withSessions, 8}, {"session-one", withSessions, 1}, {"stdio", stdioOnly, 1}} {
		b.Run("by="+by.name, func(b *testing.B) {
			for b.Loop() {
				client, end, err := by.manager.Session(b.Context(), "example")
				if err != nil {
					b.Fatal(err)
				}
				key, err := host.NewPluginKey(b.Context(), client, key, config, host.KindBlob)
				if err != nil {
					b.Fatal(err)
				}
				signMany(b, host.Signer{Key: key}, signatures, by.atOnce)
				if err := end(); err != nil {
					b.Error(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/signatures, "µs/signature")
		})
	}
}

// signMany signs small files, some at a time.
func signMany(b *testing.B, s host.Signer, signatures, atOnce int) {
	var wg sync.WaitGroup
	for worker := range atOnce {
		wg.Go(func() {
			for i := worker; i < signatures; i += atOnce {
				if _, err := s.SignBlob(b.Context(), strings.NewReader(fmt.Sprintf("file %d", i)), "text/plain"); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkToken makes a P-256 signature with a key on a SoftHSM token: by a
// session with notation-pkcs11, and by the same code in this process.
func BenchmarkToken(b *testing.B) {
	hsm := testservers.SoftHSM(b)
	for _, entry := range hsm.Env { // what the loader reads when a process starts
		if !slices.Contains(os.Environ(), entry) {
			b.Fatalf("SoftHSM is not the system's: run this with %s", entry)
		}
	}
	leaf := testpki.Root(b, "root").Intermediate(b, "intermediate").Leaf(b, "leaf", protocol.KeySpecEC256)
	hsm.Import(b, leaf.Key, "key", "01")
	_, chain := leaf.WriteFiles(b, b.TempDir(), "leaf")
	request := &protocol.GenerateSignatureRequest{
		KeyID: "pkcs11:token=" + hsm.TokenLabel + ";object=key", KeySpec: protocol.KeySpecEC256, Hash: protocol.HashSHA256,
		Payload:      []byte(strings.Repeat("about as long as what is signed. ", 20)),
		PluginConfig: map[string]string{signer.ConfigCertificateChain: chain},
	}
	environ := append(slices.Clone(hsm.Env), hsm.ConfigEnv, pkcs11.EnvModulePath+"="+hsm.ModulePath, pkcs11.EnvPIN+"="+hsm.PIN, "TMPDIR="+b.TempDir())
	for _, entry := range environ { // the module reads it with C's getenv
		name, value, _ := strings.Cut(entry, "=")
		b.Setenv(name, value)
	}
	session, end, err := managerOf(b, "pkcs11", binary(b, "notation-pkcs11"), environ...).Session(b.Context(), "pkcs11")
	if err != nil {
		b.Fatal(err)
	}
	defer end()
	here := pkcs11.New(pkcs11.Options{Getenv: os.Getenv, LockDir: b.TempDir()})
	defer here.Close()
	for _, by := range []struct {
		name   string
		client *protocol.Client
	}{{"session", session}, {"in-process", protocol.NewClient("pkcs11", plugintest.InProcess{Plugin: here})}} {
		if _, err := by.client.GenerateSignature(b.Context(), request); err != nil { // logs in
			b.Fatal(err)
		}
		b.Run("by="+by.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := by.client.GenerateSignature(b.Context(), request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
