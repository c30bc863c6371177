package envelope

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signet-project/signet/host/semver"
	"github.com/signet-project/signet/protocol"
)

// header collects the signed attributes of either format; fill applies the
// rules the formats have in common.
type header struct {
	algorithm   protocol.SignatureAlgorithm
	contentType string
	scheme      string
	// Times are nil when absent.
	signingTime, authenticTime, expiry *time.Time
	// critical lists the names marked critical; criticalPresent tells an empty
	// list from none.
	critical        []any
	criticalPresent bool
	// extended are all attributes without a field above.
	extended []Attribute
	// chain is the certificate chain that a COSE header may protect.
	chain [][]byte
	// format decides which names may be critical, and the words of messages.
	format Format
}

// isSystem tells the attributes that have a field in header.
func isSystem(name string) bool {
	switch name {
	case attrScheme, attrSigningTime, attrAuthenticTime, attrExpiry:
		return true
	}
	return false
}

// variants are the names whose case variants are refused: another parser could
// take one for the name itself.
var variants = []string{attrScheme, attrSigningTime, attrAuthenticTime, attrExpiry, attrPlugin, attrPluginMinVersion}

// checkVariant refuses an unknown name that differs from a known one by case
// alone.
func checkVariant(name string, known ...string) error {
	for _, k := range known {
		if len(name) <= 2*len(k) && name != k && strings.EqualFold(name, k) {
			return invalid("unknown name %q: it must be written %q", name, k)
		}
	}
	return nil
}

// fill moves the collected attributes into an envelope, or says which rule they
// break (signature-specification.md, "Signed Attributes").
func (h *header) fill(e *Envelope) error {
	if err := h.checkScheme(); err != nil {
		return err
	}
	if err := h.checkCritical(); err != nil {
		return err
	}
	if h.contentType != MediaTypePayload {
		return invalid("payload content type %q not supported", h.contentType)
	}
	e.ContentType, e.Algorithm, e.Scheme = h.contentType, h.algorithm, Scheme(h.scheme)
	if err := h.fillTimes(e); err != nil {
		return err
	}
	return h.fillExtended(e)
}

// checkScheme checks that the scheme is known and has its own time alone.
func (h *header) checkScheme() error {
	wanted, other := h.signingTime, h.authenticTime
	wantedName, otherName := attrSigningTime, attrAuthenticTime
	switch Scheme(h.scheme) {
	case SchemeX509:
	case SchemeSigningAuthority:
		wanted, other = other, wanted
		wantedName, otherName = otherName, wantedName
	default:
		return invalid("unsupported SigningScheme: `%s`", h.scheme)
	}
	if other != nil {
		return invalid("%q header must not be present for %s signing scheme", otherName, h.scheme)
	}
	if wanted == nil {
		return invalid("%q header must be present for %s signing scheme", wantedName, h.scheme)
	}
	return nil
}

// required lists the system attributes that must be critical.
func (h *header) required() []string {
	names := make([]string, 1, 3)
	names[0] = attrScheme
	if h.authenticTime != nil {
		names = append(names, attrAuthenticTime)
	}
	if h.expiry != nil {
		names = append(names, attrExpiry)
	}
	return names
}

// checkCritical checks the list of critical names against the attributes, both
// ways, and marks the extended ones it names.
func (h *header) checkCritical() error {
	if len(h.critical) == 0 && h.format == FormatJWS {
		return invalid(`missing "crit" header`)
	}
	if len(h.critical) == 0 && h.criticalPresent {
		return invalid("empty crit header")
	}
	missing := h.required()
	for i, key := range h.critical {
		name, _ := key.(string)
		if at := slices.Index(missing, name); at >= 0 {
			missing = slices.Delete(missing, at, at+1)
			continue
		}
		if err := h.checkCriticalKey(key, h.critical[:i]); err != nil {
			return err
		}
	}
	if len(missing) > 0 {
		return invalid("these required headers are not marked as critical: %v", missing)
	}
	return nil
}

