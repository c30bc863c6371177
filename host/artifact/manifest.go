package artifact

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host/pki"
)

// manifestWeight is how many times its size a manifest can take when it is decoded
// (checkDensity).
const manifestWeight = 8

// maxThumbprints bounds the thumbprints read from one annotation.
const maxThumbprints = 100

// emptyConfig is the config of every signature manifest (MAN-02).
var emptyConfig = ocispec.DescriptorEmptyJSON

// signatureManifest is what a stored signature manifest says.
type signatureManifest struct {
	envelope    ocispec.Descriptor
	subject     ocispec.Descriptor
	annotations map[string]string
}

// decodeManifest reads a signature manifest of one of the three kinds accepted:
// an image manifest with the artifact type (MAN-01), one with the config media
// type instead (MAN-03), and the retired artifact manifest (MAN-11).
func decodeManifest(mediaType string, data []byte) (*signatureManifest, error) {
	if err := checkDensity(data); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSignature, err)
	}
	var m struct {
		MediaType    string               `json:"mediaType"`
		ArtifactType string               `json:"artifactType"`
		Config       ocispec.Descriptor   `json:"config"`
		Layers       []ocispec.Descriptor `json:"layers"`
		Blobs        []ocispec.Descriptor `json:"blobs"`
		Subject      *ocispec.Descriptor  `json:"subject"`
		Annotations  map[string]string    `json:"annotations"`
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%w: it is not valid JSON", ErrNotSignature)
	}
	if m.MediaType != "" && m.MediaType != mediaType {
		return nil, fmt.Errorf("%w: it says mediaType %q inside and %q outside", ErrNotSignature, oneLine(m.MediaType), mediaType)
	}
	content := m.Layers
	switch {
	case mediaType == mediaTypeArtifactManifest:
		content = m.Blobs
		if m.ArtifactType != TypeSignature {
			return nil, fmt.Errorf("%w: artifactType is %q", ErrNotSignature, oneLine(m.ArtifactType))
		}
	case mediaType != ocispec.MediaTypeImageManifest:
		return nil, fmt.Errorf("%w: its media type is %q", ErrNotSignature, oneLine(mediaType))
	case m.ArtifactType == TypeSignature && m.Config.MediaType == ocispec.MediaTypeEmptyJSON:
	case m.ArtifactType == "" && m.Config.MediaType == TypeSignature:
	default:
		return nil, fmt.Errorf("%w: artifactType is %q and config.mediaType %q", ErrNotSignature, oneLine(m.ArtifactType), oneLine(m.Config.MediaType))
	}
	if len(content) != 1 {
		return nil, fmt.Errorf("%w: it has %d envelopes, not one", ErrNotSignature, len(content))
	}
	if !isEnvelopeType(content[0].MediaType) {
		return nil, fmt.Errorf("%w: its envelope's media type is %q", ErrNotSignature, oneLine(content[0].MediaType))
	}
	if m.Subject == nil {
		return nil, fmt.Errorf("%w: it has no subject", ErrSubjectMismatch)
	}
	return &signatureManifest{envelope: content[0], subject: plain(*m.Subject), annotations: m.Annotations}, nil
}

// encodeManifest makes the signature manifest for a request and an envelope
// already described (MAN-01..10). Its bytes are those other implementations write.
func encodeManifest(request PushRequest, envelope ocispec.Descriptor, warn func(string)) (ocispec.Descriptor, []byte, error) {
	annotations, err := manifestAnnotations(request, warn)
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	subject := plain(request.Subject)
	data, err := json.Marshal(ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: TypeSignature,
		Config:       emptyConfig,
		Layers:       []ocispec.Descriptor{envelope},
		Subject:      &subject,
		Annotations:  annotations,
	})
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	if len(data) > MaxManifestSize {
		return ocispec.Descriptor{}, nil, fmt.Errorf("the signature manifest would have %d bytes: %w", len(data), ErrTooLarge)
	}
	manifest := describe(ocispec.MediaTypeImageManifest, data)
	manifest.ArtifactType = TypeSignature
	manifest.Annotations = annotations
	return manifest, data, nil
}

