package conformance

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"slices"
	"strings"
	"testing"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// judged runs judgeChain on a chain of a key of EC-256 and returns what came of it.
func judged(t *testing.T, ders [][]byte) (broken string, results map[string]Result) {
	t.Helper()
	k := newKit(Options{Keys: []string{"k"}})
	suite, _ := protocol.SuiteOf(protocol.KeySpecEC256)
	_, broken = k.judgeChain("k", suite, ders)
	results = map[string]Result{}
	for _, r := range k.results() {
		results[r.ID] = r
	}
	return broken, results
}

// TestChain: a chain is judged whole, whatever its first certificate is.
func TestChain(t *testing.T) {
	t.Parallel()
	root := testpki.Authority(t, nil, "root", protocol.KeySpecEC384)
	chain := root.Intermediate(t, "intermediate").Leaf(t, "leaf", protocol.KeySpecEC256).RawChain()
	t.Run("PLG-25 good", func(t *testing.T) {
		if broken, results := judged(t, chain); broken != "" || results["sign.chain"].Verdict != Passed || results["sign.certificates"].Verdict != Passed {
			t.Errorf("broken %q, %+v", broken, results["sign.chain"])
		}
	})
	t.Run("PLG-25 reversed, the root of another key spec", func(t *testing.T) {
		reversed := slices.Clone(chain)
		slices.Reverse(reversed)
		_, results := judged(t, reversed)
		if results["sign.chain"].Verdict != Failed || results["sign.leaf"].Verdict != Failed {
			t.Errorf("%+v, %+v", results["sign.chain"], results["sign.leaf"])
		}
		if r := results["sign.certificates"]; r.Verdict != NotRun || r.Reason != "sign.chain does not hold" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("PLG-25 without its root", func(t *testing.T) {
		broken, results := judged(t, chain[:2])
		if broken != "sign.chain" || results["sign.chain"].Verdict != Failed {
			t.Fatalf("broken %q, %+v", broken, results["sign.chain"])
		}
		seen := results["sign.chain"].Failures[0].Seen
		if !strings.HasPrefix(seen, `the last certificate is not self-signed, append that of its issuer "CN=root,`) || !strings.Contains(seen, `": 1 "CN=leaf,`) || strings.HasSuffix(seen, ";") {
			t.Error(seen)
		}
	})
}

func TestSaltLength(t *testing.T) {
	t.Parallel()
	payload := []byte("payload")
	suite, _ := protocol.SuiteOf(protocol.KeySpecRSA2048)
	key := testpki.Key(t, suite.KeySpec)
	leaf := &x509.Certificate{PublicKey: key.Public()}
	for _, want := range []int{1, 20, suite.CryptoHash.Size(), 222} {
		signature, err := key.Sign(rand.Reader, signer.Digest(suite, payload), &rsa.PSSOptions{SaltLength: want, Hash: crypto.SHA256})
		if err != nil {
			t.Fatal(err)
		}
		if got := saltLength(leaf, suite, payload, signature); got != want {
			t.Errorf("%d, want %d", got, want)
		}
	}
}
