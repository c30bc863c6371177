package trust

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/testlink"
)

func write(t testing.TB, path string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// named is a policy whose one statement has that name.
func named(t testing.TB, name string) []byte {
	return documentOf(t, statementWith(m{"name": name, "registryScopes": []string{"*"}}))
}

func TestFilePolicies(t *testing.T) {
	t.Parallel()
	const (
		missing   = "trust policy is not present. To create a trust policy, see: https://notaryproject.dev/docs/quickstart/#create-a-trust-policy"
		irregular = "trust policy is not a regular file (symlinks are not supported). To create a trust policy, see: https://notaryproject.dev/docs/quickstart/#create-a-trust-policy"
	)
	// statementName reads the policy by f and returns the name of its statement.
	oci := func(t *testing.T, f FilePolicies) (string, error) {
		policy, err := f.OCIPolicy(t.Context())
		if err != nil {
			return "", err
		}
		return policy.Statements[0].Name, nil
	}
	tests := []struct {
		name  string
		setup func(t *testing.T, dir string)
		want  string
		err   string // the whole text
	}{
		{"TP-01 new name", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, OCIPolicyFile), named(t, "new"))
		}, "new", ""},
		{"TP-01 legacy name", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, LegacyPolicyFile), named(t, "old"))
		}, "old", ""},
		{"TP-01 both present", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, OCIPolicyFile), named(t, "new"))
			write(t, filepath.Join(dir, LegacyPolicyFile), named(t, "old"))
		}, "new", ""},
		{"TP-01 no fallback from a bad file", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, OCIPolicyFile), []byte(`{"version":"9"}`))
			write(t, filepath.Join(dir, LegacyPolicyFile), named(t, "old"))
		}, "", `oci trust policy document uses unsupported version "9", the supported version is "1.0"`},
		{"TP-01 no fallback from a link", func(t *testing.T, dir string) {
			testlink.Symlink(t, write(t, filepath.Join(dir, "x"), named(t, "x")), filepath.Join(dir, OCIPolicyFile))
			write(t, filepath.Join(dir, LegacyPolicyFile), named(t, "old"))
		}, "", irregular},
		{"TP-03 missing", func(*testing.T, string) {}, "", missing},
		{"TP-03 directory", func(t *testing.T, dir string) {
			if err := os.Mkdir(filepath.Join(dir, OCIPolicyFile), 0o700); err != nil {
				t.Fatal(err)
			}
		}, "", irregular},
		{"TP-03 dangling link", func(t *testing.T, dir string) {
			testlink.Symlink(t, "nowhere", filepath.Join(dir, OCIPolicyFile))
		}, "", irregular},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			tt.setup(t, dir)
			for _, source := range []PolicySource{FilePolicies{Dir: dir}, NewPolicyCache(FilePolicies{Dir: dir}, nil)} {
				policy, err := source.OCIPolicy(t.Context())
				if tt.err != "" {
					if err == nil || err.Error() != tt.err {
						t.Errorf("%T: got %v, want %q", source, err, tt.err)
					}
					continue
				}
				if err != nil || policy.Statements[0].Name != tt.want {
					t.Errorf("%T: got %v, %v", source, policy, err)
				}
			}
		})
	}
	t.Run("TP-03 bad JSON", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		write(t, filepath.Join(dir, BlobPolicyFile), []byte("{"))
		_, err := FilePolicies{Dir: dir}.BlobPolicy(t.Context())
		if err == nil || !strings.HasPrefix(err.Error(), "malformed trust policy. To create a trust policy, see: https://") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("TP-03 types of errors", func(t *testing.T) {
		t.Parallel()
		_, err := oci(t, FilePolicies{Dir: t.TempDir()})
		if _, ok := errors.AsType[*PolicyNotFoundError](err); !ok || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %#v", err)
		}
		err = policyError("/p", &fs.PathError{Op: "open", Path: "/p", Err: fs.ErrPermission})
		if err.Error() != "unable to read trust policy due to file permissions, please verify the permissions of /p" || !errors.Is(err, fs.ErrPermission) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("TP-03 oversized", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		if err := os.Truncate(write(t, filepath.Join(dir, OCIPolicyFile), nil), MaxPolicySize+1); err != nil {
			t.Fatal(err)
		}
		_, err := oci(t, FilePolicies{Dir: dir})
		wantText(t, err, "has more than")
	})
	t.Run("TP-02 blob file", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		write(t, filepath.Join(dir, OCIPolicyFile), named(t, "oci"))
		if _, err := (FilePolicies{Dir: dir}).BlobPolicy(t.Context()); err == nil || err.Error() != missing {
			t.Errorf("got %v", err)
		}
		write(t, filepath.Join(dir, BlobPolicyFile), named(t, "blob"))
		policy, err := FilePolicies{Dir: dir}.BlobPolicy(t.Context())
		if err != nil || policy.Statements[0].Name != "blob" {
			t.Errorf("got %v, %v", policy, err)
		}
	})
	t.Run("CLI-30 bytes and path", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		path := write(t, filepath.Join(dir, LegacyPolicyFile), []byte("not a policy"))
		data, got, err := FilePolicies{Dir: dir}.ReadOCI()
		if err != nil || string(data) != "not a policy" || got != path {
			t.Errorf("got %q, %q, %v", data, got, err)
		}
	})
}

