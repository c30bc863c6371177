package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"
)

func currentRegistry(ts *testscript.TestScript) *testRegistry {
	return ts.Value(registryKey{}).(*registryBox).registry
}

func scriptFleet(ts *testscript.TestScript, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	list := currentRegistry(ts).addFleet(n)
	for i, reference := range strings.Fields(list) {
		ts.Setenv(fmt.Sprintf("F%d", i), reference)
	}
	return os.WriteFile(ts.MkAbs(args[1]), []byte(list), 0o600)
}

// addFleet adds n artifacts and returns a list of them.
func (r *testRegistry) addFleet(n int) string {
	var list strings.Builder
	for i := range n {
		digest := r.addArtifact(fmt.Sprintf("f%d", i), fmt.Sprintf("artifact %d of a fleet\n", i))
		fmt.Fprintf(&list, "%s@%s\n", r.name(), digest)
	}
	return list.String()
}

func scriptIndex(ts *testscript.TestScript, args []string) error {
	r := currentRegistry(ts)
	r.mu.Lock()
	defer r.mu.Unlock()
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Annotations: map[string]string{"tag": args[0]}}
	for _, member := range args[1:] {
		desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.Digest(cmp.Or(r.tags[member], member)), Size: 100}
		if found, ok := r.contents[desc.Digest.String()]; ok {
			desc = found.desc
		}
		index.Manifests = append(index.Manifests, desc)
	}
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	r.tags[args[0]] = r.put(ocispec.MediaTypeImageIndex, data)
	ts.Setenv("INDEX", r.tags[args[0]])
	return nil
}

func scriptConforms(ts *testscript.TestScript, args []string) error {
	lines := 0
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		lines++
		if err := validate(args[0], []byte(line)); err != nil {
			return fmt.Errorf("line %d: %w\n%s", lines, err, line)
		}
	}
	if lines == 0 {
		return fmt.Errorf("%s has no line", args[1])
	}
	return nil
}

func scriptAppend(ts *testscript.TestScript, args []string) error {
	text := ""
	for _, file := range args {
		text += ts.ReadFile(file)
	}
	return os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600)
}

func scriptCovers(ts *testscript.TestScript, args []string) error {
	results, err := readResults([]byte(ts.ReadFile(args[0])))
	if err != nil {
		return err
	}
	return covers(results, strings.Fields(ts.ReadFile(args[1])))
}

// readResults reads a results file, whose lines conform to the schema.
func readResults(data []byte) (results []resultLine, err error) {
	for line := range bytes.Lines(data) {
		var result resultLine
		if err := validate("result-line.json", line); err != nil {
			return nil, fmt.Errorf("%w\n%s", err, line)
		}
		if err := json.Unmarshal(line, &result); err != nil {
			return nil, err
		}
		results = append(results, result)
	}
	return results, nil
}

// covers wants a line for each reference of a list and none for others.
func covers(results []resultLine, list []string) error {
	left := map[string]bool{}
	for _, reference := range list {
		left[reference] = true
	}
	for _, result := range results {
		if !slices.Contains(list, result.Reference) {
			return fmt.Errorf("%s is not in the list", result.Reference)
		}
		delete(left, result.Reference)
	}
	if len(left) > 0 {
		return fmt.Errorf("there is no result for %q", slices.Sorted(maps.Keys(left)))
	}
	return nil
}
