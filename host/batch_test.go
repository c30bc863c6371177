package host

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/batch"
	"github.com/signet-project/signet/host/revocation"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/stdio"
)

// forest is a repository of indexes and unsigned manifests.
type forest struct {
	artifact.Repository
	tags map[string]ocispec.Descriptor
	// members are those of indexes.
	members map[digest.Digest][]ocispec.Descriptor
	broken  error

	mu       sync.Mutex
	resolved []string
	pushed   []digest.Digest
}

func (f *forest) Resolve(_ context.Context, reference string) (ocispec.Descriptor, error) {
	f.mu.Lock()
	f.resolved = append(f.resolved, reference)
	f.mu.Unlock()
	if desc, ok := f.tags[reference]; ok {
		return desc, nil
	}
	if wanted, err := digest.Parse(reference); err == nil {
		return ocispec.Descriptor{MediaType: mediaType, Digest: wanted, Size: 1}, nil
	}
	return ocispec.Descriptor{}, fmt.Errorf("%s: %w", reference, artifact.ErrNotFound)
}

func (f *forest) Manifests(_ context.Context, index ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	return f.members[index.Digest], f.broken
}

func (f *forest) Signatures(context.Context, ocispec.Descriptor) iter.Seq2[ocispec.Descriptor, error] {
	return func(func(ocispec.Descriptor, error) bool) {}
}

func (*forest) ExpectSignature(context.Context) {}

func (f *forest) PushSignature(_ context.Context, request artifact.PushRequest) (ocispec.Descriptor, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pushed = append(f.pushed, request.Subject.Digest)
	return describe("signature of " + request.Subject.Digest.String()), nil
}

// plant adds an index and returns it.
func (f *forest) plant(name string, members ...ocispec.Descriptor) ocispec.Descriptor {
	if f.members == nil {
		f.tags, f.members = map[string]ocispec.Descriptor{}, map[digest.Digest][]ocispec.Descriptor{}
	}
	f.tags[name] = describe(name)
	f.members[f.tags[name].Digest] = members
	return f.tags[name]
}

// open is a batch's Open for references of the form app:tag and app@digest.
func (f *forest) open(_ context.Context, reference string) (*Place, error) {
	if reference == "malformed" {
		return nil, &artifact.ReferenceError{Input: reference}
	}
	return &Place{f, "app", reference[len("app:"):]}, nil
}

