//go:build unix

package host

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/plugin"
)

// TestPublishLeavesNothing is not parallel: it has a temporary directory of its own.
func TestPublishLeavesNothing(t *testing.T) {
	t.Run("packages are in no directory, so that no kill leaves them there", func(t *testing.T) {
		f := newFair(t)
		build := f.build(plan9, "acme", "1.0.0")
		temporary := t.TempDir()
		t.Setenv("TMPDIR", temporary)
		enough := errors.New("enough")
		_, err := f.signer.PublishPlugin(t.Context(), func(context.Context) (artifact.Storage, error) {
			if left, err := os.ReadDir(temporary); len(left) > 0 || err != nil {
				t.Errorf("there is %v, error %v", left, err)
			}
			return nil, enough
		}, PublishRequest{Builds: []*plugin.Build{build}, Version: "1.0.0", Plugins: f.plugins, Tag: "latest"})
		if !errors.Is(err, enough) {
			t.Error(err)
		}
	})
}
