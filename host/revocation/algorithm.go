package revocation

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
)

var (
	oidPSS  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
)

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

// pssAlgorithms are the hashes of RSASSA-PSS, with the salt length that goes
// with each.
var pssAlgorithms = []struct {
	hash      asn1.ObjectIdentifier
	salt      int
	algorithm x509.SignatureAlgorithm
}{
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, 32, x509.SHA256WithRSAPSS},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, 48, x509.SHA384WithRSAPSS},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, 64, x509.SHA512WithRSAPSS},
}

// signatureAlgorithm reads the content of an AlgorithmIdentifier. An algorithm
// that is not acceptable is x509.UnknownSignatureAlgorithm.
func signatureAlgorithm(identifier cryptobyte.String) x509.SignatureAlgorithm {
	var id asn1.ObjectIdentifier
	if !identifier.ReadASN1ObjectIdentifier(&id) {
		return x509.UnknownSignatureAlgorithm
	}
	if id.Equal(oidPSS) {
		return pssAlgorithm(identifier)
	}
	for _, known := range signatureAlgorithms {
		if id.Equal(known.id) {
			return known.algorithm
		}
	}
	return x509.UnknownSignatureAlgorithm
}

// pssAlgorithm reads RSASSA-PSS-params (RFC 4055, section 3.1).
func pssAlgorithm(parameters []byte) x509.SignatureAlgorithm {
	var params struct {
		Hash    pkix.AlgorithmIdentifier `asn1:"explicit,tag:0"`
		MGF     pkix.AlgorithmIdentifier `asn1:"explicit,tag:1"`
		Salt    int                      `asn1:"explicit,tag:2"`
		Trailer int                      `asn1:"optional,explicit,tag:3,default:1"`
	}
	var mgfHash pkix.AlgorithmIdentifier
	if rest, err := asn1.Unmarshal(parameters, &params); err != nil || len(rest) != 0 {
		return x509.UnknownSignatureAlgorithm
	}
	if rest, err := asn1.Unmarshal(params.MGF.Parameters.FullBytes, &mgfHash); err != nil || len(rest) != 0 {
		return x509.UnknownSignatureAlgorithm
	}
	for _, known := range pssAlgorithms {
		if params.Hash.Algorithm.Equal(known.hash) && params.MGF.Algorithm.Equal(oidMGF1) && mgfHash.Algorithm.Equal(known.hash) &&
			params.Salt == known.salt && params.Trailer == 1 {
			return known.algorithm
		}
	}
	return x509.UnknownSignatureAlgorithm
}
