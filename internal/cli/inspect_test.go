package cli

import (
	"context"
	"io"
	"runtime"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

// heapWatch is a repository that looks at what is held whenever a signature is fetched.
type heapWatch struct {
	artifact.Repository
	fetched int
	most    uint64
}

func (w *heapWatch) FetchSignature(ctx context.Context, manifest, subject ocispec.Descriptor, reserve artifact.Reserve) (*artifact.Signature, error) {
	w.fetched++
	w.most = max(w.most, heap())
	return w.Repository.FetchSignature(ctx, manifest, subject, reserve)
}

// heap is how many bytes are in use.
func heap() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// TestInspectMemory is not parallel: it looks at all that is in use.
func TestInspectMemory(t *testing.T) {
	p := newPlace(t)
	testpki.Root(t, "other root").Leaf(t, "other", protocol.KeySpecEC256).WriteFiles(t, p.dir, "other")
	const count, size = 8, 4 << 20
	for range count {
		p.forgeBy("other", "note="+strings.Repeat("x", size), "agent="+strings.Repeat("y", size))
	}
	for _, output := range []string{"tree", "json", "html"} {
		t.Run("CLI-22 of many large signatures one at a time is held: "+output, func(t *testing.T) {
			a := newApp(Env{Args: []string{"signet"}, Stdout: io.Discard, Stderr: io.Discard, Environ: []string{"NOTATION_CONFIG=" + p.path("config")}})
			found, err := a.examine(t.Context(), "inspect", nil, p.path("layout")+"@"+p.digest, true, count)
			if err != nil {
				t.Fatal(err)
			}
			watch := &heapWatch{Repository: found.repo}
			found.repo = watch
			before := heap()
			if err := a.inspect(t.Context(), found, &inspectFlags{output: output, layout: true, maxSignatures: count}); err != nil {
				t.Fatal(err)
			}
			if held := watch.most - before; watch.fetched != count || watch.most > before && held > 6*size {
				t.Errorf("%d fetched, %d MiB held", watch.fetched, held>>20)
			}
		})
	}
}

func TestVisible(t *testing.T) {
	t.Parallel()
	t.Run("GEN-11 a long text is cut between characters", func(t *testing.T) {
		if got, want := visible(strings.Repeat("é", maxShown+3)), strings.Repeat("é", maxShown)+"… (3 characters more)"; got != want {
			t.Errorf("got %q", got)
		}
		if whole := strings.Repeat("é", maxShown); visible(whole) != whole {
			t.Error("what is not too long is cut")
		}
	})
	t.Run("GEN-11 a long list is cut", func(t *testing.T) {
		all := make([][]string, maxEntries+2)
		for i := range all {
			all[i] = []string{"k\x1b", "v"}
		}
		got := visiblePairs(all)
		if len(got) != maxEntries+1 || got[0] != [2]string{"k\ufffd", "v"} || got[maxEntries] != [2]string{"…", "(2 entries more)"} {
			t.Errorf("%d entries, the last is %q", len(got), got[len(got)-1])
		}
	})
}
