package vault

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/plugintest"
	"github.com/signet-project/signet/protocol"
)

func TestParseKeyID(t *testing.T) {
	for id, want := range map[string]keyPath{
		"transit/keys/release":         {"transit", "release", 0},
		"transit/keys/release:3":       {"transit", "release", 3},
		"team-a/sign.ing/keys/a_b.c-d": {"team-a/sign.ing", "a_b.c-d", 0},
		"keys/keys/keys":               {"keys", "keys", 0},
	} {
		if got, err := parseKeyID(id); got != want || err != nil {
			t.Errorf("%s: %+v, %v", id, got, err)
		}
	}
	for _, id := range []string{"", "release", "keys/release", "/keys/release", "transit/keys/", "transit/keys/a b", "transit/keys/a?x=1", "transit/keys/..",
		"../sys/keys/x", "transit/sign/release", "/transit/keys/release", "transit/keys/release:", "transit/keys/release:0", "transit/keys/release:-1",
		"transit/keys/release:+1", "transit/keys/release:1:2", "transit/keys/release:99999999999", "transit/keys/%2e%2e", strings.Repeat("a/", 300) + "keys/x"} {
		if got, err := parseKeyID(id); err == nil || strings.ContainsRune(err.Error(), '\n') {
			t.Errorf("%q: %+v, %v", id, got, err)
		}
	}
}

func FuzzParseKeyID(f *testing.F) {
	for _, seed := range []string{"transit/keys/release:3", "a/b/keys/c", "keys/", "transit/keys/..", "transit/keys/x:0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		k, err := parseKeyID(id)
		if err != nil {
			return
		}
		if k.version < 0 || strings.ContainsAny(k.signPath(), "?#% \n\\") || strings.Contains("/"+k.signPath()+"/", "/../") || !strings.HasPrefix(id, k.readPath()) {
			t.Errorf("%q became %+v", id, k)
		}
	})
}

