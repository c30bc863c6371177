package plugin

import (
	"fmt"
	"regexp"
	"sync"

	"golang.org/x/mod/semver"
)

// semVer is the expression that semver.org suggests for SemVer 2 versions.
var semVer = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$`)
})

// ValidVersion tells whether version is a SemVer 2 version, without a leading v.
func ValidVersion(version string) bool { return semVer().MatchString(version) }

// CompareVersions compares two versions by SemVer 2 precedence: negative when a
// comes before b, zero when neither comes first. The error is a [*VersionError].
func CompareVersions(a, b string) (int, error) {
	for _, version := range []string{a, b} {
		if !ValidVersion(version) {
			return 0, &VersionError{Version: version}
		}
	}
	return semver.Compare("v"+a, "v"+b), nil
}

// VersionError says that a plugin's version is not a SemVer 2 version.
type VersionError struct{ Version string }

// Error returns "1.0 is not a valid semantic version".
func (e *VersionError) Error() string {
	return fmt.Sprintf("%s is not a valid semantic version", e.Version)
}
