package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host/config"
)

// maxNamedFile bounds a file that the user names to be read whole, in bytes.
const maxNamedFile = 16 << 20

// readNamed reads a key, certificates or a policy that the user names.
func readNamed(path string) ([]byte, error) { return config.ReadFile(path, maxNamedFile) }

// usageError is a mistake in the command line, with a line on where to look.
type usageError struct {
	error
	hint string
}

// usage marks err as a mistake in the command line of cmd.
func usage(cmd *cobra.Command, err error) error {
	return &usageError{err, fmt.Sprintf("Run '%s --help' for usage.", cmd.CommandPath())}
}

// noSuchCommand refuses arguments where a command's name should stand.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := fmt.Sprintf("Run '%s --help' for usage.", cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2 // letters, as cobra has it where it suggests by itself
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("Did you mean %s? %s", strings.Join(near, " or "), hint)
	}
	return &usageError{fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath()), hint}
}

// helpTopics lets help refuse what is no command.
func (a *app) helpTopics(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	mustMark(err)
	help.Example = a.examples("Show the help of a command", "help key add")
	help.Args = func(_ *cobra.Command, args []string) error {
		cmd, rest, err := root.Find(args)
		if err != nil {
			return err
		}
		return noSuchCommand(cmd, rest)
	}
}

// noArgs refuses arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usage(cmd, fmt.Errorf("%q takes no argument, but got %q", cmd.CommandPath(), args[0]))
}

// exactlyOne wants one argument, and has a text for none and for too many.
func exactlyOne(missing, surplus string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return errors.New(missing)
		case 1:
			return nil
		}
		return usage(cmd, fmt.Errorf("%s, but got %q", surplus, args))
	}
}

// argument wants one argument, by the text of CLI-48 when there is none.
func (a *app) argument(what, command string) cobra.PositionalArgs {
	return exactlyOne(
		fmt.Sprintf("missing %s: use `%s %s --help` to see what parameters are required", what, a.name, command),
		fmt.Sprintf("%s takes one %s", command, what),
	)
}

// references wants arguments unless a file has them.
func (a *app) references(command string) cobra.PositionalArgs {
	missing := a.argument("reference to the artifact", command)
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 && !cmd.Flags().Changed("from-file") {
			return missing(cmd, args)
		}
		return nil
	}
}
