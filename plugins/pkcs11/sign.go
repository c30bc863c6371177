//go:build cgo

package pkcs11

import (
	"crypto"
	"slices"

	cryptoki "github.com/miekg/pkcs11"

	"github.com/signet-project/signet/protocol"
)

// input is what to sign. message is nil where only the digest is known.
type input struct{ digest, message []byte }

// privateKey is a private key as one generation of sessions knows it.
type privateKey struct {
	handle             cryptoki.ObjectHandle
	generation         int
	mechanisms         []mechanism // that the token has, the best first
	alwaysAuthenticate bool
}

// mechanism is one way to make a signature.
type mechanism struct {
	kind  uint
	param any // nil or the encoded parameters
	// hashes says that the token hashes the message itself.
	hashes bool
}

// pss names hash, mask generation and combined mechanism for a hash.
var pss = map[crypto.Hash]struct{ hash, mgf, combined uint }{
	crypto.SHA256: {cryptoki.CKM_SHA256, cryptoki.CKG_MGF1_SHA256, cryptoki.CKM_SHA256_RSA_PKCS_PSS},
	crypto.SHA384: {cryptoki.CKM_SHA384, cryptoki.CKG_MGF1_SHA384, cryptoki.CKM_SHA384_RSA_PKCS_PSS},
	crypto.SHA512: {cryptoki.CKM_SHA512, cryptoki.CKG_MGF1_SHA512, cryptoki.CKM_SHA512_RSA_PKCS_PSS},
}

var ecdsaCombined = map[crypto.Hash]uint{
	crypto.SHA256: cryptoki.CKM_ECDSA_SHA256,
	crypto.SHA384: cryptoki.CKM_ECDSA_SHA384,
	crypto.SHA512: cryptoki.CKM_ECDSA_SHA512,
}

// mechanisms returns the ways the token has to make a suite's signatures:
// preferably over a digest, otherwise hashing on the token.
func (s *session) mechanisms(slot uint, suite protocol.Suite) ([]mechanism, error) {
	list, err := s.GetMechanismList(slot)
	if err != nil {
		return nil, err
	}
	wanted := []mechanism{{kind: cryptoki.CKM_ECDSA}, {kind: ecdsaCombined[suite.CryptoHash], hashes: true}}
	if suite.RSA() {
		names := pss[suite.CryptoHash]
		params := cryptoki.NewPSSParams(names.hash, names.mgf, uint(suite.CryptoHash.Size()))
		wanted = []mechanism{{cryptoki.CKM_RSA_PKCS_PSS, params, false}, {names.combined, params, true}}
	}
	var found []mechanism
	for _, m := range wanted {
		if slices.ContainsFunc(list, func(has *cryptoki.Mechanism) bool { return has.Mechanism == m.kind }) {
			found = append(found, m)
		}
	}
	return found, nil
}

// sign makes a signature in the contract's form, which is the one PKCS #11 has
// too: r‖s of fixed length for ECDSA (v2.40, section 2.3.1). A key may refuse a
// mechanism that its token has (CKA_ALLOWED_MECHANISMS); then the next is tried.
func (k *privateKey) sign(s *session, in input, authenticate func(*session) error) ([]byte, error) {
	var err error
	for _, m := range k.mechanisms {
		data := in.digest
		if m.hashes {
			if data = in.message; data == nil {
				continue
			}
		}
		if err = s.SignInit(s.handle, []*cryptoki.Mechanism{cryptoki.NewMechanism(m.kind, m.param)}, k.handle); err != nil {
			if isCKR(err, cryptoki.CKR_MECHANISM_INVALID) {
				continue
			}
			return nil, err
		}
		if k.alwaysAuthenticate {
			if err = authenticate(s); err != nil {
				return nil, err
			}
		}
		return s.Sign(s.handle, data)
	}
	if err == nil {
		err = cryptoki.Error(cryptoki.CKR_MECHANISM_INVALID)
	}
	return nil, err
}
