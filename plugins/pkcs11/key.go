//go:build cgo

package pkcs11

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	cryptoki "github.com/miekg/pkcs11"
	"golang.org/x/sync/semaphore"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// candidate is a key pair that the key id matches.
type candidate struct {
	id     []byte // CKA_ID
	label  string
	public crypto.PublicKey
}

func (c candidate) String() string {
	return fmt.Sprintf("object=%s;id=%s", c.label, encodeID(c.id))
}

// key is what a key id leads to on a token: one key pair, or several of which
// the certificate decides.
type key struct {
	modules    *modules
	token      *token
	at         *location
	candidates []candidate
	certs      []*x509.Certificate
	// unusable says why a key that was found is not a candidate.
	unusable error

	turn   *semaphore.Weighted // of 1; guards opened
	opened *privateKey
}

var (
	_ signer.Selector          = (*key)(nil)
	_ signer.CertificateSource = (*key)(nil)
	_ signer.MessageSigner     = (*key)(nil)
)

// findKey looks for public keys and certificates that the URI matches, and only
// when there are none logs in to look for private keys. So describing a key
// needs no PIN as a rule.
func findKey(ctx context.Context, ms *modules, t *token, l *location) (*key, error) {
	k := &key{modules: ms, token: t, at: l, turn: semaphore.NewWeighted(1)}
	err := t.with(ctx, func(s *session) error {
		pool, err := s.readPublic(l.uri)
		if err != nil {
			return describe(err, k.failed("find"))
		}
		k.candidates = pool.matching(l.uri)
		if len(k.candidates) == 0 {
			if err := t.login(ctx, s, l.pin); err != nil {
				return err
			}
			if pool, err = s.readPublic(l.uri); err != nil {
				return describe(err, k.failed("find"))
			}
			if k.candidates, err = s.readPrivate(l.uri, pool); err != nil {
				return describe(err, k.failed("find"))
			}
		}
		k.certs, k.unusable = pool.relevant(k.candidates), pool.unusable
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case len(k.candidates) > 0:
		return k, nil
	case k.unusable != nil:
		return nil, protocol.Errorf(protocol.CodeValidation, "key %s on %s: %w", l.keyID, t, k.unusable)
	}
	return nil, protocol.Errorf(protocol.CodeValidation, "key %s: %s has no such key: list what it has with pkcs11-tool --list-objects --login", l.keyID, t)
}

// failed says what failed.
func (k *key) failed(what string) string {
	return fmt.Sprintf("%s key %s on %s", what, k.at.keyID, k.token)
}

// PublicKey returns the public key of the only candidate.
func (k *key) PublicKey(context.Context) (crypto.PublicKey, error) {
	if len(k.candidates) > 1 {
		names := make([]string, len(k.candidates))
		for i, c := range k.candidates {
			names[i] = c.String()
		}
		return nil, protocol.Errorf(protocol.CodeValidation, "key %s: %d keys on %s match, say which one by id= or object= in the key id: %s",
			k.at.keyID, len(names), k.token, strings.Join(names, ", "))
	}
	return k.candidates[0].public, nil
}

// Select returns, of several candidates, the one with the newest certificate.
func (k *key) Select(_ context.Context, certs []*x509.Certificate) (signer.Key, error) {
	if len(k.candidates) == 1 {
		return k, nil
	}
	newestFirst := slices.SortedFunc(slices.Values(certs), func(a, b *x509.Certificate) int { return b.NotBefore.Compare(a.NotBefore) })
	for _, cert := range newestFirst {
		for _, c := range k.candidates {
			if signer.SamePublicKey(cert.PublicKey, c.public) {
				return &key{modules: k.modules, token: k.token, at: k.at, candidates: []candidate{c}, certs: k.certs, turn: semaphore.NewWeighted(1)}, nil
			}
		}
	}
	return k, nil // PublicKey tells that there are several
}

// Certificates returns those on the token that belong to the key or issued them.
func (k *key) Certificates(context.Context) ([]*x509.Certificate, error) { return k.certs, nil }

// Sign signs a digest. The plugin is given whole messages, see SignMessage.
func (k *key) Sign(ctx context.Context, suite protocol.Suite, digest []byte) ([]byte, error) {
	return k.sign(ctx, suite, input{digest: digest})
}

// SignMessage signs a message, hashed here or, by a token that doesn't sign
// digests, there.
func (k *key) SignMessage(ctx context.Context, suite protocol.Suite, message []byte) ([]byte, error) {
	return k.sign(ctx, suite, input{digest: signer.Digest(suite, message), message: message})
}

// sign signs; when the sessions are lost, once more with new ones.
func (k *key) sign(ctx context.Context, suite protocol.Suite, in input) ([]byte, error) {
	return within(ctx, k.modules, func() ([]byte, error) {
		signature, err := k.signOnce(ctx, suite, in)
		if lost(err) {
			signature, err = k.signOnce(ctx, suite, in)
		}
		return signature, err
	})
}

func (k *key) signOnce(ctx context.Context, suite protocol.Suite, in input) (signature []byte, err error) {
	err = k.token.with(ctx, func(s *session) error {
		private, err := k.open(ctx, s, suite)
		if err != nil {
			return err
		}
		if private.alwaysAuthenticate {
			if err := k.token.alone.Acquire(ctx, 1); err != nil {
				return err
			}
			defer k.token.alone.Release(1)
		}
		signature, err = private.sign(s, in, k.authenticate)
		return describe(err, k.failed("sign with"))
	})
	return signature, err
}

// open returns the private key, found once in a generation of sessions.
func (k *key) open(ctx context.Context, s *session, suite protocol.Suite) (*privateKey, error) {
	if err := k.turn.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer k.turn.Release(1)
	if k.opened != nil && k.opened.generation == s.generation {
		return k.opened, k.token.login(ctx, s, k.at.pin)
	}
	if err := k.token.login(ctx, s, k.at.pin); err != nil {
		return nil, err
	}
	c := k.candidates[0]
	handle, err := s.findPrivate(c)
	if errors.Is(err, errNoPrivateKey) {
		return nil, protocol.Errorf(protocol.CodeValidation, "key %s: %s has the public key or certificate %s, but no private key with that id", k.at.keyID, k.token, c)
	}
	if err != nil {
		return nil, describe(err, k.failed("find the private half of"))
	}
	mechanisms, err := s.mechanisms(k.token.slot.id, suite)
	if err != nil {
		return nil, describe(err, k.failed("choose a mechanism for"))
	}
	if len(mechanisms) == 0 {
		return nil, protocol.Errorf(protocol.CodeValidation, "key %s: %s cannot make %s signatures: it has no mechanism for them", k.at.keyID, k.token, suite.Algorithm)
	}
	k.opened = &privateKey{
		handle: handle, generation: s.generation, mechanisms: mechanisms,
		alwaysAuthenticate: s.flag(handle, cryptoki.CKA_ALWAYS_AUTHENTICATE),
	}
	return k.opened, nil
}

// authenticate gives the PIN once more, for one signature with a key that wants
// it each time (PIV slot 9c).
func (k *key) authenticate(s *session) error {
	k.token.mu.Lock()
	defer k.token.mu.Unlock()
	err := s.Login(s.handle, cryptoki.CKU_CONTEXT_SPECIFIC, k.token.pin)
	if isCKR(err, cryptoki.CKR_PIN_INCORRECT) { // changed meanwhile: not tried again
		k.token.wrongPIN, k.token.pin, k.token.loggedIn = k.token.pin, "", false
	}
	return err
}
