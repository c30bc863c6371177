package host

import (
	"context"
	"crypto"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testtsa"
	"github.com/signet-project/signet/protocol"
)

// recordingAuthority notes what it is asked to timestamp, and declines.
type recordingAuthority struct {
	signature []byte
	hash      crypto.Hash
}

func (a *recordingAuthority) Timestamp(_ context.Context, signature []byte, hash crypto.Hash) ([]byte, error) {
	a.signature, a.hash = signature, hash
	return nil, fmt.Errorf("declined")
}

func TestSignLocally(t *testing.T) {
	t.Parallel()
	local := func(t *testing.T, signer *testpki.Entity) *Signer {
		key, err := NewLocalKey(signer.Key, signer.Chain())
		if err != nil {
			t.Fatal(err)
		}
		return &Signer{Key: key, Agent: "signet/test"}
	}
	t.Run("ENV-06 annotations of a descriptor are kept, those of a manifest stay out", func(t *testing.T) {
		if _, err := mergeMetadata(map[string]string{"kept": "yes"}, map[string]string{"kept": "no"}); err == nil || !strings.Contains(err.Error(), "already present in the target artifact") {
			t.Errorf("a user key that is there already: %v", err)
		}
		merged, err := mergeMetadata(map[string]string{"kept": "yes"}, map[string]string{"added": "1"})
		if err != nil || len(merged) != 2 || merged["kept"] != "yes" || merged["added"] != "1" {
			t.Errorf("merged %v, %v", merged, err)
		}
		s := newStage(t)
		s.repo.resolved = s.target
		s.repo.resolved.Annotations = map[string]string{"of the manifest": "yes"}
		signed, err := local(t, s.leaf).SignArtifact(t.Context(), s.repo, "v1")
		if err != nil {
			t.Fatal(err)
		}
		if target, err := signed.Envelope.Target(); err != nil || len(target.Annotations) != 0 {
			t.Errorf("annotations %v, %v", target.Annotations, err)
		}
	})
	for _, spec := range testpki.Specs {
		signer := testpki.SelfSigned(t, "signer", spec)
		suite := suiteOf(t, signer)
		t.Run("ALG-05 what is timestamped, and by which hash, "+string(spec), func(t *testing.T) {
			s := newStage(t)
			s.repo.resolved = s.target
			authority := &recordingAuthority{}
			flow := local(t, signer)
			flow.Timestamper = authority
			if _, err := flow.SignArtifact(t.Context(), s.repo, "v1"); err == nil || len(s.repo.pushed) != 0 {
				t.Errorf("signed without the timestamp: %v", err)
			}
			if authority.hash != suite.CryptoHash || len(authority.signature) != suite.SignatureSize() {
				t.Errorf("%v over %d bytes", authority.hash, len(authority.signature))
			}
		})
		t.Run("ALG-06 names that a plugin is given, "+string(spec), func(t *testing.T) {
			s := newStage(t)
			s.leaf = s.root.Leaf(t, "Signer", spec)
			p := s.keyPlugin(protocol.CapabilitySignatureGenerator)
			if _, err := s.signArtifact(); err != nil {
				t.Fatal(err)
			}
			names := map[protocol.KeySpec]string{
				protocol.KeySpecRSA2048: "RSA-2048 SHA-256", protocol.KeySpecRSA3072: "RSA-3072 SHA-384", protocol.KeySpecRSA4096: "RSA-4096 SHA-512",
				protocol.KeySpecEC256: "EC-256 SHA-256", protocol.KeySpecEC384: "EC-384 SHA-384", protocol.KeySpecEC521: "EC-521 SHA-512",
			}
			request := p.requests[protocol.CommandGenerateSignature][0]
			if got := fmt.Sprint(request["keySpec"], " ", request["hashAlgorithm"]); got != names[spec] {
				t.Errorf("got %s, want %s", got, names[spec])
			}
		})
	}
	t.Run("SCH-06 the scheme is notary.x509", func(t *testing.T) {
		for _, format := range formats {
			s := newStage(t)
			s.repo.resolved = s.target
			flow := local(t, s.leaf)
			flow.Format = format
			signed, err := flow.SignArtifact(t.Context(), s.repo, "v1")
			if err != nil || signed.Envelope.Scheme != envelope.SchemeX509 {
				t.Errorf("%s: %+v, %v", format, signed, err)
			}
		}
	})
}

func TestPayloadIsNoAttribute(t *testing.T) {
	t.Parallel()
	t.Run("ENV-46 what bears on trust is read from attributes, not from the payload", func(t *testing.T) {
		for _, format := range formats {
			s := newStage(t)
			s.sign(as(format), func(c *claim) {
				c.draft.Payload = fmt.Appendf(nil, `{"targetArtifact":{"mediaType":%q,"digest":%q,"size":%d},`+
					`"io.cncf.notary.expiry":"2001-01-01T00:00:00Z","io.cncf.notary.verificationPlugin":"evil","io.cncf.notary.signingScheme":"notary.x509.signingAuthority"}`,
					s.target.MediaType, s.target.Digest, s.target.Size)
			})
			signature := s.passes().Verified[0]
			if !signature.Envelope.Expiry.IsZero() || len(signature.Plugins) != 0 || signature.Envelope.Scheme != envelope.SchemeX509 {
				t.Errorf("%+v", signature)
			}
		}
	})
}

