package revocation

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

func TestMemory(t *testing.T) {
	t.Run("REV-29 OCSP answers are used again until nextUpdate", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf([]string{s.responder("ocsp", ocspSpec{next: s.clock.Now().Add(10 * time.Minute)})}, nil)
		s.want(s.check(leaf), ResultOK)
		s.clock.advance(10 * time.Minute)
		s.want(s.check(leaf), ResultOK)
		if n := s.web.count("ocsp"); n != 1 {
			t.Errorf("asked %d times", n)
		}
		s.clock.advance(time.Second)
		s.responder("ocsp", ocspSpec{status: statusRevoked})
		s.want(s.check(leaf), ResultRevoked)
	})
	t.Run("REV-29 OCSP answers are used again for revocationMaxAge at most", func(t *testing.T) {
		for _, maxAge := range []time.Duration{0, 5 * time.Minute} {
			t.Run(maxAge.String(), func(t *testing.T) {
				s := newScene(t)
				s.checker.MaxAge = maxAge
				limit := s.checker.maxAge()
				if maxAge == 0 && limit != time.Hour {
					t.Errorf("the default is %v", limit)
				}
				leaf := s.leaf([]string{s.responder("ocsp", ocspSpec{next: s.clock.Now().Add(1000 * time.Hour)})}, nil)
				s.want(s.check(leaf), ResultOK)
				s.clock.advance(limit)
				s.want(s.check(leaf), ResultOK)
				if n := s.web.count("ocsp"); n != 1 {
					t.Errorf("asked %d times", n)
				}
				s.clock.advance(time.Second)
				s.web.handle("ocsp", http.NotFound)
				s.want(s.check(leaf), ResultUnknown)
			})
		}
	})
	t.Run("REV-29 less than zero: asked every time", func(t *testing.T) {
		s := newScene(t)
		s.checker.MaxAge = -1
		s.checker.Cache = &FileCache{Dir: t.TempDir()}
		leaf := s.leaf([]string{s.responder("ocsp", ocspSpec{})}, nil)
		listed := s.leaf(nil, []string{s.web.file("crl", s.crl(crlSpec{}))})
		for range 3 {
			s.want(s.check(leaf), ResultOK)
			s.want(s.check(listed), ResultOK)
		}
		if a, b := s.web.count("ocsp"), s.web.count("crl"); a != 3 || b != 3 {
			t.Errorf("asked %d and %d times", a, b)
		}
	})
	t.Run("REV-29 unknown is not remembered", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf([]string{s.responder("ocsp", ocspSpec{status: statusUnknown})}, nil)
		s.want(s.check(leaf), ResultUnknown)
		s.responder("ocsp", ocspSpec{})
		s.want(s.check(leaf), ResultOK)
	})
	t.Run("REV-29 revoked is remembered", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf([]string{s.responder("ocsp", ocspSpec{status: statusRevoked})}, nil)
		s.want(s.check(leaf), ResultRevoked)
		s.responder("ocsp", ocspSpec{})
		s.want(s.check(leaf), ResultRevoked)
	})
	t.Run("REV-29 a clock that goes back forgets", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf(nil, []string{s.web.file("crl", s.crl(crlSpec{}))})
		s.want(s.check(leaf), ResultOK)
		s.clock.advance(-2 * time.Minute)
		s.want(s.check(leaf), ResultOK)
		if n := s.web.count("crl"); n != 2 {
			t.Errorf("asked %d times", n)
		}
	})
	t.Run("REV-29 nothing of one issuer serves another", func(t *testing.T) {
		s := newScene(t)
		// Two authorities of one name, whose certificates have the same serial number and URLs.
		serial := func(c *x509.Certificate) { c.SerialNumber = big.NewInt(4711) }
		other := testpki.Root(t, "root")
		url := s.web.URL + "/ocsp"
		mine := s.leaf([]string{url}, []string{s.web.URL + "/crl"}, serial)
		theirs := other.Leaf(t, "signer", protocol.KeySpecEC256, urls([]string{url}, []string{s.web.URL + "/crl"}), serial)
		s.responder("ocsp", ocspSpec{})
		s.want(s.check(mine), ResultOK)
		s.want(s.check(theirs), ResultUnknown, ProblemMismatch, ProblemStatus)
		s.web.handle("ocsp", http.NotFound)
		s.checker.answers = memory[answerKey, *answer]{}
		s.web.file("crl", s.crl(crlSpec{}))
		s.want(s.check(mine), ResultOK)
		s.want(s.check(theirs), ResultUnknown, ProblemStatus, ProblemSignature)
	})
	t.Run("REV-29 CRLs are used again until nextUpdate", func(t *testing.T) {
		s := newScene(t)
		leaf := s.leaf(nil, []string{s.web.file("crl", s.crl(crlSpec{next: s.clock.Now().Add(10 * time.Minute)}))})
		for range 3 {
			s.want(s.check(leaf), ResultOK)
		}
		if n := s.web.count("crl"); n != 1 {
			t.Errorf("asked %d times", n)
		}
		s.clock.advance(11 * time.Minute)
		s.want(s.check(leaf), ResultUnknown, ProblemTime)
	})
	t.Run("REV-29 memory is bounded", func(t *testing.T) {
		var m memory[int, string]
		for i := range 1000 {
			m.put(i%200, "x", 10, 100)
			m.get(0)
		}
		if len(m.entries) > 10 || m.recent.Len() != len(m.entries) || m.cost > 100 {
			t.Errorf("%d entries, cost %d", len(m.entries), m.cost)
		}
		m.put(5000, "large", 101, 100)
		if m.cost != 0 || len(m.entries) != 0 {
			t.Errorf("%d entries, cost %d", len(m.entries), m.cost)
		}
	})
	t.Run("REV-35 many goroutines", func(t *testing.T) {
		s := newScene(t)
		s.checker.Cache = &FileCache{Dir: t.TempDir()}
		leaf := s.leaf([]string{s.web.URL + "/missing"}, []string{s.web.file("crl", s.crl(crlSpec{}))})
		var wg sync.WaitGroup
		for range 30 {
			wg.Go(func() { s.want(s.check(leaf), ResultOK) })
		}
		wg.Wait()
		if n := s.web.count("crl"); n != 1 {
			t.Errorf("the CRL was fetched %d times", n)
		}
	})
}

