package awskms

import (
	"context"
	"crypto"
	"crypto/x509"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// key is one key of KMS.
type key struct {
	service *service
	id      string // as the host has it
	// denied is called when the credentials are refused.
	denied func()

	mu sync.Mutex
	// arn is that of the key whose public key was read: the one that an alias
	// pointed to then. "" until it is read.
	arn string
}

// PublicKey reads the public key and remembers whose it is.
func (k *key) PublicKey(ctx context.Context) (crypto.PublicKey, error) {
	limited, cancel := context.WithTimeout(ctx, k.service.timeout)
	defer cancel()
	answer, err := k.service.api.GetPublicKey(limited, &kms.GetPublicKeyInput{KeyId: &k.id})
	if err != nil {
		return nil, k.failure(ctx, getPublicKey, err)
	}
	if answer.KeyUsage != types.KeyUsageTypeSignVerify {
		return nil, k.invalid("its usage is %s, not %s: it cannot sign, and the usage of a key cannot be changed", answer.KeyUsage, types.KeyUsageTypeSignVerify)
	}
	public, err := x509.ParsePKIXPublicKey(answer.PublicKey)
	if err == nil {
		_, err = protocol.SuiteForKey(public)
	}
	if err != nil {
		return nil, k.invalid("it is of spec %s: signing keys are RSA_2048, RSA_3072, RSA_4096, ECC_NIST_P256, ECC_NIST_P384 or ECC_NIST_P521 (%w)", answer.KeySpec, err)
	}
	arn := aws.ToString(answer.KeyId)
	if arn == "" {
		return nil, protocol.Errorf(protocol.CodeGeneric, "%s key %s in %s: the answer does not say which key it is", getPublicKey.what, k.id, k.service.place)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.arn = arn
	return public, nil
}

// Sign has the digest signed by just the key whose public key was given, even if
// an alias points to another one by now.
func (k *key) Sign(ctx context.Context, suite protocol.Suite, digest []byte) ([]byte, error) {
	k.mu.Lock()
	arn := k.arn
	k.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, k.service.timeout)
	defer cancel()
	answer, err := k.service.api.Sign(limited, &kms.SignInput{
		KeyId:       &arn,
		Message:     digest,
		MessageType: types.MessageTypeDigest,
		// RSASSA-PSS-SHA-256 is RSASSA_PSS_SHA_256: salt as long as the hash.
		SigningAlgorithm: types.SigningAlgorithmSpec(strings.ReplaceAll(string(suite.Algorithm), "-", "_")),
	})
	if err != nil {
		return nil, k.failure(ctx, sign, err)
	}
	if suite.RSA() {
		return answer.Signature, nil
	}
	signature, err := signer.FixedSignature(suite, answer.Signature)
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeGeneric, "%s key %s in %s: %w", sign.what, k.id, k.service.place, err)
	}
	return signature, nil
}

// invalid makes the answer for a key that can't be used; format says why.
func (k *key) invalid(format string, args ...any) error {
	return protocol.Errorf(protocol.CodeValidation, "key %s in %s: "+format, append([]any{k.id, k.service.place}, args...)...)
}
