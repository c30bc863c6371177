package cli

import (
	"bufio"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"

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
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("no hostname specified")
			}
			return nil
		},
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
		reg, err := client.Registry(args[0])
		if err != nil {
			return err
		}
		store, err := a.credentialStore()
		if err != nil {
			return err
		}
		err = credentials.Login(cmd.Context(), store, reg, credential)
		if errors.Is(err, credentials.ErrPlaintextPutDisabled) {
			saved, _ := store.Get(cmd.Context(), credentials.ServerAddressFromRegistry(args[0]))
			if saved != credential {
				return fmt.Errorf("failed to log in to %s: the credential could not be saved because a credentials store is required to securely store the password. See %s", args[0], howToAuthenticate)
			}
			a.warnf("The credentials store is not set up. It is recommended to configure the credentials store to securely store your credentials. See %s.", howToAuthenticate)
			a.printf("Authenticated with existing credentials\n")
		} else if err != nil {
			return fmt.Errorf("failed to log in to %s: %w", args[0], artifact.DescribeError("log in", err))
		}
		a.printf("Login Succeeded\n")
		return nil
	}
	return cmd
}

// promptCredential completes what the flags say by asking (CLI-45).
func (a *app) promptCredential(f *registryFlags, fromStdin bool) (auth.Credential, error) {
	input := bufio.NewReader(a.Stdin)
	credential := a.credential(f)
	if fromStdin {
		password, err := readAllLine(input)
		if err != nil {
			return credential, fmt.Errorf("error reading password: %w", err)
		}
		f.password = password
		credential = a.credential(f)
	}
	if credential.Password != "" || credential.RefreshToken != "" {
		return credential, nil
	}
	if credential.Username == "" {
		a.printf("Username: ")
		line, err := input.ReadString('\n')
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
		return auth.Credential{RefreshToken: token}, err
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
		Use:   "logout [flags] <server>",
		Short: "Log out from the logged in registries",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("no hostname specified")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := a.credentialStore()
			if err != nil {
				return err
			}
			if err := credentials.Logout(cmd.Context(), store, args[0]); err != nil {
				return fmt.Errorf("failed to log out of %s: %w", args[0], err)
			}
			a.printf("Logout Succeeded\n")
			return nil
		},
	}
	a.debugFlag(cmd)
	return cmd
}
