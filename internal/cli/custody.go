package cli

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"
	"time"
	"unicode/utf8"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/timestamp"
	"github.com/signet-project/signet/host/trust"
)

// Bounds on what the page shows of others: a text in runes, a list in entries.
const (
	maxShown   = 2000
	maxEntries = 100
)

// visible is printable text of others, bounded.
func visible(text string) string {
	if len(text) <= maxShown {
		return printable(text)
	}
	shown := 0
	for at := range text {
		if shown == maxShown {
			return fmt.Sprintf("%s… (%d characters more)", printable(text[:at]), utf8.RuneCountInString(text[at:]))
		}
		shown++
	}
	return printable(text)
}

// visiblePairs bounds pairs of texts, and keeps nothing of what is not shown.
func visiblePairs[P []string | [2]string](all []P) [][2]string {
	var shown [][2]string
	for _, pair := range all[:min(len(all), maxEntries)] {
		shown = append(shown, [2]string{visible(pair[0]), visible(pair[1])})
	}
	if more := len(all) - len(shown); more > 0 {
		shown = append(shown, [2]string{"…", fmt.Sprintf("(%d entries more)", more)})
	}
	return shown
}

// custodyPage is what the page shows.
type custodyPage struct {
	Reference     string
	Artifact      ocispec.Descriptor
	LimitExceeded bool
	Signatures    []*custodySignature
	Unread        []unreadSignature

	// Verdict is what the policy says, Policy where it is from; NoVerdict says why
	// there is none.
	Verdict           *outcomeView
	Policy, NoVerdict string

	Program, Version string
	Now              time.Time
}

// unreadSignature is one that cannot be shown.
type unreadSignature struct{ Digest, Reason string }

// custodySignature is a signature on the page.
type custodySignature struct {
	Digest, Algorithm, EnvelopeType string
	// Outcome is what the policy found out; nil when it did not look.
	Outcome       *signatureOutcomeView
	SigningTime   time.Time
	TimeSource    string
	Expiry        *time.Time
	Scheme, Agent string
	Extended      [][2]string
	Metadata      [][2]string
	Chain         []custodyCertificate
	Stamp         *custodyStamp
	StampChain    []custodyCertificate
	Proven        bool // the timestamp was verified and accepted
	Timeline      *timeline
}

type custodyCertificate struct {
	certificateView
	From, To time.Time
	State    string // "expired" or "not valid yet"; empty now
	Anchor   bool
}

type custodyStamp struct {
	Lower, Upper, Error string
	lower, upper        time.Time
}

// verdict asks the Verifier that verify would use: by the policy in a file, or by
// the one in force. Without either there is none, and a reason.
func (a *app) verdict(ctx context.Context, page *custodyPage, found *signatures, f *inspectFlags) error {
	verifier, err := a.verifier()
	if err != nil {
		return err
	}
	page.Policy = "the trust policy in force"
	if f.policy != "" {
		data, err := config.ReadFile(f.policy, trust.MaxPolicySize)
		if err != nil {
			return fmt.Errorf("failed to read the trust policy: %w", err)
		}
		policy, err := trust.ParseOCIPolicy(data)
		if err != nil {
			return fmt.Errorf("trust policy %s: %w", f.policy, err)
		}
		verifier.Policies = givenPolicy{policy}
		page.Policy = f.policy
	}
	digest := found.artifact.Digest.String()
	name := strings.TrimSuffix(found.reference, "@"+digest)
	scope := f.scope
	if scope == "" && f.layout {
		page.NoVerdict = "An artifact in an OCI layout has no registry scope to find a trust policy statement by: give one with --scope."
		return nil
	}
	if scope == "" {
		scope = name
	}
	outcome, err := verifier.VerifyArtifact(ctx, found.repo, host.ArtifactRequest{
		Reference: digest, Name: name, Scope: scope, MaxSignatures: f.maxSignatures,
	})
	switch {
	case outcome != nil:
		if err != nil {
			err = a.verifyError(outcome, err)
		}
		page.Verdict = viewOutcome(outcome, err)
	case errors.Is(err, fs.ErrNotExist):
		page.NoVerdict = fmt.Sprintf("There is no trust policy here: import one with %q, or name one with --policy.", a.name+" policy import")
	default:
		page.NoVerdict = err.Error()
	}
	return ctx.Err()
}

