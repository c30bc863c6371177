package pkcs11

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxURI  = 8 << 10 // bytes
	maxAttr = 1 << 10 // bytes of a decoded value
)

// uri is a PKCS #11 URI (RFC 7512) that names a token and a key on it.
type uri struct {
	// path holds the attributes that an object, its token and its slot have to
	// match, percent-decoded; id is binary.
	path map[string]string
	// modulePath and pinSource are query attributes, "" when absent.
	modulePath, pinSource string
}

// The path attributes, each with whether it is about the token or slot (true) or
// about the object (false).
var pathAttributes = map[string]bool{
	"token": true, "manufacturer": true, "serial": true, "model": true,
	"slot-id": true, "slot-description": true, "slot-manufacturer": true,
	"library-manufacturer": true, "library-description": true, "library-version": true,
	"object": false, "id": false, "type": false,
}

// parseURI reads a PKCS #11 URI. It is stricter than RFC 7512 where leniency
// could pick another key or leak a PIN: path attributes it does not know, and
// pin-value, are refused. Query attributes it does not know are ignored, as the
// RFC has it. No error holds a part of the query.
func parseURI(text string) (*uri, error) {
	if len(text) > maxURI {
		return nil, fmt.Errorf("longer than %d bytes", maxURI)
	}
	const scheme = "pkcs11:"
	if len(text) < len(scheme) || !strings.EqualFold(text[:len(scheme)], scheme) {
		return nil, errors.New(`not a PKCS #11 URI, which looks like "pkcs11:token=release;object=build-key"`)
	}
	path, query, _ := strings.Cut(text[len(scheme):], "?")
	attributes, err := parseAttributes(path, ";")
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if _, known := pathAttributes[name]; !known {
			return nil, fmt.Errorf("attribute %q is not known", name)
		}
	}
	if kind, ok := attributes["type"]; ok && kind != "private" && kind != "public" && kind != "cert" {
		return nil, fmt.Errorf("type is %q: a signing key is private, or named by its public key or cert", kind)
	}
	if slot, ok := attributes["slot-id"]; ok {
		if _, err := strconv.ParseUint(slot, 10, 32); err != nil {
			return nil, fmt.Errorf("slot-id is %q, not a decimal number", slot)
		}
	}
	u := &uri{path: attributes}
	return u, u.parseQuery(query)
}

func (u *uri) parseQuery(query string) error {
	attributes, err := parseAttributes(query, "&")
	if err != nil {
		return fmt.Errorf("query: %w", err)
	}
	if _, ok := attributes["pin-value"]; ok {
		return errors.New("pin-value is refused, because key ids are stored and logged: name a file by pin-source, or set " + EnvPIN)
	}
	u.modulePath, u.pinSource = attributes["module-path"], attributes["pin-source"]
	if _, ok := attributes["module-name"]; ok && u.modulePath == "" {
		return errors.New("module-name is not supported: name the module by module-path")
	}
	return nil
}

// parseAttributes reads name=value pairs. Errors name attributes, never values.
func parseAttributes(text, separator string) (map[string]string, error) {
	attributes := map[string]string{}
	if text == "" {
		return attributes, nil
	}
	for part := range strings.SplitSeq(text, separator) {
		name, encoded, ok := strings.Cut(part, "=")
		if !ok || name == "" || !plainName(name) {
			return nil, errors.New("an attribute is not of the form name=value")
		}
		value, err := percentDecode(encoded)
		if err != nil {
			return nil, fmt.Errorf("attribute %q: %w", name, err)
		}
		if len(value) > maxAttr {
			return nil, fmt.Errorf("attribute %q is longer than %d bytes", name, maxAttr)
		}
		if name != "id" && (!utf8.ValidString(value) || strings.ContainsRune(value, 0)) {
			return nil, fmt.Errorf("attribute %q is not UTF-8 text", name)
		}
		if _, twice := attributes[name]; twice {
			return nil, fmt.Errorf("attribute %q is there twice", name)
		}
		attributes[name] = value
	}
	return attributes, nil
}

func plainName(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

func percentDecode(text string) (string, error) {
	if !strings.Contains(text, "%") {
		return text, nil
	}
	decoded := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			decoded = append(decoded, text[i])
			continue
		}
		if i+2 >= len(text) {
			return "", errors.New("percent encoding is cut off")
		}
		b, err := strconv.ParseUint(text[i+1:i+3], 16, 8)
		if err != nil {
			return "", errors.New("percent encoding is not hexadecimal")
		}
		decoded = append(decoded, byte(b))
		i += 2
	}
	return string(decoded), nil
}

// encodeID writes a CKA_ID the way a URI has it.
func encodeID(id []byte) string {
	var b strings.Builder
	for _, c := range id {
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

// tokenFacts is what a URI is compared with: the facts of a token and its slot, by
// attribute name.
type tokenFacts map[string]string

// matchesToken tells whether the attributes about the token and its slot hold.
func (u *uri) matchesToken(facts tokenFacts) bool {
	for name, want := range u.path {
		if aboutToken := pathAttributes[name]; aboutToken && facts[name] != want {
			return false
		}
	}
	return true
}

// tokenText renders the attributes about the token, for messages.
func (u *uri) tokenText() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(u.path)) {
		if pathAttributes[name] {
			parts = append(parts, fmt.Sprintf("%s %q", name, u.path[name]))
		}
	}
	return strings.Join(parts, ", ")
}

// matchesObject tells whether an object's id and label are those asked for.
func (u *uri) matchesObject(id []byte, label string) bool {
	wantID, byID := u.path["id"]
	wantLabel, byLabel := u.path["object"]
	return (!byID || wantID == string(id)) && (!byLabel || wantLabel == label)
}

// asks tells whether the URI has the path attribute.
func (u *uri) asks(name string) bool {
	_, ok := u.path[name]
	return ok
}
