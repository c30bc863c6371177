package cli

import (
	"runtime"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host/semver"
)

// version and commit are set by the linker; empty when they are not.
var version, commit string

// Version is the version of the program, a semantic version. One that go install built
// from a released module has the module's.
func Version() string {
	if version != "" {
		return version
	}
	return moduleVersion()
}

var moduleVersion = sync.OnceValue(func() string {
	const development = "0.1.0-dev"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return development
	}
	return released(info.Main.Version, development)
})

// released is a module's version if that is one of a release, else otherwise: what is
// built in a clone has none, or one made of a time and a commit.
func released(module, otherwise string) string {
	number, ok := strings.CutPrefix(module, "v")
	if _, err := semver.Parse(number); !ok || err != nil || strings.HasPrefix(number, "0.0.0-") || strings.Contains(number, "+") {
		return otherwise
	}
	return number
}

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
