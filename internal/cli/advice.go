package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/host/plugin"
)

// rejected is a verification that came to a negative end.
type rejected struct{ error }

// Unwrap returns the reason.
func (r *rejected) Unwrap() error { return r.error }

// isRejection tells a verdict on an artifact or file from a failure on the way to one.
func isRejection(outcome *host.Outcome, err error) bool {
	if _, ok := errors.AsType[*artifact.RegistryError](err); ok || outcome == nil || errors.Is(err, context.Canceled) {
		return false
	}
	_, unsigned := errors.AsType[*host.NoSignatureError](err)
	return unsigned || len(outcome.Signatures) > 0
}

// advice says what to do next about an error, on a line of its own; empty where the
// error says it itself. However a verification ends, less trust is never advised
// (GEN-12).
func (a *app) advice(err error) string {
	if mistake, ok := errors.AsType[*usageError](err); ok {
		return mistake.hint
	}
	if _, ok := errors.AsType[*rejected](err); ok {
		if _, unsigned := errors.AsType[*host.NoSignatureError](err); unsigned || storeFault(err) != nil {
			return "Do not use it." // nothing was checked
		}
		return "Do not use it. Option --verbose shows every check, so that you or whoever signed it can find out why."
	}
	if registry, ok := errors.AsType[*artifact.RegistryError](err); ok {
		return a.registryAdvice(registry)
	}
	if _, ok := errors.AsType[*artifact.LayoutError](err); ok && errors.Is(err, artifact.ErrNotFound) {
		return "Check the path, the tag or the digest. An OCI layout is a directory with a file called oci-layout in it."
	}
	if _, ok := errors.AsType[*config.KeyNotFoundError](err); ok {
		return fmt.Sprintf("To see the keys there are, run: %s key list", a.name)
	}
	if existing, ok := errors.AsType[*config.KeyExistsError](err); ok {
		return fmt.Sprintf("Choose another name, or remove that key from the list first: %s key delete %s", a.name, existing.Name)
	}
	if _, ok := errors.AsType[*config.MalformedKeysError](err); ok {
		return "Mend the file; it is in " + a.dirs.Config
	}
	if _, ok := errors.AsType[*plugin.DowngradeError](err); ok { // PLG-69
		return `It is not recommended to install an older version. To force the installation, use the "--force" option`
	}
	if _, ok := errors.AsType[*host.PluginVersionError](err); ok {
		return "Name it by --plugin-version."
	}
	if errors.Is(err, host.ErrPluginTimestamps) {
		return "Leave out --timestamp-url and --timestamp-root-cert."
	}
	if errors.Is(err, config.ErrNoDefaultKey) {
		return a.keyAdvice()
	}
	return ""
}

// keyAdvice says how to come to a default key.
func (a *app) keyAdvice() string {
	if keys, err := config.NewSigningKeys(a.dirs.Config).Load(); err == nil && len(keys.Keys) == 0 {
		return fmt.Sprintf("There is no key yet. To add one, run: %[1]s key add --default, or for a try: %[1]s cert generate-test --default", a.name)
	}
	return fmt.Sprintf("To choose a default key, run: %s key update --default <key_name>", a.name)
}

// registryAdvice says what to do when a registry failed, or the way to it.
func (a *app) registryAdvice(err *artifact.RegistryError) string {
	switch status := err.Status; {
	case status == http.StatusUnauthorized:
		return fmt.Sprintf("To log in, run: %s login %s", a.name, err.Registry)
	case status == http.StatusNotFound:
		return "Check the repository and the tag or digest; a registry may also hide what the user must not see."
	case status == http.StatusTooManyRequests:
		return "The registry limits requests: try again later, or log in."
	case status >= 500:
		return "The fault is the registry's: try again later, or tell whoever runs it."
	case status != 0:
		return ""
	}
	if _, ok := errors.AsType[*artifact.CredentialError](err); ok {
		return fmt.Sprintf("Mend credsStore and credHelpers in %s or in Docker's config.json.", config.SettingsPath(a.dirs.Config))
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "If an authority of your organisation issued the server's certificate, name it with --ca-file, or as caFile in " + config.SettingsPath(a.dirs.Config) + "."
	}
	if errors.Is(err, http.ErrSchemeMismatch) {
		return "The registry does not speak TLS. A registry for tests can be reached with --insecure-registry."
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return fmt.Sprintf("Check the name, the network and the proxies of the environment; more is told by: %s doctor %s", a.name, err.Registry)
	}
	return ""
}
