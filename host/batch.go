package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/batch"
	"github.com/signet-project/signet/host/revocation"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/stdio"
)

const (
	// MaxIndexDepth bounds how deep indexes may lie inside a listed index.
	MaxIndexDepth = 8
	// MaxIndexMembers bounds the manifests below a listed index.
	MaxIndexMembers = 10_000
)

// Place is where a reference points to.
type Place struct {
	Repository artifact.Repository
	// Name is the repository as the user wrote it.
	Name string
	// Reference is the tag or digest in it.
	Reference string
}

// Batch is a list of artifacts to be signed or verified in one run. One that fails
// does not keep the others from their turn.
type Batch struct {
	// References lists the artifacts, each once.
	References []string
	// Open finds the place that a reference names. It may be called by several
	// goroutines at once.
	Open func(ctx context.Context, reference string) (*Place, error)
	// Recursive adds to each index the manifests below it: at most MaxIndexMembers,
	// at most MaxIndexDepth deep.
	Recursive bool
	// Workers is how many artifacts are worked on at a time; 0 means one.
	Workers int
	// Settled holds what an earlier run found out, by reference. Such an artifact is
	// reported without another look at it.
	Settled map[string]batch.Verdict
	// Unchanged tells whether verdicts rest on the same policy and stores as when the
	// run began: one that comes after a change is not final. Nil means that they do.
	Unchanged func() bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// BatchItem is one artifact of a batch.
type BatchItem struct {
	// Number is its place in the order of the list, counted from 0; an index comes
	// before the manifests below it.
	Number int
	// Reference names it: as listed, or repository@digest if an index led to it.
	Reference string
	// Index is the listed reference that led to it; empty for a listed artifact.
	Index string
	// Place is where it is; nil as long as that is not known.
	Place *Place

	err error // why it cannot be looked at
}

// BatchResult is what came of one artifact of a batch.
type BatchResult struct {
	BatchItem
	// Settled is what an earlier run found out; nil if this one did the work.
	Settled *batch.Verdict
	// Outcome is of a verification; nil when it did not begin.
	Outcome *Outcome
	// Signed is the new signature; nil when there is none.
	Signed *Signed
	// Err says why the artifact could not be signed or was not verified.
	Err error
	// Final tells that another try would come to the same, as long as policy, trust
	// stores and settings are the same. See [Final].
	Final bool
	// Time is when the artifact was done, Duration how long it took.
	Time     time.Time
	Duration time.Duration
}

// VerifyBatch verifies the artifacts of a batch as request says for each place.
// report gets the results as they come, one call at a time; its error ends the run
// and is returned. When ctx is done, VerifyBatch ends early with its error; the
// artifacts then under way are not reported, unless their verdict is final. It also
// ends, with that error, when a plugin was interrupted at the terminal.
func (v *Verifier) VerifyBatch(ctx context.Context, b *Batch, request func(*Place) ArtifactRequest, report func(*BatchResult) error) error {
	return b.run(ctx, report, func(ctx context.Context, place *Place, result *BatchResult) {
		result.Outcome, result.Err = v.VerifyArtifact(ctx, place.Repository, request(place))
		result.Final = Final(result.Outcome, result.Err) && (b.Unchanged == nil || b.Unchanged())
	})
}

// Basis identifies what verdicts rest on: the OCI trust policy, the certificates in
// the stores it names, and settings of the caller. Errors are those of the policy; a
// store that cannot be read counts with its error.
func (v *Verifier) Basis(ctx context.Context, settings ...string) (string, error) {
	policy, err := v.Policies.OCIPolicy(ctx)
	if err != nil {
		return "", err
	}
	basis := batch.NewBasis(append([]string{"verify"}, settings...)...)
	basis.Add(policy.Digest[:])
	for _, statement := range policy.Statements {
		for _, ref := range statement.TrustStores {
			certs, err := v.Stores.Certificates(ctx, ref)
			basis.Add([]byte(ref.String())) // a certificate may have moved to the next store
			if err != nil {
				basis.Add([]byte(err.Error()))
			}
			for _, cert := range certs {
				basis.Add(cert.Raw)
			}
		}
	}
	return basis.String(), nil
}

// SignBatch signs the artifacts of a batch; see [Verifier.VerifyBatch]. Only
// success is final. When the key cannot make the first signature, the run ends with
// that error: the others would fare no better, and a token may lock itself after a few
// wrong PINs.
func (s *Signer) SignBatch(ctx context.Context, b *Batch, report func(*BatchResult) error) error {
	signer := *s
	signer.Key = &firstAlone{Key: s.Key, signer: s, turn: semaphore.NewWeighted(1)}
	ended := func(result *BatchResult) error {
		if unusable, ok := errors.AsType[*unusableKeyError](result.Err); ok {
			return unusable.err
		}
		return report(result)
	}
	return b.run(ctx, ended, func(ctx context.Context, place *Place, result *BatchResult) {
		result.Signed, result.Err = signer.SignArtifact(ctx, place.Repository, place.Reference)
		result.Final = result.Err == nil
	})
}

// firstAlone is a key that makes its first signature, which has to be a good one,
// while the others wait for it.
type firstAlone struct {
	Key
	signer *Signer
	turn   *semaphore.Weighted // of 1; guards failed
	failed error
	proven atomic.Bool
}

// unusableKeyError says that a key could not make a good first signature.
type unusableKeyError struct{ err error }

func (e *unusableKeyError) Error() string { return e.err.Error() }

func (e *unusableKeyError) Unwrap() error { return e.err }

// Seal signs, if the key has signed before or this is the first time.
func (k *firstAlone) Seal(ctx context.Context, request SealRequest) (*Sealed, error) {
	if !k.proven.Load() {
		return k.first(ctx, request)
	}
	return k.Key.Seal(ctx, request)
}

func (k *firstAlone) first(ctx context.Context, request SealRequest) (*Sealed, error) {
	if err := k.turn.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	if k.proven.Load() {
		k.turn.Release(1)
		return k.Key.Seal(ctx, request)
	}
	defer k.turn.Release(1)
	if k.failed != nil {
		return nil, k.failed
	}
	sealed, err := k.Key.Seal(ctx, request)
	if err == nil {
		_, err = k.signer.selfCheck(request.Format, sealed)
	}
	if err != nil && ctx.Err() != nil {
		return nil, err // which says nothing about the key: the next one makes the first signature
	}
	if err != nil {
		k.failed = &unusableKeyError{err}
		return nil, k.failed
	}
	k.proven.Store(true)
	return sealed, nil
}

// run works through the batch.
func (b *Batch) run(ctx context.Context, report func(*BatchResult) error, do func(context.Context, *Place, *BatchResult)) error {
	work := func(ctx context.Context, item *BatchItem) *BatchResult {
		result := &BatchResult{BatchItem: *item, Err: item.err}
		if verdict, ok := b.Settled[item.Reference]; ok && item.err == nil {
			result.Settled = &verdict
			return result
		}
		start := b.now()
		if item.Place == nil && result.Err == nil {
			result.Place, result.Err = b.Open(ctx, item.Reference)
		}
		if result.Err == nil {
			do(ctx, result.Place, result)
		} else {
			result.Final = is[*artifact.ReferenceError](result.Err)
		}
		result.Time = b.now()
		result.Duration = result.Time.Sub(start)
		return result
	}
	return batch.Each(ctx, b.Workers, b.items(ctx), work, func(result *BatchResult) error {
		if ctx.Err() != nil && result.Err != nil && !result.Final {
			return nil // interrupted
		}
		if Interrupted(result.Outcome, result.Err) {
			return fmt.Errorf("%w: %w", stdio.ErrInterrupted, result.Err)
		}
		return report(result)
	})
}

// Interrupted tells whether Ctrl-C ended a signing or verification that came to outcome,
// which may be nil, and err: a plugin that had the terminal got it in the program's place.
func Interrupted(outcome *Outcome, err error) bool {
	if err != nil && outcome != nil && slices.ContainsFunc(outcome.Signatures, func(s *SignatureOutcome) bool { return errors.Is(s.Err, stdio.ErrInterrupted) }) {
		return true
	}
	return errors.Is(err, stdio.ErrInterrupted)
}

// items numbers the artifacts of the batch.
func (b *Batch) items(ctx context.Context) iter.Seq[*BatchItem] {
	if !b.Recursive {
		return func(yield func(*BatchItem) bool) {
			for i, reference := range b.References {
				if !yield(&BatchItem{Number: i, Reference: reference}) {
					return
				}
			}
		}
	}
	return func(yield func(*BatchItem) bool) {
		known := map[string]bool{}
		for group := range batch.InOrder(ctx, b.Workers, slices.Values(b.References), b.expand) {
			for _, item := range group {
				if known[item.Reference] {
					continue
				}
				item.Number = len(known)
				known[item.Reference] = true
				if !yield(item) {
					return
				}
			}
		}
	}
}

// expand finds a listed artifact and the manifests below it. What an earlier run
// resolved is not resolved again: a tag may have moved on.
func (b *Batch) expand(ctx context.Context, reference string) []*BatchItem {
	listed := &BatchItem{Reference: reference}
	fail := func(err error) []*BatchItem {
		listed.err = err
		return []*BatchItem{listed}
	}
	place, err := b.Open(ctx, reference)
	if err != nil {
		return fail(err)
	}
	var target ocispec.Descriptor
	if verdict, ok := b.Settled[reference]; ok && verdict.Artifact != nil {
		target = *verdict.Artifact
	} else if target, err = place.Repository.Resolve(ctx, place.Reference); err != nil {
		return fail(err)
	}
	listed.Place = &Place{&resolvedRepository{place.Repository, place.Reference, target}, place.Name, place.Reference}
	tree := &tree{repository: place.Repository, known: map[string]bool{target.Digest.String(): true}}
	if err := tree.walk(ctx, target, 0); err != nil {
		return fail(fmt.Errorf("the manifests below %s@%s cannot be listed: %w", place.Name, target.Digest, err))
	}
	items := []*BatchItem{listed}
	for _, member := range tree.members {
		items = append(items, &BatchItem{
			Reference: place.Name + "@" + member, Index: reference, Place: &Place{place.Repository, place.Name, member},
		})
	}
	return items
}

// resolvedRepository is a repository of which one reference is resolved already.
type resolvedRepository struct {
	artifact.Repository
	reference string
	target    ocispec.Descriptor
}

// Resolve answers from memory where it can.
func (r *resolvedRepository) Resolve(ctx context.Context, reference string) (ocispec.Descriptor, error) {
	if reference == r.reference {
		return r.target, nil
	}
	return r.Repository.Resolve(ctx, reference)
}

// tree collects the digests of the manifests below an index, in order, each once.
type tree struct {
	repository artifact.Repository
	known      map[string]bool
	members    []string
}

func (t *tree) walk(ctx context.Context, index ocispec.Descriptor, depth int) error {
	members, err := t.repository.Manifests(ctx, index)
	if err != nil {
		return err
	}
	if len(members) > 0 && depth == MaxIndexDepth {
		return fmt.Errorf("indexes lie more than %d deep inside each other", MaxIndexDepth)
	}
	for _, member := range members {
		digest := member.Digest.String()
		if t.known[digest] {
			continue
		}
		if len(t.members) == MaxIndexMembers {
			return fmt.Errorf("there are more than %d", MaxIndexMembers)
		}
		t.known[digest] = true
		t.members = append(t.members, digest)
		if err := t.walk(ctx, member, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (b *Batch) now() time.Time {
	if b.Now != nil {
		return b.Now()
	}
	return time.Now()
}

// Final tells whether the verdict of a verification would be the same if it were
// made again by the same policy, stores and settings: a success, or a failure that
// lies in the artifact and its signatures. It is not where a registry, a revocation
// server, a plugin or the machine failed to answer.
func Final(outcome *Outcome, err error) bool {
	if err == nil {
		return true
	}
	if outcome != nil && slices.ContainsFunc(outcome.Signatures, func(s *SignatureOutcome) bool { return temporary(s.Err) }) {
		return false
	}
	return !temporary(err)
}

// temporary tells whether an error may be gone at another try.
func temporary(err error) bool {
	if failed, ok := errors.AsType[*artifact.RegistryError](err); ok {
		return !errors.Is(failed, artifact.ErrNotFound)
	}
	if status, ok := errors.AsType[*revocation.StatusError](err); ok {
		return status.Result == revocation.ResultUnknown
	}
	return errors.Is(err, context.Canceled) || is[*artifact.CredentialError](err) ||
		is[*protocol.CallError](err) || is[*PluginLocateError](err) ||
		is[net.Error](err) || is[*fs.PathError](err) || is[syscall.Errno](err)
}
