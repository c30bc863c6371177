package cli

import (
	"bytes"
	"encoding/xml"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signet-project/signet/host/conformance"
	"github.com/signet-project/signet/protocol"
)

// everyVerdict is a report with each verdict at each level.
func everyVerdict() *conformance.Report {
	report := &conformance.Report{
		Path: "/plugins/notation-acme", Metadata: &protocol.Metadata{Name: "acme", Version: "1.0.0", Capabilities: []protocol.Capability{protocol.CapabilitySignatureGenerator}},
		Keys:        []conformance.Key{{ID: "ec.key", Spec: protocol.KeySpecEC256}, {ID: "rsa.key"}},
		Advice:      []string{"Try a chain of one."},
		Invocations: 7, Started: time.Now(), Took: 1500 * time.Millisecond,
	}
	for _, level := range []conformance.Level{conformance.Must, conformance.Should} {
		for _, result := range []conformance.Result{
			{Verdict: conformance.Passed},
			{Verdict: conformance.Failed, Keys: []string{"ec.key", "rsa.key"}, Failures: []conformance.Failure{{Key: "ec.key", Expected: "one <thing>", Seen: "another\x1b[2J"}, {Key: "rsa.key", Expected: "a third", Seen: "none"}}},
			{Verdict: conformance.NotApplicable, Reason: "it does nothing"},
			{Verdict: conformance.NotRun, Reason: conformance.ReasonNoKey},
		} {
			result.Clause = conformance.Clause{ID: "call.stdout", Level: level, Section: "plugin-protocol.md#a-call", Rows: []string{"PLG-05"}, Text: "stdout has one object"}
			report.Results = append(report.Results, result)
		}
	}
	return report
}

// render prints a report in a format.
func render(t *testing.T, report *conformance.Report, output string) (text string, err error) {
	t.Helper()
	var out bytes.Buffer
	a := newApp(Env{Args: []string{"signet"}, Stdout: &out, Stderr: &out})
	err = a.conformance(report, output)
	return out.String(), err
}

func TestReport(t *testing.T) {
	t.Parallel()
	report := everyVerdict()
	conforms(t, "plugin-test.json", viewReport(report))
	for _, output := range []string{"table", "json", "junit"} {
		text, err := render(t, report, output)
		if err == nil || !strings.Contains(err.Error(), "notation-acme does not conform: it breaks call.stdout") {
			t.Errorf("%s: %v", output, err)
		}
		if strings.ContainsRune(text, '\x1b') {
			t.Errorf("%s: the plugin steers the terminal: %q", output, text)
		}
	}
	text, _ := render(t, report, "table")
	for _, want := range []string{
		"notation-acme 1.0.0 does not conform: 2 passed, 2 broken (1 MUST, 1 SHOULD), 2 not run, 2 not applicable; 7 invocations in 1.5s\n",
		"\ncall.stdout, MUST: stdout has one object\n  key:      ec.key\n  expected: one <thing>\n  seen:     another", "\n  key:      rsa.key\n  expected: a third\n  seen:     none\n",
		"\nJudged with the keys ec.key (EC-256), rsa.key (not described).\n", "name one with --id", "\nTry a chain of one.\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	report.Results = slices.DeleteFunc(report.Results, func(r conformance.Result) bool {
		return r.Level == conformance.Must && r.Verdict == conformance.Failed
	})
	if text, err := render(t, report, "table"); err != nil || !strings.Contains(text, "conforms as far as it was judged: 2 passed, 1 broken (0 MUST, 1 SHOULD)") {
		t.Errorf("%s, %v", text, err)
	}
}

func TestJUnit(t *testing.T) {
	t.Parallel()
	text, _ := render(t, everyVerdict(), "junit")
	var suite junitSuite
	if err := xml.Unmarshal([]byte(text), &suite); err != nil {
		t.Fatal(err)
	}
	if suite.Tests != 8 || suite.Failures != 1 || suite.Skipped != 5 || len(suite.Cases) != 8 || suite.Time != "1.500" {
		t.Errorf("%+v", suite)
	}
	must, should := suite.Cases[1], suite.Cases[5]
	if must.Failure == nil || must.Skipped != nil || !strings.Contains(must.Failure.Text, "key ec.key: expected: one <thing>") || !strings.Contains(must.Failure.Text, "key rsa.key: expected: a third; seen: none") {
		t.Errorf("a MUST that fails: %+v", must)
	}
	if should.Failure != nil || should.Skipped == nil || !strings.HasPrefix(should.Skipped.Message, "SHOULD does not hold: ") {
		t.Errorf("a SHOULD that fails: %+v", should)
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	got := secrets([]string{"HOME=/home/acme", "VAULT_TOKEN=hvs.12345", "TOKEN_FILE=/run/token", "HSM_PIN=1234", "db_password=correct horse", "EMPTY_SECRET="})
	if want := []string{"hvs.12345", "correct horse"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
