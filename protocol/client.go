package protocol

import (
	"context"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
)

// Transport carries one request to a plugin and brings its answer.
type Transport interface {
	// Call sends the JSON request of a command and returns the JSON the plugin
	// answered with, unread. When the plugin answered with a failure, the error
	// is or wraps an [*Error]; an answer that breaks the rules of the transport
	// gives an [*AnswerError]. Calls may be concurrent.
	Call(ctx context.Context, command Command, request []byte) ([]byte, error)
}

// Client calls one plugin for a host: it fills in the contract version and
// checks each answer as far as the message alone allows. What needs keys,
// certificates or policies is left to the caller. A Client may be used by
// several goroutines at once.
//
// Every error of its methods is a [*CallError], which wraps the plugin's own
// [*Error], an [*AnswerError], or whatever failed in the transport.
type Client struct {
	name       string
	transport  Transport
	negotiated atomic.Pointer[string]
}

// NewClient returns a client of the plugin called name (the X of notation-X),
// reached through t.
func NewClient(name string, t Transport) *Client {
	return &Client{name: name, transport: t}
}

// Name returns the plugin's name.
func (c *Client) Name() string { return c.name }

// CallError says that calling a plugin failed, and which side is to blame: an
// [*Error] in Err is the plugin's own answer, an [*AnswerError] an answer that
// breaks the contract; anything else happened on the way.
type CallError struct {
	Plugin  string
	Command Command
	Err     error
}

// Error returns "plugin awskms: describe-key: ACCESS_DENIED: …".
func (e *CallError) Error() string {
	if invalid, ok := errors.AsType[*MetadataError](e.Err); ok {
		return invalid.Error() // names the plugin itself
	}
	return fmt.Sprintf("plugin %s: %s: %v", e.Plugin, e.Command, e.Err)
}

// Unwrap returns Err.
func (e *CallError) Unwrap() error { return e.Err }

// AnswerError says in which way a plugin's answer breaks the contract.
type AnswerError struct {
	Reason string
	// Err is the cause, when there is one; its text is not part of Reason.
	Err error
}

// Error returns the reason, followed by the cause if there is one.
func (e *AnswerError) Error() string {
	if e.Err == nil {
		return e.Reason
	}
	return e.Reason + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *AnswerError) Unwrap() error { return e.Err }

func answerErrorf(format string, args ...any) error {
	return &AnswerError{Reason: fmt.Sprintf(format, args...)}
}

// MetadataError says what a plugin's metadata lacks.
type MetadataError struct {
	Plugin string
	Reason string
}

// Error returns "metadata validation failed for plugin X: empty name".
func (e *MetadataError) Error() string {
	return "metadata validation failed for plugin " + e.Plugin + ": " + e.Reason
}

// GetMetadata calls get-plugin-metadata; a nil request is one without configuration.
// It requires every member of the contract, the name to be the client's and a contract
// version this package speaks; later calls are made with the version negotiated so.
func (c *Client) GetMetadata(ctx context.Context, request *GetMetadataRequest) (*Metadata, error) {
	q := value(request)
	q.ContractVersion = ContractVersion
	return call(ctx, c, CommandGetMetadata, q, func(m *Metadata) error {
		if reason := m.lacks(); reason != "" {
			return &MetadataError{Plugin: c.name, Reason: reason}
		}
		if m.Name != c.name {
			return answerErrorf("plugin executable file name must be %q instead of %q", BinaryPrefix+m.Name, BinaryPrefix+c.name)
		}
		version, err := negotiate(m.SupportedContractVersions)
		if err != nil {
			return err
		}
		c.negotiated.Store(&version)
		return nil
	})
}

