package host

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// requestAlgorithms are the signature algorithms of certificate requests.
var requestAlgorithms = map[protocol.SignatureAlgorithm]x509.SignatureAlgorithm{
	protocol.AlgorithmPSS256: x509.SHA256WithRSAPSS, protocol.AlgorithmPSS384: x509.SHA384WithRSAPSS, protocol.AlgorithmPSS512: x509.SHA512WithRSAPSS,
	protocol.AlgorithmECDSA256: x509.ECDSAWithSHA256, protocol.AlgorithmECDSA384: x509.ECDSAWithSHA384, protocol.AlgorithmECDSA512: x509.ECDSAWithSHA512,
}

// CertificateRequest makes a PKCS#10 request (RFC 2986) for key, signed by it, as
// DER. RSA keys sign with RSASSA-PSS; the key is labelled rsaEncryption. The
// signature is verified before the request is returned.
func CertificateRequest(key crypto.Signer, subject pkix.Name) ([]byte, error) {
	suite, err := protocol.SuiteForKey(key.Public())
	if err != nil {
		return nil, err
	}
	template := &x509.CertificateRequest{Subject: subject, SignatureAlgorithm: requestAlgorithms[suite.Algorithm]}
	return x509.CreateCertificateRequest(rand.Reader, template, key)
}

// PluginCertificateRequest is [CertificateRequest] for a plugin's key id, which takes
// the extension publicKey.v1. config reaches the plugin with every request. What the
// plugin does wrong is a [*PluginSignError].
func PluginCertificateRequest(ctx context.Context, client *protocol.Client, id string, config map[string]string, subject pkix.Name) ([]byte, error) {
	key, err := newRequestSigner(ctx, client, id, config)
	if err != nil {
		return nil, err
	}
	return CertificateRequest(key, subject)
}

// PluginPublicKey asks a plugin for the public key of its key id, which takes the
// extension publicKey.v1. Errors are [*PluginSignError].
func PluginPublicKey(ctx context.Context, client *protocol.Client, id string, config map[string]string) (crypto.PublicKey, error) {
	key, err := newRequestSigner(ctx, client, id, config)
	if err != nil {
		return nil, err
	}
	return key.public, nil
}

// requestSigner signs one certificate request, during ctx, with a plugin's key. It is
// a [crypto.MessageSigner]: the request goes to the plugin whole.
type requestSigner struct {
	ctx    context.Context
	client *protocol.Client
	id     string
	config map[string]string
	suite  protocol.Suite
	public crypto.PublicKey
}

// newRequestSigner asks the plugin for the key's public half.
func newRequestSigner(ctx context.Context, client *protocol.Client, id string, config map[string]string) (*requestSigner, error) {
	fail := func(err error) (*requestSigner, error) {
		return nil, &PluginSignError{Plugin: client.Name(), Err: err}
	}
	metadata, err := client.GetMetadata(ctx, &protocol.GetMetadataRequest{PluginConfig: config})
	if err != nil {
		return fail(err)
	}
	if !slices.Contains(metadata.Extensions, protocol.ExtensionPublicKey) {
		return fail(fmt.Errorf("plugin %s %s does not give out public keys: it does not list the extension %s", metadata.Name, metadata.Version, protocol.ExtensionPublicKey))
	}
	described, err := client.DescribeKey(ctx, &protocol.DescribeKeyRequest{KeyID: id, PluginConfig: config})
	if err != nil {
		return fail(err)
	}
	public, err := x509.ParsePKIXPublicKey(described.PublicKey)
	if err != nil {
		return fail(fmt.Errorf("describe-key returned a public key that cannot be read: %w", err))
	}
	suite, err := protocol.SuiteForKey(public)
	if err != nil {
		return fail(fmt.Errorf("describe-key returned an unsupported public key: %w", err))
	}
	if suite.KeySpec != described.KeySpec {
		return fail(fmt.Errorf("describe-key returned a public key of type %s for a key of type %s", suite.KeySpec, described.KeySpec))
	}
	return &requestSigner{ctx, client, id, config, suite, public}, nil
}

func (s *requestSigner) Public() crypto.PublicKey { return s.public }

// Sign refuses: plugins sign messages, not digests.
func (s *requestSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("a plugin's key signs messages, not digests")
}

// SignMessage has the plugin sign the request. opts must ask for the key's own
// algorithm; the signature of an ECDSA key is DER.
func (s *requestSigner) SignMessage(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts.HashFunc() != s.suite.CryptoHash {
		return nil, fmt.Errorf("a key of type %s signs with %s", s.suite.KeySpec, s.suite.Hash)
	}
	answer, err := s.client.GenerateSignature(s.ctx, &protocol.GenerateSignatureRequest{
		KeyID: s.id, KeySpec: s.suite.KeySpec, Hash: s.suite.Hash, Payload: message, Purpose: protocol.PurposeCSR, PluginConfig: s.config,
	})
	if err != nil {
		return nil, &PluginSignError{Plugin: s.client.Name(), Err: err}
	}
	if s.suite.RSA() {
		return answer.Signature, nil
	}
	return signer.DERSignature(s.suite, answer.Signature)
}
