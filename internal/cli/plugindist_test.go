package cli

import (
	"encoding/json"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/signet-project/signet/host/plugin"
)

// scriptPlatformDigest sets DIGEST to that of the manifest for this platform in
// the index of a layout.
func scriptPlatformDigest(ts *testscript.TestScript, args []string) error {
	data, err := readBlob(ts, args[0], args[1])
	if err != nil {
		return err
	}
	manifest, err := plugin.FindManifest(ocispec.Descriptor{}, data, plugin.ThisPlatform())
	ts.Setenv("DIGEST", manifest.Digest.String())
	return err
}

// scriptPackageDigest sets DIGEST to that of the only layer of a manifest in a layout.
func scriptPackageDigest(ts *testscript.TestScript, args []string) error {
	data, err := readBlob(ts, args[0], args[1])
	if err != nil {
		return err
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(data, &manifest); err != nil || len(manifest.Layers) != 1 {
		return fmt.Errorf("%v, %d layers", err, len(manifest.Layers))
	}
	ts.Setenv("DIGEST", manifest.Layers[0].Digest.String())
	return nil
}
