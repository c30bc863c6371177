package host

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/revocation"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

// listServer serves the CRL of one issuer; it is an http.RoundTripper.
type listServer struct {
	t       testing.TB
	issuer  *testpki.Entity
	now     func() time.Time
	number  int64
	revoked map[*x509.Certificate]bool
	silent  bool
}

func (l *listServer) RoundTrip(request *http.Request) (*http.Response, error) {
	if l.silent {
		return nil, fmt.Errorf("nobody answers at %s", request.URL.Host)
	}
	list := &x509.RevocationList{
		Number: big.NewInt(l.number), ThisUpdate: l.now().Add(-time.Minute), NextUpdate: l.now().Add(12 * time.Hour),
	}
	for cert, revoked := range l.revoked {
		if revoked {
			list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
				SerialNumber: cert.SerialNumber, RevocationTime: noon.Add(-500 * time.Hour),
			})
		}
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, l.issuer.Cert, l.issuer.Key)
	if err != nil {
		l.t.Error(err)
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(der)), Request: request}, nil
}

// TestFilesAgree changes the policy file, the files of a trust store, the clock
// and what the revocation server says, at random. A Verifier with every cache
// there is, used all along, and one made anew for each step must agree, check by
// check. An answer about revocation may be used for revocationMaxAge (one hour), so
// the server changes its mind only when more time than that passes.
func TestFilesAgree(t *testing.T) {
	t.Parallel()
	const steps = 300
	seed := uint64(time.Now().UnixNano())
	random := mathrand.New(mathrand.NewPCG(seed, 0))
	s := newStage(t)
	named := func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://crl.example/list"} }
	middle := s.root.Intermediate(t, "Middle", longValid)
	other := testpki.Root(t, "Other", longValid)
	signers := []*testpki.Entity{
		middle.Leaf(t, "Signer", protocol.KeySpecEC256, named, longValid), middle.Leaf(t, "Second", protocol.KeySpecEC384, named, longValid),
		middle.Leaf(t, "Short", protocol.KeySpecEC256), other.Leaf(t, "Stranger", protocol.KeySpecEC256),
	}
	for _, signer := range signers {
		for _, format := range formats {
			s.sign(by(signer), as(format))
		}
	}
	all := s.repo.signatures
	server := &listServer{t: t, issuer: middle, now: func() time.Time { return s.now }, revoked: map[*x509.Certificate]bool{}}

	dir := t.TempDir()
	policy := filepath.Join(dir, trust.OCIPolicyFile)
	store := filepath.Join(dir, "truststore", "x509", "ca", "acme")
	if err := os.MkdirAll(store, 0o700); err != nil {
		t.Fatal(err)
	}
	writePolicy := func() {
		data, err := json.Marshal(map[string]any{"version": "1.0", "trustPolicies": []any{s.statement}})
		if err != nil {
			t.Fatal(err)
		}
		overwrite(t, policy, data)
	}
	root, second := filepath.Join(store, "a.crt"), filepath.Join(store, "b.crt")
	writePolicy()
	overwrite(t, root, s.root.CertPEM())

	// The caches believe a file 2 s after its last change; their clock is ahead,
	// so that they believe it at once. overwrite makes each change visible.
	ahead := func() time.Time { return time.Now().Add(time.Minute) }
	verifier := func(files *revocation.FileCache) *Verifier {
		v := s.verifier()
		stores := trust.NewDirStore(filepath.Join(dir, "truststore"), nil)
		stores.Now = ahead
		v.Policies, v.Stores = trust.NewPolicyCache(trust.FilePolicies{Dir: dir}, ahead), stores
		v.Revocation = &revocation.Checker{HTTPClient: &http.Client{Transport: server}, Now: v.Now, Cache: files}
		return v
	}
	warm := verifier(&revocation.FileCache{Dir: t.TempDir()})
	changes := []func(){
		func() { overwrite(t, root, s.root.CertPEM()) },
		func() { overwrite(t, root, other.CertPEM()) },
		func() { overwrite(t, root, middle.CertPEM()) },
		func() { overwrite(t, second, other.CertPEM()) },
		func() { os.Remove(second) },
		func() { os.Remove(root) },
		func() { overwrite(t, second, []byte("not a certificate")) },
		func() { s.statement["trustedIdentities"] = []string{"*"}; writePolicy() },
		func() {
			s.statement["trustedIdentities"] = []string{"x509.subject: C=US, ST=WA, O=signet test, CN=Signer"}
			writePolicy()
		},
		func() { s.level("strict"); writePolicy() },
		func() { s.level("audit"); writePolicy() },
		func() { s.level("strict", "revocation=log"); writePolicy() },
		func() { overwrite(t, policy, []byte("{")) },
		func() { s.now = s.now.Add(10 * time.Minute) },
		func() { s.now = s.now.Add(time.Duration(random.IntN(600)) * time.Minute) },
		func() {
			s.now = s.now.Add(2 * time.Hour)
			server.number++
			cert := signers[random.IntN(2)].Cert
			server.revoked[cert] = !server.revoked[cert]
		},
		func() { s.now = s.now.Add(13 * time.Hour); server.silent = !server.silent },
	}
	verdicts := map[bool]int{}
	for step := range steps {
		changes[random.IntN(len(changes))]()
		s.repo.signatures = []*artifact.Signature{all[random.IntN(len(all))]}
		s.repo.resolved = s.target
		warmOutcome, warmErr := warm.VerifyArtifact(t.Context(), s.repo, s.request())
		coldOutcome, coldErr := verifier(nil).VerifyArtifact(t.Context(), s.repo, s.request())
		if got, want := findings(warmOutcome, warmErr), findings(coldOutcome, coldErr); got != want {
			t.Fatalf("seed %d, step %d:\nwarm %s\ncold %s", seed, step, got, want)
		}
		verdicts[warmErr == nil]++
	}
	if verdicts[true] == 0 || verdicts[false] == 0 {
		t.Errorf("of %d steps %d passed: the changes change nothing", steps, verdicts[true])
	}
	t.Logf("%d steps: %d passed, %d failed, and both verifiers agreed", steps, verdicts[true], verdicts[false])
}

// findings renders what a verification found, for comparison.
func findings(outcome *Outcome, err error) string {
	text := fmt.Sprint(err)
	if outcome != nil {
		for _, signature := range outcome.Signatures {
			for _, check := range signature.Checks {
				text += fmt.Sprintf("; %s %s", check.Check, check.Status)
			}
		}
	}
	return text
}

// overwrite gives a file new content, and goes on until its times differ from
// those before: within the granularity of file times no reader could tell.
func overwrite(t *testing.T, path string, data []byte) {
	t.Helper()
	before, _ := os.Stat(path)
	for {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		after, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if before == nil || !after.ModTime().Equal(before.ModTime()) {
			return
		}
	}
}
