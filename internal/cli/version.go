package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version and commit are set by the linker.
var (
	version = "0.1.0-dev"
	commit  = ""
)

// Version is the version of the program, a semantic version.
func Version() string { return version }

// versionView is the JSON of version (spec/schemas/version.json).
type versionView struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	GoVersion string `json:"goVersion"`
	OS        string `json:"os"`
	Arch      string `json:"arch"`
	GitCommit string `json:"gitCommit,omitempty"`
}

func (a *app) versionCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "version [flags]",
		Short: "Show the version information",
		Example: a.examples(
			"Show version and platform", "version",
			"Show them as JSON", "version --output json",
		),
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := checkOutput(output, "text", "json"); err != nil {
				return err
			}
			if output == "json" {
				return a.json(&versionView{a.name, Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, gitCommit()})
			}
			a.printf("%s.\n\n", a.title())
			a.printf("Version:     %s\n", Version())
			a.printf("Go version:  %s\n", runtime.Version())
			a.printf("OS/Arch:     %s/%s\n", runtime.GOOS, runtime.GOARCH)
			if revision := gitCommit(); revision != "" {
				a.printf("Git commit:  %s\n", revision)
			}
			return nil
		},
	}
	a.outputFlag(cmd, &output, "text", "json")
	return cmd
}

// gitCommit is the commit the program was built from, when it is known.
func gitCommit() string {
	if commit != "" {
		return commit
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				return setting.Value
			}
		}
	}
	return ""
}
