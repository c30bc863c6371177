package protocol

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
)

// Handle answers one request to p: it reads the JSON request, checks it, calls
// the method that belongs to command, and writes the JSON response and a line
// feed. It touches neither process arguments nor standard streams.
//
// The error is always an [*Error], ready to be sent to the host; then nothing
// has been written. A panic in p becomes such an error too.
func Handle(ctx context.Context, p Plugin, command string, request io.Reader, response io.Writer) error {
	data, err := readRequest(request)
	if err != nil {
		return AsError(err)
	}
	answer, err := dispatch(ctx, p, Command(command), data)
	if err != nil {
		return AsError(err)
	}
	encoded, err := encode(answer)
	if err != nil {
		return Errorf(CodeGeneric, "write the answer as JSON: %w", err)
	}
	if _, err := response.Write(append(encoded, '\n')); err != nil {
		return Errorf(CodeGeneric, "send the answer: %w", err)
	}
	return nil
}

// AsError returns the failure as a host shall see it: the [*Error] that err is
// or wraps, CodeTimeout for an expired deadline, and CodeGeneric for the rest.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	code := CodeGeneric
	if errors.Is(err, context.DeadlineExceeded) {
		code = CodeTimeout
	}
	return &Error{Code: code, Message: err.Error(), cause: err}
}

// readRequest reads a request of at most MaxMessageSize bytes.
func readRequest(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxMessageSize+1))
	if err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	if len(data) > MaxMessageSize {
		return nil, Errorf(CodeValidation, "request is larger than %d MiB", MaxMessageSize>>20)
	}
	return data, nil
}

// dispatch decodes and checks the request of a command and calls the plugin. It
// judges the request in the order of the protocol text: that it is one JSON object,
// its version, the command, its members.
func dispatch(ctx context.Context, p Plugin, command Command, data []byte) (answer any, err error) {
	if command != CommandGetMetadata { // by which a host learns the versions
		if err := checkVersion(data); err != nil {
			return nil, err
		}
	}
	defer func() {
		if cause := recover(); cause != nil {
			answer, err = nil, Errorf(CodeGeneric, "plugin crashed during %s: %v%s", command, cause, panicSite())
		}
	}()
	switch command {
	case CommandGetMetadata:
		return handle(ctx, data, p.GetMetadata, func(_ *GetMetadataRequest, a *Metadata) {
			if len(a.SupportedContractVersions) == 0 {
				a.SupportedContractVersions = []string{ContractVersion}
			}
		})
	case CommandDescribeKey:
		if k, ok := as[KeyDescriber](p); ok {
			return handle(ctx, data, k.DescribeKey, func(q *DescribeKeyRequest, a *DescribeKeyResponse) {
				a.KeyID = cmp.Or(a.KeyID, q.KeyID)
			})
		}
	case CommandGenerateSignature:
		if g, ok := as[SignatureGenerator](p); ok {
			return handle(ctx, data, g.GenerateSignature, func(q *GenerateSignatureRequest, a *GenerateSignatureResponse) {
				a.KeyID = cmp.Or(a.KeyID, q.KeyID)
			})
		}
	case CommandGenerateEnvelope:
		if g, ok := as[EnvelopeGenerator](p); ok {
			return handle(ctx, data, g.GenerateEnvelope, func(q *GenerateEnvelopeRequest, a *GenerateEnvelopeResponse) {
				a.SignatureEnvelopeType = cmp.Or(a.SignatureEnvelopeType, q.SignatureEnvelopeType)
			})
		}
	case CommandVerifySignature:
		if v, ok := as[SignatureVerifier](p); ok {
			return handle(ctx, data, v.VerifySignature, func(*VerifySignatureRequest, *VerifySignatureResponse) {})
		}
	default:
		return nil, Errorf(CodeValidation, "unknown command %q", command)
	}
	return nil, Errorf(CodeValidation, "this plugin does not have the command %q", command)
}

// message is a pointer to a request that can check itself.
type message[T any] interface {
	*T
	check() error
}

