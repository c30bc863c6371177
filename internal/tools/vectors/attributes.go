package main

import (
	"math"
	"strings"
	"time"
)

// attributes is about the signed attributes.
var attributes = []scenario{
	{"ENV-16", "no content type", malformed, both, func(s *scene) { s.contentType = nil }},
	{"ENV-16", "another content type", malformed, both, func(s *scene) { s.contentType = "application/json" }},
	{"ENV-16", "content type in capitals", malformed, both, func(s *scene) { s.contentType = strings.ToUpper(typePayload) }},
	{"ENV-16", "content type is a number", malformed, both, func(s *scene) { s.contentType = 50 }},
	{"ENV-09", "content type with a parameter", malformed, both, func(s *scene) { s.contentType = typePayload + ";charset=utf-8" }},

	{"ENV-20", "no crit", malformed, both, func(s *scene) { s.critical = nil }},
	{"ENV-20", "empty crit", malformed, both, func(s *scene) { s.critical = []any{} }},
	{"ENV-20", "signing scheme not critical", malformed, both, func(s *scene) { s.critical = nil; s.setCritical("com.example.x", "y") }},
	{"ENV-20", "expiry not critical", malformed, both, func(s *scene) { s.set(attrExpiry, notAfter) }},
	{"ENV-20", "authentic signing time not critical", malformed, both, func(s *scene) { s.byAuthority(signed); s.critical = s.critical[:1] }},
	{"ENV-20", "expiry and its mark", valid, both, func(s *scene) { s.expires(notAfter) }},
	{"ENV-17", "crit in another order", valid, both, func(s *scene) {
		s.expires(notAfter)
		s.critical = []any{attrExpiry, attrScheme}
	}},
	{"ENV-17", "crit is a text", malformed, both, func(s *scene) { s.critical = nil; s.setHeader("crit", labelCritical, attrScheme) }},
	{"ENV-17", "crit holds a bool", malformed, both, func(s *scene) { s.critical = append(s.critical, true) }},
	{"ENV-17", "signing time is critical", malformed, both, func(s *scene) { s.critical = append(s.critical, attrSigningTime) }},
	{"ENV-17", "content type is critical", malformed, []string{jws}, func(s *scene) { s.critical = append(s.critical, "cty") }},
	{"ENV-17", "registered header kid is critical", malformed, []string{jws}, func(s *scene) { s.setCritical("kid", "key") }},
	{"ENV-17", "registered header x5t#S256 is critical", malformed, []string{jws}, func(s *scene) { s.setCritical("x5t#S256", "AAAA") }},
	{"ENV-19", "critical attribute that is absent", malformed, both, func(s *scene) { s.critical = append(s.critical, "com.example.absent") }},
	{"ENV-19", "algorithm is critical", malformed, []string{jws}, func(s *scene) { s.critical = append(s.critical, "alg") }},
	{"ENV-19", "signing scheme critical twice", malformed, both, func(s *scene) { s.critical = append(s.critical, attrScheme) }},
	{"ENV-19", "extended attribute critical twice", malformed, both, func(s *scene) {
		s.setCritical("com.example.x", "y")
		s.critical = append(s.critical, "com.example.x")
	}},
	{"ENV-36", "label 1 is critical", malformed, []string{cose}, func(s *scene) { s.critical = append(s.critical, labelAlgorithm) }},
	{"ENV-36", "label 2 is critical", malformed, []string{cose}, func(s *scene) { s.critical = append(s.critical, labelCritical) }},
	{"ENV-36", "label 3 is critical", malformed, []string{cose}, func(s *scene) { s.critical = append(s.critical, labelContentType) }},
	{"ENV-36", "label 4 is critical", malformed, []string{cose}, func(s *scene) { s.setCritical(4, []byte("key")) }},

	{"ENV-21", "unknown critical attribute", critical, both, func(s *scene) { s.setCritical("com.example.x", "y") }},
	{"ENV-21", "unknown critical attribute at level audit", critical, both, func(s *scene) { s.setCritical("com.example.x", "y"); s.level("audit") }},
	{"ENV-21", "unknown critical attribute that is a number", critical, both, func(s *scene) { s.setCritical("com.example.x", 7) }},
	{"ENV-21", "unknown critical attribute that is an array", critical, both, func(s *scene) { s.setCritical("com.example.x", []any{"y"}) }},
	{"ENV-21", "critical attribute exp", critical, []string{jws}, func(s *scene) { s.setCritical("exp", 4102444800) }},
	{"ENV-21", "critical b64", malformed, []string{jws}, func(s *scene) { s.setCritical("b64", false) }},
	{"ENV-21", "unknown critical label", critical, []string{cose}, func(s *scene) { s.setCritical(99, "y") }},
	{"ENV-21", "unknown critical negative label", critical, []string{cose}, func(s *scene) { s.setCritical(-70000, "y") }},
	{"ENV-43", "unknown attribute that is not critical", valid, both, func(s *scene) { s.set("com.example.x", "y") }},
	{"ENV-43", "unknown attribute that is an array", valid, both, func(s *scene) { s.set("com.example.x", []any{1, "y"}) }},
	{"ENV-43", "unknown attribute that is null", valid, both, func(s *scene) { s.set("com.example.x", nil) }},
	{"ENV-43", "unknown label that is not critical", valid, []string{cose}, func(s *scene) { s.set(99, "y") }},
	{"ENV-43", "unknown label of bytes", valid, []string{cose}, func(s *scene) { s.set(4, []byte("key")) }},

	{"ENV-44", "plugin that is not critical", malformed, both, func(s *scene) { s.set(attrPlugin, "plugin") }},
	{"ENV-44", "plugin that is not critical, at level audit", malformed, both, func(s *scene) { s.set(attrPlugin, "plugin"); s.level("audit") }},
	{"ENV-44", "plugin without a name", malformed, both, func(s *scene) { s.setCritical(attrPlugin, "") }},
	{"ENV-44", "plugin with a blank name", malformed, both, func(s *scene) { s.setCritical(attrPlugin, " \t") }},
	{"ENV-44", "plugin is a number", malformed, both, func(s *scene) { s.setCritical(attrPlugin, 1) }},
	{"ENV-44", "minimum version that is not critical", malformed, both, func(s *scene) {
		s.setCritical(attrPlugin, "plugin")
		s.set(attrMinVersion, "1.0.0")
	}},
	{"ENV-44", "minimum version with a v", malformed, both, minVersion("v1.0.0")},
	{"ENV-44", "minimum version of two numbers", malformed, both, minVersion("1.0")},
	{"ENV-44", "blank minimum version", malformed, both, minVersion(" ")},
	{"ENV-45", "plugin that is not installed", critical, both, func(s *scene) { s.setCritical(attrPlugin, "not-installed") }},
	{"ENV-45", "plugin that is not installed, at level audit", critical, both, func(s *scene) { s.setCritical(attrPlugin, "not-installed"); s.level("audit") }},
	{"ENV-45", "plugin named like a path", critical, both, func(s *scene) { s.setCritical(attrPlugin, "../../plugin") }},
	{"ENV-45", "minimum version without a plugin", critical, both, func(s *scene) { s.setCritical(attrMinVersion, "1.0.0") }},
}

