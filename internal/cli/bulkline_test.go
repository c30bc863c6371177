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

func TestFailure(t *testing.T) {
	t.Parallel()
	t.Run("VER-08 the summary keeps some of many signatures that fail", func(t *testing.T) {
		view := &bulkView{}
		view.line.Reference, view.line.Error = "app", "no good"
		view.line.Signatures = make([]lineSignatureView, maxFailureSignatures+3)
		for i := range view.line.Signatures {
			view.line.Signatures[i] = lineSignatureView{Digest: "d", Error: "bad"}
		}
		view.line.Signatures[0].Error = "" // it passed
		lines := view.failure().lines
		if len(lines) != maxFailureSignatures+2 || lines[0] != "app: no good" || lines[1] != "  signature d: bad" || lines[len(lines)-1] != "  and 2 more" {
			t.Errorf("%q", lines)
		}
	})
}
