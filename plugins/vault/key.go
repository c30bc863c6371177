package vault

import (
	"cmp"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/semaphore"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// key is a transit key, of which one version signs.
type key struct {
	server *server
	id     string // as the host has it
	path   keyPath
	// ownChain says that the certificates kept with the key count, because the
	// user names no file of others.
	ownChain bool

	turn     *semaphore.Weighted // of 1; guards versions
	versions []version           // newest first; nil until they are read
}

// version is one version of a key. Version 1 is the first.
type version struct {
	number int
	public crypto.PublicKey
	chain  string // PEM, "" for none
}

var (
	_ signer.Selector          = (*key)(nil)
	_ signer.CertificateSource = (*key)(nil)
)

// transitKey is the answer to a read of a key. What keys holds depends on the
// type: an object for each version of an asymmetric key, a number for others.
type transitKey struct {
	Type            string                     `json:"type"`
	SupportsSigning bool                       `json:"supports_signing"`
	MinSigning      int                        `json:"min_encryption_version"` // versions below don't sign; 0 for all
	Keys            map[string]json.RawMessage `json:"keys"`
}

// read returns the versions of the key that may sign: all, or the one that the
// key id names.
func (k *key) read(ctx context.Context) ([]version, error) {
	if err := k.turn.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer k.turn.Release(1)
	if k.versions != nil {
		return k.versions, nil
	}
	data, err := k.server.do(ctx, request{what: "read key " + k.id, path: k.path.readPath()})
	if err != nil {
		return nil, err
	}
	if data == nil {
		return nil, k.invalid("there is no key %q, or no transit engine at %q", k.path.name, k.path.mount)
	}
	var answer transitKey
	if err := decode(data, &answer); err != nil {
		return nil, protocol.Errorf(protocol.CodeGeneric, "read key %s at %s: %w", k.id, k.server, err)
	}
	if !answer.SupportsSigning {
		return nil, k.invalid("it is of type %s, which cannot sign", answer.Type)
	}
	versions, err := k.parseVersions(answer)
	if err != nil {
		return nil, err
	}
	k.versions = versions
	return versions, nil
}

func (k *key) parseVersions(answer transitKey) ([]version, error) {
	var versions []version
	for text, encoded := range answer.Keys {
		number, err := strconv.Atoi(text)
		if err != nil || number < 1 {
			return nil, protocol.Errorf(protocol.CodeGeneric, "read key %s at %s: %q is not a version", k.id, k.server, text)
		}
		if k.path.version != 0 && number != k.path.version || number < answer.MinSigning {
			continue
		}
		var v struct {
			PublicKey        string `json:"public_key"`
			CertificateChain string `json:"certificate_chain"`
		}
		if err := json.Unmarshal(encoded, &v); err != nil {
			return nil, k.invalid("it is of type %s, which has no public key", answer.Type)
		}
		public, err := parsePublicKey(v.PublicKey)
		if err != nil {
			return nil, k.invalid("it is of type %s: %w: signing keys are rsa-2048, rsa-3072, rsa-4096, ecdsa-p256, ecdsa-p384 or ecdsa-p521", answer.Type, err)
		}
		versions = append(versions, version{number, public, v.CertificateChain})
	}
	if len(versions) == 0 {
		if k.path.version != 0 {
			return nil, k.invalid("there is no version %d that may sign; min_encryption_version is %d", k.path.version, answer.MinSigning)
		}
		return nil, k.invalid("it has no version that may sign")
	}
	slices.SortFunc(versions, func(a, b version) int { return cmp.Compare(b.number, a.number) })
	return versions, nil
}

func parsePublicKey(text string) (crypto.PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("the server answers no PEM public key for it")
	}
	if block.Type == "RSA PUBLIC KEY" {
		return x509.ParsePKCS1PublicKey(block.Bytes)
	}
	return x509.ParsePKIXPublicKey(block.Bytes)
}

// invalid makes the answer for a key that can't be used; format says why.
func (k *key) invalid(format string, args ...any) error {
	return protocol.Errorf(protocol.CodeValidation, "key %s at %s: "+format, append([]any{k.id, k.server}, args...)...)
}

