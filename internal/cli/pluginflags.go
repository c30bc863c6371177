package cli

import (
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

// pluginRun says how the plugins of a run are run.
type pluginRun struct {
	// timeout bounds each call, repetitions included; 0 means the default.
	timeout time.Duration
	// withheld names environment variables that no plugin gets.
	withheld []string
}

// runsPlugins are the commands that may run plugins in the course of their work.
var runsPlugins = []string{
	"sign", "verify", "inspect", "blob sign", "blob verify", "key describe", "key csr", "key export-public",
	"plugin install", "plugin list", "plugin publish", "doctor",
}

// pluginFlags adds to the commands that run plugins how these are run.
func (a *app) pluginFlags(root *cobra.Command) {
	eachCommand(root, func(cmd *cobra.Command, path string) {
		if !slices.Contains(runsPlugins, path) {
			return
		}
		cmd.Flags().DurationVar(&a.pluginRun.timeout, "plugin-timeout", 0, "how long a call of a plugin may take, repetitions included (default 1m0s, 5m0s on a terminal)")
		cmd.Flags().StringArrayVar(&a.pluginRun.withheld, "plugin-env", nil, `environment variable to withhold from plugins, with * at its end for any rest; see "plugin withhold"`)
	})
}

// check refuses a timeout that is none.
func (r *pluginRun) check() error {
	if r.timeout < 0 {
		return fmt.Errorf("plugin-timeout value %s must be a positive duration", r.timeout)
	}
	return nil
}
