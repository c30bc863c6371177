package protocol

// Command names one operation of a plugin: the first argument of a stdio
// invocation.
type Command string

// The commands of contract 1.0.
const (
	CommandGetMetadata       Command = "get-plugin-metadata"
	CommandDescribeKey       Command = "describe-key"
	CommandGenerateSignature Command = "generate-signature"
	CommandGenerateEnvelope  Command = "generate-envelope"
	CommandVerifySignature   Command = "verify-signature"
)

// Capability names one thing a plugin can do for a host.
type Capability string

// The capabilities of contract 1.0. A host ignores any other value.
const (
	// CapabilitySignatureGenerator signs bytes: describe-key and generate-signature.
	CapabilitySignatureGenerator Capability = "SIGNATURE_GENERATOR.RAW"
	// CapabilityEnvelopeGenerator writes whole envelopes for OCI artifacts: generate-envelope.
	CapabilityEnvelopeGenerator Capability = "SIGNATURE_GENERATOR.ENVELOPE"
	// CapabilityBlobEnvelopeGenerator writes whole envelopes for files: describe-key and
	// generate-envelope.
	CapabilityBlobEnvelopeGenerator Capability = "SIGNATURE_GENERATOR.ENVELOPE_FOR_BLOB"
	// CapabilityTrustedIdentityVerifier decides on trusted identities: verify-signature.
	CapabilityTrustedIdentityVerifier Capability = "SIGNATURE_VERIFIER.TRUSTED_IDENTITY"
	// CapabilityRevocationCheckVerifier decides on revocation: verify-signature.
	CapabilityRevocationCheckVerifier Capability = "SIGNATURE_VERIFIER.REVOCATION_CHECK"
)

// Extension names one addition to contract 1.0 that a plugin offers in its
// metadata. Hosts that do not know it ignore it.
type Extension string

// ExtensionPublicKey says that describe-key answers publicKey and that
// generate-signature accepts purpose "csr" (spec/extensions.md).
const ExtensionPublicKey Extension = "publicKey.v1"

// GetMetadataRequest asks a plugin who it is and what it can do.
type GetMetadataRequest struct {
	ContractVersion string            `json:"contractVersion"`
	PluginConfig    map[string]string `json:"pluginConfig,omitempty"`
}

// Metadata answers get-plugin-metadata. Name, Description, Version, URL,
// SupportedContractVersions and Capabilities are required and non-empty.
type Metadata struct {
	// Name equals the X of the executable notation-X.
	Name        string `json:"name"`
	Description string `json:"description"`
	// Version is a SemVer 2 version without a leading v.
	Version string `json:"version"`
	URL     string `json:"url"`
	// SupportedContractVersions holds one "major.minor" entry per major version.
	SupportedContractVersions []string     `json:"supportedContractVersions"`
	Capabilities              []Capability `json:"capabilities"`
	// Transports lists the transports the plugin offers; absent means stdio
	// alone. Extension.
	Transports []string `json:"transports,omitempty"`
	// Extensions lists the additions to the contract the plugin offers. Extension.
	Extensions []Extension `json:"extensions,omitempty"`
}

// DescribeKeyRequest asks for the type and size of the key KeyID.
type DescribeKeyRequest struct {
	ContractVersion string            `json:"contractVersion"`
	KeyID           string            `json:"keyId"`
	PluginConfig    map[string]string `json:"pluginConfig,omitempty"`
}

// DescribeKeyResponse answers describe-key.
type DescribeKeyResponse struct {
	// KeyID repeats the request's.
	KeyID   string  `json:"keyId"`
	KeySpec KeySpec `json:"keySpec"`
	// PublicKey is the key's SubjectPublicKeyInfo, DER. Extension publicKey.v1.
	PublicKey []byte `json:"publicKey,omitempty"`
}

// PurposeCSR marks a generate-signature request that signs a PKCS#10 request
// and for which the answer may hold no certificates. Extension publicKey.v1.
const PurposeCSR = "csr"

// GenerateSignatureRequest asks for a signature over Payload.
type GenerateSignatureRequest struct {
	ContractVersion string        `json:"contractVersion"`
	KeyID           string        `json:"keyId"`
	KeySpec         KeySpec       `json:"keySpec"`
	Hash            HashAlgorithm `json:"hashAlgorithm"`
	// Payload is the message to sign, not its digest: the plugin hashes it with Hash.
	Payload []byte `json:"payload"`
	// Purpose is empty for a signature envelope, or PurposeCSR. Extension publicKey.v1.
	Purpose      string            `json:"purpose,omitempty"`
	PluginConfig map[string]string `json:"pluginConfig,omitempty"`
}

