package azurekv

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

const (
	maxVersions = 1000 // listed of a key
	maxReads    = 25   // of versions, in search of the one that a certificate is for
)

// key is one version of a key: that of the key id or of its certificate, or else
// the latest.
type key struct {
	vault *vault
	id    string // as the host has it
	// name and version are those of the key; a certificate's key may have others
	// than the certificate.
	name, version string
	// fixed says that the key id leaves no choice of another version.
	fixed  bool
	public crypto.PublicKey // nil where unusable says why
	certs  []*x509.Certificate
	// unusable is why this version doesn't sign; nil when it does.
	unusable error
}

var (
	_ signer.Selector          = (*key)(nil)
	_ signer.CertificateSource = (*key)(nil)
)

// readKey reads a version of a key, or the latest for "".
func (v *vault) readKey(ctx context.Context, id string, name keyName, version string) (*key, error) {
	var answer azkeys.GetKeyResponse
	err := v.do(ctx, v.onKeys("keys/get", "read key "+id), func(ctx context.Context) (err error) {
		answer, err = v.keys.GetKey(ctx, name.name, version, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	if answer.Key == nil || answer.Key.KID.Version() == "" {
		return nil, protocol.Errorf(protocol.CodeGeneric, "read key %s: the vault's answer holds no version of a key", id)
	}
	k := &key{vault: v, id: id, name: name.name, version: answer.Key.KID.Version(), fixed: name.version != ""}
	public, err := publicKey(answer.Key)
	switch {
	case err != nil:
		k.unusable = k.invalid("%w", err)
	case answer.Attributes != nil && disabled(answer.Attributes.Enabled):
		k.public, k.unusable = public, k.invalid("it is disabled: az keyvault key set-attributes --enabled true enables it")
	case len(answer.Key.KeyOps) > 0 && !slices.ContainsFunc(answer.Key.KeyOps, func(o *azkeys.KeyOperation) bool { return o != nil && *o == azkeys.KeyOperationSign }):
		k.public, k.unusable = public, k.invalid("sign is not among its permitted operations: az keyvault key set-attributes --ops sign verify adds it")
	default:
		k.public = public
	}
	return k, nil
}

// readCertificate reads a certificate, whose key signs.
func (v *vault) readCertificate(ctx context.Context, id string, name keyName) (*key, error) {
	var answer azcertificates.GetCertificateResponse
	err := v.do(ctx, request{"read certificate " + id, "certificates/get", "Key Vault Reader"}, func(ctx context.Context) (err error) {
		answer, err = v.certificates.GetCertificate(ctx, name.name, name.version, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	k := &key{vault: v, id: id, fixed: true}
	if len(answer.CER) == 0 {
		return nil, k.invalid(`it has no certificate yet: "az keyvault certificate pending show" shows the request for one, "az keyvault certificate pending merge" takes the answer`)
	}
	cert, err := x509.ParseCertificate(answer.CER)
	if err != nil {
		return nil, k.invalid("its certificate: %w", err)
	}
	k.public, k.certs = cert.PublicKey, []*x509.Certificate{cert}
	if answer.KID == nil {
		return nil, k.invalid("its key is not in the vault")
	}
	of, err := parseKeyID(string(*answer.KID))
	if err != nil || of.host != name.host || of.kind != kindKey || of.version == "" {
		return nil, protocol.Errorf(protocol.CodeGeneric, "read certificate %s: the vault's answer names %.200q as its key", id, string(*answer.KID))
	}
	k.name, k.version = of.name, of.version
	if answer.Attributes != nil && disabled(answer.Attributes.Enabled) {
		k.unusable = k.invalid("it is disabled: az keyvault certificate set-attributes --enabled true enables it")
	}
	return k, nil
}

func disabled(enabled *bool) bool { return enabled != nil && !*enabled }

// publicKey converts a key that may sign.
func publicKey(jwk *azkeys.JSONWebKey) (crypto.PublicKey, error) {
	const usable = "signing keys are RSA and RSA-HSM of 2048, 3072 or 4096 bits, EC and EC-HSM on P-256, P-384 or P-521"
	kty, crv := value(jwk.Kty), value(jwk.Crv)
	switch kty {
	case azkeys.KeyTypeRSA, azkeys.KeyTypeRSAHSM:
		e := new(big.Int).SetBytes(jwk.E)
		if len(jwk.N) == 0 || e.BitLen() > 31 || e.Int64() < 2 {
			return nil, errors.New("its public key is not one of RSA")
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(jwk.N), E: int(e.Int64())}, nil
	case azkeys.KeyTypeEC, azkeys.KeyTypeECHSM:
		curve := map[azkeys.CurveName]elliptic.Curve{
			azkeys.CurveNameP256: elliptic.P256(), azkeys.CurveNameP384: elliptic.P384(), azkeys.CurveNameP521: elliptic.P521(),
		}[crv]
		if curve == nil {
			return nil, fmt.Errorf("it is on curve %s, for which the Notary Project has no algorithm: %s", crv, usable)
		}
		size := (curve.Params().BitSize + 7) / 8
		if len(jwk.X) > size || len(jwk.Y) > size {
			return nil, fmt.Errorf("its public key is not on curve %s", crv)
		}
		point := make([]byte, 1+2*size)
		point[0] = 4 // uncompressed
		copy(point[1+size-len(jwk.X):], jwk.X)
		copy(point[1+2*size-len(jwk.Y):], jwk.Y)
		public, err := ecdsa.ParseUncompressedPublicKey(curve, point)
		if err != nil {
			return nil, fmt.Errorf("its public key is not on curve %s", crv)
		}
		return public, nil
	}
	return nil, fmt.Errorf("it is of type %s, which has no public key: %s", kty, usable)
}

func value[T ~string](p *T) T {
	if p == nil {
		return "(none)"
	}
	return *p
}

// invalid makes the answer for a key that can't be used; format says why.
func (k *key) invalid(format string, args ...any) error {
	what := "key "
	if strings.Contains(k.id, "/certificates/") {
		what = "certificate "
	}
	what += k.id
	if k.version != "" && !strings.HasSuffix(k.id, k.version) {
		what += ", version " + k.version
	}
	return protocol.Errorf(protocol.CodeValidation, "%s: "+format, append([]any{what}, args...)...)
}

// Certificates returns the Key Vault certificate, if the key id names one. It
// comes without its issuers: only the secret behind it has them, beside the
// private key.
func (k *key) Certificates(context.Context) ([]*x509.Certificate, error) { return k.certs, nil }

// Select returns the newest version with one of the certificates. The latest is
// known already; only the search for another one takes more requests.
func (k *key) Select(ctx context.Context, certs []*x509.Certificate) (signer.Key, error) {
	if k.isFor(certs) {
		return k, nil
	}
	if k.fixed {
		return nil, k.invalid("none of the %d certificates is for it", len(certs))
	}
	others, disabled, err := k.others(ctx)
	if err != nil {
		return nil, err
	}
	for _, version := range others[:min(len(others), maxReads)] {
		other, err := k.vault.readKey(ctx, k.id, keyName{name: k.name}, version)
		if err != nil {
			return nil, err
		}
		if other.isFor(certs) {
			return other, nil
		}
	}
	if len(others) > maxReads {
		return nil, k.invalid("none of the %d certificates is for it or one of the %d versions before it: name the version in the key id", len(certs), maxReads)
	}
	return nil, k.invalid("none of the %d certificates is for it or one of the other %d versions that are enabled (%d are not)", len(certs), len(others), disabled)
}

func (k *key) isFor(certs []*x509.Certificate) bool {
	return slices.ContainsFunc(certs, func(c *x509.Certificate) bool { return signer.SamePublicKey(k.public, c.PublicKey) })
}

// others lists the enabled versions besides k, newest first, and counts those
// that are not enabled.
func (k *key) others(ctx context.Context) (versions []string, disabledOnes int, err error) {
	type listed struct {
		version string
		created time.Time
	}
	var all []listed
	err = k.vault.do(ctx, k.vault.onKeys("keys/list", "list the versions of key "+k.id), func(ctx context.Context) error {
		for pager := k.vault.keys.NewListKeyPropertiesVersionsPager(k.name, nil); pager.More() && len(all) < maxVersions; {
			page, err := pager.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, item := range page.Value {
				if item == nil || item.KID.Version() == "" || item.KID.Version() == k.version {
					continue
				}
				attributes := item.Attributes
				if attributes == nil {
					attributes = &azkeys.KeyAttributes{}
				}
				if disabled(attributes.Enabled) {
					disabledOnes++
					continue
				}
				one := listed{version: item.KID.Version()}
				if attributes.Created != nil {
					one.created = *attributes.Created
				}
				all = append(all, one)
			}
		}
		return nil
	})
	slices.SortStableFunc(all, func(a, b listed) int { return b.created.Compare(a.created) })
	for _, one := range all {
		versions = append(versions, one.version)
	}
	return versions, disabledOnes, err
}

// PublicKey returns the public key of this version.
func (k *key) PublicKey(context.Context) (crypto.PublicKey, error) { return k.public, k.unusable }

// algorithms are the vault's names of the suites' algorithms.
var algorithms = map[protocol.SignatureAlgorithm]azkeys.SignatureAlgorithm{
	protocol.AlgorithmPSS256: azkeys.SignatureAlgorithmPS256, protocol.AlgorithmECDSA256: azkeys.SignatureAlgorithmES256,
	protocol.AlgorithmPSS384: azkeys.SignatureAlgorithmPS384, protocol.AlgorithmECDSA384: azkeys.SignatureAlgorithmES384,
	protocol.AlgorithmPSS512: azkeys.SignatureAlgorithmPS512, protocol.AlgorithmECDSA512: azkeys.SignatureAlgorithmES512,
}

// Sign has the digest signed by just this version. Vaults answer as JOSE has it,
// which is the contract's form too: r‖s, and PSS with a salt as long as the hash.
func (k *key) Sign(ctx context.Context, suite protocol.Suite, digest []byte) ([]byte, error) {
	what := fmt.Sprintf("sign with version %s of key %s", k.version, k.id)
	var answer azkeys.SignResponse
	err := k.vault.do(ctx, k.vault.onKeys("keys/sign", what), func(ctx context.Context) (err error) {
		answer, err = k.vault.keys.Sign(ctx, k.name, k.version, azkeys.SignParameters{Algorithm: to.Ptr(algorithms[suite.Algorithm]), Value: digest}, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	if signed := answer.KID.Version(); !strings.EqualFold(signed, k.version) {
		return nil, protocol.Errorf(protocol.CodeGeneric, "%s: version %.64q did", what, signed)
	}
	return answer.Result, nil
}
