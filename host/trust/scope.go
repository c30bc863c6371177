package trust

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// anyScope is the registry scope that applies to every artifact.
const anyScope = "*"

// The grammar of registry scopes (TP-14).
var (
	domainPattern = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))+)?(?::[0-9]+)?$`)
	})
	repositoryPattern = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^[a-z0-9]+(?:(?:(?:[._]|__|[-]*)[a-z0-9]+)+)?(?:(?:/[a-z0-9]+(?:(?:(?:[._]|__|[-]*)[a-z0-9]+)+)?)+)?$`)
	})
)

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
	if !found || !domainPattern().MatchString(domain) || !repositoryPattern().MatchString(repository) {
		return &ScopeError{scope}
	}
	return nil
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