// manifestAnnotations merges what the caller gave with the thumbprints and the
// time of signing, which are ours to set (MAN-07..09).
func manifestAnnotations(request PushRequest, warn func(string)) (map[string]string, error) {
	annotations := make(map[string]string, len(request.Annotations)+2)
	for name, value := range request.Annotations {
		if isReserved(name) {
			if name != AnnotationThumbprints {
				warn(fmt.Sprintf("The annotation %q is left out of the signature manifest: its name is reserved.", oneLine(name)))
			}
			continue
		}
		annotations[name] = value
	}
	thumbprints := make([]string, len(request.Certificates))
	for i, cert := range request.Certificates {
		thumbprints[i] = pki.Fingerprint(cert)
	}
	encoded, err := json.Marshal(thumbprints)
	if err != nil {
		return nil, err
	}
	annotations[AnnotationThumbprints] = string(encoded)
	annotations[ocispec.AnnotationCreated] = request.SigningTime.UTC().Format(time.RFC3339)
	return annotations, nil
}

// isReserved tells whether an annotation belongs to the specification's namespace.
func isReserved(name string) bool {
	return name == annotationReserved || strings.HasPrefix(name, annotationReserved+".")
}

// check refuses a request that would not give a signature anyone accepts.
func (r PushRequest) check() error {
	switch {
	case !isEnvelopeType(r.MediaType):
		return fmt.Errorf("%q is not the media type of a signature envelope", r.MediaType)
	case len(r.Envelope) > MaxEnvelopeSize:
		return fmt.Errorf("the signature envelope has %d bytes: %w", len(r.Envelope), ErrTooLarge)
	case len(r.Certificates) == 0:
		return errors.New("the signing certificate is missing")
	case r.SigningTime.IsZero():
		return errors.New("the signing time is missing")
	case r.Subject.MediaType == "" || r.Subject.Size < 0 || r.Subject.Digest.Validate() != nil:
		return errors.New("the artifact to sign is not fully described")
	}
	return nil
}

// Thumbprints reads the fingerprints of the signing certificate and its chain
// from a signature manifest's annotations: SHA-256 in lower-case hexadecimal. They
// are not signed, so they can rule a signature out before it is downloaded, never
// in (MAN-19). It reports false when they are absent or unreadable.
func Thumbprints(annotations map[string]string) ([]string, bool) {
	text, ok := annotations[AnnotationThumbprints]
	if !ok {
		return nil, false
	}
	var thumbprints []string
	if err := json.Unmarshal([]byte(text), &thumbprints); err != nil || len(thumbprints) == 0 || len(thumbprints) > maxThumbprints {
		return nil, false
	}
	for i, thumbprint := range thumbprints {
		thumbprints[i] = strings.ToLower(thumbprint)
		if digest.NewDigestFromEncoded(digest.SHA256, thumbprints[i]).Validate() != nil {
			return nil, false
		}
	}
	return thumbprints, true
}

// store reads verified content: the result has the descriptor's size and digest.
// What the store does not have or cannot vouch for is not a [*RegistryError].
type store interface {
	// what names the kind of manifest, for errors.
	readManifest(ctx context.Context, what string, target ocispec.Descriptor) ([]byte, error)
	readBlob(ctx context.Context, target ocispec.Descriptor) ([]byte, error)
}

