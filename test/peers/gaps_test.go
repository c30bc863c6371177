package peers

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/spec/vectors"
)

// differencesFile is the table of what both implementations do with the same
// input, where the specification asks for more than notation-go is known to do.
const differencesFile = "../../spec/reference-differences.md"

// probe gives both implementations the same input and says in a few words what
// each did with it.
type probe struct {
	gap, rows string
	// input is what both are given.
	input string
	run   func(t *testing.T) (theirs, ours string)
	// agree tells that no difference is expected.
	agree bool
}

// The words for what a verifier does with an input.
const (
	accepted = "accepted"
	refused  = "refused"
)

// said puts a result into those words.
func said(err error) string {
	if err != nil {
		return refused
	}
	return accepted
}

// notRun lists the gaps that take more than the libraries to show, with the
// reason.
var notRun = []struct{ gap, rows, reason string }{
	{"G08", "PLG-17", "there is no contract version beside 1.0 yet"},
	{"G10", "PLG-21", "notation-go v1.3.2 does not sign files"},
	{"G13", "TP-19", "notation-go v1.3.2 has no trust policy for files"},
	{"G18", "BLOB-11", "notation-go v1.3.2 does not verify files"},
	{"G38", "CLI-36", "in the notation program, not in its libraries"},
	{"G39", "CLI-41", "in the notation program, not in its libraries"},
	{"G40", "KEY-04", "in the notation program, not in its libraries"},
	{"G41", "BLOB-08", "in the notation program, not in its libraries"},
	{"G42", "CLI-17, VER-24", "in the notation program, not in its libraries"},
	{"G43", "PLG-75", "in the notation program, not in its libraries"},
	{"G44", "BLOB-12, BLOB-14", "in the notation program, not in its libraries"},
	{"G45", "CLI-27", "in the notation program, not in its libraries"},
	{"G46", "KEY-15", "a command of the program that notation does not have"},
	{"G48", "REG-18", "the notation program's HTTP client, not its libraries'"},
	{"G54", "REG-06", "a setting of the notation program, not of its libraries"},
	{"G56", "CLI-39, CLI-40", "in the notation program, not in its libraries"},
}

// lastGap is the number of the last gap known.
const lastGap = 58

// TestGaps runs every probe, and holds the table of what came of them. Where the
// two agree against expectation, notation-go may have caught up.
func TestGaps(t *testing.T) {
	probes := allProbes()
	rows := make([]string, len(probes))
	t.Run("all", func(t *testing.T) {
		for i, p := range probes {
			t.Run(p.gap+" "+p.input, func(t *testing.T) {
				t.Parallel()
				theirs, ours := p.run(t)
				if (theirs == ours) != p.agree {
					t.Errorf("notation-go: %s; signet: %s; they were to agree: %t", theirs, ours, p.agree)
				}
				rows[i] = fmt.Sprintf("| %s | %s | %s | %s | %s |\n", p.gap, p.rows, p.input, theirs, ours)
			})
		}
	})
	covered := map[string]bool{}
	for i, p := range probes {
		covered[p.gap] = true
		if rows[i] == "" {
			return // something failed, or -run left something out
		}
	}
	var left []string
	for _, n := range notRun {
		if covered[n.gap] {
			t.Errorf("%s is called not run, and was", n.gap)
		}
		covered[n.gap] = true
		left = append(left, fmt.Sprintf("| %s | %s | %s |\n", n.gap, n.rows, n.reason))
	}
	for n := 1; n <= lastGap; n++ {
		if gap := fmt.Sprintf("G%02d", n); !covered[gap] {
			t.Errorf("%s is neither run nor called not run", gap)
		}
	}
	hold(t, differencesFile, fmt.Appendf(nil, differencesPage, versions(t), strings.Join(rows, ""), strings.Join(left, "")))
	t.Logf("%d inputs for %d gaps, %d gaps not run", len(probes), lastGap-len(notRun), len(notRun))
}

