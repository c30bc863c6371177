package peers

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/dir"
	"github.com/notaryproject/notation-go/plugin"
	"github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/spec/vectors"
)

var update = flag.Bool("update", false, "write what was found into the files under spec that say it")

// verdicts is the file that says where notation-go comes to another outcome than
// the vectors expect.
const verdictsFile = "../../spec/vectors/notation-go.json"

type verdicts struct {
	// Implementation names the modules with their versions.
	Implementation string `json:"implementation"`
	// Differ has the outcomes of the vectors on which it differs, by their IDs.
	Differ map[string]difference `json:"differ"`
}

type difference struct {
	Expected vectors.Outcome `json:"expected"`
	Verdict  vectors.Outcome `json:"verdict"`
}

// TestVectors has notation-go verify every vector, and holds the file that says
// where it differs.
func TestVectors(t *testing.T) {
	all, err := vectors.All()
	if err != nil {
		t.Fatal(err)
	}
	found := verdicts{Implementation: versions(t), Differ: map[string]difference{}}
	var mu sync.Mutex
	judged := 0
	t.Run("all", func(t *testing.T) {
		for _, v := range all {
			t.Run(v.ID, func(t *testing.T) {
				t.Parallel()
				// notation-go reads the clock, and in here the clock is the test's.
				synctest.Test(t, func(t *testing.T) {
					time.Sleep(time.Until(v.Time))
					verdict, err := judge(t, v)
					mu.Lock()
					defer mu.Unlock()
					judged++
					if coarse(verdict) != coarse(v.Outcome) {
						t.Logf("%s, not %s: %v", verdict, v.Outcome, err)
						found.Differ[v.ID] = difference{v.Outcome, verdict}
					}
				})
			})
		}
	})
	if judged < len(all) {
		return // something failed, or -run left something out
	}
	data, err := json.MarshalIndent(found, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	hold(t, verdictsFile, append(data, '\n'))
	t.Logf("%d vectors, notation-go differs on %d", len(all), len(found.Differ))
}

// hold compares a committed file with what it has to be, and writes it if the
// flag -update is set.
func hold(t *testing.T, path string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != string(want) {
		t.Errorf("%s is not what was found: run the test with -update and look at what changed\n%s", path, want)
	}
}

// versions names the implementation that is judged.
func versions(t *testing.T) string {
	t.Helper()
	const modules = "github.com/notaryproject/"
	out, err := exec.Command("go", "list", "-m", modules+"notation-go", modules+"notation-core-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Split(strings.ReplaceAll(strings.TrimSpace(string(out)), modules, ""), "\n"), ", ")
}

// coarse makes one of the two outcomes that notation-go has one check for.
func coarse(outcome vectors.Outcome) vectors.Outcome {
	if outcome == vectors.Malformed {
		return vectors.Integrity
	}
	return outcome
}

// judge has notation-go verify a vector.
func judge(t *testing.T, v vectors.Vector) (verdict vectors.Outcome, err error) {
	t.Helper()
	temp := t.TempDir()
	at, config := filepath.Join(temp, "layout"), filepath.Join(temp, "config")
	if err := errors.Join(v.WriteLayout(at), v.WriteConfig(config)); err != nil {
		t.Fatal(err)
	}
	var policy trustpolicy.Document
	if err := json.Unmarshal(v.TrustPolicy, &policy); err != nil {
		t.Fatal(err)
	}
	checks, err := verifier.New(&policy, truststore.NewX509TrustStore(dir.NewSysFS(config)), plugin.NewCLIManager(dir.NewSysFS(temp)))
	if err != nil {
		t.Fatalf("%s: %v", v.ID, err)
	}
	defer func() {
		if crash := recover(); crash != nil {
			verdict, err = "panic", fmt.Errorf("%v", crash)
		}
	}()
	recorder := &recorder{Verifier: checks}
	_, _, err = notation.Verify(t.Context(), recorder, &layout{path: at}, notation.VerifyOptions{
		ArtifactReference: vectors.Scope + "@" + v.Artifact.Digest, MaxSignatureAttempts: 100,
	})
	return recorder.verdict(err)
}

// recorder keeps what a verifier says of the last signature.
type recorder struct {
	notation.Verifier
	outcome *notation.VerificationOutcome
}

func (r *recorder) Verify(ctx context.Context, desc ocispec.Descriptor, signature []byte, opts notation.VerifierVerifyOptions) (*notation.VerificationOutcome, error) {
	outcome, err := r.Verifier.Verify(ctx, desc, signature, opts)
	r.outcome = outcome
	return outcome, err
}

// verdict says where verification failed, and why. err is that of the whole.
func (r *recorder) verdict(err error) (vectors.Outcome, error) {
	switch {
	case err == nil:
		return vectors.Valid, nil
	case r.outcome == nil:
		return vectors.Manifest, err
	}
	for _, result := range r.outcome.VerificationResults {
		if result.Error != nil && result.Action == trustpolicy.ActionEnforce {
			return vectors.Outcome(result.Type), result.Error
		}
	}
	if _, inconclusive := errors.AsType[notation.VerificationInconclusiveError](err); inconclusive && !strings.Contains(err.Error(), "minimum version") {
		return vectors.Attribute, r.outcome.Error
	}
	// A rule for the attributes that name a plugin, or the payload.
	return vectors.Integrity, r.outcome.Error
}