// cachedScene has a checker with a file cache, and counts its warnings.
func cachedScene(t *testing.T) (s *scene, warnings *[]error) {
	s = newScene(t)
	s.checker.Cache = &FileCache{Dir: filepath.Join(t.TempDir(), "cache", "crl")}
	warnings = new([]error)
	s.checker.Warn = func(err error) { *warnings = append(*warnings, err) }
	return s, warnings
}

// restart replaces the checker by one that remembers nothing.
func (s *scene) restart() {
	old := s.checker
	s.checker = &Checker{HTTPClient: old.HTTPClient, Now: old.Now, OCSPTimeout: old.OCSPTimeout, CRLTimeout: old.CRLTimeout, Cache: old.Cache, Warn: old.Warn, MaxAge: old.MaxAge}
}

func (s *scene) cacheFile(url string) string {
	sum := sha256.Sum256([]byte(url))
	return filepath.Join(s.checker.Cache.Dir, hex.EncodeToString(sum[:]))
}

func TestFileCache(t *testing.T) {
	t.Run("REV-30 name and content", func(t *testing.T) {
		s, warnings := cachedScene(t)
		base, delta := s.crl(crlSpec{number: 1}), s.crl(crlSpec{number: 2, extensions: []pkix.Extension{deltaIndicator(t, 1)}})
		plain, split := s.web.file("plain", base), s.web.file("split", base)
		s.web.file("delta", delta)
		s.want(s.check(s.leaf(nil, []string{plain})), ResultOK)
		s.want(s.check(s.leaf(nil, []string{split}, extensions(freshest(t, s.web.URL+"/delta")))), ResultOK)
		for url, want := range map[string]map[string][]byte{plain: {"baseCRL": base}, split: {"baseCRL": base, "deltaCRL": delta}} {
			data, err := os.ReadFile(s.cacheFile(url))
			if err != nil {
				t.Fatal(err)
			}
			var got map[string][]byte
			if err := json.Unmarshal(data, &got); err != nil {
				t.Fatal(err)
			}
			for name, der := range want {
				if string(got[name]) != string(der) {
					t.Errorf("%s: %s is not what was served", url, name)
				}
			}
			if len(got) != len(want) {
				t.Errorf("%s: members %d", url, len(got))
			}
		}
		if len(*warnings) != 0 {
			t.Errorf("warnings %q", *warnings)
		}
	})
	t.Run("REV-31 modes and temporary files", func(t *testing.T) {
		s, _ := cachedScene(t)
		url := s.web.file("crl", s.crl(crlSpec{}))
		s.want(s.check(s.leaf(nil, []string{url})), ResultOK)
		entries, err := os.ReadDir(s.checker.Cache.Dir)
		if err != nil || len(entries) != 1 {
			t.Errorf("%d files: %v", len(entries), err)
		}
		if runtime.GOOS == "windows" {
			return
		}
		for path, want := range map[string]os.FileMode{s.checker.Cache.Dir: 0o700, s.cacheFile(url): 0o600} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: %v %v", path, info.Mode(), err)
			}
		}
	})
	t.Run("REV-31 a failed write leaves nothing behind", func(t *testing.T) {
		s, _ := cachedScene(t)
		url := s.web.file("crl", s.crl(crlSpec{}))
		if err := os.MkdirAll(filepath.Join(s.cacheFile(url), "in the way"), 0o700); err != nil {
			t.Fatal(err)
		}
		s.want(s.check(s.leaf(nil, []string{url})), ResultOK)
		entries, err := os.ReadDir(s.checker.Cache.Dir)
		if err != nil || len(entries) != 1 {
			t.Errorf("%d files: %v", len(entries), err)
		}
	})
	t.Run("REV-31 used by the next process", func(t *testing.T) {
		s, _ := cachedScene(t)
		leaf := s.leaf(nil, []string{s.web.URL + "/crl"}, extensions(freshest(t, s.web.URL+"/delta")))
		s.web.file("crl", s.crl(crlSpec{number: 1}))
		s.web.file("delta", s.crl(crlSpec{number: 2, extensions: []pkix.Extension{deltaIndicator(t, 1)}, entries: []entrySpec{{cert: leaf.Cert}}}))
		s.want(s.check(leaf), ResultRevoked)
		stored := s.clock.Now()
		s.restart()
		s.clock.advance(10 * time.Minute)
		got := s.check(leaf)
		s.want(got, ResultRevoked)
		if s.web.count("crl") != 1 || s.web.count("delta") != 1 {
			t.Errorf("asked %d and %d times", s.web.count("crl"), s.web.count("delta"))
		}
		if !got.Age.Cached || !got.Age.FetchedAt.Equal(stored) {
			t.Errorf("age %+v", got.Age)
		}
	})
	t.Run("REV-31 used while base and delta are unexpired", func(t *testing.T) {
		for _, expiring := range []string{"base", "delta"} {
			t.Run(expiring, func(t *testing.T) {
				s, warnings := cachedScene(t)
				soon := map[string]time.Time{expiring: s.clock.Now().Add(time.Minute)}
				leaf := s.leaf(nil, []string{s.web.URL + "/crl"}, extensions(freshest(t, s.web.URL+"/delta")))
				s.web.file("crl", s.crl(crlSpec{number: 1, next: soon["base"]}))
				s.web.file("delta", s.crl(crlSpec{number: 2, next: soon["delta"], extensions: []pkix.Extension{deltaIndicator(t, 1)}}))
				s.want(s.check(leaf), ResultOK)
				s.clock.advance(2 * time.Minute)
				s.restart()
				s.web.file("crl", s.crl(crlSpec{number: 3, entries: []entrySpec{{cert: leaf.Cert}}}))
				s.want(s.check(leaf), ResultRevoked)
				if len(*warnings) != 0 {
					t.Errorf("warnings %q", *warnings)
				}
			})
		}
	})
	t.Run("REV-31 no longer than revocationMaxAge", func(t *testing.T) {
		s, _ := cachedScene(t)
		leaf := s.leaf(nil, []string{s.web.file("crl", s.crl(crlSpec{}))})
		s.want(s.check(leaf), ResultOK)
		s.clock.advance(61 * time.Minute)
		s.restart()
		s.web.file("crl", s.crl(crlSpec{entries: []entrySpec{{cert: leaf.Cert}}}))
		s.want(s.check(leaf), ResultRevoked)
	})
	t.Run("REV-31 missing nextUpdate is not kept, and not used", func(t *testing.T) {
		s, _ := cachedScene(t)
		url := s.web.file("crl", s.crl(crlSpec{noNext: true}))
		leaf := s.leaf(nil, []string{url})
		s.want(s.check(leaf), ResultUnknown)
		if _, err := os.Stat(s.cacheFile(url)); !os.IsNotExist(err) {
			t.Errorf("kept: %v", err)
		}
		if err := s.checker.Cache.store(url, &cached{Base: s.crl(crlSpec{noNext: true}), storedAt: s.clock.Now()}); err != nil {
			t.Fatal(err)
		}
		s.web.file("crl", s.crl(crlSpec{}))
		s.want(s.check(leaf), ResultOK)
	})
	t.Run("REV-32 a broken cache never fails the check, and warns once", func(t *testing.T) {
		breakages := map[string]func(s *scene, url string){
			"a file where the directory should be": func(s *scene, _ string) {
				os.MkdirAll(filepath.Dir(s.checker.Cache.Dir), 0o700)
				os.WriteFile(s.checker.Cache.Dir, nil, 0o600)
			},
			"a directory where the file should be": func(s *scene, url string) { os.MkdirAll(s.cacheFile(url), 0o700) },
			"not JSON":                             func(s *scene, url string) { s.poison(url, []byte("{")) },
			"no base":                              func(s *scene, url string) { s.poison(url, []byte(`{"deltaCRL":"AAAA"}`)) },
			"not DER":                              func(s *scene, url string) { s.poison(url, []byte(`{"baseCRL":"AAAA"}`)) },
			"delta not DER": func(s *scene, url string) {
				data, _ := json.Marshal(&cached{Base: s.crl(crlSpec{}), Delta: []byte{1}})
				s.poison(url, data)
			},
		}
		for name, breakIt := range breakages {
			t.Run(name, func(t *testing.T) {
				s, warnings := cachedScene(t)
				url := s.web.file("crl", s.crl(crlSpec{}))
				breakIt(s, url)
				leaf := s.leaf(nil, []string{url})
				s.want(s.check(leaf), ResultOK)
				s.forget()
				s.want(s.check(leaf), ResultOK)
				if len(*warnings) != 1 || (*warnings)[0] == nil {
					t.Errorf("warnings %q", *warnings)
				}
			})
		}
	})
	// Nothing is forbidden to root; there the broken caches above stand in.
	if runtime.GOOS != "windows" && os.Geteuid() != 0 {
		t.Run("REV-32 a directory without permissions", func(t *testing.T) {
			s, warnings := cachedScene(t)
			if err := os.MkdirAll(s.checker.Cache.Dir, 0); err != nil {
				t.Fatal(err)
			}
			s.want(s.check(s.leaf(nil, []string{s.web.file("crl", s.crl(crlSpec{}))})), ResultOK)
			if len(*warnings) != 1 {
				t.Errorf("warnings %q", *warnings)
			}
		})
	}
	t.Run("REV-33 poisoned cache", func(t *testing.T) {
		s, warnings := cachedScene(t)
		leaf := s.leaf(nil, []string{s.web.URL + "/crl"})
		s.web.file("crl", s.crl(crlSpec{entries: []entrySpec{{cert: leaf.Cert}}}))
		for name, der := range map[string][]byte{
			"another key":      s.crl(crlSpec{signer: testpki.FreshKey(t, protocol.KeySpecEC256)}),
			"another issuer":   s.crl(crlSpec{issuer: testpki.Root(t, "other")}),
			"a delta as base":  s.crl(crlSpec{number: 2, extensions: []pkix.Extension{deltaIndicator(t, 1)}}),
			"altered contents": []byte(strings.Replace(string(s.crl(crlSpec{})), "signet", "sygnet", 1)),
		} {
			s.restart()
			if err := s.checker.Cache.store(leaf.Cert.CRLDistributionPoints[0], &cached{Base: der, storedAt: s.clock.Now()}); err != nil {
				t.Fatal(err)
			}
			if got := s.check(leaf); got.Result != ResultRevoked {
				t.Errorf("%s: %q %v", name, got.Result, describe(got.Attempts))
			}
		}
		if len(*warnings) == 0 {
			t.Error("no warning")
		}
	})
	t.Run("REV-33 what is not signed by the issuer is not kept", func(t *testing.T) {
		s, _ := cachedScene(t)
		url := s.web.file("crl", s.crl(crlSpec{signer: testpki.FreshKey(t, protocol.KeySpecEC256)}))
		s.want(s.check(s.leaf(nil, []string{url})), ResultUnknown, ProblemSignature)
		if _, err := os.Stat(s.cacheFile(url)); !os.IsNotExist(err) {
			t.Errorf("kept: %v", err)
		}
	})
	t.Run("REV-31 a file of tomorrow is not trusted to be fresh", func(t *testing.T) {
		s, _ := cachedScene(t)
		leaf := s.leaf(nil, []string{s.web.URL + "/crl"})
		if err := s.checker.Cache.store(leaf.Cert.CRLDistributionPoints[0], &cached{Base: s.crl(crlSpec{}), storedAt: s.clock.Now().Add(24 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
		s.web.file("crl", s.crl(crlSpec{entries: []entrySpec{{cert: leaf.Cert}}}))
		s.want(s.check(leaf), ResultRevoked)
	})
}

func (s *scene) poison(url string, data []byte) {
	s.t.Helper()
	if err := os.MkdirAll(s.checker.Cache.Dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(s.cacheFile(url), data, 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chtimes(s.cacheFile(url), s.clock.Now(), s.clock.Now()); err != nil {
		s.t.Fatal(err)
	}
}
