package peers

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oras.land/oras-go/v2/registry/remote/auth"
)

// writerLogin is what pushes the artifacts of the tests below.
var writerLogin = auth.Credential{Username: "writer", Password: secret}

// TestBasic uses a registry that wants a name and a password.
func TestBasic(t *testing.T) {
	t.Parallel()
	registry := withoutReferrers(t, basic(t, "writer", secret))
	encode := func(password string) map[string]any {
		token := base64.StdEncoding.EncodeToString([]byte("writer:" + password))
		return map[string]any{"auths": map[string]any{registry.host: map[string]string{"auth": token}}}
	}
	docker := func(c *command) string { return filepath.Join(c.docker, "config.json") }
	own := func(c *command) string { return filepath.Join(c.config, "config.json") }
	flags := []string{"-u", "writer", "-p", secret}

	for _, c := range []struct {
		name  string
		setup func(*command) *command
		flags []string
		want  string
	}{
		{"REG-05 flags", nil, flags, ""},
		{"REG-05 environment", func(c *command) *command {
			return c.with("NOTATION_USERNAME=writer", "NOTATION_PASSWORD="+secret)
		}, nil, ""},
		{"REG-10 Docker's config.json", func(c *command) *command { writeJSON(t, docker(c), encode(secret)); return c }, nil, ""},
		{"REG-10 our config.json", func(c *command) *command { writeJSON(t, own(c), encode(secret)); return c }, nil, ""},
		{"REG-10 ours before Docker's", func(c *command) *command {
			writeJSON(t, own(c), encode(secret))
			writeJSON(t, docker(c), encode("wrong"))
			return c
		}, nil, ""},
		{"REG-10 flags before files", func(c *command) *command { writeJSON(t, own(c), encode("wrong")); return c }, flags, ""},
		{"REG-05 no credential", nil, nil, registry.host},
		{"REG-05 wrong password", nil, []string{"-u", "writer", "-p", "wrong"}, registry.host},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := remotely(t, registry, repository(c.name), writerLogin)
			program := newSigner(t)
			if c.setup != nil {
				program = c.setup(program)
			}
			sign := append(append([]string{"sign"}, c.flags...), at.signArgs...)
			verify := append(append([]string{"verify"}, c.flags...), at.verifyArgs...)
			list := append(append([]string{"list"}, c.flags...), at.readArgs...)
			if c.want != "" {
				program.fails(t, c.want, sign...)
				program.fails(t, c.want, verify...)
				return
			}
			program.ok(t, sign...)
			program.ok(t, verify...)
			if listed := program.ok(t, list...); strings.Count(listed, "sha256:") != 2 {
				t.Errorf("list does not show one signature:\n%s", listed)
			}
			if _, err := (peer{config: program.config}).verify(t, at, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// installHelper puts the credential helper of these tests on the program's PATH.
func installHelper(t testing.TB, c *command) *command {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, helperBinary+exe())
	if os.Link(self, path) != nil {
		if err := copyFile(path, self); err != nil {
			t.Fatal(err)
		}
	}
	return c.with("PATH="+dir, "PEERS_CREDENTIALS="+filepath.Join(dir, "credentials.json"))
}

// copyFile copies an executable.
func copyFile(to, from string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

// TestLogin keeps a credential in a helper and uses it.
func TestLogin(t *testing.T) {
	t.Parallel()
	registry := withoutReferrers(t, basic(t, "writer", secret))
	at := remotely(t, registry, "login", writerLogin)
	bare := newSigner(t)
	bare = bare.with("PATH=" + t.TempDir())

	t.Run("REG-14 no helper, nothing stored", func(t *testing.T) {
		_, stderr, status := bare.run(t, secret+"\n", "login", "-u", "writer", "--password-stdin", registry.host)
		const want = "the credential could not be saved because a credentials store is required to securely store the password. See https://notaryproject.dev/docs/how-to/registry-authentication/"
		if status != 1 || !strings.Contains(stderr, want) {
			t.Errorf("exit status %d: %s", status, stderr)
		}
		for _, dir := range []string{bare.config, bare.docker} {
			if data, err := os.ReadFile(filepath.Join(dir, "config.json")); err == nil {
				t.Errorf("%s has been written: %s", dir, data)
			}
		}
	})
	t.Run("REG-14 wrong password", func(t *testing.T) {
		program := installHelper(t, bare)
		writeJSON(t, filepath.Join(program.config, "config.json"), map[string]string{"credsStore": "peers"})
		_, stderr, status := program.run(t, "wrong\n", "login", "-u", "writer", "--password-stdin", registry.host)
		if status != 1 || !strings.Contains(stderr, registry.host) || strings.Contains(stderr, "wrong") {
			t.Errorf("exit status %d: %s", status, stderr)
		}
		program.fails(t, registry.host, append([]string{"sign"}, at.signArgs...)...)
	})
	t.Run("REG-11 log in, sign, verify, log out", func(t *testing.T) {
		program := installHelper(t, bare)
		writeJSON(t, filepath.Join(program.config, "config.json"), map[string]any{
			"credHelpers": map[string]string{registry.host: "peers"}, "credsStore": "absent",
		})
		stdout, stderr, status := program.run(t, secret+"\n", "login", "-u", "writer", "--password-stdin", registry.host)
		if status != 0 || !strings.Contains(stdout, "Login Succeeded") {
			t.Fatalf("exit status %d: %s%s", status, stdout, stderr)
		}
		program.ok(t, append([]string{"sign"}, at.signArgs...)...)
		program.ok(t, append([]string{"verify"}, at.verifyArgs...)...)
		program.ok(t, "logout", registry.host)
		program.fails(t, registry.host, append([]string{"verify"}, at.verifyArgs...)...)
	})
}

// TestToken uses a registry that wants a token of a token server.
func TestToken(t *testing.T) {
	t.Parallel()
	for _, oauth := range []bool{true, false} {
		name := map[bool]string{true: "server with OAuth 2.0", false: "server without"}[oauth]
		issuer, access := newTokens(t, oauth)
		registry := withoutReferrers(t, access)
		signer := newSigner(t)
		writer := signer.with("NOTATION_USERNAME=writer", "NOTATION_PASSWORD="+secret)
		reader := signer.with("NOTATION_USERNAME=reader", "NOTATION_PASSWORD="+secret)
		at := remotely(t, registry, "token", writerLogin)

		t.Run("REG-06 "+name, func(t *testing.T) {
			issuer.take()
			writer.ok(t, append([]string{"sign"}, at.signArgs...)...)
			grants := issuer.take()
			switch last := grants[len(grants)-1]; {
			case oauth && !allPosted(grants, "password"):
				t.Errorf("%+v", grants)
			case !oauth && (last.method != http.MethodGet || !last.granted):
				t.Errorf("%+v", grants)
			}
		})
		t.Run("REG-07 reading asks for pull alone, "+name, func(t *testing.T) {
			issuer.take()
			reader.ok(t, append([]string{"verify"}, at.verifyArgs...)...)
			if grants := issuer.take(); !asked(grants, "pull") || asked(grants, "push") || asked(grants, "delete") {
				t.Errorf("%+v", grants)
			}
			if _, err := (peer{config: signer.config}).verify(t, at, nil); err != nil {
				t.Error("notation-go:", err)
			}
		})
		t.Run("REG-07 a reader cannot sign, "+name, func(t *testing.T) {
			issuer.take()
			reader.fails(t, registry.host, append([]string{"sign"}, at.signArgs...)...)
			if grants := issuer.take(); !asked(grants, "push") {
				t.Errorf("%+v", grants)
			}
			if listed := reader.ok(t, append([]string{"list"}, at.readArgs...)...); strings.Count(listed, "sha256:") != 2 {
				t.Errorf("a signature was added:\n%s", listed)
			}
		})
		t.Run("REG-08 tokens are used again, "+name, func(t *testing.T) {
			issuer.take()
			writer.ok(t, append([]string{"sign"}, at.signArgs...)...)
			granted := 0
			for _, g := range issuer.take() {
				if g.granted {
					granted++
				}
			}
			// To read, to write, and to delete the superseded index.
			if granted == 0 || granted > 3 {
				t.Errorf("%d tokens for one command", granted)
			}
		})
		t.Run("REG-05 wrong password, "+name, func(t *testing.T) {
			signer.fails(t, registry.host, append([]string{"verify", "-u", "writer", "-p", "wrong"}, at.verifyArgs...)...)
		})
		if !oauth {
			continue
		}
		t.Run("REG-12 identity token", func(t *testing.T) {
			issuer.take()
			holder := signer.with("NOTATION_PASSWORD=" + identityToken)
			holder.ok(t, append([]string{"sign"}, at.signArgs...)...)
			if grants := issuer.take(); !allPosted(grants, "refresh_token") {
				t.Errorf("%+v", grants)
			}
			holder.ok(t, append([]string{"verify"}, at.verifyArgs...)...)
		})
	}
}