// handle is the course of every command: decode, check, call, complete.
func handle[Q message[q], q, A any](ctx context.Context, data []byte, call func(context.Context, Q) (*A, error), complete func(Q, *A)) (*A, error) {
	request := Q(new(q))
	if err := decode(data, request); err != nil {
		return nil, malformed(err)
	}
	if err := request.check(); err != nil {
		return nil, err
	}
	answer, err := call(ctx, request)
	if err != nil {
		return nil, err
	}
	if answer == nil {
		return nil, errors.New("the plugin has no answer")
	}
	copied := *answer
	complete(request, &copied)
	return &copied, nil
}

func malformed(err error) error { return Errorf(CodeValidation, "malformed request: %w", err) }

func (*GetMetadataRequest) check() error { return nil }

func (r *DescribeKeyRequest) check() error { return required("keyId", r.KeyID) }

func (r *GenerateSignatureRequest) check() error {
	err := firstOf(
		required("keyId", r.KeyID),
		required("keySpec", string(r.KeySpec)),
		required("hashAlgorithm", string(r.Hash)),
		required("payload", string(r.Payload)),
	)
	if err != nil {
		return err
	}
	suite, known := SuiteOf(r.KeySpec)
	switch {
	case !known:
		return Errorf(CodeValidation, "keySpec %q is not supported", r.KeySpec)
	case suite.Hash != r.Hash:
		return Errorf(CodeValidation, "hashAlgorithm %q does not go with keySpec %s: it takes %s", r.Hash, r.KeySpec, suite.Hash)
	case r.Purpose != "" && r.Purpose != PurposeCSR:
		return Errorf(CodeValidation, "purpose %q is not supported", r.Purpose)
	}
	return nil
}

func (r *GenerateEnvelopeRequest) check() error {
	return firstOf(
		required("keyId", r.KeyID),
		required("payloadType", r.PayloadType),
		required("signatureEnvelopeType", r.SignatureEnvelopeType),
		required("payload", string(r.Payload)),
	)
}

func (r *VerifySignatureRequest) check() error {
	err := firstOf(
		required("signature.criticalAttributes.contentType", r.Signature.CriticalAttributes.ContentType),
		required("signature.criticalAttributes.signingScheme", r.Signature.CriticalAttributes.SigningScheme),
	)
	if err == nil && len(r.Signature.CertificateChain) == 0 {
		err = required("signature.certificateChain", "")
	}
	return err
}

// checkVersion makes sure that a request is one JSON object, and looks at its contract
// version alone: in one of another major version all else may mean something else.
func checkVersion(data []byte) error {
	var request struct {
		ContractVersion string `json:"contractVersion"`
	}
	if err := decode(data, &request); err != nil {
		return malformed(err)
	}
	return firstOf(required("contractVersion", request.ContractVersion), checkContract(request.ContractVersion))
}

// checkContract accepts every minor version of our major one: a host speaks at
// most the version that the plugin listed, and members not known are ignored.
func checkContract(version string) error {
	major, _, ok := parseContract(version)
	if !ok {
		return Errorf(CodeValidation, `contractVersion %q is not of the form "major.minor"`, version)
	}
	if ours, _, _ := parseContract(ContractVersion); major != ours {
		return Errorf(CodeUnsupportedContract, "contract version %s is not supported: this plugin speaks %s", version, ContractVersion)
	}
	return nil
}

// parseContract splits "major.minor"; false when version is anything else.
func parseContract(version string) (major, minor uint64, ok bool) {
	before, after, found := strings.Cut(version, ".")
	major, majorErr := strconv.ParseUint(before, 10, 16)
	minor, minorErr := strconv.ParseUint(after, 10, 16)
	canonical := fmt.Sprintf("%d.%d", major, minor) == version
	return major, minor, found && majorErr == nil && minorErr == nil && canonical
}

func required(member, value string) error {
	if value == "" {
		return Errorf(CodeValidation, "%s is missing or empty", member)
	}
	return nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// panicSite names the source line that panicked, as " (file.go:12)". It has to
// be called by the deferred function that recovers.
func panicSite() string {
	callers := make([]uintptr, 32)
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers)])
	inside := false
	for {
		frame, more := frames.Next()
		if inside && !strings.HasPrefix(frame.Function, "runtime.") {
			return fmt.Sprintf(" (%s:%d)", frame.File[strings.LastIndexByte(frame.File, '/')+1:], frame.Line)
		}
		inside = inside || frame.Function == "runtime.gopanic"
		if !more {
			return ""
		}
	}
}
