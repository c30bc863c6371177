package config

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gofrs/flock"

	"github.com/signet-project/signet/internal/testlink"
)

// writerDir makes the test binary add keys to the list in that directory, and
// say so line by line, until it is killed or has added writerCount of them.
const (
	writerDir    = "CONFIG_TEST_WRITER_DIR"
	writerPrefix = "CONFIG_TEST_WRITER_PREFIX"
	writerCount  = 400
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerDir); dir != "" {
		os.Exit(runWriter(dir, os.Getenv(writerPrefix)))
	}
	os.Exit(m.Run())
}

func runWriter(dir, prefix string) int {
	for i := range writerCount {
		name := fmt.Sprintf("%s-%d", prefix, i)
		if err := NewSigningKeys(dir).Add(context.Background(), pluginKey(name), i%3 == 0); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println(name)
	}
	return 0
}

func pluginKey(name string) Key { return Key{Name: name, ID: "id", PluginName: "p"} }

func keysFile(t *testing.T, text string) (SigningKeys, string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, signingKeysFile)
	if text != "" {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return NewSigningKeys(dir), path
}

const twoKeys = `{
    "default": "b",
    "keys": [
        {
            "name": "a",
            "keyPath": "/k/a.key",
            "certPath": "/k/a.crt"
        },
        {
            "name": "b",
            "id": "arn:x?a=1\u0026b",
            "pluginName": "awskms",
            "pluginConfig": {
                "region": "eu"
            }
        }
    ]
}
`

func TestSigningKeysFormat(t *testing.T) {
	t.Parallel()
	t.Run("KEY-05 bytes", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(t.TempDir(), "notation")
		keys := NewSigningKeys(dir)
		if err := keys.Add(t.Context(), Key{Name: "a", KeyPath: "/k/a.key", CertPath: "/k/a.crt"}, false); err != nil {
			t.Fatal(err)
		}
		if err := keys.Add(t.Context(), Key{Name: "b", ID: "arn:x?a=1&b", PluginName: "awskms", PluginConfig: map[string]string{"region": "eu"}}, true); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, signingKeysFile)
		if data, err := os.ReadFile(path); err != nil || string(data) != twoKeys {
			t.Errorf("got %s, %v", data, err)
		}
		wantMode(t, path, 0o600)
		wantMode(t, dir, 0o700)
	})
	t.Run("KEY-05 empty list", func(t *testing.T) {
		t.Parallel()
		keys, path := keysFile(t, "")
		if err := keys.Add(t.Context(), pluginKey("a"), true); err != nil {
			t.Fatal(err)
		}
		if _, err := keys.Delete(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if data, _ := os.ReadFile(path); string(data) != "{\n    \"keys\": []\n}\n" {
			t.Errorf("got %q", data)
		}
	})
	t.Run("KEY-06 round trip", func(t *testing.T) {
		t.Parallel()
		keys, path := keysFile(t, twoKeys)
		if err := keys.SetDefault(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		if data, _ := os.ReadFile(path); string(data) != twoKeys {
			t.Errorf("got %s", data)
		}
	})
}

func TestLoadKeys(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{"KEY-06 no file", "", ""},
		{"KEY-06 unknown members and trailing data", `{"keys":[{"name":"a","x":1}],"y":2} trailing`, ""},
		{"KEY-06 empty name", `{"keys":[{"name":""}]}`, "malformed signingkeys.json: key name cannot be empty"},
		{"KEY-06 missing name", `{"keys":[{"id":"x"}]}`, "malformed signingkeys.json: key name cannot be empty"},
		{"KEY-06 duplicate name", `{"keys":[{"name":"a"},{"name":"a"}]}`, "malformed signingkeys.json: multiple keys with name 'a' found"},
		{"KEY-06 dangling default", `{"default":"x","keys":[{"name":"a"}]}`, "malformed signingkeys.json: default key 'x' not found"},
		{"KEY-06 empty default", `{"default":"","keys":[{"name":"a"}]}`, "malformed signingkeys.json: default key name cannot be empty"},
		{"KEY-06 not JSON", `{`, "malformed signingkeys.json: unexpected EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			keys, path := keysFile(t, tt.text)
			_, err := keys.Load()
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if _, ok := errors.AsType[*MalformedKeysError](err); !ok || err.Error() != tt.want {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err := keys.Add(t.Context(), pluginKey("new"), false); err == nil {
				t.Error("a malformed list was changed")
			}
			if data, _ := os.ReadFile(path); string(data) != tt.text {
				t.Errorf("a malformed list was rewritten: %s", data)
			}
		})
	}
	t.Run("KEY-06 link", func(t *testing.T) {
		t.Parallel()
		keys, path := keysFile(t, "")
		target := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(target, []byte(twoKeys), 0o600); err != nil {
			t.Fatal(err)
		}
		testlink.Symlink(t, target, path)
		if _, err := keys.Load(); !errors.Is(err, ErrNotRegular) || !strings.Contains(err.Error(), "symlinks are not supported") {
			t.Errorf("got %v", err)
		}
		if err := keys.Add(t.Context(), pluginKey("x"), false); !errors.Is(err, ErrNotRegular) {
			t.Errorf("got %v", err)
		}
	})
}

