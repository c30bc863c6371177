package trust

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// When a timestamp countersignature is verified (TP-10).
const (
	TimestampAlways          = "always"
	TimestampAfterCertExpiry = "afterCertExpiry"
)

// policyVersion is the one version of trust policy documents.
const policyVersion = "1.0"

const quickstart = "https://notaryproject.dev/docs/quickstart/#create-a-trust-policy"

// The two kinds of policy, as messages name them.
const (
	kindOCI  = "oci"
	kindBlob = "blob"
)

// Statement is one statement of a trust policy, checked and ready for use. It
// is shared by all who use the policy: nobody may change it.
type Statement struct {
	Name string
	// RegistryScopes lists repositories, or "*" alone; empty in a blob policy.
	RegistryScopes []string
	// GlobalPolicy marks the blob statement used when none is named.
	GlobalPolicy bool
	// Level is the verification level with its overrides.
	Level Level
	// VerifyTimestamp is TimestampAlways or TimestampAfterCertExpiry.
	VerifyTimestamp string
	// TrustStores are the stores that may anchor a chain, in order; none at level skip.
	TrustStores []StoreRef
	// TrustedIdentities as written, for plugins; Identities is their parsed form.
	TrustedIdentities []string
	Identities        Identities

	// Extensions names the extensions that the statement uses; empty in a
	// statement of the specification.
	Extensions []string
	// VerificationPlugins are the checks that the verifier demands, in order.
	VerificationPlugins []VerificationPlugin
	// SignaturePlugins says which plugins a signature may call for.
	SignaturePlugins SignaturePlugins
	// Threshold demands several signatures; nil when one is enough.
	Threshold *Threshold
}

// OCIPolicy is a valid trust policy for OCI artifacts (TP-06).
type OCIPolicy struct {
	Statements []*Statement
	// Warnings are remarks on what is allowed and hardly meant, and on what
	// other hosts do not enforce.
	Warnings []Warning
	// Digest is the SHA-256 of the document.
	Digest  [sha256.Size]byte
	byScope map[string]*Statement
}

// BlobPolicy is a valid trust policy for files (TP-07).
type BlobPolicy struct {
	Statements []*Statement
	// Warnings are as those of OCIPolicy.
	Warnings []Warning
	byName   map[string]*Statement
	global   *Statement
}

// Warning is a remark on a valid policy.
type Warning struct {
	// Text is the whole remark.
	Text string
	// OtherHosts tells that it is on what other hosts do not enforce: for this one
	// nothing is amiss.
	OtherHosts bool
}

// String returns the text.
func (w Warning) String() string { return w.Text }

// NoStatementError says that a policy has no statement for what is to be
// verified: verification fails (TP-20, TP-21).
type NoStatementError struct {
	// Message is the whole text.
	Message string
}

// Error returns the message.
func (e *NoStatementError) Error() string { return e.Message }

// StatementError says which statement of a policy breaks a rule.
type StatementError struct {
	// Kind of the policy: "oci" or "blob".
	Kind string
	// Statement is the statement's name.
	Statement string
	// Err is a predicate: what the statement has, uses or is.
	Err error
}

// Error names the statement and the rule.
func (e *StatementError) Error() string {
	return fmt.Sprintf("%s trust policy: trust policy statement %q %v", e.Kind, e.Statement, e.Err)
}

// Unwrap returns the rule.
func (e *StatementError) Unwrap() error { return e.Err }

// ParseOCIPolicy reads a trust policy for OCI artifacts and checks all of it
// (TP-37): one bad statement makes the document unusable. Errors are a
// *MalformedPolicyError, a *StatementError, a *ScopeError, or one that says
// what is wrong with the document as a whole.
func ParseOCIPolicy(data []byte) (*OCIPolicy, error) {
	doc, err := decode(data, kindOCI)
	if err != nil {
		return nil, err
	}
	policy := &OCIPolicy{Warnings: doc.warnings(), Digest: sha256.Sum256(data), byScope: map[string]*Statement{}}
	for _, s := range doc.statements {
		parsed, err := s.parse(kindOCI)
		if err != nil {
			return nil, &StatementError{kindOCI, s.name, err}
		}
		if err := checkScopes(s.name, s.scopes, parsed.Level); err != nil {
			return nil, err
		}
		for _, scope := range s.scopes {
			if _, taken := policy.byScope[scope]; taken {
				return nil, fmt.Errorf("registry scope %q is present in multiple oci trust policy statements, one registry scope value can only be associated with one statement", scope)
			}
			policy.byScope[scope] = parsed
		}
		parsed.RegistryScopes = s.scopes
		policy.Statements = append(policy.Statements, parsed)
		policy.Warnings = append(policy.Warnings, s.warnings(parsed)...)
	}
	return policy, nil
}

