package testservers

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// Bao is an OpenBao server in development mode: in memory, unsealed.
type Bao struct {
	// Addr is the server's URL, http://127.0.0.1:port.
	Addr string
	// Token is the root token.
	Token string
}

// OpenBao starts a server for the time of the test.
func OpenBao(t testing.TB) *Bao {
	t.Helper()
	paths := provisioned(t, "openbao")
	address, token := freeAddress(t), "signet-test-root"
	// A busy machine takes longer than the usual 90 s to make an RSA key.
	config := filepath.Join(t.TempDir(), "config.hcl")
	if err := os.WriteFile(config, []byte("default_max_request_duration = \"20m\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "OpenBao", []string{"HOME=" + t.TempDir()}, paths["bao"], "server", "-dev", "-config="+config,
		"-dev-no-store-token", "-dev-listen-address="+address, "-dev-root-token-id="+token)
	bao := &Bao{Addr: "http://" + address, Token: token}
	s.await(t, http.DefaultClient, bao.Addr+"/v1/sys/health")
	return bao
}

// Do sends a request as root and returns the answer's JSON object, nil when it
// is empty. path is what follows /v1/; body is nil for none. The test fails when
// the request does.
func (b *Bao) Do(t testing.TB, method, path string, body any) map[string]any {
	t.Helper()
	return b.DoAs(t, b.Token, "", method, path, body)
}

// DoAs is Do with another token, in a namespace ("" for the root one).
func (b *Bao) DoAs(t testing.TB, token, namespace, method, path string, body any) map[string]any {
	t.Helper()
	encoded, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, b.Addr+"/v1/"+path, bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Vault-Token", token)
	if namespace != "" {
		request.Header.Set("X-Vault-Namespace", namespace)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer map[string]any
	_ = json.NewDecoder(response.Body).Decode(&answer) // may be empty
	if response.StatusCode >= 300 {
		t.Fatalf("%s %s: %s: %v", method, path, response.Status, answer["errors"])
	}
	return answer
}
