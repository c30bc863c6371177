package main

import "strings"

// sections are the tables, in order.
var sections = []section{
	{
		name: "verify", title: "Verifying one envelope in process", module: "test/peers", packages: []string{"."}, bench: "Verify", benchtime: "30ms", times: 4, least: true,
		note: "signet is one Verifier used again, cold a new one each time; notation-go v1.3.2 likewise. Each figure is the least of the rounds. \"bare\" is one public-key " +
			"verification with the leaf key. All certificates of a chain have keys of the type named.",
		ratios: []ratio{
			{"notation-go / signet, time", "notation-go", "signet", "ns/op", overReference, false, false},
			{"signet / bare, time", "signet", "bare", "ns/op", overBare, true, false},
			{"notation-go / signet, bytes", "notation-go", "signet", "B/op", always(5), false, false},
			{"cold: notation-go / signet", "notation-go-cold", "signet-cold", "ns/op", always(1), false, false},
		},
		columns: []column{{"signet", "ns/op", "signet"}, {"notation-go", "ns/op", "notation-go"}, {"bare", "ns/op", "bare"}, {"signet", "B/op", "signet B"}},
	},
	{
		name: "file", title: "A file of 4 GiB", module: "test/peers", packages: []string{"."}, bench: "File", benchtime: "1x",
		note: "The whole program, beside a bare hash of the file. The file is sparse, so that the disk has no part in it. Memory is to stay under 64 MiB.",
		ratios: []ratio{
			{"hash / sign", "bare", "sign", "ns/op", always(0.9), false, false},
			{"hash / verify", "bare", "verify", "ns/op", always(0.9), false, false},
		},
		columns: []column{{"bare", "ns/op", "hash"}, {"sign", "ns/op", "sign"}, {"verify", "ns/op", "verify"}, {"sign", "MiB-rss", "sign MiB"}, {"verify", "MiB-rss", "verify MiB"}},
	},
	{
		name: "many", title: "Verifying 1,000 artifacts of one registry", module: "test/peers", packages: []string{"."}, bench: "Many", benchtime: "1x",
		note: "One run of `signet verify --from-file`, beside 1,000 runs of a program that verifies one artifact with notation-go v1.3.2 for its library " +
			"(`test/peers/cmd/notation-one`), one after the other. The registry runs on the same machine. Memory is to stay under 128 MiB.",
		ratios:  []ratio{{"notation-go / signet, time", "notation-go", "signet", "ns/op", always(10), false, false}},
		columns: []column{{"signet", "ns/op", "signet"}, {"notation-go", "ns/op", "notation-go"}, {"signet", "MiB-rss", "signet MiB"}},
	},
	{
		name: "one", title: "One thing, start of the program included", module: "test/peers", packages: []string{"."}, bench: "One", benchtime: "5x", times: 2,
		note:    "The programs are copies, as installed, and take turns. Signing goes through notation-example, which was installed some time ago, and signs another artifact each time. Goals: `version` within 1.5 times, signing never slower.",
		ratios:  []ratio{{"signet / notation-go, time", "signet", "notation-go", "ns/op", overProgram, true, false}},
		columns: []column{{"signet", "ns/op", "signet"}, {"notation-go", "ns/op", "notation-go"}},
	},
	{
		name: "fleet", title: "Artifacts in one run", module: "test/peers", packages: []string{"."}, bench: "Fleet", benchtime: "1x", once: true,
		note:    "`signet verify --from-file`, 16 at a time.",
		columns: []column{{"", "ns/op", "time"}, {"", "µs/artifact", "µs for each"}, {"", "MiB-rss", "MiB"}},
	},
	{
		name: "concurrency", title: "Artifacts at a time", module: "test/peers", packages: []string{"."}, bench: "Concurrency", benchtime: "1x", once: true,
		note:    "1,000 artifacts in one run. The registry answers at once and shares the machine: over a network, more at a time gains more.",
		columns: []column{{"", "ns/op", "time"}, {"", "MiB-rss", "MiB"}},
	},
	{
		name: "crowded", title: "Signatures per artifact in a registry", module: "test/peers", packages: []string{"."}, bench: "Crowded", benchtime: "1x", once: true,
		note:    "100 artifacts in one run. All signatures but one are by a stranger, as their manifests' thumbprints tell, so that they are listed and not fetched.",
		columns: []column{{"", "ns/op", "time"}, {"", "MiB-rss", "MiB"}},
	},
	{
		name: "sign", title: "1,000 signatures through a plugin", module: "test/peers", packages: []string{"."}, bench: "Sign1000", benchtime: "1x",
		note: "P-256, notation-example. session is 8 at a time, its opening and closing included; stdio is the same plugin built without sessions, one at a time.",
		ratios: []ratio{
			{"stdio / session", "stdio", "session", "ns/op", always(8), false, false},
			{"stdio / session, one at a time", "stdio", "session-one", "ns/op", nil, false, false},
		},
		columns: []column{{"session", "ns/op", "session"}, {"session-one", "ns/op", "session, one at a time"}, {"stdio", "ns/op", "stdio"}},
	},
	{
		name: "token", title: "A signature by a SoftHSM token", module: "test/peers", packages: []string{"."}, bench: "Token", benchtime: "300x", times: 4,
		note:    "P-256. By a session with notation-pkcs11, and by the same code in one process.",
		ratios:  []ratio{{"added by the session", "session", "in-process", "ns/op", always(0.5), true, true}},
		columns: []column{{"session", "ns/op", "session"}, {"in-process", "ns/op", "in process"}},
	},
	{
		name: "signatures", title: "Signatures per artifact", module: "test/peers", packages: []string{"."}, bench: "Signatures",
		note:    "All but the last are by strangers whose chains are not anchored.",
		columns: []column{{"", "ns/op", "time"}},
	},
	{
		name: "roots", title: "Certificates in a trust store", module: "test/peers", packages: []string{"."}, bench: "Roots",
		note:    "Each is a file of its own, whose state is asked of the system at each verification.",
		columns: []column{{"", "ns/op", "time"}},
	},
	{
		name: "crl", title: "Reading a CRL", module: ".", packages: []string{"./host/revocation"}, bench: "OpenList", once: true,
		note:    "Parse, signature and index of the entries, beside crypto/x509's parse and signature. Looking a serial number up after that takes the time of the next table.",
		ratios:  []ratio{{"crypto/x509 / signet, time", "crypto-x509", "signet", "ns/op", nil, false, false}, {"crypto/x509 / signet, bytes", "crypto-x509", "signet", "B/op", nil, false, false}},
		columns: []column{{"signet", "ns/op", "signet"}, {"crypto-x509", "ns/op", "crypto/x509"}, {"signet", "B/op", "signet B"}},
	},
	{
		name: "crllookup", title: "Looking a serial number up in a CRL", module: ".", packages: []string{"./host/revocation"}, bench: "Lookup",
		columns: []column{{"", "ns/op", "time"}},
	},
}

// overReference is what verifying warm is to gain over notation-go.
func overReference(of string) float64 {
	p256, two := strings.Contains(of, "P-256"), strings.Contains(of, "2certs")
	switch {
	case p256 && two:
		return 4
	case two:
		return 4.5
	case p256:
		return 6
	}
	return 7
}

// overBare is how much longer than the bare operation it may take.
func overBare(of string) float64 {
	switch {
	case !strings.Contains(of, "P-256"):
		return 1.25
	case strings.Contains(of, "cose"):
		return 1.35
	}
	return 1.6
}

// overProgram is how much longer than the program of notation-go signet may take.
// For one verification there is no goal.
func overProgram(of string) float64 {
	switch {
	case strings.Contains(of, "version"):
		return 1.5
	case strings.Contains(of, "sign"):
		return 1
	}
	return 0
}
