package cli

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/host/revocation"
	"github.com/signet-project/signet/host/trust"
)

// outcomeView is the JSON of a verification (spec/schemas/verify-output.json).
type outcomeView struct {
	Reference  string                 `json:"reference"`
	Artifact   *ocispec.Descriptor    `json:"artifact,omitempty"`
	Statement  statementView          `json:"statement"`
	Result     string                 `json:"result"`
	Error      string                 `json:"error,omitempty"`
	Signatures []signatureOutcomeView `json:"signatures"`
}

type statementView struct {
	Name  string `json:"name"`
	Level string `json:"level"`
}

type signatureOutcomeView struct {
	Digest       string            `json:"digest,omitempty"`
	Result       string            `json:"result"`
	Counted      bool              `json:"counted"`
	Error        string            `json:"error,omitempty"`
	Scheme       string            `json:"signingScheme,omitempty"`
	Algorithm    string            `json:"signatureAlgorithm,omitempty"`
	SigningTime  *time.Time        `json:"signingTime,omitempty"`
	Expiry       *time.Time        `json:"expiry,omitempty"`
	Signer       *certificateView  `json:"signer,omitempty"`
	Anchor       *certificateView  `json:"anchor,omitempty"`
	Identity     string            `json:"identity,omitempty"`
	Checks       []checkView       `json:"checks"`
	Timestamp    *stampView        `json:"timestamp,omitempty"`
	Revocation   []revocationView  `json:"revocation,omitempty"`
	Plugins      []pluginUseView   `json:"plugins,omitempty"`
	UserMetadata map[string]string `json:"userMetadata,omitempty"`
}

type checkView struct {
	Check      string  `json:"check"`
	Action     string  `json:"action"`
	Status     string  `json:"status"`
	Error      string  `json:"error,omitempty"`
	Detail     string  `json:"detail,omitempty"`
	DurationMS float64 `json:"durationMs"`
}

type stampView struct {
	Lower      time.Time        `json:"lower"`
	Upper      time.Time        `json:"upper"`
	Authority  certificateView  `json:"authority"`
	Revocation []revocationView `json:"revocation,omitempty"`
}

type revocationView struct {
	Subject    string     `json:"subject"`
	Result     string     `json:"result"`
	Method     string     `json:"method,omitempty"`
	Server     string     `json:"server,omitempty"`
	ThisUpdate *time.Time `json:"thisUpdate,omitempty"`
	NextUpdate *time.Time `json:"nextUpdate,omitempty"`
	FetchedAt  *time.Time `json:"fetchedAt,omitempty"`
	Cached     bool       `json:"cached,omitempty"`
	RevokedAt  *time.Time `json:"revokedAt,omitempty"`
	Reason     string     `json:"reason,omitempty"`
	Failures   []string   `json:"failures,omitempty"`
}

type pluginUseView struct {
	Name     string `json:"name"`
	Version  string `json:"version"`
	Required bool   `json:"required"`
}

// viewOutcome collects what a verification found out.
func viewOutcome(outcome *host.Outcome, err error) *outcomeView {
	view := &outcomeView{
		Reference: outcome.Reference, Statement: statementView{outcome.Statement, outcome.Level},
		Result: "verified", Signatures: []signatureOutcomeView{},
	}
	switch {
	case err != nil:
		view.Result, view.Error = "failed", err.Error()
	case outcome.Skipped:
		view.Result = "skipped"
	}
	if outcome.Artifact.Digest != "" {
		view.Artifact = plainDescriptor(outcome.Artifact)
	}
	for _, signature := range outcome.Signatures {
		view.Signatures = append(view.Signatures, viewSignatureOutcome(signature, slices.Contains(outcome.Verified, signature)))
	}
	return view
}

func viewSignatureOutcome(signature *host.SignatureOutcome, counted bool) signatureOutcomeView {
	view := signatureOutcomeView{
		Digest: signature.Digest, Result: "passed", Counted: counted, Identity: signature.Identity,
		UserMetadata: signature.UserMetadata(),
	}
	if signature.Err != nil {
		view.Result, view.Error = "failed", signature.Err.Error()
	}
	if env := signature.Envelope; env != nil {
		view.Scheme, view.Algorithm = string(env.Scheme), string(env.Algorithm)
		view.SigningTime, view.Expiry = optionalTime(env.SigningTime), optionalTime(env.Expiry)
		view.Signer = viewCertificate(env.Certificates[0])
	}
	if signature.Anchor != nil {
		view.Anchor = viewCertificate(signature.Anchor)
	}
	for _, check := range signature.Checks {
		shown := checkView{
			Check: string(check.Check), Action: string(check.Action), Status: string(check.Status), Detail: check.Detail,
			DurationMS: float64(check.Duration.Microseconds()) / 1000,
		}
		if check.Err != nil {
			shown.Error = check.Err.Error()
		}
		view.Checks = append(view.Checks, shown)
	}
	if stamp := signature.Timestamp; stamp != nil {
		view.Timestamp = &stampView{shownTime(stamp.Lower), shownTime(stamp.Upper), *viewCertificate(stamp.Chain[0]), viewRevocation(stamp.Revocation)}
	}
	if signature.Revocation != nil {
		view.Revocation = viewRevocation(*signature.Revocation)
	}
	for _, plugin := range signature.Plugins {
		view.Plugins = append(view.Plugins, pluginUseView(plugin))
	}
	return view
}

