package artifact

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// CredentialOptions say where credentials are looked for.
type CredentialOptions struct {
	// ConfigFile is our own settings file, config.json in the configuration directory.
	ConfigFile string
	// DockerConfigFile is Docker's config.json, see [DockerConfigFile]; may be empty.
	DockerConfigFile string
}

// DockerConfigFile returns where Docker keeps its settings, given the
// environment and the user's home directory; empty when neither names a directory.
func DockerConfigFile(getenv func(string) string, home string) string {
	directory := getenv("DOCKER_CONFIG")
	switch {
	case directory == "" && home == "":
		return ""
	case directory == "":
		directory = filepath.Join(home, ".docker")
	}
	return filepath.Join(directory, "config.json")
}

// CredentialStore picks the place where credentials are kept (REG-10): the first
// of our settings, Docker's, and the platform's own store that has anything to
// do with credentials. Credentials go to and from credential helpers (REG-11);
// those that somebody put into the files as plain text are read, but none is written.
func CredentialStore(opts CredentialOptions) (credentials.Store, error) {
	own, err := openStore(opts.ConfigFile)
	if err != nil || own.IsAuthConfigured() {
		return own, err
	}
	docker, err := openStore(opts.DockerConfigFile)
	if err != nil || docker.IsAuthConfigured() {
		return docker, err
	}
	if native, ok := credentials.NewDefaultNativeStore(); ok {
		return native, nil
	}
	// It has nothing, which is no error for those who only read.
	return own, nil
}

func openStore(path string) (*credentials.DynamicStore, error) {
	store, err := credentials.NewStore(path, credentials.StoreOptions{})
	if err != nil {
		return nil, fmt.Errorf("failed to get credentials store from %s: the file cannot be read, or is not valid JSON of the kind Docker writes: %w", path, err)
	}
	return store, nil
}

// NewCredential makes a credential of a user name and password; without a user
// name, the password is an identity token (REG-12).
func NewCredential(username, password string) auth.Credential {
	if username == "" {
		return auth.Credential{RefreshToken: password}
	}
	return auth.Credential{Username: username, Password: password}
}

// Login makes sure that a registry takes a credential, and stores it (REG-14). It
// reports true when it could not be stored, but was there already. Errors are
// [*LoginError].
func (c *Client) Login(ctx context.Context, store credentials.Store, registry string, credential auth.Credential) (existing bool, err error) {
	fail := func(err error) (bool, error) { return false, &LoginError{Registry: registry, Err: err} }
	target, err := remote.NewRegistry(registry)
	if err != nil {
		return fail(errors.New("it is not a registry: give a host name, with a port if need be"))
	}
	ref := Reference{Registry: registry}
	c.once.Do(c.start)
	base := *c.base
	base.Credential = guardCredentials(auth.StaticCredential(ref.Host(), credential), c.plain, c.warn)
	target.Client, target.PlainHTTP = newHostClient(ref.Host(), &base), c.plain(registry)
	if err := target.Ping(ctx); err != nil {
		return fail(registryError(ref.Host(), "check the credentials", err))
	}
	address := credentials.ServerAddressFromRegistry(registry)
	switch err := store.Put(ctx, address, credential); {
	case errors.Is(err, credentials.ErrPlaintextPutDisabled):
		if saved, getErr := store.Get(ctx, address); getErr == nil && saved == credential {
			return true, nil
		}
		return fail(ErrPlaintextRefused)
	case err != nil:
		return fail(fmt.Errorf("the credential could not be saved: %s", oneLine(err.Error())))
	}
	return false, nil
}

// Logout removes the credential for a registry. Errors are [*LogoutError].
func Logout(ctx context.Context, store credentials.Store, registry string) error {
	if err := store.Delete(ctx, credentials.ServerAddressFromRegistry(registry)); err != nil {
		return &LogoutError{Registry: registry, Err: err}
	}
	return nil
}
