package peers

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// notationOne builds the program that verifies one artifact by notation-go.
var notationOne = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaries.dir, "notation-one"+exe())
	return path, goBuild(path, ".", "./cmd/notation-one", "CGO_ENABLED=0")
})

// perRepository is how many artifacts a repository of a fleet has.
const perRepository = 20

// fleet is a registry full of signed artifacts, with a program that trusts their signer.
type fleet struct {
	program    *command
	references []string
}

// newFleet fills a registry with so many artifacts, each with as many signatures. All
// signatures but the last are by a stranger.
func newFleet(b *testing.B, artifacts, signatures int) *fleet {
	b.Helper()
	root := testpki.Root(b, "root")
	leaf := root.Intermediate(b, "intermediate").Leaf(b, "signer", protocol.KeySpecEC256)
	stranger := testpki.Root(b, "other root").Intermediate(b, "other").Leaf(b, "signer", protocol.KeySpecEC256)
	f := &fleet{program: newCommand(b, newConfig(b, root, "ca:root"))}
	binary(b, "signet") // is not to be built while a clock runs
	registry := withReferrers(b, 0)
	repositories := map[string]*remote.Repository{}
	for i := range artifacts {
		name := fmt.Sprintf("%s/team-%d/app", registry.host, i/perRepository)
		if repositories[name] == nil {
			repository, err := remote.NewRepository(name)
			if err != nil {
				b.Fatal(err)
			}
			repository.PlainHTTP = true
			repositories[name] = repository
		}
		manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"artifactType":"application/vnd.example","config":{"mediaType":%q,"digest":%q,"size":2},"layers":[],"annotations":{"number":"%d"}}`,
			ocispec.MediaTypeImageManifest, ocispec.MediaTypeEmptyJSON, ocispec.DescriptorEmptyJSON.Digest, i)
		desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(manifest), Size: int64(len(manifest))}
		if i%perRepository == 0 {
			if err := repositories[name].Push(b.Context(), ocispec.DescriptorEmptyJSON, strings.NewReader("{}")); err != nil {
				b.Fatal(err)
			}
		}
		if err := repositories[name].Push(b.Context(), desc, strings.NewReader(string(manifest))); err != nil {
			b.Fatal(err)
		}
		f.references = append(f.references, name+"@"+desc.Digest.String())
	}
	for range signatures - 1 {
		f.sign(b, stranger)
	}
	f.sign(b, leaf)
	age(b, f.program.config)
	return f
}

// sign adds a signature to each artifact.
func (f *fleet) sign(b *testing.B, by *testpki.Entity) {
	b.Helper()
	key, err := host.NewLocalKey(by.Key, by.Chain())
	if err != nil {
		b.Fatal(err)
	}
	client := &artifact.Client{}
	run := &host.Batch{References: f.references, Workers: 8, Open: func(_ context.Context, reference string) (*host.Place, error) {
		ref, err := artifact.ParseReference(reference)
		if err != nil {
			return nil, err
		}
		repository, err := client.Open(ref, artifact.OpenOptions{})
		return &host.Place{Repository: repository, Name: ref.Name(), Reference: ref.Reference}, err
	}}
	err = (&host.Signer{Key: key, Agent: "signet/bench"}).SignBatch(b.Context(), run, func(result *host.BatchResult) error { return result.Err })
	if err != nil {
		b.Fatal(err)
	}
}

// list writes the references of the first n artifacts to a file.
func (f *fleet) list(b *testing.B, n int) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "list.txt")
	if err := os.WriteFile(path, []byte(strings.Join(f.references[:n], "\n")+"\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// verify has signet verify a list in one run, and reports the most memory it had.
func (f *fleet) verify(b *testing.B, list string, n, concurrency int) {
	b.Helper()
	cmd := f.program.start(b, "verify", "--from-file", list, "--concurrency", fmt.Sprint(concurrency))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	peak := watchMemory(cmd.Process.Pid)
	err := cmd.Wait()
	if want := fmt.Sprintf("Verified %d of %d artifacts\n", n, n); err != nil || !strings.HasSuffix(strings.ReplaceAll(out.String(), ",", ""), want) {
		b.Fatalf("%v\n%.1000s", err, out.String())
	}
	b.ReportMetric(peak(), "MiB-rss")
}

// watchMemory looks at the most memory that a process has had until the function
// returned is called, which returns it in MiB. What the system tells of a process
// that has ended does not do: it begins with the memory of the one that started it.
func watchMemory(pid int) (peak func() float64) {
	stop, result := make(chan struct{}), make(chan float64)
	go func() {
		most, tick := 0.0, time.NewTicker(2*time.Millisecond)
		defer tick.Stop()
		for {
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if _, after, found := strings.Cut(string(status), "VmHWM:"); found {
				var kib float64
				if _, err := fmt.Sscan(after, &kib); err == nil {
					most = max(most, kib/1024)
				}
			}
			select {
			case <-tick.C:
			case <-stop:
				result <- most
				return
			}
		}
	}()
	return func() float64 {
		close(stop)
		return <-result
	}
}

// verifyOneByOne runs the program of notation-go for each artifact.
func (f *fleet) verifyOneByOne(b *testing.B, path string) {
	b.Helper()
	for _, reference := range f.references {
		cmd := exec.CommandContext(b.Context(), path, "verify", reference)
		cmd.Env = f.program.env
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
	}
}

// BenchmarkMany verifies 1,000 artifacts of one registry: by one run of signet, and
// by as many runs of the program of notation-go, one after the other. MiB-rss is the
// most memory that a process had.
func BenchmarkMany(b *testing.B) {
	const artifacts = 1000
	f := newFleet(b, artifacts, 1)
	list := f.list(b, artifacts)
	path, err := notationOne()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("by=signet/artifacts=1000", func(b *testing.B) {
		for b.Loop() {
			f.verify(b, list, artifacts, 16)
		}
	})
	b.Run("by=notation-go/artifacts=1000", func(b *testing.B) {
		for b.Loop() {
			f.verifyOneByOne(b, path)
		}
	})
}

// BenchmarkFleet is the cost of one run by the number of artifacts.
func BenchmarkFleet(b *testing.B) {
	const most = 10_000
	f := newFleet(b, most, 1)
	for _, n := range []int{100, 1000, most} {
		list := f.list(b, n)
		b.Run(fmt.Sprintf("artifacts=%d", n), func(b *testing.B) {
			for b.Loop() {
				f.verify(b, list, n, 16)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n*b.N), "µs/artifact")
		})
	}
}

// BenchmarkConcurrency is the cost of one run over 1,000 artifacts by how many are
// worked on at a time. Registry and program share the machine.
func BenchmarkConcurrency(b *testing.B) {
	const artifacts = 1000
	f := newFleet(b, artifacts, 1)
	list := f.list(b, artifacts)
	for _, concurrency := range []int{1, 2, 4, 8, 16, 32, 64} {
		b.Run(fmt.Sprintf("concurrency=%d", concurrency), func(b *testing.B) {
			for b.Loop() {
				f.verify(b, list, artifacts, concurrency)
			}
		})
	}
}

// BenchmarkCrowded is the cost of one run over 100 artifacts by the number of
// signatures that each has in the registry, all but one by a stranger.
func BenchmarkCrowded(b *testing.B) {
	const artifacts = 100
	for _, signatures := range []int{1, 10, 100} {
		f := newFleet(b, artifacts, signatures)
		list := f.list(b, artifacts)
		b.Run(fmt.Sprintf("signatures=%d", signatures), func(b *testing.B) {
			for b.Loop() {
				f.verify(b, list, artifacts, 16)
			}
		})
	}
}

// BenchmarkOne starts the programs for one thing each: to print their version, to sign
// one artifact through the example plugin, to verify one. The programs are copies, as
// installations make them: a linker writes a file in no order, and the system then maps
// it in smaller pieces. The plugin was installed and used some time ago, so that signet
// need not hash it. Each signature is another artifact's: a registry takes the longer for
// one the more the artifact has already.
func BenchmarkOne(b *testing.B) {
	f := newFleet(b, 200, 1)
	path, err := notationOne()
	if err != nil {
		b.Fatal(err)
	}
	f.program.ok(b, "plugin", "install", "--file", binary(b, "notation-example"))
	key, chain := testpki.Root(b, "root").Leaf(b, "signer", protocol.KeySpecEC256).WriteFiles(b, b.TempDir(), "signer")
	toSign, toVerify := f.references[1:], f.references[:1]
	chainConfig := signer.ConfigCertificateChain + "=" + chain
	sign := []string{"sign", "--plugin", "example", "--id", key, "--plugin-config", chainConfig}
	ours, theirs := copied(b, binary(b, "signet")), copied(b, path)
	age(b, f.program.libexec)
	f.program.ok(b, append(sign, toSign[0])...)
	for _, one := range []struct {
		what         string
		ours, theirs []string
		references   []string // come last, in turns
	}{
		{"version", []string{"version"}, []string{"version"}, nil},
		{"sign", sign, []string{"sign", "-plugin", "example", "-id", key, "-config", chainConfig}, toSign},
		{"verify", []string{"verify"}, []string{"verify"}, toVerify},
	} {
		// In turns, a few runs each: the machine's speed changes within seconds. Each
		// goes first as often as the other.
		type program struct {
			name, path string
			args       []string
			runs       int
		}
		turn := []*program{{"signet", ours, one.ours, 0}, {"notation-go", theirs, one.theirs, 0}}
		for range 20 {
			for _, by := range turn {
				b.Run("by="+by.name+"/of="+one.what, func(b *testing.B) {
					for b.Loop() {
						args := by.args
						if n := len(one.references); n > 0 {
							args = append(slices.Clip(args), one.references[by.runs%n])
						}
						by.runs++
						cmd := exec.CommandContext(b.Context(), by.path, args...)
						cmd.Env = f.program.env
						if out, err := cmd.CombinedOutput(); err != nil {
							b.Fatalf("%v\n%s", err, out)
						}
					}
				})
			}
			slices.Reverse(turn)
		}
	}
}

// copied copies a program, and returns the copy's path.
func copied(b *testing.B, program string) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), filepath.Base(program))
	if err := copyFile(path, program); err != nil {
		b.Fatal(err)
	}
	return path
}
