package trust

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/internal/testlink"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

var acme = StoreRef{StoreCA, "acme"}

// put writes a file of a store below dir, with its directories.
func put(t testing.TB, dir string, ref StoreRef, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, "x509", string(ref.Type), ref.Name, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func certificates(t testing.TB, s Store, ref StoreRef) []*x509.Certificate {
	t.Helper()
	certs, err := s.Certificates(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return certs
}

func TestStore(t *testing.T) {
	t.Parallel()
	root, other := testpki.Root(t, "root"), testpki.Root(t, "other")
	intermediate := root.Intermediate(t, "intermediate")
	leaf := root.Leaf(t, "leaf", protocol.KeySpecEC256)
	alone := testpki.SelfSigned(t, "alone", protocol.KeySpecEC256)
	tsa := StoreRef{StoreTSA, "tsa"}
	tests := []struct {
		name  string
		ref   StoreRef
		files map[string][]byte
		want  int // certificates
		err   string
	}{
		{"TS-01 ca", acme, map[string][]byte{"a.pem": root.CertPEM()}, 1, ""},
		{"TS-01 signingAuthority", StoreRef{StoreSigningAuthority, "x"}, map[string][]byte{"a.pem": root.CertPEM()}, 1, ""},
		{"TS-01 tsa", tsa, map[string][]byte{"a.pem": root.CertPEM()}, 1, ""},
		{"TS-04 extensions", acme, map[string][]byte{"a.pem": root.CertPEM(), "b.crt": other.CertPEM(), "c.cer": alone.CertPEM()}, 3, ""},
		{"TS-04 DER", acme, map[string][]byte{"a.cer": root.Cert.Raw}, 1, ""},
		{"TS-04 several in DER", acme, map[string][]byte{"a.crt": append(bytes.Clone(root.Cert.Raw), other.Cert.Raw...)}, 2, ""},
		{"TS-04 several in PEM", acme, map[string][]byte{"a.pem": intermediate.ChainPEM()}, 2, ""},
		{"TS-04 extra README", acme, map[string][]byte{"a.pem": root.CertPEM(), "README": []byte("x"), "notes.txt": leaf.CertPEM()}, 1, ""},
		{"TS-04 unreadable content fails the store", acme, map[string][]byte{"a.pem": root.CertPEM(), "b.pem": []byte("x")}, 0, "failed to read the trusted certificate b.pem in trust store acme of type ca"},
		{"TS-04 empty file fails the store", acme, map[string][]byte{"a.pem": root.CertPEM(), "b.pem": nil}, 0, "failed to read the trusted certificate b.pem"},
		{"TS-05 sub-directory ignored", acme, map[string][]byte{"a.pem": root.CertPEM(), "sub/b.pem": leaf.CertPEM()}, 1, ""},
		{"TS-05 directory named like a certificate", acme, map[string][]byte{"a.pem": root.CertPEM(), "dir.pem/b.pem": leaf.CertPEM()}, 1, ""},
		{"TS-06 plain leaf", acme, map[string][]byte{"a.pem": leaf.CertPEM()}, 0, "is not a CA certificate or self-signed signing certificate"},
		{"TS-06 leaf beside a root", acme, map[string][]byte{"a.pem": leaf.ChainPEM()}, 0, "failed to validate the trusted certificate a.pem in trust store acme of type ca"},
		{"TS-06 self-signed leaf", acme, map[string][]byte{"a.pem": alone.CertPEM()}, 1, ""},
		{"TS-06 intermediate", acme, map[string][]byte{"a.pem": intermediate.CertPEM()}, 1, ""},
		{"TS-07 intermediate", tsa, map[string][]byte{"a.pem": intermediate.CertPEM()}, 0, "trusted certificate a.pem in trust store tsa of type tsa is invalid: certificate with subject"},
		{"TS-07 self-signed leaf", tsa, map[string][]byte{"a.pem": alone.CertPEM()}, 0, "is not a root CA certificate"},
		{"TS-08 empty", acme, map[string][]byte{"README": []byte("x")}, 0, `no x509 certificates were found in trust store "acme" of type "ca"`},
		{"TS-08 missing", acme, nil, 0, `the trust store "acme" of type "ca" does not exist`},
		{"TS-02 dots", StoreRef{StoreCA, ".."}, nil, 0, "trust store name needs to follow [a-zA-Z0-9_.-]+ format, .. is invalid"},
		{"TS-02 separator", StoreRef{StoreCA, "a/b"}, nil, 0, "trust store name needs to follow"},
		{"TS-02 unknown type", StoreRef{"CA", "x"}, nil, 0, "unsupported trust store type: CA"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, data := range tt.files {
				put(t, dir, tt.ref, name, data)
			}
			certs, err := NewDirStore(dir, nil).Certificates(t.Context(), tt.ref)
			wantText(t, err, tt.err)
			if len(certs) != tt.want {
				t.Errorf("%d certificates, want %d", len(certs), tt.want)
			}
			if strings.HasPrefix(tt.name, "TS-08") {
				e, ok := errors.AsType[*StoreError](err)
				if !ok || err.Error() != tt.err || e.Ref != tt.ref || e.Missing != (tt.files == nil) || !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("got %#v", err)
				}
			}
		})
	}
	t.Run("TS-05 warning", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		put(t, dir, acme, "a.pem", root.CertPEM())
		put(t, dir, acme, "docs/readme.txt", nil)
		var log bytes.Buffer
		store := NewDirStore(dir, slog.New(slog.NewTextHandler(&log, nil)))
		certificates(t, store, acme)
		if log.Len() != 0 {
			t.Errorf("a warning about a directory without certificates: %s", log.String())
		}
		put(t, dir, acme, "sub/b.pem", other.CertPEM())
		certificates(t, store, acme)
		if !strings.Contains(log.String(), "sub-directory") {
			t.Errorf("no warning: %s", log.String())
		}
	})
	t.Run("TS-04 oversized file", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		path := put(t, dir, acme, "a.pem", root.CertPEM())
		if err := os.Truncate(path, maxCertificateFile+1); err != nil {
			t.Fatal(err)
		}
		_, err := NewDirStore(dir, nil).Certificates(t.Context(), acme)
		wantText(t, err, "has more than")
	})
	t.Run("TS-09 an intermediate can be pinned", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		put(t, dir, acme, "a.pem", intermediate.CertPEM())
		chain := intermediate.Leaf(t, "leaf", protocol.KeySpecEC256).Chain()
		if certs := certificates(t, NewDirStore(dir, nil), acme); !slices.ContainsFunc(chain, certs[0].Equal) {
			t.Error("the chain holds no certificate of the store")
		}
	})
}

