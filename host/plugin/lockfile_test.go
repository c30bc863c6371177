package plugin

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/testlink"
)

// exampleLock is a lock file as it is stored. The digest was computed apart from
// this package:
//
//	printf 'signet plugin directory 1\n0755 3 acba…f9be "notation-x"\n' | sha256sum
const exampleLock = `{
    "version": "1",
    "plugins": {
        "x": {
            "pins": [
                {
                    "digest": "DIGEST",
                    "pluginVersion": "1.0.0",
                    "pinnedAt": "2026-11-23T10:00:00Z",
                    "files": [
                        {
                            "path": "notation-x",
                            "mode": "0755",
                            "size": 3,
                            "sha256": "acba25512100f80b56fc3ccd14c65be55d94800cda77585c5f41a887e398f9be"
                        }
                    ]
                }
            ],
            "withheldEnvironment": [
                "AWS_PROFILE",
                "X_*"
            ]
        }
    }
}
`

const exampleDigest = "sha256:8393c33c293a5acda04a9e96d30db48766d637e58b2c80c9a124ceb9e3c39a1e"

func exampleLockFile() string { return strings.Replace(exampleLock, "DIGEST", exampleDigest, 1) }

func TestParseLockFile(t *testing.T) {
	t.Run("as stored", func(t *testing.T) {
		lock, err := parseLockFile([]byte(exampleLockFile()))
		if err != nil {
			t.Fatal(err)
		}
		data, err := lock.format()
		if err != nil || string(data) != exampleLockFile() {
			t.Errorf("%v\n%s", err, data)
		}
	})
	bad := map[string]string{
		"nothing":              ``,
		"null":                 `null`,
		"list":                 `[]`,
		"no version":           `{"plugins":{}}`,
		"other version":        `{"version":"2","plugins":{}}`,
		"no plugins":           `{"version":"1"}`,
		"null plugins":         `{"version":"1","plugins":null}`,
		"unknown member":       `{"version":"1","plugins":{},"x":1}`,
		"member in wrong case": `{"Version":"1","plugins":{}}`,
		"repeated member":      `{"version":"1","version":"1","plugins":{}}`,
		"more text":            `{"version":"1","plugins":{}} {}`,
		"null entry":           `{"version":"1","plugins":{"x":null}}`,
		"bad name":             `{"version":"1","plugins":{"../x":{}}}`,
		"unknown entry member": `{"version":"1","plugins":{"x":{"digest":"y"}}}`,
		"pin without files":    `{"version":"1","plugins":{"x":{"pins":[{"digest":"` + treeDigest(nil) + `","pinnedAt":"2026-11-23T10:00:00Z","files":[]}]}}}`,
		"wrong digest":         strings.Replace(exampleLockFile(), "sha256:8", "sha256:7", 1),
		"edited file list":     strings.Replace(exampleLockFile(), `"size": 3`, `"size": 4`, 1),
		"negative size":        strings.Replace(exampleLockFile(), `"size": 3`, `"size": -3`, 1),
		"path outside":         strings.Replace(exampleLockFile(), `"notation-x"`, `"../notation-x"`, 1),
		"no variable name":     strings.Replace(exampleLockFile(), `"AWS_PROFILE"`, `"A=B"`, 1),
		"staged elsewhere":     `{"version":"1","plugins":{"x":{"staged":"~/../y"}}}`,
		"staged plugin":        `{"version":"1","plugins":{"x":{"staged":"y"}}}`,
		"deep nesting":         `{"version":"1","plugins":` + strings.Repeat(`[`, 100_000) + `}`,
		"invalid UTF-8":        "{\"version\":\"1\",\"plugins\":{\"x\xff\":{}}}",
	}
	for name, data := range bad {
		t.Run(name, func(t *testing.T) {
			if lock, err := parseLockFile([]byte(data)); err == nil {
				t.Errorf("taken: %+v", lock)
			}
		})
	}
	t.Run("too large", func(t *testing.T) {
		if _, err := parseLockFile(bytes.Repeat([]byte(" "), maxLockSize+1)); err == nil {
			t.Error("taken")
		}
	})
}

func FuzzParseLockFile(f *testing.F) {
	f.Add([]byte(exampleLockFile()))
	f.Add([]byte(`{"version":"1","plugins":{}}`))
	f.Add([]byte(`{"version":"1","plugins":{"x":{"staged":"~install-1","withheldEnvironment":["A*"]}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		lock, err := parseLockFile(data)
		if err != nil {
			return
		}
		stored, err := lock.format()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseLockFile(stored)
		if err != nil {
			t.Fatalf("%v\n%s", err, stored)
		}
		if twice, err := again.format(); err != nil || !bytes.Equal(stored, twice) {
			t.Errorf("%v\n%s\n%s", err, stored, twice)
		}
	})
}

func TestLockStore(t *testing.T) {
	t.Run("absent", func(t *testing.T) {
		if lock, err := (lockStore{t.TempDir()}).load(); lock != nil || err != nil {
			t.Error(lock, err)
		}
	})
	t.Run("link refused", func(t *testing.T) {
		store := lockStore{t.TempDir()}
		other := write(t, filepath.Join(t.TempDir(), "lock"), []byte(exampleLockFile()), 0o644)
		testlink.Symlink(t, other, store.path())
		_, err := store.load()
		if _, ok := errors.AsType[*LockError](err); !ok {
			t.Error(err)
		}
	})
	t.Run("mode and leftovers", func(t *testing.T) {
		store := lockStore{t.TempDir()}
		for range 2 {
			if err := store.save(newLockFile()); err != nil {
				t.Fatal(err)
			}
		}
		if got := listing(t, store.dir); len(got) != 1 || got[0] != lockFileName {
			t.Error(got)
		}
		if info, err := os.Stat(store.path()); err != nil || runtime.GOOS != "windows" && info.Mode() != 0o644 {
			t.Error(info.Mode(), err)
		}
	})
	t.Run("one at a time", func(t *testing.T) {
		store := lockStore{t.TempDir()}
		if err := store.save(newLockFile()); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				release, err := store.guard(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				defer release()
				lock, err := store.load()
				if err != nil {
					t.Error(err)
					return
				}
				lock.entry("p" + string(rune('a'+i))).WithheldEnvironment = []string{"A"}
				if err := store.save(lock); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if lock, err := store.load(); err != nil || len(lock.Plugins) != 20 {
			t.Error(lock, err)
		}
	})
	t.Run("newPin drops fractions of seconds", func(t *testing.T) {
		pin := newPin(&tree{}, "", time.Unix(1, 5))
		if !pin.PinnedAt.Equal(time.Unix(1, 0)) {
			t.Error(pin.PinnedAt)
		}
	})
}
