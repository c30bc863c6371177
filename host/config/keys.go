package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
)

// signingKeysFile is the name of the key list in the configuration directory.
const signingKeysFile = "signingkeys.json"

// Key is one entry of the key list: a pair of local files, or a key behind a
// plugin (KEY-05).
type Key struct {
	Name string `json:"name"`

	// KeyPath and CertPath are PEM files: private key and chain.
	KeyPath  string `json:"keyPath,omitempty"`
	CertPath string `json:"certPath,omitempty"`

	// ID is the key's identifier for the plugin PluginName.
	ID           string            `json:"id,omitempty"`
	PluginName   string            `json:"pluginName,omitempty"`
	PluginConfig map[string]string `json:"pluginConfig,omitempty"`
}

// Local tells whether the key is a pair of files.
func (k Key) Local() bool { return k.PluginName == "" }

// Keys is the content of the key list.
type Keys struct {
	// Default is the name of the key used when none is named; may be empty.
	Default string
	Keys    []Key
}

// keysJSON is Keys as it stands in its file.
type keysJSON struct {
	Default *string `json:"default,omitempty"`
	Keys    []Key   `json:"keys"`
}

// ErrNoDefaultKey says that no key was named and there is no default (KEY-09).
var ErrNoDefaultKey = errors.New("default signing key not set. Please set default signing key or specify a key name")

// KeyNotFoundError says that the key list has no key of that name.
type KeyNotFoundError struct{ Name string }

func (e *KeyNotFoundError) Error() string { return fmt.Sprintf("signing key %s not found", e.Name) }

// SigningKeys is the key list of a configuration directory. Changes are made
// under a lock and written whole, so that concurrent ones lose nothing.
type SigningKeys struct{ path string }

// NewSigningKeys returns the key list in dir.
func NewSigningKeys(dir string) SigningKeys {
	return SigningKeys{filepath.Join(dir, signingKeysFile)}
}

// Load reads the list; it is empty when there is no file (KEY-06).
func (s SigningKeys) Load() (*Keys, error) {
	data, err := readFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return &Keys{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("failed to load signing keys: %w", err)
	}
	return parseKeys(data)
}

func parseKeys(data []byte) (*Keys, error) {
	var file keysJSON
	// One JSON value; whatever follows it is ignored.
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&file); err != nil {
		return nil, fmt.Errorf("malformed signingkeys.json: %w", err)
	}
	keys := &Keys{Keys: file.Keys}
	seen := map[string]bool{}
	for _, key := range file.Keys {
		if key.Name == "" {
			return nil, errors.New("malformed signingkeys.json: key name cannot be empty")
		}
		if seen[key.Name] {
			return nil, fmt.Errorf("malformed signingkeys.json: multiple keys with name '%s' found", key.Name)
		}
		seen[key.Name] = true
	}
	if file.Default != nil {
		keys.Default = *file.Default
		if !seen[keys.Default] {
			return nil, fmt.Errorf("malformed signingkeys.json: default key '%s' not found", keys.Default)
		}
	}
	return keys, nil
}

// Get returns the key of that name, or the default one when name is empty.
func (k *Keys) Get(name string) (Key, error) {
	if name == "" {
		if k.Default == "" {
			return Key{}, ErrNoDefaultKey
		}
		name = k.Default
	}
	if i := k.index(name); i >= 0 {
		return k.Keys[i], nil
	}
	return Key{}, &KeyNotFoundError{name}
}

func (k *Keys) index(name string) int {
	return slices.IndexFunc(k.Keys, func(key Key) bool { return key.Name == name })
}

// Add appends a key, and makes it the default if asked to.
func (s SigningKeys) Add(key Key, makeDefault bool) error {
	return s.change(func(keys *Keys) error {
		if key.Name == "" {
			return errors.New("key name cannot be empty")
		}
		if keys.index(key.Name) >= 0 {
			return fmt.Errorf("signing key with name %q already exists", key.Name)
		}
		keys.Keys = append(keys.Keys, key)
		if makeDefault {
			keys.Default = key.Name
		}
		return nil
	})
}

// SetDefault makes a key the default.
func (s SigningKeys) SetDefault(name string) error {
	return s.change(func(keys *Keys) error {
		if keys.index(name) < 0 {
			return &KeyNotFoundError{name}
		}
		keys.Default = name
		return nil
	})
}

// Delete removes keys from the list, all or none, and returns the name of the
// default key when it was among them (KEY-08). Key files stay.
func (s SigningKeys) Delete(names ...string) (deletedDefault string, err error) {
	err = s.change(func(keys *Keys) error {
		for _, name := range names {
			i := keys.index(name)
			if i < 0 {
				return &KeyNotFoundError{name}
			}
			keys.Keys = slices.Delete(keys.Keys, i, i+1)
			if keys.Default == name {
				deletedDefault, keys.Default = name, ""
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return deletedDefault, nil
}

func (s SigningKeys) change(edit func(*Keys) error) error {
	return update(s.path, 0o600, func(old []byte) ([]byte, error) {
		keys := &Keys{}
		if old != nil {
			var err error
			if keys, err = parseKeys(old); err != nil {
				return nil, err
			}
		}
		if err := edit(keys); err != nil {
			return nil, err
		}
		return keys.marshal()
	})
}

// marshal writes the list as the file has it: four spaces, a newline at the end.
func (k *Keys) marshal() ([]byte, error) {
	file := keysJSON{Keys: k.Keys}
	if k.Default != "" {
		file.Default = &k.Default
	}
	if file.Keys == nil {
		file.Keys = []Key{}
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetIndent("", "    ")
	encoder.SetEscapeHTML(true)
	err := encoder.Encode(file)
	return out.Bytes(), err
}