// times is about the times among the signed attributes.
var times = []scenario{
	{"ENV-22", "no signing time", malformed, both, func(s *scene) { s.drop(attrSigningTime) }},
	{"ENV-22", "authentic signing time besides", malformed, both, func(s *scene) { s.set(attrAuthenticTime, signed) }},
	{"ENV-22", "critical authentic signing time besides", malformed, both, func(s *scene) { s.setCritical(attrAuthenticTime, signed) }},
	{"ENV-22", "authentic signing time instead", malformed, both, func(s *scene) {
		s.drop(attrSigningTime)
		s.setCritical(attrAuthenticTime, signed)
	}},
	{"ENV-22", "signing time besides, under signing authority", malformed, both, func(s *scene) {
		s.byAuthority(signed)
		s.set(attrSigningTime, signed)
	}},
	{"ENV-23", "time with a fraction", valid, []string{jws}, func(s *scene) { s.set(attrSigningTime, "2026-05-01T08:00:00.25Z") }},
	{"ENV-23", "time with an offset", valid, []string{jws}, func(s *scene) { s.set(attrSigningTime, "2026-05-01T10:00:00+02:00") }},
	{"ENV-23", "date without a time", malformed, []string{jws}, func(s *scene) { s.set(attrSigningTime, "2026-05-01") }},
	{"ENV-23", "time without an offset", malformed, []string{jws}, func(s *scene) { s.set(attrSigningTime, "2026-05-01T08:00:00") }},
	{"ENV-23", "time with a space", malformed, []string{jws}, func(s *scene) { s.set(attrSigningTime, "2026-05-01 08:00:00Z") }},
	{"ENV-23", "time with a comma", malformed, []string{jws}, func(s *scene) { s.set(attrSigningTime, "2026-05-01T08:00:00,25Z") }},
	{"ENV-23", "hour of one digit", malformed, []string{jws}, func(s *scene) { s.set(attrSigningTime, "2026-05-01T8:00:00Z") }},
	{"ENV-23", "hour 24", malformed, []string{jws}, func(s *scene) { s.set(attrSigningTime, "2026-05-01T24:00:00Z") }},
	{"ENV-23", "day that does not exist", malformed, []string{jws}, func(s *scene) { s.setCritical(attrExpiry, "2026-02-30T08:00:00Z") }},
	{"ENV-23", "time is a number", malformed, []string{jws}, func(s *scene) { s.set(attrSigningTime, int(signed.Unix())) }},
	{"ENV-34", "time without a tag", malformed, []string{cose}, func(s *scene) { s.set(attrSigningTime, int(signed.Unix())) }},
	{"ENV-34", "time as a text under tag 0", malformed, []string{cose}, func(s *scene) { s.set(attrSigningTime, encoded(cborTag(0, cborValue("2026-05-01T08:00:00Z")))) }},
	{"ENV-34", "time as a text under tag 1", malformed, []string{cose}, func(s *scene) { s.set(attrSigningTime, encoded(cborTag(1, cborValue("2026-05-01T08:00:00Z")))) }},
	{"ENV-34", "time under tag 1 twice", malformed, []string{cose}, func(s *scene) { s.set(attrSigningTime, encoded(cborTag(1, cborValue(signed)))) }},
	{"ENV-34", "time with a fraction", valid, []string{cose}, func(s *scene) { s.set(attrSigningTime, encoded(cborTag(1, cborValue(float64(signed.Unix())+0.5)))) }},
	{"ENV-34", "time that is not a number", malformed, []string{cose}, func(s *scene) { s.set(attrSigningTime, encoded(cborTag(1, cborValue(math.NaN())))) }},
	{"ENV-34", "expiry without a tag", malformed, []string{cose}, func(s *scene) { s.setCritical(attrExpiry, int(notAfter.Unix())) }},
	{"ENV-24", "expiry at the signing time", malformed, both, func(s *scene) { s.expires(signed) }},
	{"ENV-24", "expiry before the signing time", malformed, both, func(s *scene) { s.expires(signed.Add(-time.Second)) }},
	{"ENV-24", "expiry at the signing time, at level audit", malformed, both, func(s *scene) { s.expires(signed); s.level("audit") }},
	{"ENV-24", "expiry at the authentic signing time", malformed, both, func(s *scene) { s.byAuthority(signed); s.expires(signed) }},

	{"SCH-01", "no signing scheme", malformed, both, func(s *scene) { s.drop(attrScheme) }},
	{"SCH-01", "unknown signing scheme", malformed, both, func(s *scene) { s.set(attrScheme, "notary.example") }},
	{"SCH-01", "empty signing scheme", malformed, both, func(s *scene) { s.set(attrScheme, "") }},
	{"SCH-01", "signing scheme in capitals", malformed, both, func(s *scene) { s.set(attrScheme, "NOTARY.X509") }},
	{"SCH-01", "signing scheme is a number", malformed, both, func(s *scene) { s.set(attrScheme, 1) }},
	{"SCH-05", "no authentic signing time", malformed, both, func(s *scene) { s.byAuthority(signed); s.drop(attrAuthenticTime) }},
	{"SCH-05", "no authentic signing time, nor its mark", malformed, both, func(s *scene) {
		s.byAuthority(signed)
		s.drop(attrAuthenticTime)
		s.critical = s.critical[:1]
	}},
	{"SCH-05", "signing time instead of the authentic one", malformed, both, func(s *scene) {
		s.byAuthority(signed)
		s.drop(attrAuthenticTime)
		s.set(attrSigningTime, signed)
		s.critical = s.critical[:1]
	}},
}

// setHeader replaces a header that has a name in JWS and a label in COSE.
func (s *scene) setHeader(name string, label int, value any) {
	s.jws.protected = func(o *object) { o.set(name, value) }
	s.cose.protected = func(p *[]pair) { setPair(p, label, value) }
}

func minVersion(version string) func(*scene) {
	return func(s *scene) {
		s.setCritical(attrPlugin, "not-installed")
		s.setCritical(attrMinVersion, version)
	}
}
