package peers

import (
	"context"

	notation "github.com/notaryproject/notation-go/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry"
)

// layout is notation-go's view of an OCI layout, opened anew for each call
// because others write to the layout in between.
//
// It lists signatures by their artifact type, as a registry does and the
// specification says. notation-go's own listing of a layout goes by the media
// type of the config, so that it finds no signature stored as the specification
// says; TestDifferences holds on to that.
type layout struct{ path string }

var _ notation.Repository = (*layout)(nil)

func (l *layout) open() (notation.Repository, error) {
	return notation.NewOCIRepository(l.path, notation.RepositoryOptions{})
}

func (l *layout) Resolve(ctx context.Context, reference string) (ocispec.Descriptor, error) {
	repo, err := l.open()
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return repo.Resolve(ctx, reference)
}

func (l *layout) ListSignatures(ctx context.Context, desc ocispec.Descriptor, fn func([]ocispec.Descriptor) error) error {
	store, err := oci.New(l.path)
	if err != nil {
		return err
	}
	found, err := registry.Referrers(ctx, store, desc, notation.ArtifactTypeNotation)
	if err != nil {
		return err
	}
	return fn(found)
}

func (l *layout) FetchSignatureBlob(ctx context.Context, desc ocispec.Descriptor) ([]byte, ocispec.Descriptor, error) {
	repo, err := l.open()
	if err != nil {
		return nil, ocispec.Descriptor{}, err
	}
	return repo.FetchSignatureBlob(ctx, desc)
}

func (l *layout) PushSignature(ctx context.Context, mediaType string, blob []byte, subject ocispec.Descriptor, annotations map[string]string) (blobDesc, manifestDesc ocispec.Descriptor, err error) {
	repo, err := l.open()
	if err != nil {
		return ocispec.Descriptor{}, ocispec.Descriptor{}, err
	}
	return repo.PushSignature(ctx, mediaType, blob, subject, annotations)
}
