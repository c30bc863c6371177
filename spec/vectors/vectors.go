// Package vectors holds the test vectors for verifiers of Notary Project
// signatures: one scenario each, with the outcome expected. README.md tells how to
// run them; the files are made by internal/tools/vectors.
package vectors

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"time"
)

// Scope is the repository that the artifacts of all vectors are said to be in, as
// their trust policies name it.
const Scope = "registry.example/vectors"

// Outcome is what verification comes to. Each name but the first says where
// verification fails.
type Outcome string

// The outcomes, in the order in which a verifier comes across them.
const (
	// Valid: the signature passes.
	Valid Outcome = "valid"
	// Manifest: the signature manifest, or what it points to, is not what it has to
	// be. The candidate counts for nothing.
	Manifest Outcome = "manifest"
	// Malformed: the bytes are not an envelope of their media type, or its
	// attributes break a rule. It takes neither key nor clock to tell.
	Malformed Outcome = "malformed"
	// Integrity: the envelope can be read, but its algorithm, signature,
	// certificate chain or payload does not hold.
	Integrity Outcome = "integrity"
	// Authenticity: no trust store of the right type vouches for the chain, or the
	// signer is none of the trusted identities.
	Authenticity Outcome = "authenticity"
	// Attribute: a critical attribute is there that nobody processes.
	Attribute Outcome = "attribute"
	// Expiry: the signature has expired.
	Expiry Outcome = "expiry"
	// AuthenticTimestamp: the certificates were not provably valid when the
	// signature was made.
	AuthenticTimestamp Outcome = "authenticTimestamp"
)

// Outcomes lists every outcome.
var Outcomes = []Outcome{Valid, Manifest, Malformed, Integrity, Authenticity, Attribute, Expiry, AuthenticTimestamp}

// Vector is one scenario. Byte slices are base64 in JSON.
type Vector struct {
	// ID is the file's name without its extension.
	ID string `json:"id"`
	// Clause is the requirement that the scenario is about, and Scenario says in
	// words what is done to it; together with the format they are unique.
	Clause   string `json:"clause"`
	Scenario string `json:"scenario"`
	// Outcome is what a verifier has to come to. Logged lists the checks that fail
	// on the way to a valid outcome, because the trust policy only logs them.
	Outcome Outcome   `json:"outcome"`
	Logged  []Outcome `json:"logged,omitempty"`
	// Time is when verification takes place. Clock tells that the outcome depends
	// on it; any other vector gives the same outcome until the end of 2049.
	Time  time.Time `json:"time"`
	Clock bool      `json:"clock,omitempty"`
	// Artifact is the descriptor of the artifact to verify, with its content.
	Artifact Descriptor `json:"artifact"`
	// TrustPolicy is a whole trust policy document with one statement for Scope.
	TrustPolicy json.RawMessage `json:"trustPolicy"`
	// TrustStores are certificates in DER, by type and name: "ca:vectors".
	TrustStores map[string][][]byte `json:"trustStores"`
	// Envelope is the signature envelope.
	Envelope Content `json:"envelope"`
	// Manifest is the signature manifest; nil where one without fault is to be
	// thought of.
	Manifest *Content `json:"manifest,omitempty"`
}

// Descriptor is an OCI descriptor with embedded content.
type Descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
	Data      []byte `json:"data"`
}

// Content is bytes of a media type.
type Content struct {
	MediaType string `json:"mediaType"`
	Data      []byte `json:"data"`
}

//go:embed data
var files embed.FS

// All reads every vector, ordered by file name.
func All() ([]Vector, error) {
	var all []Vector
	err := fs.WalkDir(files, "data", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := files.ReadFile(path)
		if err != nil {
			return err
		}
		var v Vector
		if err := json.Unmarshal(data, &v); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, v)
		return nil
	})
	return all, err
}
