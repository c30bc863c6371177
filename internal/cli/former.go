package cli

import (
	"slices"

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
	eachCommand(root, func(cmd *cobra.Command, path string) {
		if slices.Contains(formerVerbose, path) {
			cmd.Flags().BoolP("verbose", "v", false, "has no effect: see --debug")
			mustMark(cmd.Flags().MarkHidden("verbose"))
		}
		if slices.Contains(formerReferrers, path) {
			a.formerReferrersFlag(cmd, path)
		}
	})
}

func (a *app) formerReferrersFlag(cmd *cobra.Command, path string) {
	const name = "allow-referrers-api"
	wanted := cmd.Flags().Bool(name, false, "has no effect: the Referrers API is asked first")
	mustMark(cmd.Flags().MarkHidden(name))
	if path == "sign" {
		cmd.MarkFlagsMutuallyExclusive("force-referrers-tag", name)
	}
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
