package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// warnGarbage is the text of MAN-16.
const warnGarbage = "Removal of outdated referrers index from remote registry failed. Garbage collection may be required."

// maxTagWrites bounds how often an index is written that others keep overwriting.
const maxTagWrites = 20

// maxSettle bounds the wait for others that had read the index before we wrote it.
const maxSettle = 2 * time.Second

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
// The protocol has no way to replace the index only if nobody else has. Processes
// of this machine wait for each other by a lock file (Client.LockDir). For the rest
// of the world the index is read again some time after it was written, and once
// more after its predecessor was deleted. Whatever was seen in it once and is gone
// was lost to somebody who wrote at the same time, and is put back.
func (r *remoteRepository) addToReferrersTag(ctx context.Context, subject, manifest ocispec.Descriptor) error {
	tag := subject.Digest.Algorithm().String() + "-" + subject.Digest.Encoded()
	unlock, err := r.lockTag(ctx, tag)
	if err != nil {
		return r.failure("update the referrers index", err)
	}
	defer unlock()

	wanted := newIndex()
	if _, err := wanted.add(manifest); err != nil {
		return err
	}
	var superseded []ocispec.Descriptor
	for writes := 0; writes < maxTagWrites; {
		began := time.Now()
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
			if err := r.writeReferrersTag(ctx, tag, current.index); err != nil {
				return err
			}
			if current.desc.Digest != "" {
				superseded = append(superseded, current.desc)
			}
			if err := r.settle(ctx, writes, time.Since(began)); err != nil {
				return r.failure("update the referrers index", err)
			}
			writes++
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

// settle waits after a write for those who had read the index before it: what
// they write cannot have our entry, and has to be there when the index is read
// again. They are given twice as long as it took us to read and write, and more
// the more often an entry was lost.
func (r *remoteRepository) settle(ctx context.Context, writes int, took time.Duration) error {
	wait := min(2*took, maxSettle)
	if writes > 0 {
		wait += r.backoff(min(writes-1, 4))
	}
	return r.sleep(ctx, wait)
}

// tagTurns keep our own pushes from getting in each other's way at a referrers tag. There
// is a fixed number of them, so that there are not more and more; tags that share one
// wait without need.
type tagTurns [256]*semaphore.Weighted

func newTagTurns() *tagTurns {
	var turns tagTurns
	for i := range turns {
		turns[i] = semaphore.NewWeighted(1)
	}
	return &turns
}

// lockTag keeps other pushes of ours, and those of other processes of this
// machine, away from a tag until the result is called.
func (r *remoteRepository) lockTag(ctx context.Context, tag string) (unlock func(), err error) {
	number := sha256.Sum256([]byte(r.name + ":" + tag))[0]
	turn := r.tagTurns()[number]
	if err := turn.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	unlockFile, err := r.lockFile(ctx, number)
	if err != nil {
		turn.Release(1)
		return nil, err
	}
	return func() {
		unlockFile()
		turn.Release(1)
	}, nil
}

// lockFile locks the file of that number. There is one for each turn, so that they need
// not be deleted, which nobody can do safely. Where no file can be locked, the push goes
// on without.
func (r *remoteRepository) lockFile(ctx context.Context, number byte) (unlock func(), err error) {
	if r.lockDir == "" {
		return func() {}, nil
	}
	file := flock.New(filepath.Join(r.lockDir, fmt.Sprintf("referrers-%02x.lock", number)))
	if err = os.MkdirAll(r.lockDir, 0o700); err == nil {
		_, err = file.TryLockContext(ctx, lockRetry)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		r.warn(fmt.Sprintf("Other processes that sign the same artifact at the same time are not kept waiting: %v.", err))
	}
	return func() { file.Unlock() }, nil
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
	desc := describe(ocispec.MediaTypeImageIndex, data)
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
