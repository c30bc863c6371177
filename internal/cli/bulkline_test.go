package cli

import (
	"os"
	"strings"
	"testing"

	"github.com/signet-project/signet/host/batch"
)

func TestResultLine(t *testing.T) {
	t.Parallel()
	t.Run("a signature that says a lot does not make a file that cannot be resumed from", func(t *testing.T) {
		t.Parallel()
		p := newPlace(t)
		p.forgeBy("acme", "note="+strings.Repeat("x", batch.MaxRecord))
		args := []string{"verify", "--verbose", "--oci-layout", "--scope", "local/app", "--resume", p.path("results.jsonl"), p.path("layout") + "@" + p.digest}
		p.must(args...)
		if line, err := os.ReadFile(p.path("results.jsonl")); err != nil || validate("result-line.json", line) != nil {
			t.Errorf("%.500s, error %v", line, err)
		}
		if out := p.must(args...); !strings.Contains(out, "1 known from an earlier run") {
			t.Errorf("the second run says %s", out)
		}
	})
}