// givenPolicy is a policy that is not in force.
type givenPolicy struct{ policy *trust.OCIPolicy }

// OCIPolicy returns the policy.
func (g givenPolicy) OCIPolicy(context.Context) (*trust.OCIPolicy, error) { return g.policy, nil }

// BlobPolicy fails: the policy is one for artifacts.
func (g givenPolicy) BlobPolicy(context.Context) (*trust.BlobPolicy, error) {
	return nil, errors.New("the policy is not one for files")
}

// custody writes the page, whole or not at all.
func (a *app) custody(ctx context.Context, found *signatures, shown iter.Seq[*signatureView], unread *[]unreadSignature, f *inspectFlags) error {
	page := &custodyPage{
		Reference: found.reference, Artifact: found.artifact, LimitExceeded: found.exceeded,
		Program: a.name, Version: Version(), Now: a.Now(),
	}
	if err := a.verdict(ctx, page, found, f); err != nil {
		return err
	}
	for view := range shown {
		page.Signatures = append(page.Signatures, page.signature(view))
	}
	page.Unread = *unread
	var out bytes.Buffer
	if err := page.write(&out); err != nil {
		return err
	}
	_, err := out.WriteTo(a.Stdout)
	return err
}

// signature collects what the page shows of a signature, and nothing else of it.
func (p *custodyPage) signature(view *signatureView) *custodySignature {
	env := view.envelope
	s := &custodySignature{
		Digest: view.Digest, Algorithm: view.SignatureAlgorithm, EnvelopeType: view.SignatureEnvelopeType,
		SigningTime: env.SigningTime, TimeSource: "as the signer says", Expiry: optionalTime(env.Expiry), Scheme: string(env.Scheme), Agent: visible(env.Agent),
		Extended: visiblePairs(extended(env)), Metadata: visiblePairs(pairs(view.UserDefinedAttributes)),
	}
	if env.Scheme == envelope.SchemeSigningAuthority {
		s.TimeSource = "as the signing authority says"
	}
	anchor := ""
	if p.Verdict != nil {
		for i := range p.Verdict.Signatures {
			if outcome := &p.Verdict.Signatures[i]; outcome.Digest == view.Digest {
				s.Outcome, s.Proven = outcome, outcome.provesTime()
				if outcome.Anchor != nil {
					anchor = outcome.Anchor.Fingerprint
				}
			}
		}
	}
	s.Chain = p.chain(env.Certificates, anchor)
	if len(env.Timestamp) > 0 {
		s.Stamp = &custodyStamp{}
		if token, err := timestamp.Parse(env.Timestamp); err != nil {
			s.Stamp.Error = fmt.Sprintf("failed to parse timestamp countersignature: %s", err)
		} else {
			s.Stamp.lower, s.Stamp.upper = token.Range()
			const layout = "2006-01-02 15:04:05.999 UTC"
			s.Stamp.Lower, s.Stamp.Upper = s.Stamp.lower.UTC().Format(layout), s.Stamp.upper.UTC().Format(layout)
			s.StampChain = p.chain(token.Certificates, "")
		}
	}
	s.Timeline = newTimeline(s, p.Now)
	return s
}

func (p *custodyPage) chain(certs []*x509.Certificate, anchor string) []custodyCertificate {
	var chain []custodyCertificate
	for _, cert := range certs {
		view := custodyCertificate{certificateView: *viewCertificate(cert), From: cert.NotBefore, To: cert.NotAfter}
		view.IssuedTo, view.IssuedBy = visible(view.IssuedTo), visible(view.IssuedBy)
		view.Anchor = view.Fingerprint == anchor
		switch {
		case p.Now.After(cert.NotAfter):
			view.State = "expired"
		case p.Now.Before(cert.NotBefore):
			view.State = "not valid yet"
		}
		chain = append(chain, view)
	}
	return chain
}
