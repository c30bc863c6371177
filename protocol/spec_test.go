package protocol

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// messages are the Go types of the contract with the schemas and the section of
// spec/plugin-protocol.md that describe them; each is filled in completely.
var messages = []struct {
	schema, section, table string
	full                   any
}{
	{"get-plugin-metadata.request", "get-plugin-metadata", "request", GetMetadataRequest{"1.0", config}},
	{"get-plugin-metadata.response", "get-plugin-metadata", "response", Metadata{"a", "b", "1.0.0", "https://example.com", []string{"1.0"}, []Capability{CapabilitySignatureGenerator}, []string{"stdio"}, []Extension{ExtensionPublicKey}}},
	{"describe-key.request", "describe-key", "request", DescribeKeyRequest{"1.0", "k", config}},
	{"describe-key.response", "describe-key", "response", DescribeKeyResponse{"k", KeySpecEC256, []byte{1}}},
	{"generate-signature.request", "generate-signature", "request", GenerateSignatureRequest{"1.0", "k", KeySpecEC256, HashSHA256, []byte{1}, PurposeCSR, config}},
	{"generate-signature.response", "generate-signature", "response", GenerateSignatureResponse{"k", []byte{1}, "ECDSA-SHA-256", [][]byte{{1}}}},
	{"generate-envelope.request", "generate-envelope", "request", GenerateEnvelopeRequest{"1.0", "k", "application/vnd.cncf.notary.payload.v1+json", "application/cose", []byte{1}, 60, config}},
	{"generate-envelope.response", "generate-envelope", "response", GenerateEnvelopeResponse{[]byte{1}, "application/cose", config}},
	{"verify-signature.request", "verify-signature", "request", VerifySignatureRequest{
		"1.0", Signature{CriticalAttributes{"t", "notary.x509", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z", "p", "1.0.0", map[string]any{"a": "b", "c": 1, "d": nil}}, []string{"a"}, [][]byte{{1}}},
		TrustPolicy{[]string{"*"}, []Capability{CapabilityRevocationCheckVerifier}}, &Artifact{"r", "m", "d", 1}, config,
	}},
	{"verify-signature.response", "verify-signature", "response", VerifySignatureResponse{map[Capability]*VerificationResult{CapabilityRevocationCheckVerifier: {false, "r"}}, []string{"a"}}},
	{"error", "", "", Error{Code: CodeGeneric, Message: "m", Metadata: config}},
}

var config = map[string]string{"k": "v"}

// TestSpec holds Go types, schemas and the tables of the prose together.
func TestSpec(t *testing.T) {
	t.Parallel()
	prose := tables(t)
	for _, m := range messages {
		t.Run(m.schema, func(t *testing.T) {
			schema, compiled := readSchema(t, m.schema)
			data, err := json.Marshal(m.full)
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
			compare(t, m.schema, reflect.TypeOf(m.full), schema)
			if m.section == "" {
				return
			}
			members := prose[m.section][m.table]
			if want := slices.Sorted(maps.Keys(schema["properties"].(map[string]any))); !slices.Equal(members, want) {
				t.Errorf("the prose lists %v, the schema %v", members, want)
			}
		})
	}
}

// compare walks a struct and the schema of its JSON: the same members, and
// nothing required that Go may leave out.
func compare(t *testing.T, path string, typ reflect.Type, schema map[string]any) {
	properties, _ := schema["properties"].(map[string]any)
	var members, kept []string
	for field := range typ.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		members = append(members, name)
		if options == "" {
			kept = append(kept, name)
		}
		inner := field.Type
		for inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if child, ok := properties[name].(map[string]any); ok && inner.Kind() == reflect.Struct {
			compare(t, path+"."+name, inner, child)
		}
	}
	slices.Sort(members)
	if want := slices.Sorted(maps.Keys(properties)); !slices.Equal(members, want) {
		t.Errorf("%s: Go has %v, the schema %v", path, members, want)
	}
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if !slices.Contains(kept, name.(string)) {
			t.Errorf("%s: %v is required, and Go may leave it out", path, name)
		}
	}
}

func readSchema(t *testing.T, name string) (map[string]any, *jsonschema.Schema) {
	t.Helper()
	path := filepath.Join("..", "spec", "schemas", name+".json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	compiled, err := jsonschema.NewCompiler().Compile(path)
	if err != nil {
		t.Fatal(err)
	}
	return schema, compiled
}

var memberPattern = regexp.MustCompile("^\\| `([a-zA-Z]+)")

// tables reads the members that the prose lists: command, table, sorted names.
// "signature.certificateChain" counts as "signature".
func tables(t *testing.T) map[string]map[string][]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "spec", "plugin-protocol.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]map[string][]string{}
	var section, table string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "#"):
			section, table = strings.TrimSpace(strings.TrimLeft(line, "#")), ""
			found[section] = map[string][]string{}
		case strings.HasPrefix(line, "| request |"):
			table = "request"
		case strings.HasPrefix(line, "| response |"):
			table = "response"
		case line == "":
			table = ""
		default:
			if match := memberPattern.FindStringSubmatch(line); match != nil && table != "" && !slices.Contains(found[section][table], match[1]) {
				found[section][table] = append(found[section][table], match[1])
			}
		}
	}
	for _, kinds := range found {
		for _, members := range kinds {
			slices.Sort(members)
		}
	}
	return found
}
