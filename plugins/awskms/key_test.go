package awskms

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/signet-project/signet/internal/plugintest"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// fake answers what no emulator does.
type fake struct {
	public    func() (*kms.GetPublicKeyOutput, error)
	signature func(context.Context, *kms.SignInput) (*kms.SignOutput, error)
}

func (f fake) GetPublicKey(context.Context, *kms.GetPublicKeyInput, ...func(*kms.Options)) (*kms.GetPublicKeyOutput, error) {
	return f.public()
}

func (f fake) Sign(ctx context.Context, in *kms.SignInput, _ ...func(*kms.Options)) (*kms.SignOutput, error) {
	return f.signature(ctx, in)
}

// plugin is the plugin with KMS as f has it.
func (f fake) plugin() *protocol.Client {
	s := &service{api: f, timeout: time.Minute, place: "region us-east-2"}
	return over(plugintest.InProcess{Plugin: signer.New(signer.Options{
		Metadata: protocol.Metadata{Name: "awskms", Description: "d", Version: "1.0.0", URL: "https://example.com"},
		Open: func(_ context.Context, id string, _ map[string]string) (signer.Key, error) {
			return &key{service: s, id: id, denied: func() {}}, nil
		},
	})})
}

// answer is that of GetPublicKey for a key.
func answer(t *testing.T, public any, spec types.KeySpec, usage types.KeyUsageType) func() (*kms.GetPublicKeyOutput, error) {
	t.Helper()
	spki, ok := public.([]byte)
	if !ok {
		var err error
		if spki, err = x509.MarshalPKIXPublicKey(public); err != nil {
			t.Fatal(err)
		}
	}
	return func() (*kms.GetPublicKeyOutput, error) {
		return &kms.GetPublicKeyOutput{KeyId: aws.String("arn:aws:kms:us-east-2:111122223333:key/k"), KeySpec: spec, KeyUsage: usage, PublicKey: spki}, nil
	}
}

// TestSignInput looks at what KMS is asked to sign.
func TestSignInput(t *testing.T) {
	for _, spec := range testpki.Specs {
		t.Run("PLG-25 "+string(spec), func(t *testing.T) {
			suite, _ := protocol.SuiteOf(spec)
			private := testpki.Key(t, spec)
			var options crypto.SignerOpts = suite.CryptoHash
			if suite.RSA() {
				options = signer.PSSOptions(suite)
			}
			var asked *kms.SignInput
			client := fake{
				answer(t, private.Public(), types.KeySpec(keySpecs[spec]), types.KeyUsageTypeSignVerify),
				func(_ context.Context, in *kms.SignInput) (*kms.SignOutput, error) {
					asked = in
					signature, err := private.Sign(rand.Reader, in.Message, options)
					return &kms.SignOutput{Signature: signature}, err
				},
			}.plugin()
			_, err := client.GenerateSignature(t.Context(), &protocol.GenerateSignatureRequest{KeyID: "alias/k", KeySpec: spec, Hash: suite.Hash, Payload: []byte("x"), Purpose: protocol.PurposeCSR})
			if err != nil {
				t.Fatal(err)
			}
			algorithm := "ECDSA_SHA_"
			if suite.RSA() {
				algorithm = "RSASSA_PSS_SHA_"
			}
			algorithm += strings.TrimPrefix(string(suite.Hash), "SHA-")
			if asked.MessageType != types.MessageTypeDigest || string(asked.SigningAlgorithm) != algorithm || len(asked.Message) != suite.CryptoHash.Size() ||
				aws.ToString(asked.KeyId) != "arn:aws:kms:us-east-2:111122223333:key/k" {
				t.Errorf("%s %s, %d bytes, key %s", asked.MessageType, asked.SigningAlgorithm, len(asked.Message), aws.ToString(asked.KeyId))
			}
		})
	}
}

func TestOddAnswers(t *testing.T) {
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	agreement, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256 := testpki.Key(t, protocol.KeySpecEC256).Public()
	good := answer(t, p256, types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify)
	signs := func(signature []byte) func(context.Context, *kms.SignInput) (*kms.SignOutput, error) {
		return func(context.Context, *kms.SignInput) (*kms.SignOutput, error) {
			return &kms.SignOutput{Signature: signature}, nil
		}
	}
	for _, c := range []struct {
		name string
		fake fake
		code protocol.ErrorCode
		want string
	}{
		{"key to agree on secrets", fake{answer(t, agreement.PublicKey(), types.KeySpecEccNistP256, types.KeyUsageTypeKeyAgreement), nil}, protocol.CodeValidation, "usage is KEY_AGREEMENT"},
		{"Edwards curve", fake{answer(t, edwards, types.KeySpecEccNistEdwards25519, types.KeyUsageTypeSignVerify), nil}, protocol.CodeValidation, "it is of spec ECC_NIST_EDWARDS25519: signing keys are RSA_2048"},
		{"lattice", fake{answer(t, []byte{0x30, 0}, types.KeySpecMlDsa44, types.KeyUsageTypeSignVerify), nil}, protocol.CodeValidation, "it is of spec ML_DSA_44"},
		{"no name", fake{func() (*kms.GetPublicKeyOutput, error) { o, err := good(); o.KeyId = nil; return o, err }, nil}, protocol.CodeGeneric, "does not say which key"},
		{"no signature", fake{good, signs(nil)}, protocol.CodeGeneric, "DER"},
		{"signature of fixed length", fake{good, signs(make([]byte, 64))}, protocol.CodeGeneric, "DER"},
		{"signature of another key", fake{good, signs([]byte{0x30, 6, 2, 1, 1, 2, 1, 1})}, protocol.CodeGeneric, "does not verify"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := generate(t, c.fake.plugin(), "alias/k", nil)
			plugintest.WantError(t, err, c.code, c.want, "alias/k")
		})
	}
}

