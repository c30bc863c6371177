package cli

import (
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host/conformance"
	"github.com/signet-project/signet/protocol"
)

func (a *app) pluginTestCommand() *cobra.Command {
	var ids, pluginConfig []string
	var timeout time.Duration
	var output string
	cmd := &cobra.Command{
		Use:   "test [flags] <name_or_path>",
		Short: "Judge a plugin by the plugin protocol",
		Long: `Judge a plugin by the plugin protocol

Runs a plugin, installed or not, through every clause of the protocol that can be
seen from outside, and says which hold. Name a file by a path with a separator in
it, such as ./notation-example. What signing takes is judged with the keys given
by --id, which share the configuration. The plugin gets no terminal.

The plugin is executed some hundred times, with requests that are wrong in many
ways, and signs with the keys given. The exit status is 1 when a MUST is broken.`,
		Example: a.examples(
			"Judge an installed plugin", "plugin test example",
			"Judge a file with two keys, so that signatures are judged, too", "plugin test ./notation-example --id ec.key --id rsa.key --plugin-config certificate_chain=chain.pem",
			"Write a report for CI", "plugin test ./notation-example --output junit > report.xml",
		),
		Args: exactlyOne("missing the name of a plugin or the path of an executable", "only one plugin can be tested at a time"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output, "table", "json", "junit"); err != nil {
				return err
			}
			config, err := keyValues("plugin-config", pluginConfig)
			if err != nil {
				return err
			}
			if timeout <= 0 {
				return fmt.Errorf("timeout %v must be positive", timeout)
			}
			path, environ, err := a.testedPlugin(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			report, err := conformance.Run(cmd.Context(), conformance.Options{
				Path: path, Keys: ids, Config: config, Environ: environ, Secrets: secrets(environ), Timeout: timeout, Now: a.Now, Logger: a.log(),
			})
			if err != nil {
				return fmt.Errorf("test plugin %s: %w", args[0], err)
			}
			return a.conformance(report, output)
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return a.pluginNames(), cobra.ShellCompDirectiveDefault // or a file
		},
	}
	a.debugFlag(cmd)
	cmd.Flags().StringArrayVar(&ids, "id", nil, "id of a key that the plugin can sign with; may be given several times, best for each key type, and one whose chain is a self-signed certificate")
	pluginConfigFlag(cmd, &pluginConfig)
	cmd.Flags().DurationVar(&timeout, "timeout", conformance.DefaultTimeout, "how long a call may take")
	a.outputFlag(cmd, &output, "table", "json", "junit")
	return cmd
}

// testedPlugin finds the executable, by path or among those installed, and the
// environment it gets. An installed plugin must be as it was pinned.
func (a *app) testedPlugin(ctx context.Context, argument string) (path string, environ []string, err error) {
	manager, err := a.plugins()
	if err != nil {
		return "", nil, err
	}
	if strings.ContainsRune(argument, '/') || strings.ContainsRune(argument, filepath.Separator) {
		if _, err := os.Lstat(argument); err != nil {
			return "", nil, fmt.Errorf("test plugin: %w", err)
		}
		return argument, manager.Environ(), nil
	}
	path, environ, err = manager.Locate(ctx, argument)
	if errors.Is(err, fs.ErrNotExist) {
		if _, missing := os.Lstat(argument); missing == nil {
			err = fmt.Errorf("%w; to test the file in this directory, write .%c%s", err, filepath.Separator, argument)
		}
	}
	return path, environ, err
}

// secrets lists the values in an environment that look like secrets by their names.
func secrets(environ []string) []string {
	const shortest = 6 // bytes; shorter ones turn up by chance
	var values []string
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		name = strings.ToUpper(name)
		secret := slices.ContainsFunc([]string{"TOKEN", "SECRET", "PASSWORD", "PASSPHRASE", "CREDENTIAL", "_PIN"}, func(part string) bool { return strings.Contains(name, part) })
		place := slices.ContainsFunc([]string{"_FILE", "_PATH", "_DIR", "_URL", "_URI"}, func(end string) bool { return strings.HasSuffix(name, end) })
		if secret && !place && len(value) >= shortest {
			values = append(values, value)
		}
	}
	return values
}

