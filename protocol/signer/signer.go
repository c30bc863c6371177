package signer

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/signet-project/signet/protocol"
)

// ConfigCertificateChain is the plugin configuration that names a PEM file with
// the key's certificate and its issuers up to the root, in any order.
const ConfigCertificateChain = "certificate_chain"

// Key is one signing key of a key service. Its methods may be called
// concurrently and return an [*protocol.Error] where the code matters to the
// host (ACCESS_DENIED, THROTTLED, TIMEOUT, VALIDATION_ERROR).
type Key interface {
	// PublicKey returns the public half: *rsa.PublicKey or *ecdsa.PublicKey. It
	// is called once for each time the key is opened.
	PublicKey(ctx context.Context) (crypto.PublicKey, error)
	// Sign signs a digest made with the suite's hash, with exactly the key
	// version that PublicKey answered. The signature has the contract's form:
	// r‖s (see FixedSignature), or RSASSA-PSS with a salt as long as the hash.
	Sign(ctx context.Context, suite protocol.Suite, digest []byte) ([]byte, error)
}

// MessageSigner is implemented by a Key whose service may want to hash what it
// signs by itself. It is used in place of Key.Sign.
type MessageSigner interface {
	// SignMessage signs a message with the suite's algorithms; its result is like
	// that of Sign for the message's digest.
	SignMessage(ctx context.Context, suite protocol.Suite, message []byte) ([]byte, error)
}

// Selector is implemented by a Key that has several versions, of which it can
// find the one that a certificate was issued for.
type Selector interface {
	// Select returns the newest version whose public key is that of one of
	// certs, among which there may be others' certificates. Where there is none,
	// the error names the versions looked at.
	Select(ctx context.Context, certs []*x509.Certificate) (Key, error)
}

// CertificateSource is implemented by a Key whose service keeps certificates
// beside it.
type CertificateSource interface {
	// Certificates returns what the service has, in any order, possibly nothing;
	// it is added to what the plugin configuration names.
	Certificates(ctx context.Context) ([]*x509.Certificate, error)
}

// Options says what a Plugin is made of. Metadata and Open are required.
type Options struct {
	// Metadata needs Name, Description, Version and URL; the rest is filled in.
	Metadata protocol.Metadata
	// Open finds the key that keyID names; config is the plugin configuration.
	// A key that does not exist is a VALIDATION_ERROR.
	Open func(ctx context.Context, keyID string, config map[string]string) (Key, error)
	// ReadFile reads the certificate file; nil reads from disk, bounded.
	ReadFile func(path string) ([]byte, error)
	// Now is the clock by which opened keys age; nil means time.Now.
	Now func() time.Time
}

// Plugin answers describe-key and generate-signature, with the extension
// publicKey.v1, for the keys of one service. In a process that lives for several
// calls an opened key serves them all for keyLifetime.
type Plugin struct {
	options Options

	mu     sync.Mutex
	opened map[string]*slot
}

const (
	keyLifetime   = 5 * time.Minute
	maxOpenedKeys = 128
)

var (
	_ protocol.KeyDescriber       = (*Plugin)(nil)
	_ protocol.SignatureGenerator = (*Plugin)(nil)
)

