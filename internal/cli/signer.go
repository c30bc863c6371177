package cli

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/pki"
)

// signerFlags are the flags that choose key and envelope (CLI-05).
type signerFlags struct {
	key, id, plugin, format string
	expiry                  time.Duration
	pluginConfig, metadata  []string
	timestampURL            string
	timestampRoot           string
	// chosen tells the key that they came to from others; signingKey sets it.
	chosen []string
}

func (a *app) signerFlags(cmd *cobra.Command) *signerFlags {
	f := &signerFlags{}
	flags := cmd.Flags()
	flags.StringVarP(&f.key, "key", "k", "", "signing key name, for a key previously added to the key list. This is mutually exclusive with the --id and --plugin flags")
	flags.StringVar(&f.id, "id", "", "key id (required if --plugin is set). This is mutually exclusive with the --key flag")
	flags.StringVar(&f.plugin, "plugin", "", "signing plugin name (required if --id is set). This is mutually exclusive with the --key flag")
	flags.StringVar(&f.format, "signature-format", a.defaultFormat(), `signature envelope format, options: "jws", "cose"`)
	flags.DurationVarP(&f.expiry, "expiry", "e", 0, `optional expiry that provides a "best by use" time for the artifact. The duration is specified in minutes(m) and/or hours(h). For example: 12h, 30m, 3h20m`)
	pluginConfigFlag(cmd, &f.pluginConfig)
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

// signer makes the Signer that flags and key list describe, for so many signatures.
// end is to be called when they are made.
func (a *app) signer(ctx context.Context, f *signerFlags, flagSet func(string) bool, kind host.Kind, signatures int) (signer *host.Signer, end func(), err error) {
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
	signer = &host.Signer{Key: key, Format: format, Expiry: f.expiry, UserMetadata: metadata, Agent: a.userAgent(), Now: a.Now}
	if f.timestampURL != "" {
		if signer.Timestamper, err = a.timestamper(f); err != nil {
			end()
			return nil, nil, err
		}
	}
	return signer, end, nil
}

// signingKey opens the key that the flags name, and notes what was chosen. end is to be
// called when it is not needed any more.
func (a *app) signingKey(ctx context.Context, f *signerFlags, pluginConfig map[string]string, kind host.Kind, signatures int) (key host.Key, end func(), err error) {
	named := config.Key{ID: f.id, PluginName: f.plugin}
	if f.plugin == "" {
		keys, err := a.signingKeys().Load()
		if err != nil {
			return nil, nil, err
		}
		if named, err = keys.Get(f.key); err != nil {
			return nil, nil, err
		}
	}
	if named.Local() {
		local, chain, err := localKey(named)
		for _, cert := range chain {
			f.chosen = append(f.chosen, string(cert.Raw))
		}
		return local, func() {}, err
	}
	named.PluginConfig = mergeConfig(named.PluginConfig, pluginConfig)
	f.chosen = []string{named.PluginName, named.ID, fmt.Sprintf("%q", pairs(named.PluginConfig))}
	pool, end, err := a.pluginPool()
	if err != nil {
		return nil, nil, err
	}
	client, err := pool.GetFor(ctx, named.PluginName, signatures)
	if err == nil {
		key, err = host.NewPluginKey(ctx, client, named.ID, named.PluginConfig, kind)
	}
	if err != nil {
		end()
		return nil, nil, err
	}
	return key, end, nil
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

// localKey reads a pair of PEM files, and returns the certificates, too.
func localKey(key config.Key) (host.Key, []*x509.Certificate, error) {
	if key.CertPath == "" {
		return nil, nil, fmt.Errorf("signing key %s: certificate path not specified", key.Name)
	}
	private, err := privateKey(key)
	if err != nil {
		return nil, nil, err
	}
	certPEM, err := readNamed(key.CertPath)
	if err != nil {
		return nil, nil, fmt.Errorf("signing key %s: %w", key.Name, err)
	}
	chain, err := pki.ParseCertificateChain(certPEM)
	if err != nil {
		return nil, nil, fmt.Errorf("signing key %s: %s: %w", key.Name, key.CertPath, err)
	}
	local, err := host.NewLocalKey(private, chain)
	if err != nil {
		return nil, nil, fmt.Errorf("signing key %s: %w", key.Name, err)
	}
	return local, chain, nil
}

// privateKey reads the private key of a local key.
func privateKey(key config.Key) (crypto.Signer, error) {
	if key.KeyPath == "" {
		return nil, fmt.Errorf("signing key %s: key path not specified", key.Name)
	}
	data, err := readNamed(key.KeyPath)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", key.Name, err)
	}
	private, err := pki.ParsePrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %s: %w", key.Name, key.KeyPath, err)
	}
	return private, nil
}
