package cli

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

func (a *app) keyCSRCommand() *cobra.Command {
	var subject string
	cmd := &cobra.Command{
		Use:   "csr --subject <distinguished_name> [flags] <key_name>",
		Short: "Make a certificate signing request for a key",
		Long: `Make a certificate signing request for a key

The key signs a PKCS #10 request for itself; it need not have a certificate
yet. The file that its plugin configuration certificate_chain names may be
missing then: what the certificate authority answers goes there. Keys of a
plugin take a plugin that gives out public keys; RSA keys sign the request with
RSASSA-PSS.`,
		Example: a.examples(
			"Request a certificate for a key", `key csr --subject "CN=build,O=Acme,ST=WA,C=US" build`,
			"Write the request to a file", `key csr --subject "CN=build,O=Acme,ST=WA,C=US" --out build.csr build`,
		),
		Args: exactlyOne("missing key name", "csr takes one key name"),
	}
	to := a.outFlags(cmd)
	cmd.Flags().StringVar(&subject, "subject", "", "subject of the certificate, such as \"CN=build,O=Acme,ST=WA,C=US\" (RFC 4514)")
	mustMark(cmd.MarkFlagRequired("subject"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name, err := trust.ParseSubject(subject)
		if err != nil {
			return fmt.Errorf("--subject: %w", err)
		}
		der, err := a.certificateRequest(cmd.Context(), args[0], name)
		if err != nil {
			return err
		}
		return to.write(a, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	}
	cmd.ValidArgsFunction = completeArgs(a.keyNames)
	return cmd
}

func (a *app) keyExportPublicCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export-public [flags] <key_name>",
		Short: "Write the public key of a key as PEM",
		Long: `Write the public key of a key as PEM

For certificate authorities that issue certificates without a signing request.
Keys of a plugin take a plugin that gives out public keys.`,
		Example: a.examples(
			"Show the public key", "key export-public build",
			"Write it to a file", "key export-public --out build.pub build",
		),
		Args: exactlyOne("missing key name", "export-public takes one key name"),
	}
	to := a.outFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		key, err := a.publicKey(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return err
		}
		return to.write(a, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	cmd.ValidArgsFunction = completeArgs(a.keyNames)
	return cmd
}

// certificateRequest has a key of the key list sign a request for itself.
func (a *app) certificateRequest(ctx context.Context, name string, subject pkix.Name) ([]byte, error) {
	key, client, err := a.listedKey(ctx, name)
	if err != nil {
		return nil, err
	}
	if client != nil {
		return host.PluginCertificateRequest(ctx, client, key.ID, key.PluginConfig, subject)
	}
	private, err := privateKey(key)
	if err != nil {
		return nil, err
	}
	return host.CertificateRequest(private, subject)
}

// publicKey returns the public half of a key of the key list.
func (a *app) publicKey(ctx context.Context, name string) (crypto.PublicKey, error) {
	key, client, err := a.listedKey(ctx, name)
	if err != nil {
		return nil, err
	}
	if client != nil {
		return host.PluginPublicKey(ctx, client, key.ID, key.PluginConfig)
	}
	private, err := privateKey(key)
	if err != nil {
		return nil, err
	}
	return private.Public(), nil
}

// listedKey finds a key of the key list and its plugin; the plugin of a local key is
// nil.
func (a *app) listedKey(ctx context.Context, name string) (config.Key, *protocol.Client, error) {
	keys, err := a.signingKeys().Load()
	if err != nil {
		return config.Key{}, nil, err
	}
	key, err := keys.Get(name)
	if err != nil || key.Local() {
		return key, nil, err
	}
	plugins, err := a.plugins()
	if err != nil {
		return key, nil, err
	}
	client, err := plugins.Get(ctx, key.PluginName)
	return key, client, err
}

// chainConfig is the plugin configuration that names a certificate file, with
// the path made absolute. The file must hold certificates.
func chainConfig(configuration map[string]string, path string) (map[string]string, error) {
	if configuration[signer.ConfigCertificateChain] != "" {
		return nil, fmt.Errorf("--certificate-chain and --plugin-config %s=… both name the chain: leave one out", signer.ConfigCertificateChain)
	}
	data, err := readNamed(path)
	if err != nil {
		return nil, fmt.Errorf("--certificate-chain: %w", err)
	}
	if _, err := pki.ParseCertificateChain(data); err != nil {
		return nil, fmt.Errorf("--certificate-chain: %s: %w", path, err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	if configuration == nil {
		configuration = map[string]string{}
	}
	configuration[signer.ConfigCertificateChain] = path
	return configuration, nil
}

// outFlags are --out and --force of commands whose result is a file.
type outFlags struct {
	path  string
	force bool
}

func (a *app) outFlags(cmd *cobra.Command) *outFlags {
	f := &outFlags{}
	cmd.Flags().StringVar(&f.path, "out", "", "file to write to (default standard output)")
	cmd.Flags().BoolVar(&f.force, "force", false, "overwrite the file without asking")
	a.debugFlag(cmd)
	return f
}

// write writes what is public to the file or standard output.
func (f *outFlags) write(a *app, data []byte) error {
	if f.path == "" {
		a.printf("%s", data)
		return nil
	}
	if _, err := os.Lstat(f.path); !errors.Is(err, fs.ErrNotExist) {
		confirmed, err := a.confirm(fmt.Sprintf("The file %s already exists, do you want to overwrite it?", printable(f.path)), f.force)
		if err != nil || !confirmed {
			return err
		}
	}
	if err := config.WriteFile(f.path, data, 0o644); err != nil {
		return err
	}
	a.printf("Wrote %s\n", printable(f.path))
	return nil
}
