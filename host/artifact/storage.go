package artifact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// Storage is a [Repository] whose artifacts themselves can be read and stored.
type Storage interface {
	Repository

	// FetchManifest reads a manifest; its size, at most MaxManifestSize, and its
	// digest are verified. One that is not there is [ErrNotFound], one that is not
	// what target says [ErrContentMismatch].
	FetchManifest(ctx context.Context, target ocispec.Descriptor) ([]byte, error)

	// FetchBlob writes a blob of target.Size bytes to w, never more. Only when there
	// is no error is what was written what target describes.
	FetchBlob(ctx context.Context, target ocispec.Descriptor, w io.Writer) error

	// PushBlob stores a blob; content has target.Size bytes. One that is there is
	// not stored again.
	PushBlob(ctx context.Context, target ocispec.Descriptor, content io.Reader) error

	// PushManifest stores a manifest, so that it is found by its digest. What it
	// refers to has to be there.
	PushManifest(ctx context.Context, target ocispec.Descriptor, data []byte) error

	// Tag lets a tag point to a manifest that is there, whatever it pointed to before.
	Tag(ctx context.Context, target ocispec.Descriptor, tag string) error
}

var (
	_ Storage = (*remoteRepository)(nil)
	_ Storage = (*Layout)(nil)
)

// FetchManifest reads a manifest.
func (r *remoteRepository) FetchManifest(ctx context.Context, target ocispec.Descriptor) ([]byte, error) {
	if err := checkContent(target, MaxManifestSize); err != nil {
		return nil, fmt.Errorf("manifest %w", err)
	}
	data, err := r.readManifest(ctx, "manifest", target)
	if err != nil {
		return nil, aboutContent(err, "manifest", target)
	}
	return data, nil
}

// FetchBlob downloads a blob.
func (r *remoteRepository) FetchBlob(ctx context.Context, target ocispec.Descriptor, w io.Writer) error {
	if err := checkContent(target, math.MaxInt64); err != nil {
		return fmt.Errorf("blob %w", err)
	}
	out := &sink{w: w}
	err := r.download(ctx, target, out)
	switch {
	case err == nil:
		return nil
	case out.err != nil:
		return out.err
	case isRegistryFailure(err):
		return registryError(r.host, "fetch blob "+JoinReference(r.name, target.Digest.String()), err)
	case errors.Is(err, errdef.ErrNotFound):
		return aboutContent(ErrNotFound, "blob", target)
	case errors.Is(err, errEndsEarly):
		return aboutContent(errEndsEarly, "blob", target)
	}
	// The library's text may quote a URL, which may hold secrets.
	return aboutContent(ErrContentMismatch, "blob", target)
}

func (r *remoteRepository) download(ctx context.Context, target ocispec.Descriptor, w io.Writer) error {
	body, err := r.transfer.Blobs().Fetch(ctx, target)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(w, newVerifier(body, target))
	return err
}

// verifier reads what a descriptor describes: reading ends with an error where
// size or digest are others.
type verifier struct{ *content.VerifyReader }

func newVerifier(from io.Reader, target ocispec.Descriptor) io.Reader {
	return verifier{content.NewVerifyReader(from, target)}
}

func (v verifier) Read(p []byte) (int, error) {
	n, err := v.VerifyReader.Read(p)
	if errors.Is(err, io.EOF) {
		if failed := v.Verify(); failed != nil {
			return n, fmt.Errorf("%w: %w", ErrContentMismatch, failed)
		}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return n, errEndsEarly
	}
	return n, err
}

var errEndsEarly = fmt.Errorf("%w: it ends early", ErrContentMismatch)

// sink notes that writing failed, which is not the fault of who was read from.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil {
		s.err = err
	}
	return n, err
}

// PushBlob uploads a blob.
func (r *remoteRepository) PushBlob(ctx context.Context, target ocispec.Descriptor, content io.Reader) error {
	ctx = auth.AppendRepositoryScope(ctx, r.repo.Reference, auth.ActionPull, auth.ActionPush)
	exists, err := r.repo.Blobs().Exists(ctx, target)
	if err == nil && !exists {
		// Closing content is for who opened it.
		err = r.transfer.Blobs().Push(ctx, target, io.NopCloser(content))
	}
	if err != nil {
		return r.failure("push blob "+target.Digest.String(), err)
	}
	return nil
}