// run signs the batch and returns the results in order.
func (f *forest) run(t *testing.T, b *Batch) []*BatchResult {
	t.Helper()
	b.Open, b.Workers = f.open, 3
	var results []*BatchResult
	err := testSigner(t).SignBatch(t.Context(), b, func(result *BatchResult) error {
		results = append(results, result)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(results, func(a, b *BatchResult) int { return a.Number - b.Number })
	for i, result := range results {
		if result.Number != i {
			t.Errorf("number %d where %d is due", result.Number, i)
		}
	}
	return results
}

func testSigner(t *testing.T) *Signer {
	t.Helper()
	leaf := testpki.Root(t, "Root").Leaf(t, "Signer", protocol.KeySpecEC256)
	key, err := NewLocalKey(leaf.Key, leaf.Chain())
	if err != nil {
		t.Fatal(err)
	}
	return &Signer{Key: key}
}

// names lists the references of results, those that failed with their reason.
func names(results []*BatchResult) string {
	var all []string
	for _, result := range results {
		name := result.Reference
		if result.Err != nil {
			name += " (" + result.Err.Error() + ")"
		}
		all = append(all, name)
	}
	return strings.Join(all, "\n")
}

func TestBatchRecursive(t *testing.T) {
	t.Parallel()
	a, b, c := describe("a"), describe("b"), describe("c")
	ref := func(desc ocispec.Descriptor) string { return "app@" + desc.Digest.String() }
	t.Run("GEN-04 an index, then what is below it, each once", func(t *testing.T) {
		f := &forest{}
		inner := f.plant("inner", a, b)
		f.plant("outer", inner, b, c)
		f.plant("other", c)
		results := f.run(t, &Batch{References: []string{"app:outer", ref(a), "app:other", "app:inner"}, Recursive: true})
		want := strings.Join([]string{"app:outer", ref(inner), ref(a), ref(b), ref(c), "app:other", "app:inner"}, "\n")
		if got := names(results); got != want {
			t.Errorf("results\n%s\nwant\n%s", got, want)
		}
		if results[0].Index != "" || results[1].Index != "app:outer" || results[4].Index != "app:outer" {
			t.Error("members do not tell what index they are of")
		}
		tags := slices.DeleteFunc(f.resolved, artifact.IsDigest)
		if slices.Sort(tags); !slices.Equal(tags, []string{"inner", "other", "outer"}) {
			t.Errorf("resolved %q", tags)
		}
	})
	t.Run("a cycle, which no digests make, ends", func(t *testing.T) {
		f := &forest{}
		x := f.plant("x")
		y := f.plant("y", x)
		f.members[x.Digest] = []ocispec.Descriptor{y}
		if results := f.run(t, &Batch{References: []string{"app:x"}, Recursive: true}); len(results) != 2 {
			t.Error(names(results))
		}
	})
	t.Run("indexes may lie so deep, and no deeper", func(t *testing.T) {
		f := &forest{}
		below := f.plant("0", a)
		for i := 1; i < MaxIndexDepth; i++ {
			below = f.plant(fmt.Sprint(i), below)
		}
		if results := f.run(t, &Batch{References: []string{"app:" + fmt.Sprint(MaxIndexDepth-1)}, Recursive: true}); len(results) != MaxIndexDepth+1 {
			t.Error(names(results))
		}
		f.plant("deeper", below)
		if got := names(f.run(t, &Batch{References: []string{"app:deeper", ref(c)}, Recursive: true})); !strings.Contains(got, "more than 8 deep") || !strings.HasSuffix(got, ref(c)) {
			t.Error(got)
		}
	})
	t.Run("so many manifests, and no more", func(t *testing.T) {
		var many []ocispec.Descriptor
		for i := range MaxIndexMembers + 1 {
			many = append(many, ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromString(fmt.Sprint(i)), Size: 1})
		}
		tree := &tree{repository: &forest{members: map[digest.Digest][]ocispec.Descriptor{a.Digest: many[1:], b.Digest: many}}, known: map[string]bool{}}
		if err := tree.walk(t.Context(), a, 0); err != nil || len(tree.members) != MaxIndexMembers {
			t.Errorf("%v, %d members", err, len(tree.members))
		}
		tree.known, tree.members = map[string]bool{}, nil
		if err := tree.walk(t.Context(), b, 0); err == nil {
			t.Error("no error")
		}
	})
	t.Run("what cannot be listed fails, and is not signed", func(t *testing.T) {
		f := &forest{broken: errors.New("the disk is gone")}
		f.plant("x", a)
		results := f.run(t, &Batch{References: []string{"app:x", "app:missing", "malformed"}, Recursive: true})
		if got := names(results); strings.Count(got, "(") != 3 || !strings.Contains(got, "the manifests below app@"+f.tags["x"].Digest.String()+" cannot be listed: the disk is gone") {
			t.Error(got)
		}
		if len(f.pushed) != 0 || results[0].Final || results[1].Final || !results[2].Final {
			t.Errorf("pushed %v, %+v", f.pushed, results)
		}
	})
	t.Run("what an earlier run resolved and settled stands, also if a tag has moved", func(t *testing.T) {
		f := &forest{}
		f.plant("x", c)
		before := f.plant("before", a, b)
		settled := map[string]batch.Verdict{
			"app:x": {Reference: "app:x", Result: "signed", Artifact: &before},
			ref(a):  {Reference: ref(a), Result: "signed"},
		}
		results := f.run(t, &Batch{References: []string{"app:x"}, Recursive: true, Settled: settled})
		if got := names(results); got != "app:x\n"+ref(a)+"\n"+ref(b) || results[0].Settled == nil || results[1].Settled == nil || results[2].Settled != nil {
			t.Error(got)
		}
		if !slices.Equal(f.pushed, []digest.Digest{b.Digest}) || slices.Contains(f.resolved, "x") {
			t.Errorf("pushed %v, resolved %v", f.pushed, f.resolved)
		}
		f.broken = errors.New("the disk is gone")
		if results := f.run(t, &Batch{References: []string{"app:x"}, Recursive: true, Settled: settled}); results[0].Settled != nil || results[0].Err == nil {
			t.Errorf("settled, although its members are not known: %+v", results[0])
		}
	})
}

// countingKey counts signatures under way and fails from one on.
type countingKey struct {
	Key
	calls, now, most atomic.Int32
	err              error
	wait             chan struct{}
}

func (k *countingKey) Seal(ctx context.Context, request SealRequest) (*Sealed, error) {
	k.calls.Add(1)
	now := k.now.Add(1)
	defer k.now.Add(-1)
	for most := k.most.Load(); now > most && !k.most.CompareAndSwap(most, now); most = k.most.Load() {
	}
	if k.err != nil {
		return nil, k.err
	}
	if k.wait != nil && k.calls.Load() > 1 {
		select {
		case k.wait <- struct{}{}:
		case <-k.wait: // two at a time
		}
	}
	return k.Key.Seal(ctx, request)
}

func TestSignBatchKey(t *testing.T) {
	t.Parallel()
	var references []string
	for i := range 21 {
		references = append(references, "app@"+describe(fmt.Sprint(i)).Digest.String())
	}
	t.Run("a key that cannot sign is tried once", func(t *testing.T) {
		f, locked := &forest{}, errors.New("wrong PIN")
		key := &countingKey{err: locked}
		err := (&Signer{Key: key}).SignBatch(t.Context(), &Batch{References: references, Open: f.open, Workers: 8}, func(result *BatchResult) error {
			t.Errorf("reported %+v", result)
			return nil
		})
		if err != locked || key.calls.Load() != 1 || len(f.pushed) != 0 {
			t.Errorf("%v after %d calls, %d pushed", err, key.calls.Load(), len(f.pushed))
		}
	})
	t.Run("CERT-16 so is a key whose certificate has expired", func(t *testing.T) {
		f, expired := &forest{}, testpki.Root(t, "Root", longValid).Leaf(t, "Signer", protocol.KeySpecEC256, testpki.Validity(noon.AddDate(0, 0, -3), noon.AddDate(0, 0, -2)))
		local, err := NewLocalKey(expired.Key, expired.Chain())
		if err != nil {
			t.Fatal(err)
		}
		key := &countingKey{Key: local}
		err = (&Signer{Key: key}).SignBatch(t.Context(), &Batch{References: references, Open: f.open, Workers: 8}, func(*BatchResult) error { return nil })
		if err == nil || !strings.HasPrefix(err.Error(), "generated signature failed verification: ") || key.calls.Load() != 1 || len(f.pushed) != 0 {
			t.Errorf("%v after %d calls, %d pushed", err, key.calls.Load(), len(f.pushed))
		}
	})
	t.Run("one that can signs in parallel after the first", func(t *testing.T) {
		f := &forest{}
		key := &countingKey{Key: testSigner(t).Key, wait: make(chan struct{})}
		err := (&Signer{Key: key}).SignBatch(t.Context(), &Batch{References: references, Open: f.open, Workers: 4}, func(result *BatchResult) error { return result.Err })
		if err != nil || len(f.pushed) != len(references) || key.most.Load() < 2 {
			t.Errorf("%v, %d pushed, %d at a time", err, len(f.pushed), key.most.Load())
		}
	})
}

// interruptible is a key behind a plugin that Ctrl-C ends at its third signature.
type interruptible struct {
	Key
	calls atomic.Int32
}

func (k *interruptible) Seal(ctx context.Context, request SealRequest) (*Sealed, error) {
	if k.calls.Add(1) == 3 {
		return nil, &PluginSignError{Plugin: "p", Err: stdio.ErrInterrupted}
	}
	return k.Key.Seal(ctx, request)
}

func TestSignBatchInterrupted(t *testing.T) {
	t.Parallel()
	var references []string
	for i := range 21 {
		references = append(references, "app@"+describe(fmt.Sprint(i)).Digest.String())
	}
	f, key := &forest{}, &interruptible{Key: testSigner(t).Key}
	err := (&Signer{Key: key}).SignBatch(t.Context(), &Batch{References: references, Open: f.open, Workers: 1}, func(*BatchResult) error { return nil })
	if !errors.Is(err, stdio.ErrInterrupted) || !is[*PluginSignError](err) || len(f.pushed) > 4 {
		t.Errorf("%v, %d pushed", err, len(f.pushed))
	}
}

func TestVerifyBatch(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.sign()
	s.repo.resolved = s.target
	unsigned := &forest{}
	b := &Batch{
		References: []string{"app@" + describe("unsigned").Digest.String(), "signed", "malformed"}, Workers: 2,
		Open: func(ctx context.Context, reference string) (*Place, error) {
			if reference == "signed" {
				return &Place{s.repo, scope, "v1"}, nil
			}
			return unsigned.open(ctx, reference)
		},
	}
	request := func(place *Place) ArtifactRequest {
		r := s.request()
		r.Reference, r.Name, r.Scope = place.Reference, place.Name, scope
		return r
	}
	t.Run("VER-09 what fails does not keep others from their turn", func(t *testing.T) {
		results := map[string]*BatchResult{}
		err := s.verifier().VerifyBatch(t.Context(), b, request, func(result *BatchResult) error {
			results[result.Reference] = result
			return nil
		})
		if err != nil || len(results) != 3 {
			t.Fatalf("%v, %d results", err, len(results))
		}
		if good := results["signed"]; good.Err != nil || len(good.Outcome.Verified) != 1 || !good.Final || good.Time.IsZero() {
			t.Errorf("%+v", good)
		}
		if bad := results[b.References[0]]; !is[*NoSignatureError](bad.Err) || !bad.Final || bad.Outcome == nil {
			t.Errorf("%+v", bad)
		}
		if bad := results["malformed"]; !is[*artifact.ReferenceError](bad.Err) || !bad.Final || bad.Outcome != nil {
			t.Errorf("%+v", bad)
		}
	})
	t.Run("TP-37 no verdict is final once the policy or a store has changed", func(t *testing.T) {
		changed := Batch{References: b.References[:2], Open: b.Open, Workers: 1}
		v := s.verifier()
		before, err := v.Basis(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		changed.Unchanged = func() bool {
			now, err := v.Basis(t.Context())
			return err == nil && now == before
		}
		var finals []bool
		err = v.VerifyBatch(t.Context(), &changed, request, func(result *BatchResult) error {
			finals = append(finals, result.Final)
			return nil
		})
		if err != nil || !slices.Equal(finals, []bool{true, true}) {
			t.Errorf("%v, final: %t", err, finals)
		}
		ca := trust.StoreRef{Type: trust.StoreCA, Name: "acme"}
		v.Stores = stores{ca: append(s.root.Chain(), testpki.Root(t, "Other").Cert)}
		finals = nil
		err = v.VerifyBatch(t.Context(), &changed, request, func(result *BatchResult) error {
			finals = append(finals, result.Final)
			return nil
		})
		if err != nil || !slices.Equal(finals, []bool{false, false}) {
			t.Errorf("%v, final: %t after a change", err, finals)
		}
	})
	t.Run("what is under way when the run is cancelled is not reported", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		stuck := *b
		stuck.Open = func(ctx context.Context, _ string) (*Place, error) {
			cancel()
			<-ctx.Done()
			return nil, ctx.Err()
		}
		err := s.verifier().VerifyBatch(ctx, &stuck, request, func(result *BatchResult) error {
			t.Errorf("reported %+v", result)
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestVerifierBasis(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	basis := func(settings ...string) string {
		t.Helper()
		got, err := s.verifier().Basis(t.Context(), settings...)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	before := basis("a")
	if before != basis("a") || before == basis("b") || before == basis() {
		t.Error("settings and basis do not go together")
	}
	s.stores[trust.StoreRef{Type: trust.StoreCA, Name: "acme"}] = []*x509.Certificate{testpki.Root(t, "Other").Cert}
	if before == basis("a") {
		t.Error("another certificate in a store makes no difference")
	}
	delete(s.stores, trust.StoreRef{Type: trust.StoreCA, Name: "acme"})
	if before == basis("a") {
		t.Error("a missing store makes no difference")
	}
	s = newStage(t)
	s.statement["trustStores"] = []string{"ca:acme", "signingAuthority:acme"}
	ca, authority := trust.StoreRef{Type: trust.StoreCA, Name: "acme"}, trust.StoreRef{Type: trust.StoreSigningAuthority, Name: "acme"}
	one, two, three := s.root.Cert, testpki.Root(t, "Two").Cert, testpki.Root(t, "Three").Cert
	s.stores[ca], s.stores[authority] = []*x509.Certificate{one, two}, []*x509.Certificate{three}
	before = basis("a")
	s.stores[ca], s.stores[authority] = []*x509.Certificate{one}, []*x509.Certificate{two, three}
	if before == basis("a") {
		t.Error("a certificate in a store of another type makes no difference")
	}
	s = newStage(t)
	before = basis("a")
	s.level("audit")
	if before == basis("a") {
		t.Error("another policy makes no difference")
	}
}

func TestFinal(t *testing.T) {
	t.Parallel()
	refused := &url.Error{Op: "Get", URL: "http://x", Err: &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}}
	for _, c := range []struct {
		name      string
		err       error
		signature error // of the only signature; nil for none
		want      bool
	}{
		{"verified", nil, nil, true},
		{"no signature", &NoSignatureError{}, nil, true},
		{"a broken signature", &AllFailedError{}, errors.New("content descriptor mismatch"), true},
		{"a signature that is not there", &AllFailedError{}, &artifact.CandidateError{Err: artifact.ErrNotFound}, true},
		{"an artifact that is not there", &artifact.RegistryError{Status: 404, Err: artifact.ErrNotFound}, nil, true},
		{"another digest", &artifact.DigestMismatchError{}, nil, true},
		{"a revoked certificate", &AllFailedError{}, &revocation.StatusError{Result: revocation.ResultRevoked, Attempts: []revocation.Attempt{{Err: refused}}}, true},
		{"a status that nobody told", &AllFailedError{}, fmt.Errorf("x: %w", &revocation.StatusError{Result: revocation.ResultUnknown}), false},
		{"a registry in trouble", &artifact.RegistryError{Status: 503}, nil, false},
		{"a registry that wants to know who asks", &artifact.RegistryError{Status: 401}, nil, false},
		{"a signature that the registry did not give", &AllFailedError{}, &artifact.RegistryError{Status: 500}, false},
		{"the threshold missed for that reason", &ThresholdError{}, &artifact.RegistryError{Status: 500}, false},
		{"no way to the registry", &artifact.RegistryError{Err: refused}, nil, false},
		{"a plugin that failed", &AllFailedError{}, &PluginVerifyError{Err: &protocol.CallError{Err: errors.New("crashed")}}, false},
		{"a plugin that is missing", &AllFailedError{}, &PluginLocateError{Err: errors.New("not installed")}, false},
		{"credentials that could not be read", &artifact.CredentialError{Err: errors.New("x")}, nil, false},
		{"a disk in trouble", &artifact.LayoutError{Err: fmt.Errorf("read: %w", syscall.EIO)}, nil, false},
		{"interrupted", context.Canceled, nil, false},
		{"timed out", fmt.Errorf("x: %w", context.DeadlineExceeded), nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			outcome := &Outcome{}
			if c.signature != nil {
				outcome.Signatures = []*SignatureOutcome{{Err: c.signature}}
			}
			if got := Final(outcome, c.err); got != c.want {
				t.Errorf("final: %t", got)
			}
		})
	}
}
