package mutants

import (
	"context"
	"crypto/x509"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// plugin keeps every clause. A key id is the path of a PEM file "x.key" that has
// its certificates beside it in "x.crt".
//
// It claims what its clause takes, and everything when it has no fault: so a test
// with many mutants asks none of them more than it has to.
type plugin struct {
	*signer.Plugin
	name   string
	claims []protocol.Capability
}

var (
	signing = []protocol.Capability{protocol.CapabilitySignatureGenerator}
	whole   = []protocol.Capability{protocol.CapabilityEnvelopeGenerator, protocol.CapabilityBlobEnvelopeGenerator}
	judging = []protocol.Capability{protocol.CapabilityTrustedIdentityVerifier, protocol.CapabilityRevocationCheckVerifier}
)

func newPlugin(name string, claims []protocol.Capability) *plugin {
	return &plugin{signer.New(signer.Options{Open: open}), name, claims}
}

// GetMetadata says who it is.
func (p *plugin) GetMetadata(context.Context, *protocol.GetMetadataRequest) (*protocol.Metadata, error) {
	return &protocol.Metadata{
		Name: p.name, Description: "a plugin for tests of the conformance kit", Version: "1.0.0", URL: "https://example.com/mutants",
		Capabilities: p.claims, Extensions: []protocol.Extension{protocol.ExtensionPublicKey},
	}, nil
}

// key is a PEM file with its certificates.
type key struct {
	signer.Key
	chain []*x509.Certificate
}

func (k key) Certificates(context.Context) ([]*x509.Certificate, error) { return k.chain, nil }

func open(_ context.Context, keyID string, _ map[string]string) (signer.Key, error) {
	text, err := os.ReadFile(keyID)
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeValidation, "key %q: %w", keyID, err)
	}
	private, err := pki.ParsePrivateKey(text)
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeValidation, "key %q: %w", keyID, err)
	}
	text, err = os.ReadFile(strings.TrimSuffix(keyID, ".key") + ".crt")
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeValidation, "key %q: %w", keyID, err)
	}
	chain, err := signer.ParseCertificates(text)
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeValidation, "key %q: %w", keyID, err)
	}
	return key{signer.FromSigner(private), chain}, nil
}

// GenerateEnvelope signs a payload and puts it into an envelope.
func (p *plugin) GenerateEnvelope(ctx context.Context, request *protocol.GenerateEnvelopeRequest) (*protocol.GenerateEnvelopeResponse, error) {
	if _, known := envelope.FormatOf(request.SignatureEnvelopeType); !known || request.PayloadType != envelope.MediaTypePayload {
		return nil, protocol.Errorf(protocol.CodeValidation, "signatureEnvelopeType %q or payloadType %q is not supported", request.SignatureEnvelopeType, request.PayloadType)
	}
	described, err := p.DescribeKey(ctx, &protocol.DescribeKeyRequest{KeyID: request.KeyID})
	if err != nil {
		return nil, err
	}
	suite, _ := protocol.SuiteOf(described.KeySpec)
	options := envelope.DraftOptions{Payload: request.Payload, Suite: suite, SigningTime: time.Now()}
	if request.ExpiryDurationInSeconds > 0 {
		options.Expiry = options.SigningTime.Add(time.Duration(request.ExpiryDurationInSeconds) * time.Second)
	}
	draft, err := envelope.NewDraft(request.SignatureEnvelopeType, options)
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeValidation, "payload: %w", err)
	}
	signed, err := p.GenerateSignature(ctx, &protocol.GenerateSignatureRequest{KeyID: request.KeyID, KeySpec: suite.KeySpec, Hash: suite.Hash, Payload: draft.SigningInput()})
	if err != nil {
		return nil, err
	}
	var chain []*x509.Certificate
	for _, der := range signed.CertificateChain {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		chain = append(chain, cert)
	}
	data, err := draft.Seal(envelope.SealOptions{Signature: signed.Signature, Chain: chain})
	return &protocol.GenerateEnvelopeResponse{SignatureEnvelope: data}, err
}

// VerifySignature trusts nobody and has nothing against any certificate.
func (p *plugin) VerifySignature(_ context.Context, request *protocol.VerifySignatureRequest) (*protocol.VerifySignatureResponse, error) {
	results := map[protocol.Capability]*protocol.VerificationResult{}
	for _, check := range request.TrustPolicy.SignatureVerification {
		results[check] = &protocol.VerificationResult{Success: true}
		if check == protocol.CapabilityTrustedIdentityVerifier && !slices.Contains(request.TrustPolicy.TrustedIdentities, "*") {
			results[check] = &protocol.VerificationResult{Reason: "the signer is not among the trusted identities"}
		}
	}
	return &protocol.VerifySignatureResponse{VerificationResults: results, ProcessedAttributes: request.Signature.UnprocessedAttributes}, nil
}
