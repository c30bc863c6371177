package host

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/host/revocation"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testtsa"
	"github.com/signet-project/signet/protocol"
)

var formats = []envelope.Format{envelope.FormatJWS, envelope.FormatCOSE}

func status(t testing.TB, signature *SignatureOutcome, check trust.Check, want Status) {
	t.Helper()
	if got := signature.Result(check); got.Status != want {
		t.Errorf("%s is %q (%v), want %q", check, got.Status, got.Err, want)
	}
}

func TestVerifyArtifact(t *testing.T) {
	t.Parallel()
	t.Run("VER-01 skip fetches nothing", func(t *testing.T) {
		s := newStage(t)
		s.statement = map[string]any{"name": "none", "registryScopes": []string{scope}, "signatureVerification": map[string]any{"level": "skip"}}
		outcome := s.passes()
		if !outcome.Skipped || s.repo.touched || len(outcome.Signatures) != 0 {
			t.Errorf("outcome %+v, repository asked: %t", outcome, s.repo.touched)
		}
	})
	t.Run("VER-01 no statement fails before the repository is asked", func(t *testing.T) {
		s := newStage(t)
		s.statement["registryScopes"] = []string{"registry.example/other"}
		outcome, err := s.verify()
		if errorAs[*trust.NoStatementError](err) == nil || outcome != nil || s.repo.touched {
			t.Errorf("outcome %v, error %v, repository asked: %t", outcome, err, s.repo.touched)
		}
	})
	t.Run("VER-03 a tag is resolved to a digest", func(t *testing.T) {
		s := newStage(t)
		s.sign()
		if outcome := s.passes(); outcome.Reference != scope+"@"+s.target.Digest.String() || outcome.Artifact.Digest != s.target.Digest {
			t.Errorf("verified %s", outcome.Reference)
		}
	})
	t.Run("VER-05 one good signature is enough", func(t *testing.T) {
		for _, format := range formats {
			s := newStage(t)
			s.sign(by(testpki.Root(t, "Stranger").Leaf(t, "Stranger", protocol.KeySpecEC256)), as(format))
			s.sign(as(format))
			s.sign(as(format))
			outcome := s.passes()
			if len(outcome.Signatures) != 2 || outcome.Verified[0] != outcome.Signatures[1] || outcome.Signatures[0].Err == nil {
				t.Errorf("%s: %d signatures considered%s", format, len(outcome.Signatures), reasons(outcome))
			}
			if outcome.Verified[0].Anchor == nil || !outcome.Verified[0].Anchor.Equal(s.root.Cert) {
				t.Errorf("%s: the anchor is not recorded", format)
			}
		}
	})
	t.Run("VER-07 the limit", func(t *testing.T) {
		s := newStage(t)
		s.sign(by(testpki.Root(t, "Stranger").Leaf(t, "Stranger", protocol.KeySpecEC256)))
		s.sign()
		_, err := s.verify(func(r *ArtifactRequest) { r.MaxSignatures = 1 })
		if err == nil || err.Error() != "signature evaluation stopped. The configured limit of 1 signatures to verify per artifact exceeded" {
			t.Errorf("error %v", err)
		}
		s.passes(func(r *ArtifactRequest) { r.MaxSignatures = 2 })
		for _, limit := range []int{0, -1} {
			_, err := s.verify(func(r *ArtifactRequest) { r.MaxSignatures = limit })
			if want := fmt.Sprintf("max-signatures value %d must be a positive number", limit); err == nil || err.Error() != want {
				t.Errorf("error %v, want %s", err, want)
			}
		}
		s.repo.signatures = s.repo.signatures[:1]
		if _, err := s.verify(func(r *ArtifactRequest) { r.MaxSignatures = 1 }); errorAs[*LimitError](err) == nil {
			t.Errorf("exactly as many as the limit: %v", err)
		}
	})
	t.Run("VER-08 bad candidates first", func(t *testing.T) {
		s := newStage(t)
		s.sign()
		s.sign(func(c *claim) { c.spoil = func([]byte) []byte { return []byte("{") } })
		s.repo.put(&artifact.Signature{MediaType: "application/unknown", Envelope: []byte("x"), Subject: s.target})
		s.sign()
		s.repo.errs = map[int]error{0: &artifact.CandidateError{Err: errors.New("not one layer")}}
		outcome := s.passes()
		if len(outcome.Signatures) != 4 || outcome.Verified[0] != outcome.Signatures[3] {
			t.Errorf("%d considered%s", len(outcome.Signatures), reasons(outcome))
		}
		for _, bad := range outcome.Signatures[:3] {
			if bad.Err == nil {
				t.Errorf("%s has no reason", bad.Digest)
			}
		}
	})
	t.Run("VER-08 large signatures that fail are not kept in memory", func(t *testing.T) {
		s := newStage(t)
		stranger := testpki.Root(t, "Stranger").Leaf(t, "Stranger", protocol.KeySpecEC256)
		pad := func(c *claim) {
			c.spoil = func(data []byte) []byte {
				return bytes.Replace(data, []byte(`"header":{`), []byte(`"header":{"padding":"`+strings.Repeat("x", maxKeptEnvelope)+`",`), 1)
			}
		}
		s.sign(by(stranger), pad)
		s.sign(by(stranger))
		s.sign(pad)
		outcome := s.passes()
		large, small, good := outcome.Signatures[0], outcome.Signatures[1], outcome.Signatures[2]
		if large.Err == nil || large.Envelope != nil || large.Target.Digest != "" {
			t.Errorf("it failed with %v and is kept: %t", large.Err, large.Envelope != nil)
		}
		if small.Envelope == nil || good.Envelope == nil || good.Target.Digest != s.target.Digest {
			t.Error("what is small or good is not kept")
		}
		if good.Envelope.Payload != nil || good.leaf() == nil || good.Envelope.SigningTime.IsZero() || good.Envelope.Scheme == "" || small.Envelope.Payload == nil {
			t.Errorf("of the large one that is good %d bytes of payload are kept", len(good.Envelope.Payload))
		}
	})
	t.Run("VER-08 a list that breaks off", func(t *testing.T) {
		s := newStage(t)
		s.repo.listErr = errors.New("connection reset")
		if _, err := s.verify(); !errors.Is(err, s.repo.listErr) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("VER-09 no signature", func(t *testing.T) {
		s := newStage(t)
		_, err := s.verify()
		if want := fmt.Sprintf("no signature is associated with %q, make sure the artifact was signed successfully", scope+"@"+s.target.Digest.String()); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	})
	t.Run("VER-23 all failed", func(t *testing.T) {
		s := newStage(t)
		s.sign(by(testpki.Root(t, "Stranger").Leaf(t, "Stranger", protocol.KeySpecEC256)))
		_, err := s.verify()
		if want := "signature verification failed for all the signatures associated with " + scope + "@" + s.target.Digest.String(); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	})
	t.Run("VER-27 the scope chooses the statement", func(t *testing.T) {
		s := newStage(t)
		s.statement["registryScopes"] = []string{"local/app"}
		s.sign()
		s.passes(func(r *ArtifactRequest) { r.Name, r.Scope = "layout", "local/app" })
	})
}

func TestVerifyOrder(t *testing.T) {
	t.Parallel()
	t.Run("VER-04 what is enforced stops, what is logged goes on", func(t *testing.T) {
		s := newStage(t)
		s.leaf = s.root.Leaf(t, "Old", protocol.KeySpecEC256, testpki.Validity(noon.Add(-48*time.Hour), noon.Add(-24*time.Hour)))
		s.sign(func(c *claim) { c.draft.SigningTime, c.draft.Expiry = noon.Add(-30*time.Hour), noon.Add(-25*time.Hour) })
		outcome := s.fails("digital signature has expired on")
		status(t, outcome.Signatures[0], trust.CheckIntegrity, StatusPassed)
		status(t, outcome.Signatures[0], trust.CheckAuthenticity, StatusPassed)
		status(t, outcome.Signatures[0], trust.CheckExpiry, StatusFailed)
		status(t, outcome.Signatures[0], trust.CheckAuthenticTimestamp, StatusNotRun)
		status(t, outcome.Signatures[0], trust.CheckRevocation, StatusNotRun)
		s.level("permissive")
		outcome = s.passes()
		status(t, outcome.Verified[0], trust.CheckExpiry, StatusFailed)
		status(t, outcome.Verified[0], trust.CheckAuthenticTimestamp, StatusFailed)
		status(t, outcome.Verified[0], trust.CheckRevocation, StatusPassed)
		if n := len(outcome.Verified[0].Warnings()); n != 2 {
			t.Errorf("%d warnings", n)
		}
	})
	t.Run("VER-06 the order of the checks", func(t *testing.T) {
		s := newStage(t)
		s.stores[trust.StoreRef{Type: trust.StoreTSA, Name: "time"}] = nil
		p := s.plugin("p", "1.0.0", protocol.CapabilityTrustedIdentityVerifier)
		p.verdicts(map[protocol.Capability]string{protocol.CapabilityTrustedIdentityVerifier: ""})
		s.sign(naming("p", ""))
		s.passes()
		var order []string
		for line := range strings.Lines(s.log.String()) {
			if _, after, ok := strings.Cut(line, " check="); ok {
				name, _, _ := strings.Cut(after, " ")
				order = append(order, name)
			}
		}
		if want := []string{"integrity", "authenticity", "expiry", "authenticTimestamp", "revocation", "authenticity"}; !slices.Equal(order, want) {
			t.Errorf("order %v, want %v", order, want)
		}
	})
	t.Run("VER-04 the statement is logged first", func(t *testing.T) {
		s := newStage(t)
		s.sign()
		s.passes()
		if first, _, _ := strings.Cut(s.log.String(), "\n"); !strings.Contains(first, "trust policy statement chosen") {
			t.Errorf("first line %s", first)
		}
	})
}

func TestVerifyIntegrity(t *testing.T) {
	t.Parallel()
	levels := []string{"strict", "permissive", "audit"}
	t.Run("VER-10 tampering fails at every level", func(t *testing.T) {
		for _, level := range levels {
			for _, format := range formats {
				s := newStage(t)
				s.level(level)
				s.sign(as(format), func(c *claim) {
					c.spoil = func(data []byte) []byte {
						env, err := envelope.Parse(format.MediaType(), data)
						if err != nil {
							t.Fatal(err)
						}
						if format == envelope.FormatCOSE {
							spoiled := bytes.Clone(env.Signature)
							spoiled[3] ^= 1
							return bytes.Replace(data, env.Signature, spoiled, 1)
						}
						i := bytes.Index(data, []byte(`"signature":"`)) + len(`"signature":"`)
						spoiled := bytes.Clone(data)
						if spoiled[i] = 'A'; data[i] == 'A' {
							spoiled[i] = 'B'
						}
						return spoiled
					}
				})
				outcome := s.fails("")
				status(t, outcome.Signatures[0], trust.CheckIntegrity, StatusFailed)
				if len(s.asked) != 0 {
					t.Error("revocation was checked")
				}
			}
		}
	})
	t.Run("VER-11 another artifact at every level", func(t *testing.T) {
		others := map[string]ocispec.Descriptor{"digest": describe("another one")}
		size, kind := describe("an artifact"), describe("an artifact")
		size.Size++
		kind.MediaType = "application/vnd.oci.image.index.v1+json"
		others["size"], others["mediaType"] = size, kind
		for _, level := range levels {
			for name, other := range others {
				s := newStage(t)
				s.level(level)
				s.sign(about(other))
				outcome := s.fails("content descriptor mismatch")
				if outcome.Signatures[0].Result(trust.CheckIntegrity).Status != StatusFailed {
					t.Errorf("%s, other %s: not a matter of integrity", level, name)
				}
			}
		}
	})
}

func TestVerifyAuthenticity(t *testing.T) {
	t.Parallel()
	t.Run("VER-12 the anchor", func(t *testing.T) {
		s := newStage(t)
		s.sign(by(testpki.Root(t, "Root").Leaf(t, "Signer", protocol.KeySpecEC256)))
		outcome := s.fails("the signature's certificate chain does not contain any trusted certificate")
		status(t, outcome.Signatures[0], trust.CheckAuthenticity, StatusFailed)
	})
	t.Run("VER-12 an intermediate or the leaf can be the anchor", func(t *testing.T) {
		s := newStage(t)
		intermediate := s.root.Intermediate(t, "Middle")
		leaf := intermediate.Leaf(t, "Signer", protocol.KeySpecEC256)
		s.sign(by(leaf))
		for _, anchor := range []*testpki.Entity{leaf, intermediate, s.root} {
			s.stores[trust.StoreRef{Type: trust.StoreCA, Name: "acme"}][0] = anchor.Cert
			if got := s.passes().Verified[0].Anchor; !got.Equal(anchor.Cert) {
				t.Errorf("anchored at %s", got.Subject)
			}
		}
	})
	t.Run("VER-13 the identity", func(t *testing.T) {
		s := newStage(t)
		s.sign()
		identity := "x509.subject: C=US, ST=WA, L=Seattle, O=signet test, CN="
		s.statement["trustedIdentities"] = []string{identity + "Somebody else"}
		s.fails(trust.ErrIdentityMismatch.Error())
		s.statement["trustedIdentities"] = []string{identity + "Signer"}
		if got := s.passes().Verified[0].Identity; got != identity+"Signer" {
			t.Errorf("identity %q", got)
		}
	})
	t.Run("VER-12 audit goes on without plugins and without network", func(t *testing.T) {
		s := newStage(t)
		s.level("audit")
		s.statement["trustStores"] = []string{"ca:acme", "tsa:time"}
		tsa := testtsa.NewSigner(t, protocol.KeySpecEC256)
		s.stores[trust.StoreRef{Type: trust.StoreTSA, Name: "time"}] = tsa.Chain()[len(tsa.Chain())-1:]
		stranger := testpki.Root(t, "Stranger").Leaf(t, "Stranger", protocol.KeySpecEC256)
		s.sign(by(stranger), func(c *claim) { c.timestamp = &testtsa.Options{Signer: tsa} })
		outcome := s.passes()
		status(t, outcome.Verified[0], trust.CheckAuthenticity, StatusFailed)
		status(t, outcome.Verified[0], trust.CheckRevocation, StatusNotRun)
		if len(s.asked) != 0 {
			t.Errorf("revocation was asked about %d chains", len(s.asked))
		}
		p := s.plugin("p", "1.0.0", protocol.CapabilityTrustedIdentityVerifier)
		s.repo.signatures = nil
		s.sign(by(stranger), naming("p", ""))
		s.fails("not run: the certificate chain is not anchored")
		if p.calls() != 0 {
			t.Error("the plugin was run")
		}
	})
}

func TestVerifyTime(t *testing.T) {
	t.Parallel()
	t.Run("VER-14 expiry", func(t *testing.T) {
		s := newStage(t)
		expiry := noon.Add(time.Minute)
		s.sign(func(c *claim) { c.draft.Expiry = expiry })
		s.now = expiry.Add(-time.Second)
		s.passes()
		for _, now := range []time.Time{expiry, expiry.Add(time.Second)} {
			s.now = now
			s.fails(fmt.Sprintf("digital signature has expired on %q", expiry.Format(time.RFC1123Z)))
		}
	})
	t.Run("VER-15 every certificate is valid now", func(t *testing.T) {
		s := newStage(t)
		s.leaf = s.root.Leaf(t, "Signer", protocol.KeySpecEC256, testpki.Validity(noon.Add(-time.Hour), noon.Add(time.Hour)))
		s.sign()
		s.passes()
		for _, now := range []time.Time{noon.Add(-2 * time.Hour), noon.Add(2 * time.Hour)} {
			s.now = now
			outcome := s.fails("")
			status(t, outcome.Signatures[0], trust.CheckAuthenticTimestamp, StatusFailed)
		}
	})
	authority := func(t *testing.T, at time.Time, validity testpki.Edit) *stage {
		s := newStage(t)
		s.statement["trustStores"] = []string{"signingAuthority:acme"}
		s.stores[trust.StoreRef{Type: trust.StoreSigningAuthority, Name: "acme"}] = s.stores[trust.StoreRef{Type: trust.StoreCA, Name: "acme"}]
		s.leaf = s.root.Leaf(t, "Signer", protocol.KeySpecEC256, validity)
		s.sign(func(c *claim) { c.draft.Scheme, c.draft.SigningTime = envelope.SchemeSigningAuthority, at })
		return s
	}
	t.Run("VER-16 the authentic signing time counts", func(t *testing.T) {
		window := testpki.Validity(noon.Add(-48*time.Hour), noon.Add(-24*time.Hour))
		s := authority(t, noon.Add(-30*time.Hour), window)
		s.passes()
		if got := s.asked[0].ReferenceTime; !got.Equal(noon.Add(-30 * time.Hour)) {
			t.Errorf("revocation was checked for %v", got)
		}
		for _, outside := range []time.Duration{-49 * time.Hour, -23 * time.Hour} {
			authority(t, noon.Add(outside), window).fails("")
		}
	})
	t.Run("SCH-07 the claimed signing time counts for nothing", func(t *testing.T) {
		s := newStage(t)
		s.sign(func(c *claim) { c.draft.SigningTime = noon.Add(1000 * time.Hour) })
		s.passes()
		if got := s.asked[0].ReferenceTime; !got.IsZero() {
			t.Errorf("revocation was checked for %v", got)
		}
	})
}

// timestamped is a stage with a trusted authority and a signature by a leaf that
// was valid from two days to one day ago.
func timestamped(t *testing.T, options testtsa.Options) *stage {
	s := newStage(t)
	s.statement["trustStores"] = []string{"ca:acme", "tsa:time"}
	if options.Signer == nil {
		options.Signer = testpki.Root(t, "Time root", longValid).TSA(t, "Time", protocol.KeySpecEC256, longValid)
	}
	s.stores[trust.StoreRef{Type: trust.StoreTSA, Name: "time"}] = options.Signer.Chain()[len(options.Signer.Chain())-1:]
	s.leaf = s.root.Leaf(t, "Signer", protocol.KeySpecEC256, testpki.Validity(noon.Add(-48*time.Hour), noon.Add(-24*time.Hour)))
	s.sign(func(c *claim) { c.draft.SigningTime, c.timestamp = noon.Add(-30*time.Hour), &options })
	return s
}

func TestVerifyTimestamp(t *testing.T) {
	t.Parallel()
	then := noon.Add(-30 * time.Hour)
	t.Run("VER-17 when a timestamp counts", func(t *testing.T) {
		timestamped(t, testtsa.Options{GenTime: then}).passes()

		s := timestamped(t, testtsa.Options{GenTime: then})
		s.statement["trustStores"] = []string{"ca:acme"}
		s.fails("") // without a tsa store the chain must be valid now

		s = newStage(t) // a valid chain, a signature without a timestamp
		s.statement["trustStores"] = []string{"ca:acme", "tsa:time"}
		s.stores[trust.StoreRef{Type: trust.StoreTSA, Name: "time"}] = s.stores[trust.StoreRef{Type: trust.StoreCA, Name: "acme"}]
		s.sign()
		s.fails("no timestamp countersignature was found in the signature envelope")
		s.statement["signatureVerification"] = map[string]any{"level": "strict", "verifyTimestamp": "afterCertExpiry"}
		s.passes()
		s.now = s.leaf.Cert.NotAfter.Add(time.Hour)
		s.fails("no timestamp countersignature was found in the signature envelope")
	})
	t.Run("VER-18 a missing timestamp", func(t *testing.T) {
		s := timestamped(t, testtsa.Options{GenTime: then})
		s.repo.signatures = nil
		s.sign()
		outcome := s.fails("no timestamp countersignature was found in the signature envelope")
		status(t, outcome.Signatures[0], trust.CheckAuthenticTimestamp, StatusFailed)
	})
	t.Run("VER-19 the whole interval lies in the validity", func(t *testing.T) {
		from, to := noon.Add(-48*time.Hour), noon.Add(-24*time.Hour)
		minute := &testtsa.Accuracy{Seconds: 60}
		for _, test := range []struct {
			at   time.Time
			good bool
		}{
			{from.Add(time.Minute), true}, {from.Add(59 * time.Second), false},
			{to.Add(-time.Minute), true}, {to.Add(-59 * time.Second), false},
		} {
			s := timestamped(t, testtsa.Options{GenTime: test.at, Accuracy: minute})
			if test.good {
				s.passes()
			} else {
				s.fails("at the time of the timestamp")
			}
		}
	})
	t.Run("TSA-16 the authority's chain is checked even where revocation is skipped", func(t *testing.T) {
		for _, result := range []revocation.Result{revocation.ResultRevoked, revocation.ResultUnknown} {
			s := timestamped(t, testtsa.Options{GenTime: then})
			s.level("strict", "revocation=skip")
			s.revoked = func(r revocation.Request) revocation.Result {
				if r.Purpose == pki.Timestamping {
					return result
				}
				return revocation.ResultOK
			}
			outcome := s.fails("")
			status(t, outcome.Signatures[0], trust.CheckAuthenticTimestamp, StatusFailed)
			status(t, outcome.Signatures[0], trust.CheckRevocation, StatusSkipped)
		}
	})
	t.Run("TSA-17 a token over another signature", func(t *testing.T) {
		s := timestamped(t, testtsa.Options{GenTime: then})
		signer := testtsa.NewSigner(t, protocol.KeySpecEC256)
		token := testtsa.Token(t, testtsa.Options{Signer: signer, GenTime: then}, []byte("another signature"), crypto.SHA256)
		draft, err := envelope.NewDraft(envelope.FormatJWS.MediaType(), envelope.DraftOptions{
			Payload: payload(t, s.target), Suite: suiteOf(t, s.leaf), SigningTime: then,
		})
		if err != nil {
			t.Fatal(err)
		}
		signature, err := pki.Sign(s.leaf.Key, draft.SigningInput())
		if err != nil {
			t.Fatal(err)
		}
		data, err := draft.Seal(envelope.SealOptions{Signature: signature, Chain: s.leaf.Chain(), Timestamp: token})
		if err != nil {
			t.Fatal(err)
		}
		s.repo.signatures[0].Envelope = data
		s.fails("failed to verify the timestamp countersignature")
	})
	t.Run("SCH-04 a ca store does not anchor timestamps", func(t *testing.T) {
		s := timestamped(t, testtsa.Options{GenTime: then})
		tsa := trust.StoreRef{Type: trust.StoreTSA, Name: "time"}
		ca := trust.StoreRef{Type: trust.StoreCA, Name: "acme"}
		s.stores[ca] = append(s.stores[ca], s.stores[tsa]...)
		s.stores[tsa] = testtsa.NewSigner(t, protocol.KeySpecEC256).Chain()[2:]
		s.fails("failed to verify the timestamp countersignature")
	})
	t.Run("REV-13 the timestamp's upper bound is the reference time", func(t *testing.T) {
		s := timestamped(t, testtsa.Options{GenTime: then, Accuracy: &testtsa.Accuracy{Seconds: 60}})
		s.passes()
		request := s.asked[len(s.asked)-1]
		if request.Purpose != pki.CodeSigning || !request.ReferenceTime.Equal(then.Add(time.Minute)) || !request.FromTimestamp {
			t.Errorf("asked about %v", request)
		}
	})
}

func payload(t testing.TB, target ocispec.Descriptor) []byte {
	t.Helper()
	data, err := envelope.MarshalPayload(envelope.FormatJWS.MediaType(), target)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func suiteOf(t testing.TB, signer *testpki.Entity) protocol.Suite {
	t.Helper()
	suite, err := protocol.SuiteForKey(signer.Cert.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return suite
}

func TestVerifyScheme(t *testing.T) {
	t.Parallel()
	ca, authority := trust.StoreRef{Type: trust.StoreCA, Name: "acme"}, trust.StoreRef{Type: trust.StoreSigningAuthority, Name: "acme"}
	signed := func(t *testing.T, scheme envelope.Scheme) *stage {
		s := newStage(t)
		s.sign(func(c *claim) { c.draft.Scheme = scheme })
		return s
	}
	t.Run("SCH-02 notary.x509 anchors in ca stores", func(t *testing.T) {
		s := signed(t, envelope.SchemeX509)
		s.passes()
		s.stores[authority] = s.stores[ca]
		s.statement["trustStores"] = []string{"signingAuthority:acme"}
		s.fails(`names no trust store of type "ca"`)
	})
	t.Run("SCH-03 notary.x509.signingAuthority anchors in its own stores", func(t *testing.T) {
		s := signed(t, envelope.SchemeSigningAuthority)
		s.fails(`names no trust store of type "signingAuthority"`)
		s.stores[authority] = s.stores[ca]
		s.statement["trustStores"] = []string{"signingAuthority:acme"}
		s.passes()
	})
	t.Run("SCH-04 the same root in a store of another type", func(t *testing.T) {
		s := signed(t, envelope.SchemeSigningAuthority)
		s.statement["trustStores"] = []string{"ca:acme", "signingAuthority:acme"}
		s.stores[authority] = testpki.Root(t, "Other").Chain()
		s.level("strict")
		s.fails("does not contain any trusted certificate")
	})
	t.Run("SCH-01 an unknown scheme", func(t *testing.T) {
		s := newStage(t)
		env := s.sign()
		_ = env
		s.repo.signatures[0].Envelope = reseal(t, s, []byte(`"notary.x509"`), []byte(`"notary.foo1"`))
		s.fails("SigningScheme")
	})
	t.Run("SCH-05 no authentic time", func(t *testing.T) {
		s := newStage(t)
		s.statement["trustStores"] = []string{"signingAuthority:acme"}
		s.stores[authority] = s.stores[ca]
		s.sign(func(c *claim) { c.draft.Scheme = envelope.SchemeSigningAuthority })
		s.repo.signatures[0].Envelope = reseal(t, s, []byte(`"io.cncf.notary.authenticSigningTime"`), []byte(`"io.cncf.notary.authenticSigningXXXX"`))
		outcome := s.fails("")
		status(t, outcome.Signatures[0], trust.CheckIntegrity, StatusFailed)
	})
}

func TestVerifyRevocation(t *testing.T) {
	t.Parallel()
	for _, result := range []revocation.Result{revocation.ResultRevoked, revocation.ResultUnknown} {
		t.Run("VER-20 "+string(result), func(t *testing.T) {
			s := newStage(t)
			s.revoked = func(revocation.Request) revocation.Result { return result }
			s.sign()
			outcome := s.fails("")
			status(t, outcome.Signatures[0], trust.CheckRevocation, StatusFailed)
			if outcome.Signatures[0].Revocation == nil {
				t.Error("the outcome has no report")
			}
			s.level("permissive")
			status(t, s.passes().Verified[0], trust.CheckRevocation, StatusFailed)
			s.level("strict", "revocation=skip")
			asked := len(s.asked)
			status(t, s.passes().Verified[0], trust.CheckRevocation, StatusSkipped)
			if len(s.asked) != asked {
				t.Error("skipped and asked all the same")
			}
		})
	}
	t.Run("VER-20 without a checker, certificates that name servers are unknown", func(t *testing.T) {
		report := nobodyAsked{}.Check(t.Context(), revocation.Request{Chain: newStage(t).leaf.Chain()})
		if report.Err() != nil {
			t.Error(report.Err())
		}
		s := newStage(t)
		s.leaf.Cert.OCSPServer = []string{"http://ocsp.example"}
		if report := (nobodyAsked{}).Check(t.Context(), revocation.Request{Chain: s.leaf.Chain()}); report.Err() == nil {
			t.Error("no error")
		}
	})
}

func TestVerifyMetadata(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"strict", "permissive", "audit"} {
		t.Run("VER-21 user metadata at level "+level, func(t *testing.T) {
			s := newStage(t)
			s.level(level)
			target := s.target
			target.Annotations = map[string]string{"k": "v", "other": "o"}
			s.sign(about(target))
			want := func(key, value string) func(*ArtifactRequest) {
				return func(r *ArtifactRequest) { r.UserMetadata = map[string]string{key: value} }
			}
			s.passes(want("k", "v"))
			s.fails("unable to find specified metadata in the signature", want("k", "v2"))
			s.fails("unable to find specified metadata in the signature", want("missing", ""))
			if _, err := s.verify(want("k", "v2")); err == nil || err.Error() != "unable to find specified metadata in any signatures" {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestVerifyCategories(t *testing.T) {
	t.Parallel()
	faults := []struct {
		name  string
		check trust.Check
		spoil func(*testing.T, *stage)
	}{
		{"no envelope", trust.CheckIntegrity, func(t *testing.T, s *stage) { s.repo.signatures[0].Envelope = []byte("x") }},
		{"other artifact", trust.CheckIntegrity, func(t *testing.T, s *stage) {
			s.repo.signatures = nil
			s.sign(about(describe("other")))
		}},
		{"store missing", trust.CheckAuthenticity, func(t *testing.T, s *stage) { clear(s.stores) }},
		{"no anchor", trust.CheckAuthenticity, func(t *testing.T, s *stage) {
			s.stores[trust.StoreRef{Type: trust.StoreCA, Name: "acme"}] = testpki.Root(t, "Other").Chain()
		}},
		{"identity", trust.CheckAuthenticity, func(t *testing.T, s *stage) {
			s.statement["trustedIdentities"] = []string{"x509.subject: C=US, ST=WA, O=Other"}
		}},
		{"expired", trust.CheckExpiry, func(t *testing.T, s *stage) {
			s.repo.signatures = nil
			s.sign(func(c *claim) { c.draft.Expiry = noon.Add(-time.Second) })
		}},
		{"chain expired", trust.CheckAuthenticTimestamp, func(t *testing.T, s *stage) {
			s.repo.signatures = nil
			s.sign(by(s.root.Leaf(t, "Old", protocol.KeySpecEC256, testpki.Validity(noon.Add(-9*time.Hour), noon.Add(-8*time.Hour)))))
		}},
		{"tsa store missing", trust.CheckAuthenticTimestamp, func(t *testing.T, s *stage) {
			s.statement["trustStores"] = []string{"ca:acme", "tsa:missing"}
			s.repo.signatures = nil
			s.sign(func(c *claim) {
				c.timestamp = &testtsa.Options{Signer: testtsa.NewSigner(t, protocol.KeySpecEC256)}
			})
		}},
		{"revoked", trust.CheckRevocation, func(t *testing.T, s *stage) {
			s.revoked = func(revocation.Request) revocation.Result { return revocation.ResultRevoked }
		}},
	}
	for _, fault := range faults {
		for _, level := range []string{"strict", "permissive", "audit", "skip"} {
			t.Run(fmt.Sprintf("VER-31 %s at level %s", fault.name, level), func(t *testing.T) {
				s := newStage(t)
				if level == "skip" {
					s.statement = map[string]any{"name": "none", "registryScopes": []string{scope}, "signatureVerification": map[string]any{"level": "skip"}}
				} else {
					s.level(level)
				}
				s.sign()
				fault.spoil(t, s)
				if level == "skip" {
					delete(s.statement, "trustStores")
					delete(s.statement, "trustedIdentities")
					s.passes()
					return
				}
				outcome, err := s.verify()
				result := outcome.Signatures[0].Result(fault.check)
				if result.Status != StatusFailed || result.Err == nil {
					t.Errorf("%s is %q", fault.check, result.Status)
				}
				for _, other := range outcome.Signatures[0].Checks {
					if other.Check != fault.check && other.Status == StatusFailed {
						t.Errorf("%s failed too: %v", other.Check, other.Err)
					}
				}
				if enforced := result.Action == trust.ActionEnforce; enforced != (err != nil) {
					t.Errorf("%s is set to %s and the error is %v", fault.check, result.Action, err)
				}
			})
		}
	}
}

func TestThumbprints(t *testing.T) {
	t.Parallel()
	foreign := map[string]string{artifact.AnnotationThumbprints: `["` + strings.Repeat("ab", 32) + `"]`}
	t.Run("MAN-19 no trusted thumbprint, no download", func(t *testing.T) {
		s := newStage(t)
		s.sign()
		s.repo.signatures[0].Manifest.Annotations = foreign
		outcome := s.fails("match no trusted certificate")
		status(t, outcome.Signatures[0], trust.CheckAuthenticity, StatusFailed)
		if len(s.repo.fetched) != 0 {
			t.Error("downloaded all the same")
		}
	})
	t.Run("MAN-19 what decides nothing", func(t *testing.T) {
		for name, annotations := range map[string]map[string]string{
			"absent": nil, "malformed": {artifact.AnnotationThumbprints: "["},
		} {
			s := newStage(t)
			s.sign()
			s.repo.signatures[0].Manifest.Annotations = annotations
			if s.passes(); len(s.repo.fetched) != 1 {
				t.Errorf("%s: %d downloads", name, len(s.repo.fetched))
			}
		}
		s := newStage(t)
		s.level("audit")
		s.sign()
		s.repo.signatures[0].Manifest.Annotations = foreign
		s.passes()
	})
}

func TestThreshold(t *testing.T) {
	t.Parallel()
	type signer struct{ name, root string }
	two := func(t *testing.T, distinct string, signers ...signer) *stage {
		s := newStage(t)
		s.statement["extensions"] = []string{"threshold"}
		s.statement["threshold"] = map[string]any{"signatures": 2, "distinct": distinct}
		identity := func(name string) string { return "x509.subject: C=US, ST=WA, O=signet test, CN=" + name }
		s.statement["trustedIdentities"] = []string{identity("a"), identity("b"), identity("c")}
		roots := map[string]*testpki.Entity{}
		ca := trust.StoreRef{Type: trust.StoreCA, Name: "acme"}
		for _, signer := range signers {
			if roots[signer.root] == nil {
				roots[signer.root] = testpki.Root(t, signer.root)
				s.stores[ca] = append(s.stores[ca], roots[signer.root].Cert)
			}
			s.sign(by(roots[signer.root].Leaf(t, signer.name, protocol.KeySpecEC256)))
		}
		return s
	}
	missed := func(t *testing.T, s *stage, found int, edits ...func(*ArtifactRequest)) {
		t.Helper()
		outcome, err := s.verify(edits...)
		threshold := errorAs[*ThresholdError](err)
		if threshold == nil || threshold.Found != found || len(outcome.Verified) != 0 {
			t.Errorf("error %v, want %d found", err, found)
		}
	}
	t.Run("two signers", func(t *testing.T) {
		s := two(t, "identity", signer{"a", "r"}, signer{"a", "r"}, signer{"x", "r"}, signer{"b", "r"}, signer{"c", "r"})
		outcome := s.passes()
		if len(outcome.Verified) != 2 || len(outcome.Signatures) != 4 {
			t.Errorf("%d verified of %d considered", len(outcome.Verified), len(outcome.Signatures))
		}
	})
	t.Run("one signer twice", func(t *testing.T) { missed(t, two(t, "identity", signer{"a", "r"}, signer{"a", "r"}), 1) })
	t.Run("VER-21 metadata that too few signers signed", func(t *testing.T) {
		s := two(t, "identity", signer{"b", "r"})
		root := testpki.Root(t, "r2")
		s.stores[trust.StoreRef{Type: trust.StoreCA, Name: "acme"}] = append(s.stores[trust.StoreRef{Type: trust.StoreCA, Name: "acme"}], root.Cert)
		target := s.target
		target.Annotations = map[string]string{"stage": "built"}
		s.sign(by(root.Leaf(t, "a", protocol.KeySpecEC256)), about(target))
		missed(t, s, 1, func(r *ArtifactRequest) { r.UserMetadata = target.Annotations })
	})
	t.Run("one key under two names", func(t *testing.T) {
		s := two(t, "identity", signer{"a", "r"})
		root := testpki.Root(t, "r2")
		s.stores[trust.StoreRef{Type: trust.StoreCA, Name: "acme"}] = append(s.stores[trust.StoreRef{Type: trust.StoreCA, Name: "acme"}], root.Cert)
		key := testpki.FreshKey(t, protocol.KeySpecEC256)
		for _, name := range []string{"a", "b"} {
			leaf := root.LeafFor(t, name, key.Public())
			leaf.Key = key
			s.sign(by(leaf))
		}
		s.repo.signatures = s.repo.signatures[1:]
		missed(t, s, 1)
	})
	t.Run("a choice that a greedy count would miss", func(t *testing.T) {
		// The first signature collides with both others, which do not collide.
		s := two(t, "identity")
		root := testpki.Root(t, "r")
		s.stores[trust.StoreRef{Type: trust.StoreCA, Name: "acme"}] = root.Chain()
		one, other := testpki.FreshKey(t, protocol.KeySpecEC256), testpki.FreshKey(t, protocol.KeySpecEC256)
		for _, leaf := range []struct {
			name string
			key  crypto.Signer
		}{{"a", one}, {"b", one}, {"a", other}} {
			entity := root.LeafFor(t, leaf.name, leaf.key.Public())
			entity.Key = leaf.key
			s.sign(by(entity))
		}
		if outcome := s.passes(); len(outcome.Verified) != 2 {
			t.Errorf("%d verified", len(outcome.Verified))
		}
	})
	t.Run("distinct roots", func(t *testing.T) {
		missed(t, two(t, "root", signer{"a", "r"}, signer{"b", "r"}), 1)
		two(t, "root", signer{"a", "r"}, signer{"b", "r"}, signer{"c", "q"}).passes()
	})
	t.Run("a root and its renewed certificate are one root", func(t *testing.T) {
		s := two(t, "root", signer{"a", "r"})
		ca := trust.StoreRef{Type: trust.StoreCA, Name: "acme"}
		old := s.stores[ca][0]
		key := testpki.FreshKey(t, protocol.KeySpecEC256)
		for _, name := range []string{"b", "c"} {
			authority := testpki.Issue(t, nil, key, &x509.Certificate{Subject: testpki.DefaultSubject("root"), KeyUsage: old.KeyUsage, BasicConstraintsValid: true, IsCA: true})
			s.stores[ca] = append(s.stores[ca], authority.Cert)
			s.sign(by(authority.Leaf(t, name, protocol.KeySpecEC256)))
		}
		s.stores[ca], s.repo.signatures = s.stores[ca][1:], s.repo.signatures[1:]
		missed(t, s, 1)
	})
	t.Run("audit does not loosen it", func(t *testing.T) {
		s := two(t, "identity", signer{"a", "r"}, signer{"x", "r"})
		s.level("audit")
		missed(t, s, 1)
	})
}

// errorAs returns the first error of type E in err's tree, or E's zero value.
func errorAs[E error](err error) E {
	found, _ := errors.AsType[E](err)
	return found
}
