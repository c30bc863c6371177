package peers

import (
	"context"
	"crypto"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

// fileSize is the size of the file that BenchmarkFile signs.
const fileSize = 4 << 30

// BenchmarkFile signs and verifies a file of 4 GiB by the signet program, beside a
// bare hash of it in this process. The file is sparse and has been read before, so that
// the disk has no part in it. MiB-rss is the most memory that the program had.
func BenchmarkFile(b *testing.B) {
	path := filepath.Join(b.TempDir(), "file")
	file, err := os.Create(path)
	if err == nil {
		err = file.Truncate(fileSize)
	}
	if err != nil {
		b.Fatal(err)
	}
	file.Close()
	// Whoever reads the file first has the system fill 4 GiB of its page cache.
	if err := hashFile(path, crypto.SHA256); err != nil {
		b.Fatal(err)
	}
	for _, spec := range []protocol.KeySpec{protocol.KeySpecEC256, protocol.KeySpecEC384} {
		suite, _ := protocol.SuiteOf(spec)
		program := fileSigner(b, spec)
		runs := []struct {
			by  string
			run func(b *testing.B) error
		}{
			{"bare", func(*testing.B) error { return hashFile(path, suite.CryptoHash) }},
			{"sign", func(b *testing.B) error { return program.measured(b, "blob", "sign", "--force", path) }},
			{"verify", func(b *testing.B) error {
				return program.measured(b, "blob", "verify", "--signature", path+".jws.sig", path)
			}},
		}
		for _, r := range runs {
			b.Run(fmt.Sprintf("by=%s/hash=%s", r.by, suite.Hash), func(b *testing.B) {
				b.SetBytes(fileSize)
				for b.Loop() {
					if err := r.run(b); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// fileSigner is the program with a default key and a policy for files.
func fileSigner(b *testing.B, spec protocol.KeySpec) *command {
	b.Helper()
	root := testpki.Root(b, "root")
	leaf := root.Leaf(b, "signer", spec)
	program := newCommand(b, newConfig(b, root, "ca:root"))
	keyPath, certPath := leaf.WriteFiles(b, b.TempDir(), "signer")
	if err := config.NewSigningKeys(program.config).Add(b.Context(), config.Key{Name: "key", KeyPath: keyPath, CertPath: certPath}, true); err != nil {
		b.Fatal(err)
	}
	program.ok(b, "blob", "policy", "init", "--global", "--name", "files", "--trust-store", "ca:root", "--trusted-identity", "*")
	return program
}

// measured runs the program and reports the most memory it had.
func (c *command) measured(b *testing.B, args ...string) error {
	cmd := c.start(b, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		b.ReportMetric(float64(usage.Maxrss)/1024, "MiB-rss")
	}
	return nil
}

func hashFile(path string, hash crypto.Hash) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.CopyBuffer(hash.New(), struct{ io.Reader }{file}, make([]byte, 1<<20))
	return err
}

// crowd is a repository in memory whose artifact has many signatures, of which the
// last is the one that counts.
type crowd struct {
	fetched
	others int
	other  artifact.Signature
}

func (c *crowd) Signatures(context.Context, ocispec.Descriptor) iter.Seq2[ocispec.Descriptor, error] {
	return func(yield func(ocispec.Descriptor, error) bool) {
		for i := range c.others {
			if !yield(ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(fmt.Sprint(i)), Size: 1}, nil) {
				return
			}
		}
		yield(c.manifest, nil)
	}
}

func (c *crowd) FetchSignature(_ context.Context, manifest, _ ocispec.Descriptor, _ artifact.Reserve) (*artifact.Signature, error) {
	if manifest.Digest == c.manifest.Digest {
		return &c.Signature, nil
	}
	return &c.other, nil
}

// BenchmarkSignatures verifies an artifact whose signatures but the last are by a
// stranger: the cost of what others push.
func BenchmarkSignatures(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		s := newSubject(b, protocol.KeySpecEC256, envelope.FormatJWS, 3)
		stranger := newSubject(b, protocol.KeySpecEC256, envelope.FormatJWS, 3)
		repo := &crowd{fetched: *s.repo, others: n - 1, other: stranger.repo.Signature}
		warm := s.signet()
		b.Run(fmt.Sprintf("signatures=%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := warm.VerifyArtifact(b.Context(), repo, s.request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRoots verifies by a trust store with many certificates, each in a file
// of its own, whose state is asked of the system each time.
func BenchmarkRoots(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000} {
		s := newSubject(b, protocol.KeySpecEC256, envelope.FormatJWS, 3)
		for i := range n - 1 {
			path := filepath.Join(s.config, "truststore", "x509", "ca", "root", fmt.Sprintf("%04d.crt", i))
			if err := os.WriteFile(path, testpki.Root(b, fmt.Sprint("root ", i)).CertPEM(), 0o600); err != nil {
				b.Fatal(err)
			}
		}
		age(b, s.config)
		warm := s.signet()
		b.Run(fmt.Sprintf("roots=%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := warm.VerifyArtifact(b.Context(), s.repo, s.request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
