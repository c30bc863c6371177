package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/signet-project/signet/internal/testlink"
)

func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestDirs(t *testing.T) {
	t.Parallel()
	join := filepath.Join
	abs := t.TempDir() // an absolute path on this system
	home := join(abs, "home")
	tests := []struct {
		name, goos, home string
		env              func(string) string
		want             Dirs
	}{
		{"KEY-01 XDG", "linux", home, environment("XDG_CONFIG_HOME", abs), Dirs{join(abs, "notation"), join(abs, "notation"), join(home, ".cache", "notation"), false}},
		{"KEY-01 home", "linux", home, environment(), Dirs{join(home, ".config", "notation"), join(home, ".config", "notation"), join(home, ".cache", "notation"), false}},
		{"KEY-01 other unix", "freebsd", home, environment(), Dirs{join(home, ".config", "notation"), join(home, ".config", "notation"), join(home, ".cache", "notation"), false}},
		{"KEY-01 windows", "windows", home, environment("AppData", abs, "LocalAppData", join(abs, "local")), Dirs{join(abs, "notation"), join(abs, "notation"), join(abs, "local", "notation"), false}},
		{"KEY-01 macOS", "darwin", home, environment("XDG_CONFIG_HOME", abs), Dirs{join(home, "Library", "Application Support", "notation"), join(home, "Library", "Application Support", "notation"), join(home, "Library", "Caches", "notation"), false}},
		{"KEY-01 fallback", "linux", "", environment(), Dirs{".notation", ".notation", join(".notation", "cache"), true}},
		{"KEY-01 fallback on windows", "windows", home, environment(), Dirs{".notation", ".notation", join(".notation", "cache"), true}},
		{"KEY-02 libexec follows configuration", "linux", home, environment("NOTATION_CONFIG", "/c"), Dirs{"/c", "/c", join(home, ".cache", "notation"), false}},
		{"KEY-03 XDG cache", "linux", home, environment("XDG_CACHE_HOME", abs), Dirs{join(home, ".config", "notation"), join(home, ".config", "notation"), join(abs, "notation"), false}},
		{"KEY-04 all set", "linux", home, environment("NOTATION_CONFIG", "/c", "NOTATION_LIBEXEC", "/l", "NOTATION_CACHE", "/k"), Dirs{"/c", "/l", "/k", false}},
		{"KEY-04 configuration without a home", "linux", "", environment("NOTATION_CONFIG", ".notation"), Dirs{".notation", ".notation", join(".notation", "cache"), false}},
		{"KEY-04 libexec alone", "linux", home, environment("NOTATION_LIBEXEC", "/l"), Dirs{join(home, ".config", "notation"), "/l", join(home, ".cache", "notation"), false}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := DirsFrom(tt.env, tt.goos, tt.home); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
	t.Run("KEY-12 paths", func(t *testing.T) {
		t.Parallel()
		dirs := Dirs{Config: "c", Libexec: "l", Cache: "k"}
		key, cert := dirs.LocalKey("n")
		if key != join("c", "localkeys", "n.key") || cert != join("c", "localkeys", "n.crt") {
			t.Errorf("got %s, %s", key, cert)
		}
		if dirs.TrustStore() != join("c", "truststore") || dirs.Plugins() != join("l", "plugins") || dirs.CRLCache() != join("k", "crl") || dirs.PluginMemory() != join("k", "plugins") {
			t.Error("a directory is misplaced")
		}
	})
}

func TestWriteFile(t *testing.T) {
	t.Parallel()
	t.Run("KEY-12 modes", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "a", "b")
		for name, mode := range map[string]fs.FileMode{"n.key": 0o600, "n.crt": 0o644} {
			path := filepath.Join(dir, name)
			if err := WriteFile(path, []byte("x"), mode); err != nil {
				t.Fatal(err)
			}
			wantMode(t, path, mode)
		}
		wantMode(t, dir, 0o700)
		wantMode(t, filepath.Dir(dir), 0o700)
	})
	t.Run("KEY-13 replaces whole and leaves nothing", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "f")
		for _, text := range []string{"a longer text", "short", ""} {
			if err := WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if data, err := os.ReadFile(path); err != nil || string(data) != text {
				t.Errorf("got %q, %v", data, err)
			}
		}
		if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
			t.Errorf("left behind: %v", entries)
		}
	})
	t.Run("KEY-13 mode of the old file does not linger", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		wantMode(t, path, 0o600)
	})
	t.Run("KEY-06 links stay", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		target, path := filepath.Join(dir, "target"), filepath.Join(dir, "f")
		if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		testlink.Symlink(t, target, path)
		if err := WriteFile(path, []byte("new"), 0o600); !errors.Is(err, ErrNotRegular) {
			t.Errorf("got %v", err)
		}
		if data, _ := os.ReadFile(target); string(data) != "old" {
			t.Error("the link was written through")
		}
	})
	t.Run("KEY-13 directory in the way", func(t *testing.T) {
		t.Parallel()
		if err := WriteFile(t.TempDir(), nil, 0o600); !errors.Is(err, ErrNotRegular) {
			t.Errorf("got %v", err)
		}
	})
}