// checkCriticalKey checks a critical name that is none of those still required:
// it has to be an extended attribute, named once.
func (h *header) checkCriticalKey(key any, before []any) error {
	absent := func() error {
		if h.format == FormatJWS {
			return invalid("%q header is marked critical but not present", key)
		}
		return invalid("missing critical header: %v", key)
	}
	for _, k := range before {
		if k != key {
			continue
		}
		if name, ok := key.(string); ok && isSystem(name) && h.format == FormatJWS {
			return absent()
		}
		return invalid("header %v is marked critical more than once", quoted(key))
	}
	if label, ok := key.(int64); ok && label >= 0 && label <= 8 {
		return invalid("header %d must not be marked critical", label)
	}
	if name, ok := key.(string); ok && h.format == FormatJWS {
		switch name {
		case "alg", "cty", "crit":
			return absent()
		case "jku", "jwk", "kid", "x5u", "x5c", "x5t", "x5t#S256", "typ", "b64":
			return invalid("header %q must not be marked critical", name)
		}
	}
	if key == labelX5Chain && h.chain != nil {
		return nil
	}
	if key == attrSigningTime && h.signingTime != nil && h.format == FormatCOSE {
		return invalid("header %q must not be marked critical", key)
	}
	for i := range h.extended {
		if h.extended[i].Key == key {
			h.extended[i].Critical = true
			return nil
		}
	}
	return absent()
}

// quoted renders an attribute's key for a message.
func quoted(key any) string {
	if name, ok := key.(string); ok {
		return fmt.Sprintf("%q", name)
	}
	return fmt.Sprint(key)
}

func (h *header) fillTimes(e *Envelope) error {
	signing := h.signingTime
	if signing == nil {
		signing = h.authenticTime
	}
	e.SigningTime = *signing
	if h.expiry != nil {
		e.Expiry = *h.expiry
	}
	return checkTimes(e.SigningTime, e.Expiry, h.expiry != nil)
}

// inRange tells the times that RFC 3339 can write.
func inRange(t time.Time) bool { return t.Year() >= 1 && t.Year() <= 9999 }

// checkTimes holds when signing and when reading.
func checkTimes(signing, expiry time.Time, expires bool) error {
	if signing.IsZero() {
		return invalid("signing-time not present")
	}
	if expires && !expiry.After(signing) {
		return invalid("expiry cannot be equal or before the signing time")
	}
	return nil
}

// fillExtended sets the plugin attributes apart from the other extended ones.
func (h *header) fillExtended(e *Envelope) error {
	kept := h.extended[:0]
	for _, attribute := range h.extended {
		var err error
		switch attribute.Key {
		case attrPlugin:
			e.VerificationPlugin, err = pluginAttribute(attribute)
		case attrPluginMinVersion:
			e.VerificationPluginMinVersion, err = minVersionAttribute(attribute)
		default:
			kept = append(kept, attribute)
		}
		if err != nil {
			return err
		}
	}
	if len(kept) > 0 {
		e.Extended = kept
	}
	return nil
}

// pluginAttribute reads one of the attributes that name the verification
// plugin: a critical string that is not blank.
func pluginAttribute(a Attribute) (string, error) {
	value, ok := a.Value.(string)
	switch {
	case !a.Critical:
		return "", invalid("%v is not a critical Extended attribute", a.Key)
	case !ok:
		return "", invalid("%v from extended attribute is not a string", a.Key)
	case strings.TrimSpace(value) == "":
		return "", invalid("%v from extended attribute is an empty string", a.Key)
	}
	return value, nil
}

// minVersionAttribute reads the attribute with the version that the verification
// plugin must have at least.
func minVersionAttribute(a Attribute) (string, error) {
	version, err := pluginAttribute(a)
	if err != nil {
		return version, err
	}
	if _, err := semver.Parse(version); err != nil {
		return version, invalid("%v from extended attribute is not a valid SemVer", a.Key)
	}
	return version, nil
}
