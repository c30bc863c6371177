package protocol

import "context"

// Plugin is what every plugin implements: it says who it is. What it can do
// beyond that follows from the optional interfaces [KeyDescriber],
// [SignatureGenerator], [EnvelopeGenerator] and [SignatureVerifier].
//
// A method answers with an [*Error] to choose the code the host sees; any other
// error goes out as [CodeGeneric], and an expired deadline as [CodeTimeout].
// Methods may be called concurrently.
type Plugin interface {
	// GetMetadata returns static data: no network, no credentials, no need of
	// any configuration. The request may be empty. No SupportedContractVersions
	// in the answer stand for [ContractVersion].
	GetMetadata(ctx context.Context, request *GetMetadataRequest) (*Metadata, error)
}

// KeyDescriber is implemented by plugins with one of the capabilities
// SIGNATURE_GENERATOR.RAW and SIGNATURE_GENERATOR.ENVELOPE_FOR_BLOB.
type KeyDescriber interface {
	// DescribeKey tells the type and size of the key that request.KeyID names.
	// An empty KeyID in the answer stands for the request's.
	DescribeKey(ctx context.Context, request *DescribeKeyRequest) (*DescribeKeyResponse, error)
}

// SignatureGenerator is implemented by plugins with the capability
// SIGNATURE_GENERATOR.RAW.
type SignatureGenerator interface {
	// GenerateSignature hashes and signs request.Payload. An empty KeyID in the
	// answer stands for the request's.
	GenerateSignature(ctx context.Context, request *GenerateSignatureRequest) (*GenerateSignatureResponse, error)
}

// EnvelopeGenerator is implemented by plugins with one of the capabilities
// SIGNATURE_GENERATOR.ENVELOPE and SIGNATURE_GENERATOR.ENVELOPE_FOR_BLOB.
type EnvelopeGenerator interface {
	// GenerateEnvelope signs request.Payload and wraps it in an envelope of the
	// type asked for, which an empty SignatureEnvelopeType in the answer stands for.
	GenerateEnvelope(ctx context.Context, request *GenerateEnvelopeRequest) (*GenerateEnvelopeResponse, error)
}

// SignatureVerifier is implemented by plugins with one of the capabilities
// SIGNATURE_VERIFIER.TRUSTED_IDENTITY and SIGNATURE_VERIFIER.REVOCATION_CHECK.
type SignatureVerifier interface {
	// VerifySignature answers each check that
	// request.TrustPolicy.SignatureVerification asks for, and no other.
	VerifySignature(ctx context.Context, request *VerifySignatureRequest) (*VerifySignatureResponse, error)
}

// WithTransports returns p with names listed as transports in its metadata, for
// packages that offer another way than stdio to reach a plugin. Extension.
func WithTransports(p Plugin, names ...string) Plugin {
	return &withTransports{Plugin: p, names: names}
}

type withTransports struct {
	Plugin
	names []string
}

func (w *withTransports) GetMetadata(ctx context.Context, request *GetMetadataRequest) (*Metadata, error) {
	metadata, err := w.Plugin.GetMetadata(ctx, request)
	if metadata == nil || err != nil {
		return nil, err
	}
	answer := *metadata
	answer.Transports = w.names
	return &answer, nil
}

// as finds the optional interface T of p.
func as[T any](p Plugin) (T, bool) {
	for {
		w, wrapped := p.(*withTransports)
		if !wrapped {
			t, ok := p.(T)
			return t, ok
		}
		p = w.Plugin
	}
}