const differencesPage = `# The same input to both

Places where the specifications, or the wish to be safe, ask for more than the
reference implementation is known to do: what each does with the same input.
"notation-go" stands for %s; gaps and rows are numbered as in the project's
inventory of requirements ([requirements.tsv](requirements.tsv)).

` + "`go -C test/peers test -run TestGaps`" + ` finds this out anew and fails when a line is
not true any more; with ` + "`-update`" + ` it writes this page. What a user notices of it is
in [compatibility.md](compatibility.md). The [vectors](vectors) have the envelopes
named here and many more, with notation-go's verdict where it is another.

| gap | rows | input | notation-go | signet |
|-|-|-|-|-|
%s
## Not run

| gap | rows | why |
|-|-|-|
%s`

// allProbes lists the probes in the order of the gaps.
func allProbes() []probe {
	return []probe{
		vector("G01", "ENV-21, VER-26", "signature with an unknown critical attribute", "env-21-unknown-critical-attribute-jws"),
		vector("G01", "ENV-21", "the same in COSE", "env-21-unknown-critical-attribute-cose"),
		vector("G01", "ENV-21", "signature with a critical b64", "env-21-critical-b64-jws"),
		vector("G01", "ENV-45", "signature with a minimum plugin version and no plugin", "env-45-minimum-version-without-a-plugin-jws"),
		{"G02", "PLG-55", "critical attribute for a plugin whose only check the policy skips", skippedPlugin, false},
		{"G03", "PLG-46", "what a plugin is told of attributes nobody processed, one critical and one not", unprocessedTold, false},
		{"G04", "PLG-44, PLG-45", "what a plugin is told of a signature that never expires", criticalTold, false},
		{"G05", "PLG-49", "plugin that answers for a check it was not asked for", extraResult, false},
		{"G05", "PLG-51", "plugin that processed an attribute the signature does not have", extraAttribute, false},
		{"G06", "PLG-08", "the request for metadata", metadataRequest, false},
		{"G07", "PLG-10", "plugin that ends with status 2 and an error in JSON", statusTwo, false},
		{"G09", "PLG-03", "plugin executable that is a symbolic link", linkedPlugin, false},
		{"G11", "PLG-26", "plugin that says it signed with another algorithm", otherAlgorithm, false},
		{"G12", "PLG-31", "envelope of a plugin, countersigned by a certificate for code signing", badCountersignature, false},
		{"G14", "TP-17", "policy that skips all repositories", policyOf(skipEverything), false},
		{"G15", "TP-32", "two identities that one certificate can have", policyOf(overlapping), false},
		vector("G16", "TP-30", "signer with an e-mail address in its subject", "tp-30-subject-with-an-e-mail-address-jws"),
		vector("G16", "TP-30", "signer with two organisational units", "tp-30-subject-with-two-organisational-units-jws"),
		{"G16", "TP-30", "policy with an identity of several values (OU=a+OU=b)", policyOf(multiValued), true},
		{"G17", "TS-04", "trust store with a README in it", storeOf(withReadme), false},
		{"G17", "TS-05", "trust store with a sub-directory", storeOf(withDirectory), false},
		{"G19", "VER-08", "good signature behind a manifest with two layers", badNeighbours, false},
		{"G20", "MAN-19", "signature whose thumbprints are of no trusted certificate", strangersThumbprints, false},
		vector("G21", "CERT-10", "leaf for any extended key usage", "cert-10-leaf-for-any-purpose-as-well-jws"),
		vector("G22", "CERT-05", "intermediate whose basic constraints are not critical", "cert-05-intermediate-with-basic-constraints-not-critical-jws"),
		vector("G23", "CERT-13", "self-signed leaf signed with SHA-1", "cert-13-self-signed-leaf-signed-with-sha-1-jws"),
		vector("G24", "CERT-14", "time-stamping authority with an unknown critical extension", "cert-14-unknown-critical-extension-in-the-authority-jws"),
		{"G25", "REV-08", "OCSP answer that the certificate signed for itself", status(selfVouched), false},
		{"G25", "REV-08", "OCSP answer by a responder whose certificate has expired", status(expiredResponder), false},
		{"G26", "REV-14", "OCSP answer by a revoked responder without nocheck", status(revokedResponder), false},
		{"G27", "REV-10", "OCSP answer without nextUpdate", status(noNextUpdate), false},
		{"G27", "REV-10", "OCSP answer from the future", status(fromTheFuture), false},
		{"G28", "REV-16", "two CRL distribution points, the first of which is gone", status(firstPointGone), false},
		{"G28", "REV-17", "CRL distribution points of ldap and http", status(ldapPoint), false},
		{"G29", "REV-21", "expired CRL that lists the certificate", status(expiredList), false},
		{"G30", "REV-22", "CRL past its NextPublish, the certificate revoked since", status(nextPublish), false},
		{"G31", "REV-27", "freshest CRL named by the certificate alone, which lists it", status(freshestInCertificate), false},
		{"G32", "REV-13", "certificate revoked for the time after the timestamp", revokedLater, false},
		vector("G33", "ENV-11", "JWS envelope with a fifth member", "env-11-unknown-member-jws"),
		vector("G33", "ENV-48", "JWS envelope whose payload is called PAYLOAD", "env-48-member-in-capitals-jws"),
		vector("G34", "ENV-39", "x5chain in the protected header", "env-39-x5chain-in-the-protected-header-cose"),
		vector("G35", "ENV-22", "both signing times in COSE", "env-22-authentic-signing-time-besides-cose"),
		{"G36", "ENV-05", "descriptor with an artifact type to sign", signedArtifactType, true},
		{"G37", "ENV-08", "descriptor of size 9007199254740993 to sign in JWS", signedSize, false},
		{"G47", "KEY-13", "the old key list, when a key is added", oldKeyList, false},
		{"G49", "REV-15", "OCSP answer about the same serial number of another issuer", status(otherIssuer), false},
		{"G50", "TSA-18", "time-stamping asked for, the key behind a plugin that makes envelopes", uselessFlags, false},
		agreed(vector("G51", "TSA-13", "countersignature with RSASSA-PKCS1-v1_5", "tsa-13-rsassa-pkcs1-v1-5-jws")),
		{"G52", "TS-02", "trust store called \"..\"", storeCalledDots, false},
		{"G53", "PLG-04", "plugin called \"../x\", and one is there", pluginCalledDots, false},
		vector("G55", "ENV-17", "crit that lists kid", "env-17-registered-header-kid-is-critical-jws"),
		vector("G55", "ENV-36", "crit that lists label 1", "env-36-label-1-is-critical-cose"),
		vector("G55", "ENV-17", "crit that lists the signing time, in COSE", "env-17-signing-time-is-critical-cose"),
		vector("G55", "ENV-19", "crit that lists the signing scheme twice, in COSE", "env-19-signing-scheme-critical-twice-cose"),
		{"G57", "REV-37", "CRL for certificates of authorities alone", status(authoritiesOnly), false},
		{"G58", "TP-28", "identity with CN=", policyOf(emptyValue), false},
	}
}

