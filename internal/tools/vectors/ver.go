package main

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"time"
)

// trusted is about trust stores, schemes and identities.
var trusted = []scenario{
	{"SCH-02", "stores of the signing authority alone", authenticity, both, func(s *scene) { s.trust("signingAuthority", root) }},
	{"SCH-03", "signing authority", valid, both, func(s *scene) { s.byAuthority(signed) }},
	{"SCH-03", "countersignature under signing authority", valid, both, func(s *scene) {
		s.byAuthority(signed)
		s.alsoTrust("tsa", tsaRoot)
		s.token = func([]byte) []byte { return []byte("no token") }
	}},
	{"SCH-04", "signing authority, ca store alone", authenticity, both, func(s *scene) { s.byAuthority(signed); s.trust("ca", root) }},
	{"SCH-04", "signing authority, root in the ca store, another in its own", authenticity, both, func(s *scene) {
		s.byAuthority(signed)
		s.trust("ca", root)
		s.alsoTrust("signingAuthority", stranger)
	}},
	{"SCH-04", "tsa store alone", authenticity, both, func(s *scene) { s.trust("tsa", root) }},
	{"SCH-04", "signing authority, ca store alone, at level audit", valid, both, func(s *scene) {
		s.byAuthority(signed)
		s.trust("ca", root)
		s.level("audit", authenticity)
	}},
	{"SCH-07", "signing time in the future", valid, both, func(s *scene) { s.set(attrSigningTime, noon.AddDate(1, 0, 0)) }},
	{"SCH-07", "signing time before the certificate", valid, both, func(s *scene) { s.set(attrSigningTime, notBefore.AddDate(-5, 0, 0)) }},

	{"VER-12", "another root", authenticity, both, func(s *scene) { s.trust("ca", stranger) }},
	{"VER-12", "another root of the same name", authenticity, both, func(s *scene) { s.trust("ca", namesake) }},
	{"VER-12", "another root with the same key", authenticity, both, func(s *scene) { s.trust("ca", authority(nil, "root", validity(notBefore, notAfter.AddDate(0, 0, -1)))) }},
	{"VER-12", "another root, at level permissive", authenticity, both, func(s *scene) { s.trust("ca", stranger); s.level("permissive") }},
	{"VER-12", "another root, at level audit", valid, both, func(s *scene) { s.trust("ca", stranger); s.level("audit", authenticity) }},
	{"VER-12", "another root, authenticity only logged", valid, both, func(s *scene) {
		s.trust("ca", stranger)
		s.logged = append(s.logged, authenticity)
		s.verification.Override = map[string]string{"authenticity": "log"}
	}},
	{"TS-09", "root among others", valid, both, func(s *scene) { s.trust("ca", stranger, root, namesake) }},
	{"TS-09", "intermediate in the store", valid, both, func(s *scene) { s.by(below); s.trust("ca", middle) }},
	{"TS-09", "an authority beside the chain in the store", authenticity, both, func(s *scene) { s.trust("ca", middle) }},

	{"VER-13", "identity that matches", valid, both, identities("x509.subject: C=US, ST=WA, O=signet vectors")},
	{"VER-13", "one of several identities", valid, both, identities("x509.subject: C=US, ST=WA, O=signet vectors, CN=other", "x509.subject: C=US, ST=WA, O=signet vectors, CN=signer")},
	{"VER-13", "identity in another order", valid, both, identities("x509.subject: CN=signer,O=signet vectors,ST=WA,C=US")},
	{"VER-13", "another common name", authenticity, both, identities("x509.subject: C=US, ST=WA, O=signet vectors, CN=other")},
	{"VER-13", "another organisation", authenticity, both, identities("x509.subject: C=US, ST=WA, O=signet")},
	{"VER-13", "organisation in capitals", authenticity, both, identities("x509.subject: C=US, ST=WA, O=SIGNET VECTORS")},
	{"VER-13", "attribute that the subject lacks", authenticity, both, identities("x509.subject: C=US, ST=WA, O=signet vectors, OU=release")},
	{"VER-13", "identity of the root", authenticity, both, identities("x509.subject: C=US, ST=WA, O=signet vectors, CN=root")},
	{"VER-13", "another common name, at level audit", valid, both, func(s *scene) {
		identities("x509.subject: C=US, ST=WA, O=signet vectors, CN=other")(s)
		s.level("audit", authenticity)
	}},
	{"TP-30", "subject with an e-mail address", valid, both, named(func(n *pkix.Name) {
		n.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, Value: "signer@example.com"}}
	})},
	{"TP-30", "subject with domain components", valid, both, named(func(n *pkix.Name) {
		domain := asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}
		n.ExtraNames = []pkix.AttributeTypeAndValue{{Type: domain, Value: "example"}, {Type: domain, Value: "com"}}
	})},
	{"TP-30", "subject with two organisational units", valid, both, named(func(n *pkix.Name) { n.OrganizationalUnit = []string{"one", "two"} })},
	{"TP-25", "organisation with a comma and a plus", valid, both, func(s *scene) {
		named(func(n *pkix.Name) { n.Organization = []string{"Acme, Inc. + Co"} })(s)
		s.verification.identities = []string{`x509.subject: C=US, ST=WA, O=Acme\, Inc. \+ Co`}
	}},
}

