package host

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/protocol"
)

// reservedPrefix starts the annotation keys that users may not set (ENV-04).
const reservedPrefix = "io.cncf.notary"

// Timestamper countersigns signature values by RFC 3161.
type Timestamper interface {
	// Timestamp returns the TimeStampToken (DER or BER ContentInfo) over
	// signature, whose imprint is made with hash.
	Timestamp(ctx context.Context, signature []byte, hash crypto.Hash) (token []byte, err error)
}

// Signer signs artifacts and files. Its zero value lacks only a Key.
type Signer struct {
	Key Key
	// Format of the envelopes; JWS when empty.
	Format envelope.Format
	// Expiry is how long signatures are good for, in whole seconds; 0 means
	// without end.
	Expiry time.Duration
	// UserMetadata is signed as annotations of the payload.
	UserMetadata map[string]string
	// Timestamper countersigns each signature; nil for none.
	Timestamper Timestamper
	// Agent is the name and version of the program, "signet/1.0.0".
	Agent string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Signed is an artifact's new signature.
type Signed struct {
	// Artifact is what was signed.
	Artifact ocispec.Descriptor
	// Manifest is the signature manifest as stored.
	Manifest ocispec.Descriptor
	// Envelope is the parsed signature.
	Envelope *envelope.Envelope
}

// SignedBlob is a file's new signature.
type SignedBlob struct {
	// Blob is what was signed.
	Blob ocispec.Descriptor
	// Envelope is the parsed signature, Signature its bytes.
	Envelope  *envelope.Envelope
	Signature []byte
}

// SignArtifact resolves reference (a tag or a digest) in repo, signs what it
// finds and stores the signature beside it.
func (s *Signer) SignArtifact(ctx context.Context, repo artifact.Repository, reference string) (*Signed, error) {
	resolved, err := s.prepare(ctx, repo, reference)
	if err != nil {
		return nil, err
	}
	// Only what identifies the artifact is signed: whatever else a registry
	// puts into a descriptor is not the signer's word (ENV-06).
	target := ocispec.Descriptor{MediaType: resolved.MediaType, Digest: resolved.Digest, Size: resolved.Size}
	sealed, parsed, err := s.seal(ctx, target)
	if err != nil {
		return nil, err
	}
	manifest, err := repo.PushSignature(ctx, artifact.PushRequest{
		MediaType:    parsed.MediaType,
		Envelope:     sealed.Envelope,
		Subject:      target,
		Certificates: parsed.Certificates,
		SigningTime:  parsed.SigningTime,
		Annotations:  sealed.Annotations,
	})
	if err != nil {
		return nil, err
	}
	return &Signed{Artifact: target, Manifest: manifest, Envelope: parsed}, nil
}

// prepare resolves reference in repo and meanwhile has the key say what it is, if it
// will be asked: registry and plugin both take their time, and neither needs the
// other's answer.
func (s *Signer) prepare(ctx context.Context, repo artifact.Repository, reference string) (resolved ocispec.Descriptor, err error) {
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		if resolved, err = repo.Resolve(ctx, reference); err == nil {
			repo.ExpectSignature(ctx)
		}
		return err
	})
	if key, asked := s.Key.(rawKey); asked {
		both.Go(func() error {
			_, err := key.Suite(ctx)
			return err
		})
	}
	return resolved, both.Wait()
}

// SignBlob reads a file to its end and signs its digest; to keep the signature is the
// caller's business. mediaType is the file's. Memory use does not depend on the
// file's size. When ctx is done while the file is read, a last read may still be under
// way afterwards.
func (s *Signer) SignBlob(ctx context.Context, blob io.Reader, mediaType string) (*SignedBlob, error) {
	suite, err := s.Key.Suite(ctx)
	if err != nil {
		return nil, err
	}
	target, err := describeBlob(ctx, blob, mediaType, suite)
	if err != nil {
		return nil, err
	}
	sealed, parsed, err := s.seal(ctx, target)
	if err != nil {
		return nil, err
	}
	return &SignedBlob{Blob: target, Envelope: parsed, Signature: sealed.Envelope}, nil
}

