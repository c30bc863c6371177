package pkcs11

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cryptoki "github.com/miekg/pkcs11"

	"github.com/signet-project/signet/internal/plugintest"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

func TestMain(m *testing.M) {
	plugintest.Main(m, "pkcs11", func() protocol.Plugin {
		return New(Options{Getenv: os.Getenv, Ask: AskOnTerminal, LockDir: os.Getenv("LOCK_DIR")})
	})
}

func TestLocate(t *testing.T) {
	env := map[string]string{}
	p := New(Options{Getenv: func(name string) string { return env[name] }})
	for _, c := range []struct {
		name, keyID string
		config      map[string]string
		env         string
		want        string
		err         string
	}{
		{"in the key id", "pkcs11:object=k?module-path=/uri", map[string]string{ConfigModulePath: "/config"}, "/env", "/uri", ""},
		{"in the configuration", "pkcs11:object=k", map[string]string{ConfigModulePath: "/config"}, "/env", "/config", ""},
		{"in the environment", "pkcs11:object=k", nil, "/env", "/env", ""},
		{"nowhere", "pkcs11:object=k", nil, "", "", "no PKCS #11 module is named"},
		{"a label alone", "release", nil, "/env", "", "not a PKCS #11 URI"},
		{"a slip", "pkcs11:object=k", map[string]string{"module": "/m"}, "", "", `"module" is not known: there are certificate_chain, module_path, pin_source`},
		{"a PIN", "pkcs11:object=k", map[string]string{"pin": "987654"}, "", "", "no secret"},
		{"a PIN in the key id", "pkcs11:object=k?pin-value=987654", nil, "/env", "", "pin-value is refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			env[EnvModulePath] = c.env
			l, err := p.locate(c.keyID, c.config)
			if c.err != "" {
				plugintest.WantError(t, err, protocol.CodeValidation, c.err)
				if strings.Contains(err.Error(), "987654") {
					t.Errorf("the PIN is in the message: %v", err)
				}
			} else if err != nil || l.module != c.want {
				t.Errorf("%+v, %v", l, err)
			}
		})
	}
}

func TestPINSource(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pin := write("pin", "1234\r\n")
	for _, c := range []struct{ name, file, env, want, err string }{
		{"file", pin, "other", "1234", ""},
		{"file URI", "file:" + filepath.ToSlash(pin), "", "1234", ""},
		{"file URI with an authority", "file://localhost" + filepath.ToSlash(pin), "", "1234", ""},
		{"environment", "", "5678\n", "5678", ""},
		{"nothing", "", "", "", ""},
		{"no such file", filepath.Join(dir, "none"), "1234", "", "none"},
		{"empty file", write("empty", "\n"), "1234", "", "is empty"},
		{"large file", write("large", strings.Repeat("1", 300)), "", "", "longer"},
		{"huge file", write("huge", strings.Repeat("1", 2<<20)), "", "", "is larger than 1024 KiB"},
		{"binary", write("binary", "12\x0034"), "", "", "binary"},
		{"command", "|echo 1234", "", "", "commands are not run"},
		{"another host's file", "file://elsewhere/pin", "", "", "not a file URI"},
	} {
		t.Run(c.name, func(t *testing.T) {
			source := pinSource{New(Options{Getenv: func(string) string { return c.env }}).options, c.file}
			got, err := source.unattended()
			if got != c.want && c.err == "" || (err != nil) != (c.err != "") {
				t.Fatalf("%q, %v", got, err)
			}
			if c.err != "" && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v does not say %q", err, c.err)
			}
		})
	}
	ask := func(pin string, err error) (string, error) {
		prompted := ""
		source := pinSource{Options{Ask: func(_ context.Context, prompt string) (string, error) { prompted = prompt; return pin, err }}, ""}
		pin, err = source.ask(t.Context(), "release", true)
		if !strings.Contains(prompted, "LAST TRY") || !strings.Contains(prompted, `"release"`) {
			t.Errorf("prompt %q", prompted)
		}
		return pin, err
	}
	if pin, err := ask("1234", nil); pin != "1234" || err != nil {
		t.Errorf("%q, %v", pin, err)
	}
	_, err := ask("", nil)
	plugintest.WantError(t, err, protocol.CodeAccessDenied, "no PIN was entered")
	_, err = ask("", ErrNoTerminal)
	plugintest.WantError(t, err, protocol.CodeAccessDenied, "needs a PIN", "pin-source", EnvPIN)
	if _, err = ask("", context.Canceled); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	_, err = pinSource{}.ask(t.Context(), "release", false)
	plugintest.WantError(t, err, protocol.CodeAccessDenied, "needs a PIN")
}

func TestFailure(t *testing.T) {
	for value, want := range map[uint]protocol.ErrorCode{
		cryptoki.CKR_PIN_INCORRECT: protocol.CodeAccessDenied, cryptoki.CKR_PIN_LOCKED: protocol.CodeAccessDenied,
		cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED: protocol.CodeAccessDenied, cryptoki.CKR_MECHANISM_INVALID: protocol.CodeValidation,
		cryptoki.CKR_SESSION_COUNT: protocol.CodeThrottled, cryptoki.CKR_DEVICE_REMOVED: protocol.CodeGeneric, 0x80000001: protocol.CodeGeneric,
	} {
		err := failure(returnValue{value, ""}, "sign with key k")
		plugintest.WantError(t, err, want, "sign with key k: ", "CKR 0x")
		if lost(err) != (value == cryptoki.CKR_DEVICE_REMOVED) {
			t.Errorf("lost(%v)", err)
		}
	}
	if lost(nil) || lost(errors.New("x")) {
		t.Error("lost without a return value")
	}
}

func TestWithoutModule(t *testing.T) {
	_, err := New(Options{}).DescribeKey(t.Context(), &protocol.DescribeKeyRequest{KeyID: "pkcs11:object=k?module-path=/does/not/exist.so"})
	failure, ok := errors.AsType[*protocol.Error](err)
	if !ok || !strings.Contains(failure.Message, "/does/not/exist.so") && !strings.Contains(failure.Message, "built without cgo") {
		t.Error(err)
	}
	_ = signer.ConfigCertificateChain
}
