package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/revocation"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/protocol"
)

// DefaultMaxSignatures bounds the signatures examined for one artifact (VER-07).
const DefaultMaxSignatures = 100

// Plugins finds installed plugins by name.
type Plugins interface {
	// Get returns a client of the plugin, without running it. The name may come
	// from a signature: an invalid one is an error.
	Get(ctx context.Context, name string) (*protocol.Client, error)
}

// RevocationChecker finds out whether certificates are revoked. A
// [revocation.Checker] does; it is asked about anchored chains only.
type RevocationChecker interface {
	Check(ctx context.Context, request revocation.Request) revocation.Report
}

// Verifier verifies artifacts and files by trust policies. It may be used by
// several goroutines at once and must not be copied. Used again, it is faster: it
// remembers facts about anchored chains that do not age.
type Verifier struct {
	// Policies and Stores are where trust comes from; both are required.
	Policies trust.PolicySource
	Stores   trust.Store
	// Plugins finds the plugins that signatures name; nil means none is installed.
	Plugins Plugins
	// Revocation checks certificates; nil means that nobody is asked, so that a
	// certificate which names an OCSP responder or a CRL has an unknown status.
	Revocation RevocationChecker
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger receives what is done, in order; nil means nowhere.
	Logger *slog.Logger

	known  knownChains
	sets   certificateSets
	memory memory
}

// ArtifactRequest says what to verify in a repository, and how.
type ArtifactRequest struct {
	// Reference is the tag or digest to resolve.
	Reference string
	// Name is the repository as the user wrote it, for messages.
	Name string
	// Scope is matched against the policy's registry scopes, byte for byte:
	// the repository as the user wrote it, or a layout's --scope.
	Scope string
	// MaxSignatures bounds the signatures examined; it must be positive.
	MaxSignatures int
	// UserMetadata must all be among the signed annotations.
	UserMetadata map[string]string
	// PluginConfig goes to every plugin called.
	PluginConfig map[string]string
	// MustEnforce lists checks that the statement has to enforce; one that does not
	// is a [*NotEnforcedError], and the repository is not asked.
	MustEnforce []trust.Check
}

// VerifyArtifact verifies what req.Reference names in repo: one signature that
// passes is enough, unless the statement sets a threshold. The outcome is not
// nil once a policy statement was found, also together with an error; it lists
// every signature considered.
//
// Errors are those of the policy and the repository, and [*NoSignatureError],
// [*AllFailedError], [*ThresholdError] and [*LimitError].
func (v *Verifier) VerifyArtifact(ctx context.Context, repo artifact.Repository, req ArtifactRequest) (*Outcome, error) {
	if req.MaxSignatures <= 0 {
		return nil, fmt.Errorf("max-signatures value %d must be a positive number", req.MaxSignatures)
	}
	policy, err := v.Policies.OCIPolicy(ctx)
	if err != nil {
		return nil, err
	}
	statement, err := policy.Statement(req.Scope)
	if err != nil {
		return nil, err
	}
	v.log().Debug("trust policy statement chosen", "statement", statement.Name, "level", statement.Level.Name, "scope", req.Scope)
	for _, check := range req.MustEnforce {
		if action := statement.Level.Action(check); action != trust.ActionEnforce {
			return nil, &NotEnforcedError{Statement: statement.Name, Level: statement.Level.Name, Check: check, Action: action}
		}
	}
	outcome := newOutcome(statement)
	if statement.Level.Skip() {
		outcome.Reference = artifact.JoinReference(req.Name, req.Reference)
		outcome.Skipped = true
		return outcome, nil
	}
	target, err := repo.Resolve(ctx, req.Reference)
	if err != nil {
		return outcome, err
	}
	outcome.Artifact = target
	outcome.Reference = req.Name + "@" + target.Digest.String()
	return outcome, v.examine(ctx, repo, req, statement, outcome)
}

