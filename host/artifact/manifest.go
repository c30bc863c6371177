package artifact

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TypeSignature is the artifact type of signature manifests (MAN-01).
const TypeSignature = "application/vnd.cncf.notary.signature"

// mediaTypeArtifactManifest is the retired manifest type that old signatures
// may still have (MAN-11).
const mediaTypeArtifactManifest = "application/vnd.oci.artifact.manifest.v1+json"

// AnnotationThumbprints lists the thumbprints of the signing chain on a
// signature manifest (MAN-07).
const AnnotationThumbprints = "io.cncf.notary.x509chain.thumbprint#S256"

// Bounds on what is fetched, in bytes (MAN-12).
const (
	MaxManifestSize = 4 << 20
	MaxEnvelopeSize = 32 << 20
)

// envelopeTypes are the layer media types a signature can have (MAN-05).
var envelopeTypes = []string{"application/jose+json", "application/cose"}

// manifest is a signature manifest of either kind. The order of members is that
// of MAN-10.
type manifest struct {
	specs.Versioned
	MediaType    string               `json:"mediaType"`
	ArtifactType string               `json:"artifactType,omitempty"`
	Config       *ocispec.Descriptor  `json:"config,omitempty"`
	Layers       []ocispec.Descriptor `json:"layers,omitempty"`
	Blobs        []ocispec.Descriptor `json:"blobs,omitempty"`
	Subject      *ocispec.Descriptor  `json:"subject,omitempty"`
	Annotations  map[string]string    `json:"annotations,omitempty"`
}

// kind returns the artifact type that a manifest declares, by its own member or,
// where that is missing, by its config (MAN-03).
func (m *manifest) kind() string {
	if m.ArtifactType != "" || m.Config == nil {
		return m.ArtifactType
	}
	return m.Config.MediaType
}

// envelope returns the descriptor of the one envelope (MAN-03..05, MAN-11).
func (m *manifest) envelope() (ocispec.Descriptor, error) {
	if m.kind() != TypeSignature {
		return ocispec.Descriptor{}, fmt.Errorf("artifact type %q is not that of a signature", m.kind())
	}
	layers := m.Layers
	switch {
	case m.MediaType == mediaTypeArtifactManifest:
		layers = m.Blobs
	case m.Config == nil:
		return ocispec.Descriptor{}, fmt.Errorf("the signature manifest has no config")
	case m.ArtifactType != "" && m.Config.MediaType != ocispec.MediaTypeEmptyJSON:
		return ocispec.Descriptor{}, fmt.Errorf("the signature manifest has config media type %q, not %q", m.Config.MediaType, ocispec.MediaTypeEmptyJSON)
	}
	if len(layers) != 1 {
		return ocispec.Descriptor{}, fmt.Errorf("the signature manifest has %d layers, not 1", len(layers))
	}
	if !slices.Contains(envelopeTypes, layers[0].MediaType) {
		return ocispec.Descriptor{}, fmt.Errorf("signature envelope type %q is not supported", layers[0].MediaType)
	}
	if layers[0].Size < 0 || layers[0].Size > MaxEnvelopeSize {
		return ocispec.Descriptor{}, fmt.Errorf("signature blob of %d bytes is larger than the %d allowed", layers[0].Size, MaxEnvelopeSize)
	}
	return layers[0], nil
}

// newManifest writes the manifest of a signature (MAN-01..10).
func newManifest(request PushRequest) (desc ocispec.Descriptor, data []byte, err error) {
	thumbprints := make([]string, len(request.Certificates))
	for i, cert := range request.Certificates {
		thumbprints[i] = thumbprint(cert)
	}
	list, err := json.Marshal(thumbprints)
	if err != nil {
		return desc, nil, err
	}
	annotations := maps.Clone(request.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[AnnotationThumbprints] = string(list)
	annotations[ocispec.AnnotationCreated] = request.SigningTime.UTC().Format(time.RFC3339)
	config := ocispec.DescriptorEmptyJSON
	data, err = json.Marshal(manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: TypeSignature,
		Config:       &config,
		Layers:       []ocispec.Descriptor{envelopeDescriptor(request)},
		Subject:      &ocispec.Descriptor{MediaType: request.Subject.MediaType, Digest: request.Subject.Digest, Size: request.Subject.Size},
		Annotations:  annotations,
	})
	if err != nil {
		return desc, nil, err
	}
	return ocispec.Descriptor{
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: TypeSignature,
		Digest:       digest.FromBytes(data),
		Size:         int64(len(data)),
		Annotations:  annotations,
	}, data, nil
}

func envelopeDescriptor(request PushRequest) ocispec.Descriptor {
	return ocispec.Descriptor{
		MediaType: request.MediaType,
		Digest:    digest.FromBytes(request.Envelope),
		Size:      int64(len(request.Envelope)),
	}
}

func thumbprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

// Thumbprints reads the thumbprints of a signing chain from manifest
// annotations, in lower case; false when there are none to be had. They are not
// signed: they can rule a signature out, never in (MAN-19).
func Thumbprints(annotations map[string]string) ([]string, bool) {
	text, ok := annotations[AnnotationThumbprints]
	if !ok {
		return nil, false
	}
	var thumbprints []string
	if json.Unmarshal([]byte(text), &thumbprints) != nil || len(thumbprints) == 0 {
		return nil, false
	}
	for i, thumbprint := range thumbprints {
		thumbprints[i] = strings.ToLower(thumbprint)
	}
	return thumbprints, true
}
