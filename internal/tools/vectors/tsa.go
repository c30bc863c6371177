package main

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"time"

	"github.com/signet-project/signet/internal/testtsa"
)

// stampTime is when countersignatures are made.
var stampTime = signed.Add(time.Second)

// countersigned is about whether a countersignature is wanted and what time it
// proves.
var countersigned = []scenario{
	{"VER-17", "countersignature", valid, both, stamped(nil)},
	{"VER-17", "wanted after expiry alone, chain not expired", valid, both, func(s *scene) {
		s.alsoTrust("tsa", tsaRoot)
		s.verification.VerifyTimestamp = "afterCertExpiry"
	}},
	{"VER-17", "wanted after expiry alone, chain expired", valid, both, func(s *scene) {
		leafUntil(noon.Add(-time.Second))(s)
		stamped(nil)(s)
		s.verification.VerifyTimestamp = "afterCertExpiry"
	}},
	{"VER-17", "chain expired, no store of authorities", notAuthentic, both, func(s *scene) {
		leafUntil(noon.Add(-time.Second))(s)
		stamped(nil)(s)
		delete(s.stores, "tsa:vectors")
	}},
	{"VER-18", "no countersignature", notAuthentic, both, func(s *scene) { s.alsoTrust("tsa", tsaRoot) }},
	{"VER-18", "no countersignature, wanted always", notAuthentic, both, func(s *scene) {
		s.alsoTrust("tsa", tsaRoot)
		s.verification.VerifyTimestamp = "always"
	}},
	{"VER-18", "no countersignature, chain expired", notAuthentic, both, func(s *scene) {
		leafUntil(noon.Add(-time.Second))(s)
		s.alsoTrust("tsa", tsaRoot)
		s.verification.VerifyTimestamp = "afterCertExpiry"
	}},
	{"VER-18", "no countersignature, at level permissive", valid, both, func(s *scene) {
		s.alsoTrust("tsa", tsaRoot)
		s.level("permissive", notAuthentic)
	}},
	{"VER-19", "leaf expired since", valid, both, stampedLeaf(validity(notBefore, stampTime.Add(time.Hour)), nil)},
	{"VER-19", "in the last second of the leaf", valid, both, stampedLeaf(validity(notBefore, stampTime), nil)},
	{"VER-19", "in the first second of the leaf", valid, both, stampedLeaf(validity(stampTime, notAfter), nil)},
	{"VER-19", "after the leaf", notAuthentic, both, stampedLeaf(validity(notBefore, stampTime.Add(-time.Second)), nil)},
	{"VER-19", "before the leaf", notAuthentic, both, stampedLeaf(validity(stampTime.Add(time.Second), notAfter), nil)},
	{"VER-19", "accuracy reaches beyond the leaf", notAuthentic, both, stampedLeaf(validity(notBefore, stampTime.Add(time.Second)), accuracy(2))},
	{"VER-19", "accuracy reaches before the leaf", notAuthentic, both, stampedLeaf(validity(stampTime.Add(-time.Second), notAfter), accuracy(2))},
	{"VER-19", "accuracy just within the leaf", valid, both, stampedLeaf(validity(stampTime.Add(-time.Second), stampTime.Add(time.Second)), accuracy(1))},
	{"TSA-15", "accuracy of a second under the baseline policy", notAuthentic, both, stampedLeaf(validity(notBefore, stampTime), func(o *testtsa.Options) { o.Policy = testtsa.OIDBaselinePolicy })},
	{"TSA-15", "stated accuracy under the baseline policy", valid, both, stampedLeaf(validity(notBefore, stampTime.Add(time.Second)), func(o *testtsa.Options) {
		o.Policy, o.GenTime, o.Accuracy = testtsa.OIDBaselinePolicy, stampTime.Add(time.Second/2), &testtsa.Accuracy{Millis: 100}
	})},
	{"TSA-17", "countersignature of another signature", notAuthentic, both, func(s *scene) {
		stamped(nil)(s)
		token := s.token
		s.token = func([]byte) []byte { return token([]byte("another signature")) }
	}},
	{"TSA-17", "countersignature of the payload", notAuthentic, both, func(s *scene) {
		stamped(nil)(s)
		token := s.token
		s.token = func([]byte) []byte { return token(s.payload) }
	}},
	{"TSA-17", "countersignature that is wrong, at level permissive", valid, both, func(s *scene) {
		stamped(nil)(s)
		s.token = func([]byte) []byte { return []byte("no token") }
		s.level("permissive", notAuthentic)
	}},
}

