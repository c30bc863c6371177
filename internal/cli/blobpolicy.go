package cli

import (
	"bytes"
	"encoding/json"

	"github.com/signet-project/signet/host/trust"
)

// newBlobPolicy writes a policy of one strict statement (BLOB-15).
func newBlobPolicy(name string, stores, identities []string, global bool) ([]byte, error) {
	type verification struct {
		Level string `json:"level"`
	}
	type statement struct {
		Name                  string       `json:"name"`
		SignatureVerification verification `json:"signatureVerification"`
		TrustStores           []string     `json:"trustStores"`
		TrustedIdentities     []string     `json:"trustedIdentities"`
		GlobalPolicy          bool         `json:"globalPolicy,omitempty"`
	}
	document := struct {
		Version       string      `json:"version"`
		TrustPolicies []statement `json:"trustPolicies"`
	}{"1.0", []statement{{name, verification{"strict"}, stores, identities, global}}}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		return nil, err
	}
	_, err := trust.ParseBlobPolicy(out.Bytes())
	return out.Bytes(), err
}
