package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host/config"
)

func (a *app) signingKeys() config.SigningKeys { return config.NewSigningKeys(a.dirs.Config) }

// keyNames lists the names of the key list, for completion.
func (a *app) keyNames() []string {
	keys, err := a.signingKeys().Load()
	if err != nil {
		return nil
	}
	names := make([]string, len(keys.Keys))
	for i, key := range keys.Keys {
		names[i] = key.Name
	}
	return names
}

func (a *app) keyCommand() *cobra.Command {
	return a.group("key", "Manage keys used for signing", nil,
		a.keyAddCommand(), a.keyUpdateCommand(), a.keyListCommand(), a.keyDescribeCommand(), a.keyDeleteCommand(),
		a.keyCSRCommand(), a.keyExportPublicCommand())
}

func (a *app) keyAddCommand() *cobra.Command {
	var plugin, id, chain string
	var makeDefault bool
	var pluginConfig []string
	cmd := &cobra.Command{
		Use:   "add --plugin <plugin_name> [flags] <key_name>",
		Short: "Add key to the signing key list",
		Example: a.examples(
			"Add a key of a plugin and make it the default", "key add --plugin awskms --id alias/build --default build",
			"Add a key with its certificates, leaf to root", "key add --plugin awskms --id alias/build --certificate-chain chain.pem build",
		),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("either missing key name or unnecessary parameters passed")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case args[0] == "":
				return errors.New("key name cannot be empty")
			case id == "":
				return errors.New("missing key id: name the key by --id as the plugin's documentation says")
			}
			configuration, err := keyValues("plugin-config", pluginConfig)
			if err != nil {
				return err
			}
			if chain != "" {
				if configuration, err = chainConfig(configuration, chain); err != nil {
					return err
				}
			}
			manager, err := a.plugins()
			if err != nil {
				return err
			}
			if _, err := manager.Get(cmd.Context(), plugin); err != nil {
				return err
			}
			key := config.Key{Name: args[0], ID: id, PluginName: plugin, PluginConfig: configuration}
			if err := a.signingKeys().Add(cmd.Context(), key, makeDefault); err != nil {
				return err
			}
			if makeDefault {
				a.printf("%s: marked as default\n", args[0])
			} else {
				a.printf("%s\n", args[0])
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&plugin, "plugin", "", "signing plugin name")
	cmd.Flags().StringVar(&id, "id", "", "key id (required if --plugin is set)")
	pluginConfigFlag(cmd, &pluginConfig)
	cmd.Flags().StringVar(&chain, "certificate-chain", "", "PEM file with the certificates of the key, passed to the plugin as configuration certificate_chain")
	cmd.Flags().BoolVar(&makeDefault, "default", false, "mark as default")
	a.debugFlag(cmd)
	mustMark(cmd.MarkFlagRequired("plugin"))
	a.complete(cmd, "plugin", a.pluginNames)
	return cmd
}

func (a *app) keyUpdateCommand() *cobra.Command {
	var makeDefault bool
	cmd := &cobra.Command{
		Use:     "update [flags] <key_name>",
		Aliases: []string{"set"},
		Short:   "Update key in the signing key list",
		Example: a.examples("Make a key the default", "key update --default build"),
		Args:    exactlyOne("missing key name", "update takes one key name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !makeDefault {
				a.log().Warn("nothing to do: the only thing to update is --default")
				return nil
			}
			if err := a.signingKeys().SetDefault(cmd.Context(), args[0]); err != nil {
				return err
			}
			a.printf("%s: marked as default\n", args[0])
			return nil
		},
	}
	cmd.Flags().BoolVar(&makeDefault, "default", false, "mark as default")
	a.debugFlag(cmd)
	cmd.ValidArgsFunction = completeArgs(a.keyNames)
	return cmd
}

// keyListView is the JSON of key list (spec/schemas/key-list.json).
type keyListView struct {
	Default string       `json:"default,omitempty"`
	Keys    []config.Key `json:"keys"`
}

func (a *app) keyListCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "list [flags]",
		Aliases: []string{"ls"},
		Short:   "List keys used for signing",
		Example: a.examples(
			"List the keys; the default one has a *", "key list",
			"List them as JSON", "key list --output json",
		),
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := checkOutput(output, "table", "json"); err != nil {
				return err
			}
			keys, err := a.signingKeys().Load()
			if err != nil {
				return err
			}
			if output == "json" {
				return a.json(&keyListView{keys.Default, append([]config.Key{}, keys.Keys...)})
			}
			var rows [][]string
			for _, key := range keys.Keys {
				name := key.Name
				if name == keys.Default {
					name = "* " + name
				}
				rows = append(rows, []string{name, key.KeyPath, key.CertPath, key.ID, key.PluginName})
			}
			a.table([]string{"NAME", "KEY PATH", "CERTIFICATE PATH", "ID", "PLUGIN NAME"}, rows)
			return nil
		},
	}
	a.debugFlag(cmd)
	a.outputFlag(cmd, &output, "table", "json")
	return cmd
}

func (a *app) keyDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:        "delete [flags] <key_name>...",
		Short:      "Remove key from the signing key list",
		SuggestFor: []string{"remove", "rm"},
		Example: a.examples(
			"Remove a key; the key itself stays where it is", "key delete build",
			"Remove several", "key delete build release",
		),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("missing key names")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			deletedDefault, err := a.signingKeys().Delete(cmd.Context(), args...)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				what := args[0]
				if deletedDefault != "" {
					what = "default key " + what
				}
				a.printf("Removed %s from Notation signing key list. The source key still exists.\n", what)
				return nil
			}
			a.printf("Removed the following keys from Notation signing key list. The source keys still exist.\n")
			for _, name := range args {
				suffix := ""
				if name == deletedDefault {
					suffix = " (default)"
				}
				a.printf("%s%s\n", name, suffix)
			}
			return nil
		},
		ValidArgsFunction: completeArgs(a.keyNames),
	}
	a.debugFlag(cmd)
	return cmd
}
