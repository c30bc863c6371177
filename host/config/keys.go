package config

import (
	"bytes"
	"context"
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
	ID         string `json:"id,omitempty"`
	PluginName string `json:"pluginName,omitempty"`
	// PluginConfig goes to the plugin with every request.
	PluginConfig map[string]string `json:"pluginConfig,omitempty"`
}

// Local tells whether the key is a pair of files.
func (k Key) Local() bool { return k.PluginName == "" }

// Keys is the content of the key list.
type Keys struct {
	// Default is the name of the key used when none is named; may be empty.
	Default string
	// Keys are the entries, in the order of the file; no two have one name.
	Keys []Key
}

// keysJSON is Keys as it stands in its file.
type keysJSON struct {
	Default *string `json:"default,omitempty"`
	Keys    []Key   `json:"keys"`
}

// ErrNoDefaultKey says that no key was named and there is no default (KEY-09).
var ErrNoDefaultKey = errors.New("default signing key not set. Please set default signing key or specify a key name")

// ErrKeyNameEmpty says that a key has no name.
var ErrKeyNameEmpty = errors.New("key name cannot be empty")

// KeyExistsError says that the key list has a key of that name already (KEY-07).
type KeyExistsError struct{ Name string }

// Error names the key.
func (e *KeyExistsError) Error() string {
	return fmt.Sprintf("signing key with name %q already exists", e.Name)
}

// MalformedKeysError says that the key list is not what it should be (KEY-06).
type MalformedKeysError struct{ Err error }

// Error names the file and what is wrong with it.
func (e *MalformedKeysError) Error() string {
	return fmt.Sprintf("malformed %s: %v", signingKeysFile, e.Err)
}

// Unwrap returns what is wrong.
func (e *MalformedKeysError) Unwrap() error { return e.Err }

// KeyNotFoundError says that the key list has no key of that name.
type KeyNotFoundError struct{ Name string }

// Error names the key (KEY-09).
func (e *KeyNotFoundError) Error() string { return fmt.Sprintf("signing key %s not found", e.Name) }

// SigningKeys is the key list of a configuration directory. Changes are made
// under a lock and written whole, so that concurrent ones lose nothing.
type SigningKeys struct{ path string }

// NewSigningKeys returns the key list in dir.
func NewSigningKeys(dir string) SigningKeys {
	return SigningKeys{filepath.Join(dir, signingKeysFile)}
}

// Load reads the list; it is empty when there is no file (KEY-06). Errors are a
// *MalformedKeysError, or that the file cannot be read.
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
		return nil, &MalformedKeysError{err}
	}
	seen := map[string]bool{}
	for _, key := range file.Keys {
		if key.Name == "" {
			return nil, &MalformedKeysError{ErrKeyNameEmpty}
		}
		if seen[key.Name] {
			return nil, &MalformedKeysError{fmt.Errorf("multiple keys with name '%s' found", key.Name)}
		}
		seen[key.Name] = true
	}
	keys := &Keys{Keys: file.Keys}
	if file.Default != nil {
		keys.Default = *file.Default
		if keys.Default == "" {
			return nil, &MalformedKeysError{errors.New("default key name cannot be empty")}
		}
		if !seen[keys.Default] {
			return nil, &MalformedKeysError{fmt.Errorf("default key '%s' not found", keys.Default)}
		}
	}
	return keys, nil
}

// Get returns the key of that name, or the default one when name is empty.
// Errors are ErrNoDefaultKey and a *KeyNotFoundError.
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

// check holds the rules on an entry: a pair of files, or a key of a plugin (KEY-07).
func (k Key) check() error {
	switch {
	case k.Name == "":
		return ErrKeyNameEmpty
	case k.PluginName != "" && k.ID == "":
		return errors.New("missing key id")
	case k.PluginName != "" && (k.KeyPath != "" || k.CertPath != ""):
		return fmt.Errorf("signing key %q has both files and a plugin: give one of them", k.Name)
	case k.PluginName == "" && k.ID != "":
		return errors.New("plugin name cannot be empty")
	case k.PluginName == "" && (k.KeyPath == "" || k.CertPath == ""):
		return fmt.Errorf("signing key %q needs the paths of a key file and a certificate file", k.Name)
	}
	return nil
}

// Add appends a key, and makes it the default if asked to. Whether the plugin
// is installed is for the caller to check. Errors are ErrKeyNameEmpty, a
// *KeyExistsError, what an entry lacks, and those of Load and of writing. Who waits
// for another process that changes the list gives up when ctx is done.
func (s SigningKeys) Add(ctx context.Context, key Key, makeDefault bool) error {
	if err := key.check(); err != nil {
		return err
	}
	return s.change(ctx, func(keys *Keys) error {
		if keys.index(key.Name) >= 0 {
			return &KeyExistsError{key.Name}
		}
		keys.Keys = append(keys.Keys, key)
		if makeDefault {
			keys.Default = key.Name
		}
		return nil
	})
}

// SetDefault makes a key the default. Errors are ErrKeyNameEmpty, a
// *KeyNotFoundError, and those of Load and of writing.
func (s SigningKeys) SetDefault(ctx context.Context, name string) error {
	if name == "" {
		return ErrKeyNameEmpty
	}
	return s.change(ctx, func(keys *Keys) error {
		if keys.index(name) < 0 {
			return &KeyNotFoundError{name}
		}
		keys.Default = name
		return nil
	})
}

// Delete removes keys from the list, all or none, and returns the name of the
// default key when it was among them (KEY-08). Key files stay. Errors are those
// of SetDefault.
func (s SigningKeys) Delete(ctx context.Context, names ...string) (deletedDefault string, err error) {
	err = s.change(ctx, func(keys *Keys) error {
		for _, name := range names {
			if name == "" {
				return ErrKeyNameEmpty
			}
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

func (s SigningKeys) change(ctx context.Context, edit func(*Keys) error) error {
	return update(ctx, s.path, func(old []byte) ([]byte, error) {
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
