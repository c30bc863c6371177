package revocation

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"

	"github.com/signet-project/signet/host/pki"
)

var oidPSS = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}

// signatureAlgorithms are the algorithms that CRLs and OCSP responses may be
// signed with. SHA-1 and MD5 are left out.
var signatureAlgorithms = []struct {
	id        asn1.ObjectIdentifier
	algorithm x509.SignatureAlgorithm
}{
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, x509.SHA256WithRSA},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, x509.SHA384WithRSA},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}, x509.SHA512WithRSA},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, x509.ECDSAWithSHA256},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}, x509.ECDSAWithSHA384},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}, x509.ECDSAWithSHA512},
	{asn1.ObjectIdentifier{1, 3, 101, 112}, x509.PureEd25519},
}

// pssAlgorithms are the hashes of RSASSA-PSS.
var pssAlgorithms = map[crypto.Hash]x509.SignatureAlgorithm{
	crypto.SHA256: x509.SHA256WithRSAPSS,
	crypto.SHA384: x509.SHA384WithRSAPSS,
	crypto.SHA512: x509.SHA512WithRSAPSS,
}

// signatureAlgorithm reads the content of an AlgorithmIdentifier. An algorithm
// that is not acceptable is x509.UnknownSignatureAlgorithm.
func signatureAlgorithm(identifier cryptobyte.String) x509.SignatureAlgorithm {
	var id asn1.ObjectIdentifier
	if !identifier.ReadASN1ObjectIdentifier(&id) {
		return x509.UnknownSignatureAlgorithm
	}
	if id.Equal(oidPSS) {
		hash, _ := pki.PSSHash(identifier)
		return pssAlgorithms[hash] // x509.UnknownSignatureAlgorithm for none
	}
	for _, known := range signatureAlgorithms {
		if id.Equal(known.id) {
			return known.algorithm
		}
	}
	return x509.UnknownSignatureAlgorithm
}
