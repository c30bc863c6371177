package main

import (
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"time"
)

// The authorities between root and signers that scenarios need.
var (
	middle   = authority(root, "intermediate")
	below    = signer(middle)
	lower    = authority(middle, "second intermediate")
	deep     = signer(lower)
	alone    = issue(nil, "signer", ecKey(p256, "signer"), leafTemplate)
	namesake = issue(nil, "root", ecKey(p256, "namesake"), caTemplate)
	rsaRoot  = issue(nil, "rsa root", rsaKey(2048), caTemplate)
)

// basicConstraints are those of RFC 5280, section 4.2.1.9.
type basicConstraints struct {
	CA      bool `asn1:"optional"`
	PathLen int  `asn1:"optional,default:-1"`
}

// chains is about the order of chains and who issued what.
var chains = []scenario{
	{"CERT-02", "chain of three", valid, both, by(below)},
	{"CERT-02", "chain of four", valid, both, by(deep)},
	{"CERT-02", "root first", integrity, both, chained(below, func(c [][]byte) [][]byte { slices.Reverse(c); return c })},
	{"CERT-02", "leaf last but one", integrity, both, chained(below, func(c [][]byte) [][]byte { c[0], c[1] = c[1], c[0]; return c })},
	{"CERT-02", "intermediate and root swapped", integrity, both, chained(below, func(c [][]byte) [][]byte { c[1], c[2] = c[2], c[1]; return c })},
	{"CERT-02", "no root", integrity, both, chained(below, func(c [][]byte) [][]byte { return c[:2] })},
	{"CERT-02", "no intermediate", integrity, both, chained(below, func(c [][]byte) [][]byte { return [][]byte{c[0], c[2]} })},
	{"CERT-02", "leaf alone", integrity, both, chained(below, func(c [][]byte) [][]byte { return c[:1] })},
	{"CERT-02", "another root of the same name", integrity, both, func(s *scene) {
		s.chain = rawCertificates(leaf.Cert, namesake.Cert)
		s.trust("ca", namesake)
	}},
	{"CERT-02", "another intermediate of the same name", integrity, both, func(s *scene) {
		other := issue(root, "intermediate", ecKey(p256, "other intermediate"), caTemplate)
		s.by(below)
		s.chain = rawCertificates(below.Cert, other.Cert, root.Cert)
	}},
	{"CERT-02", "changed byte in the signature of a certificate", integrity, both, chained(below, func(c [][]byte) [][]byte {
		c[1] = slices.Clone(c[1])
		c[1][len(c[1])-1] ^= 1
		return c
	})},
	{"CERT-03", "root twice", integrity, both, chained(leaf, func(c [][]byte) [][]byte { return append(c, c[1]) })},
	{"CERT-03", "intermediate twice", integrity, both, chained(below, func(c [][]byte) [][]byte { return slices.Insert(c, 1, c[1]) })},
	{"CERT-03", "stranger at the end", integrity, both, chained(leaf, func(c [][]byte) [][]byte { return append(c, stranger.Cert.Raw) })},
	{"CERT-03", "stranger in the middle", integrity, both, chained(leaf, func(c [][]byte) [][]byte { return slices.Insert(c, 1, stranger.Cert.Raw) })},
	{"CERT-03", "self-signed leaf with a root", integrity, both, chained(alone, func(c [][]byte) [][]byte { return append(c, root.Cert.Raw) })},
	{"CERT-04", "self-signed leaf", valid, both, alonePlus()},
	{"CERT-04", "self-signed authority as leaf", integrity, both, func(s *scene) { s.by(root) }},
	{"CERT-04", "self-signed leaf without key usage", integrity, both, alonePlus(keyUsage(0))},
	{"CERT-04", "self-signed leaf for time-stamping", integrity, both, alonePlus(usages(x509.ExtKeyUsageTimeStamping))},
	{"CERT-04", "single leaf that another key signed", integrity, both, func(s *scene) {
		other := issue(nil, "signer", ecKey(p256, "namesake"), leafTemplate)
		forged := issue(other, "signer", ecKey(p256, "signer"), leafTemplate)
		s.by(forged)
		s.chain = rawCertificates(forged.Cert)
		s.trust("ca", forged)
	}},
	{"CERT-16", "leaf that outlives its issuer", valid, both, func(s *scene) {
		s.by(signer(root, validity(notBefore, notAfter.AddDate(1, 0, 0))))
	}},
	{"CERT-16", "leaf older than its issuer", valid, both, func(s *scene) {
		s.by(signer(root, validity(notBefore.AddDate(-1, 0, 0), notAfter)))
	}},
}

