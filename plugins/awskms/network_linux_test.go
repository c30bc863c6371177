package awskms

import (
	"strings"
	"testing"

	"github.com/signet-project/signet/internal/testservers"
)

// TestNetworkLinux has what other systems do not: SSL_CERT_FILE counts, and 0.0.0.0
// leads to this machine.
func TestNetworkLinux(t *testing.T) {
	n := newNetwork(t)
	t.Run("proxy and SSL_CERT_FILE, region of the environment", func(t *testing.T) {
		_, id, _ := strings.Cut(n.arn, "key/")
		mustGenerate(t, over(n.process(t, "SSL_CERT_FILE="+n.ca, "AWS_REGION="+n.kms.Region)), id, n.config)
		if n.proxy.Tunnels.Swap(0) == 0 {
			t.Error("not through the proxy")
		}
	})
	t.Run("NO_PROXY", func(t *testing.T) {
		// Loopback addresses never go through a proxy; this one does.
		address := "0.0.0.0:" + n.port
		proxy := testservers.NewProxy(t, address, n.front.Listener.Addr().String())
		config := with(n.config, ConfigEndpoint, "https://"+address)
		env := []string{"HTTPS_PROXY=" + proxy.URL, "AWS_CA_BUNDLE=" + n.ca}
		mustGenerate(t, over(process(t, env...)), n.arn, config)
		if proxy.Tunnels.Swap(0) == 0 {
			t.Error("the proxy was not asked")
		}
		mustGenerate(t, over(process(t, append(env, "NO_PROXY=0.0.0.0")...)), n.arn, config)
		if proxy.Tunnels.Load() != 0 {
			t.Error("the proxy was asked")
		}
	})
}