func TestPatience(t *testing.T) {
	hang := func(ctx context.Context, _ *kms.SignInput) (*kms.SignOutput, error) {
		<-ctx.Done()
		return nil, &aws.RequestCanceledError{Err: ctx.Err()}
	}
	public := answer(t, testpki.Key(t, protocol.KeySpecEC256).Public(), types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify)
	synctest.Test(t, func(t *testing.T) {
		client := fake{public, hang}.plugin()
		_, err := generate(t, client, "alias/k", nil)
		plugintest.WantError(t, err, protocol.CodeTimeout, "no answer within 1m0s")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		k := &key{service: &service{api: fake{public, hang}, timeout: time.Minute}, denied: func() {}}
		suite, _ := protocol.SuiteOf(protocol.KeySpecEC256)
		if _, err := k.Sign(ctx, suite, make([]byte, 32)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the host's deadline: %v", err)
		}
	})
}

// apiError is an answer of AWS.
func apiError(status int, code, message string) error {
	return fmt.Errorf("operation error: %w", &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}},
		Err:      &smithy.GenericAPIError{Code: code, Message: message},
	}})
}

func TestFailure(t *testing.T) {
	sent := func(cause error) error { return &url.Error{Op: "Post", URL: "https://kms", Err: cause} }
	for _, c := range []struct {
		name string
		err  error
		code protocol.ErrorCode
		want string
	}{
		{"denied", apiError(400, "AccessDeniedException", "User: u is not authorized"), protocol.CodeAccessDenied, "User: u is not authorized: the permission kms:Sign is missing"},
		{"unknown client", apiError(400, "UnrecognizedClientException", "The security token included in the request is invalid."), protocol.CodeAccessDenied, "is invalid: the credentials are wrong"},
		{"expired", apiError(400, "ExpiredTokenException", "The security token included in the request is expired"), protocol.CodeAccessDenied, "log in again"},
		{"signature", apiError(400, "InvalidSignatureException", "x-amz-security-token:hunter2"), protocol.CodeAccessDenied, "check the secret access key"},
		{"an unknown 403", apiError(403, "Curious", "why"), protocol.CodeAccessDenied, "Curious, why"},
		{"throttled", apiError(400, "ThrottlingException", "Rate exceeded"), protocol.CodeThrottled, "Rate exceeded"},
		{"too many", apiError(400, "RequestLimitExceeded", ""), protocol.CodeThrottled, "RequestLimitExceeded"},
		{"an unknown 429", apiError(429, "Curious", "why"), protocol.CodeThrottled, "Curious"},
		{"unavailable", apiError(503, "UnknownError", "UnknownError"), protocol.CodeThrottled, "status 503 Service Unavailable"},
		{"key unavailable", apiError(500, "KeyUnavailableException", "soon"), protocol.CodeThrottled, "soon: AWS asks to try again later"},
		{"dependency", apiError(503, "DependencyTimeoutException", "slow"), protocol.CodeTimeout, "slow"},
		{"gateway", apiError(504, "UnknownError", "UnknownError"), protocol.CodeTimeout, "status 504"},
		{"invalid", apiError(400, "ValidationException", "Digest is\ninvalid length."), protocol.CodeValidation, "Digest is invalid length"},
		{"deleted", apiError(400, "KMSInvalidStateException", "k is pending deletion."), protocol.CodeValidation, "k is pending deletion: the key is in a state"},
		{"usage", apiError(400, "InvalidKeyUsageException", ""), protocol.CodeValidation, "not made to sign"},
		{"internal", apiError(500, "KMSInternalException", "oh"), protocol.CodeGeneric, "oh"},
		{"role denied", &credentialsError{apiError(403, "AccessDenied", "no sts:AssumeRole")}, protocol.CodeAccessDenied, "get credentials: AccessDenied, no sts:AssumeRole: the credentials at hand need"},
		{"role throttled", &credentialsError{apiError(400, "Throttling", "Rate exceeded")}, protocol.CodeThrottled, "get credentials: Throttling"},
		{"role slow", &credentialsError{sent(context.DeadlineExceeded)}, protocol.CodeTimeout, "get credentials: no answer within 20s"},
		{"web identity", &credentialsError{apiError(400, "InvalidIdentityToken", "No OpenIDConnect provider found")}, protocol.CodeAccessDenied, "check AWS_WEB_IDENTITY_TOKEN_FILE"},
		{"none", &credentialsError{errors.New("no EC2 IMDS\nrole found")}, protocol.CodeAccessDenied, "there are none: set AWS_PROFILE"},
		{"time is up", sent(context.DeadlineExceeded), protocol.CodeTimeout, "no answer within 20s"},
		{"network is slow", sent(&net.OpError{Op: "dial", Err: &net.DNSError{IsTimeout: true}}), protocol.CodeTimeout, "no answer within 20s"},
		{"unknown authority", sent(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}), protocol.CodeGeneric, "AWS_CA_BUNDLE"},
		{"no such host", sent(&net.DNSError{Err: "no such host", Name: "kms.us-moon-1"}), protocol.CodeGeneric, "check the region"},
		{"anything else", errors.New("strange"), protocol.CodeGeneric, "no answer: strange"},
	} {
		t.Run("PLG-12 "+c.name, func(t *testing.T) {
			s := &service{timeout: 20 * time.Second, place: "region us-east-2"}
			failure := s.failure(sign, "alias/k", c.err)
			plugintest.WantError(t, failure, c.code, c.want, "sign with key alias/k in region us-east-2: ")
			if strings.Contains(failure.Message, "hunter2") {
				t.Errorf("a secret in %q", failure.Message)
			}
		})
	}
}
