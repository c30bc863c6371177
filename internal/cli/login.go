package cli

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host/artifact"
)

const howToAuthenticate = "https://notaryproject.dev/docs/how-to/registry-authentication/"

func (a *app) loginCommand() *cobra.Command {
	var passwordStdin bool
	cmd := &cobra.Command{
		Use:   "login [flags] <server>",
		Short: "Login to registry",
		Long: `Login to registry

Checks the credentials with the registry and keeps them in a credential helper.
They are never stored as plain text.`,
		Example: a.examples(
			"Log in with a password from standard input", "login -u user --password-stdin registry.example.com",
		),
		Args: exactlyOne("no hostname specified", "one hostname is needed"),
	}
	registry := a.registryFlags(cmd)
	a.debugFlag(cmd)
	cmd.Flags().BoolVar(&passwordStdin, "password-stdin", false, "take the password from stdin")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		credential, err := a.promptCredential(registry, passwordStdin)
		if err != nil {
			return err
		}
		client, err := a.client(registry)
		if err != nil {
			return err
		}
		store, err := a.credentialStore()
		if err != nil {
			return err
		}
		existing, err := client.Login(cmd.Context(), store, args[0], credential)
		if registry, ok := errors.AsType[*artifact.RegistryError](err); ok && registry.Status == http.StatusUnauthorized {
			return &usageError{err, "Some registries want a token in place of the password: see their documentation."}
		}
		if err != nil {
			return err
		}
		if existing {
			a.warnf("The credentials store is not set up. It is recommended to configure the credentials store to securely store your credentials. See %s.", howToAuthenticate)
			a.printf("Authenticated with existing credentials\n")
		}
		a.printf("Login Succeeded\n")
		return nil
	}
	return cmd
}

// promptCredential completes what the flags say by asking (CLI-45).
func (a *app) promptCredential(f *registryFlags, fromStdin bool) (artifact.Credential, error) {
	input := bufio.NewReader(a.Stdin)
	credential := a.credential(f)
	if fromStdin {
		password, err := a.await(func() (string, error) { return readAllLine(input) })
		if err != nil {
			return credential, fmt.Errorf("error reading password: %w", err)
		}
		if password == "" {
			return credential, errors.New("error reading password: standard input is empty")
		}
		f.password = password
		credential = a.credential(f)
	}
	if credential.Password != "" || credential.RefreshToken != "" {
		return credential, nil
	}
	if credential.Username == "" {
		a.printf("Username: ")
		line, err := a.await(func() (string, error) { return input.ReadString('\n') })
		if err != nil {
			return credential, fmt.Errorf("error reading username: %w", err)
		}
		credential.Username = strings.TrimSpace(line)
	}
	if credential.Username == "" {
		token, err := a.readSecret("Token: ", input)
		if err == nil && token == "" {
			err = errors.New("token required")
		}
		return artifact.Credential{RefreshToken: token}, err
	}
	password, err := a.readSecret("Password: ", input)
	if err == nil && password == "" {
		err = errors.New("password required")
	}
	credential.Password = password
	return credential, err
}

func (a *app) logoutCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "logout [flags] <server>",
		Short:   "Log out from the logged in registries",
		Example: a.examples("Log out", "logout registry.example.com"),
		Args:    exactlyOne("no hostname specified", "one hostname is needed"),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := a.credentialStore()
			if err != nil {
				return err
			}
			if err := store.Delete(cmd.Context(), args[0]); err != nil {
				return err
			}
			a.printf("Logout Succeeded\n")
			return nil
		},
	}
	a.debugFlag(cmd)
	return cmd
}
