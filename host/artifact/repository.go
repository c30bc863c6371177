package artifact

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
)

// Repository is where an artifact and its signatures live.
type Repository interface {
	// Resolve returns the descriptor of a tag or digest; of a digest asked for,
	// the descriptor has that digest.
	Resolve(ctx context.Context, reference string) (ocispec.Descriptor, error)
	// Signatures lists the signature manifests that claim subject. Pages are
	// fetched as the sequence is read; an error ends it.
	Signatures(ctx context.Context, subject ocispec.Descriptor) iter.Seq2[ocispec.Descriptor, error]
	// FetchSignature fetches a signature of subject. Errors are about this
	// signature alone.
	FetchSignature(ctx context.Context, manifest, subject ocispec.Descriptor) (*Signature, error)
	// PushSignature stores a signature beside its subject and returns its
	// manifest's descriptor.
	PushSignature(ctx context.Context, request PushRequest) (ocispec.Descriptor, error)
}

// Signature is a signature as fetched: bytes, and nothing checked but digests.
type Signature struct {
	// MediaType is the envelope's.
	MediaType string
	Envelope  []byte
	// Annotations are the manifest's.
	Annotations map[string]string
}

// PushRequest is a signature to be stored.
type PushRequest struct {
	// MediaType is the envelope's.
	MediaType string
	Envelope  []byte
	// Subject is the artifact signed.
	Subject ocispec.Descriptor
	// Certificates is the signing chain, for the thumbprint annotation.
	Certificates []*x509.Certificate
	// SigningTime becomes the manifest's creation time.
	SigningTime time.Time
	// Annotations are added to the manifest.
	Annotations map[string]string
}

// fetchSignature reads manifest and envelope with their bounds (MAN-05, MAN-12,
// MAN-20, MAN-23).
func fetchSignature(ctx context.Context, store content.Fetcher, blobs content.Fetcher, desc, subject ocispec.Descriptor) (*Signature, error) {
	if desc.Size < 0 || desc.Size > MaxManifestSize {
		return nil, fmt.Errorf("signature manifest of %d bytes is larger than the %d allowed", desc.Size, MaxManifestSize)
	}
	data, err := content.FetchAll(ctx, store, desc)
	if err != nil {
		return nil, fmt.Errorf("fetch signature manifest: %w", err)
	}
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("signature manifest is malformed: %w", err)
	}
	if m.MediaType == "" {
		m.MediaType = desc.MediaType
	}
	if m.Subject == nil || m.Subject.Digest != subject.Digest || m.Subject.Size != subject.Size || m.Subject.MediaType != subject.MediaType {
		return nil, errors.New("the signature manifest is about another artifact")
	}
	layer, err := m.envelope()
	if err != nil {
		return nil, err
	}
	envelope, err := content.FetchAll(ctx, blobs, layer)
	if err != nil {
		return nil, fmt.Errorf("fetch signature envelope: %w", err)
	}
	return &Signature{MediaType: layer.MediaType, Envelope: envelope, Annotations: m.Annotations}, nil
}

// pusher is what storing a signature takes of a registry or layout.
type pusher interface {
	Exists(ctx context.Context, target ocispec.Descriptor) (bool, error)
	Push(ctx context.Context, expected ocispec.Descriptor, content io.Reader) error
}

// pushSignature stores envelope, config and manifest in this order (MAN-18):
// whoever sees the manifest finds the rest.
func pushSignature(ctx context.Context, blobs, manifests pusher, request PushRequest) (ocispec.Descriptor, error) {
	desc, data, err := newManifest(request)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if desc.Size > MaxManifestSize || len(request.Envelope) > MaxEnvelopeSize {
		return ocispec.Descriptor{}, errors.New("the signature is larger than verifiers accept: use less metadata")
	}
	for _, step := range []struct {
		to   pusher
		desc ocispec.Descriptor
		data []byte
	}{
		{blobs, envelopeDescriptor(request), request.Envelope},
		{blobs, ocispec.DescriptorEmptyJSON, ocispec.DescriptorEmptyJSON.Data},
		{manifests, desc, data},
	} {
		if err := pushOnce(ctx, step.to, step.desc, step.data); err != nil {
			return ocispec.Descriptor{}, err
		}
	}
	return desc, nil
}

func pushOnce(ctx context.Context, to pusher, desc ocispec.Descriptor, data []byte) error {
	exists, err := to.Exists(ctx, desc)
	if err != nil || exists {
		return err
	}
	err = to.Push(ctx, desc, bytes.NewReader(data))
	if errors.Is(err, errdef.ErrAlreadyExists) {
		return nil
	}
	return err
}

// isSignature tells by a referrer's descriptor whether it may be a signature.
func isSignature(desc ocispec.Descriptor) bool { return desc.ArtifactType == TypeSignature }