// New makes a Plugin.
func New(options Options) *Plugin {
	if options.ReadFile == nil {
		options.ReadFile = ReadFile
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Plugin{options: options, opened: map[string]*slot{}}
}

// GetMetadata answers with Options.Metadata, completed.
func (p *Plugin) GetMetadata(context.Context, *protocol.GetMetadataRequest) (*protocol.Metadata, error) {
	metadata := p.options.Metadata
	metadata.SupportedContractVersions = []string{protocol.ContractVersion}
	if !slices.Contains(metadata.Capabilities, protocol.CapabilitySignatureGenerator) {
		metadata.Capabilities = append(slices.Clone(metadata.Capabilities), protocol.CapabilitySignatureGenerator)
	}
	if !slices.Contains(metadata.Extensions, protocol.ExtensionPublicKey) {
		metadata.Extensions = append(slices.Clone(metadata.Extensions), protocol.ExtensionPublicKey)
	}
	return &metadata, nil
}

// DescribeKey answers with the key's spec and its public key.
func (p *Plugin) DescribeKey(ctx context.Context, request *protocol.DescribeKeyRequest) (*protocol.DescribeKeyResponse, error) {
	key, _, err := p.open(ctx, request.KeyID, request.PluginConfig)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(key.public)
	if err != nil {
		return nil, err
	}
	return &protocol.DescribeKeyResponse{KeyID: request.KeyID, KeySpec: key.suite.KeySpec, PublicKey: spki}, nil
}

// GenerateSignature signs the payload, after it has made sure that the chain is
// complete and belongs to the key. The signature is verified before it goes out,
// so that a service which signs with another version or another salt length is
// noticed here, where its name is known.
func (p *Plugin) GenerateSignature(ctx context.Context, request *protocol.GenerateSignatureRequest) (*protocol.GenerateSignatureResponse, error) {
	key, slot, err := p.open(ctx, request.KeyID, request.PluginConfig)
	if err != nil {
		return nil, err
	}
	if key.suite.KeySpec != request.KeySpec || key.suite.Hash != request.Hash {
		return nil, protocol.Errorf(protocol.CodeValidation, "key %s is of spec %s and hashes with %s: the request says %s and %s",
			request.KeyID, key.suite.KeySpec, key.suite.Hash, request.KeySpec, request.Hash)
	}
	response := &protocol.GenerateSignatureResponse{KeyID: request.KeyID, SigningAlgorithm: key.suite.Algorithm}
	if request.Purpose != protocol.PurposeCSR {
		if key.chainErr != nil {
			return nil, key.chainErr
		}
		for _, cert := range key.chain {
			response.CertificateChain = append(response.CertificateChain, cert.Raw)
		}
	}
	digest := Digest(key.suite, request.Payload)
	if service, ok := key.Key.(MessageSigner); ok {
		response.Signature, err = service.SignMessage(ctx, key.suite, request.Payload)
	} else {
		response.Signature, err = key.Sign(ctx, key.suite, digest)
	}
	if err != nil {
		slot.forget(key)
		return nil, err
	}
	if err := Verify(key.public, key.suite, digest, response.Signature); err != nil {
		slot.forget(key)
		return nil, protocol.Errorf(protocol.CodeGeneric, "the key service's signature does not verify with the public key it gave for %s: %w", request.KeyID, err)
	}
	return response, nil
}

// openedKey is a key with everything that was found out about it.
type openedKey struct {
	Key
	public   crypto.PublicKey
	suite    protocol.Suite
	chain    []*x509.Certificate
	chainErr error // why chain is empty; of no interest for a CSR
	since    time.Time
}

// slot holds the opened key of one key id and configuration. Whoever holds the
// lock may look and open; so concurrent calls open a key once.
type slot struct {
	lock chan struct{}
	key  *openedKey
}

// open returns the key of a request, opened now or not long ago.
func (p *Plugin) open(ctx context.Context, keyID string, config map[string]string) (*openedKey, *slot, error) {
	file, err := p.chainFile(config)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	missing := err // whose key may have no certificate yet
	slot, err := p.slot(keyID, config, file)
	if err != nil {
		return nil, nil, err
	}
	select {
	case slot.lock <- struct{}{}:
		defer func() { <-slot.lock }()
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	now := p.options.Now()
	if slot.key == nil || now.Sub(slot.key.since) >= keyLifetime {
		key, err := p.examine(ctx, keyID, config, file)
		if err != nil {
			return nil, nil, err
		}
		if missing != nil {
			key.chain, key.chainErr = nil, missing
		}
		key.since = now
		slot.key = key
	}
	return slot.key, slot, nil
}

// chainFile reads the file with the key's certificates; nil when none is configured.
func (p *Plugin) chainFile(config map[string]string) ([]byte, error) {
	path := config[ConfigCertificateChain]
	if path == "" {
		return nil, nil
	}
	file, err := p.options.ReadFile(path)
	if err != nil {
		code := protocol.CodeValidation
		if errors.Is(err, fs.ErrPermission) {
			code = protocol.CodeAccessDenied
		}
		return nil, protocol.Errorf(code, "plugin config %s: %w", ConfigCertificateChain, err)
	}
	return file, nil
}

// slot finds the slot of a key id, a configuration and the contents of the
// certificate file, so that a changed file opens the key anew.
func (p *Plugin) slot(keyID string, config map[string]string, file []byte) (*slot, error) {
	id, err := json.Marshal([]any{keyID, config, sha256.Sum256(file)})
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	found := p.opened[string(id)]
	if found == nil {
		if len(p.opened) >= maxOpenedKeys {
			clear(p.opened)
		}
		found = &slot{lock: make(chan struct{}, 1)}
		p.opened[string(id)] = found
	}
	return found, nil
}

// forget makes the next call open the key anew.
func (s *slot) forget(key *openedKey) {
	s.lock <- struct{}{}
	defer func() { <-s.lock }()
	if s.key == key {
		s.key = nil
	}
}

// examine opens a key and finds its version, public key, suite and chain.
func (p *Plugin) examine(ctx context.Context, keyID string, config map[string]string, file []byte) (*openedKey, error) {
	key, err := p.options.Open(ctx, keyID, config)
	if err != nil {
		return nil, err
	}
	certs, err := certificates(ctx, key, config, file)
	if err != nil {
		return nil, err
	}
	if selector, ok := key.(Selector); ok && len(certs) > 0 {
		if key, err = selector.Select(ctx, certs); err != nil {
			return nil, err
		}
	}
	opened := &openedKey{Key: key}
	if opened.public, err = key.PublicKey(ctx); err != nil {
		return nil, err
	}
	if opened.suite, err = protocol.SuiteForKey(opened.public); err != nil {
		return nil, protocol.Errorf(protocol.CodeValidation, "key %s: %w", keyID, err)
	}
	opened.chain, opened.chainErr = chainFor(keyID, opened.public, certs)
	return opened, nil
}

// certificates collects what the configured file and the key service have.
func certificates(ctx context.Context, key Key, config map[string]string, file []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	if path := config[ConfigCertificateChain]; path != "" && file != nil {
		var err error
		if certs, err = ParseCertificates(file); err != nil {
			return nil, protocol.Errorf(protocol.CodeValidation, "plugin config %s: %s: %w", ConfigCertificateChain, path, err)
		}
	}
	if source, ok := key.(CertificateSource); ok {
		more, err := source.Certificates(ctx)
		if err != nil {
			return nil, err
		}
		certs = append(certs, more...)
	}
	return certs, nil
}

func chainFor(keyID string, public crypto.PublicKey, certs []*x509.Certificate) ([]*x509.Certificate, error) {
	if len(certs) == 0 {
		return nil, protocol.Errorf(protocol.CodeValidation, "no certificate is known for key %s: name a PEM file with its chain in plugin config %s", keyID, ConfigCertificateChain)
	}
	chain, err := OrderChain(public, certs)
	if errors.Is(err, ErrNoLeaf) {
		return nil, protocol.Errorf(protocol.CodeValidation, "none of the %d certificates found belongs to key %s", len(certs), keyID)
	}
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeValidation, "key %s: %w", keyID, err)
	}
	return chain, nil
}
