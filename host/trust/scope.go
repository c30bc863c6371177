package trust

import (
	"fmt"
	"strings"

	"oras.land/oras-go/v2/registry"
)

// anyScope is the registry scope that applies to every artifact.
const anyScope = "*"

// ScopeError says that a registry scope, or the repository that is looked up
// among them, is not a fully qualified repository (TP-13, TP-14).
type ScopeError struct{ Scope string }

// Error tells what a scope looks like.
func (e *ScopeError) Error() string {
	kind := ""
	if strings.Contains(e.Scope, "*") {
		kind = " with wild card(s)"
	}
	return fmt.Sprintf("registry scope %q%s is not valid, make sure it is a fully qualified repository without the scheme, protocol or tag. For example domain.com/my/repository or a local scope like local/myOCILayout", e.Scope, kind)
}

// checkScope checks that a scope is "registry[:port]/repository", as are those of
// registryScopes and what is looked up among them. The error is a *ScopeError.
func checkScope(scope string) error {
	domain, repository, found := strings.Cut(scope, "/")
	if !found || !isDomain(domain) || (registry.Reference{Repository: repository}).ValidateRepository() != nil {
		return &ScopeError{scope}
	}
	return nil
}

// isDomain tells whether a text is the registry half of a scope: labels of letters,
// digits and, in their middle, hyphens, with dots between them, and a port if any
// (TP-14). The expression that says the same takes as long to compile as a signature to
// be verified.
func isDomain(text string) bool {
	const digits = "0123456789"
	const inLabel = digits + "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-"
	host, port, hasPort := strings.Cut(text, ":")
	if hasPort && (port == "" || strings.Trim(port, digits) != "") {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' || strings.Trim(label, inLabel) != "" {
			return false
		}
	}
	return true
}

// checkScopes holds the rules on one statement's registryScopes (TP-13, 15, 17).
func checkScopes(statement string, scopes []string, level Level) error {
	if len(scopes) == 0 {
		return fmt.Errorf("oci trust policy statement %q has zero registry scopes, it must specify registry scopes with at least one value", statement)
	}
	for _, scope := range scopes {
		switch {
		case scope != anyScope:
			if err := checkScope(scope); err != nil {
				return err
			}
		case len(scopes) > 1:
			return fmt.Errorf("oci trust policy statement %q uses wildcard registry scope '*', a wildcard scope cannot be used in conjunction with other scope values", statement)
		case level.Skip():
			return fmt.Errorf("oci trust policy statement %q skips verification for the wildcard registry scope '*': name the repositories that need no verification", statement)
		}
	}
	return nil
}