// GenerateSignatureResponse answers generate-signature.
type GenerateSignatureResponse struct {
	// KeyID repeats the request's.
	KeyID string `json:"keyId"`
	// Signature is r‖s of fixed length for ECDSA, the RSASSA-PSS value for RSA.
	Signature        []byte             `json:"signature"`
	SigningAlgorithm SignatureAlgorithm `json:"signingAlgorithm"`
	// CertificateChain is DER, leaf first, self-signed root last.
	CertificateChain [][]byte `json:"certificateChain"`
}

// GenerateEnvelopeRequest asks for a whole signature envelope around Payload.
type GenerateEnvelopeRequest struct {
	ContractVersion string `json:"contractVersion"`
	KeyID           string `json:"keyId"`
	// PayloadType is the media type of Payload.
	PayloadType string `json:"payloadType"`
	// SignatureEnvelopeType is the media type of the envelope wanted.
	SignatureEnvelopeType string `json:"signatureEnvelopeType"`
	// Payload is the JSON payload of the envelope.
	Payload []byte `json:"payload"`
	// ExpiryDurationInSeconds is counted from signing time; 0 means no expiry.
	ExpiryDurationInSeconds uint64            `json:"expiryDurationInSeconds,omitzero"`
	PluginConfig            map[string]string `json:"pluginConfig,omitempty"`
}

// GenerateEnvelopeResponse answers generate-envelope.
type GenerateEnvelopeResponse struct {
	SignatureEnvelope []byte `json:"signatureEnvelope"`
	// SignatureEnvelopeType repeats the request's.
	SignatureEnvelopeType string `json:"signatureEnvelopeType"`
	// Annotations are added to the signature manifest's.
	Annotations map[string]string `json:"annotations,omitempty"`
}

// VerifySignatureRequest asks for checks of a signature whose integrity and
// trust anchor the host has established.
type VerifySignatureRequest struct {
	ContractVersion string      `json:"contractVersion"`
	Signature       Signature   `json:"signature"`
	TrustPolicy     TrustPolicy `json:"trustPolicy"`
	// Artifact says what is being verified. Extension.
	Artifact     *Artifact         `json:"artifact,omitempty"`
	PluginConfig map[string]string `json:"pluginConfig,omitempty"`
}

// Signature is what a verification plugin learns about the envelope.
type Signature struct {
	CriticalAttributes CriticalAttributes `json:"criticalAttributes"`
	// UnprocessedAttributes names the critical attributes the host does not
	// know; never null on the wire.
	UnprocessedAttributes []string `json:"unprocessedAttributes"`
	// CertificateChain is DER, leaf first, root last.
	CertificateChain [][]byte `json:"certificateChain"`
}

// CriticalAttributes are the signed attributes of the envelope that are marked
// critical. Times are RFC 3339 strings, whatever the envelope format.
type CriticalAttributes struct {
	ContentType                  string `json:"contentType"`
	SigningScheme                string `json:"signingScheme"`
	Expiry                       string `json:"expiry,omitempty"`
	AuthenticSigningTime         string `json:"authenticSigningTime,omitempty"`
	VerificationPlugin           string `json:"verificationPlugin,omitempty"`
	VerificationPluginMinVersion string `json:"verificationPluginMinVersion,omitempty"`
	// ExtendedAttributes holds the critical attributes the host does not know;
	// values are string, number or nil.
	ExtendedAttributes map[string]any `json:"extendedAttributes,omitempty"`
}

// TrustPolicy is what a verification plugin learns about the statement applied.
type TrustPolicy struct {
	// TrustedIdentities as the statement lists them; never null on the wire.
	TrustedIdentities []string `json:"trustedIdentities"`
	// SignatureVerification lists the capabilities asked for; never null on the wire.
	SignatureVerification []Capability `json:"signatureVerification"`
}

// Artifact describes what is being verified. Extension.
type Artifact struct {
	// Reference is the artifact's name as the user gave it, when known.
	Reference string `json:"reference,omitempty"`
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	// Size in bytes.
	Size int64 `json:"size"`
}

// VerifySignatureResponse answers verify-signature.
type VerifySignatureResponse struct {
	// VerificationResults holds one entry for each capability asked for, and no other.
	VerificationResults map[Capability]*VerificationResult `json:"verificationResults"`
	// ProcessedAttributes names the attributes of the request's
	// unprocessedAttributes the plugin has dealt with.
	ProcessedAttributes []string `json:"processedAttributes"`
}

// VerificationResult is a plugin's verdict on one check.
type VerificationResult struct {
	Success bool `json:"success"`
	// Reason is required when Success is false.
	Reason string `json:"reason,omitempty"`
}
