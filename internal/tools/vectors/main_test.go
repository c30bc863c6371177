package main

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestCommitted holds the committed vectors against what this program makes.
func TestCommitted(t *testing.T) {
	t.Parallel()
	made, err := encodeAll()
	if err != nil {
		t.Fatal(err)
	}
	committed := map[string][]byte{}
	dir := os.DirFS(filepath.Join("..", "..", "..", "spec", "vectors", "data"))
	err = fs.WalkDir(dir, ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			committed[path], err = fs.ReadFile(dir, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(made)) {
		switch data, ok := committed[name]; {
		case !ok:
			t.Errorf("%s is missing: run make vectors", name)
		case !bytes.Equal(data, made[name]):
			t.Errorf("%s is not what this program makes: run make vectors", name)
		}
	}
	for name := range committed {
		if made[name] == nil {
			t.Errorf("%s is not made any more: run make vectors", name)
		}
	}
}
