package vault

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const maxKeyID = 512 // bytes

// keyPath is a key id: the path of a transit key.
type keyPath struct {
	// mount is where the transit engine is, name the key in it.
	mount, name string
	// version is the one to use; 0 means the one that the certificate is for, or
	// the latest.
	version int
}

// parseKeyID reads MOUNT/keys/NAME or MOUNT/keys/NAME:VERSION. MOUNT may have
// several elements.
func parseKeyID(id string) (keyPath, error) {
	const form = `a key id looks like "transit/keys/NAME" or "transit/keys/NAME:VERSION", with the transit engine's mount path in front`
	if len(id) > maxKeyID {
		return keyPath{}, fmt.Errorf("longer than %d bytes", maxKeyID)
	}
	path, version, versioned := strings.Cut(id, ":")
	elements := strings.Split(path, "/")
	n := len(elements)
	if n < 3 || elements[n-2] != "keys" {
		return keyPath{}, errors.New(form)
	}
	for _, element := range elements {
		if !plainElement(element) {
			return keyPath{}, fmt.Errorf("%q cannot be part of a path: %s", element, form)
		}
	}
	k := keyPath{mount: strings.Join(elements[:n-2], "/"), name: elements[n-1]}
	if versioned {
		v, err := strconv.ParseUint(version, 10, 31)
		if err != nil || v == 0 {
			return keyPath{}, fmt.Errorf("%q is not a version, which is a number from 1 up", version)
		}
		k.version = int(v)
	}
	return k, nil
}

// plainElement tells whether an element of a path means itself in a URL.
func plainElement(element string) bool {
	return element != "" && element != "." && element != ".." && !strings.ContainsFunc(element, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-' && r != '.'
	})
}

func (k keyPath) readPath() string { return k.mount + "/keys/" + k.name }
func (k keyPath) signPath() string { return k.mount + "/sign/" + k.name }

// kvPath is where a KV entry holds certificates.
type kvPath struct{ path, field string }

// defaultKVField is the field of the certificates where none is named.
const defaultKVField = "certificate_chain"

// parseKVPath reads PATH or PATH#FIELD.
func parseKVPath(text string) (kvPath, error) {
	if len(text) > maxKeyID {
		return kvPath{}, fmt.Errorf("longer than %d bytes", maxKeyID)
	}
	path, field, named := strings.Cut(text, "#")
	if !named {
		field = defaultKVField
	}
	elements := strings.Split(path, "/")
	for _, element := range elements {
		if !plainElement(element) {
			return kvPath{}, fmt.Errorf("%q cannot be part of a path, which looks like \"secret/data/signing/release\"", element)
		}
	}
	if len(elements) < 2 || field == "" {
		return kvPath{}, errors.New(`it looks like "secret/data/signing/release#FIELD": mount, path (with data/ in version 2 of KV) and field`)
	}
	return kvPath{path, field}, nil
}