// DescribeKey calls describe-key. The answer echoes the key id and has a key
// spec of the contract.
func (c *Client) DescribeKey(ctx context.Context, request *DescribeKeyRequest) (*DescribeKeyResponse, error) {
	q := value(request)
	q.ContractVersion = c.contractVersion()
	return call(ctx, c, CommandDescribeKey, q, func(a *DescribeKeyResponse) error {
		if a.KeyID != q.KeyID {
			return answerErrorf("keyID in describeKey response %q does not match request %q", a.KeyID, q.KeyID)
		}
		if _, known := SuiteOf(a.KeySpec); !known {
			return &AnswerError{Reason: "unknown key spec", Err: fmt.Errorf("%q", a.KeySpec)}
		}
		return nil
	})
}

// GenerateSignature calls generate-signature. The answer echoes the key id,
// names the algorithm that goes with the request's key spec, and has a
// signature and certificates (no certificates needed with purpose "csr"). That
// the signature verifies and the chain is well formed is for the caller to check.
func (c *Client) GenerateSignature(ctx context.Context, request *GenerateSignatureRequest) (*GenerateSignatureResponse, error) {
	q := value(request)
	q.ContractVersion = c.contractVersion()
	return call(ctx, c, CommandGenerateSignature, q, func(a *GenerateSignatureResponse) error {
		suite, known := SuiteForAlgorithm(a.SigningAlgorithm)
		switch {
		case a.KeyID != q.KeyID:
			return answerErrorf("keyID in generateSignature response %q does not match request %q", a.KeyID, q.KeyID)
		case !known:
			return answerErrorf("signingAlgorithm %q in generateSignature response is not supported", a.SigningAlgorithm)
		case suite.KeySpec != q.KeySpec:
			return answerErrorf("signingAlgorithm %q in generateSignature response does not go with key spec %s", a.SigningAlgorithm, q.KeySpec)
		case len(a.Signature) == 0:
			return answerErrorf("generateSignature response has no signature")
		case len(a.CertificateChain) == 0 && q.Purpose != PurposeCSR:
			return answerErrorf("generateSignature response has no certificate chain")
		case slices.ContainsFunc(a.CertificateChain, func(der []byte) bool { return len(der) == 0 }):
			return answerErrorf("generateSignature response has an empty certificate in its chain")
		}
		return nil
	})
}

// GenerateEnvelope calls generate-envelope. The answer has an envelope of the
// type asked for and annotations that are never nil. What is inside the envelope
// is for the caller to check.
func (c *Client) GenerateEnvelope(ctx context.Context, request *GenerateEnvelopeRequest) (*GenerateEnvelopeResponse, error) {
	q := value(request)
	q.ContractVersion = c.contractVersion()
	return call(ctx, c, CommandGenerateEnvelope, q, func(a *GenerateEnvelopeResponse) error {
		if a.SignatureEnvelopeType != q.SignatureEnvelopeType {
			return answerErrorf("signatureEnvelopeType in generateEnvelope response %q does not match request %q", a.SignatureEnvelopeType, q.SignatureEnvelopeType)
		}
		if len(a.SignatureEnvelope) == 0 {
			return answerErrorf("generateEnvelope response has no signature envelope")
		}
		if a.Annotations == nil {
			a.Annotations = map[string]string{}
		}
		return nil
	})
}

// VerifySignature calls verify-signature. The answer holds a result for each
// check asked for and no other, a reason for each negative one, and processed
// attributes that are just the request's unprocessed ones.
func (c *Client) VerifySignature(ctx context.Context, request *VerifySignatureRequest) (*VerifySignatureResponse, error) {
	q := value(request)
	q.ContractVersion = c.contractVersion()
	if err := checkAttributes(q.Signature.CriticalAttributes.ExtendedAttributes); err != nil {
		return nil, &CallError{Plugin: c.name, Command: CommandVerifySignature, Err: err}
	}
	return call(ctx, c, CommandVerifySignature, q, func(a *VerifySignatureResponse) error {
		if err := checkResults(a.VerificationResults, q.TrustPolicy.SignatureVerification); err != nil {
			return err
		}
		return checkProcessed(a.ProcessedAttributes, q.Signature.UnprocessedAttributes)
	})
}

