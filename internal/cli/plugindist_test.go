package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

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

func scriptProxy(ts *testscript.TestScript, _ []string) error {
	server := strings.TrimPrefix(ts.Getenv("WEB"), "https://")
	record := ts.MkAbs("proxied")
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		file, err := os.OpenFile(record, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			fmt.Fprintln(file, q.Method, q.Host)
			err = file.Close()
		}
		if err != nil || q.Method != http.MethodConnect {
			http.Error(w, "no", http.StatusBadGateway)
			return
		}
		tunnel(w, server)
	}))
	ts.Defer(proxy.Close)
	ts.Setenv("PROXY", proxy.URL)
	return nil
}

// tunnel connects a request's connection with a server.
func tunnel(w http.ResponseWriter, server string) {
	far, err := net.Dial("tcp", server)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer far.Close()
	w.WriteHeader(http.StatusOK)
	near, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer near.Close()
	go func() {
		io.Copy(far, near)
		far.Close()
	}()
	io.Copy(near, far)
}
