// Package semver reads and orders Semantic Versioning 2.0.0 versions as the
// plugin contract writes them: without a leading v.
package semver

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// pattern is the expression that semver.org suggests.
var pattern = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$`)
})

// Version is a parsed version; build metadata is left out, since it has no part
// in the order of versions.
type Version struct {
	core       [3]string // numbers without leading zeros, of any length
	prerelease []string
}

// Parse reads a version such as "1.2.0-rc.1+build".
func Parse(s string) (Version, error) {
	m := pattern().FindStringSubmatch(s)
	if m == nil {
		return Version{}, fmt.Errorf("%q is not a semantic version such as 1.2.0", s)
	}
	v := Version{core: [3]string{m[1], m[2], m[3]}}
	if m[4] != "" {
		v.prerelease = strings.Split(m[4], ".")
	}
	return v, nil
}

// Compare orders versions by precedence (SemVer 2.0.0, section 11): negative
// when v comes before w, 0 when they are equal, positive otherwise.
func (v Version) Compare(w Version) int {
	for i := range v.core {
		if c := compareNumbers(v.core[i], w.core[i]); c != 0 {
			return c
		}
	}
	switch {
	case v.prerelease == nil || w.prerelease == nil:
		// A version without a pre-release comes after one with.
		return cmp.Compare(len(w.prerelease), len(v.prerelease))
	}
	for i := range min(len(v.prerelease), len(w.prerelease)) {
		if c := compareIdentifiers(v.prerelease[i], w.prerelease[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(v.prerelease), len(w.prerelease))
}

func compareIdentifiers(a, b string) int {
	switch aNumber, bNumber := isNumber(a), isNumber(b); {
	case aNumber && bNumber:
		return compareNumbers(a, b)
	case aNumber:
		return -1
	case bNumber:
		return 1
	}
	return cmp.Compare(a, b)
}

// compareNumbers orders decimal numbers without leading zeros.
func compareNumbers(a, b string) int {
	if c := cmp.Compare(len(a), len(b)); c != 0 {
		return c
	}
	return cmp.Compare(a, b)
}

func isNumber(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}
