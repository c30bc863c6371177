package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"
)

// settingsFile is the name of the settings in the configuration directory.
const settingsFile = "config.json"

// Settings is what config.json says (KEY-10). The same file may hold "auths"
// for the registry client; nothing here writes it.
type Settings struct {
	// InsecureRegistries lists hosts that are spoken to by plain HTTP.
	InsecureRegistries []string `json:"insecureRegistries"`
	// CredentialsStore names the credential helper for all hosts; may be empty.
	CredentialsStore string `json:"credsStore"`
	// CredentialHelpers maps hosts to credential helpers.
	CredentialHelpers map[string]string `json:"credHelpers"`
	// SignatureFormat is the default of --signature-format, in lower case; may
	// be empty (KEY-11).
	SignatureFormat string `json:"signatureFormat"`

	// CAFile is the path of a file with certificate authorities, PEM or DER, that
	// servers may chain to besides those the system trusts; may be empty.
	CAFile string `json:"caFile"`
	// RequirePins refuses plugins that are not pinned.
	RequirePins bool `json:"requirePins"`
	// RevocationMaxAge is how long an answer about a certificate is used again at
	// most; 0 means the default.
	RevocationMaxAge Duration `json:"revocationMaxAge"`
	// OCSPTimeout and CRLTimeout bound each request; 0 means the default.
	OCSPTimeout Duration `json:"ocspTimeout"`
	CRLTimeout  Duration `json:"crlTimeout"`
	// Registries says how hosts are spoken to by TLS; a host is written as in
	// references, with its port.
	Registries map[string]RegistrySettings `json:"registries"`

	// Unknown names the members that have no meaning, with their paths.
	Unknown []string `json:"-"`
}

// RegistrySettings is what one host wants to see, or is recognised by. Paths may be
// empty.
type RegistrySettings struct {
	// CAFile has certificate authorities that this host may chain to besides others.
	CAFile string `json:"caFile"`
	// CertFile and KeyFile are the client certificate, PEM with its chain, and its key.
	CertFile string `json:"certFile"`
	KeyFile  string `json:"keyFile"`
}

// Duration is a length of time, in JSON as a string like "1h30m".
type Duration time.Duration

// Duration returns d as the standard library has it.
func (d Duration) Duration() time.Duration { return time.Duration(d) }

// UnmarshalText reads what [time.ParseDuration] takes, and nothing negative.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err == nil && parsed < 0 {
		err = errors.New("it is negative")
	}
	if err != nil {
		return fmt.Errorf("%q is not a duration like \"1h30m\"", text)
	}
	*d = Duration(parsed)
	return nil
}

// MalformedSettingsError says that config.json is not the JSON it should be.
type MalformedSettingsError struct {
	Path string
	Err  error
}

// Error names the file and what to do.
func (e *MalformedSettingsError) Error() string {
	return fmt.Sprintf("malformed config.json: %v: mend or remove %s", e.Err, e.Path)
}

// Unwrap returns the reader's error.
func (e *MalformedSettingsError) Unwrap() error { return e.Err }

// LoadSettings reads the settings in dir; they are empty when there is no file. A
// link is followed, since mounted configuration consists of links. Unknown members
// and whatever follows the JSON value are ignored. Errors are a
// *MalformedSettingsError, or that the file cannot be read.
func LoadSettings(dir string) (*Settings, error) {
	settings := &Settings{}
	path := SettingsPath(dir)
	data, err := readLinked(path)
	if errors.Is(err, fs.ErrNotExist) {
		return settings, nil
	}
	if err != nil {
		return nil, fmt.Errorf("failed to load settings: %w", err)
	}
	var members map[string]json.RawMessage
	for _, into := range []any{settings, &members} {
		if err := json.NewDecoder(bytes.NewReader(data)).Decode(into); err != nil {
			return nil, &MalformedSettingsError{path, err}
		}
	}
	settings.Unknown = unknownMembers("", members, reflect.TypeFor[Settings](), "auths")
	var hosts struct {
		Registries map[string]map[string]json.RawMessage `json:"registries"`
	}
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&hosts); err != nil {
		return nil, &MalformedSettingsError{path, err}
	}
	for _, host := range slices.Sorted(maps.Keys(hosts.Registries)) {
		settings.Unknown = append(settings.Unknown, unknownMembers("registries."+host+".", hosts.Registries[host], reflect.TypeFor[RegistrySettings]())...)
	}
	settings.SignatureFormat = strings.ToLower(settings.SignatureFormat)
	return settings, nil
}

// unknownMembers lists, below a path, the members that neither the type nor somebody
// else reads: the registry client's "auths" are in the same file.
func unknownMembers(path string, members map[string]json.RawMessage, of reflect.Type, known ...string) []string {
	for field := range of.Fields() {
		known = append(known, field.Tag.Get("json"))
	}
	var unknown []string
	for name := range members {
		if !slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, name) }) {
			unknown = append(unknown, path+name)
		}
	}
	slices.Sort(unknown)
	return unknown
}

// SettingsPath is the path of config.json in dir.
func SettingsPath(dir string) string { return filepath.Join(dir, settingsFile) }

// Insecure tells whether the settings list a host for plain HTTP.
func (s *Settings) Insecure(host string) bool {
	return slices.ContainsFunc(s.InsecureRegistries, func(h string) bool { return strings.EqualFold(h, host) })
}
