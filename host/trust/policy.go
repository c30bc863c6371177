package trust

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// When a timestamp countersignature is verified (TP-10).
const (
	TimestampAlways          = "always"
	TimestampAfterCertExpiry = "afterCertExpiry"
)

// policyVersion is the one version of trust policy documents.
const policyVersion = "1.0"

// Statement is one statement of a trust policy, checked and ready for use.
type Statement struct {
	Name string
	// RegistryScopes lists repositories, or "*" alone; empty in a blob policy.
	RegistryScopes []string
	// GlobalPolicy marks the blob statement used when none is named.
	GlobalPolicy bool
	Level        Level
	// VerifyTimestamp is TimestampAlways or TimestampAfterCertExpiry.
	VerifyTimestamp string
	TrustStores     []StoreRef
	// TrustedIdentities as written, for plugins; Identities is their parsed form.
	TrustedIdentities []string
	Identities        Identities
}

// OCIPolicy is a valid trust policy for OCI artifacts (TP-06).
type OCIPolicy struct {
	Statements []*Statement
	// Warnings are remarks on what is allowed and hardly meant.
	Warnings []string
	byScope  map[string]*Statement
}

// BlobPolicy is a valid trust policy for files (TP-07).
type BlobPolicy struct {
	Statements []*Statement
	// Warnings are remarks on what is allowed and hardly meant.
	Warnings []string
}

// NoStatementError says that a policy has no statement for what is to be
// verified: verification fails (TP-20, TP-21).
type NoStatementError struct {
	// Message is the whole text.
	Message string
}

func (e *NoStatementError) Error() string { return e.Message }

// document is a policy as it stands in its file.
type document struct {
	Version       string         `json:"version"`
	TrustPolicies []statement    `json:"trustPolicies"`
	Unknown       jsontext.Value `json:",unknown"`
}

type statement struct {
	Name                  string                `json:"name"`
	RegistryScopes        []string              `json:"registryScopes"`
	GlobalPolicy          bool                  `json:"globalPolicy"`
	SignatureVerification signatureVerification `json:"signatureVerification"`
	TrustStores           []string              `json:"trustStores"`
	TrustedIdentities     []string              `json:"trustedIdentities"`
	Unknown               jsontext.Value        `json:",unknown"`
}

type signatureVerification struct {
	Level           string            `json:"level"`
	Override        map[string]string `json:"override"`
	VerifyTimestamp string            `json:"verifyTimestamp"`
	Unknown         jsontext.Value    `json:",unknown"`
}

// ParseOCIPolicy reads a trust policy for OCI artifacts and checks all of it
// (TP-37): one bad statement makes the document unusable.
func ParseOCIPolicy(data []byte) (*OCIPolicy, error) {
	doc, warnings, err := decode(data, "oci")
	if err != nil {
		return nil, err
	}
	policy := &OCIPolicy{Warnings: warnings, byScope: map[string]*Statement{}}
	for i := range doc.TrustPolicies {
		s := &doc.TrustPolicies[i]
		parsed, err := s.parse("oci", &policy.Warnings)
		if err != nil {
			return nil, err
		}
		if err := checkScopes(s, parsed.Level); err != nil {
			return nil, err
		}
		for _, scope := range s.RegistryScopes {
			if _, taken := policy.byScope[scope]; taken {
				return nil, fmt.Errorf("registry scope %q is present in multiple oci trust policy statements, one registry scope value can only be associated with one statement", scope)
			}
			policy.byScope[scope] = parsed
		}
		parsed.RegistryScopes = s.RegistryScopes
		policy.Statements = append(policy.Statements, parsed)
	}
	return policy, nil
}

// ParseBlobPolicy reads a trust policy for files and checks all of it (TP-37).
func ParseBlobPolicy(data []byte) (*BlobPolicy, error) {
	doc, warnings, err := decode(data, "blob")
	if err != nil {
		return nil, err
	}
	policy := &BlobPolicy{Warnings: warnings}
	global := false
	for i := range doc.TrustPolicies {
		s := &doc.TrustPolicies[i]
		parsed, err := s.parse("blob", &policy.Warnings)
		if err != nil {
			return nil, err
		}
		if s.GlobalPolicy {
			if global {
				return nil, errors.New("multiple blob trust policy statements have globalPolicy set to true. Only one trust policy statement can be marked as global policy")
			}
			if parsed.Level.Skip() {
				return nil, errors.New("global blob trust policy statement cannot have verification level set to skip")
			}
			global = true
		}
		parsed.GlobalPolicy = s.GlobalPolicy
		policy.Statements = append(policy.Statements, parsed)
	}
	return policy, nil
}

