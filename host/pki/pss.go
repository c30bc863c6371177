package pki

import (
	"bytes"
	"crypto"
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var oidMGF1 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}

// pssHashes are the hash functions that RSASSA-PSS may be used with.
var pssHashes = []struct {
	oid  asn1.ObjectIdentifier
	hash crypto.Hash
}{
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, crypto.SHA256},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, crypto.SHA384},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, crypto.SHA512},
}

// PSSHash reads the DER of RSASSA-PSS-params (RFC 4055, section 3.1) and returns the
// hash function, SHA-256, SHA-384 or SHA-512; false for parameters that are malformed or
// not allowed. The mask function must be MGF1 with the same hash and the salt as long as
// the hash. Every default of that type is SHA-1, so the first three fields are required.
func PSSHash(parameters []byte) (crypto.Hash, bool) {
	in := cryptobyte.String(parameters)
	var params, hashField, maskField, mask, saltField, trailerField cryptobyte.String
	var maskFunction asn1.ObjectIdentifier
	var hash, maskHash crypto.Hash
	var salt, trailer int
	var hasTrailer bool
	explicit := func(n uint8) cryptobyte_asn1.Tag { return cryptobyte_asn1.Tag(n).Constructed().ContextSpecific() }
	if !in.ReadASN1(&params, cryptobyte_asn1.SEQUENCE) || !in.Empty() ||
		!params.ReadASN1(&hashField, explicit(0)) || !readPSSHash(hashField, &hash) ||
		!params.ReadASN1(&maskField, explicit(1)) || !maskField.ReadASN1(&mask, cryptobyte_asn1.SEQUENCE) || !maskField.Empty() ||
		!mask.ReadASN1ObjectIdentifier(&maskFunction) || !maskFunction.Equal(oidMGF1) || !readPSSHash(mask, &maskHash) ||
		!params.ReadASN1(&saltField, explicit(2)) || !saltField.ReadASN1Integer(&salt) || !saltField.Empty() ||
		!params.ReadOptionalASN1(&trailerField, &hasTrailer, explicit(3)) || !params.Empty() {
		return 0, false
	}
	if hasTrailer && (!trailerField.ReadASN1Integer(&trailer) || !trailerField.Empty() || trailer != 1) {
		return 0, false
	}
	if maskHash != hash || salt != hash.Size() {
		return 0, false
	}
	return hash, true
}

// readPSSHash reads an AlgorithmIdentifier that names a hash function, all of in. Its
// parameters are absent or NULL; the two mean the same (RFC 5754, section 2).
func readPSSHash(in cryptobyte.String, hash *crypto.Hash) bool {
	var algorithm cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !in.ReadASN1(&algorithm, cryptobyte_asn1.SEQUENCE) || !in.Empty() || !algorithm.ReadASN1ObjectIdentifier(&oid) ||
		!algorithm.Empty() && !bytes.Equal(algorithm, asn1.NullBytes) {
		return false
	}
	for _, known := range pssHashes {
		if known.oid.Equal(oid) {
			*hash = known.hash
			return true
		}
	}
	return false
}
