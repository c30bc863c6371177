package testservers

import (
	"net/http"
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
	s := start(t, "OpenBao", []string{"HOME=" + t.TempDir()}, paths["bao"], "server", "-dev",
		"-dev-no-store-token", "-dev-listen-address="+address, "-dev-root-token-id="+token)
	bao := &Bao{Addr: "http://" + address, Token: token}
	s.await(t, http.DefaultClient, bao.Addr+"/v1/sys/health")
	return bao
}
