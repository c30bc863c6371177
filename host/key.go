package host

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"

	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/host/timestamp"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// Key is a signing key: a local one ([NewLocalKey]) or one behind a plugin
// ([NewPluginKey]). It may be used by several goroutines at once.
type Key interface {
	// Suite returns the algorithms that the key's type and size select.
	Suite(ctx context.Context) (protocol.Suite, error)
	// Seal signs a payload and returns the envelope around it.
	Seal(ctx context.Context, request SealRequest) (*Sealed, error)
}

// SealRequest says what envelope a Key is to make.
type SealRequest struct {
	// Format of the envelope.
	Format envelope.Format
	// Target is what is signed, and Payload the envelope's JSON payload about it.
	Target  ocispec.Descriptor
	Payload []byte
	// SigningTime goes into the signed attributes.
	SigningTime time.Time
	// Expiry is counted from SigningTime; 0 means the signature does not expire.
	Expiry time.Duration
	// Agent is the name and version of the signing program.
	Agent string
	// Timestamp countersigns the signature value; nil for no countersignature.
	// Keys that make whole envelopes do not use it (TSA-18).
	Timestamp func(ctx context.Context, signature []byte, hash crypto.Hash) (token []byte, err error)
}

// Sealed is an envelope fresh from a Key.
type Sealed struct {
	Envelope []byte
	// Annotations go to the signature manifest.
	Annotations map[string]string
	// known are the chains that the Key has seen; nil for a Key of somebody else.
	known *knownChains
	// proof is of the signature in the envelope; nil when nobody verified it yet.
	proof *proof
}

// proof says that a signature was verified over an input, with a leaf's key.
type proof struct {
	input, signature []byte
	algorithm        protocol.SignatureAlgorithm
	leaf             *x509.Certificate
}

// covers tells whether the signature of an envelope is the one that was verified, so
// that to verify it again, which takes most of the time of a signature, would give
// the same.
func (p *proof) covers(e *envelope.Envelope) bool {
	return p != nil && e.Algorithm == p.algorithm && e.Certificates[0].Equal(p.leaf) &&
		bytes.Equal(e.Signature, p.signature) && bytes.Equal(e.SigningInput(), p.input)
}

// bytesSigner signs messages: what local keys and plugins with the capability
// SIGNATURE_GENERATOR.RAW have in common.
type bytesSigner interface {
	Suite(ctx context.Context) (protocol.Suite, error)
	// sign returns the signature over message with the chain of the key used, whose
	// leaf has verified it.
	sign(ctx context.Context, suite protocol.Suite, message []byte) ([]byte, []*x509.Certificate, error)
	// agent names the signing program for the envelope.
	agent(host string) string
}

// rawKey makes a Key of a bytesSigner.
type rawKey struct {
	bytesSigner
	known *knownChains
}

// Seal drafts the envelope, has its signing input signed and puts it together.
func (k rawKey) Seal(ctx context.Context, request SealRequest) (*Sealed, error) {
	suite, err := k.Suite(ctx)
	if err != nil {
		return nil, err
	}
	var expiry time.Time
	if request.Expiry != 0 {
		expiry = request.SigningTime.Add(request.Expiry)
	}
	draft, err := envelope.NewDraft(request.Format.MediaType(), envelope.DraftOptions{
		Payload:     request.Payload,
		Suite:       suite,
		Scheme:      envelope.SchemeX509,
		SigningTime: request.SigningTime,
		Expiry:      expiry,
	})
	if err != nil {
		return nil, err
	}
	input := draft.SigningInput()
	signature, chain, err := k.sign(ctx, suite, input)
	if err != nil {
		return nil, err
	}
	var token []byte
	if request.Timestamp != nil {
		if token, err = request.Timestamp(ctx, signature, suite.CryptoHash); err != nil {
			return nil, fmt.Errorf("timestamp: %w", err)
		}
	}
	data, err := draft.Seal(envelope.SealOptions{
		Signature: signature,
		Chain:     chain,
		Timestamp: token,
		Agent:     k.agent(request.Agent),
	})
	if err != nil {
		return nil, err
	}
	return &Sealed{Envelope: data, known: k.known, proof: &proof{input, signature, suite.Algorithm, chain[0]}}, nil
}

// localSigner signs with a private key in this process.
type localSigner struct {
	key   crypto.Signer
	chain []*x509.Certificate
	suite protocol.Suite
}

