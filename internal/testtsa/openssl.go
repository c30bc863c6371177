package testtsa

import (
	"bytes"
	"cmp"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/signet-project/signet/internal/testpki"
)

// OpenSSLOptions says how `openssl ts` makes tokens.
type OpenSSLOptions struct {
	// Digest is the signer's digest algorithm; default sha256.
	Digest string
	// CertificateHash is the hash that names the certificate; default sha256, while
	// sha1 gives the attribute of RFC 2634 alone.
	CertificateHash string
}

// NewOpenSSL serves `openssl ts` on loopback until the test ends and returns its
// URL. Where openssl is missing the test is skipped, or fails when CI is true.
func NewOpenSSL(t testing.TB, signer *testpki.Entity, opts OpenSSLOptions) string {
	t.Helper()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("openssl is needed: %v", err)
		}
		t.Skipf("openssl is needed: %v", err)
	}
	dir := t.TempDir()
	var others []byte
	for _, cert := range signer.Chain()[1:] {
		others = append(others, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	config := fmt.Sprintf(`[tsa]
default_tsa = authority
[authority]
serial = %s
crypto_device = builtin
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = secs:1, millisecs:500, microsecs:100
signer_digest = %s
ess_cert_id_alg = %s
ess_cert_id_chain = no
tsa_name = yes
ordering = yes
`, filepath.ToSlash(filepath.Join(dir, "serial")), cmp.Or(opts.Digest, "sha256"), cmp.Or(opts.CertificateHash, "sha256"))
	for name, data := range map[string][]byte{
		"tsa.cnf": []byte(config), "tsa.key": signer.KeyPEM(t), "tsa.crt": signer.CertPEM(), "chain.crt": others,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(&opensslHandler{openssl: openssl, dir: dir})
	t.Cleanup(server.Close)
	return server.URL
}

// opensslHandler answers each request with one run of openssl; the serial number
// file allows one at a time.
type opensslHandler struct {
	mu           sync.Mutex
	openssl, dir string
}

func (h *opensslHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	query, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err == nil {
		err = os.WriteFile(filepath.Join(h.dir, "query"), query, 0o600)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	cmd := exec.CommandContext(r.Context(), h.openssl, "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query",
		"-signer", "tsa.crt", "-inkey", "tsa.key", "-chain", "chain.crt", "-out", "reply")
	cmd.Dir = h.dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		http.Error(w, fmt.Sprintf("%v: %s", err, stderr.Bytes()), http.StatusInternalServerError)
		return
	}
	reply, err := os.ReadFile(filepath.Join(h.dir, "reply"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	w.Write(reply)
}
