package host

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/host/revocation"
	"github.com/signet-project/signet/host/timestamp"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/protocol"
)

// job is the verification of one signature by one statement.
type job struct {
	verifier  *Verifier
	statement *trust.Statement
	stores    []openStore // the statement's
	// target is the resolved artifact; for files it is filled in from blob.
	target    ocispec.Descriptor
	reference string
	metadata  map[string]string
	config    map[string]string
	outcome   *SignatureOutcome

	blob     io.Reader // nil for OCI artifacts
	blobType string    // media type asked for; empty means any

	envelope *envelope.Envelope
	plugin   *verificationPlugin // nil unless the signature names one
}

// verify makes every check of a signature in the specification's order. It
// returns why the signature does not count, or nil.
func (j *job) verify(ctx context.Context, mediaType string, data []byte) error {
	if err := j.check(trust.CheckIntegrity, func() error { return j.integrity(mediaType, data) }); err != nil {
		return err
	}
	if err := j.check(trust.CheckAuthenticity, j.anchor); err != nil {
		return err
	}
	if err := j.openPlugin(ctx); err != nil {
		return err
	}
	if err := j.identity(); err != nil {
		return err
	}
	if err := j.check(trust.CheckExpiry, j.expiry); err != nil {
		return err
	}
	if err := j.check(trust.CheckAuthenticTimestamp, func() error { return j.authenticTime(ctx) }); err != nil {
		return err
	}
	if err := j.revocation(ctx); err != nil {
		return err
	}
	if err := j.callPlugin(ctx); err != nil {
		return err
	}
	if err := j.callRequired(ctx); err != nil {
		return err
	}
	if err := j.matchBlob(ctx); err != nil {
		return err
	}
	return j.userMetadata()
}

// check makes one check, unless the statement skips it, and returns an error
// where the statement enforces it.
func (j *job) check(check trust.Check, do func() error) error {
	result := j.outcome.Result(check)
	if result.Action == trust.ActionSkip {
		return nil
	}
	err := j.outcome.run(check, j.verifier.now, do)
	if log := j.verifier.log(); log.Enabled(context.Background(), slog.LevelDebug) { // what nobody reads need not be put together
		log.Debug("check", "signature", j.outcome.Digest, "check", check, "action", result.Action, "status", result.Status, "error", result.Err)
	}
	return err
}

// anchored tells whether a trust store vouches for the chain.
func (j *job) anchored() bool { return j.outcome.Anchor != nil }

// integrity covers what no level waives: the envelope's form and signature, the
// chain's rules, and that the payload is about this artifact (VER-10, VER-11).
func (j *job) integrity(mediaType string, data []byte) error {
	known := &j.verifier.known
	env, err := (&envelope.Parser{Certificates: known.parse}).Parse(mediaType, data)
	if err != nil {
		return fmt.Errorf("unable to parse the digital signature, error : %w", err)
	}
	if err := env.VerifySignature(); err != nil {
		return err
	}
	if !known.has(env.Certificates) {
		if err := pki.CheckChain(env.Certificates, pki.CodeSigning); err != nil {
			return err
		}
	}
	target, err := env.Target()
	if err != nil {
		return err
	}
	j.envelope, j.outcome.Envelope, j.outcome.Target = env, env, target
	if j.blob == nil && !sameContent(target, j.target) {
		return errors.New("content descriptor mismatch")
	}
	return nil
}

// sameContent compares what identifies an artifact.
func sameContent(a, b ocispec.Descriptor) bool {
	return a.MediaType == b.MediaType && a.Digest == b.Digest && a.Size == b.Size
}

