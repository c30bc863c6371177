package trust

import "encoding/json"

// OCIPolicyInit says what a first policy for artifacts trusts.
type OCIPolicyInit struct {
	// Name of the only statement.
	Name string
	// Scopes are its registryScopes, "registry/repository" each, or "*" alone.
	Scopes []string
	// TrustStores are entries "type:name", TrustedIdentities those of a statement.
	TrustStores       []string
	TrustedIdentities []string
}

// NewOCIPolicy writes a policy for artifacts of one strict statement, in the form of
// [NewBlobPolicy]. Errors are those of ParseOCIPolicy.
func NewOCIPolicy(init OCIPolicyInit) ([]byte, error) {
	return newPolicy(newStatement{
		Name: init.Name, RegistryScopes: init.Scopes, TrustStores: init.TrustStores, TrustedIdentities: init.TrustedIdentities,
	}, func(data []byte) error {
		_, err := ParseOCIPolicy(data)
		return err
	})
}

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
	return newPolicy(newStatement{
		Name: init.Name, TrustStores: init.TrustStores, TrustedIdentities: init.TrustedIdentities, GlobalPolicy: init.Global,
	}, func(data []byte) error {
		_, err := ParseBlobPolicy(data)
		return err
	})
}

// newStatement is the statement of a new policy, less its level.
type newStatement struct {
	Name                  string          `json:"name"`
	RegistryScopes        []string        `json:"registryScopes,omitempty"`
	SignatureVerification newVerification `json:"signatureVerification"`
	TrustStores           []string        `json:"trustStores"`
	TrustedIdentities     []string        `json:"trustedIdentities"`
	GlobalPolicy          bool            `json:"globalPolicy,omitempty"`
}

type newVerification struct {
	Level string `json:"level"`
}

// newPolicy writes a policy of one strict statement, if it is a valid one.
func newPolicy(statement newStatement, check func(data []byte) error) ([]byte, error) {
	statement.SignatureVerification.Level = "strict"
	data, err := json.MarshalIndent(struct {
		Version       string         `json:"version"`
		TrustPolicies []newStatement `json:"trustPolicies"`
	}{policyVersion, []newStatement{statement}}, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := check(data); err != nil {
		return nil, err
	}
	return data, nil
}
