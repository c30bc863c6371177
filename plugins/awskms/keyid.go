package awskms

import (
	"errors"
	"fmt"
	"strings"
)

const maxKeyID = 2048 // bytes, as KMS has it

// keyID is what a key id tells before KMS is asked.
type keyID struct {
	// region is that of an ARN, otherwise "".
	region string
}

// parseKeyID reads the four forms of a key id: key id, key ARN, alias name and
// alias ARN. A key id is not looked at closely, since KMS has had several kinds.
func parseKeyID(id string) (keyID, error) {
	const forms = `a key id looks like "1234abcd-12ab-34cd-56ef-1234567890ab", "alias/NAME", "arn:aws:kms:REGION:ACCOUNT:key/ID" or "arn:aws:kms:REGION:ACCOUNT:alias/NAME"`
	if len(id) > maxKeyID {
		return keyID{}, fmt.Errorf("longer than %d bytes", maxKeyID)
	}
	if !strings.HasPrefix(id, "arn:") {
		if strings.HasPrefix(id, "key/") || !plainName(strings.TrimPrefix(id, "alias/")) {
			return keyID{}, errors.New(forms)
		}
		return keyID{}, nil
	}
	parts := strings.SplitN(id, ":", 6) // arn, partition, service, region, account, resource
	if len(parts) != 6 || parts[2] != "kms" || !label(parts[1]) || !label(parts[3]) || !digits(parts[4]) {
		return keyID{}, fmt.Errorf("not the ARN of a KMS key: %s", forms)
	}
	kind, name, _ := strings.Cut(parts[5], "/")
	if (kind != "key" && kind != "alias") || !plainName(name) {
		return keyID{}, fmt.Errorf("%.100q is neither key/ID nor alias/NAME: %s", parts[5], forms)
	}
	return keyID{region: parts[3]}, nil
}

// plainName tells whether text has only what the ids and aliases of keys are made of.
func plainName(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '/'
	})
}

// label tells whether text is like the name of a region, which becomes part of
// a host name.
func label(text string) bool {
	return text != "" && len(text) <= 63 && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
}

func digits(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r < '0' || r > '9' })
}