// conformance renders a report; the error says that the plugin does not conform.
func (a *app) conformance(report *conformance.Report, output string) error {
	var err error
	switch output {
	case "json":
		err = a.json(viewReport(report))
	case "junit":
		err = a.junit(report)
	default:
		a.reportTable(report)
	}
	if err != nil || report.Conforms() {
		return err
	}
	var broken []string
	for _, result := range report.Results {
		if result.Verdict == conformance.Failed && result.Level == conformance.Must {
			broken = append(broken, result.ID)
		}
	}
	return fmt.Errorf("plugin %s does not conform: it breaks %s", filepath.Base(report.Path), strings.Join(broken, ", "))
}

func (a *app) reportTable(report *conformance.Report) {
	var rows [][]string
	for _, r := range report.Results {
		detail := r.Text
		if r.Reason != "" {
			detail = r.Reason
		}
		rows = append(rows, []string{string(r.Verdict), string(r.Level), r.ID, r.Section, detail})
	}
	a.table([]string{"VERDICT", "LEVEL", "CLAUSE", "SECTION", "DETAIL"}, rows)
	hint := false
	for _, r := range report.Results {
		hint = hint || r.Reason == conformance.ReasonNoKey
		if r.Verdict == conformance.Failed {
			a.printf("\n%s, %s: %s\n", r.ID, r.Level, r.Text)
		}
		for _, f := range r.Failures {
			if f.Key != "" {
				a.printf("  key:      %s\n", printable(f.Key))
			}
			a.printf("  expected: %s\n  seen:     %s\n", printable(f.Expected), printable(f.Seen))
		}
	}
	a.printf("\n%s\n", summary(report))
	if len(report.Keys) > 0 {
		a.printf("Judged with the keys %s.\n", printable(keyList(report.Keys)))
	}
	if hint {
		a.printf("Some clauses take a key that the plugin can sign with: name one with --id.\n")
	}
	for _, advice := range report.Advice {
		a.printf("%s\n", advice)
	}
}

// keyList names keys and what they are.
func keyList(keys []conformance.Key) string {
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = fmt.Sprintf("%s (%s)", key.ID, cmp.Or(string(key.Spec), "not described"))
	}
	return strings.Join(names, ", ")
}

// summary is the outcome in a line.
func summary(report *conformance.Report) string {
	name := filepath.Base(report.Path)
	if report.Metadata.Version != "" {
		name += " " + printable(report.Metadata.Version)
	}
	verdict := "conforms"
	switch {
	case !report.Conforms():
		verdict = "does not conform"
	case !report.Complete():
		verdict = "conforms as far as it was judged"
	}
	total := func(v conformance.Verdict) int {
		return report.Count(conformance.Must, v) + report.Count(conformance.Should, v)
	}
	return fmt.Sprintf("%s %s: %d passed, %d broken (%d MUST, %d SHOULD), %d not run, %d not applicable; %d invocations in %v",
		name, verdict, total(conformance.Passed), total(conformance.Failed), report.Count(conformance.Must, conformance.Failed), report.Count(conformance.Should, conformance.Failed),
		total(conformance.NotRun), total(conformance.NotApplicable), report.Invocations, report.Took.Round(time.Millisecond))
}

// reportView is the JSON of plugin test (spec/schemas/plugin-test.json).
type reportView struct {
	Path         string                `json:"path"`
	Name         string                `json:"name,omitempty"`
	Version      string                `json:"version,omitempty"`
	Capabilities []protocol.Capability `json:"capabilities,omitempty"`
	Conforms     bool                  `json:"conforms"`
	Complete     bool                  `json:"complete"`
	Keys         []testedKeyView       `json:"keys,omitempty"`
	Advice       []string              `json:"advice,omitempty"`
	Invocations  int                   `json:"invocations"`
	Started      time.Time             `json:"started"`
	Seconds      float64               `json:"seconds"`
	Results      []resultView          `json:"results"`
}

