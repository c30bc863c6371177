package plugin

import (
	"fmt"

	"github.com/signet-project/signet/host/semver"
)

// compareVersions compares two versions by SemVer 2 precedence: negative when a
// comes before b, zero when neither comes first. The error is a [*VersionError].
func compareVersions(a, b string) (int, error) {
	var parsed [2]semver.Version
	for i, version := range []string{a, b} {
		var err error
		if parsed[i], err = semver.Parse(version); err != nil {
			return 0, &VersionError{Version: version}
		}
	}
	return parsed[0].Compare(parsed[1]), nil
}

// VersionError says that a plugin's version is not a SemVer 2 version.
type VersionError struct{ Version string }

// Error returns "1.0 is not a valid semantic version".
func (e *VersionError) Error() string {
	return fmt.Sprintf("%s is not a valid semantic version", e.Version)
}
