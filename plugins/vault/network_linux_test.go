package vault

import (
	"encoding/pem"
	"testing"

	"github.com/signet-project/signet/internal/plugintest"
	"github.com/signet-project/signet/internal/testservers"
	"github.com/signet-project/signet/protocol"
)

// TestSystemCertificates has SSL_CERT_FILE, which counts on Linux alone.
func TestSystemCertificates(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	keyID := b.create("k", "ecdsa-p256")
	front := testservers.NewFront(t, b.Addr, nil)
	front.StartTLS()
	ca := writeFile(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}))
	proxy := testservers.NewProxy(t, "example.com:443", front.Listener.Addr().String())
	t.Run("HTTPS_PROXY and SSL_CERT_FILE", func(t *testing.T) {
		process := plugintest.Start(t, "vault", "VAULT_ADDR=https://example.com", "VAULT_TOKEN="+b.Token, "SSL_CERT_FILE="+ca, "HTTPS_PROXY="+proxy.URL, patience)
		plugintest.MustSign(t, protocol.NewClient("vault", process), keyID, nil, true)
		if proxy.Tunnels.Load() == 0 {
			t.Error("the proxy saw nothing")
		}
	})
}
