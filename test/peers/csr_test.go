package peers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testservers"
	"github.com/signet-project/signet/plugins/pkcs11"
	"github.com/signet-project/signet/protocol"
)

// TestCertificateRequest goes the way of a key that was made on a token and never
// leaves it: signet requests a certificate, OpenSSL issues it, signet signs, and
// notation-go verifies.
func TestCertificateRequest(t *testing.T) {
	t.Parallel()
	hsm := testservers.SoftHSM(t)
	root := testpki.Root(t, "root")
	directory := newConfig(t, root, "ca:peers")
	program := newCommand(t, directory)
	program.env = append(append(program.env, hsm.ConfigEnv, pkcs11.EnvPIN+"="+hsm.PIN, pkcs11.EnvModulePath+"="+hsm.ModulePath), hsm.Env...)
	program.ok(t, "plugin", "install", "--file", binary(t, "notation-pkcs11"))
	for i, spec := range []protocol.KeySpec{protocol.KeySpecRSA2048, protocol.KeySpecRSA3072, protocol.KeySpecEC256, protocol.KeySpecEC384} {
		hsm.Import(t, testpki.Key(t, spec), string(spec), fmt.Sprintf("%02x", i+1))
	}
	issuer, issuerCert := root.WriteFiles(t, t.TempDir(), "root")
	for _, spec := range []protocol.KeySpec{protocol.KeySpecRSA2048, protocol.KeySpecRSA3072, protocol.KeySpecEC256, protocol.KeySpecEC384} {
		t.Run(string(spec), func(t *testing.T) {
			work := t.TempDir()
			in := func(name string) string { return filepath.Join(work, name) }
			id := fmt.Sprintf("pkcs11:token=%s;object=%s", hsm.TokenLabel, spec)
			program.ok(t, "key", "add", "--plugin", "pkcs11", "--id", id, "csr-"+string(spec))
			program.ok(t, "key", "csr", "--subject", "CN=signer,O=signet test,ST=WA,C=US", "--out", in("request.csr"), "csr-"+string(spec))

			openssl(t, "req", "-in", in("request.csr"), "-verify", "-noout")
			extensions := "keyUsage=critical,digitalSignature\nextendedKeyUsage=codeSigning\n"
			if err := os.WriteFile(in("extensions"), []byte(extensions), 0o600); err != nil {
				t.Fatal(err)
			}
			openssl(t, "x509", "-req", "-in", in("request.csr"), "-CA", issuerCert, "-CAkey", issuer, "-set_serial", "4711", "-days", "1",
				"-extfile", in("extensions"), "-out", in("leaf.crt"))
			leaf, err := os.ReadFile(in("leaf.crt"))
			if err != nil {
				t.Fatal(err)
			}
			if err := config.WriteFile(in("chain.pem"), append(leaf, root.CertPEM()...), 0o600); err != nil {
				t.Fatal(err)
			}
			program.ok(t, "key", "add", "--plugin", "pkcs11", "--id", id, "--certificate-chain", in("chain.pem"), string(spec))
			for _, format := range formats {
				at := locally(t)
				program.ok(t, append([]string{"sign", "--key", string(spec), "--signature-format", string(format)}, at.signArgs...)...)
				if _, err := (peer{config: directory}).verify(t, at, nil); err != nil {
					t.Errorf("%s: %v", format, err)
				}
			}
		})
	}
}

// openssl runs the openssl program.
func openssl(t *testing.T, arguments ...string) {
	t.Helper()
	out, err := exec.Command("openssl", arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(arguments, " "), err, out)
	}
}
