package plugin

import (
	"runtime"
	"slices"
	"strings"
)

// registryCredentials are the variables that hold secrets for registries, which
// are none of a plugin's business. DOCKER_CONFIG stays: it is a path.
var registryCredentials = []string{
	"NOTATION_USERNAME", "NOTATION_PASSWORD",
	"DOCKER_AUTH_CONFIG", "DOCKER_USERNAME", "DOCKER_PASSWORD",
}

// withhold returns parent ("NAME=value" entries) without registry credentials
// and without the variables that withheld names. It is never nil, so that
// nobody takes it for "inherit everything".
func withhold(parent []string, withheld ...[]string) []string {
	names := append(slices.Clone(registryCredentials), slices.Concat(withheld...)...)
	environ := make([]string, 0, len(parent))
	for _, entry := range parent {
		name := variableName(entry)
		if !slices.ContainsFunc(names, func(pattern string) bool { return matches(pattern, name) }) {
			environ = append(environ, entry)
		}
	}
	return environ
}

// variableName returns the name in a "NAME=value" entry. On Windows, names that
// start with "=" exist.
func variableName(entry string) string {
	if entry == "" {
		return ""
	}
	if i := strings.IndexByte(entry[1:], '='); i >= 0 {
		return entry[:i+1]
	}
	return entry
}

// matches compares a name with a withheld one; a "*" at the end of the latter
// stands for any rest. Case does not count on Windows.
func matches(pattern, name string) bool {
	if runtime.GOOS == "windows" {
		pattern, name = strings.ToUpper(pattern), strings.ToUpper(name)
	}
	if prefix, found := strings.CutSuffix(pattern, "*"); found {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}

// validVariable tells whether name can stand in a list of withheld variables.
func validVariable(name string) bool {
	return name != "" && len(name) <= 1024 && !strings.ContainsAny(name, "=\x00\n\r")
}
