package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host/plugin"
	"github.com/signet-project/signet/protocol"
)

func (a *app) pluginCommand() *cobra.Command {
	return a.group("plugin", "Manage plugins", nil,
		a.pluginListCommand(), a.pluginInstallCommand(), a.pluginUninstallCommand(), a.pluginTestCommand(),
		a.pluginVerifyCommand(), a.pluginPinCommand(), a.pluginWithholdCommand(), a.pluginPublishCommand())
}

func (a *app) pluginListCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "list [flags]",
		Aliases: []string{"ls"},
		Short:   "List installed plugins",
		Example: a.examples(
			"List the plugins with what they can do", "plugin list",
			"List them as JSON", "plugin list --output json",
		),
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output, "table", "json"); err != nil {
				return err
			}
			manager, err := a.plugins()
			if err != nil {
				return err
			}
			entries, err := manager.List(cmd.Context())
			if err != nil {
				return err
			}
			if output == "json" {
				return a.json(a.pluginViews(entries))
			}
			a.pluginTable(entries)
			return nil
		},
	}
	a.debugFlag(cmd)
	a.outputFlag(cmd, &output, "table", "json")
	return cmd
}

// capabilityNames are the capabilities in words (PLG-75).
var capabilityNames = map[protocol.Capability]string{
	protocol.CapabilitySignatureGenerator:      "Signature generation",
	protocol.CapabilityEnvelopeGenerator:       "Signature envelope generation",
	protocol.CapabilityBlobEnvelopeGenerator:   "Signature envelope generation for blobs",
	protocol.CapabilityTrustedIdentityVerifier: "Trusted Identity validation",
	protocol.CapabilityRevocationCheckVerifier: "Certificate chain revocation check",
}

func (a *app) pluginTable(entries []plugin.Entry) {
	var rows [][]string
	for _, entry := range entries {
		metadata := entry.Metadata
		if metadata == nil {
			metadata = &protocol.Metadata{}
		}
		failure := "<nil>"
		if entry.Err != nil {
			failure = a.inOurName(entry.Err.Error())
		}
		rows = append(rows, []string{entry.Name, metadata.Description, metadata.Version, readableCapabilities(metadata.Capabilities), failure})
	}
	a.table([]string{"NAME", "DESCRIPTION", "VERSION", "CAPABILITIES", "ERROR"}, rows)
}

// readableCapabilities lists capabilities in words, unknown ones as they are.
func readableCapabilities(capabilities []protocol.Capability) string {
	names := make([]string, len(capabilities))
	for i, capability := range capabilities {
		names[i] = cmp.Or(capabilityNames[capability], string(capability))
	}
	return strings.Join(names, ", ")
}

// pluginView is a plugin in JSON output; a list of them is that of plugin list
// (spec/schemas/plugin-list.json).
type pluginView struct {
	Name         string                `json:"name"`
	Description  string                `json:"description,omitempty"`
	Version      string                `json:"version,omitempty"`
	URL          string                `json:"url,omitempty"`
	Capabilities []protocol.Capability `json:"capabilities,omitempty"`
	Error        string                `json:"error,omitempty"`
}

func viewPlugin(m *protocol.Metadata) *pluginView {
	return &pluginView{Name: m.Name, Description: m.Description, Version: m.Version, URL: m.URL, Capabilities: m.Capabilities}
}

func (a *app) pluginViews(entries []plugin.Entry) []*pluginView {
	views := []*pluginView{}
	for _, entry := range entries {
		view := &pluginView{Name: entry.Name}
		if entry.Metadata != nil {
			view = viewPlugin(entry.Metadata)
		}
		if entry.Err != nil {
			view.Error = a.inOurName(entry.Err.Error())
		}
		views = append(views, view)
	}
	return views
}

func (a *app) pluginUninstallCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:     "uninstall [flags] <plugin_name>",
		Aliases: []string{"remove", "rm"},
		Short:   "Uninstall a plugin",
		Example: a.examples(
			"Uninstall a plugin", "plugin uninstall example",
			"Do so without a question", "plugin uninstall --yes example",
		),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("plugin name is required")
			}
			if len(args) > 1 {
				return errors.New("only one plugin can be removed at a time")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			manager, err := a.plugins()
			if err != nil {
				return err
			}
			if err := a.findPlugin(manager, args[0]); err != nil {
				return err
			}
			confirmed, err := a.confirm(fmt.Sprintf("Are you sure you want to uninstall plugin %q?", args[0]), yes)
			if err != nil || !confirmed {
				return err
			}
			if err := manager.Uninstall(cmd.Context(), args[0]); err != nil {
				return fmt.Errorf("failed to uninstall plugin %s: %w", args[0], err)
			}
			a.printf("Successfully uninstalled plugin %s\n", args[0])
			return nil
		},
		ValidArgsFunction: a.completePlugin,
	}
	a.debugFlag(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not prompt for confirmation")
	return cmd
}

// findPlugin fails when there is nothing to uninstall; a plugin that cannot be
// run is something.
func (a *app) findPlugin(manager *plugin.Manager, name string) error {
	_, err := manager.Find(name)
	if _, bad := errors.AsType[*plugin.NameError](err); bad {
		return err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	names, err := manager.Names()
	if err != nil || slices.Contains(names, name) {
		return err
	}
	return fmt.Errorf("unable to find plugin %s.\nTo view a list of installed plugins, use `%s plugin list`", name, a.name)
}