type resultView struct {
	ID       string              `json:"id"`
	Level    conformance.Level   `json:"level"`
	Section  string              `json:"section"`
	Rows     []string            `json:"rows,omitempty"`
	Text     string              `json:"text"`
	Verdict  conformance.Verdict `json:"verdict"`
	Reason   string              `json:"reason,omitempty"`
	Keys     []string            `json:"keys,omitempty"`
	Failures []failureView       `json:"failures,omitempty"`
}

type failureView struct {
	Key      string `json:"key,omitempty"`
	Expected string `json:"expected"`
	Seen     string `json:"seen"`
}

type testedKeyView struct {
	ID   string           `json:"id"`
	Spec protocol.KeySpec `json:"keySpec,omitempty"`
}

func viewReport(report *conformance.Report) *reportView {
	m := report.Metadata
	view := &reportView{
		Path: report.Path, Name: m.Name, Version: m.Version, Capabilities: m.Capabilities, Conforms: report.Conforms(), Complete: report.Complete(), Advice: report.Advice,
		Invocations: report.Invocations, Started: report.Started.UTC().Truncate(time.Second), Seconds: report.Took.Seconds(),
	}
	for _, key := range report.Keys {
		view.Keys = append(view.Keys, testedKeyView(key))
	}
	for _, r := range report.Results {
		result := resultView{ID: r.ID, Level: r.Level, Section: r.Section, Rows: r.Rows, Text: r.Text, Verdict: r.Verdict, Reason: r.Reason, Keys: r.Keys}
		for _, f := range r.Failures {
			result.Failures = append(result.Failures, failureView(f))
		}
		view.Results = append(view.Results, result)
	}
	return view
}

// The elements of a JUnit report.
type (
	junitSuite struct {
		XMLName  xml.Name    `xml:"testsuite"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string      `xml:"classname,attr"`
		Name    string      `xml:"name,attr"`
		Failure *junitText  `xml:"failure"`
		Skipped *junitShort `xml:"skipped"`
	}
	junitText struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	junitShort struct {
		Message string `xml:"message,attr"`
	}
)

// failureText tells of failures in a line.
func failureText(failures []conformance.Failure) string {
	texts := make([]string, len(failures))
	for i, f := range failures {
		texts[i] = fmt.Sprintf("expected: %s; seen: %s", f.Expected, f.Seen)
		if f.Key != "" {
			texts[i] = fmt.Sprintf("key %s: %s", f.Key, texts[i])
		}
	}
	return strings.Join(texts, "; ")
}

// junit prints a report as CI systems read it: a SHOULD that does not hold is a
// skipped test, with the reason why, because it does not make the plugin fail.
func (a *app) junit(report *conformance.Report) error {
	suite := junitSuite{Name: filepath.Base(report.Path), Tests: len(report.Results), Time: fmt.Sprintf("%.3f", report.Took.Seconds())}
	for _, r := range report.Results {
		test := junitCase{Class: r.Section, Name: r.ID + ": " + r.Text}
		seen := failureText(r.Failures)
		switch {
		case r.Verdict == conformance.Failed && r.Level == conformance.Must:
			suite.Failures++
			test.Failure = &junitText{Message: "does not hold", Text: seen}
		case r.Verdict == conformance.Failed:
			suite.Skipped++
			test.Skipped = &junitShort{Message: "SHOULD does not hold: " + seen}
		case r.Verdict != conformance.Passed:
			suite.Skipped++
			test.Skipped = &junitShort{Message: string(r.Verdict) + ": " + r.Reason}
		}
		suite.Cases = append(suite.Cases, test)
	}
	text, err := xml.MarshalIndent(suite, "", "  ")
	if err != nil {
		return err
	}
	a.printf("%s%s\n", xml.Header, text)
	return nil
}
