package cli

import (
	"os"
	"runtime"
	"testing"

	"github.com/signet-project/signet/host/config"
)

// TestBlobMemory is not parallel: it looks at all that is allocated.
func TestBlobMemory(t *testing.T) {
	t.Run("BLOB-18 a file need not fit into memory", func(t *testing.T) {
		p := newPlace(t)
		key := config.Key{Name: "acme", KeyPath: p.path("acme.key"), CertPath: p.path("acme.crt")}
		if err := config.NewSigningKeys(p.path("config")).Add(t.Context(), key, true); err != nil {
			t.Fatal(err)
		}
		p.must("blob", "policy", "init", "--name", "a", "--global", "--trust-store", "ca:acme", "--trusted-identity", "*")
		p.write("big", nil)
		const size = 256 << 20
		if err := os.Truncate(p.path("big"), size); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p.must("blob", "sign", p.path("big"))
		p.must("blob", "verify", "--signature", p.path("big.jws.sig"), p.path("big"))
		runtime.ReadMemStats(&after)
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > size/16 {
			t.Errorf("%d bytes allocated for a file of %d", allocated, size)
		}
	})
}