// clocks is about times that certificates and signatures have.
var clocks = []scenario{
	{"VER-14", "a second before expiry", valid, both, until(expiringAt(noon.Add(time.Second)))},
	{"VER-14", "the second of expiry", expired, both, expiringAt(noon)},
	{"VER-14", "after expiry", expired, both, expiringAt(noon.Add(-time.Second))},
	{"VER-14", "after expiry, at level permissive", valid, both, func(s *scene) { expiringAt(noon.Add(-time.Second))(s); s.level("permissive", expired) }},
	{"VER-14", "after expiry, expiry enforced at level audit", expired, both, func(s *scene) {
		expiringAt(noon.Add(-time.Second))(s)
		s.level("audit")
		s.verification.Override = map[string]string{"expiry": "enforce"}
	}},
	{"VER-14", "after expiry, under signing authority", expired, both, func(s *scene) { s.byAuthority(signed); s.expires(noon.Add(-time.Second)) }},

	{"VER-15", "last second of the leaf", valid, both, until(leafUntil(noon))},
	{"VER-15", "leaf expired a second ago", notAuthentic, both, leafUntil(noon.Add(-time.Second))},
	{"VER-15", "first second of the leaf", valid, both, leafFrom(noon)},
	{"VER-15", "leaf a second too young", notAuthentic, both, until(leafFrom(noon.Add(time.Second)))},
	{"VER-15", "leaf expired, at level permissive", valid, both, func(s *scene) { leafUntil(noon.Add(-time.Second))(s); s.level("permissive", notAuthentic) }},
	{"VER-15", "leaf expired, at level audit", valid, both, func(s *scene) { leafUntil(noon.Add(-time.Second))(s); s.level("audit", notAuthentic) }},
	{"VER-15", "intermediate expired", notAuthentic, both, func(s *scene) {
		s.by(signer(authority(root, "intermediate", validity(notBefore, noon.Add(-time.Second)))))
	}},
	{"VER-15", "root expired", notAuthentic, both, func(s *scene) {
		top := authority(nil, "root", validity(notBefore, noon.Add(-time.Second)))
		s.by(signer(top))
		s.trust("ca", top)
	}},
	{"VER-15", "leaf expired since it signed", notAuthentic, both, func(s *scene) {
		leafUntil(noon.AddDate(0, 0, -1))(s)
		s.set(attrSigningTime, whileValid)
	}},
	{"VER-16", "authentic time before the leaf", notAuthentic, both, func(s *scene) {
		leafFrom(signed.Add(time.Second))(s)
		s.byAuthority(signed)
	}},
	{"VER-16", "authentic time after the leaf", notAuthentic, both, func(s *scene) {
		leafUntil(signed.Add(-time.Second))(s)
		s.byAuthority(signed)
	}},
	{"VER-16", "authentic time in the first second of the leaf", valid, both, func(s *scene) {
		leafFrom(signed)(s)
		s.byAuthority(signed)
	}},
	{"VER-16", "leaf expired since the authentic time", valid, both, func(s *scene) {
		leafUntil(signed)(s)
		s.byAuthority(signed)
	}},
	{"VER-16", "authentic time after the intermediate", notAuthentic, both, func(s *scene) {
		s.by(signer(authority(root, "intermediate", validity(notBefore, signed.Add(-time.Second)))))
		s.byAuthority(signed)
	}},
	{"VER-16", "authentic time outside, at level permissive", valid, both, func(s *scene) {
		leafUntil(signed.Add(-time.Second))(s)
		s.byAuthority(signed)
		s.level("permissive", notAuthentic)
	}},
	{"VER-31", "integrity first: tampered, by a stranger, expired", integrity, both, func(s *scene) {
		expiringAt(noon.Add(-time.Second))(s)
		s.trust("ca", stranger)
		resigned(func(value []byte) []byte { value[7] ^= 1; return value })(s)
	}},
	{"VER-31", "everything that audit only logs", valid, both, func(s *scene) {
		leafUntil(noon.Add(-time.Second))(s)
		s.expires(noon.Add(-time.Second))
		s.trust("ca", stranger)
		s.level("audit", authenticity, expired, notAuthentic)
	}},
}

func identities(list ...string) func(*scene) {
	return func(s *scene) { s.verification.identities = list }
}

// named signs by a leaf with a subject that edits change, trusted by what it has in
// common with the usual one.
func named(edit func(*pkix.Name)) func(*scene) {
	return func(s *scene) {
		s.by(signer(root, func(c *x509.Certificate) { edit(&c.Subject) }))
		s.verification.identities = []string{"x509.subject: C=US, ST=WA, O=signet vectors, CN=signer"}
	}
}

func expiringAt(at time.Time) func(*scene) { return func(s *scene) { s.expires(at) } }

func leafUntil(end time.Time) func(*scene) { return leafValid(validity(notBefore, end)) }

func leafFrom(start time.Time) func(*scene) { return leafValid(validity(start, notAfter)) }

func leafValid(edit edit) func(*scene) { return func(s *scene) { s.by(signer(root, edit)) } }

// until marks a scenario whose outcome changes after noon.
func until(edit func(*scene)) func(*scene) {
	return func(s *scene) {
		edit(s)
		s.clock = true
	}
}
