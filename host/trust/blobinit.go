package trust

import "encoding/json"

// BlobPolicyInit says what a first blob policy trusts (BLOB-15).
type BlobPolicyInit struct {
	// Name of the only statement.
	Name string
	// TrustStores are entries "type:name", TrustedIdentities those of a statement.
	TrustStores       []string
	TrustedIdentities []string
	// Global makes the statement the one used when none is named.
	Global bool
}

// NewBlobPolicy writes a blob policy of one strict statement, indented by two
// spaces and without a newline at the end, as the reference writes it. Errors
// are those of ParseBlobPolicy.
func NewBlobPolicy(init BlobPolicyInit) ([]byte, error) {
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
	type document struct {
		Version       string      `json:"version"`
		TrustPolicies []statement `json:"trustPolicies"`
	}
	data, err := json.MarshalIndent(document{policyVersion, []statement{{
		Name: init.Name, SignatureVerification: verification{"strict"},
		TrustStores: init.TrustStores, TrustedIdentities: init.TrustedIdentities, GlobalPolicy: init.Global,
	}}}, "", "  ")
	if err != nil {
		return nil, err
	}
	if _, err := ParseBlobPolicy(data); err != nil {
		return nil, err
	}
	return data, nil
}