func wantMode(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != mode {
		t.Errorf("%s has mode %o, want %o", path, info.Mode().Perm(), mode)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	load := func(t *testing.T, text string) (*Settings, error) {
		t.Helper()
		dir := t.TempDir()
		if err := os.WriteFile(SettingsPath(dir), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return LoadSettings(dir)
	}
	t.Run("KEY-10 all members", func(t *testing.T) {
		t.Parallel()
		s, err := load(t, `{"insecureRegistries":["localhost:5000"],"credsStore":"pass","credHelpers":{"reg.io":"ecr"},"signatureFormat":"cose","auths":{"reg.io":{"auth":"x"}},"other":1} trailing`)
		if err != nil || s.CredentialsStore != "pass" || s.CredentialHelpers["reg.io"] != "ecr" || s.SignatureFormat != "cose" {
			t.Fatalf("got %+v, %v", s, err)
		}
		if !s.Insecure("LOCALHOST:5000") || s.Insecure("localhost") {
			t.Error("insecureRegistries are compared in the wrong way")
		}
	})
	t.Run("KEY-10 no file", func(t *testing.T) {
		t.Parallel()
		s, err := LoadSettings(t.TempDir())
		if err != nil || s.SignatureFormat != "" || s.Insecure("x") {
			t.Errorf("got %+v, %v", s, err)
		}
	})
	t.Run("KEY-10 malformed", func(t *testing.T) {
		t.Parallel()
		_, err := load(t, `{"signatureFormat":1}`)
		if _, ok := errors.AsType[*MalformedSettingsError](err); !ok || !strings.HasPrefix(err.Error(), "malformed config.json: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("KEY-10 a link is followed, and must lead to a file", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		target := filepath.Join(dir, "x")
		testlink.Symlink(t, target, SettingsPath(dir))
		if _, err := LoadSettings(dir); err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "broken link") {
			t.Errorf("link to nothing: got %v", err)
		}
		if err := os.WriteFile(target, []byte(`{"requirePins":true}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := LoadSettings(dir); err != nil || !s.RequirePins {
			t.Errorf("link to a file: got %+v, %v", s, err)
		}
		if err := errors.Join(os.Remove(target), os.Mkdir(target, 0o700)); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadSettings(dir); !errors.Is(err, ErrNotRegular) {
			t.Errorf("link to a directory: got %v", err)
		}
	})
	t.Run("KEY-11 lower case", func(t *testing.T) {
		t.Parallel()
		if s, err := load(t, `{"signatureFormat":"COSE"}`); err != nil || s.SignatureFormat != "cose" {
			t.Errorf("got %+v, %v", s, err)
		}
	})
}
