package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/doctor"
)

func (a *app) doctorCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "doctor [flags] [registry]...",
		Short: "Examine the installation, and say what to do",
		Long: `Examine the installation, and say what to do

Looks at the configuration, who may change its files, trust policies, trust stores,
signing keys and plugins. Registries that are named are asked whether they can be
reached, take the credentials at hand and have the same time; without one, nothing
uses the network. Nothing is changed. The exit status is 1 when something is broken,
and 0 when there are warnings alone.`,
		Example: a.examples(
			"Examine the installation", "doctor",
			"Ask a registry, too, and compare the clocks", "doctor registry.example.com",
			"Get the findings as JSON", "doctor --output json",
		),
	}
	registry := a.registryFlags(cmd)
	a.debugFlag(cmd)
	a.outputFlag(cmd, &output, "text", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkOutput(output, "text", "json"); err != nil {
			return err
		}
		plugins, err := a.pluginOptions()
		if err != nil {
			return err
		}
		examiner := &doctor.Doctor{
			Dirs: a.dirs, Program: a.name, Registries: args,
			DockerConfigFile: artifact.DockerConfigFile(a.getenv, a.Home),
			Plugins:          plugins,
			Now:              a.Now,
			Client:           func() (*artifact.Client, error) { return a.client(registry) },
		}
		view := viewFindings(examiner.Examine(cmd.Context()))
		if output == "json" {
			if err := a.json(view); err != nil {
				return err
			}
		} else {
			view.print(a)
		}
		if view.Errors > 0 {
			return fmt.Errorf("%s must be mended: see above", plural(view.Errors, "finding"))
		}
		return nil
	}
	return cmd
}

// doctorView is the JSON of doctor (spec/schemas/doctor.json).
type doctorView struct {
	Findings []findingView `json:"findings"`
	Errors   int           `json:"errors"`
	Warnings int           `json:"warnings"`
}

type findingView struct {
	Area     doctor.Area     `json:"area"`
	Severity doctor.Severity `json:"severity"`
	Subject  string          `json:"subject"`
	Message  string          `json:"message"`
	Remedy   string          `json:"remedy,omitempty"`
}

func viewFindings(findings []doctor.Finding) *doctorView {
	view := &doctorView{Findings: []findingView{}}
	for _, finding := range findings {
		view.Findings = append(view.Findings, findingView(finding))
		switch finding.Severity {
		case doctor.Broken:
			view.Errors++
		case doctor.Warning:
			view.Warnings++
		}
	}
	return view
}

// print writes the findings below their areas, with what to do about each.
func (v *doctorView) print(a *app) {
	area := doctor.Area("")
	for _, f := range v.Findings {
		if f.Area != area {
			if area != "" {
				a.printf("\n")
			}
			area = f.Area
			a.printf("%s\n", area)
		}
		a.printf("  %-8s%s: %s\n", f.Severity, printable(f.Subject), printable(f.Message))
		if f.Remedy != "" {
			a.printf("  %-8s→ %s\n", "", printable(f.Remedy))
		}
	}
	a.printf("\n%s, %s.\n", plural(v.Errors, "error"), plural(v.Warnings, "warning"))
}

// plural counts things.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