func TestTimestampOfAuthority(t *testing.T) {
	t.Parallel()
	t.Run("TSA-09 a token in a signature of a signing authority is ignored", func(t *testing.T) {
		s := newStage(t)
		s.stores[trust.StoreRef{Type: trust.StoreSigningAuthority, Name: "acme"}] = s.root.Chain()
		s.stores[trust.StoreRef{Type: trust.StoreTSA, Name: "tsa"}] = testpki.Root(t, "TSA root").Chain()
		s.statement["trustStores"] = []string{"signingAuthority:acme", "tsa:tsa"}
		stranger := testpki.Root(t, "Another TSA root").TSA(t, "TSA", protocol.KeySpecEC256)
		s.sign(func(c *claim) {
			c.draft.Scheme = envelope.SchemeSigningAuthority
			c.spoil = func(data []byte) []byte { return stamped(t, data, stranger, nil) }
		})
		signature := s.passes().Verified[0]
		if signature.Timestamp != nil {
			t.Error("the token was verified")
		}
		if len(signature.Envelope.Timestamp) == 0 {
			t.Error("there was none")
		}
	})
	t.Run("REV-36 skipped revocation asks nobody about the signing chain", func(t *testing.T) {
		s := newStage(t)
		s.level("strict", "revocation=skip")
		s.sign()
		s.passes()
		if len(s.asked) != 0 {
			t.Errorf("asked %v", s.asked)
		}
	})
}

func TestEnvelopePluginTimestamps(t *testing.T) {
	t.Parallel()
	authority := testpki.Root(t, "TSA root")
	for name, c := range map[string]struct {
		signer *testpki.Entity
		of     func([]byte) []byte
		want   string
	}{
		"a good token":                 {authority.TSA(t, "TSA", protocol.KeySpecEC256), nil, ""},
		"a code-signing certificate":   {authority.Leaf(t, "not a TSA", protocol.KeySpecEC256), nil, "timestamp countersignature"},
		"a token of another signature": {authority.TSA(t, "TSA", protocol.KeySpecEC256), func([]byte) []byte { return []byte("something else") }, "timestamp countersignature"},
	} {
		t.Run("PLG-31 "+name, func(t *testing.T) {
			s := newStage(t)
			p := s.keyPlugin(protocol.CapabilityEnvelopeGenerator)
			make := p.answers[protocol.CommandGenerateEnvelope]
			p.answers[protocol.CommandGenerateEnvelope] = func(request map[string]any) (any, error) {
				answer, err := make(request)
				if err != nil {
					return nil, err
				}
				whole := answer.(map[string]any)
				whole["signatureEnvelope"] = stamped(t, whole["signatureEnvelope"].([]byte), c.signer, c.of)
				return whole, nil
			}
			if c.want != "" {
				s.refuses(c.want)
				return
			}
			signed, err := s.signArtifact()
			if err != nil || len(signed.Envelope.Timestamp) == 0 {
				t.Errorf("%+v, %v", signed, err)
			}
		})
	}
}

// stamped adds a timestamp token to a JWS envelope: over its signature, or over
// what of makes of it.
func stamped(t *testing.T, data []byte, signer *testpki.Entity, of func([]byte) []byte) []byte {
	t.Helper()
	parsed, err := envelope.Parse(envelope.MediaTypeJWS, data)
	if err != nil {
		t.Fatal(err)
	}
	message := slices.Clone(parsed.Signature)
	if of != nil {
		message = of(message)
	}
	token := testtsa.Token(t, testtsa.Options{Signer: signer, GenTime: time.Now().Truncate(time.Second)}, message, crypto.SHA256)
	return []byte(strings.Replace(string(data), `"header":{`, `"header":{"io.cncf.notary.timestampSignature":`+toJSON(t, token)+`,`, 1))
}

func TestProof(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	key, err := NewLocalKey(s.leaf.Key, s.leaf.Chain())
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range formats {
		payload, err := envelope.MarshalPayload(format.MediaType(), s.target)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := key.Seal(t.Context(), SealRequest{Format: format, Target: s.target, Payload: payload, SigningTime: noon})
		if err != nil {
			t.Fatal(err)
		}
		parse := func(data []byte) *envelope.Envelope {
			parsed, err := new(envelope.Parser).Parse(format.MediaType(), data)
			if err != nil {
				t.Fatal(err)
			}
			return parsed
		}
		parsed := parse(sealed.Envelope)
		if !sealed.proof.covers(parsed) {
			t.Errorf("%s: the signature just made is verified again", format)
		}
		if (*proof)(nil).covers(parsed) {
			t.Errorf("%s: proved by nothing", format)
		}
		other, err := key.Seal(t.Context(), SealRequest{Format: format, Target: s.target, Payload: payload, SigningTime: noon.Add(time.Second)})
		if err != nil {
			t.Fatal(err)
		}
		if sealed.proof.covers(parse(other.Envelope)) {
			t.Errorf("%s: one signature proves another", format)
		}
		for name, change := range map[string]func(*proof){
			"input":     func(p *proof) { p.input = append([]byte{0}, p.input...) },
			"signature": func(p *proof) { p.signature = append([]byte{0}, p.signature...) },
			"algorithm": func(p *proof) { p.algorithm = protocol.AlgorithmPSS512 },
			"leaf":      func(p *proof) { p.leaf = s.root.Cert },
		} {
			wrong := *sealed.proof
			change(&wrong)
			if wrong.covers(parsed) {
				t.Errorf("%s: another %s is proof enough", format, name)
			}
		}
	}
}