func TestChangeKeys(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(SigningKeys) error
		want   string // text of the error
	}{
		{"KEY-07 duplicate", func(k SigningKeys) error { return k.Add(t.Context(), pluginKey("a"), false) }, `signing key with name "a" already exists`},
		{"KEY-07 no id", func(k SigningKeys) error { return k.Add(t.Context(), Key{Name: "x", PluginName: "p"}, false) }, "missing key id"},
		{"KEY-07 no plugin", func(k SigningKeys) error { return k.Add(t.Context(), Key{Name: "x", ID: "i"}, false) }, "plugin name cannot be empty"},
		{"KEY-07 no name", func(k SigningKeys) error { return k.Add(t.Context(), Key{ID: "i", PluginName: "p"}, false) }, "key name cannot be empty"},
		{"KEY-07 half a pair", func(k SigningKeys) error { return k.Add(t.Context(), Key{Name: "x", KeyPath: "k"}, false) }, `signing key "x" needs the paths of a key file and a certificate file`},
		{"KEY-07 files and plugin", func(k SigningKeys) error {
			return k.Add(t.Context(), Key{Name: "x", ID: "i", PluginName: "p", KeyPath: "k", CertPath: "c"}, false)
		}, `signing key "x" has both files and a plugin: give one of them`},
		{"KEY-09 unknown default", func(k SigningKeys) error { return k.SetDefault(t.Context(), "x") }, "signing key x not found"},
		{"KEY-09 empty default", func(k SigningKeys) error { return k.SetDefault(t.Context(), "") }, "key name cannot be empty"},
		{"CLI-34 all or nothing", func(k SigningKeys) error { _, err := k.Delete(t.Context(), "a", "b", "x"); return err }, "signing key x not found"},
		{"CLI-34 twice", func(k SigningKeys) error { _, err := k.Delete(t.Context(), "a", "a"); return err }, "signing key a not found"},
		{"CLI-34 empty name", func(k SigningKeys) error { _, err := k.Delete(t.Context(), "a", ""); return err }, "key name cannot be empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			keys, path := keysFile(t, twoKeys)
			if err := tt.change(keys); err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if data, _ := os.ReadFile(path); string(data) != twoKeys {
				t.Errorf("a refused change was written: %s", data)
			}
		})
	}
	load := func(t *testing.T, keys SigningKeys) *Keys {
		t.Helper()
		list, err := keys.Load()
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	t.Run("KEY-08 default deleted", func(t *testing.T) {
		t.Parallel()
		keys, _ := keysFile(t, twoKeys)
		if name, err := keys.Delete(t.Context(), "b"); err != nil || name != "b" {
			t.Fatalf("got %q, %v", name, err)
		}
		list := load(t, keys)
		if list.Default != "" || len(list.Keys) != 1 {
			t.Errorf("got %+v", list)
		}
		if _, err := list.Get(""); !errors.Is(err, ErrNoDefaultKey) || err.Error() != "default signing key not set. Please set default signing key or specify a key name" {
			t.Errorf("KEY-09: got %v", err)
		}
	})
	t.Run("KEY-08 another deleted", func(t *testing.T) {
		t.Parallel()
		keys, _ := keysFile(t, twoKeys)
		if name, err := keys.Delete(t.Context(), "a"); err != nil || name != "" {
			t.Fatalf("got %q, %v", name, err)
		}
		if list := load(t, keys); list.Default != "b" {
			t.Errorf("got %+v", list)
		}
	})
	t.Run("KEY-09 get", func(t *testing.T) {
		t.Parallel()
		keys, _ := keysFile(t, twoKeys)
		list := load(t, keys)
		if key, err := list.Get(""); err != nil || key.Name != "b" || key.Local() {
			t.Errorf("got %+v, %v", key, err)
		}
		if key, err := list.Get("a"); err != nil || !key.Local() {
			t.Errorf("got %+v, %v", key, err)
		}
		_, err := list.Get("x")
		if e, ok := errors.AsType[*KeyNotFoundError](err); !ok || e.Name != "x" || err.Error() != "signing key x not found" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("CLI-32 set default", func(t *testing.T) {
		t.Parallel()
		keys, _ := keysFile(t, twoKeys)
		if err := keys.SetDefault(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if list := load(t, keys); list.Default != "a" {
			t.Errorf("got %+v", list)
		}
	})
}

func TestConcurrentKeys(t *testing.T) {
	t.Parallel()
	t.Run("KEY-13 goroutines lose nothing", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		const writers, each = 8, 10
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					if err := NewSigningKeys(dir).Add(t.Context(), pluginKey(fmt.Sprintf("%d-%d", w, i)), true); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		list, err := NewSigningKeys(dir).Load()
		if err != nil || len(list.Keys) != writers*each {
			t.Errorf("%d of %d keys, %v", len(list.Keys), writers*each, err)
		}
	})
	t.Run("KEY-13 kill -9", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		const rounds = 6
		for round := range rounds {
			written := killWriters(t, dir, round)
			list, err := NewSigningKeys(dir).Load()
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			for _, name := range written {
				if _, err := list.Get(name); err != nil {
					t.Errorf("round %d: key %s was reported and lost", round, name)
				}
			}
		}
		if err := NewSigningKeys(dir).Add(t.Context(), pluginKey("last"), false); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if name := entry.Name(); name != signingKeysFile && name != signingKeysFile+".lock" {
				t.Errorf("left behind: %s", name)
			}
		}
	})
}