func viewCertificate(cert *x509.Certificate) *certificateView {
	return &certificateView{pki.Fingerprint(cert), displayName(cert.RawSubject), displayName(cert.RawIssuer), shownTime(cert.NotAfter)}
}

func viewRevocation(report revocation.Report) []revocationView {
	var views []revocationView
	for _, entry := range report.Certificates {
		view := revocationView{
			Subject: entry.Subject(), Result: string(entry.Result), Method: string(entry.Method), Server: entry.Server, Cached: entry.Age.Cached,
			ThisUpdate: optionalTime(entry.Age.ThisUpdate), NextUpdate: optionalTime(entry.Age.NextUpdate), FetchedAt: optionalTime(entry.Age.FetchedAt),
		}
		if entry.Revocation != nil {
			view.RevokedAt, view.Reason = optionalTime(entry.Revocation.Time), entry.Revocation.Reason.String()
		}
		for _, attempt := range entry.Attempts {
			if attempt.Err != nil {
				view.Failures = append(view.Failures, fmt.Sprintf("%s %s: %v", attempt.Method, attempt.URL, attempt.Err))
			}
		}
		views = append(views, view)
	}
	return views
}

// provesTime tells whether there is a countersignature that passed its check: one of
// an authority whose certificate was revoked is shown, and does not.
func (v *signatureOutcomeView) provesTime() bool {
	return v.Timestamp != nil && slices.ContainsFunc(v.Checks, func(c checkView) bool {
		return c.Check == string(trust.CheckAuthenticTimestamp) && c.Status == string(host.StatusPassed)
	})
}

// shownTime is a time in UTC and of the years that JSON can have. Certificates can
// have others: 9999-12-31 23:59:59 an hour west of it, or offsets of 24 hours.
func shownTime(t time.Time) time.Time {
	first, last := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	switch t = t.UTC(); {
	case t.Before(first):
		return first
	case t.After(last):
		return last
	}
	return t
}

// optionalTime is nil for a time that is not known.
func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = shownTime(t)
	return &t
}

// tree shows the same facts as text.
func (v *outcomeView) tree() *node {
	root := newNode(v.Reference)
	root.pair("trust policy statement", fmt.Sprintf("%s (%s)", v.Statement.Name, v.Statement.Level))
	root.pair("result", v.Result)
	for _, signature := range v.Signatures {
		name := signature.Digest
		if name == "" {
			name = "signature"
		}
		signature.addTo(root.add(name))
	}
	return root
}

func (v *signatureOutcomeView) addTo(n *node) {
	n.pair("result", v.Result)
	if v.Error != "" {
		n.pair("reason", v.Error)
	}
	if v.Signer != nil {
		n.pair("signer", v.Signer.IssuedTo)
	}
	if v.Anchor != nil {
		n.pair("trusted certificate", v.Anchor.IssuedTo+" ("+v.Anchor.Fingerprint+")")
	}
	if v.Identity != "" {
		n.pair("trusted identity", v.Identity)
	}
	checks := n.add("checks")
	for _, check := range v.Checks {
		text := fmt.Sprintf("%s (%s)", check.Status, check.Action)
		if detail := strings.Join(slices.DeleteFunc([]string{check.Detail, check.Error}, func(s string) bool { return s == "" }), ": "); detail != "" {
			text += ": " + detail
		}
		checks.pair(check.Check, text)
	}
	if v.Timestamp != nil {
		stamp := n.add("timestamp")
		stamp.pair("range", fmt.Sprintf("[%s, %s]", v.Timestamp.Lower.Format(time.RFC3339Nano), v.Timestamp.Upper.Format(time.RFC3339Nano)))
		stamp.pair("authority", v.Timestamp.Authority.IssuedTo)
		addRevocation(stamp, v.Timestamp.Revocation)
	}
	addRevocation(n, v.Revocation)
	for _, plugin := range v.Plugins {
		why := "named by the signature"
		if plugin.Required {
			why = "required by the trust policy"
		}
		n.pair("plugin", fmt.Sprintf("%s %s, %s", plugin.Name, plugin.Version, why))
	}
}

func addRevocation(n *node, views []revocationView) {
	if len(views) == 0 {
		return
	}
	revoked := n.add("revocation")
	for _, view := range views {
		text := view.Result
		if view.Method != "" {
			text += fmt.Sprintf(" by %s %s", view.Method, view.Server)
		}
		if view.ThisUpdate != nil {
			text += " of " + view.ThisUpdate.Format(time.RFC3339)
		}
		if view.FetchedAt != nil {
			text += ", fetched " + view.FetchedAt.Format(time.RFC3339)
		}
		entry := revoked.pair(view.Subject, text)
		for _, failure := range view.Failures {
			entry.add(failure)
		}
	}
}