// seal signs target and reads the result back as a verifier would (ENV-47).
func (s *Signer) seal(ctx context.Context, target ocispec.Descriptor) (*Sealed, *envelope.Envelope, error) {
	var err error
	if target.Annotations, err = mergeMetadata(target.Annotations, s.UserMetadata); err != nil {
		return nil, nil, err
	}
	if err := CheckExpiryDuration(s.Expiry); err != nil {
		return nil, nil, err
	}
	format := s.Format
	if format == "" {
		format = envelope.FormatJWS
	}
	payload, err := envelope.MarshalPayload(format.MediaType(), target)
	if err != nil {
		return nil, nil, err
	}
	request := SealRequest{
		Format:      format,
		Target:      target,
		Payload:     payload,
		SigningTime: s.now().UTC().Truncate(time.Second),
		Expiry:      s.Expiry,
		Agent:       s.Agent,
	}
	if s.Timestamper != nil {
		request.Timestamp = s.Timestamper.Timestamp
	}
	sealed, err := s.Key.Seal(ctx, request)
	if err != nil {
		return nil, nil, err
	}
	parsed, err := s.selfCheck(format, sealed)
	if err != nil {
		return nil, nil, err
	}
	return sealed, parsed, nil
}

// selfCheck reads an envelope back and checks all that needs no trust policy.
func (s *Signer) selfCheck(format envelope.Format, sealed *Sealed) (*envelope.Envelope, error) {
	known := sealed.known
	if known == nil {
		known = new(knownChains)
	}
	parsed, err := (&envelope.Parser{Certificates: known.parse}).Parse(format.MediaType(), sealed.Envelope)
	if err == nil && !sealed.proof.covers(parsed) {
		err = parsed.VerifySignature()
	}
	if err == nil {
		err = known.check(parsed.Certificates)
	}
	if err == nil {
		err = pki.CheckValidity(parsed.Certificates, parsed.SigningTime)
	}
	if err != nil {
		return nil, fmt.Errorf("generated signature failed verification: %w", err)
	}
	return parsed, nil
}

func (s *Signer) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// CheckExpiryDuration refuses durations that are negative or not whole seconds (CLI-08).
func CheckExpiryDuration(expiry time.Duration) error {
	if expiry < 0 {
		return errors.New("expiry duration cannot be a negative value")
	}
	if expiry%time.Second != 0 {
		return errors.New("expiry duration supports minimum granularity of seconds")
	}
	return nil
}

// mergeMetadata adds what the user wants signed to a descriptor's annotations.
func mergeMetadata(annotations, metadata map[string]string) (map[string]string, error) {
	if len(metadata) == 0 {
		return annotations, nil
	}
	merged := make(map[string]string, len(annotations)+len(metadata))
	maps.Copy(merged, annotations)
	for key, value := range metadata {
		if strings.HasPrefix(key, reservedPrefix) {
			return nil, fmt.Errorf("error adding user metadata: metadata key %v has reserved prefix %v", key, reservedPrefix)
		}
		if _, taken := merged[key]; taken {
			return nil, fmt.Errorf("error adding user metadata: metadata key %v is already present in the target artifact", key)
		}
		merged[key] = value
	}
	return merged, nil
}

// describeBlob hashes a file as its signature will name it (BLOB-02, ALG-04).
func describeBlob(ctx context.Context, blob io.Reader, mediaType string, suite protocol.Suite) (ocispec.Descriptor, error) {
	algorithm := blobDigest(suite)
	digester := algorithm.Digester()
	size, err := hashFile(ctx, digester.Hash(), blob)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("read the file: %w", err)
	}
	return ocispec.Descriptor{MediaType: mediaType, Digest: digester.Digest(), Size: size}, nil
}

// blobDigest is the digest algorithm that goes with a key's hash.
func blobDigest(suite protocol.Suite) digest.Algorithm {
	switch suite.CryptoHash {
	case crypto.SHA384:
		return digest.SHA384
	case crypto.SHA512:
		return digest.SHA512
	default:
		return digest.SHA256
	}
}
