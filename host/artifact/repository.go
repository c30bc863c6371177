package artifact

import (
	"context"
	"crypto/x509"
	"iter"
	"time"

	// The digest algorithms a reference may name.
	_ "crypto/sha256"
	_ "crypto/sha512"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Media and artifact types of signature manifests (signature-specification.md,
// "Storage"; OCI image-spec 1.1).
const (
	// TypeSignature marks a manifest as a Notary Project signature.
	TypeSignature = "application/vnd.cncf.notary.signature"

	// mediaTypeArtifactManifest is the retired OCI artifact manifest; signatures
	// stored in one are still read (MAN-11).
	mediaTypeArtifactManifest = "application/vnd.oci.artifact.manifest.v1+json"

	mediaTypeJWS  = "application/jose+json"
	mediaTypeCOSE = "application/cose"

	mediaTypeDockerManifest     = "application/vnd.docker.distribution.manifest.v2+json"
	mediaTypeDockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// Annotations of signature manifests. None of them is signed.
const (
	// AnnotationThumbprints holds the SHA-256 fingerprints of the signing
	// certificate and its chain, in order, as a JSON array of hexadecimal strings.
	AnnotationThumbprints = "io.cncf.notary.x509chain.thumbprint#S256"

	annotationReserved = "io.cncf.notary"
)

// Bounds on what is read (MAN-12, REG-09).
const (
	// MaxManifestSize bounds a manifest and an index, in bytes.
	MaxManifestSize = 4 << 20
	// MaxEnvelopeSize bounds a signature envelope, in bytes.
	MaxEnvelopeSize = 32 << 20

	maxMetadataSize  = 4 << 20
	maxReferrerPages = 256
)

// Repository is a place that holds artifacts and their signatures: a repository
// of a registry, or an OCI layout on disk. Its methods may be called from many
// goroutines at once.
type Repository interface {
	// Resolve finds the manifest that reference names: a tag, or a digest in the
	// form "sha256:<hex>". Only MediaType, Digest and Size of the result are set. A
	// digest answered by another one is a [*DigestMismatchError]; a manifest that
	// is not there is [ErrNotFound].
	Resolve(ctx context.Context, reference string) (ocispec.Descriptor, error)

	// Signatures yields the signature manifests that claim to belong to subject,
	// page by page as the caller goes on; annotations are those of the manifest,
	// as the registry reports them, and left out where they have more than 64 KiB.
	// Nothing is verified yet. An error ends the sequence.
	Signatures(ctx context.Context, subject ocispec.Descriptor) iter.Seq2[ocispec.Descriptor, error]

	// FetchSignature reads one signature that Signatures found for subject. A
	// [*CandidateError] says that this signature is unusable and tells nothing of
	// others; a [*RegistryError] that the registry failed. reserve is asked for memory
	// on the way; nil means that there is enough.
	FetchSignature(ctx context.Context, manifest, subject ocispec.Descriptor, reserve Reserve) (*Signature, error)

	// Manifests lists the manifests that an index names, in its order, each once;
	// none for a manifest that is no index. Only MediaType, Digest and Size are set. The
	// index's own content is verified, what it lists is not looked at.
	Manifests(ctx context.Context, index ocispec.Descriptor) ([]ocispec.Descriptor, error)

	// ExpectSignature tells that PushSignature is going to be called, so that what it has
	// to find out from others is known by then. It changes nothing and need not be
	// called; what goes wrong does so again in PushSignature.
	ExpectSignature(ctx context.Context)

	// PushSignature stores an envelope and returns the descriptor of the manifest
	// made for it. The artifact itself is not touched. Errors are [*PushError].
	PushSignature(ctx context.Context, request PushRequest) (ocispec.Descriptor, error)
}

// Reserve is asked for memory before something is read that others chose the size of,
// first the manifest of a signature and then its envelope: for the bytes that are needed
// from now on, in place of those asked for before. It may wait; its error ends the
// fetch. Who gave it knows when the signature is not needed any more.
type Reserve func(ctx context.Context, bytes int64) error

// bytes asks for memory, if there is anybody to ask.
func (r Reserve) bytes(ctx context.Context, bytes int64) error {
	if r == nil {
		return nil
	}
	return r(ctx, bytes)
}

// Signature is a signature as it was stored.
type Signature struct {
	// Manifest describes the signature manifest.
	Manifest ocispec.Descriptor
	// MediaType is the envelope's: application/jose+json or application/cose.
	MediaType string
	// Envelope is the signature envelope; its digest and size are verified.
	Envelope []byte
	// Annotations are the signature manifest's, none if they have more than 64 KiB.
	// They are not signed.
	Annotations map[string]string
	// Subject is the artifact the manifest names, equal to the one asked for.
	Subject ocispec.Descriptor
}

// PushRequest is a signature to be stored.
type PushRequest struct {
	// MediaType is the envelope's: application/jose+json or application/cose.
	MediaType string
	// Envelope is the signature envelope.
	Envelope []byte
	// Subject is the signed artifact's manifest; only MediaType, Digest and Size are used.
	Subject ocispec.Descriptor
	// Certificates is the signing certificate and its chain, for the thumbprint annotation.
	Certificates []*x509.Certificate
	// SigningTime goes into the created annotation.
	SigningTime time.Time
	// Annotations are merged into the manifest's, such as those a plugin gave.
	// Those of the namespace io.cncf.notary are reserved and left out with a warning.
	Annotations map[string]string
}