func TestPolicyCache(t *testing.T) {
	t.Parallel()
	load := func(t *testing.T, c *PolicyCache) *OCIPolicy {
		t.Helper()
		policy, err := c.OCIPolicy(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return policy
	}
	t.Run("parsed once, change noticed", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		path := age(t, write(t, filepath.Join(dir, OCIPolicyFile), named(t, "one")))
		cache := NewPolicyCache(FilePolicies{Dir: dir}, later)
		first := load(t, cache)
		if load(t, cache) != first {
			t.Error("the policy was parsed again")
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, named(t, "two")) // of the same size
		if runtime.GOOS != "windows" {  // which tells no change time
			if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
		}
		if got := load(t, cache).Statements[0].Name; got != "two" {
			t.Errorf("statement %q is still in force", got)
		}
	})
	t.Run("fresh file is read again", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		write(t, filepath.Join(dir, OCIPolicyFile), named(t, "one"))
		clock := time.Now()
		cache := NewPolicyCache(FilePolicies{Dir: dir}, func() time.Time { return clock })
		first := load(t, cache)
		clock = later()
		second := load(t, cache)
		if second == first {
			t.Error("what was read while the file was fresh is believed")
		}
		if load(t, cache) != second {
			t.Error("a settled file is read again")
		}
	})
	t.Run("TP-01 new name takes over", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		write(t, filepath.Join(dir, LegacyPolicyFile), named(t, "old"))
		cache := NewPolicyCache(FilePolicies{Dir: dir}, later)
		load(t, cache)
		path := write(t, filepath.Join(dir, OCIPolicyFile), named(t, "new"))
		if got := load(t, cache).Statements[0].Name; got != "new" {
			t.Errorf("statement %q is still in force", got)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if got := load(t, cache).Statements[0].Name; got != "old" {
			t.Errorf("statement %q is still in force", got)
		}
	})
	t.Run("TP-37 a policy that goes bad or away is not in force", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		path := write(t, filepath.Join(dir, OCIPolicyFile), named(t, "one"))
		cache := NewPolicyCache(FilePolicies{Dir: dir}, later)
		load(t, cache)
		write(t, path, []byte("{}"))
		if policy, err := cache.OCIPolicy(t.Context()); err == nil || policy != nil {
			t.Errorf("got %v, %v", policy, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if policy, err := cache.OCIPolicy(t.Context()); !errors.Is(err, fs.ErrNotExist) || policy != nil {
			t.Errorf("got %v, %v", policy, err)
		}
	})
	t.Run("TP-03 mounted configuration", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		for version, name := range map[string]string{"..v1": "one", "..v2": "two"} {
			if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, version, BlobPolicyFile), named(t, name))
		}
		testlink.Symlink(t, "..v1", filepath.Join(dir, "..data"))
		testlink.Symlink(t, filepath.Join("..data", BlobPolicyFile), filepath.Join(dir, BlobPolicyFile))
		cache := NewPolicyCache(FilePolicies{Dir: dir, AllowSymlinks: true}, later)
		for _, want := range []string{"one", "two"} {
			policy, err := cache.BlobPolicy(t.Context())
			if err != nil || policy.Statements[0].Name != want {
				t.Fatalf("got %v, %v, want %q", policy, err, want)
			}
			testlink.Symlink(t, "..v2", filepath.Join(dir, "..new"))
			if err := os.Rename(filepath.Join(dir, "..new"), filepath.Join(dir, "..data")); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("used by many at once", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		write(t, filepath.Join(dir, OCIPolicyFile), named(t, "one"))
		cache := NewPolicyCache(FilePolicies{Dir: dir}, nil)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 50 {
					policy, err := cache.OCIPolicy(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := policy.Statement("a.b/c"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	})
}

func BenchmarkPolicyWarm(b *testing.B) {
	dir := b.TempDir()
	write(b, filepath.Join(dir, OCIPolicyFile), named(b, "one"))
	cache := NewPolicyCache(FilePolicies{Dir: dir}, later)
	b.ReportAllocs()
	for b.Loop() {
		policy, err := cache.OCIPolicy(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := policy.Statement("reg.io/team/app"); err != nil {
			b.Fatal(err)
		}
	}
}
