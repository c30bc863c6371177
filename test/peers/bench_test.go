package peers

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/dir"
	"github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/revocation"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

// fetched is a repository in memory with one artifact and one signature of it:
// what a verifier has in hand once the network is done.
type fetched struct {
	target   ocispec.Descriptor
	manifest ocispec.Descriptor
	artifact.Signature
}

func (f *fetched) Resolve(context.Context, string) (ocispec.Descriptor, error) { return f.target, nil }

func (f *fetched) Signatures(context.Context, ocispec.Descriptor) iter.Seq2[ocispec.Descriptor, error] {
	return func(yield func(ocispec.Descriptor, error) bool) { yield(f.manifest, nil) }
}

func (f *fetched) FetchSignature(context.Context, ocispec.Descriptor, ocispec.Descriptor, artifact.Reserve) (*artifact.Signature, error) {
	return &f.Signature, nil
}

func (f *fetched) Manifests(context.Context, ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	return nil, nil
}

func (*fetched) ExpectSignature(context.Context) {}

func (f *fetched) PushSignature(context.Context, artifact.PushRequest) (ocispec.Descriptor, error) {
	panic("a verifier pushes nothing")
}

// subject is a signature for the benchmarks, with those who are to verify it.
type subject struct {
	config  string
	repo    *fetched
	request host.ArtifactRequest
	key     *testpki.Entity
}

func newSubject(b *testing.B, spec protocol.KeySpec, format envelope.Format, certificates int) *subject {
	b.Helper()
	root := testpki.Authority(b, nil, "root", spec)
	issuer := root
	if certificates == 3 {
		issuer = testpki.Authority(b, root, "intermediate", spec)
	}
	leaf := issuer.Leaf(b, "signer", spec)
	content := []byte("an artifact")
	repo := &fetched{target: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(content), Size: int64(len(content))}}
	key, err := host.NewLocalKey(leaf.Key, leaf.Chain())
	if err != nil {
		b.Fatal(err)
	}
	payload, err := envelope.MarshalPayload(format.MediaType(), repo.target)
	if err != nil {
		b.Fatal(err)
	}
	sealed, err := key.Seal(b.Context(), host.SealRequest{Format: format, Target: repo.target, Payload: payload, SigningTime: time.Now().UTC().Truncate(time.Second), Agent: "signet/bench"})
	if err != nil {
		b.Fatal(err)
	}
	repo.Signature = artifact.Signature{MediaType: format.MediaType(), Envelope: sealed.Envelope}
	repo.manifest = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(sealed.Envelope), Size: int64(len(sealed.Envelope))}
	s := &subject{config: newConfig(b, root, "ca:root"), repo: repo, key: leaf}
	policy := filepath.Join(s.config, trust.LegacyPolicyFile)
	if err := os.Rename(policy, filepath.Join(s.config, trust.OCIPolicyFile)); err != nil {
		b.Fatal(err)
	}
	age(b, s.config)
	s.request = host.ArtifactRequest{Reference: repo.target.Digest.String(), Name: "registry.example.com/app", Scope: "registry.example.com/app", MaxSignatures: host.DefaultMaxSignatures}
	return s
}

// age makes files look as old as they are in use: signet reads a file again as
// long as its last change is under 2 s ago.
func age(b *testing.B, dir string) {
	b.Helper()
	old := time.Now().Add(-time.Hour)
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err == nil {
			err = os.Chtimes(path, old, old)
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	time.Sleep(2100 * time.Millisecond) // the change time cannot be set
}

// signet returns a verifier that has read nothing yet.
func (s *subject) signet() *host.Verifier {
	return &host.Verifier{
		Policies:   trust.NewPolicyCache(trust.FilePolicies{Dir: s.config}, nil),
		Stores:     trust.NewDirStore(filepath.Join(s.config, "truststore"), nil),
		Revocation: &revocation.Checker{},
	}
}

// theirs returns notation-go's.
func (s *subject) theirs(b *testing.B) notation.Verifier {
	b.Helper()
	data, err := os.ReadFile(filepath.Join(s.config, trust.OCIPolicyFile))
	if err != nil {
		b.Fatal(err)
	}
	var policy trustpolicy.Document
	if err := json.Unmarshal(data, &policy); err != nil {
		b.Fatal(err)
	}
	check, err := verifier.New(&policy, truststore.NewX509TrustStore(dir.NewSysFS(s.config)), nil)
	if err != nil {
		b.Fatal(err)
	}
	return check
}

// bare returns one public-key verification with the leaf's key, of a signature
// over a digest of the suite's size: what no verifier can do without.
func (s *subject) bare(b *testing.B) func() bool {
	b.Helper()
	suite, err := protocol.SuiteForKey(s.key.Key.Public())
	if err != nil {
		b.Fatal(err)
	}
	sum := make([]byte, suite.CryptoHash.Size())
	options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: suite.CryptoHash}
	var with crypto.SignerOpts = suite.CryptoHash
	if suite.RSA() {
		with = options
	}
	signature, err := s.key.Key.Sign(rand.Reader, sum, with)
	if err != nil {
		b.Fatal(err)
	}
	switch public := s.key.Key.Public().(type) {
	case *rsa.PublicKey:
		return func() bool { return rsa.VerifyPSS(public, suite.CryptoHash, sum, signature, options) == nil }
	case *ecdsa.PublicKey:
		return func() bool { return ecdsa.VerifyASN1(public, sum, signature) }
	}
	panic("a key of another kind")
}

// BenchmarkVerify measures one verification of one envelope by a verifier that
// has seen its chain before, and the same by a new verifier each time (cold). The names
// say by whom, the type of the keys, the format of the envelope and the number of
// certificates.
func BenchmarkVerify(b *testing.B) {
	specs := []struct {
		name string
		spec protocol.KeySpec
	}{{"P-256", protocol.KeySpecEC256}, {"P-384", protocol.KeySpecEC384}, {"RSA-3072", protocol.KeySpecRSA3072}}
	for _, key := range specs {
		for _, format := range []envelope.Format{envelope.FormatJWS, envelope.FormatCOSE} {
			for _, certificates := range []int{2, 3} {
				s := newSubject(b, key.spec, format, certificates)
				for _, by := range s.contenders(b) {
					b.Run(fmt.Sprintf("%s/%s/%s/%dcerts", by.name, key.name, format, certificates), func(b *testing.B) {
						b.ReportAllocs()
						for b.Loop() {
							if err := by.verify(); err != nil {
								b.Fatal(err)
							}
						}
					})
				}
			}
		}
	}
}

// contender verifies the subject once.
type contender struct {
	name   string
	verify func() error
}

func (s *subject) contenders(b *testing.B) []contender {
	ctx := b.Context()
	ours := func(v *host.Verifier) error {
		_, err := v.VerifyArtifact(ctx, s.repo, s.request)
		return err
	}
	theirs := func(v notation.Verifier) error {
		_, err := v.Verify(ctx, s.repo.target, s.repo.Envelope, notation.VerifierVerifyOptions{
			ArtifactReference: s.request.Name + "@" + s.request.Reference, SignatureMediaType: s.repo.MediaType,
		})
		return err
	}
	warm, warmTheirs, bare := s.signet(), s.theirs(b), s.bare(b)
	return []contender{
		{"signet", func() error { return ours(warm) }},
		{"notation-go", func() error { return theirs(warmTheirs) }},
		{"bare", func() error {
			if !bare() {
				return errors.New("the signature does not verify")
			}
			return nil
		}},
		{"signet-cold", func() error { return ours(s.signet()) }},
		{"notation-go-cold", func() error { return theirs(s.theirs(b)) }},
	}
}
