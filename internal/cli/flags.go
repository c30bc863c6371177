package cli

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/netclient"
	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/host/plugin"
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
func (a *app) credential(f *registryFlags) auth.Credential {
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
	settings, err := a.settings()
	if err != nil {
		return nil, err
	}
	http, err := a.httpClient()
	if f.certificate != (netclient.Certificate{}) { // it is for registries alone
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
	if credential := a.credential(f); credential != auth.EmptyCredential {
		client.Credentials = func(context.Context, string) (auth.Credential, error) { return credential, nil }
		return client, nil
	}
	store, err := a.credentialStore()
	if err != nil {
		return nil, err
	}
	client.Credentials = credentials.Credential(store)
	return client, nil
}

// credentialStore finds where credentials are kept (REG-10).
func (a *app) credentialStore() (credentials.Store, error) {
	return artifact.CredentialStore(artifact.CredentialOptions{
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

// signerFlags are the flags that choose key and envelope (CLI-05).
type signerFlags struct {
	key, id, plugin, format string
	expiry                  time.Duration
	pluginConfig, metadata  []string
	timestampURL            string
	timestampRoot           string
}

func (a *app) signerFlags(cmd *cobra.Command) *signerFlags {
	f := &signerFlags{}
	flags := cmd.Flags()
	flags.StringVarP(&f.key, "key", "k", "", "signing key name, for a key previously added to the key list. This is mutually exclusive with the --id and --plugin flags")
	flags.StringVar(&f.id, "id", "", "key id (required if --plugin is set). This is mutually exclusive with the --key flag")
	flags.StringVar(&f.plugin, "plugin", "", "signing plugin name (required if --id is set). This is mutually exclusive with the --key flag")
	flags.StringVar(&f.format, "signature-format", a.defaultFormat(), `signature envelope format, options: "jws", "cose"`)
	flags.DurationVarP(&f.expiry, "expiry", "e", 0, `optional expiry that provides a "best by use" time for the artifact. The duration is specified in minutes(m) and/or hours(h). For example: 12h, 30m, 3h20m`)
	flags.StringArrayVar(&f.pluginConfig, "plugin-config", nil, "{key}={value} pairs that are passed as it is to a plugin, refer plugin's documentation to set appropriate values")
	flags.StringArrayVarP(&f.metadata, "user-metadata", "m", nil, "{key}={value} pairs that are added to the signature payload")
	flags.StringVar(&f.timestampURL, "timestamp-url", "", "RFC 3161 Timestamping Authority (TSA) server URL")
	flags.StringVar(&f.timestampRoot, "timestamp-root-cert", "", "filepath of timestamp authority root certificate")
	cmd.MarkFlagsRequiredTogether("id", "plugin")
	cmd.MarkFlagsMutuallyExclusive("key", "id")
	cmd.MarkFlagsMutuallyExclusive("key", "plugin")
	cmd.MarkFlagsRequiredTogether("timestamp-url", "timestamp-root-cert")
	a.complete(cmd, "key", a.keyNames)
	a.complete(cmd, "plugin", a.pluginNames)
	a.complete(cmd, "signature-format", func() []string { return []string{"jws", "cose"} })
	return f
}

// defaultFormat is the envelope format that the settings choose.
func (a *app) defaultFormat() string {
	if settings, err := a.settings(); err == nil && settings.SignatureFormat != "" {
		return settings.SignatureFormat
	}
	return string(envelope.FormatJWS)
}

// complete offers values for a flag on the shell's request.
func (a *app) complete(cmd *cobra.Command, flag string, values func() []string) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return values(), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // the flag's name is misspelt in this program
	}
}

// signer makes the Signer that flags and key list describe, for so many signatures.
// end is to be called when they are made.
func (a *app) signer(ctx context.Context, f *signerFlags, flagSet func(string) bool, kind host.Target, signatures int) (signer *host.Signer, end func(), err error) {
	if flagSet("timestamp-url") {
		if f.timestampURL == "" {
			return nil, nil, errors.New("timestamping: tsa url cannot be empty")
		}
		if f.timestampRoot == "" {
			return nil, nil, errors.New("timestamping: tsa root certificate path cannot be empty")
		}
	}
	if _, err := a.settings(); err != nil {
		return nil, nil, err
	}
	format := envelope.Format(f.format)
	if format != envelope.FormatJWS && format != envelope.FormatCOSE {
		return nil, nil, fmt.Errorf("signature format %q not supported\nSupported signature envelope formats are %q and %q", f.format, envelope.FormatJWS, envelope.FormatCOSE)
	}
	if err := host.CheckExpiryDuration(f.expiry); err != nil {
		return nil, nil, err
	}
	pluginConfig, err := keyValues("plugin-config", f.pluginConfig)
	if err != nil {
		return nil, nil, err
	}
	metadata, err := keyValues("user-metadata", f.metadata)
	if err != nil {
		return nil, nil, err
	}
	key, end, err := a.signingKey(ctx, f, pluginConfig, kind, signatures)
	if err != nil {
		return nil, nil, err
	}
	signer = &host.Signer{Key: key, Format: format, Expiry: f.expiry, UserMetadata: metadata, Agent: a.userAgent()}
	if f.timestampURL != "" {
		if signer.Timestamper, err = a.timestamper(f); err != nil {
			end()
			return nil, nil, err
		}
	}
	return signer, end, nil
}

// signingKey opens the key that the flags name. end is to be called when it is not
// needed any more.
func (a *app) signingKey(ctx context.Context, f *signerFlags, pluginConfig map[string]string, kind host.Target, signatures int) (key host.Key, end func(), err error) {
	named := config.Key{ID: f.id, PluginName: f.plugin}
	if f.plugin == "" {
		keys, err := config.NewSigningKeys(a.dirs.Config).Load()
		if err != nil {
			return nil, nil, err
		}
		if named, err = keys.Get(f.key); err != nil {
			return nil, nil, err
		}
	}
	if named.Local() {
		key, err = localKey(named)
		return key, func() {}, err
	}
	pool, end, err := a.pluginPool()
	if err != nil {
		return nil, nil, err
	}
	client, err := pool.GetFor(ctx, named.PluginName, signatures)
	if err == nil {
		key, err = host.NewPluginKey(ctx, client, named.ID, mergeConfig(named.PluginConfig, pluginConfig), kind)
	}
	if err != nil {
		end()
		return nil, nil, err
	}
	return key, end, nil
}

// pluginPool hands out plugins for a run over many artifacts, until end is called.
func (a *app) pluginPool() (pool *plugin.Pool, end func(), err error) {
	manager, err := a.plugins()
	if err != nil {
		return nil, nil, err
	}
	pool = manager.NewPool()
	return pool, func() {
		if err := pool.Close(); err != nil {
			a.warnf("%v", err)
		}
	}, nil
}

// mergeConfig lets the command line override what the key list has (PLG-09).
func mergeConfig(base, override map[string]string) map[string]string {
	if len(base)+len(override) == 0 {
		return nil
	}
	merged := make(map[string]string, len(base)+len(override))
	for _, values := range []map[string]string{base, override} {
		for key, value := range values {
			merged[key] = value
		}
	}
	return merged
}

// privateKey reads the private key of a local key.
func privateKey(key config.Key) (crypto.Signer, error) {
	if key.KeyPath == "" {
		return nil, fmt.Errorf("signing key %s: key path not specified", key.Name)
	}
	data, err := os.ReadFile(key.KeyPath)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", key.Name, err)
	}
	private, err := pki.ParsePrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %s: %w", key.Name, key.KeyPath, err)
	}
	return private, nil
}

// localKey reads a pair of PEM files.
func localKey(key config.Key) (host.Key, error) {
	if key.CertPath == "" {
		return nil, fmt.Errorf("signing key %s: certificate path not specified", key.Name)
	}
	private, err := privateKey(key)
	if err != nil {
		return nil, err
	}
	certPEM, err := os.ReadFile(key.CertPath)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", key.Name, err)
	}
	chain, err := pki.ParseCertificateChain(certPEM)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %s: %w", key.Name, key.CertPath, err)
	}
	local, err := host.NewLocalKey(private, chain)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", key.Name, err)
	}
	return local, nil
}

// outputFlag adds --output; the first of the formats is the default.
func (a *app) outputFlag(cmd *cobra.Command, value *string, formats ...string) {
	cmd.Flags().StringVarP(value, "output", "o", formats[0], `output format, options: "`+strings.Join(formats, `", "`)+`"`)
	a.complete(cmd, "output", func() []string { return formats })
}

func checkOutput(output string, formats ...string) error {
	if slices.Contains(formats, output) {
		return nil
	}
	return &usageError{fmt.Errorf("invalid format: %q", output), fmt.Sprintf("Formats are: %s", strings.Join(formats, ", "))}
}
