// Package semver reads and orders Semantic Versioning 2.0.0 versions as the
// plugin contract writes them: without a leading v.
package semver

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Version is a parsed version; build metadata is left out, since it has no part
// in the order of versions.
type Version struct {
	core       [3]string // numbers without leading zeros, of any length
	prerelease []string
}

// Parse reads a version such as "1.2.0-rc.1+build" (SemVer 2.0.0, sections 2, 9 and 10).
func Parse(s string) (Version, error) {
	rest, build, hasBuild := strings.Cut(s, "+")
	core, prerelease, hasPrerelease := strings.Cut(rest, "-")
	numbers := strings.Split(core, ".")
	v := Version{}
	ok := copy(v.core[:], numbers) == len(numbers) && !slices.ContainsFunc(v.core[:], isNoNumber)
	if hasPrerelease {
		v.prerelease = strings.Split(prerelease, ".")
		ok = ok && !slices.ContainsFunc(v.prerelease, isNoIdentifier)
	}
	if hasBuild {
		ok = ok && !slices.ContainsFunc(strings.Split(build, "."), isNoWord)
	}
	if !ok {
		return Version{}, fmt.Errorf("%q is not a semantic version such as 1.2.0", s)
	}
	return v, nil
}

// isNoWord tells that something is not made of ASCII letters, digits and hyphens.
func isNoWord(s string) bool {
	return s == "" || strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || 'z' < c) && (c < 'A' || 'Z' < c) && (c < '0' || '9' < c) && c != '-'
	})
}

// isNoNumber tells that something is not a number, or one with leading zeros.
func isNoNumber(s string) bool {
	return s == "" || !isNumber(s) || len(s) > 1 && s[0] == '0'
}

// isNoIdentifier tells that something cannot stand in a pre-release version.
func isNoIdentifier(s string) bool {
	return isNoWord(s) || isNumber(s) && isNoNumber(s)
}

// Compare orders versions by precedence (SemVer 2.0.0, section 11): negative
// when v comes before w, 0 when they are equal, positive otherwise.
func (v Version) Compare(w Version) int {
	for i := range v.core {
		if c := compareNumbers(v.core[i], w.core[i]); c != 0 {
			return c
		}
	}
	if v.prerelease == nil || w.prerelease == nil {
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
