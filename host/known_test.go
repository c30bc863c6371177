package host

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/revocation"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

// livePolicies reads the stage's statement anew each time.
type livePolicies struct{ s *stage }

func (p livePolicies) OCIPolicy(context.Context) (*trust.OCIPolicy, error) {
	data, err := json.Marshal(map[string]any{"version": "1.0", "trustPolicies": []any{p.s.statement}})
	if err != nil {
		return nil, err
	}
	return trust.ParseOCIPolicy(data)
}

func (p livePolicies) BlobPolicy(context.Context) (*trust.BlobPolicy, error) { return nil, nil }

// TestWarmAgreesWithCold changes policy, stores, clock and revocation at random:
// a Verifier used all along and a new one must always agree.
func TestWarmAgreesWithCold(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	s := newStage(t)
	other := testpki.Root(t, "Other", longValid)
	signers := []*testpki.Entity{
		s.leaf, s.root.Intermediate(t, "Middle", longValid).Leaf(t, "Below", protocol.KeySpecEC384),
		other.Leaf(t, "Stranger", protocol.KeySpecEC256), testpki.SelfSigned(t, "Alone", protocol.KeySpecEC256),
	}
	for _, signer := range signers {
		for _, format := range formats {
			s.sign(by(signer), as(format))
		}
	}
	all := s.repo.signatures
	ca := trust.StoreRef{Type: trust.StoreCA, Name: "acme"}
	pick := func(from ...func()) { from[random.IntN(len(from))]() }
	warm := s.verifier()
	warm.Policies, warm.Stores = livePolicies{s}, s.stores
	passed := 0
	for step := range 400 {
		pick(
			func() { s.stores[ca] = s.root.Chain() },
			func() { s.stores[ca] = other.Chain() },
			func() { s.stores[ca] = signers[3].Chain() },
			func() { s.statement["trustedIdentities"] = []string{"*"} },
			func() {
				s.statement["trustedIdentities"] = []string{"x509.subject: C=US, ST=WA, O=signet test, CN=Signer"}
			},
			func() { s.level("strict") },
			func() { s.level("audit") },
			func() { s.now = noon },
			func() { s.now = noon.Add(48 * time.Hour) },
			func() { s.revoked = nil },
			func() {
				s.revoked = func(r revocation.Request) revocation.Result {
					if r.Chain[0].Equal(s.leaf.Cert) {
						return revocation.ResultRevoked
					}
					return revocation.ResultOK
				}
			},
		)
		s.repo.signatures = []*artifact.Signature{all[random.IntN(len(all))]}
		s.repo.resolved = s.target
		cold := s.verifier()
		cold.Policies = livePolicies{s}
		warmOutcome, warmErr := warm.VerifyArtifact(t.Context(), s.repo, s.request())
		coldOutcome, coldErr := cold.VerifyArtifact(t.Context(), s.repo, s.request())
		if fmt.Sprint(warmErr, reasons(warmOutcome)) != fmt.Sprint(coldErr, reasons(coldOutcome)) {
			t.Fatalf("seed %d, step %d: warm %v%s\ncold %v%s", seed, step, warmErr, reasons(warmOutcome), coldErr, reasons(coldOutcome))
		}
		for i, check := range warmOutcome.Signatures[0].Checks {
			if got := coldOutcome.Signatures[0].Checks[i].Status; got != check.Status {
				t.Fatalf("seed %d, step %d: %s is %s warm and %s cold", seed, step, check.Check, check.Status, got)
			}
		}
		if warmErr == nil {
			passed++
		}
	}
	if passed == 0 || passed == 400 {
		t.Errorf("%d of 400 passed: the changes change nothing", passed)
	}
}

func TestKnownChains(t *testing.T) {
	t.Parallel()
	t.Run("strangers do not get in", func(t *testing.T) {
		s := newStage(t)
		v := s.verifier()
		s.repo.resolved = s.target
		s.sign(by(testpki.Root(t, "Stranger").Leaf(t, "Stranger", protocol.KeySpecEC256)))
		if _, err := v.VerifyArtifact(t.Context(), s.repo, s.request()); err == nil || len(v.known.chains) != 0 || len(v.known.certificates) != 0 {
			t.Errorf("error %v, %d chains known", err, len(v.known.chains))
		}
		s.sign()
		if _, err := v.VerifyArtifact(t.Context(), s.repo, s.request()); err != nil || len(v.known.chains) != 1 || len(v.known.certificates) != 2 {
			t.Errorf("error %v, %d chains known", err, len(v.known.chains))
		}
	})
	t.Run("it has a bound", func(t *testing.T) {
		var known knownChains
		key := testpki.FreshKey(t, protocol.KeySpecEC256)
		root := testpki.Root(t, "Root")
		for i := range maxKnownChains + 10 {
			known.add(root.LeafFor(t, fmt.Sprint(i), key.Public()).Chain())
		}
		if len(known.chains) > maxKnownChains || len(known.certificates) > maxKnownChains+1 {
			t.Errorf("%d chains", len(known.chains))
		}
	})
}

func BenchmarkVerifyArtifact(b *testing.B) {
	for _, spec := range []protocol.KeySpec{protocol.KeySpecEC256, protocol.KeySpecEC384, protocol.KeySpecRSA3072} {
		for _, format := range formats {
			s := newStage(b)
			s.leaf = s.root.Intermediate(b, "Middle").Leaf(b, "Signer", spec)
			s.sign(as(format))
			s.repo.resolved = s.target
			run := func(name string, verifier func() *Verifier) {
				b.Run(fmt.Sprintf("%s/%s/%s", spec, format, name), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if _, err := verifier().VerifyArtifact(b.Context(), s.repo, s.request()); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
			warm := s.verifier()
			warm.Logger = nil
			run("warm", func() *Verifier { return warm })
			run("cold", func() *Verifier {
				return &Verifier{Policies: warm.Policies, Stores: warm.Stores, Plugins: warm.Plugins, Revocation: warm.Revocation, Now: warm.Now}
			})
		}
	}
}
