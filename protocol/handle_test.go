package protocol

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// dummy is a plugin that can do everything; each test sets what it needs.
type dummy struct {
	metadata func() (*Metadata, error)
	describe func(*DescribeKeyRequest) (*DescribeKeyResponse, error)
	verify   func(*VerifySignatureRequest) (*VerifySignatureResponse, error)
}

func (d *dummy) GetMetadata(context.Context, *GetMetadataRequest) (*Metadata, error) {
	if d.metadata != nil {
		return d.metadata()
	}
	return &Metadata{Name: "acme", Description: "d", Version: "1.2.3", URL: "u", Capabilities: []Capability{CapabilitySignatureGenerator}}, nil
}

func (d *dummy) DescribeKey(_ context.Context, q *DescribeKeyRequest) (*DescribeKeyResponse, error) {
	if d.describe != nil {
		return d.describe(q)
	}
	return &DescribeKeyResponse{KeySpec: KeySpecEC256}, nil
}

func (d *dummy) GenerateSignature(_ context.Context, q *GenerateSignatureRequest) (*GenerateSignatureResponse, error) {
	return &GenerateSignatureResponse{Signature: q.Payload, SigningAlgorithm: AlgorithmECDSA256, CertificateChain: [][]byte{{1}}}, nil
}

func (d *dummy) GenerateEnvelope(_ context.Context, q *GenerateEnvelopeRequest) (*GenerateEnvelopeResponse, error) {
	return &GenerateEnvelopeResponse{SignatureEnvelope: q.Payload}, nil
}

func (d *dummy) VerifySignature(_ context.Context, q *VerifySignatureRequest) (*VerifySignatureResponse, error) {
	return d.verify(q)
}

// bare can only say who it is.
type bare struct{ *dummy }

func (b bare) DescribeKey()       {}
func (b bare) GenerateSignature() {}
func (b bare) GenerateEnvelope()  {}
func (b bare) VerifySignature()   {}

const (
	goodDescribe = `{"contractVersion":"1.0","keyId":"k"}`
	goodSign     = `{"contractVersion":"1.0","keyId":"k","keySpec":"EC-256","hashAlgorithm":"SHA-256","payload":"eA=="}`
	goodEnvelope = `{"contractVersion":"1.0","keyId":"k","payloadType":"p","signatureEnvelopeType":"e","payload":"eA=="}`
	goodVerify   = `{"contractVersion":"1.0","signature":{"criticalAttributes":{"contentType":"c","signingScheme":"s"},"unprocessedAttributes":[],"certificateChain":["AQ=="]},"trustPolicy":{"trustedIdentities":["*"],"signatureVerification":[]}}`
)

func answer(t *testing.T, p Plugin, command, request string) (string, *Error) {
	t.Helper()
	var out bytes.Buffer
	err := Handle(t.Context(), p, command, strings.NewReader(request), &out)
	if err == nil {
		return out.String(), nil
	}
	failure, ok := errors.AsType[*Error](err)
	if !ok || out.Len() != 0 {
		t.Fatalf("error %T %v, wrote %q", err, err, out.String())
	}
	return "", failure
}