// Statement returns the statement for a repository, written as the user did
// (TP-20): the one that lists it, else the one with scope "*".
func (p *OCIPolicy) Statement(repository string) (*Statement, error) {
	if s, ok := p.byScope[repository]; ok && repository != "*" {
		return s, nil
	}
	if s, ok := p.byScope["*"]; ok {
		return s, nil
	}
	return nil, &NoStatementError{fmt.Sprintf("artifact %q has no applicable oci trust policy statement. Trust policy applicability for a given artifact is determined by registryScopes. To create a trust policy, see: %s", repository, quickstart)}
}

// Statement returns the statement with that name, or the global one when name
// is empty (TP-21).
func (p *BlobPolicy) Statement(name string) (*Statement, error) {
	for _, s := range p.Statements {
		if (name == "" && s.GlobalPolicy) || (name != "" && s.Name == name) {
			return s, nil
		}
	}
	if name == "" {
		return nil, &NoStatementError{"no global blob trust policy"}
	}
	return nil, &NoStatementError{fmt.Sprintf("no applicable blob trust policy with name %q", name)}
}

const quickstart = "https://notaryproject.dev/docs/quickstart/#create-a-trust-policy"

// decode reads a document and checks what does not depend on its kind.
func decode(data []byte, kind string) (*document, []string, error) {
	doc := &document{}
	if err := json.Unmarshal(data, doc, json.MatchCaseInsensitiveNames(true)); err != nil {
		return nil, nil, &MalformedPolicyError{Err: err}
	}
	var warnings []string
	warnUnknown(&warnings, "the document", doc.Unknown)
	switch {
	case doc.Version == "":
		return nil, nil, fmt.Errorf("%s trust policy has empty version, version must be specified", kind)
	case doc.Version != policyVersion:
		return nil, nil, fmt.Errorf("%s trust policy document uses unsupported version %q", kind, doc.Version)
	case len(doc.TrustPolicies) == 0:
		return nil, nil, fmt.Errorf("%s trust policy document can not have zero trust policy statements", kind)
	}
	names := map[string]bool{}
	for _, s := range doc.TrustPolicies {
		if s.Name == "" {
			return nil, nil, fmt.Errorf("a %s trust policy statement is missing a name, every statement requires a name", kind)
		}
		if names[s.Name] {
			return nil, nil, fmt.Errorf("multiple %s trust policy statements use the same name %q, statement names must be unique", kind, s.Name)
		}
		names[s.Name] = true
	}
	return doc, warnings, nil
}

// MalformedPolicyError says that a policy file is not the JSON it should be (TP-03).
type MalformedPolicyError struct {
	// Err tells where; nil when the text of Error says it all.
	Err error
}

func (e *MalformedPolicyError) Error() string {
	if e.Err == nil {
		return "malformed trust policy. To create a trust policy, see: " + quickstart
	}
	return fmt.Sprintf("malformed trust policy. To create a trust policy, see: %s (%v)", quickstart, e.Err)
}

// Unwrap returns the reader's error.
func (e *MalformedPolicyError) Unwrap() error { return e.Err }