// anchor looks for a certificate of the chain in the statement's stores of the
// type that goes with the signing scheme (VER-12, TS-09).
func (j *job) anchor() error {
	wanted := storeTypeFor(j.envelope.Scheme)
	chain := j.envelope.Certificates
	highest, found := -1, false // of several anchors, the one closest to the root
	for _, store := range j.stores {
		if store.ref.Type != wanted {
			continue
		}
		found = true
		if store.err != nil {
			return store.err
		}
		for i, cert := range chain {
			if i > highest && store.certs.has(cert) {
				highest = i
			}
		}
	}
	switch {
	case !found:
		return fmt.Errorf("the trust policy statement %q names no trust store of type %q, which signing scheme %q takes", j.statement.Name, wanted, j.envelope.Scheme)
	case highest < 0:
		return errors.New("the signature's certificate chain does not contain any trusted certificate")
	}
	j.outcome.Anchor = chain[highest]
	j.verifier.known.add(chain)
	return nil
}

const notAnchored = "the certificate chain is not anchored in a trust store"

// identity compares the leaf with the trusted identities, unless the
// signature's plugin decides that (PLG-53).
func (j *job) identity() error {
	leaf := j.envelope.Certificates[0]
	if entry, ok := j.statement.Identities.Entry(leaf); ok {
		j.outcome.Identity = j.statement.TrustedIdentities[entry]
	}
	if j.plugin.decides(protocol.CapabilityTrustedIdentityVerifier) {
		return nil
	}
	return j.check(trust.CheckAuthenticity, func() error { return j.statement.Identities.Match(leaf) })
}

func (j *job) expiry() error {
	expiry := j.envelope.Expiry
	if !expiry.IsZero() && !j.verifier.now().Before(expiry) {
		return fmt.Errorf("digital signature has expired on %q", expiry.Format(time.RFC1123Z))
	}
	return nil
}

// authenticTime establishes that the chain was valid when the signature was made.
func (j *job) authenticTime(ctx context.Context) error {
	chain := j.envelope.Certificates
	if j.envelope.Scheme == envelope.SchemeSigningAuthority {
		return pki.CheckValidity(chain, j.envelope.SigningTime)
	}
	now := j.verifier.now()
	expired := slices.ContainsFunc(chain, func(c *x509.Certificate) bool { return now.After(c.NotAfter) })
	if !j.wantsTimestamp(expired) {
		return pki.CheckValidity(chain, now)
	}
	if len(j.envelope.Timestamp) == 0 {
		return timestamp.ErrNoToken
	}
	if !j.anchored() {
		return errors.New("timestamp countersignature not examined: " + notAnchored)
	}
	return j.timestamp(ctx)
}

// wantsTimestamp tells whether a countersignature is to be verified (VER-17).
func (j *job) wantsTimestamp(expired bool) bool {
	hasStore := slices.ContainsFunc(j.statement.TrustStores, func(ref trust.StoreRef) bool { return ref.Type == trust.StoreTSA })
	return hasStore && (expired || j.statement.VerifyTimestamp != trust.TimestampAfterCertExpiry)
}

// timestamp verifies the countersignature and that the chain was valid during
// the whole interval it gives (VER-19, TSA-16).
func (j *job) timestamp(ctx context.Context) error {
	var roots []*x509.Certificate
	for _, store := range j.stores {
		if store.ref.Type != trust.StoreTSA {
			continue
		}
		if store.err != nil {
			return store.err
		}
		roots = append(roots, store.certs.list...)
	}
	stamp, err := timestamp.Verify(j.envelope.Timestamp, timestamp.VerifyOptions{Message: j.envelope.Signature, Roots: roots})
	if err != nil {
		return fmt.Errorf("failed to verify the timestamp countersignature: %w", err)
	}
	if err := stamp.CheckSigningChain(j.envelope.Certificates); err != nil {
		return err
	}
	lower, upper := stamp.Range()
	report := j.verifier.revocation().Check(ctx, revocation.Request{Chain: stamp.Chain, Purpose: pki.Timestamping, ChainChecked: true})
	j.outcome.Timestamp = &TimestampOutcome{Lower: lower, Upper: upper, Chain: stamp.Chain, Revocation: report}
	return report.Err()
}

