package signer

import (
	"maps"
	"slices"
	"strings"

	"github.com/signet-project/signet/protocol"
)

// CheckConfig refuses a plugin configuration with a name that is neither
// ConfigCertificateChain nor one of known, so that a slip of the pen is noticed
// and no secret is taken: hosts keep plugin configuration in files, and users
// give it on command lines. The error is a VALIDATION_ERROR without any value.
func CheckConfig(config map[string]string, known ...string) error {
	known = slices.Sorted(slices.Values(append(slices.Clone(known), ConfigCertificateChain)))
	for _, name := range slices.Sorted(maps.Keys(config)) {
		if slices.Contains(known, name) {
			continue
		}
		if secretName(name) {
			return protocol.Errorf(protocol.CodeValidation, "plugin config %q is refused: no secret is taken from plugin config, see the plugin's documentation for where to put it", name)
		}
		return protocol.Errorf(protocol.CodeValidation, "plugin config %q is not known: there are %s", name, strings.Join(known, ", "))
	}
	return nil
}

// secretName tells whether a name looks like that of a secret.
func secretName(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"pin", "pass", "secret", "token", "credential", "jwt", "access_key", "accesskey", "private"}, func(part string) bool {
		return strings.Contains(name, part)
	})
}
