package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// settingsFile is the name of the settings in the configuration directory.
const settingsFile = "config.json"

// Settings is what config.json says (KEY-10). Credential stores in the same
// file are read by the registry client.
type Settings struct {
	// InsecureRegistries lists hosts that are spoken to by plain HTTP.
	InsecureRegistries []string `json:"insecureRegistries"`
	// SignatureFormat is the default of --signature-format, in lower case; may
	// be empty.
	SignatureFormat string `json:"signatureFormat"`
}

// LoadSettings reads the settings in dir; they are empty when there is no file.
func LoadSettings(dir string) (*Settings, error) {
	settings := &Settings{}
	path := SettingsPath(dir)
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return settings, nil
	}
	if err != nil {
		return nil, fmt.Errorf("failed to load settings: %w", err)
	}
	if err := json.Unmarshal(data, settings); err != nil {
		return nil, fmt.Errorf("malformed config.json: %w: mend or remove %s", err, path)
	}
	settings.SignatureFormat = strings.ToLower(settings.SignatureFormat)
	return settings, nil
}

// SettingsPath is the path of config.json in dir.
func SettingsPath(dir string) string { return filepath.Join(dir, settingsFile) }

// Insecure tells whether the settings list a host for plain HTTP.
func (s *Settings) Insecure(host string) bool {
	return slices.ContainsFunc(s.InsecureRegistries, func(h string) bool { return strings.EqualFold(h, host) })
}
