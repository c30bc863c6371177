package vectors

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

// Media types of manifests, and the artifact type of signatures.
const (
	typeImage     = "application/vnd.oci.image.manifest.v1+json"
	typeEmpty     = "application/vnd.oci.empty.v1+json"
	typeSignature = "application/vnd.cncf.notary.signature"
)

// descriptor is an OCI descriptor as index.json and manifests have it.
type descriptor struct {
	MediaType    string `json:"mediaType"`
	Digest       string `json:"digest"`
	Size         int64  `json:"size"`
	ArtifactType string `json:"artifactType,omitempty"`
}

func describe(content Content) descriptor {
	sum := sha256.Sum256(content.Data)
	return descriptor{MediaType: content.MediaType, Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(content.Data))}
}

// SignatureManifest returns the vector's signature manifest, or the one without
// fault that goes with its envelope.
func (v Vector) SignatureManifest() Content {
	if v.Manifest != nil {
		return *v.Manifest
	}
	data, err := json.Marshal(map[string]any{
		"schemaVersion": 2,
		"mediaType":     typeImage,
		"artifactType":  typeSignature,
		"config":        describe(Content{typeEmpty, []byte("{}")}),
		"layers":        []descriptor{describe(v.Envelope)},
		"subject":       descriptor{MediaType: v.Artifact.MediaType, Digest: v.Artifact.Digest, Size: v.Artifact.Size},
	})
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	return Content{typeImage, data}
}

// WriteLayout writes an OCI image layout to the new directory dir: the artifact
// and its one signature. The envelope lies under every digest that the manifest
// gives to a layer or blob, so that it is found even where the digest is not its.
func (v Vector) WriteLayout(dir string) error {
	manifest := v.SignatureManifest()
	entry := describe(manifest)
	entry.ArtifactType = typeSignature
	artifact := descriptor{MediaType: v.Artifact.MediaType, Digest: v.Artifact.Digest, Size: v.Artifact.Size}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []descriptor{artifact, entry}})
	if err != nil {
		return err
	}
	contents := map[string][]byte{
		"oci-layout":               []byte(`{"imageLayoutVersion":"1.0.0"}`),
		"index.json":               index,
		blobPath(artifact.Digest):  v.Artifact.Data,
		blobPath(entry.Digest):     manifest.Data,
		blobPath(emptyConfig()):    []byte("{}"),
		blobPath(v.envelopeHash()): v.Envelope.Data,
	}
	var decoded struct{ Layers, Blobs []descriptor }
	if json.Unmarshal(manifest.Data, &decoded) == nil {
		for _, blob := range append(decoded.Layers, decoded.Blobs...) {
			contents[blobPath(blob.Digest)] = v.Envelope.Data
		}
	}
	return writeFiles(dir, contents)
}

// WriteConfig writes the trust policy and the trust stores to the new directory
// dir the way the notation CLI keeps them: trustpolicy.json and truststore/x509/.
func (v Vector) WriteConfig(dir string) error {
	contents := map[string][]byte{"trustpolicy.json": v.TrustPolicy}
	for store, certificates := range v.TrustStores {
		kind, name, _ := strings.Cut(store, ":")
		var all []byte
		for _, der := range certificates {
			all = append(all, der...)
		}
		contents["truststore/x509/"+kind+"/"+name+"/certificates.crt"] = all
	}
	return writeFiles(dir, contents)
}

func (v Vector) envelopeHash() string { return describe(v.Envelope).Digest }

func emptyConfig() string { return describe(Content{typeEmpty, []byte("{}")}).Digest }

func blobPath(digest string) string { return "blobs/" + strings.Replace(digest, ":", "/", 1) }

func writeFiles(dir string, contents map[string][]byte) error {
	for name, data := range contents {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