// contractVersion is the version negotiated, or ours as long as GetMetadata has
// not been called.
func (c *Client) contractVersion() string {
	if version := c.negotiated.Load(); version != nil {
		return *version
	}
	return ContractVersion
}

// call sends a request and checks the answer.
func call[Q, A any](ctx context.Context, c *Client, command Command, request Q, check func(*A) error) (*A, error) {
	fail := func(err error) (*A, error) {
		return nil, &CallError{Plugin: c.name, Command: command, Err: err}
	}
	data, err := encode(request)
	if err != nil {
		return fail(fmt.Errorf("write the request as JSON: %w", err))
	}
	data, err = c.transport.Call(ctx, command, data)
	if err != nil {
		return fail(err)
	}
	answer := new(A)
	if err := decode(data, answer); err != nil {
		return fail(&AnswerError{Reason: "malformed answer", Err: err})
	}
	if err := check(answer); err != nil {
		if failure, _ := ParseError(data); failure != nil {
			err = answerErrorf("sent an error where an answer was due: %v", failure)
		}
		return fail(err)
	}
	return answer, nil
}

// value copies what p points to, or makes an empty one for nil.
func value[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}

// lacks names the first required member that is absent or empty.
func (m *Metadata) lacks() string {
	switch {
	case m.Name == "":
		return "empty name"
	case m.Description == "":
		return "empty description"
	case m.Version == "":
		return "empty version"
	case m.URL == "":
		return "empty url"
	case len(m.Capabilities) == 0:
		return "empty capabilities"
	case len(m.SupportedContractVersions) == 0:
		return "supported contract versions not specified"
	}
	return ""
}

// negotiate picks the version to speak with a plugin: its entry of our major
// version, unless its minor version is higher than ours. A plugin should list
// one entry per major version; of several, the highest usable one is taken.
func negotiate(supported []string) (string, error) {
	ourMajor, ourMinor, _ := parseContract(ContractVersion)
	best, found := uint64(0), false
	for _, version := range supported {
		major, minor, ok := parseContract(version)
		if ok && major == ourMajor && minor <= ourMinor {
			best, found = max(best, minor), true
		}
	}
	if !found {
		return "", answerErrorf("the plugin speaks contract versions %q, this host speaks %s: install a version of the plugin for that contract", supported, ContractVersion)
	}
	return fmt.Sprintf("%d.%d", ourMajor, best), nil
}

// checkAttributes refuses values the contract has no place for: extended
// attributes are strings, numbers or null.
func checkAttributes(attributes map[string]any) error {
	for name, value := range attributes {
		switch value.(type) {
		case nil, string, stdjson.Number,
			int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64:
		default:
			return fmt.Errorf("extended attribute %q is neither string, number nor null: plugins cannot process it", name)
		}
	}
	return nil
}

func checkResults(results map[Capability]*VerificationResult, requested []Capability) error {
	for _, capability := range requested {
		result := results[capability]
		if result == nil {
			return answerErrorf("verifySignature response has no result for %q", capability)
		}
		if !result.Success && result.Reason == "" {
			return answerErrorf("verifySignature response fails %q without a reason", capability)
		}
	}
	for capability := range results {
		if !slices.Contains(requested, capability) {
			return answerErrorf("verifySignature response has a result for %q, which was not asked for", capability)
		}
	}
	return nil
}

func checkProcessed(processed, unprocessed []string) error {
	for _, name := range unprocessed {
		if !slices.Contains(processed, name) {
			return answerErrorf("verifySignature response does not list attribute %q as processed", name)
		}
	}
	for _, name := range processed {
		if !slices.Contains(unprocessed, name) {
			return answerErrorf("verifySignature response lists attribute %q as processed, which was not asked for", name)
		}
	}
	return nil
}
