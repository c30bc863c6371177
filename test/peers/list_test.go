package peers

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	notation "github.com/notaryproject/notation-go/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

// listed are the digests of the signatures that signet lists.
func listed(t testing.TB, c *command, at *place) []string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(c.ok(t, append([]string{"list"}, at.readArgs...)...)), "\n")
	var digests []string
	for _, line := range lines[1:] {
		if i := strings.Index(line, "sha256:"); i >= 0 {
			digests = append(digests, line[i:])
		}
	}
	slices.Sort(digests)
	return digests
}

// seenByPeer are the digests of the signatures that notation-go lists.
func seenByPeer(t testing.TB, at *place) []string {
	t.Helper()
	var digests []string
	err := at.theirs.ListSignatures(t.Context(), at.artifact, func(page []ocispec.Descriptor) error {
		for _, desc := range page {
			digests = append(digests, desc.Digest.String())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(digests)
	return digests
}

// referrersTag reads the index at the artifact's referrers tag.
func referrersTag(t testing.TB, at *place) *ocispec.Index {
	t.Helper()
	desc, data, err := oras.FetchBytes(t.Context(), at.store, strings.Replace(at.artifact.Digest.String(), ":", "-", 1), oras.DefaultFetchBytesOptions)
	if err != nil {
		t.Fatal(err)
	}
	var index ocispec.Index
	if err := json.Unmarshal(data, &index); err != nil || desc.MediaType != ocispec.MediaTypeImageIndex || index.MediaType != desc.MediaType {
		t.Fatalf("%v, %s: %s", err, desc.MediaType, data)
	}
	return &index
}

// TestRegistries signs one artifact several times by signet and by notation-go
// in registries of different abilities: both see all signatures.
func TestRegistries(t *testing.T) {
	t.Parallel()
	root := testpki.Root(t, "root")
	key := root.Leaf(t, "signer", protocol.KeySpecEC256)
	program := newCommand(t, newConfig(t, root, "ca:peers"))
	program.addKey(t, key)
	theirs := peer{config: program.config}

	// fill signs three times and returns what signet lists.
	fill := func(t *testing.T, at *place, flags ...string) []string {
		t.Helper()
		program.ok(t, append(append([]string{"sign"}, flags...), at.signArgs...)...)
		if err := theirs.sign(t, at, signing{key: key, format: envelope.FormatJWS, expiry: time.Hour}); err != nil {
			t.Fatal(err)
		}
		program.ok(t, append(append([]string{"sign", "--signature-format", "cose"}, flags...), at.signArgs...)...)
		program.ok(t, append([]string{"verify"}, at.verifyArgs...)...)
		if _, err := theirs.verify(t, at, nil); err != nil {
			t.Error("notation-go:", err)
		}
		got := listed(t, program, at)
		if len(got) != 3 || !slices.Equal(got, seenByPeer(t, at)) {
			t.Errorf("signet lists %v, notation-go %v; want the same three", got, seenByPeer(t, at))
		}
		return got
	}

	t.Run("MAN-13 Referrers API", func(t *testing.T) {
		registry := withReferrers(t, 0)
		at := remotely(t, registry, "api")
		fill(t, at)
		if n := registry.count("PUT", "/manifests/sha256-"); n != 0 {
			t.Errorf("%d writes to the referrers tag", n)
		}
		if registry.count("GET", "artifactType=application%2Fvnd.cncf.notary.signature") == 0 {
			t.Errorf("the registry was not asked for signatures alone: %q", registry.requests)
		}
	})
	t.Run("MAN-13 pages of the Referrers API", func(t *testing.T) {
		registry := withReferrers(t, 1000) // one signature a page
		fill(t, remotely(t, registry, "pages"))
		if registry.count("GET", "page=2") == 0 {
			t.Errorf("there were no pages: %q", registry.requests)
		}
	})
	t.Run("MAN-14 MAN-15 referrers tag", func(t *testing.T) {
		registry := withoutReferrers(t, nil)
		at := remotely(t, registry, "tag")
		want := fill(t, at)
		index := referrersTag(t, at)
		var got []string
		for _, desc := range index.Manifests {
			got = append(got, desc.Digest.String())
			if desc.ArtifactType != artifact.TypeSignature || desc.MediaType != ocispec.MediaTypeImageManifest || desc.Annotations[artifact.AnnotationThumbprints] == "" {
				t.Errorf("entry %+v", desc)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("index lists %v, want %v", got, want)
		}
		if n := registry.count("DELETE", "/manifests/sha256:"); n != 2 {
			t.Errorf("%d superseded indexes deleted (MAN-16), want 2", n)
		}
	})
	t.Run("MAN-15 forced referrers tag", func(t *testing.T) {
		registry := withReferrers(t, 0)
		at := remotely(t, registry, "forced")
		program.ok(t, append([]string{"sign", "--force-referrers-tag"}, at.signArgs...)...)
		program.ok(t, append([]string{"sign", "--force-referrers-tag"}, at.signArgs...)...)
		if n := len(referrersTag(t, at).Manifests); n != 2 {
			t.Errorf("%d signatures in the index, want 2", n)
		}
		program.ok(t, append([]string{"verify"}, at.verifyArgs...)...)
		if _, err := theirs.verify(t, at, nil); err != nil {
			t.Error("notation-go:", err)
		}
	})
	t.Run("MAN-13 registry that takes the config's media type for the artifact type", func(t *testing.T) {
		at := remotely(t, mislabelling(t), "mislabelled")
		program.ok(t, append([]string{"sign"}, at.signArgs...)...)
		program.ok(t, append([]string{"verify"}, at.verifyArgs...)...)
		if err := theirs.sign(t, at, signing{key: key, format: envelope.FormatCOSE, expiry: time.Hour}); err != nil {
			t.Fatal(err)
		}
		program.ok(t, append([]string{"verify"}, at.verifyArgs...)...)
		if got := listed(t, program, at); len(got) != 2 {
			t.Errorf("signet lists %v", got)
		}
		// notation-go sees its own signature there, which has the type in its config,
		// unless it pushed one and so knows of the referrers tag.
		fresh, err := remote.NewRepository(at.scope)
		if err != nil {
			t.Fatal(err)
		}
		fresh.PlainHTTP = true
		at.theirs = notation.NewRepository(fresh)
		if got := seenByPeer(t, at); len(got) != 1 {
			t.Errorf("notation-go lists %v", got)
		}
	})
	t.Run("MAN-21 layout", func(t *testing.T) { fill(t, locally(t)) })
	t.Run("GEN-01 artifact and tag stay", func(t *testing.T) {
		at := remotely(t, withoutReferrers(t, nil), "unchanged")
		if err := at.store.Tag(t.Context(), at.artifact, "v1"); err != nil {
			t.Fatal(err)
		}
		program.ok(t, "sign", at.scope+":v1")
		desc, err := at.store.Resolve(t.Context(), "v1")
		if err != nil || !content.Equal(desc, at.artifact) {
			t.Errorf("%+v, %v", desc, err)
		}
		program.ok(t, "verify", at.scope+":v1")
	})
	t.Run("GEN-03 signatures move with the artifact", func(t *testing.T) {
		from, to := remotely(t, withoutReferrers(t, nil), "here"), remotely(t, withReferrers(t, 0), "there")
		fill(t, from)
		var moved []ocispec.Descriptor
		for desc, err := range from.ours.Signatures(t.Context(), from.artifact) {
			if err != nil {
				t.Fatal(err)
			}
			if err := oras.CopyGraph(t.Context(), from.store, to.store, desc, oras.DefaultCopyGraphOptions); err != nil {
				t.Fatal(err)
			}
			moved = append(moved, desc)
		}
		arrived := *to
		arrived.artifact = from.artifact
		arrived.readArgs = []string{to.scope + "@" + from.artifact.Digest.String()}
		program.ok(t, append([]string{"verify"}, arrived.readArgs...)...)
		if got := listed(t, program, &arrived); len(got) != len(moved) {
			t.Errorf("%d signatures arrived of %d", len(got), len(moved))
		}
		if _, err := theirs.verify(t, &arrived, nil); err != nil {
			t.Error("notation-go:", err)
		}
	})
}

// TestSignAtOnce starts several programs that sign one artifact where there is
// nothing to keep them apart but the referrers tag.
func TestSignAtOnce(t *testing.T) {
	const processes = 6
	program := newSigner(t)
	for _, where := range []string{"registry without Referrers API", "layout"} {
		t.Run("MAN-15 no signature is lost, "+where, func(t *testing.T) {
			at := locally(t)
			if where != "layout" {
				at = remotely(t, withoutReferrers(t, nil), "at-once")
			}
			var started []*exec.Cmd
			outputs := make([]strings.Builder, processes)
			for i := range processes {
				// The expiry tells the signatures apart.
				args := append([]string{"sign", "--expiry", fmt.Sprintf("%dh", i+1)}, at.signArgs...)
				cmd := program.start(t, args...)
				cmd.Stdout, cmd.Stderr = &outputs[i], &outputs[i]
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				started = append(started, cmd)
			}
			for i, cmd := range started {
				if err := cmd.Wait(); err != nil {
					t.Errorf("process %d: %v: %s", i, err, outputs[i].String())
				}
			}
			if got := listed(t, program, at); len(got) != processes {
				t.Errorf("%d signatures of %d are listed", len(got), processes)
			}
			if got := seenByPeer(t, at); len(got) != processes {
				t.Errorf("notation-go sees %d signatures of %d", len(got), processes)
			}
			program.ok(t, append([]string{"verify"}, at.verifyArgs...)...)
		})
	}
}