func agreed(p probe) probe { p.agree = true; return p }

// vector is a probe with one of the test vectors.
func vector(gap, rows, input, id string) probe {
	return probe{gap: gap, rows: rows, input: input, run: func(t *testing.T) (theirs, ours string) {
		v := vectorByID(t, id)
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(v.Time)) // the clock of notation-go is the test's in here
			verdict, _ := judge(t, v)
			theirs = accepted
			if verdict != vectors.Valid {
				theirs = refused
			}
			ours = said(bySignet(t, v))
		})
		return theirs, ours
	}}
}

func vectorByID(t *testing.T, id string) vectors.Vector {
	t.Helper()
	all, err := vectors.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		if v.ID == id {
			return v
		}
	}
	t.Fatalf("there is no vector %s", id)
	return vectors.Vector{}
}

// bySignet has signet verify a vector.
func bySignet(t *testing.T, v vectors.Vector) error {
	t.Helper()
	dir := t.TempDir()
	at, config := filepath.Join(dir, "layout"), filepath.Join(dir, "config")
	if err := errors.Join(v.WriteLayout(at), v.WriteConfig(config)); err != nil {
		t.Fatal(err)
	}
	repository, err := artifact.OpenLayout(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	checks := &host.Verifier{Policies: trust.FilePolicies{Dir: config}, Stores: trust.NewDirStore(filepath.Join(config, "truststore"), nil)}
	_, err = checks.VerifyArtifact(t.Context(), repository, host.ArtifactRequest{
		Reference: v.Artifact.Digest, Name: vectors.Scope, Scope: vectors.Scope, MaxSignatures: host.DefaultMaxSignatures,
	})
	return err
}
