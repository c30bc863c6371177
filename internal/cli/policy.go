package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/host/trust"
)

// policyKind is what differs between the policies for artifacts and for files.
type policyKind struct {
	// title as in "OCI trust policy configuration".
	title   string
	command string // "policy" or "blob policy"
	file    string
	legacy  string // an older name of the file; may be empty
	check   func(data []byte) (warnings []trust.Warning, err error)
	read    func(trust.FilePolicies) ([]byte, string, error)
}

var ociPolicy = policyKind{
	title: "OCI trust policy", command: "policy", file: trust.OCIPolicyFile, legacy: trust.LegacyPolicyFile,
	check: func(data []byte) ([]trust.Warning, error) {
		policy, err := trust.ParseOCIPolicy(data)
		if err != nil {
			return nil, err
		}
		return policy.Warnings, nil
	},
	read: trust.FilePolicies.ReadOCI,
}

var blobPolicy = policyKind{
	title: "blob trust policy", command: "blob policy", file: trust.BlobPolicyFile,
	check: func(data []byte) ([]trust.Warning, error) {
		policy, err := trust.ParseBlobPolicy(data)
		if err != nil {
			return nil, err
		}
		return policy.Warnings, nil
	},
	read: trust.FilePolicies.ReadBlob,
}

func (a *app) policyCommand() *cobra.Command {
	return a.group("policy", "Manage OCI trust policy configuration for signature verification", nil,
		a.policyInitCommand(ociPolicy), a.policyImportCommand(ociPolicy), a.policyShowCommand(ociPolicy), a.policyExplainCommand())
}

func (a *app) policyImportCommand(kind policyKind) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "import [flags] <file_path>",
		Short: fmt.Sprintf("Import %s configuration from a JSON file", kind.title),
		Example: a.examples(
			"Check a policy and put it into force", kind.command+" import my_policy.json",
			"Replace the policy in force without a question", kind.command+" import --force my_policy.json",
		),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("requires 1 argument but received %d.\nUsage: %s %s import <path-to-policy.json>\nPlease specify a trust policy file location as the argument", len(args), a.name, kind.command)
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			data, err := config.ReadFile(args[0], trust.MaxPolicySize)
			if err != nil {
				return fmt.Errorf("failed to read %s configuration: %w", kind.title, err)
			}
			warnings, err := kind.check(data)
			if malformed, ok := errors.AsType[*trust.MalformedPolicyError](err); ok {
				return fmt.Errorf("failed to parse %s configuration: %w", kind.title, malformed.Err)
			}
			if err != nil {
				return fmt.Errorf("failed to validate %s configuration: %w", kind.title, err)
			}
			for _, warning := range warnings {
				a.warnf("%s", warning)
			}
			return a.putPolicy(kind, data, force, "imported "+kind.title+" configuration")
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, fmt.Sprintf("override the existing %s configuration without prompt", kind.title))
	return cmd
}

// putPolicy puts a valid policy into force, after asking if that replaces one, and says
// what was done.
func (a *app) putPolicy(kind policyKind, data []byte, force bool, done string) error {
	confirmed, err := a.confirmPolicy(kind, force)
	if err != nil || !confirmed {
		return err
	}
	path, err := a.writePolicy(kind, data)
	if err != nil {
		return err
	}
	a.printf("Successfully %s to %s.\n", done, path)
	return nil
}

// writePolicy puts a policy in its place, and removes one of an older name.
func (a *app) writePolicy(kind policyKind, data []byte) (path string, err error) {
	path = filepath.Join(a.dirs.Config, kind.file)
	if err := config.WriteFile(path, data, 0o600); err != nil {
		return "", fmt.Errorf("failed to write %s configuration: %w", kind.title, err)
	}
	if kind.legacy != "" {
		switch err := os.Remove(filepath.Join(a.dirs.Config, kind.legacy)); {
		case err == nil:
			a.printf("Deleted old trust policy configuration %s.\n", kind.legacy)
		case !errors.Is(err, fs.ErrNotExist):
			a.warnf("failed to delete old trust policy configuration %s: %v", kind.legacy, err)
		}
	}
	return path, nil
}

