package cli

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/host/trust"
)

// testCertificateLife is how long a test certificate is good for (CLI-42).
const testCertificateLife = 24 * time.Hour

func (a *app) certGenerateTestCommand() *cobra.Command {
	var bits int
	var makeDefault bool
	cmd := &cobra.Command{
		Use:   "generate-test [flags] <common_name>",
		Short: "Generate a test RSA key and a corresponding self-signed certificate",
		Long: `Generate a test RSA key and a corresponding self-signed certificate

The certificate is good for one day. The key is added to the key list and the
certificate to a trust store of type ca, both under the common name.`,
		Example: a.examples(
			"Make a key to try things out with", "cert generate-test wabbit-networks.io",
			"Make it the default key", "cert generate-test --default wabbit-networks.io",
		),
		Args: exactlyOne("missing certificate common_name", "generate-test makes one key at a time"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.generateTest(cmd.Context(), args[0], bits, makeDefault)
		},
	}
	cmd.Flags().IntVarP(&bits, "bits", "b", 2048, "RSA key bits: 2048, 3072 or 4096")
	cmd.Flags().BoolVar(&makeDefault, "default", false, "mark as default signing key")
	return cmd
}

// generateTest makes a test key. When a step fails, the steps before it are
// taken back.
func (a *app) generateTest(ctx context.Context, name string, bits int, makeDefault bool) (err error) {
	if !trust.ValidName(name) {
		return errors.New("name needs to follow [a-zA-Z0-9_.-]+ format")
	}
	if bits != 2048 && bits != 3072 && bits != 4096 {
		return fmt.Errorf("rsa key size %d bits is not supported: choose 2048, 3072 or 4096", bits)
	}
	var undo []func()
	defer func() {
		for i := len(undo) - 1; err != nil && i >= 0; i-- {
			undo[i]()
		}
	}()
	a.printf("generating RSA Key with %d bits\n", bits)
	keyPEM, certPEM, notAfter, err := newTestCertificate(name, bits, a.Now())
	if err != nil {
		return fmt.Errorf("failed to generate the key: %w", err)
	}
	a.printf("generated certificate expiring on %s\n", notAfter.Format(time.RFC3339))
	keyPath, certPath := a.dirs.LocalKey(name)
	if err := writeNewFile(keyPath, keyPEM, 0o600); err != nil {
		return fmt.Errorf("failed to write key file: %w", err)
	}
	undo = append(undo, func() { os.Remove(keyPath) })
	a.printf("wrote key: %s\n", keyPath)
	if err := writeNewFile(certPath, certPEM, 0o644); err != nil {
		return fmt.Errorf("failed to write certificate file: %w", err)
	}
	undo = append(undo, func() { os.Remove(certPath) })
	a.printf("wrote certificate: %s\n", certPath)
	store := trust.StoreRef{Type: trust.StoreCA, Name: name}
	if err := a.stores().Add(store, certPath); err != nil {
		return fmt.Errorf("failed to add %s to named store %s of type %s: %w", filepath.Base(certPath), name, store.Type, err)
	}
	undo = append(undo, func() { a.stores().Delete(store, filepath.Base(certPath)) })
	if err := a.signingKeys().Add(ctx, config.Key{Name: name, KeyPath: keyPath, CertPath: certPath}, makeDefault); err != nil {
		return err
	}
	a.printf("Successfully added %s to named store %s of type %s\n", filepath.Base(certPath), name, store.Type)
	a.printf("%s: added to the key list\n", name)
	if makeDefault {
		a.printf("%s: marked as default signing key\n", name)
	}
	return nil
}

// newTestCertificate makes an RSA key and a self-signed certificate for it that is
// good from now on, both PEM.
func newTestCertificate(name string, bits int, now time.Time) (keyPEM, certPEM []byte, notAfter time.Time, err error) {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, nil, notAfter, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, notAfter, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, notAfter, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject: pkix.Name{
			Country: []string{"US"}, Province: []string{"WA"}, Locality: []string{"Seattle"}, Organization: []string{"Notary"}, CommonName: name,
		},
		NotBefore:          now,
		NotAfter:           now.Add(testCertificateLife),
		SignatureAlgorithm: x509.SHA256WithRSA,
		KeyUsage:           x509.KeyUsageDigitalSignature,
		ExtKeyUsage:        []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	certDER, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, notAfter, err
	}
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certDER})
	return keyPEM, certPEM, template.NotAfter, nil
}

// writeNewFile writes a file that must not be there yet.
func writeNewFile(path string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s already exists: choose another name or delete it with cleanup-test", path)
	}
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Close()); err != nil {
		os.Remove(path)
	}
	return err
}

func (a *app) certCleanupTestCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:     "cleanup-test [flags] <common_name>",
		Short:   `Clean up a test RSA key and its corresponding certificate that were generated using the "generate-test" command`,
		Example: a.examples("Delete a test key with all that belongs to it", "cert cleanup-test wabbit-networks.io"),
		Args:    exactlyOne("missing certificate common name", "cleanup-test takes one common name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !trust.ValidName(args[0]) {
				return errors.New("certificate common name must follow [a-zA-Z0-9_.-]+ format")
			}
			return a.cleanupTest(cmd.Context(), args[0], yes)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not prompt for confirmation")
	cmd.ValidArgsFunction = completeArgs(a.keyNames)
	return cmd
}

// cleanupTest deletes what generateTest made; what is not there is told (CLI-44).
func (a *app) cleanupTest(ctx context.Context, name string, yes bool) error {
	keyPath, certPath := a.dirs.LocalKey(name)
	certFile := filepath.Base(certPath)
	confirmed, err := a.confirm(fmt.Sprintf(`The test key %s and its corresponding certificate will be cleaned up with the following changes:
- Delete certificate %s from trust store %s of type ca
- Remove key %s from the key list
- Delete key file: %s
- Delete certificate file: %s

Are you sure you want to continue?`, name, certFile, name, name, keyPath, certPath), yes)
	if err != nil || !confirmed {
		return err
	}
	switch err := a.stores().Delete(trust.StoreRef{Type: trust.StoreCA, Name: name}, certFile); {
	case errors.Is(err, fs.ErrNotExist):
		a.printf("Certificate %s does not exist in trust store %s of type ca\n", certFile, name)
	case err != nil:
		return fmt.Errorf("failed to delete certificate %s from trust store %s of type ca: %w", certFile, name, err)
	default:
		a.printf("Successfully deleted %s from trust store %s of type ca\n", certFile, name)
	}
	_, err = a.signingKeys().Delete(ctx, name)
	if _, missing := errors.AsType[*config.KeyNotFoundError](err); missing {
		a.printf("Key %s does not exist in the key list\n", name)
	} else if err != nil {
		return fmt.Errorf("failed to remove key %s from the key list: %w", name, err)
	} else {
		a.printf("Successfully removed key %s from the key list\n", name)
	}
	if err := a.removeReported("key file", keyPath); err != nil {
		return err
	}
	if err := a.removeReported("certificate file", certPath); err != nil {
		return err
	}
	a.printf("Cleanup completed successfully\n")
	return nil
}

// removeReported deletes a file and says so, or that there is none.
func (a *app) removeReported(what, path string) error {
	switch err := os.Remove(path); {
	case errors.Is(err, fs.ErrNotExist):
		a.printf("%s%s %s does not exist\n", strings.ToUpper(what[:1]), what[1:], path)
	case err != nil:
		return fmt.Errorf("failed to delete %s %s: %w", what, path, err)
	default:
		a.printf("Successfully deleted %s: %s\n", what, path)
	}
	return nil
}