func TestStoreLinks(t *testing.T) {
	t.Parallel()
	root := testpki.Root(t, "root")
	t.Run("TS-03 store is a link", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		put(t, dir, StoreRef{StoreCA, "real"}, "a.pem", root.CertPEM())
		testlink.Symlink(t, "real", filepath.Join(dir, "x509", "ca", "acme"))
		_, err := NewDirStore(dir, nil).Certificates(t.Context(), acme)
		wantText(t, err, "is not a regular directory (symlinks are not supported)")
	})
	t.Run("TS-03 store is a file", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		put(t, dir, StoreRef{StoreCA, "."}, "acme", root.CertPEM())
		_, err := NewDirStore(dir, nil).Certificates(t.Context(), acme)
		wantText(t, err, "is not a regular directory (symlinks are not supported)")
	})
	t.Run("TS-03 file is a link", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		target := put(t, dir, StoreRef{StoreCA, "real"}, "a.pem", root.CertPEM())
		put(t, dir, acme, "b.pem", root.CertPEM())
		testlink.Symlink(t, target, filepath.Join(dir, "x509", "ca", "acme", "c.pem"))
		_, err := NewDirStore(dir, nil).Certificates(t.Context(), acme)
		wantText(t, err, "trusted certificate c.pem in trust store acme of type ca is not a regular file (directories or symlinks are not supported)")
		if e, ok := errors.AsType[*CertificateFileError](err); !ok || e.File != "c.pem" || e.Ref != acme {
			t.Errorf("got %#v", err)
		}
	})
	t.Run("TS-03 mounted configuration", func(t *testing.T) {
		t.Parallel()
		// As a cluster mounts it: files are links through ..data, which is
		// replaced as a whole.
		dir := t.TempDir()
		other := testpki.Root(t, "other")
		put(t, dir, acme, "..v1/ca.pem", root.CertPEM())
		put(t, dir, acme, "..v2/ca.pem", other.CertPEM())
		store := filepath.Join(dir, "x509", "ca", "acme")
		testlink.Symlink(t, "..v1", filepath.Join(store, "..data"))
		testlink.Symlink(t, filepath.Join("..data", "ca.pem"), filepath.Join(store, "ca.pem"))
		var log bytes.Buffer
		mounted := NewDirStore(dir, slog.New(slog.NewTextHandler(&log, nil)))
		mounted.AllowSymlinks = true
		mounted.Now = func() time.Time { return time.Now().Add(time.Hour) }
		if certs := certificates(t, mounted, acme); len(certs) != 1 || !certs[0].Equal(root.Cert) {
			t.Fatalf("got %v", certs)
		}
		testlink.Symlink(t, "..v2", filepath.Join(store, "..new"))
		if err := os.Rename(filepath.Join(store, "..new"), filepath.Join(store, "..data")); err != nil {
			t.Fatal(err)
		}
		if certs := certificates(t, mounted, acme); len(certs) != 1 || !certs[0].Equal(other.Cert) {
			t.Errorf("the swap was not noticed: %v", certs)
		}
		if log.Len() != 0 {
			t.Errorf("warnings: %s", log.String())
		}
	})
}

