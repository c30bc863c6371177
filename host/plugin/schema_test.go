package plugin

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestLockSchema holds the lock file and its schema together.
func TestLockSchema(t *testing.T) {
	path := filepath.Join("..", "..", "spec", "schemas", lockFileName)
	compiled, err := jsonschema.NewCompiler().Compile(path)
	if err != nil {
		t.Fatal(err)
	}
	files := []File{{Path: BinaryName("x"), Mode: "0755", Size: 1, SHA256: exampleDigest[len("sha256:"):]}}
	full := &lockFile{Version: lockVersion, Plugins: map[string]*lockEntry{"x": {
		Pins: []Pin{{
			Digest: treeDigest(files), PluginVersion: "1.0.0", Source: "oci://registry.example/x@sha256:00",
			PinnedAt: time.Unix(0, 0).UTC(), Provisional: true, Files: files,
		}},
		WithheldEnvironment: []string{"A*"}, Staged: "~install-1",
	}}}
	data, err := full.format()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled.Validate(document); err != nil {
		t.Error(err)
	}
	schemaData, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(schemaData, &schema); err != nil {
		t.Fatal(err)
	}
	sameMembers(t, "lock file", document, schema)
	for name, text := range map[string]string{
		"example": exampleLockFile(), "empty": `{"version":"1","plugins":{}}`,
	} {
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(text)))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiled.Validate(document); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// sameMembers wants a document in which nothing is left out to have the members
// that its schema has.
func sameMembers(t *testing.T, where string, document any, schema map[string]any) {
	switch value := document.(type) {
	case []any:
		sameMembers(t, where+"[]", value[0], schema["items"].(map[string]any))
	case map[string]any:
		properties, named := schema["properties"].(map[string]any)
		if !named {
			for name, member := range value {
				sameMembers(t, where+"."+name, member, schema["additionalProperties"].(map[string]any))
			}
			return
		}
		if got, want := slices.Sorted(maps.Keys(value)), slices.Sorted(maps.Keys(properties)); !slices.Equal(got, want) {
			t.Errorf("%s has %v, its schema %v", where, got, want)
			return
		}
		for name, member := range value {
			sameMembers(t, where+"."+name, member, properties[name].(map[string]any))
		}
	}
}
