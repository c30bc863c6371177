package artifact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// warnGarbage is the text of MAN-16.
const warnGarbage = "Removal of outdated referrers index from remote registry failed. Garbage collection may be required."

// maxTagAttempts bounds how often an index is written again that others keep overwriting.
const maxTagAttempts = 20

// retryBackoff is the wait before an attempt, counted from 0.
type retryBackoff func(attempt int) time.Duration

// taggedIndex is the index at a referrers tag as it was read.
type taggedIndex struct {
	*index
	// desc is empty when there was none.
	desc ocispec.Descriptor
}

// addToReferrersTag lists a signature manifest in the index at the subject's
// referrers tag (distribution-spec 1.1, "Referrers Tag Schema"; MAN-15).
//
// The protocol has no way to replace the index only if nobody else has, so the
// index is read again after it was written, and once more after its predecessor
// was deleted. Whatever was seen in it once and is gone was lost to somebody who
// wrote at the same time, and is put back.
func (r *remoteRepository) addToReferrersTag(ctx context.Context, subject, manifest ocispec.Descriptor) error {
	tag := subject.Digest.Algorithm().String() + "-" + subject.Digest.Encoded()
	unlock := r.lockTag(tag)
	defer unlock()

	wanted := newIndex()
	if _, err := wanted.add(manifest); err != nil {
		return err
	}
	var superseded []ocispec.Descriptor
	for attempt := range maxTagAttempts {
		current, err := r.readReferrersTag(ctx, tag, subject)
		if err != nil {
			return r.failure("read the referrers index", err)
		}
		wanted.addMissing(current.index)
		changed, err := current.add(manifest)
		if err != nil {
			return err
		}
		if current.addMissing(wanted) || changed {
			if attempt > 1 {
				if err := sleep(ctx, r.backoff(min(attempt-2, 4))); err != nil {
					return r.failure("update the referrers index", err)
				}
			}
			if err := r.writeReferrersTag(ctx, tag, current.index); err != nil {
				return err
			}
			if current.desc.Digest != "" {
				superseded = append(superseded, current.desc)
			}
			continue
		}
		superseded = slices.DeleteFunc(superseded, func(d ocispec.Descriptor) bool { return d.Digest == current.desc.Digest })
		if len(superseded) == 0 {
			return nil
		}
		r.deleteSuperseded(ctx, superseded)
		superseded = nil
	}
	return r.failure("update the referrers index", fmt.Errorf("others kept changing the tag %s; sign again later", tag))
}

// lockTag keeps other pushes of ours away from a tag until the result is called.
func (r *remoteRepository) lockTag(tag string) func() {
	r.mu.Lock()
	lock := r.tagLocks[tag]
	if lock == nil {
		lock = &sync.Mutex{}
		r.tagLocks[tag] = lock
	}
	r.mu.Unlock()
	lock.Lock()
	return lock.Unlock
}

// readReferrersTag reads the index at a tag. What is there but is no index of
// referrers counts as nothing, as it does for readers.
func (r *remoteRepository) readReferrersTag(ctx context.Context, tag string, subject ocispec.Descriptor) (*taggedIndex, error) {
	none := &taggedIndex{index: newIndex()}
	desc, body, err := r.repo.Manifests().FetchReference(ctx, tag)
	if errors.Is(err, errdef.ErrNotFound) {
		return none, nil
	}
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if desc.MediaType != ocispec.MediaTypeImageIndex || desc.Digest == subject.Digest {
		return none, nil
	}
	if desc.Size > maxMetadataSize {
		return nil, fmt.Errorf("the index at tag %s has %d bytes: %w", tag, desc.Size, ErrTooLarge)
	}
	data, err := content.ReadAll(body, desc)
	if err != nil {
		return nil, err
	}
	parsed, err := parseIndex(data)
	if err != nil {
		return nil, fmt.Errorf("tag %s: %w", tag, err)
	}
	return &taggedIndex{index: parsed, desc: desc}, nil
}

func (r *remoteRepository) writeReferrersTag(ctx context.Context, tag string, index *index) error {
	data, err := index.marshal()
	if err != nil {
		return err
	}
	if len(data) > maxMetadataSize {
		return r.failure("update the referrers index", fmt.Errorf("the index at tag %s would have %d bytes: %w", tag, len(data), ErrTooLarge))
	}
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if err := r.writer(r.client).Manifests().PushReference(ctx, desc, bytes.NewReader(data), tag); err != nil {
		return r.failure("update the referrers index", err)
	}
	return nil
}

// deleteSuperseded removes indexes that the tag no longer points to. That it
// cannot be done is worth a warning, no more (MAN-16).
func (r *remoteRepository) deleteSuperseded(ctx context.Context, indexes []ocispec.Descriptor) {
	ctx = auth.AppendRepositoryScope(ctx, r.repo.Reference, auth.ActionDelete)
	for _, desc := range indexes {
		err := r.writer(r.client).Manifests().Delete(ctx, desc)
		if err != nil && !errors.Is(err, errdef.ErrNotFound) {
			r.warn(warnGarbage)
			return
		}
	}
}

// sleep waits, unless ctx ends first.
func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