// examine goes through the artifact's signatures until enough of them pass.
func (v *Verifier) examine(ctx context.Context, repo artifact.Repository, req ArtifactRequest, statement *trust.Statement, outcome *Outcome) error {
	stores := v.openStores(ctx, statement)
	ballot := newBallot(statement)
	passed, metadataMissing := 0, false
	for manifest, err := range repo.Signatures(ctx, outcome.Artifact) {
		if err != nil {
			return err
		}
		if len(outcome.Signatures) == req.MaxSignatures {
			break
		}
		result := newSignatureOutcome(manifest.Digest.String(), statement.Level)
		outcome.Signatures = append(outcome.Signatures, result)
		result.Err = v.candidate(ctx, repo, manifest, &job{
			verifier: v, statement: statement, stores: stores, target: outcome.Artifact, reference: outcome.Reference,
			metadata: req.UserMetadata, config: req.PluginConfig, outcome: result,
		})
		if result.Err == nil {
			passed++
			if outcome.Verified = ballot.cast(result); outcome.Verified != nil {
				return nil
			}
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		metadataMissing = metadataMissing || errors.Is(result.Err, ErrUserMetadata)
		v.log().Info("signature does not count", "digest", result.Digest, "reason", result.Err)
	}
	switch {
	case len(outcome.Signatures) == 0:
		return &NoSignatureError{Reference: outcome.Reference}
	case metadataMissing && passed == 0:
		return &AllFailedError{Reference: outcome.Reference, MetadataMissing: true}
	case len(outcome.Signatures) >= req.MaxSignatures:
		return &LimitError{Max: req.MaxSignatures}
	case statement.Threshold != nil:
		return ballot.missed(outcome.Reference)
	}
	return &AllFailedError{Reference: outcome.Reference}
}

// candidate fetches one signature and checks it. Whatever is wrong with it is
// the signature's own failure and does not keep others from being examined (VER-08).
func (v *Verifier) candidate(ctx context.Context, repo artifact.Repository, manifest ocispec.Descriptor, job *job) error {
	enforced := job.statement.Level.Action(trust.CheckAuthenticity) == trust.ActionEnforce
	if enforced && !mayAnchor(job.stores, manifest.Annotations) {
		err := errors.New("the thumbprints in the signature manifest match no trusted certificate")
		job.outcome.leave(trust.CheckIntegrity, "not downloaded: no trusted certificate among its thumbprints")
		return job.outcome.run(trust.CheckAuthenticity, v.now, func() error { return err })
	}
	share := v.memory.share()
	defer share.release()
	signature, err := repo.FetchSignature(ctx, manifest, job.target, share.reserve)
	if err != nil {
		return err
	}
	err = job.verify(ctx, signature.MediaType, signature.Envelope)
	if len(signature.Envelope) > maxKeptEnvelope {
		job.outcome.trim(err)
	}
	return err
}

// maxKeptEnvelope is the size in bytes up to which an outcome keeps whole envelopes.
// Strangers can put up any number of large ones, and blow up those of others.
const maxKeptEnvelope = 64 << 10

// BlobRequest says what file to verify by which signature.
type BlobRequest struct {
	// Name of the file, for messages.
	Name string
	// Policy names the statement to apply; empty means the global one.
	Policy string
	// MediaType is the one the signature must name; empty means any.
	MediaType string
	// Signature is the envelope, of the media type SignatureType.
	Signature     []byte
	SignatureType string
	UserMetadata  map[string]string
	PluginConfig  map[string]string
}

// VerifyBlob verifies a file by its detached signature. The file is read once,
// to its end, and only after the signature is found to be trusted. When ctx is done
// meanwhile, a last read may still be under way afterwards.
func (v *Verifier) VerifyBlob(ctx context.Context, blob io.Reader, req BlobRequest) (*Outcome, error) {
	policy, err := v.Policies.BlobPolicy(ctx)
	if err != nil {
		return nil, err
	}
	statement, err := policy.Statement(req.Policy)
	if err != nil {
		return nil, err
	}
	v.log().Debug("trust policy statement chosen", "statement", statement.Name, "level", statement.Level.Name, "policyName", req.Policy)
	outcome := newOutcome(statement)
	outcome.Reference = req.Name
	if statement.Level.Skip() {
		outcome.Skipped = true
		return outcome, nil
	}
	result := newSignatureOutcome("", statement.Level)
	outcome.Signatures = []*SignatureOutcome{result}
	job := &job{
		verifier: v, statement: statement, stores: v.openStores(ctx, statement), reference: req.Name, metadata: req.UserMetadata, config: req.PluginConfig, outcome: result,
		blob: blob, blobType: req.MediaType,
	}
	if result.Err = job.verify(ctx, req.SignatureType, req.Signature); result.Err != nil {
		return outcome, result.Err
	}
	outcome.Artifact = result.Target
	ballot := newBallot(statement)
	if outcome.Verified = ballot.cast(result); outcome.Verified == nil {
		return outcome, ballot.missed(req.Name)
	}
	return outcome, nil
}

func newOutcome(statement *trust.Statement) *Outcome {
	return &Outcome{Statement: statement.Name, Level: statement.Level.Name}
}

func (v *Verifier) now() time.Time {
	if v.Now != nil {
		return v.Now()
	}
	return time.Now()
}

func (v *Verifier) log() *slog.Logger {
	if v.Logger != nil {
		return v.Logger
	}
	return discard
}

var discard = slog.New(slog.DiscardHandler)

// storeTypeFor is the type of trust store that may anchor a signing scheme (SCH-02..04).
func storeTypeFor(scheme envelope.Scheme) trust.StoreType {
	if scheme == envelope.SchemeSigningAuthority {
		return trust.StoreSigningAuthority
	}
	return trust.StoreCA
}