// tokens is about the tokens themselves, for which the format does not matter.
var tokens = []scenario{
	{"TSA-10", "no token at all", notAuthentic, both, func(s *scene) {
		stamped(nil)(s)
		s.token = func([]byte) []byte { return []byte("no token") }
	}},
	{"TSA-10", "response instead of its token", notAuthentic, []string{jws}, stamped(func(o *testtsa.Options) {
		o.EditToken = func(token []byte) []byte {
			return must(asn1.Marshal(struct {
				Status struct{ Status int }
				Token  asn1.RawValue
			}{Token: asn1.RawValue{FullBytes: token}}))
		}
	})},
	{"TSA-10", "byte after the token", notAuthentic, []string{jws}, stamped(func(o *testtsa.Options) { o.EditToken = func(token []byte) []byte { return append(token, 0) } })},
	{"TSA-10", "token in BER", valid, both, stamped(func(o *testtsa.Options) { o.Indefinite = true })},
	{"TSA-10", "signed data of version 1", notAuthentic, []string{jws}, stamped(func(o *testtsa.Options) { o.EditSignedData = func(d *testtsa.SignedData) { d.Version = 1 } })},
	{"TSA-10", "content of another type", notAuthentic, []string{jws}, stamped(func(o *testtsa.Options) {
		o.EditSignedData = func(d *testtsa.SignedData) { d.Content.Type = testtsa.OIDData }
	})},
	{"TSA-10", "no content type attribute", notAuthentic, []string{jws}, stamped(omit(testtsa.OIDContentType))},
	{"TSA-10", "content type attribute of another type", notAuthentic, []string{jws}, stamped(replace(testtsa.OIDContentType, testtsa.OIDData))},
	{"TSA-10", "no message digest attribute", notAuthentic, []string{jws}, stamped(omit(testtsa.OIDMessageDigest))},
	{"TSA-10", "message digest attribute of something else", notAuthentic, []string{jws}, stamped(replace(testtsa.OIDMessageDigest, sum(crypto.SHA256)))},
	{"TSA-10", "no signer", notAuthentic, []string{jws}, stamped(func(o *testtsa.Options) { o.EditSignedData = func(d *testtsa.SignedData) { d.SignerInfos = nil } })},
	{"TSA-10", "changed bit in the signature", notAuthentic, []string{jws}, stamped(func(o *testtsa.Options) {
		o.EditSigner = func(i *testtsa.SignerInfo) { i.Signature[len(i.Signature)-1] ^= 1 }
	})},
	{"TSA-10", "time changed afterwards", notAuthentic, []string{jws}, stamped(func(o *testtsa.Options) {
		o.EditSignedData = func(d *testtsa.SignedData) {
			d.Content.Content = bytes.Replace(d.Content.Content, []byte("20260501"), []byte("20260502"), 1)
		}
	})},
	{"TSA-06", "information of version 2", notAuthentic, []string{jws}, stamped(info(func(i *testtsa.TSTInfo) { i.Version = 2 }))},
	{"TSA-06", "time with an offset", notAuthentic, []string{jws}, stamped(info(func(i *testtsa.TSTInfo) { i.GenTime = testtsa.GeneralizedTime("20260501100001+0200") }))},
	{"TSA-06", "time without seconds", notAuthentic, []string{jws}, stamped(info(func(i *testtsa.TSTInfo) { i.GenTime = testtsa.GeneralizedTime("202605010800Z") }))},
	{"TSA-06", "no certificate in the token", notAuthentic, []string{jws}, stamped(func(o *testtsa.Options) { o.NoCertificates = true })},
	{"TSA-11", "certificate named by SHA-1 alone", notAuthentic, []string{jws}, stamped(func(o *testtsa.Options) { o.V1Attribute = true })},
	{"TSA-11", "certificate not named", notAuthentic, []string{jws}, stamped(omit(testtsa.OIDSigningCertificateV2))},
	{"TSA-11", "certificate named by a wrong hash", notAuthentic, []string{jws}, stamped(func(o *testtsa.Options) { o.CertificateID.Digest = make([]byte, 32) })},
	{"TSA-11", "certificate named by SHA-512 and its number", valid, []string{jws}, stamped(func(o *testtsa.Options) {
		o.CertificateID = testtsa.CertificateID{Hash: crypto.SHA512, IssuerSerial: true}
	})},
	{"TSA-12", "signer named by key identifier", notAuthentic, []string{jws}, stamped(func(o *testtsa.Options) { o.SKI = true })},
	{"TSA-12", "signing time within the chain", valid, []string{jws}, stamped(func(o *testtsa.Options) { o.SigningTime = signed })},
	{"TSA-12", "signing time before the chain", notAuthentic, []string{jws}, stamped(func(o *testtsa.Options) { o.SigningTime = notBefore.AddDate(-1, 0, 0) })},
	{"TSA-13", "digest by SHA-1", notAuthentic, []string{jws}, stamped(func(o *testtsa.Options) { o.Hash = crypto.SHA1 })},
	{"TSA-13", "imprint by SHA-1", notAuthentic, []string{jws}, imprinted(crypto.SHA1)},
	{"TSA-17", "imprint by SHA-512", valid, []string{jws}, imprinted(crypto.SHA512)},
	{"TSA-13", "RSASSA-PKCS1-v1_5", valid, []string{jws}, stampedBy(tsaRoot, rsaTSA, nil)},
	{"TSA-13", "RSASSA-PSS", valid, []string{jws}, stampedBy(tsaRoot, rsaTSA, func(o *testtsa.Options) { o.Scheme = testtsa.PSS })},
	{"TSA-14", "authority below an intermediate", valid, []string{jws}, stampedBy(tsaRoot, timestamper(authority(tsaRoot, "tsa intermediate")), nil)},
	{"TSA-14", "another root", notAuthentic, []string{jws}, stampedBy(stranger, tsa, nil)},
	{"TSA-14", "root in the ca store", notAuthentic, []string{jws}, func(s *scene) {
		stampedBy(stranger, tsa, nil)(s)
		s.alsoTrust("ca", tsaRoot)
	}},
	{"TSA-14", "authority expired since", valid, []string{jws}, stampedBy(tsaRoot, timestamper(tsaRoot, validity(notBefore, stampTime.Add(time.Hour))), nil)},
	{"TSA-14", "authority expired before", notAuthentic, []string{jws}, stampedBy(tsaRoot, timestamper(tsaRoot, validity(notBefore, stampTime.Add(-time.Second))), nil)},
	{"TSA-14", "self-signed authority", notAuthentic, []string{jws}, stampedBy(tsaRoot, timestamper(nil), nil)},
	{"CERT-11", "authority without extended key usage", notAuthentic, []string{jws}, purposes()},
	{"CERT-11", "authority for code signing", notAuthentic, []string{jws}, purposes(extKeyUsage(true, oidCodeSigning))},
	{"CERT-11", "authority for code signing as well", notAuthentic, []string{jws}, purposes(extKeyUsage(true, oidTimeStamping, oidCodeSigning))},
	{"CERT-11", "authority for a private purpose as well", notAuthentic, []string{jws}, purposes(extKeyUsage(true, oidTimeStamping, oidUnknown))},
	{"CERT-11", "extended key usage not critical", notAuthentic, []string{jws}, purposes(extKeyUsage(false, oidTimeStamping))},
	{"CERT-12", "authority with a key of RSA 2560", notAuthentic, []string{jws}, stampedBy(tsaRoot, issue(tsaRoot, "tsa", rsaKey(2560), tsaTemplate), nil)},
	{"CERT-09", "key usage of the authority not critical", valid, []string{jws}, stampedBy(tsaRoot, timestamper(tsaRoot, looseKeyUsage(0x80, 7)), nil)},
	{"CERT-09", "authority without key usage", notAuthentic, []string{jws}, stampedBy(tsaRoot, timestamper(tsaRoot, keyUsage(0)), nil)},
	{"CERT-08", "authority that is a certificate authority", notAuthentic, []string{jws}, stampedBy(tsaRoot, timestamper(tsaRoot, func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = true, true }), nil)},
	{"CERT-05", "basic constraints above the authority not critical", notAuthentic, []string{jws}, stampedThrough(extension(oidBasicConstraints, false, basicConstraints{true, -1}))},
	{"CERT-14", "unknown critical extension in the authority", valid, []string{jws}, stampedBy(tsaRoot, timestamper(tsaRoot, extension(oidUnknown, true, "x")), nil)},
	{"CERT-14", "unknown critical extension above the authority", valid, []string{jws}, stampedThrough(extension(oidUnknown, true, "x"))},
}

