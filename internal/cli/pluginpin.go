package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host/plugin"
)

func (a *app) pluginVerifyCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "verify [flags] [plugin_name]...",
		Short: "Compare installed plugins with their pins",
		Long: `Compare installed plugins with their pins

All files of the plugins named, or of all plugins, are read anew. The command
fails when a plugin would not be run: its files changed or cannot be read, it
is gone, or, with "requirePins": true in config.json, it is not pinned or others
could replace it.`,
		Example: a.examples(
			"Compare all plugins with their pins", "plugin verify",
			"Compare one, as JSON", "plugin verify --output json example",
		),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output, "table", "json"); err != nil {
				return err
			}
			return a.verifyPlugins(cmd.Context(), output, args)
		},
		ValidArgsFunction: a.completePlugins,
	}
	a.debugFlag(cmd)
	a.outputFlag(cmd, &output, "table", "json")
	return cmd
}

// comparePlugins compares plugins, or all of them, with their pins.
func (a *app) comparePlugins(ctx context.Context, names []string) (*plugin.Manager, []plugin.PinReport, error) {
	manager, err := a.plugins()
	if err != nil {
		return nil, nil, err
	}
	reports, err := manager.Verify(ctx, names...)
	return manager, reports, err
}

func (a *app) verifyPlugins(ctx context.Context, output string, names []string) error {
	manager, reports, err := a.comparePlugins(ctx, names)
	if err != nil {
		return err
	}
	settings, err := a.settings()
	if err != nil {
		return err
	}
	if output == "json" {
		err = a.json(viewPins(manager, settings.RequirePins, reports))
	} else {
		a.pinTable(reports)
	}
	if err != nil {
		return err
	}
	refused := 0
	for _, report := range reports {
		if report.Refused {
			refused++
		}
	}
	if refused > 0 {
		return fmt.Errorf("%d of %d plugins would not be run", refused, len(reports))
	}
	return nil
}

// pinTable lists the plugins and says below what to do about them.
func (a *app) pinTable(reports []plugin.PinReport) {
	var rows [][]string
	for _, report := range reports {
		version, pinnedAt, source := "", "", ""
		if pin := report.Pin; pin != nil {
			version, pinnedAt, source = pin.PluginVersion, pin.PinnedAt.Format(time.RFC3339), pin.Source
		}
		rows = append(rows, []string{report.Name, version, string(report.Status), pinnedAt, source})
	}
	a.table([]string{"NAME", "VERSION", "STATUS", "PINNED", "SOURCE"}, rows)
	for _, report := range reports {
		if report.Err != nil {
			a.warnf("%v", report.Err)
		}
		if report.Exposed != nil {
			a.warnf("%v", report.Exposed)
		}
	}
}

// pinsView is the JSON of plugin verify (spec/schemas/plugin-verify.json).
type pinsView struct {
	Directory   string    `json:"directory"`
	Keeper      string    `json:"keeper,omitempty"`
	RequirePins bool      `json:"requirePins"`
	Plugins     []pinView `json:"plugins"`
}

type pinView struct {
	Name     string       `json:"name"`
	Status   string       `json:"status"`
	Refused  bool         `json:"refused"`
	Digest   string       `json:"digest,omitempty"`
	Pin      *pinnedView  `json:"pin,omitempty"`
	Changes  []changeView `json:"changes,omitempty"`
	Error    string       `json:"error,omitempty"`
	Exposed  string       `json:"exposed,omitempty"`
	Withheld []string     `json:"withheldEnvironment,omitempty"`
}

type pinnedView struct {
	Digest   string    `json:"digest"`
	Version  string    `json:"version,omitempty"`
	Source   string    `json:"source,omitempty"`
	PinnedAt time.Time `json:"pinnedAt"`
}

type changeView struct {
	Path string `json:"path"`
	Kind string `json:"kind"`
}

func viewPins(manager *plugin.Manager, requirePins bool, reports []plugin.PinReport) *pinsView {
	view := &pinsView{Directory: manager.Dir(), Keeper: manager.Keeper(), RequirePins: requirePins, Plugins: []pinView{}}
	for _, report := range reports {
		entry := pinView{
			Name: report.Name, Status: string(report.Status), Refused: report.Refused, Digest: report.Digest, Withheld: report.Withheld,
		}
		if pin := report.Pin; pin != nil {
			entry.Pin = &pinnedView{pin.Digest, pin.PluginVersion, pin.Source, pin.PinnedAt}
		}
		if report.Err != nil {
			entry.Error = report.Err.Error()
		}
		if report.Exposed != nil {
			entry.Exposed = report.Exposed.Error()
		}
		for _, change := range changesOf(report) {
			entry.Changes = append(entry.Changes, changeView{change.Path, string(change.Kind)})
		}
		view.Plugins = append(view.Plugins, entry)
	}
	return view
}