func TestParseKVPath(t *testing.T) {
	for text, want := range map[string]kvPath{
		"secret/data/release":        {"secret/data/release", "certificate_chain"},
		"secret/release#the chain#2": {"secret/release", "the chain#2"},
		"a/b/c/data/d.pem#chain":     {"a/b/c/data/d.pem", "chain"},
	} {
		if got, err := parseKVPath(text); got != want || err != nil {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "secret", "secret/x#", "/secret/x", "secret/../x", "secret/x?y", "secret//x", strings.Repeat("x", 600)} {
		if got, err := parseKVPath(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// environ makes a getenv of NAME=value pairs.
func environ(pairs ...string) func(string) string {
	return func(name string) string {
		for _, pair := range pairs {
			if key, value, _ := strings.Cut(pair, "="); key == name {
				return value
			}
		}
		return ""
	}
}

func TestSettings(t *testing.T) {
	t.Run("precedence", func(t *testing.T) {
		env := environ("VAULT_ADDR=https://v", "BAO_ADDR=https://b", "VAULT_NAMESPACE=v", "VAULT_CLIENT_TIMEOUT=7", "VAULT_SKIP_VERIFY=1", "BAO_AUTH_METHOD=jwt", "VAULT_AUTH_MOUNT=/a/b/")
		s, err := readSettings(map[string]string{ConfigNamespace: "c"}, env)
		if err != nil {
			t.Fatal(err)
		}
		mount, err := s.authMount()
		if s.address() != "https://b" || s.get(ConfigNamespace) != "c" || s.timeout != 7*time.Second || !s.insecure || s.method != methodJWT || mount != "a/b" || err != nil {
			t.Errorf("%+v %s %s %s", s, s.address(), mount, err)
		}
		s.config = map[string]string{ConfigAddress: "https://c"}
		if s.address() != "https://c" {
			t.Error(s.address())
		}
	})
	t.Run("defaults", func(t *testing.T) {
		s, err := readSettings(nil, environ())
		if err != nil || s.address() != defaultAddress || s.timeout != defaultTimeout || s.insecure || s.method != methodToken || s.kv != nil {
			t.Errorf("%+v, %v", s, err)
		}
	})
	for name, c := range map[string]struct {
		config map[string]string
		env    string
		want   string
	}{
		"a slip":          {map[string]string{"adress": "x"}, "", `"adress" is not known: there are address, auth_method`},
		"a token":         {map[string]string{"token": "hvs.x"}, "", "no secret"},
		"a secret id":     {map[string]string{"secret_id": "x"}, "", "no secret"},
		"a method":        {map[string]string{ConfigAuthMethod: "ldap"}, "", "token, approle, kubernetes and jwt"},
		"a KV path":       {map[string]string{ConfigKV: "x"}, "", "certificate_kv"},
		"a timeout":       {nil, "VAULT_CLIENT_TIMEOUT=soon", "VAULT_CLIENT_TIMEOUT"},
		"no time":         {nil, "VAULT_CLIENT_TIMEOUT=0", "VAULT_CLIENT_TIMEOUT"},
		"a boolean":       {nil, "VAULT_SKIP_VERIFY=maybe", "VAULT_SKIP_VERIFY"},
		"an address":      {map[string]string{ConfigAddress: "vault:8200"}, "", "is not a URL"},
		"another scheme":  {map[string]string{ConfigAddress: "ftp://vault"}, "", "is not a URL"},
		"a CA file":       {map[string]string{ConfigCACert: "/does/not/exist"}, "", "TLS settings"},
		"half a key pair": {map[string]string{ConfigClientCert: "/x"}, "", "TLS settings"},
		"a proxy":         {nil, "VAULT_PROXY_ADDR=:::", "not a URL"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := readSettings(c.config, environ(c.env))
			if err == nil {
				_, err = newServer(s, time.Now)
			}
			plugintest.WantError(t, err, protocol.CodeValidation, c.want)
		})
	}
}

func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	secret := write("secret", " s3cr3t\n")
	write(".vault-token", "from-home\n")
	for _, c := range []struct {
		name string
		env  []string
		want string
		code protocol.ErrorCode
	}{
		{"environment first", []string{"VAULT_TOKEN=env", "VAULT_TOKEN_FILE=" + secret, "HOME=" + dir}, "env", ""},
		{"then the file", []string{"VAULT_TOKEN_FILE=" + secret, "HOME=" + dir}, "s3cr3t", ""},
		{"then the home folder", []string{"HOME=" + dir}, "from-home", ""},
		{"none, but an agent", []string{"VAULT_AGENT_ADDR=http://127.0.0.1:1"}, "", ""},
		{"none", []string{"HOME=" + filepath.Join(dir, "none")}, "", protocol.CodeAccessDenied},
		{"file missing", []string{"VAULT_TOKEN_FILE=" + filepath.Join(dir, "none")}, "", protocol.CodeAccessDenied},
		{"file empty", []string{"VAULT_TOKEN_FILE=" + write("empty", "\n")}, "", protocol.CodeAccessDenied},
		{"file too long", []string{"VAULT_TOKEN_FILE=" + write("long", strings.Repeat("x", maxSecret+1))}, "", protocol.CodeAccessDenied},
	} {
		t.Run("token: "+c.name, func(t *testing.T) {
			s, err := readSettings(nil, environ(c.env...))
			if err != nil {
				t.Fatal(err)
			}
			token, err := s.token()
			if token != c.want || (err != nil) != (c.code != "") {
				t.Errorf("%q, %v", token, err)
			}
			if err != nil {
				plugintest.WantError(t, err, c.code)
			}
		})
	}
	for _, c := range []struct {
		name string
		env  []string
		want string
	}{
		{"approle without a role", []string{"VAULT_AUTH_METHOD=approle"}, "role_id"},
		{"kubernetes without a role", []string{"VAULT_AUTH_METHOD=kubernetes"}, "auth_role"},
		{"jwt without a token", []string{"VAULT_AUTH_METHOD=jwt"}, "VAULT_JWT"},
		{"a mount that is no path", []string{"VAULT_AUTH_METHOD=jwt", "VAULT_AUTH_MOUNT=../sys", "VAULT_JWT=x"}, "auth_mount"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := readSettings(nil, environ(c.env...))
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = s.credentials()
			plugintest.WantError(t, err, protocol.CodeValidation, c.want)
		})
	}
}