// revocation checks the signing chain, unless the policy skips that, the
// signature's plugin decides it, or the chain is nobody's we know: then no
// request leaves this machine.
func (j *job) revocation(ctx context.Context) error {
	switch {
	case j.plugin.decides(protocol.CapabilityRevocationCheckVerifier):
		return nil
	case !j.anchored():
		j.outcome.leave(trust.CheckRevocation, notAnchored)
		return nil
	}
	return j.check(trust.CheckRevocation, func() error {
		request := revocation.Request{Chain: j.envelope.Certificates, Purpose: pki.CodeSigning, ChainChecked: true}
		if j.envelope.Scheme == envelope.SchemeSigningAuthority {
			request.ReferenceTime = j.envelope.SigningTime
		} else if j.outcome.Result(trust.CheckAuthenticTimestamp).Status == StatusPassed && j.outcome.Timestamp != nil {
			// Only a countersignature that passed all checks proves a time (REV-13).
			request.ReferenceTime, request.FromTimestamp = j.outcome.Timestamp.Upper, true
		}
		report := j.verifier.revocation().Check(ctx, request)
		j.outcome.Revocation = &report
		return report.Err()
	})
}

// revocation is the verifier's checker.
func (v *Verifier) revocation() RevocationChecker {
	if v.Revocation != nil {
		return v.Revocation
	}
	return nobodyAsked{}
}

// nobodyAsked is the checker of a Verifier without one.
type nobodyAsked struct{}

// Check calls unknown what would take asking.
func (nobodyAsked) Check(_ context.Context, request revocation.Request) revocation.Report {
	report := revocation.Report{Purpose: request.Purpose, Result: revocation.ResultNonRevokable}
	for _, cert := range request.Chain {
		entry := revocation.CertificateReport{Certificate: cert, Result: revocation.ResultNonRevokable}
		if len(cert.OCSPServer) != 0 || len(cert.CRLDistributionPoints) != 0 {
			entry.Result, report.Result = revocation.ResultUnknown, revocation.ResultUnknown
		}
		report.Certificates = append(report.Certificates, entry)
	}
	return report
}

// matchBlob reads the file and compares it with the payload (BLOB-10).
func (j *job) matchBlob(ctx context.Context) error {
	if j.blob == nil {
		return nil
	}
	return j.check(trust.CheckIntegrity, func() error {
		suite, ok := protocol.SuiteForAlgorithm(j.envelope.Algorithm)
		if !ok {
			return fmt.Errorf("signature algorithm %q is not supported", j.envelope.Algorithm)
		}
		actual, err := describeBlob(ctx, j.blob, j.blobType, suite)
		if err != nil {
			return err
		}
		signed := j.outcome.Target
		if actual.Digest != signed.Digest || actual.Size != signed.Size || (j.blobType != "" && j.blobType != signed.MediaType) {
			return errors.New("integrity check failed. signature does not match the given blob")
		}
		return nil
	})
}

// userMetadata requires what the caller asked for among the signed annotations (VER-21).
func (j *job) userMetadata() error {
	for key, want := range j.metadata {
		if got, ok := j.outcome.Target.Annotations[key]; !ok || got != want {
			return ErrUserMetadata
		}
	}
	return nil
}

// criticalNames lists the critical attributes that the host does not know, with
// their values, which must be of the types that plugins take (PLG-46).
func criticalNames(env *envelope.Envelope) (names []string, values map[string]any, err error) {
	values = map[string]any{}
	for _, attribute := range env.Extended {
		if !attribute.Critical {
			continue
		}
		name, ok := attribute.Key.(string)
		if !ok {
			name = fmt.Sprint(attribute.Key) // a COSE integer label
		}
		if _, twice := values[name]; twice {
			return nil, nil, fmt.Errorf("critical attribute %q appears twice", brief(name))
		}
		switch attribute.Value.(type) {
		case nil, string, json.Number:
		default:
			return nil, nil, fmt.Errorf("critical attribute %q is neither a string nor a number, which no plugin can be told", brief(name))
		}
		names = append(names, name)
		values[name] = attribute.Value
	}
	slices.Sort(names)
	return names, values, nil
}

func rawChain(chain []*x509.Certificate) [][]byte {
	raw := make([][]byte, len(chain))
	for i, cert := range chain {
		raw[i] = cert.Raw
	}
	return raw
}