// ParseBlobPolicy reads a trust policy for files and checks all of it (TP-37).
// Errors are as those of ParseOCIPolicy.
func ParseBlobPolicy(data []byte) (*BlobPolicy, error) {
	doc, err := decode(data, kindBlob)
	if err != nil {
		return nil, err
	}
	policy := &BlobPolicy{Warnings: doc.warnings(), byName: map[string]*Statement{}}
	for _, s := range doc.statements {
		parsed, err := s.parse(kindBlob)
		if err != nil {
			return nil, &StatementError{kindBlob, s.name, err}
		}
		if s.global {
			if policy.global != nil {
				return nil, errors.New("multiple blob trust policy statements have globalPolicy set to true. Only one trust policy statement can be marked as global policy")
			}
			if parsed.Level.Skip() {
				return nil, errors.New("global blob trust policy statement cannot have verification level set to skip")
			}
			policy.global = parsed
		}
		parsed.GlobalPolicy = s.global
		policy.byName[s.name] = parsed
		policy.Statements = append(policy.Statements, parsed)
		policy.Warnings = append(policy.Warnings, s.warnings(parsed)...)
	}
	return policy, nil
}

// Statement returns the statement for a repository, written as the user did
// (TP-20): the one that lists it byte for byte, else the one with scope "*".
// Errors are a *ScopeError when that is no repository, and a *NoStatementError.
func (p *OCIPolicy) Statement(repository string) (*Statement, error) {
	if s, ok := p.byScope[repository]; ok && repository != anyScope {
		return s, nil
	}
	if err := checkScope(repository); err != nil {
		return nil, err
	}
	if s, ok := p.byScope[anyScope]; ok {
		return s, nil
	}
	return nil, &NoStatementError{fmt.Sprintf("artifact %q has no applicable oci trust policy statement. Trust policy applicability for a given artifact is determined by registryScopes. To create a trust policy, see: %s", repository, quickstart)}
}

// Statement returns the statement with exactly that name, or the global one
// when name is empty (TP-21). The error is a *NoStatementError.
func (p *BlobPolicy) Statement(name string) (*Statement, error) {
	if name == "" {
		if p.global == nil {
			return nil, &NoStatementError{"no global blob trust policy"}
		}
		return p.global, nil
	}
	if s, ok := p.byName[name]; ok {
		return s, nil
	}
	return nil, &NoStatementError{fmt.Sprintf("no applicable blob trust policy with name %q", name)}
}

// document is a policy as it stands in its file, each member of the right type
// and nothing else checked.
type document struct {
	version    string
	statements []statement
	unknown    []string
}

// statement is one statement as it stands in its file.
type statement struct {
	name            string
	scopes          []string // OCI
	global          bool     // blob
	level           string
	overrides       map[string]string
	verifyTimestamp string
	stores          []string
	identities      []string
	extensions      extensions
	unknown         []string // paths within the statement
}

// decode reads a document and checks what does not depend on its statements' content.
func decode(data []byte, kind string) (*document, error) {
	root, err := readDocument(data)
	if err != nil {
		return nil, &MalformedPolicyError{Err: err}
	}
	doc := &document{version: root.text("version")}
	for _, o := range root.children("trustPolicies") {
		doc.statements = append(doc.statements, decodeStatement(o, kind))
	}
	doc.unknown = root.unknown()
	if err := *root.err; err != nil {
		return nil, &MalformedPolicyError{Err: err}
	}
	switch {
	case doc.version == "":
		return nil, fmt.Errorf("%s trust policy document has empty version, version must be specified", kind)
	case doc.version != policyVersion:
		return nil, fmt.Errorf("%s trust policy document uses unsupported version %q, the supported version is %q", kind, doc.version, policyVersion)
	case len(doc.statements) == 0:
		return nil, fmt.Errorf("%s trust policy document can not have zero trust policy statements", kind)
	}
	return doc, doc.checkNames(kind)
}

func decodeStatement(o *object, kind string) statement {
	s := statement{
		name:       o.text("name"),
		stores:     o.texts("trustStores"),
		identities: o.texts("trustedIdentities"),
	}
	if kind == kindOCI {
		s.scopes = o.texts("registryScopes")
	} else {
		s.global = o.flag("globalPolicy")
	}
	if v := o.child("signatureVerification"); v != nil {
		s.level = v.text("level")
		s.overrides = v.textMap("override")
		s.verifyTimestamp = v.text("verifyTimestamp")
		for _, name := range v.unknown() {
			s.unknown = append(s.unknown, "signatureVerification."+name)
		}
	}
	s.extensions = decodeExtensions(o)
	s.unknown = append(s.unknown, s.extensions.unknown...)
	s.unknown = append(s.unknown, o.unknown()...)
	return s
}