// parse checks the members that both kinds of statement have.
func (s *statement) parse(kind string, warnings *[]string) (*Statement, error) {
	fail := func(err error) (*Statement, error) {
		return nil, fmt.Errorf("%s trust policy statement %q: %w", kind, s.Name, err)
	}
	v := s.SignatureVerification
	if v.Level == "" {
		return fail(errors.New("signature verification level is empty or missing in the trust policy statement"))
	}
	level, err := newLevel(v.Level, v.Override)
	if err != nil {
		return fail(err)
	}
	switch v.VerifyTimestamp {
	case "", TimestampAlways, TimestampAfterCertExpiry:
	default:
		return fail(fmt.Errorf("verifyTimestamp has value %q, use %q or %q", v.VerifyTimestamp, TimestampAlways, TimestampAfterCertExpiry))
	}
	parsed := &Statement{Name: s.Name, Level: level, VerifyTimestamp: v.VerifyTimestamp, TrustedIdentities: s.TrustedIdentities}
	if parsed.VerifyTimestamp == "" {
		parsed.VerifyTimestamp = TimestampAlways
	}
	warnUnknown(warnings, fmt.Sprintf("statement %q", s.Name), s.Unknown)
	warnUnknown(warnings, fmt.Sprintf("signatureVerification of statement %q", s.Name), v.Unknown)
	empty := len(s.TrustStores) == 0 && len(s.TrustedIdentities) == 0
	if level.Skip() {
		if !empty {
			return fail(errors.New("set to skip signature verification but configured with trust stores and/or trusted identities, remove them if signature verification needs to be skipped"))
		}
		return parsed, nil
	}
	if len(s.TrustStores) == 0 || len(s.TrustedIdentities) == 0 {
		return fail(errors.New("either missing trust stores or trusted identities, both must be specified"))
	}
	if parsed.TrustStores, err = parseStores(s.TrustStores); err != nil {
		return fail(err)
	}
	if parsed.Identities, err = ParseIdentities(s.TrustedIdentities); err != nil {
		return fail(err)
	}
	if level.Action(CheckAuthenticity) == ActionEnforce && !slices.ContainsFunc(parsed.TrustStores, func(r StoreRef) bool { return r.Type != StoreTSA }) {
		*warnings = append(*warnings, fmt.Sprintf("statement %q lists only tsa trust stores: no signature can pass its authenticity check", s.Name))
	}
	return parsed, nil
}

func parseStores(entries []string) ([]StoreRef, error) {
	var stores []StoreRef
	for _, entry := range entries {
		kind, name, found := strings.Cut(entry, ":")
		if !found {
			return nil, fmt.Errorf("trust store %q is missing separator in trust store value. The required format is <TrustStoreType>:<TrustStoreName>", entry)
		}
		ref := StoreRef{Type: StoreType(kind), Name: name}
		if !slices.Contains(StoreTypes, ref.Type) {
			return nil, fmt.Errorf("uses an unsupported trust store type %q in trust store value %q: use ca, signingAuthority or tsa", kind, entry)
		}
		if !ValidName(name) {
			return nil, fmt.Errorf("uses an unsupported trust store name %q in trust store value %q. Named store name needs to follow [a-zA-Z0-9_.-]+ format", name, entry)
		}
		stores = append(stores, ref)
	}
	return stores, nil
}

// The grammar of registry scopes (TP-14).
var (
	domainPattern     = regexp.MustCompile(`^(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))+)?(?::[0-9]+)?$`)
	repositoryPattern = regexp.MustCompile(`^[a-z0-9]+(?:(?:(?:[._]|__|[-]*)[a-z0-9]+)+)?(?:(?:/[a-z0-9]+(?:(?:(?:[._]|__|[-]*)[a-z0-9]+)+)?)+)?$`)
)

// checkScopes holds the rules on registryScopes (TP-13..17).
func checkScopes(s *statement, level Level) error {
	if len(s.RegistryScopes) == 0 {
		return fmt.Errorf("oci trust policy statement %q has zero registry scopes, it must specify registry scopes with at least one value", s.Name)
	}
	for _, scope := range s.RegistryScopes {
		if scope == "*" {
			if len(s.RegistryScopes) > 1 {
				return fmt.Errorf("oci trust policy statement %q uses wildcard registry scope '*', a wildcard scope cannot be used in conjunction with other scope values", s.Name)
			}
			if level.Skip() {
				return fmt.Errorf("oci trust policy statement %q skips verification for the wildcard registry scope '*': name the repositories that need no verification", s.Name)
			}
			continue
		}
		domain, repository, found := strings.Cut(scope, "/")
		if !found || !domainPattern.MatchString(domain) || !repositoryPattern.MatchString(repository) {
			return fmt.Errorf("registry scope %q is not valid, make sure it is a fully qualified repository without the scheme, protocol or tag. For example domain.com/my/repository or a local scope like local/myOCILayout", scope)
		}
	}
	return nil
}

// warnUnknown remarks on members that have no meaning here (TP-33).
func warnUnknown(warnings *[]string, where string, unknown jsontext.Value) {
	if len(unknown) == 0 {
		return
	}
	var members map[string]jsontext.Value
	if json.Unmarshal(unknown, &members) != nil {
		return
	}
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		*warnings = append(*warnings, fmt.Sprintf("member %q in %s is not known and ignored", name, where))
	}
}
