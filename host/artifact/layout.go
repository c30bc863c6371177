package artifact

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/oci"
)

// layout is a Repository in an OCI layout directory (MAN-21).
type layout struct {
	path  string
	store *oci.Store
}

// OpenLayout opens the OCI layout in a directory, which must exist.
func OpenLayout(ctx context.Context, path string) (Repository, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("failed to open OCI layout %s: %w", path, errors.Unwrap(err))
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("OCI layout %s is not a directory: unpack the archive first", path)
	}
	for _, name := range []string{ocispec.ImageLayoutFile, ocispec.ImageIndexFile} {
		if _, err := os.Stat(filepath.Join(path, name)); err != nil {
			return nil, fmt.Errorf("%s is not an OCI layout: it has no %s", path, name)
		}
	}
	store, err := oci.NewWithContext(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("failed to open OCI layout %s: %w", path, err)
	}
	return &layout{path: path, store: store}, nil
}

func (l *layout) Resolve(ctx context.Context, reference string) (ocispec.Descriptor, error) {
	desc, err := l.store.Resolve(ctx, reference)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("failed to resolve %q in OCI layout %s: %w", reference, l.path, err)
	}
	return desc, nil
}

// Signatures goes through the manifests whose subject is subject.
func (l *layout) Signatures(ctx context.Context, subject ocispec.Descriptor) iter.Seq2[ocispec.Descriptor, error] {
	return func(yield func(ocispec.Descriptor, error) bool) {
		predecessors, err := l.store.Predecessors(ctx, subject)
		if err != nil {
			yield(ocispec.Descriptor{}, fmt.Errorf("failed to list the signatures in OCI layout %s: %w", l.path, err))
			return
		}
		for _, desc := range predecessors {
			if l.claims(ctx, &desc, subject) && !yield(desc, nil) {
				return
			}
		}
	}
}

// claims reads a manifest and tells whether it is a signature of subject; its
// annotations are added to desc. A manifest that cannot be read as a manifest
// is no signature.
func (l *layout) claims(ctx context.Context, desc *ocispec.Descriptor, subject ocispec.Descriptor) bool {
	if desc.Size > MaxManifestSize {
		return false
	}
	data, err := content.FetchAll(ctx, l.store, *desc)
	if err != nil {
		return false
	}
	var m manifest
	if json.Unmarshal(data, &m) != nil || m.kind() != TypeSignature || m.Subject == nil || m.Subject.Digest != subject.Digest {
		return false
	}
	desc.ArtifactType, desc.Annotations = TypeSignature, m.Annotations
	return true
}

func (l *layout) FetchSignature(ctx context.Context, manifest, subject ocispec.Descriptor) (*Signature, error) {
	return fetchSignature(ctx, l.store, l.store, manifest, subject)
}

// PushSignature stores the signature while no other process of ours changes
// index.json.
func (l *layout) PushSignature(ctx context.Context, request PushRequest) (ocispec.Descriptor, error) {
	lock := flock.New(filepath.Join(l.path, ".lock"))
	if err := lock.Lock(); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("failed to lock OCI layout %s: %w", l.path, err)
	}
	defer func() {
		os.Remove(lock.Path())
		lock.Unlock()
	}()
	// Read the index again: others may have signed since it was opened.
	store, err := oci.NewWithContext(ctx, l.path)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("failed to open OCI layout %s: %w", l.path, err)
	}
	l.store = store
	desc, err := pushSignature(ctx, store, store, request)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("failed to push signature to OCI layout %s: %w", l.path, err)
	}
	return desc, nil
}