// NewLocalKey returns a Key that signs with key in this process. chain is leaf
// first, root last; the leaf's public key must be key's.
func NewLocalKey(key crypto.Signer, chain []*x509.Certificate) (Key, error) {
	if len(chain) == 0 {
		return nil, errors.New("the signing key has no certificate: give the chain from the leaf to the root")
	}
	if !signer.SamePublicKey(key.Public(), chain[0].PublicKey) {
		return nil, errors.New("the private key does not belong to the first certificate of the chain: check that key and certificate file go together, leaf first")
	}
	suite, err := protocol.SuiteForKey(key.Public())
	if err != nil {
		return nil, err
	}
	return rawKey{&localSigner{key: key, chain: chain, suite: suite}, new(knownChains)}, nil
}

func (s *localSigner) Suite(context.Context) (protocol.Suite, error) { return s.suite, nil }

func (s *localSigner) sign(_ context.Context, _ protocol.Suite, message []byte) ([]byte, []*x509.Certificate, error) {
	signature, err := pki.Sign(s.key, message)
	if err != nil {
		return nil, nil, err
	}
	if err := pki.Verify(s.chain[0], message, signature); err != nil {
		return nil, nil, fmt.Errorf("generated signature failed verification: %w", err)
	}
	return signature, s.chain, nil
}

func (s *localSigner) agent(host string) string { return host }

// Kind is the kind of thing to be signed; it decides which capability of a plugin is
// used.
type Kind int

// The kinds of things signet signs.
const (
	// KindArtifact is an OCI artifact in a registry or layout.
	KindArtifact Kind = iota
	// KindBlob is a file.
	KindBlob
)

// pluginKey is what both kinds of plugin keys share.
type pluginKey struct {
	client   *protocol.Client
	metadata *protocol.Metadata
	id       string
	config   map[string]string
}

// NewPluginKey asks the plugin what it can do and returns a Key for the key id,
// signing raw bytes where the plugin can, and whole envelopes otherwise
// (PLG-20, PLG-21). config reaches the plugin with every request.
func NewPluginKey(ctx context.Context, client *protocol.Client, id string, config map[string]string, kind Kind) (Key, error) {
	metadata, err := client.GetMetadata(ctx, &protocol.GetMetadataRequest{PluginConfig: config})
	if err != nil {
		return nil, &PluginSignError{Plugin: client.Name(), Err: err}
	}
	key := pluginKey{client: client, metadata: metadata, id: id, config: config}
	whole := protocol.CapabilityEnvelopeGenerator
	if kind == KindBlob {
		whole = protocol.CapabilityBlobEnvelopeGenerator
	}
	switch {
	case slices.Contains(metadata.Capabilities, protocol.CapabilitySignatureGenerator):
		known := new(knownChains)
		return rawKey{&pluginSigner{pluginKey: key, known: known, turn: semaphore.NewWeighted(1)}, known}, nil
	case slices.Contains(metadata.Capabilities, whole):
		return &envelopeKey{pluginKey: key}, nil
	case kind == KindBlob && slices.Contains(metadata.Capabilities, protocol.CapabilityEnvelopeGenerator):
		return nil, &PluginSignError{Plugin: client.Name(), Err: fmt.Errorf("plugin signs OCI artifacts only: signing files takes the capability %s or %s", protocol.CapabilitySignatureGenerator, whole)}
	}
	return nil, &PluginSignError{Plugin: client.Name(), Err: errors.New("plugin does not have signing capabilities")}
}

// describe asks the plugin for the key's algorithms.
func (k *pluginKey) describe(ctx context.Context) (protocol.Suite, error) {
	answer, err := k.client.DescribeKey(ctx, &protocol.DescribeKeyRequest{KeyID: k.id, PluginConfig: k.config})
	if err != nil {
		return protocol.Suite{}, &PluginSignError{Plugin: k.client.Name(), Err: err}
	}
	suite, _ := protocol.SuiteOf(answer.KeySpec) // the client accepts known specs only
	return suite, nil
}

// pluginSigner signs through generate-signature.
type pluginSigner struct {
	pluginKey
	known *knownChains
	turn  *semaphore.Weighted // of 1; guards suite
	suite protocol.Suite      // zero until described
}

// Suite asks the plugin once; those that ask meanwhile wait for the answer, and ask
// themselves if there is none.
func (s *pluginSigner) Suite(ctx context.Context) (protocol.Suite, error) {
	if err := s.turn.Acquire(ctx, 1); err != nil {
		return protocol.Suite{}, &PluginSignError{Plugin: s.client.Name(), Err: err}
	}
	defer s.turn.Release(1)
	if s.suite.KeySpec != "" {
		return s.suite, nil
	}
	suite, err := s.describe(ctx)
	if err == nil {
		s.suite = suite
	}
	return suite, err
}