// Certificates returns those of the KV entry, or those kept with the newest
// version that has any.
func (k *key) Certificates(ctx context.Context) ([]*x509.Certificate, error) {
	if kv := k.server.settings.kv; kv != nil {
		return k.readKV(ctx, *kv)
	}
	if !k.ownChain {
		return nil, nil
	}
	versions, err := k.read(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		if v.chain == "" {
			continue
		}
		certs, err := signer.ParseCertificates([]byte(v.chain))
		if err != nil {
			return nil, k.invalid("certificate chain of version %d: %w", v.number, err)
		}
		return certs, nil
	}
	return nil, nil
}

// readKV reads certificates from an entry of a KV engine of either version.
func (k *key) readKV(ctx context.Context, kv kvPath) ([]*x509.Certificate, error) {
	data, err := k.server.do(ctx, request{what: "read the certificates of key " + k.id, path: kv.path})
	if err != nil {
		return nil, err
	}
	if nested, ok := data["data"].(map[string]any); ok && data["metadata"] != nil { // version 2
		data = nested
	}
	text, ok := data[kv.field].(string)
	if !ok {
		return nil, k.invalid("plugin config %s: there is no text %q in a KV entry at %q (in version 2 of KV the path has data/ after the mount)", ConfigKV, kv.field, kv.path)
	}
	certs, err := signer.ParseCertificates([]byte(text))
	if err != nil {
		return nil, k.invalid("plugin config %s: %w", ConfigKV, err)
	}
	return certs, nil
}

// Select returns the newest version with one of the certificates.
func (k *key) Select(ctx context.Context, certs []*x509.Certificate) (signer.Key, error) {
	versions, err := k.read(ctx)
	if err != nil {
		return nil, err
	}
	var numbers []string
	for _, v := range versions {
		if slices.ContainsFunc(certs, func(c *x509.Certificate) bool { return signer.SamePublicKey(c.PublicKey, v.public) }) {
			return &key{server: k.server, id: k.id, path: k.path, turn: semaphore.NewWeighted(1), versions: []version{v}}, nil
		}
		numbers = append(numbers, strconv.Itoa(v.number))
	}
	const shown = 10
	if len(numbers) > shown {
		numbers = append(numbers[:shown], "…")
	}
	return nil, k.invalid("none of the %d certificates is for one of its versions (%s)", len(certs), strings.Join(numbers, ", "))
}

// PublicKey returns the public key of the version that signs.
func (k *key) PublicKey(ctx context.Context) (crypto.PublicKey, error) {
	versions, err := k.read(ctx)
	if err != nil {
		return nil, err
	}
	return versions[0].public, nil
}

// Sign has the digest signed by just the version whose public key was given.
func (k *key) Sign(ctx context.Context, suite protocol.Suite, digest []byte) ([]byte, error) {
	versions, err := k.read(ctx)
	if err != nil {
		return nil, err
	}
	number := versions[0].number
	body := map[string]any{
		"input":          base64.StdEncoding.EncodeToString(digest),
		"prehashed":      true,
		"hash_algorithm": strings.ToLower(strings.Replace(string(suite.Hash), "SHA-", "sha2-", 1)),
		"key_version":    number,
	}
	if suite.RSA() {
		body["signature_algorithm"], body["salt_length"] = "pss", "hash"
	} else {
		body["marshaling_algorithm"] = "asn1"
	}
	data, err := k.server.do(ctx, request{what: fmt.Sprintf("sign with version %d of key %s", number, k.id), path: k.path.signPath(), body: body})
	if err != nil {
		return nil, err
	}
	text, _ := data["signature"].(string)
	signature, err := parseSignature(text, number)
	if err == nil && !suite.RSA() {
		signature, err = signer.FixedSignature(suite, signature)
	}
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeGeneric, "sign with key %s at %s: %w", k.id, k.server, err)
	}
	return signature, nil
}

// parseSignature reads "vault:v3:BASE64" of the version asked for.
func parseSignature(text string, number int) ([]byte, error) {
	prefix, encoded, _ := strings.Cut(strings.TrimPrefix(text, "vault:"), ":")
	if !strings.HasPrefix(text, "vault:v") || encoded == "" {
		return nil, errors.New("the answer holds no signature of the form vault:vN:…")
	}
	if prefix != "v"+strconv.Itoa(number) {
		return nil, fmt.Errorf("version %d was to sign, %.20q did", number, prefix)
	}
	signature, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, errors.New("the signature is not base64")
	}
	return signature, nil
}

// decode turns parsed JSON into a struct.
func decode(data map[string]any, into any) error {
	encoded, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return json.Unmarshal(encoded, into)
}