// killWriters has two processes add keys, kills both in the midst of it and
// returns the names of the keys that they said they had added.
func killWriters(t *testing.T, dir string, round int) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	names := make(chan string, 2*writerCount)
	enough := make(chan struct{}, 2*writerCount)
	var writers []*exec.Cmd
	var wg sync.WaitGroup
	for w := range 2 {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), writerDir+"="+dir, fmt.Sprintf("%s=%d.%d", writerPrefix, round, w))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		writers = append(writers, cmd)
		wg.Go(func() {
			lines := bufio.NewReader(out)
			for {
				line, err := lines.ReadString('\n')
				if err != nil { // what a killed writer did not finish to say does not count
					return
				}
				names <- strings.TrimSpace(line)
				enough <- struct{}{}
			}
		})
	}
	ended := make(chan struct{})
	go func() { wg.Wait(); close(ended) }()
	for range 5 + 3*round { // each round is cut off elsewhere
		select {
		case <-enough:
		case <-ended:
			t.Error("the writers ended by themselves")
		}
	}
	for _, cmd := range writers {
		cmd.Process.Kill()
	}
	wg.Wait()
	for _, cmd := range writers {
		cmd.Wait()
	}
	close(names)
	var written []string
	for name := range names {
		written = append(written, name)
	}
	return written
}

// TestChangeEndsWithContext holds that nobody waits for another process, and changes the
// list after all, when the context is done.
func TestChangeEndsWithContext(t *testing.T) {
	t.Parallel()
	keys := NewSigningKeys(t.TempDir())
	if err := keys.Add(t.Context(), pluginKey("a"), true); err != nil {
		t.Fatal(err)
	}
	lock := flock.New(keys.path + ".lock")
	if err := lock.Lock(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the user went home")
	cancel(gone)
	if err := keys.Add(ctx, pluginKey("b"), true); err != gone {
		t.Errorf("Add: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if err := keys.Add(t.Context(), pluginKey("c"), false); err != nil {
		t.Fatal(err)
	}
	list, err := keys.Load()
	if err != nil || list.Default != "a" || len(list.Keys) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
}
