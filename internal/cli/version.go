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

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Show the version information",
		Example: a.examples("Show version and platform", "version"),
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
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