// authorities is about the certificates of authorities.
var authorities = []scenario{
	{"CERT-05", "intermediate without basic constraints", integrity, both, through(func(c *x509.Certificate) { c.BasicConstraintsValid = false })},
	{"CERT-05", "intermediate with basic constraints not critical", integrity, both, through(extension(oidBasicConstraints, false, basicConstraints{true, -1}))},
	{"CERT-05", "intermediate that is no authority", integrity, both, through(func(c *x509.Certificate) { c.IsCA = false })},
	{"CERT-05", "root with basic constraints not critical", integrity, both, under(extension(oidBasicConstraints, false, basicConstraints{true, -1}))},
	{"CERT-05", "root without basic constraints", integrity, both, under(func(c *x509.Certificate) { c.BasicConstraintsValid = false })},
	{"CERT-06", "path length 0 above the leaf", valid, both, through(pathLength(0))},
	{"CERT-06", "path length of root just enough", valid, both, func(s *scene) {
		top := authority(nil, "root", pathLength(1))
		s.by(signer(authority(top, "intermediate")))
		s.trust("ca", top)
	}},
	{"CERT-06", "path length 0 above an authority", integrity, both, func(s *scene) {
		s.by(signer(authority(authority(root, "intermediate", pathLength(0)), "second intermediate")))
	}},
	{"CERT-06", "path length of root too short", integrity, both, func(s *scene) {
		top := authority(nil, "root", pathLength(1))
		s.by(signer(authority(authority(top, "intermediate"), "second intermediate")))
		s.trust("ca", top)
	}},
	{"CERT-07", "intermediate without key usage", integrity, both, through(keyUsage(0))},
	{"CERT-07", "intermediate that may not sign certificates", integrity, both, through(keyUsage(x509.KeyUsageCRLSign))},
	{"CERT-07", "intermediate with key usage not critical", integrity, both, through(looseKeyUsage(0x06, 1))},
	{"CERT-07", "root that may not sign certificates", integrity, both, under(keyUsage(x509.KeyUsageDigitalSignature))},
	{"CERT-12", "root of RSA 1024", valid, both, func(s *scene) {
		weak := issue(nil, "root", rsaKey(1024), caTemplate)
		s.by(signer(weak))
		s.trust("ca", weak)
	}},
	{"CERT-12", "intermediate of P-224", valid, both, func(s *scene) {
		s.by(signer(issue(root, "intermediate", ecKey(elliptic.P224(), "intermediate"), caTemplate)))
	}},
	{"CERT-13", "leaf signed with RSA and SHA-1", integrity, both, belowRSA(algorithm(x509.SHA1WithRSA))},
	{"CERT-13", "leaf signed with ECDSA and SHA-1", integrity, both, func(s *scene) { s.by(signer(root, algorithm(x509.ECDSAWithSHA1))) }},
	{"CERT-13", "leaf signed with RSA and MD5", integrity, both, func(s *scene) {
		s.by(withMD5(signer(rsaRoot, algorithm(x509.SHA256WithRSA))))
		s.trust("ca", rsaRoot)
	}},
	{"CERT-13", "leaf signed with RSA-PSS and SHA-256", valid, both, belowRSA(algorithm(x509.SHA256WithRSAPSS))},
	{"CERT-13", "intermediate signed with SHA-1", integrity, both, through(algorithm(x509.ECDSAWithSHA1))},
	{"CERT-13", "root signed with SHA-1", integrity, both, under(algorithm(x509.ECDSAWithSHA1))},
	{"CERT-13", "self-signed leaf signed with SHA-1", integrity, both, alonePlus(algorithm(x509.ECDSAWithSHA1))},
	{"CERT-14", "critical name constraints that exclude the leaf", valid, both, through(func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"example.com"}
	})},
	{"CERT-14", "unknown critical extension in the intermediate", valid, both, through(extension(oidUnknown, true, "x"))},
}

