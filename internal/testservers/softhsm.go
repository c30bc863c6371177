package testservers

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// HSM is a SoftHSM token of its own, initialised and empty.
type HSM struct {
	// ModulePath is the PKCS#11 module to load.
	ModulePath string
	// ConfigEnv is the environment entry (SOFTHSM2_CONF=path) by which the module
	// finds the token.
	ConfigEnv string
	// TokenLabel, PIN and SOPIN are the token's label, user PIN and security
	// officer's PIN.
	TokenLabel, PIN, SOPIN string
	// Env is the environment in which the module works, besides ConfigEnv.
	Env        []string
	tool, util string
}

// SoftHSM makes a token for the time of the test. settings are further lines of
// softhsm2.conf.
func SoftHSM(t testing.TB, settings ...string) *HSM {
	t.Helper()
	paths := provisioned(t, "softhsm")
	dir := t.TempDir()
	tokens, config := filepath.Join(dir, "tokens"), filepath.Join(dir, "softhsm2.conf")
	if err := os.Mkdir(tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	lines := append([]string{"directories.tokendir = " + tokens, "log.level = ERROR"}, settings...)
	if err := os.WriteFile(config, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := &HSM{ModulePath: paths["module"], ConfigEnv: "SOFTHSM2_CONF=" + config,
		TokenLabel: "signet-test", PIN: "1234", SOPIN: "12345678", tool: paths["tool"], util: paths["util"]}
	if libs := paths["libs"]; libs != "" {
		h.Env = []string{"LD_LIBRARY_PATH=" + libs}
	}
	h.AddToken(t, h.TokenLabel)
	return h
}

// AddToken makes a further token with the same PINs.
func (h *HSM) AddToken(t testing.TB, label string) {
	t.Helper()
	h.run(t, h.util, "--module", h.ModulePath, "--init-token", "--free",
		"--label", label, "--pin", h.PIN, "--so-pin", h.SOPIN)
}

// Import writes a key pair to the token, which is quicker than to have the
// token make one. id is its CKA_ID in hexadecimal.
func (h *HSM) Import(t testing.TB, key crypto.Signer, label, id string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	h.run(t, h.util, "--module", h.ModulePath, "--import", path, "--token", h.TokenLabel,
		"--label", label, "--id", id, "--pin", h.PIN)
}

// Tool runs pkcs11-tool on the token, logged in as the user, and returns what it
// printed; the test fails when the tool does.
func (h *HSM) Tool(t testing.TB, arguments ...string) string {
	t.Helper()
	login := []string{"--module", h.ModulePath, "--token-label", h.TokenLabel, "--login", "--pin", h.PIN}
	return h.run(t, h.tool, append(login, arguments...)...)
}

func (h *HSM) run(t testing.TB, name string, arguments ...string) string {
	t.Helper()
	cmd := exec.Command(name, arguments...)
	cmd.Env = append(append(os.Environ(), h.ConfigEnv), h.Env...)
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(name), err, output)
	}
	return string(output)
}