// sign has the plugin sign message and checks what came back: the chain's form
// and that its leaf verifies the signature (PLG-26).
func (s *pluginSigner) sign(ctx context.Context, suite protocol.Suite, message []byte) ([]byte, []*x509.Certificate, error) {
	answer, err := s.client.GenerateSignature(ctx, &protocol.GenerateSignatureRequest{
		KeyID:        s.id,
		KeySpec:      suite.KeySpec,
		Hash:         suite.Hash,
		Payload:      message,
		PluginConfig: s.config,
	})
	if err != nil {
		return nil, nil, &PluginSignError{Plugin: s.client.Name(), Err: err}
	}
	chain, err := s.checkAnswer(answer, suite, message)
	if err != nil {
		return nil, nil, &PluginSignError{Plugin: s.client.Name(), Err: err}
	}
	return answer.Signature, chain, nil
}

func (s *pluginSigner) checkAnswer(answer *protocol.GenerateSignatureResponse, suite protocol.Suite, message []byte) ([]*x509.Certificate, error) {
	chain := make([]*x509.Certificate, len(answer.CertificateChain))
	for i, der := range answer.CertificateChain {
		cert, err := s.known.parse(der)
		if err != nil {
			return nil, fmt.Errorf("generate-signature returned certificate %d of the chain in a form that cannot be read: %w", i+1, err)
		}
		chain[i] = cert
	}
	leaf, err := protocol.SuiteForKey(chain[0].PublicKey)
	if err != nil {
		return nil, fmt.Errorf("generate-signature returned a leaf certificate with an unsupported key: %w", err)
	}
	if leaf.KeySpec != suite.KeySpec {
		return nil, fmt.Errorf("generate-signature returned a leaf certificate with a key of type %s where describe-key said %s", leaf.KeySpec, suite.KeySpec)
	}
	if err := pki.Verify(chain[0], message, answer.Signature); err != nil {
		return nil, fmt.Errorf("generate-signature returned a signature that its leaf certificate does not verify: %w", err)
	}
	if err := s.known.check(chain); err != nil {
		return nil, fmt.Errorf("generate-signature returned an unusable certificate chain: %w", err)
	}
	return chain, nil
}

func (s *pluginSigner) agent(host string) string {
	return host + " " + s.metadata.Name + "/" + s.metadata.Version
}

// envelopeKey signs through generate-envelope.
type envelopeKey struct {
	pluginKey
	known knownChains
}

// Suite asks the plugin for the key's algorithms.
func (k *envelopeKey) Suite(ctx context.Context) (protocol.Suite, error) { return k.describe(ctx) }

// Seal has the plugin make the whole envelope and checks that the payload in it
// still says what was asked for (PLG-27..30).
func (k *envelopeKey) Seal(ctx context.Context, request SealRequest) (*Sealed, error) {
	fail := func(err error) (*Sealed, error) {
		return nil, &PluginSignError{Plugin: k.client.Name(), Err: err}
	}
	if request.Timestamp != nil {
		return fail(ErrPluginTimestamps)
	}
	answer, err := k.client.GenerateEnvelope(ctx, &protocol.GenerateEnvelopeRequest{
		KeyID:                   k.id,
		PayloadType:             envelope.MediaTypePayload,
		SignatureEnvelopeType:   request.Format.MediaType(),
		Payload:                 request.Payload,
		ExpiryDurationInSeconds: uint64(request.Expiry / time.Second),
		PluginConfig:            k.config,
	})
	if err != nil {
		return fail(err)
	}
	parsed, err := (&envelope.Parser{Certificates: k.known.parse}).Parse(request.Format.MediaType(), answer.SignatureEnvelope)
	if err != nil {
		return fail(fmt.Errorf("generate-envelope returned an envelope that cannot be read: %w", err))
	}
	if err := parsed.CheckUnchanged(request.Target); err != nil {
		return fail(fmt.Errorf("generate-envelope changed the payload: %w", err))
	}
	if len(parsed.Timestamp) > 0 {
		if _, err := timestamp.Check(parsed.Timestamp, parsed.Signature); err != nil {
			return fail(fmt.Errorf("generate-envelope returned an unusable timestamp countersignature: %w", err))
		}
	}
	return &Sealed{Envelope: answer.SignatureEnvelope, Annotations: answer.Annotations, known: &k.known}, nil
}