var rsaTSA = issue(tsaRoot, "tsa", rsaKey(2048), tsaTemplate)

// stamped countersigns, and trusts the authority. edit may be nil.
func stamped(edit func(*testtsa.Options)) func(*scene) { return stampedBy(tsaRoot, tsa, edit) }

// stampedBy countersigns by an authority, and trusts a root.
func stampedBy(trusted, signer *entity, edit func(*testtsa.Options)) func(*scene) {
	return func(s *scene) {
		s.alsoTrust("tsa", trusted)
		s.token = tokenBy(signer, crypto.SHA256, edit)
	}
}

func tokenBy(signer *entity, hash crypto.Hash, edit func(*testtsa.Options)) func([]byte) []byte {
	return func(signature []byte) []byte {
		options := testtsa.Options{Signer: signer, GenTime: stampTime}
		if edit != nil {
			edit(&options)
		}
		more := options.EditInfo
		options.EditInfo = func(i *testtsa.TSTInfo) {
			i.SerialNumber = big.NewInt(1)
			if more != nil {
				more(i)
			}
		}
		return must(testtsa.Make(options, signature, hash))
	}
}

// stampedThrough countersigns by an authority below an intermediate that edits
// change.
func stampedThrough(edits ...edit) func(*scene) {
	return stampedBy(tsaRoot, timestamper(authority(tsaRoot, "tsa intermediate", edits...)), nil)
}

