package host

import (
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

const (
	identityCapability   = protocol.CapabilityTrustedIdentityVerifier
	revocationCapability = protocol.CapabilityRevocationCheckVerifier
)

// verdictsOf is a plugin's agreement to everything.
func agrees(capabilities ...protocol.Capability) map[protocol.Capability]string {
	verdicts := map[protocol.Capability]string{}
	for _, capability := range capabilities {
		verdicts[capability] = ""
	}
	return verdicts
}

func TestVerifyByPlugin(t *testing.T) {
	t.Parallel()
	t.Run("PLG-40 a missing plugin", func(t *testing.T) {
		for _, level := range []string{"strict", "audit"} {
			s := newStage(t)
			s.level(level)
			s.sign(naming("p", ""))
			s.fails(`error while locating the verification plugin "p", make sure the plugin is installed successfully before verifying the signature. error: plugin p is not installed`)
		}
	})
	t.Run("PLG-41 the plugin's version is a semantic one", func(t *testing.T) {
		for _, version := range []string{"1.0", "v1.0.0", "x"} {
			s := newStage(t)
			s.plugin("p", version, identityCapability)
			s.sign(naming("p", ""))
			s.fails("which is not in valid semver format")
		}
	})
	t.Run("PLG-42 the version the signature asks for", func(t *testing.T) {
		for _, test := range []struct {
			has, wants string
			good       bool
		}{{"1.0.0", "1.0.0", true}, {"1.10.0", "1.9.0", true}, {"1.0.0-rc.1", "1.0.0", false}, {"0.9.9", "1.0.0", false}} {
			s := newStage(t)
			s.plugin("p", test.has, identityCapability).verdicts(agrees(identityCapability))
			s.sign(naming("p", test.wants))
			if test.good {
				s.passes()
			} else {
				s.fails("needs plugin version greater than or equal to " + test.wants)
			}
		}
	})
	t.Run("PLG-43 a plugin that cannot verify", func(t *testing.T) {
		s := newStage(t)
		s.plugin("p", "1.0.0", protocol.CapabilitySignatureGenerator)
		s.sign(naming("p", ""))
		s.fails(`digital signature requires plugin "p" with signature verification capabilities`)
	})
	t.Run("PLG-44 the request", func(t *testing.T) {
		s := newStage(t)
		p := s.plugin("p", "1.2.3", identityCapability, revocationCapability)
		p.verdicts(agrees(identityCapability, revocationCapability), "acme.level")
		s.statement["trustedIdentities"] = []string{"x509.subject: C=US, ST=WA, O=signet test", "acme.arn:one"}
		for _, format := range formats {
			s.repo.signatures = nil
			expiry := noon.Add(time.Hour)
			s.sign(as(format), naming("p", "1.0.0", critical("acme.level", 3), envelope.Attribute{Key: "acme.note", Value: "x"}), func(c *claim) { c.draft.Expiry = expiry })
			s.passes(func(r *ArtifactRequest) { r.PluginConfig = map[string]string{"k": "v"} })
			got := p.requests[protocol.CommandVerifySignature][len(p.requests[protocol.CommandVerifySignature])-1]
			var chain []any
			for _, der := range s.leaf.RawChain() {
				chain = append(chain, base64.StdEncoding.EncodeToString(der))
			}
			want := map[string]any{
				"contractVersion": "1.0",
				"signature": map[string]any{
					"criticalAttributes": map[string]any{
						"contentType": envelope.MediaTypePayload, "signingScheme": "notary.x509", "expiry": expiry.Format(time.RFC3339),
						"verificationPlugin": "p", "verificationPluginMinVersion": "1.0.0", "extendedAttributes": map[string]any{"acme.level": 3.0},
					},
					"unprocessedAttributes": []any{"acme.level"},
					"certificateChain":      chain,
				},
				"trustPolicy": map[string]any{
					"trustedIdentities":     []any{"x509.subject: C=US, ST=WA, O=signet test", "acme.arn:one"},
					"signatureVerification": []any{string(identityCapability), string(revocationCapability)},
				},
				"pluginConfig": map[string]any{"k": "v"},
				"artifact": map[string]any{
					"reference": scope + "@" + s.target.Digest.String(), "mediaType": mediaType,
					"digest": s.target.Digest.String(), "size": float64(s.target.Size),
				},
			}
			if g, w := toJSON(t, got), toJSON(t, want); g != w {
				t.Errorf("%s: request\n%s\nwant\n%s", format, g, w)
			}
		}
	})
	t.Run("PLG-45 no expiry, no null", func(t *testing.T) {
		s := newStage(t)
		p := s.plugin("p", "1.0.0", identityCapability)
		p.verdicts(agrees(identityCapability))
		s.sign(naming("p", ""))
		s.passes()
		request := toJSON(t, p.requests[protocol.CommandVerifySignature][0])
		for _, unwanted := range []string{"expiry", "authenticSigningTime", "0001-01-01", "null", "verificationPluginMinVersion", "extendedAttributes"} {
			if strings.Contains(request, unwanted) {
				t.Errorf("the request contains %s: %s", unwanted, request)
			}
		}
		if !strings.Contains(request, `"unprocessedAttributes":[]`) {
			t.Errorf("unprocessedAttributes is not an empty array: %s", request)
		}
	})
	t.Run("PLG-46 attributes of types that plugins do not take", func(t *testing.T) {
		for _, format := range formats {
			s := newStage(t)
			p := s.plugin("p", "1.0.0", identityCapability)
			p.verdicts(agrees(identityCapability), "acme.flag")
			s.sign(as(format), naming("p", "", critical("acme.flag", true)))
			s.fails("neither a string nor a number")
			if p.calls() != 0 {
				t.Error("the plugin was called")
			}
		}
	})
	t.Run("PLG-47 only what the level wants", func(t *testing.T) {
		s := newStage(t)
		s.level("strict", "revocation=skip")
		p := s.plugin("p", "1.0.0", identityCapability, revocationCapability)
		p.verdicts(agrees(identityCapability))
		s.sign(naming("p", ""))
		s.passes()
		got := p.requests[protocol.CommandVerifySignature][0]["trustPolicy"].(map[string]any)["signatureVerification"]
		if toJSON(t, got) != `["`+string(identityCapability)+`"]` {
			t.Errorf("asked for %v", got)
		}
	})
	broken := map[string]struct {
		answer any
		want   string
	}{
		"PLG-49 an extra result":                    {map[string]any{"verificationResults": map[string]any{string(identityCapability): map[string]any{"success": true}, "X": map[string]any{"success": true}}, "processedAttributes": []string{}}, "X"},
		"PLG-49 a missing result":                   {map[string]any{"verificationResults": map[string]any{}, "processedAttributes": []string{}}, string(identityCapability)},
		"PLG-50 no reason":                          {map[string]any{"verificationResults": map[string]any{string(identityCapability): map[string]any{"success": false}}, "processedAttributes": []string{}}, "reason"},
		"PLG-51 an attribute left":                  {map[string]any{"verificationResults": map[string]any{string(identityCapability): map[string]any{"success": true}}, "processedAttributes": []string{}}, "acme.x"},
		"PLG-51 an attribute nobody asked about":    {map[string]any{"verificationResults": map[string]any{string(identityCapability): map[string]any{"success": true}}, "processedAttributes": []string{"acme.x", "acme.y"}}, "acme.y"},
		"PLG-48 an answer of another form entirely": {[]string{"yes"}, "p"},
	}
	for name, test := range broken {
		t.Run(name, func(t *testing.T) {
			for _, level := range []string{"strict", "audit"} {
				s := newStage(t)
				s.level(level)
				s.plugin("p", "1.0.0", identityCapability).answer(protocol.CommandVerifySignature, test.answer)
				s.sign(naming("p", "", critical("acme.x", "1")))
				s.fails(test.want)
			}
		})
	}
	t.Run("PLG-52 a negative answer", func(t *testing.T) {
		for capability, want := range map[protocol.Capability]string{
			identityCapability:   `trusted identify verification by plugin "p" failed with reason "no"`,
			revocationCapability: `revocation check by verification plugin "p" failed with reason "no"`,
		} {
			s := newStage(t)
			s.plugin("p", "1.0.0", capability).verdicts(map[protocol.Capability]string{capability: "no"})
			s.sign(naming("p", ""))
			outcome := s.fails(want)
			status(t, outcome.Signatures[0], checkOf(capability), StatusFailed)
			s.level("audit")
			if got := s.passes().Verified[0].Result(checkOf(capability)); got.Status != StatusFailed || got.Err.Error() != want {
				t.Errorf("%s: %s with %v", capability, got.Status, got.Err)
			}
		}
	})
	t.Run("PLG-53 the plugin decides in the host's place", func(t *testing.T) {
		s := newStage(t)
		s.statement["trustedIdentities"] = []string{"acme.arn:one"}
		s.sign()
		s.fails(trust.ErrNoX509Identities.Error())
		s.repo.signatures = nil
		p := s.plugin("p", "1.0.0", identityCapability, revocationCapability)
		p.verdicts(agrees(identityCapability, revocationCapability))
		s.sign(naming("p", ""))
		s.asked = nil
		outcome := s.passes()
		if len(s.asked) != 0 || outcome.Verified[0].Result(trust.CheckRevocation).Detail != "decided by plugin p" {
			t.Errorf("asked about %d chains; %+v", len(s.asked), outcome.Verified[0].Result(trust.CheckRevocation))
		}
		if use := outcome.Verified[0].Plugins; len(use) != 1 || use[0] != (PluginUse{Name: "p", Version: "1.0.0"}) {
			t.Errorf("plugins %v", use)
		}
	})
	t.Run("PLG-54 what no plugin decides", func(t *testing.T) {
		for name, spoil := range map[string]func(*stage){
			"anchor": func(s *stage) {
				s.stores[trust.StoreRef{Type: trust.StoreCA, Name: "acme"}] = testpki.Root(t, "Other").Chain()
			},
			"expiry": func(s *stage) { s.now = noon.Add(2 * time.Hour) },
		} {
			s := newStage(t)
			s.plugin("p", "1.0.0", identityCapability, revocationCapability).verdicts(agrees(identityCapability, revocationCapability))
			s.sign(naming("p", ""), func(c *claim) { c.draft.Expiry = noon.Add(time.Hour) })
			s.passes()
			spoil(s)
			if _, err := s.verify(); err == nil {
				t.Errorf("%s: passed", name)
			}
		}
	})
	t.Run("PLG-55 all capabilities skipped and a critical attribute left", func(t *testing.T) {
		s := newStage(t)
		s.level("strict", "revocation=skip")
		p := s.plugin("p", "1.0.0", revocationCapability)
		s.sign(naming("p", "", critical("acme.x", "1")))
		if critical := errorAs[*CriticalAttributesError](s.fails("acme.x").Signatures[0].Err); critical == nil {
			t.Error("not a CriticalAttributesError")
		}
		s.repo.signatures = nil
		s.sign(naming("p", ""))
		s.passes()
		if len(p.requests[protocol.CommandVerifySignature]) != 0 {
			t.Error("verify-signature was called for nothing")
		}
	})
	t.Run("PLG-56 the configuration reaches every command", func(t *testing.T) {
		s := newStage(t)
		p := s.plugin("p", "1.0.0", identityCapability)
		p.verdicts(agrees(identityCapability))
		s.sign(naming("p", ""))
		s.passes(func(r *ArtifactRequest) { r.PluginConfig = map[string]string{"k": "v"} })
		for _, command := range []protocol.Command{protocol.CommandGetMetadata, protocol.CommandVerifySignature} {
			if got := toJSON(t, p.requests[command][0]["pluginConfig"]); got != `{"k":"v"}` {
				t.Errorf("%s got %s", command, got)
			}
		}
	})
	t.Run("VER-25 a plugin agrees", func(t *testing.T) {
		for _, format := range formats {
			s := newStage(t)
			s.plugin("p", "1.0.0", identityCapability).verdicts(agrees(identityCapability), "acme.x")
			s.sign(as(format), naming("p", "0.1.0", critical("acme.x", "1")))
			s.passes()
		}
	})
	t.Run("VER-26 critical attributes and no plugin", func(t *testing.T) {
		for _, format := range formats {
			for _, level := range []string{"strict", "audit"} {
				s := newStage(t)
				s.level(level)
				s.sign(as(format), func(c *claim) { c.draft.Extended = []envelope.Attribute{critical("acme.x", "1")} })
				s.fails(`critical attributes that nothing here can process: ["acme.x"]`)
			}
		}
	})
	t.Run("VER-30 a plugin that fails", func(t *testing.T) {
		for _, level := range []string{"strict", "permissive", "audit"} {
			s := newStage(t)
			s.level(level)
			p := s.plugin("p", "1.0.0", identityCapability)
			p.answers[protocol.CommandVerifySignature] = func(map[string]any) (any, error) {
				return nil, protocol.Errorf(protocol.CodeAccessDenied, "not yours")
			}
			s.sign(naming("p", ""))
			s.fails("failed to verify with plugin p: verify-signature: ACCESS_DENIED: not yours")
		}
	})
}

func TestRequiredPlugins(t *testing.T) {
	t.Parallel()
	demanding := func(t *testing.T, checks ...string) *stage {
		s := newStage(t)
		s.statement["extensions"] = []string{"verificationPlugins"}
		s.statement["verificationPlugins"] = []any{map[string]any{"name": "acme", "minVersion": "1.2.0", "checks": checks, "pluginConfig": map[string]string{"list": "x"}}}
		s.sign()
		return s
	}
	t.Run("a check that the signature never mentions", func(t *testing.T) {
		s := demanding(t, "revocation")
		p := s.plugin("acme", "1.2.0", revocationCapability)
		p.verdicts(agrees(revocationCapability))
		outcome := s.passes(func(r *ArtifactRequest) { r.PluginConfig = map[string]string{"of": "the caller"} })
		if use := outcome.Verified[0].Plugins; len(use) != 1 || use[0] != (PluginUse{Name: "acme", Version: "1.2.0", Required: true}) {
			t.Errorf("plugins %v", use)
		}
		if len(s.asked) != 1 {
			t.Error("the native check was left out")
		}
		if got := toJSON(t, p.requests[protocol.CommandVerifySignature][0]["pluginConfig"]); got != `{"list":"x"}` {
			t.Errorf("configuration %s", got)
		}
		p.verdicts(map[protocol.Capability]string{revocationCapability: "on the deny list"})
		s.fails(`revocation check by verification plugin "acme" failed with reason "on the deny list"`)
		s.level("permissive")
		status(t, s.passes().Verified[0], trust.CheckRevocation, StatusFailed)
	})
	t.Run("what keeps it from answering fails at every level", func(t *testing.T) {
		for _, level := range []string{"strict", "audit"} {
			s := demanding(t, "revocation")
			s.level(level)
			s.fails(`error while locating the verification plugin "acme"`)
			s.plugin("acme", "1.1.9", revocationCapability)
			s.fails("greater than or equal to 1.2.0")
			s.plugin("acme", "1.2.0", identityCapability)
			s.fails("lacks the capability SIGNATURE_VERIFIER.REVOCATION_CHECK")
			s.plugin("acme", "1.2.0", revocationCapability)
			s.fails("failed to verify with plugin acme")
		}
	})
	t.Run("it is not run for a chain that is not anchored", func(t *testing.T) {
		s := demanding(t, "authenticity")
		s.level("audit")
		p := s.plugin("acme", "1.2.0", identityCapability)
		s.stores[trust.StoreRef{Type: trust.StoreCA, Name: "acme"}] = testpki.Root(t, "Other").Chain()
		s.fails("the trust policy demands its check, which was not run")
		if p.calls() != 0 {
			t.Error("it was run")
		}
	})
	t.Run("it cannot satisfy critical attributes", func(t *testing.T) {
		s := demanding(t, "revocation")
		s.repo.signatures = nil
		s.plugin("acme", "1.2.0", revocationCapability).verdicts(agrees(revocationCapability), "acme.x")
		s.sign(func(c *claim) { c.draft.Extended = []envelope.Attribute{critical("acme.x", "1")} })
		s.fails("acme.x")
	})
	t.Run("what a stranger writes into attributes does not swell or split messages", func(t *testing.T) {
		long := strings.Repeat("x", 1<<20)
		many := make([]envelope.Attribute, 100)
		for i := range many {
			many[i] = critical(fmt.Sprintf("com.acme.%d%s", i, long[:1<<12]), "1")
		}
		for name, edit := range map[string]func(*claim){
			"PLG-40 the name of a plugin with a line break": naming("x\nSuccessfully verified signature", ""),
			"PLG-40 the name of a plugin that is too long":  naming(long, ""),
			"VER-26 long critical attributes":               func(c *claim) { c.draft.Extended = many },
			"PLG-46 a long critical attribute of no use":    func(c *claim) { c.draft.Extended = []envelope.Attribute{critical(long, true)} },
		} {
			t.Run(name, func(t *testing.T) {
				for _, anchored := range []bool{true, false} {
					s := newStage(t)
					s.level("audit")
					if !anchored {
						s.stores[trust.StoreRef{Type: trust.StoreCA, Name: "acme"}] = testpki.Root(t, "Other").Chain()
					}
					s.sign(edit)
					outcome, err := s.verify()
					if err == nil {
						t.Fatal("it passed")
					}
					if text := outcome.Signatures[0].Err.Error(); len(text) > 4096 || strings.Contains(text, "\n") {
						t.Errorf("anchored: %t: a text of %d bytes: %.300q", anchored, len(text), text)
					}
				}
			})
		}
	})
	t.Run("which plugins a signature may call for", func(t *testing.T) {
		for allowed, good := range map[any]bool{"any": true, "none": false, "p": true, "q": false} {
			s := newStage(t)
			s.statement["extensions"] = []string{"signaturePlugins"}
			if s.statement["signaturePlugins"] = allowed; allowed == "p" || allowed == "q" {
				s.statement["signaturePlugins"] = []any{allowed}
			}
			p := s.plugin("p", "1.0.0", identityCapability)
			p.verdicts(agrees(identityCapability))
			s.sign(naming("p", ""))
			if good {
				s.passes()
				continue
			}
			s.level("audit")
			s.fails("lets signatures call for the plugins")
			if p.calls() != 0 {
				t.Errorf("%v: the plugin was run", allowed)
			}
		}
	})
}

// keyPlugin is a plugin that signs with the stage's leaf.
func (s *stage) keyPlugin(capabilities ...protocol.Capability) *mockPlugin {
	p := s.plugin("keys", "2.0.0", capabilities...)
	suite := suiteOf(s.t, s.leaf)
	p.answer(protocol.CommandDescribeKey, map[string]any{"keyId": "k1", "keySpec": suite.KeySpec})
	p.answers[protocol.CommandGenerateSignature] = func(request map[string]any) (any, error) {
		message, err := base64.StdEncoding.DecodeString(request["payload"].(string))
		if err != nil {
			return nil, err
		}
		signature, err := s.signBytes(message)
		return map[string]any{"keyId": request["keyId"], "signature": signature, "signingAlgorithm": suite.Algorithm, "certificateChain": s.leaf.RawChain()}, err
	}
	p.answers[protocol.CommandGenerateEnvelope] = func(request map[string]any) (any, error) {
		payload, err := base64.StdEncoding.DecodeString(request["payload"].(string))
		if err != nil {
			return nil, err
		}
		format, _ := envelope.FormatOf(request["signatureEnvelopeType"].(string))
		c := claim{format: format, signer: s.leaf, draft: envelope.DraftOptions{Payload: payload, SigningTime: time.Now()}}
		return map[string]any{
			"signatureEnvelope": s.seal(c), "signatureEnvelopeType": request["signatureEnvelopeType"],
			"annotations": map[string]string{"acme.build": "7"},
		}, nil
	}
	return p
}

func (s *stage) signer(kind Kind) (*Signer, error) {
	client, err := s.plugins.Get(s.t.Context(), "keys")
	if err != nil {
		return nil, err
	}
	key, err := NewPluginKey(s.t.Context(), client, "k1", map[string]string{"c": "d"}, kind)
	return &Signer{Key: key, Agent: "signet/test"}, err
}

func (s *stage) signArtifact(edits ...func(*Signer)) (*Signed, error) {
	signer, err := s.signer(KindArtifact)
	if err != nil {
		return nil, err
	}
	for _, edit := range edits {
		edit(signer)
	}
	s.repo.resolved = s.target
	return signer.SignArtifact(s.t.Context(), s.repo, "v1")
}

// refuses expects signing to fail with a text and nothing to be stored.
func (s *stage) refuses(want string, edits ...func(*Signer)) {
	s.t.Helper()
	_, err := s.signArtifact(edits...)
	if err == nil || !strings.Contains(err.Error(), want) {
		s.t.Errorf("error %v, want %q", err, want)
	}
	if len(s.repo.pushed) != 0 {
		s.t.Error("a signature was stored all the same")
	}
}

// awaiting is a repository that resolves nothing before something has happened.
type awaiting struct {
	*shelf
	event <-chan struct{}
}

func (r *awaiting) Resolve(ctx context.Context, reference string) (ocispec.Descriptor, error) {
	select {
	case <-r.event:
		return r.shelf.Resolve(ctx, reference)
	case <-ctx.Done():
		return ocispec.Descriptor{}, context.Cause(ctx)
	}
}

func TestSignByPlugin(t *testing.T) {
	t.Parallel()
	t.Run("registry and plugin are asked at once", func(t *testing.T) {
		s := newStage(t)
		p := s.keyPlugin(protocol.CapabilitySignatureGenerator)
		asked, described := make(chan struct{}), p.answers[protocol.CommandDescribeKey]
		p.answers[protocol.CommandDescribeKey] = func(request map[string]any) (any, error) {
			close(asked) // a second time would panic
			return described(request)
		}
		s.repo.resolved = s.target
		signer, err := s.signer(KindArtifact)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := signer.SignArtifact(t.Context(), &awaiting{s.repo, asked}, "v1"); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("the failure of either ends the wait for the other", func(t *testing.T) {
		s := newStage(t)
		s.keyPlugin(protocol.CapabilitySignatureGenerator).answers[protocol.CommandDescribeKey] = func(map[string]any) (any, error) {
			return nil, protocol.Errorf(protocol.CodeAccessDenied, "no such key for you")
		}
		signer, err := s.signer(KindArtifact)
		if err != nil {
			t.Fatal(err)
		}
		_, err = signer.SignArtifact(t.Context(), &awaiting{shelf: s.repo}, "v1")
		if err == nil || !strings.Contains(err.Error(), "no such key for you") || len(s.repo.pushed) != 0 {
			t.Error(err)
		}
	})
	t.Run("PLG-20 raw before envelope", func(t *testing.T) {
		for _, test := range []struct {
			capabilities []protocol.Capability
			command      protocol.Command
		}{
			{[]protocol.Capability{protocol.CapabilityEnvelopeGenerator, protocol.CapabilitySignatureGenerator}, protocol.CommandGenerateSignature},
			{[]protocol.Capability{protocol.CapabilityEnvelopeGenerator}, protocol.CommandGenerateEnvelope},
		} {
			for _, format := range formats {
				s := newStage(t)
				p := s.keyPlugin(test.capabilities...)
				signed, err := s.signArtifact(func(x *Signer) { x.Format = format })
				if err != nil {
					t.Fatal(err)
				}
				if len(p.requests[test.command]) != 1 || signed.Envelope.MediaType != format.MediaType() {
					t.Errorf("%s: %v", format, slices.Collect(maps.Keys(p.requests)))
				}
				s.passes()
			}
		}
		s := newStage(t)
		s.keyPlugin(identityCapability)
		s.refuses("plugin does not have signing capabilities")
	})
	t.Run("PLG-22 the key is described", func(t *testing.T) {
		s := newStage(t)
		p := s.keyPlugin(protocol.CapabilitySignatureGenerator)
		if _, err := s.signArtifact(); err != nil {
			t.Fatal(err)
		}
		if got := toJSON(t, p.requests[protocol.CommandDescribeKey][0]); got != `{"contractVersion":"1.0","keyId":"k1","pluginConfig":{"c":"d"}}` {
			t.Errorf("request %s", got)
		}
		s = newStage(t)
		s.keyPlugin(protocol.CapabilitySignatureGenerator).answer(protocol.CommandDescribeKey, map[string]any{"keyId": "k2", "keySpec": "EC-256"})
		s.refuses(`keyID in describeKey response "k2" does not match request "k1"`)
		s.keyPlugin(protocol.CapabilitySignatureGenerator).answer(protocol.CommandDescribeKey, map[string]any{"keyId": "k1", "keySpec": "EC-123"})
		s.refuses("unknown key spec")
	})
	t.Run("PLG-24 what is to be signed", func(t *testing.T) {
		s := newStage(t)
		p := s.keyPlugin(protocol.CapabilitySignatureGenerator)
		if _, err := s.signArtifact(); err != nil {
			t.Fatal(err)
		}
		request := p.requests[protocol.CommandGenerateSignature][0]
		message, _ := base64.StdEncoding.DecodeString(request["payload"].(string))
		if header, _, ok := strings.Cut(string(message), "."); !ok || header == "" {
			t.Errorf("payload %s is no JWS signing input", message)
		}
		delete(request, "payload")
		if got := toJSON(t, request); got != `{"contractVersion":"1.0","hashAlgorithm":"SHA-256","keyId":"k1","keySpec":"EC-256","pluginConfig":{"c":"d"}}` {
			t.Errorf("request %s", got)
		}
	})
	other := testpki.Root(t, "Other").Leaf(t, "Other", protocol.KeySpecEC256)
	for name, test := range map[string]struct {
		edit func(map[string]any)
		want string
	}{
		"PLG-26 another key id":            {func(a map[string]any) { a["keyId"] = "k2" }, "k2"},
		"PLG-26 an unknown algorithm":      {func(a map[string]any) { a["signingAlgorithm"] = "RSA-MD5" }, "RSA-MD5"},
		"PLG-26 a signature spoiled":       {func(a map[string]any) { a["signature"] = make([]byte, 64) }, "does not verify"},
		"PLG-26 a chain of another key":    {func(a map[string]any) { a["certificateChain"] = other.RawChain() }, "does not verify"},
		"PLG-26 a chain out of order":      {func(a map[string]any) { c := a["certificateChain"].([][]byte); slices.Reverse(c) }, ""},
		"PLG-26 a chain without its root":  {func(a map[string]any) { a["certificateChain"] = a["certificateChain"].([][]byte)[:1] }, "chain"},
		"PLG-25 no chain":                  {func(a map[string]any) { delete(a, "certificateChain") }, "no certificate chain"},
		"PLG-25 no signature":              {func(a map[string]any) { delete(a, "signature") }, "signature"},
		"PLG-25 a chain that is no base64": {func(a map[string]any) { a["certificateChain"] = []string{"%"} }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			p := s.keyPlugin(protocol.CapabilitySignatureGenerator)
			sound := p.answers[protocol.CommandGenerateSignature]
			p.answers[protocol.CommandGenerateSignature] = func(request map[string]any) (any, error) {
				answer, err := sound(request)
				test.edit(answer.(map[string]any))
				return answer, err
			}
			s.refuses("failed to sign with the plugin keys: generate-signature")
			s.refuses(test.want)
		})
		t.Run(name+", after a sound answer", func(t *testing.T) {
			s := newStage(t)
			p := s.keyPlugin(protocol.CapabilitySignatureGenerator)
			sound := p.answers[protocol.CommandGenerateSignature]
			signer, err := s.signer(KindBlob)
			if err != nil {
				t.Fatal(err)
			}
			sign := func() error {
				_, err := signer.SignBlob(t.Context(), strings.NewReader("the file"), "text/plain")
				return err
			}
			for range 2 {
				if err := sign(); err != nil {
					t.Fatal(err)
				}
			}
			p.answers[protocol.CommandGenerateSignature] = func(request map[string]any) (any, error) {
				answer, err := sound(request)
				test.edit(answer.(map[string]any))
				return answer, err
			}
			if err := sign(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
	t.Run("PLG-11 a plugin's own words", func(t *testing.T) {
		s := newStage(t)
		s.keyPlugin(protocol.CapabilitySignatureGenerator).answers[protocol.CommandGenerateSignature] = func(map[string]any) (any, error) {
			return nil, protocol.Errorf(protocol.CodeAccessDenied, "kms:Sign is not allowed")
		}
		s.refuses("failed to sign with the plugin keys: generate-signature: ACCESS_DENIED: kms:Sign is not allowed")
	})
	t.Run("PLG-27 generate-envelope", func(t *testing.T) {
		s := newStage(t)
		p := s.keyPlugin(protocol.CapabilityEnvelopeGenerator)
		if _, err := s.signArtifact(func(x *Signer) { x.Expiry = time.Hour }); err != nil {
			t.Fatal(err)
		}
		request := maps.Clone(p.requests[protocol.CommandGenerateEnvelope][0])
		data, _ := base64.StdEncoding.DecodeString(request["payload"].(string))
		if string(data) != string(payload(t, s.target)) {
			t.Errorf("payload %s", data)
		}
		delete(request, "payload")
		want := `{"contractVersion":"1.0","expiryDurationInSeconds":3600,"keyId":"k1","payloadType":"application/vnd.cncf.notary.payload.v1+json","pluginConfig":{"c":"d"},"signatureEnvelopeType":"application/jose+json"}`
		if got := toJSON(t, request); got != want {
			t.Errorf("request %s", got)
		}
		if _, err := s.signArtifact(); err != nil {
			t.Fatal(err)
		}
		if _, ok := p.requests[protocol.CommandGenerateEnvelope][1]["expiryDurationInSeconds"]; ok {
			t.Error("expiryDurationInSeconds is sent without an expiry")
		}
	})
	t.Run("PLG-32 annotations of the plugin", func(t *testing.T) {
		s := newStage(t)
		s.keyPlugin(protocol.CapabilityEnvelopeGenerator)
		if _, err := s.signArtifact(); err != nil {
			t.Fatal(err)
		}
		if got := s.repo.pushed[0].Annotations["acme.build"]; got != "7" {
			t.Errorf("annotation %q", got)
		}
	})
	t.Run("PLG-28 PLG-29 PLG-30 an envelope that says something else", func(t *testing.T) {
		spoiled := map[string]func(request map[string]any, answer map[string]any, s *stage){
			"type": func(_, a map[string]any, _ *stage) { a["signatureEnvelopeType"] = "application/cose" },
			"text": func(_, a map[string]any, _ *stage) { a["signatureEnvelope"] = []byte("x") },
			"artifact": func(_, a map[string]any, s *stage) {
				a["signatureEnvelope"] = s.seal(claim{format: envelope.FormatJWS, signer: s.leaf, target: describe("other"), draft: envelope.DraftOptions{SigningTime: noon}})
			},
			"metadata lost": func(_, a map[string]any, s *stage) {
				a["signatureEnvelope"] = s.seal(claim{format: envelope.FormatJWS, signer: s.leaf, target: s.target, draft: envelope.DraftOptions{SigningTime: noon}})
			},
			"extra member": func(_, a map[string]any, s *stage) {
				data := strings.Replace(string(payload(s.t, s.target)), `"targetArtifact":{`, `"targetArtifact":{"acme":1,`, 1)
				a["signatureEnvelope"] = s.seal(claim{format: envelope.FormatJWS, signer: s.leaf, draft: envelope.DraftOptions{Payload: []byte(data), SigningTime: noon}})
			},
		}
		for name, spoil := range spoiled {
			s := newStage(t)
			p := s.keyPlugin(protocol.CapabilityEnvelopeGenerator)
			sound := p.answers[protocol.CommandGenerateEnvelope]
			p.answers[protocol.CommandGenerateEnvelope] = func(request map[string]any) (any, error) {
				answer, err := sound(request)
				spoil(request, answer.(map[string]any), s)
				return answer, err
			}
			s.refuses("failed to sign with the plugin keys: generate-envelope", func(x *Signer) { x.UserMetadata = map[string]string{"k": "v"} })
			if t.Failed() {
				t.Fatal(name)
			}
		}
	})
	t.Run("TSA-18 an envelope plugin timestamps itself", func(t *testing.T) {
		s := newStage(t)
		s.keyPlugin(protocol.CapabilityEnvelopeGenerator)
		s.refuses("has to timestamp them itself", func(x *Signer) { x.Timestamper = failingAuthority{} })
	})
	t.Run("PLG-21 files", func(t *testing.T) {
		for _, test := range []struct {
			capability protocol.Capability
			want       string
		}{
			{protocol.CapabilitySignatureGenerator, ""}, {protocol.CapabilityBlobEnvelopeGenerator, ""},
			{protocol.CapabilityEnvelopeGenerator, string(protocol.CapabilityBlobEnvelopeGenerator)}, {identityCapability, "signing capabilities"},
		} {
			s := newStage(t)
			s.keyPlugin(test.capability)
			signer, err := s.signer(KindBlob)
			if err == nil {
				_, err = signer.SignBlob(t.Context(), strings.NewReader("a file"), "text/plain")
			}
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%s: %v", test.capability, err)
			}
		}
	})
	t.Run("the agent names the plugin", func(t *testing.T) {
		s := newStage(t)
		s.keyPlugin(protocol.CapabilitySignatureGenerator)
		signed, err := s.signArtifact()
		if err != nil || signed.Envelope.Agent != "signet/test keys/2.0.0" {
			t.Errorf("agent %q, error %v", signed.Envelope.Agent, err)
		}
	})
}

// failingAuthority gives no timestamps.
type failingAuthority struct{}

func (failingAuthority) Timestamp(context.Context, []byte, crypto.Hash) ([]byte, error) {
	return nil, errors.New("the authority is down")
}

func toJSON(t testing.TB, value any) string {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
