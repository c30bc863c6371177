package vectors_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/spec/vectors"
)

// later is a time close to the end of the certificates.
var later = time.Date(2049, 12, 31, 0, 0, 0, 0, time.UTC)

// TestVectors has signet verify every vector, at its time and long after.
func TestVectors(t *testing.T) {
	t.Parallel()
	for _, v := range load(t) {
		t.Run(fmt.Sprintf("%s %s, %s", v.Clause, v.Scenario, format(v)), func(t *testing.T) {
			t.Parallel()
			verify := prepare(t, v)
			outcome, logged, err := verify(v.Time)
			if outcome != v.Outcome || !slices.Equal(logged, v.Logged) {
				t.Errorf("%s: outcome %s, logged %v; want %s, logged %v\n%v", v.ID, outcome, logged, v.Outcome, v.Logged, err)
			}
			again, loggedAgain, err := verify(later)
			if changes := again != outcome || !slices.Equal(loggedAgain, logged); changes != v.Clock {
				t.Errorf("%s: outcome %s, logged %v later; the vector says that it changes: %t\n%v", v.ID, again, loggedAgain, v.Clock, err)
			}
		})
	}
}

// TestCount holds on to how much the vectors are.
func TestCount(t *testing.T) {
	t.Parallel()
	pairs, defects := map[string]bool{}, map[string]bool{}
	count := map[vectors.Outcome]int{}
	for _, v := range load(t) {
		pair := v.Clause + " " + v.Scenario
		count[v.Outcome]++
		pairs[pair] = true
		if v.Outcome != vectors.Valid {
			defects[pair] = true
		}
	}
	for _, outcome := range vectors.Outcomes {
		t.Logf("%4d %s", count[outcome], outcome)
		if count[outcome] == 0 {
			t.Errorf("no vector has the outcome %s", outcome)
		}
	}
	t.Logf("%d pairs of clause and scenario, %d of them with a defect", len(pairs), len(defects))
	if len(defects) < 150 {
		t.Errorf("%d pairs of clause and defect, at least 150 are wanted", len(defects))
	}
}

// TestSchema holds the files against the schemas of vectors and trust policies.
func TestSchema(t *testing.T) {
	t.Parallel()
	compile := func(name string) *jsonschema.Schema {
		schema, err := jsonschema.NewCompiler().Compile(filepath.Join("..", "schemas", name))
		if err != nil {
			t.Fatal(err)
		}
		return schema
	}
	vector, policy := compile("vector.json"), compile("trustpolicy.oci.json")
	for _, v := range load(t) {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(vector.Validate(decode(t, data)), policy.Validate(decode(t, v.TrustPolicy))); err != nil {
			t.Errorf("%s: %v", v.ID, err)
		}
	}
}

func decode(t *testing.T, data []byte) any {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func load(t *testing.T) []vectors.Vector {
	t.Helper()
	all, err := vectors.All()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func format(v vectors.Vector) string { return v.ID[strings.LastIndexByte(v.ID, '-')+1:] }

// prepare puts a vector into a layout, as an artifact of its scope, and returns
// what verifies it as of a time.
func prepare(t *testing.T, v vectors.Vector) func(at time.Time) (vectors.Outcome, []vectors.Outcome, error) {
	t.Helper()
	dir := t.TempDir()
	layout, config := filepath.Join(dir, "layout"), filepath.Join(dir, "config")
	if err := errors.Join(v.WriteLayout(layout), v.WriteConfig(config)); err != nil {
		t.Fatal(err)
	}
	repository, err := artifact.OpenLayout(t.Context(), layout)
	if err != nil {
		t.Fatal(err)
	}
	return func(at time.Time) (vectors.Outcome, []vectors.Outcome, error) {
		verifier := &host.Verifier{
			Policies: trust.FilePolicies{Dir: config},
			Stores:   trust.NewDirStore(filepath.Join(config, "truststore"), nil),
			Now:      func() time.Time { return at },
		}
		result, err := verifier.VerifyArtifact(t.Context(), repository, host.ArtifactRequest{
			Reference: v.Artifact.Digest, Name: vectors.Scope, Scope: vectors.Scope, MaxSignatures: host.DefaultMaxSignatures,
		})
		if _, none := errors.AsType[*host.NoSignatureError](err); none {
			return vectors.Manifest, nil, err
		}
		if result == nil || len(result.Signatures) != 1 {
			t.Fatalf("%s: %v", v.ID, err)
		}
		outcome, logged := classify(v, result.Signatures[0])
		return outcome, logged, result.Signatures[0].Err
	}
}

// classify finds the outcome that the vectors speak of.
func classify(v vectors.Vector, signature *host.SignatureOutcome) (outcome vectors.Outcome, logged []vectors.Outcome) {
	if _, unusable := errors.AsType[*artifact.CandidateError](signature.Err); unusable {
		return vectors.Manifest, nil
	}
	if signature.Err == nil {
		for _, warning := range signature.Warnings() {
			logged = append(logged, vectors.Outcome(warning.Check))
		}
		return vectors.Valid, logged
	}
	for _, check := range signature.Checks {
		if check.Status != host.StatusFailed || check.Action != trust.ActionEnforce {
			continue
		}
		if check.Check == trust.CheckIntegrity && !parses(v) {
			return vectors.Malformed, nil
		}
		return vectors.Outcome(check.Check), nil
	}
	return vectors.Attribute, nil
}

// parses tells whether the envelope can be read as what the manifest says it is.
func parses(v vectors.Vector) bool {
	var manifest struct{ Layers []struct{ MediaType string } }
	if err := json.Unmarshal(v.SignatureManifest().Data, &manifest); err != nil || len(manifest.Layers) != 1 {
		return false
	}
	_, err := envelope.Parse(manifest.Layers[0].MediaType, v.Envelope.Data)
	return err == nil
}