// stampedLeaf signs by a leaf of some validity, and countersigns.
func stampedLeaf(times edit, edit func(*testtsa.Options)) func(*scene) {
	return func(s *scene) {
		s.by(signer(root, times))
		stamped(edit)(s)
	}
}

func imprinted(hash crypto.Hash) func(*scene) {
	return func(s *scene) {
		stamped(nil)(s)
		s.token = tokenBy(tsa, hash, nil)
	}
}

// purposes countersigns by an authority with other extended key usages.
func purposes(usages ...pkix.Extension) func(*scene) {
	return stampedBy(tsaRoot, timestamper(tsaRoot, func(c *x509.Certificate) { c.ExtraExtensions = usages }), nil)
}

func accuracy(seconds int) func(*testtsa.Options) {
	return func(o *testtsa.Options) { o.Accuracy = &testtsa.Accuracy{Seconds: seconds} }
}

func info(edit func(*testtsa.TSTInfo)) func(*testtsa.Options) {
	return func(o *testtsa.Options) { o.EditInfo = edit }
}

func omit(oid asn1.ObjectIdentifier) func(*testtsa.Options) {
	return func(o *testtsa.Options) { o.Omit = []asn1.ObjectIdentifier{oid} }
}

// replace gives a signed attribute another value.
func replace(oid asn1.ObjectIdentifier, value any) func(*testtsa.Options) {
	return func(o *testtsa.Options) {
		o.EditAttributes = func(list []testtsa.Attribute) []testtsa.Attribute {
			for i := range list {
				if list[i].Type.Equal(oid) {
					list[i] = testtsa.NewAttribute(oid, value)
				}
			}
			return list
		}
	}
}
