package conformance

import (
	"context"
	"crypto"
	"crypto/x509"
	"fmt"

	"github.com/signet-project/signet/protocol"
)

// description is what describe-key said of a key.
type description struct {
	suite protocol.Suite
	// public is nil when the plugin does not say.
	public crypto.PublicKey
}

func (k *kit) describeRequest(key string) fields {
	return k.base().with(fields{"keyId": key})
}

// suite returns the algorithms of a key, or of any key when they are not known.
func (k *kit) suite(key string) protocol.Suite {
	if described, ok := k.described[key]; ok {
		return described.suite
	}
	suite, _ := protocol.SuiteOf(protocol.KeySpecEC256)
	return suite
}

// offersPublicKey tells whether the plugin lists the extension.
func (k *kit) offersPublicKey() bool {
	for _, extension := range k.claims.Extensions {
		if extension == protocol.ExtensionPublicKey {
			return true
		}
	}
	return false
}

// describe judges describe-key for each key.
func (k *kit) describe(ctx context.Context) {
	if !k.offersPublicKey() {
		k.leave(NotApplicable, "the plugin does not list publicKey.v1", "public-key.")
	}
	if !k.can(protocol.CapabilitySignatureGenerator, protocol.CapabilityBlobEnvelopeGenerator) {
		k.leave(NotApplicable, "no capability of the plugin takes describe-key", "describe.")
		return
	}
	for _, key := range k.opts.Keys {
		r := k.ask(ctx, protocol.CommandDescribeKey, k.describeRequest(key))
		if r.fault != "" {
			k.spoil(key, r, "describe.")
			continue
		}
		if k.expectFor(key, "describe.answers", r.answer != nil, "an answer", r.String()) {
			k.judgeDescription(key, r)
		}
		k.leaveFor(key, NotRun, noDescription, "describe.", "public-key.describe")
	}
	k.leave(NotRun, ReasonNoKey, "describe.", "public-key.describe")
}

// noDescription is the reason of results that take a sound answer to describe-key.
const noDescription = "describe-key gave no sound answer"

func (k *kit) judgeDescription(key string, r *reply) {
	answer := decode[protocol.DescribeKeyResponse](k, protocol.CommandDescribeKey, r)
	if answer == nil {
		return
	}
	k.expectFor(key, "describe.key-id", answer.KeyID == key, fmt.Sprintf("keyId %q", key), fmt.Sprintf("keyId %q", answer.KeyID))
	suite, known := protocol.SuiteOf(answer.KeySpec)
	if !k.expectFor(key, "describe.key-spec", known, "RSA-2048, RSA-3072, RSA-4096, EC-256, EC-384 or EC-521", fmt.Sprintf("keySpec %q", answer.KeySpec)) {
		return
	}
	described := description{suite: suite}
	if k.offersPublicKey() {
		public, err := x509.ParsePKIXPublicKey(answer.PublicKey)
		actual, _ := protocol.SuiteForKey(public)
		seen := fmt.Sprintf("a public key of %s", actual.KeySpec)
		if err != nil {
			seen = fmt.Sprintf("publicKey: %v", err)
		}
		if k.expectFor(key, "public-key.describe", err == nil && actual.KeySpec == suite.KeySpec, "a SubjectPublicKeyInfo in DER, of "+string(suite.KeySpec), seen) {
			described.public = public
		}
	}
	k.described[key] = described
}

// unknownKey judges what happens to a key id that does not exist.
func (k *kit) unknownKey(ctx context.Context, command protocol.Command, request fields) {
	if len(k.opts.Keys) == 0 {
		k.leave(NotRun, ReasonNoKey, "key.unknown")
		return
	}
	id := k.opts.UnknownKey
	if id == "" {
		id = k.opts.Keys[0] + "-conformance-no-such-key"
	}
	r := k.ask(ctx, command, request.with(fields{"keyId": id}))
	switch {
	case r.fault != "":
		k.spoil("", r, "key.unknown")
	case r.failure != nil && !r.failure.Code.Known():
		k.leave(NotRun, "error.code does not hold", "key.unknown")
	case r.refused(protocol.CodeAccessDenied):
		k.leave(NotApplicable, "the key service does not tell whether a key exists: "+r.String(), "key.unknown")
	default:
		k.expect("key.unknown", r.refused(protocol.CodeValidation), fmt.Sprintf("%s: the error VALIDATION_ERROR", sent(command, fmt.Sprintf("keyId %q", id))), r.String())
	}
}