// PushManifest uploads a manifest.
func (r *remoteRepository) PushManifest(ctx context.Context, target ocispec.Descriptor, data []byte) error {
	if _, err := r.pushManifest(ctx, target, bytes.NewReader(data)); err != nil {
		return r.failure("push manifest "+target.Digest.String(), err)
	}
	return nil
}

// Tag uploads a manifest again, by its tag.
func (r *remoteRepository) Tag(ctx context.Context, target ocispec.Descriptor, tag string) error {
	if err := checkTag(tag); err != nil {
		return err
	}
	data, err := r.FetchManifest(ctx, target)
	if err != nil {
		return err
	}
	if err := r.writer(r.client).Manifests().PushReference(ctx, target, bytes.NewReader(data), tag); err != nil {
		return r.failure("tag "+JoinReference(r.name, tag), err)
	}
	return nil
}

// FetchManifest reads a manifest.
func (l *Layout) FetchManifest(_ context.Context, target ocispec.Descriptor) ([]byte, error) {
	if err := checkContent(target, MaxManifestSize); err != nil {
		return nil, l.failure(fmt.Errorf("manifest %w", err))
	}
	data, err := l.read(target, MaxManifestSize)
	if err != nil {
		return nil, l.failure(aboutContent(err, "manifest", target))
	}
	return data, nil
}

// FetchBlob copies a blob.
func (l *Layout) FetchBlob(_ context.Context, target ocispec.Descriptor, w io.Writer) error {
	if err := checkContent(target, math.MaxInt64); err != nil {
		return l.failure(fmt.Errorf("blob %w", err))
	}
	file, err := l.openFile(l.blobName(target.Digest))
	if err != nil {
		return l.failure(aboutContent(err, "blob", target))
	}
	defer file.Close()
	out := &sink{w: w}
	if _, err = io.Copy(out, newVerifier(file, target)); err == nil || out.err != nil {
		return out.err
	}
	return l.failure(aboutContent(pathless(err), "blob", target))
}

// PushBlob stores a blob. Other writers wait until it has read content.
func (l *Layout) PushBlob(ctx context.Context, target ocispec.Descriptor, content io.Reader) error {
	if err := checkContent(target, math.MaxInt64); err != nil {
		return l.failure(fmt.Errorf("blob %w", err))
	}
	unlock, err := l.lock(ctx)
	if err != nil {
		return l.failure(err)
	}
	defer unlock()
	if _, err := l.storeBlob(target, content); err != nil {
		return l.failure(aboutContent(err, "blob", target))
	}
	return nil
}

// PushManifest stores a manifest and lists it in index.json, without a tag.
func (l *Layout) PushManifest(ctx context.Context, target ocispec.Descriptor, data []byte) error {
	err := l.update(ctx, func(index *index, store storeFunc) error {
		if err := store(target, data); err != nil {
			return err
		}
		if index.lists(target) {
			return nil
		}
		_, err := index.add(target)
		return err
	})
	if err != nil {
		return l.failure(aboutContent(err, "manifest", target))
	}
	return nil
}

// Tag gives a tag to an entry of index.json and takes it from any other.
func (l *Layout) Tag(ctx context.Context, target ocispec.Descriptor, tag string) error {
	if err := checkTag(tag); err != nil {
		return l.failure(err)
	}
	if _, err := l.FetchManifest(ctx, target); err != nil {
		return err
	}
	if err := l.update(ctx, func(index *index, _ storeFunc) error { return index.tag(target, tag) }); err != nil {
		return l.failure(err)
	}
	return nil
}

// checkContent is checkSize for content that is no signature.
func checkContent(target ocispec.Descriptor, limit int64) error {
	if err := target.Digest.Validate(); err != nil {
		return fmt.Errorf("%q: invalid digest", oneLine(target.Digest.String()))
	}
	if target.Size < 0 || target.Size > limit {
		return fmt.Errorf("%s: %w: it declares %d bytes", target.Digest, ErrTooLarge, target.Size)
	}
	return nil
}

// checkTag refuses what cannot be a tag.
func checkTag(tag string) error {
	if !isTag(tag) {
		return fmt.Errorf("%q is not a tag", oneLine(tag))
	}
	return nil
}

// aboutContent says what an error is about, unless it is the registry's.
func aboutContent(err error, what string, target ocispec.Descriptor) error {
	if failed, ok := errors.AsType[*RegistryError](err); ok {
		return failed
	}
	return fmt.Errorf("%s %s: %w", what, target.Digest, err)
}
