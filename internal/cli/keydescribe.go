package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/protocol"
)

func (a *app) keyDescribeCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "describe [flags] <key_name>",
		Short: "Show what is known about a key of the signing key list",
		Long: `Show what is known about a key of the signing key list

A plugin's key is described by its plugin, which may have to reach the service
that holds the key.`,
		Example: a.examples(
			"Describe a key", "key describe build",
			"Describe it as JSON", "key describe --output json build",
		),
		Args: exactlyOne("missing key name", "describe takes one key name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output, "text", "json"); err != nil {
				return err
			}
			keys, err := a.signingKeys().Load()
			if err != nil {
				return err
			}
			key, err := keys.Get(args[0])
			if err != nil {
				return err
			}
			view, err := a.describeKey(cmd.Context(), key)
			if err != nil {
				return err
			}
			view.Default = key.Name == keys.Default
			if output == "json" {
				return a.json(view)
			}
			view.print(a)
			return nil
		},
		ValidArgsFunction: completeArgs(a.keyNames),
	}
	a.debugFlag(cmd)
	a.outputFlag(cmd, &output, "text", "json")
	return cmd
}

// keyView is the JSON of key describe (spec/schemas/key-describe.json).
type keyView struct {
	config.Key
	Default bool             `json:"default"`
	KeySpec protocol.KeySpec `json:"keySpec"`
	Plugin  *pluginView      `json:"plugin,omitempty"`
}

// describeKey asks whoever holds the key.
func (a *app) describeKey(ctx context.Context, key config.Key) (*keyView, error) {
	view := &keyView{Key: key}
	if key.Local() {
		local, _, err := localKey(key)
		if err != nil {
			return nil, err
		}
		suite, err := local.Suite(ctx)
		view.KeySpec = suite.KeySpec
		return view, err
	}
	plugins, err := a.plugins()
	if err != nil {
		return nil, err
	}
	client, err := plugins.Get(ctx, key.PluginName)
	if err != nil {
		return nil, err
	}
	metadata, err := client.GetMetadata(ctx, &protocol.GetMetadataRequest{PluginConfig: key.PluginConfig})
	if err != nil {
		return nil, err
	}
	view.Plugin = viewPlugin(metadata)
	answer, err := client.DescribeKey(ctx, &protocol.DescribeKeyRequest{KeyID: key.ID, PluginConfig: key.PluginConfig})
	if err != nil {
		return nil, err
	}
	view.KeySpec = answer.KeySpec
	return view, nil
}

// print writes one fact a line.
func (v *keyView) print(a *app) {
	line := func(name, value string) {
		if value != "" {
			a.printf("%-20s%s\n", name+":", printable(value))
		}
	}
	line("Name", v.Name)
	line("Default", yesNo(v.Default))
	line("Key spec", string(v.KeySpec))
	line("Key path", v.KeyPath)
	line("Certificate path", v.CertPath)
	line("ID", v.ID)
	for _, pair := range pairs(v.PluginConfig) {
		line("Plugin config", strings.Join(pair, "="))
	}
	if p := v.Plugin; p != nil {
		line("Plugin", p.Name+" "+p.Version)
		line("Plugin description", p.Description)
		line("Plugin URL", p.URL)
		line("Capabilities", readableCapabilities(p.Capabilities))
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
