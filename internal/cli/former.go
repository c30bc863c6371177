package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// Flags of notation v1 that notation v2 does not have any more. Scripts that set them
// go on working; help does not show them.

// formerVerbose are the commands that had --verbose and have none of ours.
var formerVerbose = []string{
	"sign", "list", "inspect", "login", "logout", "key add", "key delete", "key update",
	"certificate list", "certificate show", "plugin uninstall",
}

// formerReferrers are the commands that had --allow-referrers-api.
var formerReferrers = []string{"sign", "verify", "list", "inspect"}

// formerFlags adds them to the commands below root.
func (a *app) formerFlags(root *cobra.Command) {
	for _, path := range formerVerbose {
		flags := commandAt(root, path).Flags()
		flags.BoolP("verbose", "v", false, "has no effect: see --debug")
		mustMark(flags.MarkHidden("verbose"))
	}
	for _, path := range formerReferrers {
		cmd := commandAt(root, path)
		const name = "allow-referrers-api"
		wanted := cmd.Flags().Bool(name, false, "has no effect: the Referrers API is asked first")
		mustMark(cmd.Flags().MarkHidden(name))
		cmd.PreRun = func(*cobra.Command, []string) {
			if !cmd.Flags().Changed(name) {
				return
			}
			remedy := ""
			if *wanted && path == "sign" {
				remedy = ", use '--force-referrers-tag=false' instead"
			}
			a.warnf("flag '--%s' is deprecated and will be removed in future versions%s.", name, remedy)
		}
	}
	commandAt(root, "sign").MarkFlagsMutuallyExclusive("force-referrers-tag", "allow-referrers-api")
}

// commandAt finds a command of this program by its path below root.
func commandAt(root *cobra.Command, path string) *cobra.Command {
	cmd, _, err := root.Find(strings.Fields(path))
	mustMark(err)
	return cmd
}
