package testservers

import (
	"os"
	"os/exec"
	"path/filepath"
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
	tool                   string
	env                    []string
}

// SoftHSM makes a token for the time of the test.
func SoftHSM(t testing.TB) *HSM {
	t.Helper()
	paths := provisioned(t, "softhsm")
	dir := t.TempDir()
	tokens, config := filepath.Join(dir, "tokens"), filepath.Join(dir, "softhsm2.conf")
	if err := os.Mkdir(tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte("directories.tokendir = "+tokens+"\nlog.level = ERROR\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := &HSM{ModulePath: paths["module"], ConfigEnv: "SOFTHSM2_CONF=" + config,
		TokenLabel: "signet-test", PIN: "1234", SOPIN: "12345678", tool: paths["tool"]}
	h.env = append(os.Environ(), h.ConfigEnv)
	if libs := paths["libs"]; libs != "" {
		h.env = append(h.env, "LD_LIBRARY_PATH="+libs)
	}
	h.run(t, paths["util"], "--module", h.ModulePath, "--init-token", "--free",
		"--label", h.TokenLabel, "--pin", h.PIN, "--so-pin", h.SOPIN)
	return h
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
	cmd.Env = h.env
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(name), err, output)
	}
	return string(output)
}