// leaves is about the certificates of signers.
var leaves = append([]scenario{
	{"CERT-08", "basic constraints of a leaf", valid, both, leafWith(func(c *x509.Certificate) { c.BasicConstraintsValid = true })},
	{"CERT-08", "leaf that is an authority", integrity, both, leafWith(func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = true, true })},
	{"CERT-09", "leaf without key usage", integrity, both, leafWith(keyUsage(0))},
	{"CERT-09", "leaf with key usage not critical", integrity, both, leafWith(looseKeyUsage(0x80, 7))},
	{"CERT-09", "leaf that may not sign", integrity, both, leafWith(keyUsage(x509.KeyUsageContentCommitment))},
	{"CERT-09", "leaf for content commitment as well", valid, both, leafWith(keyUsage(x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment))},
	{"CERT-10", "leaf without extended key usage", valid, both, leafWith(usages())},
	{"CERT-10", "leaf for a private purpose as well", valid, both, leafWith(func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{oidUnknown} })},
	{"CERT-14", "unknown critical extension in the leaf", valid, both, leafWith(extension(oidUnknown, true, "x"))},
	{"CERT-14", "critical subject alternative name", valid, both, leafWith(extension(asn1.ObjectIdentifier{2, 5, 29, 17}, true, []asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte("urn:x")}}))},
}, slices.Concat(forbiddenKeyUsages(), forbiddenExtendedUsages())...)

// forbiddenKeyUsages are the key usages that a leaf may not have beside the one it
// needs.
func forbiddenKeyUsages() []scenario {
	var out []scenario
	for _, usage := range []struct {
		bit  x509.KeyUsage
		name string
	}{
		{x509.KeyUsageKeyEncipherment, "key encipherment"}, {x509.KeyUsageDataEncipherment, "data encipherment"},
		{x509.KeyUsageKeyAgreement, "key agreement"}, {x509.KeyUsageCertSign, "signing certificates"},
		{x509.KeyUsageCRLSign, "signing CRLs"}, {x509.KeyUsageEncipherOnly, "enciphering only"}, {x509.KeyUsageDecipherOnly, "deciphering only"},
	} {
		out = append(out, scenario{"CERT-09", "leaf for " + usage.name + " as well", integrity, both, leafWith(keyUsage(x509.KeyUsageDigitalSignature | usage.bit))})
	}
	return out
}

// forbiddenExtendedUsages are the purposes that a leaf may not have beside code
// signing.
func forbiddenExtendedUsages() []scenario {
	var out []scenario
	for _, usage := range []struct {
		usage x509.ExtKeyUsage
		name  string
	}{
		{x509.ExtKeyUsageAny, "any purpose"}, {x509.ExtKeyUsageServerAuth, "servers"}, {x509.ExtKeyUsageClientAuth, "clients"},
		{x509.ExtKeyUsageEmailProtection, "e-mail"}, {x509.ExtKeyUsageTimeStamping, "time-stamping"}, {x509.ExtKeyUsageOCSPSigning, "OCSP"},
	} {
		out = append(out, scenario{"CERT-10", "leaf for " + usage.name + " as well", integrity, both, leafWith(usages(x509.ExtKeyUsageCodeSigning, usage.usage))})
	}
	return out
}

// chained changes the chain that goes along with a signature.
func chained(e *entity, edit func([][]byte) [][]byte) func(*scene) {
	return func(s *scene) {
		s.by(e)
		s.chain = edit(s.chain)
	}
}

// through signs below an intermediate that edits change.
func through(edits ...edit) func(*scene) {
	return func(s *scene) { s.by(signer(authority(root, "intermediate", edits...))) }
}

// under signs below a root, trusted, that edits change.
func under(edits ...edit) func(*scene) {
	return func(s *scene) {
		top := authority(nil, "root", edits...)
		s.by(signer(top))
		s.trust("ca", top)
	}
}

// belowRSA signs by a leaf of an RSA root.
func belowRSA(edits ...edit) func(*scene) {
	return func(s *scene) {
		s.by(signer(rsaRoot, edits...))
		s.trust("ca", rsaRoot)
	}
}

func leafWith(edits ...edit) func(*scene) { return func(s *scene) { s.by(signer(root, edits...)) } }

// alonePlus signs by a self-signed leaf, trusted, that edits change.
func alonePlus(edits ...edit) func(*scene) {
	return func(s *scene) {
		self := issue(nil, "signer", ecKey(p256, "signer"), leafTemplate, edits...)
		s.by(self)
		s.trust("ca", self)
	}
}

func usages(list ...x509.ExtKeyUsage) edit {
	return func(c *x509.Certificate) { c.ExtKeyUsage = list }
}

// looseKeyUsage is a key usage that is not critical: a byte of bits, the last few
// of them unused.
func looseKeyUsage(bits byte, unused int) edit {
	return extension(oidKeyUsage, false, asn1.BitString{Bytes: []byte{bits}, BitLength: 8 - unused})
}

func pathLength(n int) edit {
	return func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = n, n == 0 }
}

// whileValid is a time at which everything is valid, and long before noon.
var whileValid = time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC)