// fetchSignature reads a signature manifest and its envelope, refusing by
// declared sizes before it downloads anything (MAN-12).
func fetchSignature(ctx context.Context, from store, manifest, subject ocispec.Descriptor, reserve Reserve) (*Signature, error) {
	bad := func(err error) (*Signature, error) {
		if failed, ok := errors.AsType[*RegistryError](err); ok && !errors.Is(err, ErrNotFound) {
			return nil, failed
		}
		return nil, &CandidateError{Manifest: manifest.Digest, Err: err}
	}
	if manifest.MediaType != ocispec.MediaTypeImageManifest && manifest.MediaType != mediaTypeArtifactManifest {
		return bad(fmt.Errorf("%w: its media type is %q", ErrNotSignature, oneLine(manifest.MediaType)))
	}
	if err := checkSize(manifest, MaxManifestSize); err != nil {
		return bad(err)
	}
	if err := reserve.bytes(ctx, manifest.Size*manifestWeight); err != nil {
		return bad(err)
	}
	data, err := from.readManifest(ctx, "signature manifest", manifest)
	if err != nil {
		return bad(err)
	}
	decoded, err := decodeManifest(manifest.MediaType, data)
	if err != nil {
		return bad(err)
	}
	if !same(decoded.subject, subject) {
		return bad(fmt.Errorf("%w, it is %s", ErrSubjectMismatch, oneLine(decoded.subject.Digest.String())))
	}
	if err := checkSize(decoded.envelope, MaxEnvelopeSize); err != nil {
		return bad(fmt.Errorf("envelope: %w", err))
	}
	if err := reserve.bytes(ctx, decoded.envelope.Size); err != nil {
		return bad(err)
	}
	blob, err := from.readBlob(ctx, decoded.envelope)
	if err != nil {
		return bad(fmt.Errorf("envelope: %w", err))
	}
	return &Signature{
		Manifest:    manifest,
		MediaType:   decoded.envelope.MediaType,
		Envelope:    blob,
		Annotations: boundedAnnotations(decoded.annotations),
		Subject:     decoded.subject,
	}, nil
}

// checkDensity refuses JSON with more values than manifests and indexes of its size
// have. Decoded, each element of a list of descriptors takes 120 bytes and more,
// also one that is written as "0,".
func checkDensity(data []byte) error {
	if values := bytes.Count(data, []byte{','}); values > 1024+len(data)/16 {
		return fmt.Errorf("it has %d values in %d bytes, which no list of descriptors has", values, len(data))
	}
	return nil
}

// checkSize refuses a descriptor that is malformed or declares more than limit bytes.
func checkSize(target ocispec.Descriptor, limit int64) error {
	if err := target.Digest.Validate(); err != nil {
		return fmt.Errorf("%w: invalid digest %q", ErrNotSignature, oneLine(target.Digest.String()))
	}
	if target.Size < 0 || target.Size > limit {
		return fmt.Errorf("%w: it declares %d bytes, the limit is %d", ErrTooLarge, target.Size, limit)
	}
	return nil
}

func isEnvelopeType(mediaType string) bool {
	return mediaType == mediaTypeJWS || mediaType == mediaTypeCOSE
}

// isManifestType tells whether content of this media type can be signed as an artifact.
func isManifestType(mediaType string) bool {
	switch mediaType {
	case ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, mediaTypeArtifactManifest,
		mediaTypeDockerManifest, mediaTypeDockerManifestList:
		return true
	}
	return false
}

// Bounds, in bytes, on what is kept of a listed manifest's description. Media types
// and digests that may count are shorter.
const (
	maxAnnotations = 64 << 10
	maxListedText  = 256
)

// listed keeps of a manifest's description what tells of a signature: others can list
// any number with megabytes of text each. What is too long is cut, which makes a
// manifest that is refused.
func listed(d ocispec.Descriptor) ocispec.Descriptor {
	cut := func(text string) string { return strings.Clone(text[:min(len(text), maxListedText)]) }
	return ocispec.Descriptor{
		MediaType: cut(d.MediaType), Digest: digest.Digest(cut(d.Digest.String())), Size: d.Size,
		ArtifactType: d.ArtifactType, Annotations: boundedAnnotations(d.Annotations),
	}
}

// boundedAnnotations returns annotations, or none if there is too much of them.
func boundedAnnotations(annotations map[string]string) map[string]string {
	size := 0
	for name, value := range annotations {
		size += len(name) + len(value)
	}
	if size > maxAnnotations {
		return nil
	}
	return annotations
}

// plain keeps only what identifies content.
func plain(d ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

// same compares what identifies content.
func same(a, b ocispec.Descriptor) bool {
	return a.MediaType == b.MediaType && a.Digest == b.Digest && a.Size == b.Size
}

// describe makes the descriptor of data.
func describe(mediaType string, data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}
