package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host"
)

// outputFlag adds --output; the first of the formats is the default.
func (a *app) outputFlag(cmd *cobra.Command, value *string, formats ...string) {
	cmd.Flags().StringVarP(value, "output", "o", formats[0], `output format, options: "`+strings.Join(formats, `", "`)+`"`)
	a.complete(cmd, "output", func() []string { return formats })
}

// pluginConfigFlag adds --plugin-config.
func pluginConfigFlag(cmd *cobra.Command, value *[]string) {
	cmd.Flags().StringArrayVar(value, "plugin-config", nil, "{key}={value} pairs that are passed as it is to a plugin, refer plugin's documentation to set appropriate values")
}

// maxSignaturesFlag adds --max-signatures.
func maxSignaturesFlag(cmd *cobra.Command, value *int) {
	cmd.Flags().IntVar(value, "max-signatures", host.DefaultMaxSignatures, "maximum number of signatures to evaluate or examine")
}

func checkOutput(output string, formats ...string) error {
	if slices.Contains(formats, output) {
		return nil
	}
	return &usageError{fmt.Errorf("invalid format: %q", output), fmt.Sprintf("Formats are: %s", strings.Join(formats, ", "))}
}

// keyValues reads the values of a repeated key=value flag, each key once (CLI-09).
func keyValues(flag string, pairs []string) (map[string]string, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	values := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		key, value, found := strings.Cut(pair, "=")
		if !found || key == "" || value == "" {
			return nil, fmt.Errorf("could not parse flag %s: key-value pair requires \"=\" as separator", flag)
		}
		if _, twice := values[key]; twice {
			return nil, fmt.Errorf("could not parse flag %s: key %q is given twice", flag, key)
		}
		values[key] = value
	}
	return values, nil
}

// mustMark catches a misspelt flag name in this program.
func mustMark(err error) {
	if err != nil {
		panic(err)
	}
}