// age sets a file's times to an hour ago and returns its path.
func age(t testing.TB, path string) string {
	t.Helper()
	then := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
	return path
}

// later is a clock by which every file of a test is settled.
func later() time.Time { return time.Now().Add(time.Hour) }

func TestStoreFreshness(t *testing.T) {
	t.Parallel()
	root, other := testpki.Root(t, "root"), testpki.Root(t, "other")
	setup := func(t *testing.T, now func() time.Time) (*DirStore, string) {
		dir := t.TempDir()
		path := put(t, dir, acme, "a.pem", root.CertPEM())
		store := NewDirStore(dir, nil)
		store.Now = now
		return store, path
	}
	t.Run("parsed once", func(t *testing.T) {
		t.Parallel()
		store, _ := setup(t, later)
		if a, b := certificates(t, store, acme), certificates(t, store, acme); a[0] != b[0] {
			t.Error("the store was parsed again")
		}
	})
	t.Run("a fresh file is read again", func(t *testing.T) {
		t.Parallel()
		store, _ := setup(t, nil)
		if a, b := certificates(t, store, acme), certificates(t, store, acme); a[0] == b[0] {
			t.Error("a file that changed less than 2 s before it was read is believed")
		}
	})
	t.Run("freshness counts when the file was read", func(t *testing.T) {
		t.Parallel()
		clock := time.Now()
		store, _ := setup(t, func() time.Time { return clock })
		first := certificates(t, store, acme)
		clock = later() // nothing tells whether the file changed right after it was read
		second := certificates(t, store, acme)
		third := certificates(t, store, acme)
		if first[0] == second[0] || second[0] != third[0] {
			t.Error("want: read while fresh, read again once settled, then kept")
		}
	})
	changes := []struct {
		name   string
		change func(t *testing.T, path string)
		want   []*x509.Certificate // nil: an error
	}{
		{"replaced", func(t *testing.T, path string) {
			put(t, filepath.Join(filepath.Dir(path), "../../.."), StoreRef{StoreCA, "spare"}, "n.pem", other.CertPEM())
			if err := os.Rename(filepath.Join(filepath.Dir(path), "../spare/n.pem"), path); err != nil {
				t.Fatal(err)
			}
		}, []*x509.Certificate{other.Cert}},
		{"rewritten in place, times set back", func(t *testing.T, path string) {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, append(other.CertPEM(), '\n'), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
		}, []*x509.Certificate{other.Cert}},
		{"file added", func(t *testing.T, path string) {
			if err := os.WriteFile(filepath.Join(filepath.Dir(path), "b.pem"), other.CertPEM(), 0o600); err != nil {
				t.Fatal(err)
			}
		}, []*x509.Certificate{root.Cert, other.Cert}},
		{"file removed", func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, nil},
		{"bad file added", func(t *testing.T, path string) {
			if err := os.WriteFile(filepath.Join(filepath.Dir(path), "b.pem"), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, nil},
		{"store removed", func(t *testing.T, path string) {
			if err := os.RemoveAll(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
		}, nil},
	}
	for _, tt := range changes {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			store, path := setup(t, later)
			certificates(t, store, acme)
			tt.change(t, path)
			certs, err := store.Certificates(t.Context(), acme)
			if (err != nil) != (tt.want == nil) || !slices.EqualFunc(certs, tt.want, (*x509.Certificate).Equal) {
				t.Errorf("got %d certificates, %v", len(certs), err)
			}
		})
	}
	t.Run("used by many at once", func(t *testing.T) {
		t.Parallel()
		store, path := setup(t, later)
		both := [][]byte{root.CertPEM(), other.CertPEM()}
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for range 50 {
					if i == 0 { // replaces the file whole, as administrators should
						temp := filepath.Join(filepath.Dir(path), ".swap")
						if err := os.WriteFile(temp, both[0], 0o600); err != nil {
							t.Error(err)
							return
						}
						if err := os.Rename(temp, path); err != nil {
							t.Error(err)
							return
						}
						both[0], both[1] = both[1], both[0]
						continue
					}
					certs, err := store.Certificates(context.Background(), acme)
					if err != nil {
						if !strings.Contains(err.Error(), "was replaced while it was opened") {
							t.Error(err)
						}
						continue
					}
					if len(certs) != 1 || !certs[0].Equal(root.Cert) && !certs[0].Equal(other.Cert) {
						t.Errorf("got %v", certs)
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestAdd(t *testing.T) {
	t.Parallel()
	root := testpki.Root(t, "root")
	leaf := root.Leaf(t, "leaf", protocol.KeySpecEC256)
	source := func(t *testing.T, name string, data []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		name, file string
		data       []byte
		ref        StoreRef
		want       string
	}{
		{"CLI-35 PEM", "a.pem", root.CertPEM(), acme, ""},
		{"CLI-35 DER", "a.cer", root.Cert.Raw, acme, ""},
		{"CLI-35 not a certificate", "a.pem", []byte("x"), acme, "malformed certificate"},
		{"CLI-36 leaf", "a.pem", leaf.CertPEM(), acme, "is not a CA certificate or self-signed signing certificate"},
		{"CLI-36 leaf in a chain", "a.pem", leaf.ChainPEM(), acme, "is not a CA certificate or self-signed signing certificate"},
		{"CLI-36 tsa", "a.pem", testpki.SelfSigned(t, "alone", protocol.KeySpecEC256).CertPEM(), StoreRef{StoreTSA, "x"}, "is not a root CA certificate"},
		{"CLI-37 type", "a.pem", root.CertPEM(), StoreRef{"x", "acme"}, "unsupported store type: x"},
		{"CLI-37 no type", "a.pem", root.CertPEM(), StoreRef{"", "acme"}, "store type cannot be empty"},
		{"CLI-37 name", "a.pem", root.CertPEM(), StoreRef{StoreCA, "a b"}, "named store name needs to follow [a-zA-Z0-9_.-]+ format"},
		{"CLI-37 dots", "a.pem", root.CertPEM(), StoreRef{StoreCA, ".."}, "named store name needs to follow [a-zA-Z0-9_.-]+ format"},
		{"TS-04 a name that would be passed over", "a.txt", root.CertPEM(), acme, "must end in .pem, .crt or .cer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "truststore")
			store := NewDirStore(dir, nil)
			err := store.Add(tt.ref, source(t, tt.file, tt.data))
			wantText(t, err, tt.want)
			if tt.want != "" {
				if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
					t.Error("a refused certificate left something behind")
				}
				return
			}
			certificates(t, store, tt.ref)
			for path, mode := range map[string]fs.FileMode{store.Path(tt.ref): 0o700, filepath.Join(store.Path(tt.ref), tt.file): 0o600} {
				info, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				if runtime.GOOS != "windows" && info.Mode().Perm() != mode {
					t.Errorf("%s has mode %o", path, info.Mode().Perm())
				}
			}
			entries, err := os.ReadDir(store.Path(tt.ref))
			if err != nil || len(entries) != 1 {
				t.Errorf("the store has %v, %v", entries, err)
			}
		})
	}
	t.Run("CLI-37 exists", func(t *testing.T) {
		t.Parallel()
		store := NewDirStore(t.TempDir(), nil)
		if err := store.Add(acme, source(t, "a.pem", root.CertPEM())); err != nil {
			t.Fatal(err)
		}
		err := store.Add(acme, source(t, "a.pem", testpki.Root(t, "other").CertPEM()))
		if !errors.Is(err, ErrCertificateExists) || err.Error() != "certificate already exists in the Trust Store" {
			t.Errorf("got %v", err)
		}
		if certs := certificates(t, store, acme); !certs[0].Equal(root.Cert) {
			t.Error("the file was replaced")
		}
	})
	t.Run("CLI-37 of many only one adds a name", func(t *testing.T) {
		t.Parallel()
		store := NewDirStore(t.TempDir(), nil)
		path := source(t, "a.pem", root.CertPEM())
		results := make(chan error, 16)
		for range cap(results) {
			go func() { results <- store.Add(acme, path) }()
		}
		added := 0
		for range cap(results) {
			if err := <-results; err == nil {
				added++
			} else if !errors.Is(err, ErrCertificateExists) {
				t.Error(err)
			}
		}
		if added != 1 {
			t.Errorf("%d additions of one name", added)
		}
	})
	t.Run("CLI-35 missing file", func(t *testing.T) {
		t.Parallel()
		if err := NewDirStore(t.TempDir(), nil).Add(acme, "nowhere.pem"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("CLI-35 directory", func(t *testing.T) {
		t.Parallel()
		wantText(t, NewDirStore(t.TempDir(), nil).Add(acme, t.TempDir()), "is not a regular file")
	})
	t.Run("CLI-35 source may be a link", func(t *testing.T) {
		t.Parallel()
		path := source(t, "a.pem", root.CertPEM())
		alias := filepath.Join(t.TempDir(), "b.pem")
		testlink.Symlink(t, path, alias)
		store := NewDirStore(t.TempDir(), nil)
		wantText(t, store.Add(acme, alias), "")
		certificates(t, store, acme)
	})
	t.Run("TS-03 store that is a link is not written through", func(t *testing.T) {
		t.Parallel()
		store, outside := NewDirStore(t.TempDir(), nil), t.TempDir()
		if err := os.MkdirAll(filepath.Dir(store.Path(acme)), 0o700); err != nil {
			t.Fatal(err)
		}
		testlink.Symlink(t, outside, store.Path(acme))
		wantText(t, store.Add(acme, source(t, "a.pem", root.CertPEM())), "is not a regular directory")
		_, err := store.DeleteAll(acme)
		wantText(t, err, "is not a regular directory")
		if entries, _ := os.ReadDir(outside); len(entries) != 0 {
			t.Errorf("written: %v", entries)
		}
	})
}

func TestListShow(t *testing.T) {
	t.Parallel()
	root := testpki.Root(t, "root")
	intermediate := root.Intermediate(t, "intermediate")
	leaf := intermediate.Leaf(t, "leaf", protocol.KeySpecEC256)
	dir := t.TempDir()
	pemOf := func(entities ...*testpki.Entity) []byte {
		var out []byte
		for _, e := range entities {
			out = append(out, e.CertPEM()...)
		}
		return out
	}
	put(t, dir, StoreRef{StoreTSA, "a"}, "t.pem", root.CertPEM())
	put(t, dir, StoreRef{StoreCA, "b"}, "z.pem", pemOf(root, intermediate, leaf))
	put(t, dir, StoreRef{StoreCA, "b"}, "y.crt", pemOf(intermediate, root, leaf))
	put(t, dir, StoreRef{StoreCA, "a"}, "x.pem", pemOf(root, testpki.Root(t, "other")))
	put(t, dir, StoreRef{StoreCA, "a"}, "README", nil)
	put(t, dir, StoreRef{StoreSigningAuthority, "a"}, "sub/s.pem", root.CertPEM())
	put(t, dir, StoreRef{StoreSigningAuthority, "a"}, "s.pem", root.CertPEM())
	store := NewDirStore(dir, nil)
	lists := []struct {
		name  string
		match StoreRef
		want  string
	}{
		{"CLI-38 all in order", StoreRef{}, "ca:a/x.pem ca:b/y.crt ca:b/z.pem signingAuthority:a/s.pem tsa:a/t.pem"},
		{"CLI-38 type", StoreRef{Type: StoreCA}, "ca:a/x.pem ca:b/y.crt ca:b/z.pem"},
		{"CLI-38 name", StoreRef{Name: "a"}, "ca:a/x.pem signingAuthority:a/s.pem tsa:a/t.pem"},
		{"CLI-38 both", StoreRef{StoreCA, "a"}, "ca:a/x.pem"},
		{"CLI-38 none", StoreRef{StoreCA, "nowhere"}, ""},
	}
	for _, tt := range lists {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			entries, err := store.List(tt.match)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range entries {
				got = append(got, e.Ref.String()+"/"+e.File)
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
	t.Run("CLI-38 no store yet", func(t *testing.T) {
		t.Parallel()
		if entries, err := NewDirStore(filepath.Join(t.TempDir(), "x"), nil).List(StoreRef{}); err != nil || len(entries) != 0 {
			t.Errorf("got %v, %v", entries, err)
		}
	})
	shows := []struct {
		name, file string
		ref        StoreRef
		want       []*x509.Certificate
		err        string
	}{
		{"CLI-39 chain, root first", "z.pem", StoreRef{StoreCA, "b"}, leaf.Chain(), ""},
		{"CLI-39 chain, mixed order", "y.crt", StoreRef{StoreCA, "b"}, leaf.Chain(), ""},
		{"CLI-39 no chain keeps its order", "x.pem", StoreRef{StoreCA, "a"}, nil, ""},
		{"CLI-41 path", "../../x", StoreRef{StoreCA, "a"}, nil, "give the file name without a path"},
		{"CLI-41 backslash", `..\x`, StoreRef{StoreCA, "a"}, nil, "give the file name without a path"},
		{"CLI-41 dots", "..", StoreRef{StoreCA, "a"}, nil, "give the file name without a path"},
		{"CLI-41 empty", "", StoreRef{StoreCA, "a"}, nil, "give the file name without a path"},
		{"CLI-39 bad store", "x.pem", StoreRef{StoreCA, "../b"}, nil, "named store name needs to follow"},
	}
	for _, tt := range shows {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			certs, err := store.Show(tt.ref, tt.file)
			wantText(t, err, tt.err)
			if tt.want != nil && !slices.EqualFunc(certs, tt.want, (*x509.Certificate).Equal) {
				t.Errorf("got %d certificates", len(certs))
			}
			if tt.err == "" && tt.want == nil && !certs[0].Equal(root.Cert) {
				t.Errorf("first is %s", pki.DisplayName(certs[0].RawSubject))
			}
		})
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	root := testpki.Root(t, "root")
	setup := func(t *testing.T, files ...string) *DirStore {
		dir := t.TempDir()
		for _, name := range files {
			put(t, dir, acme, name, root.CertPEM())
		}
		return NewDirStore(dir, nil)
	}
	exists := func(path string) bool { _, err := os.Lstat(path); return err == nil }
	t.Run("CLI-40 one of two", func(t *testing.T) {
		t.Parallel()
		store := setup(t, "a.pem", "b.pem")
		wantText(t, store.Delete(acme, "a.pem"), "")
		if certs := certificates(t, store, acme); len(certs) != 1 {
			t.Errorf("%d certificates left", len(certs))
		}
	})
	t.Run("CLI-40 last removes the store", func(t *testing.T) {
		t.Parallel()
		store := setup(t, "a.pem")
		certificates(t, store, acme)
		wantText(t, store.Delete(acme, "a.pem"), "")
		if exists(store.Path(acme)) {
			t.Error("an empty store stays")
		}
		if _, err := store.Certificates(t.Context(), acme); err == nil {
			t.Error("a deleted certificate is still trusted")
		}
	})
	t.Run("CLI-40 missing", func(t *testing.T) {
		t.Parallel()
		if err := setup(t, "a.pem").Delete(acme, "b.pem"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("CLI-41 path", func(t *testing.T) {
		t.Parallel()
		store := setup(t, "a.pem")
		victim := filepath.Join(store.Path(acme), "..", "victim.pem")
		if err := os.WriteFile(victim, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		wantText(t, store.Delete(acme, "../victim.pem"), "give the file name without a path")
		if !exists(victim) {
			t.Error("a file outside of the store was deleted")
		}
	})
	t.Run("CLI-40 directory", func(t *testing.T) {
		t.Parallel()
		wantText(t, setup(t, "sub/a.pem").Delete(acme, "sub"), "is not a regular file")
	})
	t.Run("CLI-40 all", func(t *testing.T) {
		t.Parallel()
		store := setup(t, "a.pem", "README", "sub/b.pem")
		deleted, err := store.DeleteAll(acme)
		if err != nil || !slices.Equal(deleted, []string{"README", "a.pem", "sub"}) || exists(store.Path(acme)) {
			t.Errorf("got %v, %v", deleted, err)
		}
	})
	t.Run("CLI-40 all of a missing store", func(t *testing.T) {
		t.Parallel()
		_, err := setup(t).DeleteAll(acme)
		if e, ok := errors.AsType[*StoreError](err); !ok || !e.Missing {
			t.Errorf("got %v", err)
		}
	})
	t.Run("CLI-40 failures are named", func(t *testing.T) {
		t.Parallel()
		err := &DeleteError{Ref: acme, Failed: []FileFailure{{"a.pem", fs.ErrPermission}, {"b.pem", errors.New("busy")}}}
		if err.Error() != "a.pem was not deleted: permission denied; b.pem was not deleted: busy" || !errors.Is(err, fs.ErrPermission) {
			t.Errorf("got %v", err)
		}
	})
}

func BenchmarkStoreWarm(b *testing.B) {
	for _, count := range []int{1, 50} {
		b.Run(fmt.Sprintf("files=%d", count), func(b *testing.B) {
			dir := b.TempDir()
			root := testpki.Root(b, "root")
			for i := range count {
				put(b, dir, acme, fmt.Sprintf("%d.pem", i), root.CertPEM())
			}
			store := NewDirStore(dir, nil)
			store.Now = later
			b.ReportAllocs()
			for b.Loop() {
				certificates(b, store, acme)
			}
		})
	}
}