// changesOf lists in what a plugin differs from its pin.
func changesOf(report plugin.PinReport) []plugin.Change {
	if broken, ok := errors.AsType[*plugin.PinError](report.Err); ok {
		return broken.Changes
	}
	return nil
}

func (a *app) pluginPinCommand() *cobra.Command {
	var yes bool
	var digest string
	cmd := &cobra.Command{
		Use:   "pin [flags] <plugin_name>...",
		Short: "Pin plugins as they are",
		Long: `Pin plugins as they are

A plugin that is pinned runs only as long as its files stay as they are. Where
the files differ from an earlier pin, the differences are shown and a question
is asked. No plugin is run.`,
		Example: a.examples(
			"Pin a plugin, or accept its changed files after a question", "plugin pin example",
			"Accept the files that have a digest, as shown by plugin verify --output json", "plugin pin --digest sha256:<digest> example",
		),
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return errors.New("plugin name is required")
			case len(args) > 1 && digest != "":
				return errors.New("--digest is for one plugin")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.pinPlugins(cmd.Context(), args, digest, yes)
		},
		ValidArgsFunction: a.completePlugins,
	}
	a.debugFlag(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not prompt for confirmation")
	cmd.Flags().StringVar(&digest, "digest", "", "pin the plugin without a prompt if it has this digest")
	return cmd
}

// pinPlugins pins what was looked at, and nothing that changes after that.
func (a *app) pinPlugins(ctx context.Context, names []string, digest string, yes bool) error {
	manager, reports, err := a.comparePlugins(ctx, names)
	if err != nil {
		return err
	}
	var changed []string
	for _, report := range reports {
		switch {
		case report.Status == plugin.PluginAbsent || report.Status == plugin.PinUnknown:
			return report.Err
		case digest != "" && digest != report.Digest:
			return fmt.Errorf("plugin %s is not pinned: its files have the digest %s, not %s", report.Name, report.Digest, digest)
		case report.Status == plugin.PinBroken:
			changed = append(changed, report.Name)
			a.printf("Plugin %s differs from its pin:\n", report.Name)
			for _, change := range changesOf(report) {
				a.printf("  %s %s\n", change.Kind, printable(change.Path))
			}
		}
	}
	if len(changed) > 0 {
		question := fmt.Sprintf("Are you sure you want to accept the changed files of plugin %s?", strings.Join(changed, ", "))
		confirmed, err := a.confirm(question, yes || digest != "")
		if err != nil || !confirmed {
			return err
		}
	}
	for _, report := range reports {
		if _, err := manager.PinDigest(ctx, report.Name, report.Digest); err != nil {
			return err
		}
		a.printf("Successfully pinned plugin %s to %s\n", report.Name, report.Digest)
	}
	return nil
}

func (a *app) pluginWithholdCommand() *cobra.Command {
	var none bool
	cmd := &cobra.Command{
		Use:   "withhold [flags] <plugin_name> [variable]...",
		Short: "Withhold environment variables from a plugin",
		Long: `Withhold environment variables from a plugin

Plugins get the environment without registry credentials. The variables named are
withheld besides, in place of those named before; a * at the end of a name
stands for any rest. Without variables, the command lists those withheld.`,
		Example: a.examples(
			"Withhold variables from a plugin", `plugin withhold example GITHUB_TOKEN "AZURE_*"`,
			"List what is withheld", "plugin withhold example",
			"Withhold nothing any more", "plugin withhold --none example",
		),
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return errors.New("plugin name is required")
			case len(args) > 1 && none:
				return errors.New("--none goes without variables")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			manager, err := a.plugins()
			if err != nil {
				return err
			}
			name, variables := args[0], args[1:]
			if len(variables) > 0 || none {
				if err := manager.Withhold(cmd.Context(), name, variables); err != nil {
					return err
				}
			}
			withheld, err := manager.Withheld(name)
			if err != nil {
				return err
			}
			for _, variable := range withheld {
				a.printf("%s\n", variable)
			}
			return nil
		},
		ValidArgsFunction: a.completePlugin,
	}
	a.debugFlag(cmd)
	cmd.Flags().BoolVar(&none, "none", false, "withhold no variable")
	return cmd
}

// completePlugins offers the plugins that are not among the arguments yet.
func (a *app) completePlugins(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	left := slices.DeleteFunc(a.pluginNames(), func(name string) bool { return slices.Contains(args, name) })
	return left, cobra.ShellCompDirectiveNoFileComp
}

// completePlugin offers the plugins for the first argument.
func (a *app) completePlugin(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completePlugins(cmd, args, word)
}
