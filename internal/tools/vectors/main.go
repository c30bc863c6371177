// Command vectors writes the test vectors of spec/vectors. What it writes depends
// on nothing but its source: keys are derived from names or committed, signatures
// are deterministic, and no clock is read.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/signet-project/signet/spec/vectors"
)

func main() {
	out := flag.String("out", "spec/vectors/data", "directory of the vectors; what else is in it is removed")
	flag.Parse()
	if err := write(*out); err != nil {
		fmt.Fprintln(os.Stderr, "vectors:", err)
		os.Exit(1)
	}
}

// write replaces the directory of vectors.
func write(dir string) error {
	files, err := encodeAll()
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	for name, data := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	fmt.Printf("%d vectors written to %s\n", len(files), dir)
	return nil
}

// encodeAll makes every file, by its path with slashes below the directory.
func encodeAll() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, v := range all() {
		data, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return nil, err
		}
		group, _, _ := strings.Cut(v.ID, "-")
		name := group + "/" + v.ID + ".json"
		if files[name] != nil {
			return nil, fmt.Errorf("two vectors are called %s", v.ID)
		}
		files[name] = append(data, '\n')
	}
	return files, nil
}

// all makes every vector.
func all() []vectors.Vector {
	var list []vectors.Vector
	for _, s := range slices.Concat(
		structure, members, items, attributes, times, payloads, algorithms, chains, authorities, leaves,
		trusted, clocks, countersigned, tokens, manifests,
	) {
		for _, format := range s.formats {
			list = append(list, s.vector(format))
		}
	}
	return list
}
