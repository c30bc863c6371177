package artifact

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

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

// CredentialStore is a place where credentials for registries are kept.
type CredentialStore struct {
	// store returns it. Whether the platform has one is found out at its first use: that
	// takes a look at each directory of PATH, for nothing where a registry lets everybody in.
	store func() credentials.Store
}

// at is the store at a place that is known.
func at(store credentials.Store) *CredentialStore {
	return &CredentialStore{func() credentials.Store { return store }}
}

// OpenCredentialStore picks the place where credentials are kept (REG-10): the first
// of our settings, Docker's, and the platform's own store that has anything to
// do with credentials. Credentials go to and from credential helpers (REG-11);
// those that somebody put into the files as plain text are read, but none is written.
func OpenCredentialStore(opts CredentialOptions) (*CredentialStore, error) {
	own, err := openStore(opts.ConfigFile)
	if err != nil {
		return nil, err
	}
	if own.IsAuthConfigured() {
		return at(own), nil
	}
	docker, err := openStore(opts.DockerConfigFile)
	if err != nil {
		return nil, err
	}
	if docker.IsAuthConfigured() {
		return at(docker), nil
	}
	return &CredentialStore{sync.OnceValue(func() credentials.Store {
		if native, ok := credentials.NewDefaultNativeStore(); ok {
			return native
		}
		return own // has nothing, which is no error for those who only read
	})}, nil
}

// Get returns the credential for a host, the zero one when there is none. It is what
// [Client.Credentials] asks for.
func (s *CredentialStore) Get(ctx context.Context, host string) (Credential, error) {
	credential, err := credentials.Credential(s.store())(ctx, host)
	return Credential(credential), err
}

// put keeps a credential. It reports true when it could not be kept, but was there
// already.
func (s *CredentialStore) put(ctx context.Context, registry string, credential Credential) (existing bool, err error) {
	address := credentials.ServerAddressFromRegistry(registry)
	switch err := s.store().Put(ctx, address, auth.Credential(credential)); {
	case errors.Is(err, credentials.ErrPlaintextPutDisabled):
		if saved, getErr := s.store().Get(ctx, address); getErr == nil && Credential(saved) == credential {
			return true, nil
		}
		return false, ErrPlaintextRefused
	case err != nil:
		return false, fmt.Errorf("the credential could not be saved: %s", oneLine(err.Error()))
	}
	return false, nil
}

// Delete removes the credential for a registry. Errors are [*LogoutError].
func (s *CredentialStore) Delete(ctx context.Context, registry string) error {
	if err := s.store().Delete(ctx, credentials.ServerAddressFromRegistry(registry)); err != nil {
		return &LogoutError{Registry: registry, Err: err}
	}
	return nil
}

func openStore(path string) (*credentials.DynamicStore, error) {
	store, err := credentials.NewStore(path, credentials.StoreOptions{})
	if err != nil {
		return nil, fmt.Errorf("failed to get credentials store from %s: the file cannot be read, or is not valid JSON of the kind Docker writes: %w", path, err)
	}
	return store, nil
}

// Credential is what to log in to a registry with; the zero one is nothing.
type Credential struct {
	Username, Password string
	// RefreshToken is an identity token, in place of the two.
	RefreshToken string
	// AccessToken is a token that the registry takes as it is.
	AccessToken string
}

// NewCredential makes a credential of a user name and password; without a user
// name, the password is an identity token (REG-12).
func NewCredential(username, password string) Credential {
	if username == "" {
		return Credential{RefreshToken: password}
	}
	return Credential{Username: username, Password: password}
}

// Login makes sure that a registry takes a credential, and stores it (REG-14). It
// reports true when it could not be stored, but was there already. Errors are
// [*LoginError].
func (c *Client) Login(ctx context.Context, store *CredentialStore, registry string, credential Credential) (existing bool, err error) {
	fail := func(err error) (bool, error) { return false, &LoginError{Registry: registry, Err: err} }
	target, ref, err := c.target(registry)
	if err != nil {
		return fail(err)
	}
	base := *c.base
	base.Credential = guardCredentials(func(_ context.Context, host string) (Credential, error) {
		if host != ref.Host() {
			return Credential{}, nil
		}
		return credential, nil
	}, c.plain, c.warn)
	target.Client = newHostClient(ref.Host(), &base)
	if err := target.Ping(ctx); err != nil {
		return fail(registryError(ref.Host(), "check the credentials", err))
	}
	if existing, err = store.put(ctx, registry, credential); err != nil {
		return fail(err)
	}
	return existing, nil
}
