package cli

import (
	"context"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/host/netclient"
)

// registryFlags are the flags of commands that talk to a registry (CLI-03).
type registryFlags struct {
	username, password string
	insecure           bool
	certificate        netclient.Certificate
}

func (a *app) registryFlags(cmd *cobra.Command) *registryFlags {
	f := &registryFlags{}
	cmd.Flags().StringVarP(&f.username, "username", "u", "", "username for registry operations (default to $NOTATION_USERNAME if not specified)")
	cmd.Flags().StringVarP(&f.password, "password", "p", "", "password for registry operations (default to $NOTATION_PASSWORD if not specified)")
	cmd.Flags().BoolVar(&f.insecure, "insecure-registry", false, "use HTTP protocol while connecting to registries. Should be used only for testing")
	cmd.Flags().StringVar(&a.caFile, "ca-file", "", "file with certificate authorities that servers may chain to besides those the system trusts (default: caFile of config.json)")
	cmd.Flags().StringVar(&f.certificate.CertFile, "cert-file", "", "file with a client certificate, PEM with its chain, for registries that ask for one")
	cmd.Flags().StringVar(&f.certificate.KeyFile, "key-file", "", "file with the private key of the client certificate, PEM")
	cmd.MarkFlagsRequiredTogether("cert-file", "key-file")
	return f
}

// credential is what flags and environment say to log in with; empty for nothing.
func (a *app) credential(f *registryFlags) artifact.Credential {
	username, password := f.username, f.password
	if username == "" {
		username = a.getenv("NOTATION_USERNAME")
	}
	if password == "" {
		password = a.getenv("NOTATION_PASSWORD")
	}
	return artifact.NewCredential(username, password)
}

// client makes the registry client of a run.
func (a *app) client(f *registryFlags) (*artifact.Client, error) {
	settings, http, err := a.network()
	if err == nil && f.certificate != (netclient.Certificate{}) { // it is for registries alone
		http, err = a.newClient(settings, f.certificate)
	}
	if err != nil {
		return nil, err
	}
	client := &artifact.Client{
		Transport: http.Transport,
		UserAgent: a.userAgent(),
		LockDir:   filepath.Join(a.dirs.Cache, "locks"),
		Warn:      func(message string) { a.warnf("%s", message) },
		PlainHTTP: func(registry string) bool {
			return f.insecure || settings.Insecure(registry) || artifact.IsLocalhost(registry)
		},
	}
	if credential := a.credential(f); credential != (artifact.Credential{}) {
		client.Credentials = func(context.Context, string) (artifact.Credential, error) { return credential, nil }
		return client, nil
	}
	store, err := a.credentialStore()
	if err != nil {
		return nil, err
	}
	client.Credentials = store.Get
	return client, nil
}

// credentialStore finds where credentials are kept (REG-10).
func (a *app) credentialStore() (*artifact.CredentialStore, error) {
	return artifact.OpenCredentialStore(artifact.CredentialOptions{
		ConfigFile:       config.SettingsPath(a.dirs.Config),
		DockerConfigFile: artifact.DockerConfigFile(a.getenv, a.Home),
	})
}

// open finds the repository that an argument names.
func (a *app) open(ctx context.Context, f *registryFlags, argument string, layout bool, opts artifact.OpenOptions) (*host.Place, error) {
	return a.opener(f, layout, opts).place(ctx, argument)
}

// warnTag says that a tag is not a good name for what is signed (GEN-09).
func (a *app) warnTag(verb string, place *host.Place) {
	if artifact.IsDigest(place.Reference) {
		return
	}
	if verb == "sign" {
		a.warnf("Always sign the artifact using digest(@sha256:...) rather than a tag(:%s) because tags are mutable and a tag reference can point to a different artifact than the one signed.", place.Reference)
		return
	}
	a.warnf("Always %s the artifact using digest(@sha256:...) rather than a tag(:%s) because resolved digest may not point to the same signed artifact, as tags are mutable.", verb, place.Reference)
}