func TestHandleAnswers(t *testing.T) {
	p := &dummy{verify: func(*VerifySignatureRequest) (*VerifySignatureResponse, error) {
		return &VerifySignatureResponse{}, nil
	}}
	for _, c := range []struct{ name, command, request, want string }{
		{"PLG-76 metadata of an empty request", "get-plugin-metadata", "{}", `{"name":"acme","description":"d","version":"1.2.3","url":"u","supportedContractVersions":["1.0"],"capabilities":["SIGNATURE_GENERATOR.RAW"]}`},
		{"PLG-22 describe-key", "describe-key", goodDescribe, `{"keyId":"k","keySpec":"EC-256"}`},
		{"PLG-25 generate-signature", "generate-signature", goodSign, `{"keyId":"k","signature":"eA==","signingAlgorithm":"ECDSA-SHA-256","certificateChain":["AQ=="]}`},
		{"PLG-28 generate-envelope", "generate-envelope", goodEnvelope, `{"signatureEnvelope":"eA==","signatureEnvelopeType":"e"}`},
		{"PLG-48 verify-signature", "verify-signature", goodVerify, `{"verificationResults":{},"processedAttributes":[]}`},
		{"PLG-33 unknown members", "describe-key", `{"contractVersion":"1.0","keyId":"k","new":{"a":[{}]}}`, `{"keyId":"k","keySpec":"EC-256"}`},
		{"PLG-17 later minor version", "describe-key", `{"contractVersion":"1.7","keyId":"k"}`, `{"keyId":"k","keySpec":"EC-256"}`},
		{"PLG-33 null is no member", "describe-key", `{"contractVersion":"1.0","keyId":"k","pluginConfig":null}`, `{"keyId":"k","keySpec":"EC-256"}`},
		{"PLG-17 metadata of another major version", "get-plugin-metadata", `{"contractVersion":"2.0"}`, `{"name":"acme","description":"d","version":"1.2.3","url":"u","supportedContractVersions":["1.0"],"capabilities":["SIGNATURE_GENERATOR.RAW"]}`},
		{"PLG-08 metadata with version", "get-plugin-metadata", `{"contractVersion":"1.0","pluginConfig":{}}`, `{"name":"acme","description":"d","version":"1.2.3","url":"u","supportedContractVersions":["1.0"],"capabilities":["SIGNATURE_GENERATOR.RAW"]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, failure := answer(t, p, c.command, c.request)
			if failure != nil || got != c.want+"\n" {
				t.Errorf("got %s, %v", got, failure)
			}
		})
	}
}

func TestHandleRefuses(t *testing.T) {
	edit := func(object, member string, value any) string {
		return edited(t, object, map[string]any{member: value})
	}
	for _, c := range []struct {
		name, command, request string
		code                   ErrorCode
		want                   string
	}{
		{"PLG-06 unknown command", "sign", goodDescribe, CodeValidation, `unknown command "sign"`},
		{"PLG-12 unknown command of another major", "sign", `{"contractVersion":"2.0"}`, CodeUnsupportedContract, "2.0 is not supported"},
		{"PLG-12 not JSON", "describe-key", "hello", CodeValidation, "malformed request"},
		{"PLG-12 empty", "describe-key", "", CodeValidation, "no JSON at all"},
		{"PLG-12 two documents", "describe-key", goodDescribe + goodDescribe, CodeValidation, "more text after"},
		{"PLG-12 wrong type", "describe-key", edit(goodDescribe, "keyId", 1), CodeValidation, "malformed request"},
		{"PLG-08 no contract version", "describe-key", edit(goodDescribe, "contractVersion", dropped), CodeValidation, "contractVersion is missing"},
		{"PLG-12 contract version malformed", "describe-key", edit(goodDescribe, "contractVersion", "one"), CodeValidation, "major.minor"},
		{"PLG-12 contract version of another major", "describe-key", edit(goodDescribe, "contractVersion", "2.0"), CodeUnsupportedContract, "2.0 is not supported"},
		{"PLG-12 another major before all members", "describe-key", `{"contractVersion":"2.0","keyId":[1]}`, CodeUnsupportedContract, "2.0 is not supported"},
		{"PLG-12 contract version null", "describe-key", edit(goodDescribe, "contractVersion", nil), CodeValidation, "contractVersion is missing"},
		{"PLG-12 metadata with malformed configuration", "get-plugin-metadata", `{"pluginConfig":{"a":1}}`, CodeValidation, "malformed request"},
		{"PLG-12 describe-key without key", "describe-key", edit(goodDescribe, "keyId", ""), CodeValidation, "keyId is missing"},
		{"PLG-12 generate-signature without key", "generate-signature", edit(goodSign, "keyId", dropped), CodeValidation, "keyId is missing"},
		{"PLG-12 generate-signature without key spec", "generate-signature", edit(goodSign, "keySpec", dropped), CodeValidation, "keySpec is missing"},
		{"PLG-12 generate-signature without hash", "generate-signature", edit(goodSign, "hashAlgorithm", dropped), CodeValidation, "hashAlgorithm is missing"},
		{"PLG-12 generate-signature without payload", "generate-signature", edit(goodSign, "payload", dropped), CodeValidation, "payload is missing"},
		{"PLG-12 unknown key spec", "generate-signature", edit(goodSign, "keySpec", "EC-224"), CodeValidation, `keySpec "EC-224" is not supported`},
		{"PLG-12 hash of another key spec", "generate-signature", edit(goodSign, "hashAlgorithm", "SHA-512"), CodeValidation, "does not go with"},
		{"PLG-12 unknown purpose", "generate-signature", edit(goodSign, "purpose", "x"), CodeValidation, "purpose"},
		{"PLG-12 generate-envelope without key", "generate-envelope", edit(goodEnvelope, "keyId", dropped), CodeValidation, "keyId is missing"},
		{"PLG-12 generate-envelope without payload type", "generate-envelope", edit(goodEnvelope, "payloadType", dropped), CodeValidation, "payloadType is missing"},
		{"PLG-12 generate-envelope without envelope type", "generate-envelope", edit(goodEnvelope, "signatureEnvelopeType", dropped), CodeValidation, "signatureEnvelopeType is missing"},
		{"PLG-12 generate-envelope without payload", "generate-envelope", edit(goodEnvelope, "payload", dropped), CodeValidation, "payload is missing"},
		{"PLG-12 verify-signature without signature", "verify-signature", edit(goodVerify, "signature", dropped), CodeValidation, "contentType is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, failure := answer(t, &dummy{}, c.command, c.request)
			if failure == nil || failure.Code != c.code || !strings.Contains(failure.Message, c.want) {
				t.Errorf("%v, want %s with %q", failure, c.code, c.want)
			}
		})
	}
	for _, command := range []Command{CommandDescribeKey, CommandGenerateSignature, CommandGenerateEnvelope, CommandVerifySignature} {
		t.Run("PLG-06 not offered: "+string(command), func(t *testing.T) {
			_, failure := answer(t, bare{&dummy{}}, string(command), `{"contractVersion":"1.0"}`)
			if failure == nil || failure.Code != CodeValidation || !strings.Contains(failure.Message, "does not have the command") {
				t.Error(failure)
			}
		})
	}
	t.Run("request over the bound", func(t *testing.T) {
		err := Handle(t.Context(), &dummy{}, "describe-key", zeros{}, io.Discard)
		if failure, ok := errors.AsType[*Error](err); !ok || failure.Code != CodeValidation {
			t.Error(err)
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestHandleFailures(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name     string
		describe func(*DescribeKeyRequest) (*DescribeKeyResponse, error)
		code     ErrorCode
		message  string
	}{
		{"PLG-12 the plugin's code", func(*DescribeKeyRequest) (*DescribeKeyResponse, error) {
			return nil, fmt.Errorf("wrapped: %w", Errorf(CodeThrottled, "slow"))
		}, CodeThrottled, "slow"},
		{"PLG-12 any other error", func(*DescribeKeyRequest) (*DescribeKeyResponse, error) { return nil, boom }, CodeGeneric, "boom"},
		{"PLG-12 deadline", func(*DescribeKeyRequest) (*DescribeKeyResponse, error) {
			return nil, fmt.Errorf("call backend: %w", context.DeadlineExceeded)
		}, CodeTimeout, "call backend: context deadline exceeded"},
		{"no answer", func(*DescribeKeyRequest) (*DescribeKeyResponse, error) { return nil, nil }, CodeGeneric, "the plugin has no answer"},
		{"panic", func(*DescribeKeyRequest) (*DescribeKeyResponse, error) { panic("oops") }, CodeGeneric, "plugin crashed during describe-key: oops (handle_test.go:"},
		{"runtime panic", func(q *DescribeKeyRequest) (*DescribeKeyResponse, error) {
			return nil, errors.New(string(q.KeyID[len(q.KeyID)]))
		}, CodeGeneric, "index out of range [1] with length 1 (handle_test.go:"},
		{"answer that is not UTF-8", func(*DescribeKeyRequest) (*DescribeKeyResponse, error) {
			return &DescribeKeyResponse{KeySpec: "\xff"}, nil
		}, CodeGeneric, "write the answer as JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, failure := answer(t, &dummy{describe: c.describe}, "describe-key", goodDescribe)
			if failure == nil || failure.Code != c.code || !strings.Contains(failure.Message, c.message) {
				t.Errorf("%v, want %s with %q", failure, c.code, c.message)
			}
		})
	}
}

func TestExtendedAttributesArriveExactly(t *testing.T) {
	request := edited(t, goodVerify, map[string]any{"signature": map[string]any{
		"criticalAttributes": map[string]any{"contentType": "c", "signingScheme": "s",
			"extendedAttributes": map[string]any{"n": json.Number("12345678901234567890"), "t": "x", "z": nil}},
		"certificateChain": []string{"AQ=="}}})
	p := &dummy{verify: func(q *VerifySignatureRequest) (*VerifySignatureResponse, error) {
		got := q.Signature.CriticalAttributes.ExtendedAttributes
		if value, present := got["z"]; !present || value != nil || got["t"] != "x" || got["n"] != json.Number("12345678901234567890") {
			t.Errorf("%#v", got)
		}
		return &VerifySignatureResponse{}, nil
	}}
	t.Run("PLG-46 string, number, null", func(t *testing.T) {
		if _, failure := answer(t, p, "verify-signature", request); failure != nil {
			t.Error(failure)
		}
	})
}

func TestWithTransports(t *testing.T) {
	p := WithTransports(WithTransports(&dummy{}, "x"), "stdio", "session.v1")
	got, failure := answer(t, p, "get-plugin-metadata", "{}")
	if failure != nil || !strings.Contains(got, `"transports":["stdio","session.v1"]`) {
		t.Errorf("%s, %v", got, failure)
	}
	if _, failure := answer(t, p, "describe-key", goodDescribe); failure != nil {
		t.Error(failure)
	}
	if _, failure := answer(t, WithTransports(bare{&dummy{}}), "describe-key", goodDescribe); failure == nil {
		t.Error("a command that the plugin does not have")
	}
}

func TestRun(t *testing.T) {
	run := func(args ...string) (int, string, string) {
		var stdout, stderr bytes.Buffer
		status := Run(t.Context(), &dummy{}, append([]string{"notation-acme"}, args...), strings.NewReader("{}"), &stdout, &stderr)
		return status, stdout.String(), stderr.String()
	}
	t.Run("PLG-05 answer", func(t *testing.T) {
		if status, stdout, stderr := run("get-plugin-metadata"); status != 0 || !strings.HasPrefix(stdout, `{"name":"acme"`) || stderr != "" {
			t.Errorf("%d %q %q", status, stdout, stderr)
		}
	})
	t.Run("PLG-10 PLG-11 failure", func(t *testing.T) {
		want := `{"errorCode":"VALIDATION_ERROR","errorMessage":"contractVersion is missing or empty"}` + "\n"
		if status, stdout, stderr := run("describe-key"); status != 1 || stdout != "" || stderr != want {
			t.Errorf("%d %q %q", status, stdout, stderr)
		}
	})
	for args, status := range map[string]int{"": 1, "--help": 0, "--version": 0} {
		t.Run("PLG-05 started by hand "+args, func(t *testing.T) {
			got, stdout, stderr := run(strings.Fields(args)...)
			if got != status || stdout != "" || !strings.HasPrefix(stderr, "notation-acme 1.2.3 - d\n") {
				t.Errorf("%d %q %q", got, stdout, stderr)
			}
		})
	}
	t.Run("message that is not UTF-8", func(t *testing.T) {
		var stderr bytes.Buffer
		refuse(&stderr, Errorf(CodeThrottled, "\xff"))
		if failure, err := ParseError(stderr.Bytes()); err != nil || failure.Code != CodeThrottled {
			t.Errorf("%q", stderr.String())
		}
	})
}