func (a *app) policyInitCommand(kind policyKind) *cobra.Command {
	var name string
	var stores, identities, scopes []string
	var global, force bool
	example := kind.command + ` init --name releases --trust-store ca:acme --trusted-identity "x509.subject: C=US, ST=WA, O=acme"`
	cmd := &cobra.Command{
		Use:     "init [flags] --name <policy_name> --trust-store <store_type>:<store_name> --trusted-identity <trusted_identity>",
		Short:   fmt.Sprintf("Initialize %s configuration", kind.title),
		Example: a.examples("Write a policy with one strict statement", example),
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) (err error) {
			var data []byte
			if kind.file == trust.BlobPolicyFile {
				data, err = trust.NewBlobPolicy(trust.BlobPolicyInit{Name: name, TrustStores: stores, TrustedIdentities: identities, Global: global})
			} else {
				data, err = trust.NewOCIPolicy(trust.OCIPolicyInit{Name: name, Scopes: scopes, TrustStores: stores, TrustedIdentities: identities})
			}
			if broken, ok := errors.AsType[*trust.StatementError](err); ok {
				err = fmt.Errorf("trust policy statement %q %w", broken.Statement, broken.Err)
			}
			if err != nil {
				return fmt.Errorf("invalid %s: %w", strings.Replace(kind.title, " trust", "", 1), err)
			}
			return a.putPolicy(kind, data, force, "initialized "+kind.title+" file")
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&name, "name", "n", "", "name of the trust policy statement")
	flags.StringArrayVar(&stores, "trust-store", nil, `trust store in format "<store_type>:<store_name>"`)
	flags.StringArrayVar(&identities, "trusted-identity", nil, `trusted identity, use the format "x509.subject:<subject_of_signing_certificate>"`)
	if kind.file == trust.BlobPolicyFile {
		flags.BoolVar(&global, "global", false, "set the policy statement as the global policy")
	} else {
		flags.StringArrayVar(&scopes, "scope", []string{"*"}, `repository that the statement is for, in format "<registry>/<repository>"; "*" is all`)
	}
	flags.BoolVar(&force, "force", false, fmt.Sprintf("override the existing %s configuration without prompt", kind.title))
	for _, required := range []string{"name", "trust-store", "trusted-identity"} {
		mustMark(cmd.MarkFlagRequired(required))
	}
	return cmd
}

// confirmPolicy asks before a policy file is replaced.
func (a *app) confirmPolicy(kind policyKind, force bool) (bool, error) {
	if _, _, err := kind.read(a.policies()); errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if force {
		a.warnf("existing %s configuration will be overwritten", kind.title)
		return true, nil
	}
	return a.confirm(fmt.Sprintf("The %s configuration already exists, do you want to overwrite it?", kind.title), false)
}

func (a *app) policyShowCommand(kind policyKind) *cobra.Command {
	return &cobra.Command{
		Use:   "show [flags]",
		Short: fmt.Sprintf("Show %s configuration", kind.title),
		Example: a.examples(
			"Show the policy in force", kind.command+" show",
			"Save it to a file", kind.command+" show > my_policy.json",
		),
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			data, path, err := kind.read(a.policies())
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("failed to show %s as it does not exist.\nYou can import one using `%s %s import <path-to-policy.json>`", kind.title, a.name, kind.command)
			}
			if err != nil {
				return fmt.Errorf("failed to show %s: %w", kind.title, err)
			}
			if kind.legacy != "" && filepath.Base(path) == kind.legacy {
				a.warnf("old trust policy `%s` is deprecated; please update the trust policy configuration via `%s %s import`.", kind.legacy, a.name, kind.command)
			}
			_, invalid := kind.check(data)
			if invalid != nil {
				fmt.Fprintf(a.Stderr, "Existing %s configuration is invalid, you may update or create a new one via `%s %s import <path-to-policy.json>`.\n", kind.title, a.name, kind.command)
			}
			if _, err := a.Stdout.Write(data); err != nil {
				return err
			}
			return invalid
		},
	}
}