func (d *document) checkNames(kind string) error {
	names := map[string]bool{}
	for _, s := range d.statements {
		if s.name == "" {
			return fmt.Errorf("%s trust policy: a trust policy statement is missing a name, every statement requires a name", kind)
		}
		if names[s.name] {
			return fmt.Errorf("multiple %s trust policy statements use the same name %q, statement names must be unique", kind, s.name)
		}
		names[s.name] = true
	}
	return nil
}

// parse checks the members that both kinds of statement have. Its errors are
// predicates, see StatementError.
func (s *statement) parse(kind string) (*Statement, error) {
	level, err := newLevel(s.level, s.overrides)
	if err != nil {
		return nil, fmt.Errorf("has invalid signatureVerification: %w", err)
	}
	switch s.verifyTimestamp {
	case "", TimestampAlways, TimestampAfterCertExpiry:
	default:
		return nil, fmt.Errorf("has invalid signatureVerification: verifyTimestamp must be %q or %q, but got %q", TimestampAlways, TimestampAfterCertExpiry, s.verifyTimestamp)
	}
	parsed := &Statement{Name: s.name, Level: level, VerifyTimestamp: s.verifyTimestamp, TrustedIdentities: s.identities}
	if parsed.VerifyTimestamp == "" {
		parsed.VerifyTimestamp = TimestampAlways
	}
	if err := s.parseTrust(parsed); err != nil {
		return nil, err
	}
	return parsed, s.parseExtensions(parsed)
}

// parseTrust checks stores and identities (TP-11, TP-12, TP-22).
func (s *statement) parseTrust(parsed *Statement) error {
	if parsed.Level.Skip() {
		if len(s.stores) > 0 || len(s.identities) > 0 {
			return errors.New("is set to skip signature verification but configured with trust stores and/or trusted identities, remove them if signature verification needs to be skipped")
		}
		return nil
	}
	if len(s.stores) == 0 || len(s.identities) == 0 {
		return errors.New("is either missing trust stores or trusted identities, both must be specified")
	}
	for _, entry := range s.stores {
		ref, err := parseStoreRef(entry)
		if err != nil {
			return err
		}
		parsed.TrustStores = append(parsed.TrustStores, ref)
	}
	identities, err := parseIdentities(s.identities)
	if errors.Is(err, errWildcardMixed) {
		return fmt.Errorf("uses %w", err)
	}
	if err != nil {
		return fmt.Errorf("has %w", err)
	}
	parsed.Identities = identities
	return nil
}

// parseStoreRef reads an entry of trustStores, "type:name" (TP-12, TS-02).
func parseStoreRef(entry string) (StoreRef, error) {
	kind, name, found := strings.Cut(entry, ":")
	if !found {
		return StoreRef{}, fmt.Errorf("has malformed trust store value %q. The required format is <TrustStoreType>:<TrustStoreName>", entry)
	}
	ref := StoreRef{Type: StoreType(kind), Name: name}
	if !slices.Contains(StoreTypes, ref.Type) {
		return StoreRef{}, fmt.Errorf("uses an unsupported trust store type %q in trust store value %q, supported types are %q", kind, entry, StoreTypes)
	}
	if !ValidName(name) {
		return StoreRef{}, fmt.Errorf("uses an unsupported trust store name %q in trust store value %q. Named store name needs to follow [a-zA-Z0-9_.-]+ format", name, entry)
	}
	return ref, nil
}

// warnings remarks on members of the document that have no meaning (TP-33).
func (d *document) warnings() []Warning {
	var out []Warning
	for _, name := range d.unknown {
		out = append(out, Warning{Text: fmt.Sprintf("member %q of the trust policy document is not known and ignored", name)})
	}
	return out
}

// warnings remarks on a valid statement (TP-33, TP-36).
func (s *statement) warnings(parsed *Statement) []Warning {
	var out []Warning
	for _, name := range s.unknown {
		out = append(out, Warning{Text: fmt.Sprintf("member %q of trust policy statement %q is not known and ignored", name, s.name)})
	}
	anchors := func(ref StoreRef) bool { return ref.Type != StoreTSA }
	if parsed.Level.Action(CheckAuthenticity) == ActionEnforce && !slices.ContainsFunc(parsed.TrustStores, anchors) {
		out = append(out, Warning{Text: fmt.Sprintf("trust policy statement %q lists only trust stores of type tsa: no signature can pass its authenticity check, add a store of type ca or signingAuthority", s.name)})
	}
	if len(parsed.Extensions) > 0 {
		out = append(out, Warning{Text: fmt.Sprintf("trust policy statement %q uses extensions (%s): other hosts read this file without these checks", s.name, strings.Join(parsed.Extensions, ", ")), OtherHosts: true})
	}
	return out
}
