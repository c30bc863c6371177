package envelope

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"

	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/protocol"
)

// DraftOptions says what an envelope shall claim.
type DraftOptions struct {
	// Payload is the payload's JSON (MarshalPayload). It is signed as it is.
	Payload []byte
	// Suite belongs to the key that will sign.
	Suite protocol.Suite
	// Scheme is SchemeX509 when empty.
	Scheme Scheme
	// SigningTime is written in UTC, cut to seconds. Under SchemeSigningAuthority it
	// is the authentic signing time.
	SigningTime time.Time
	// Expiry is zero for a signature that never expires; cut to seconds.
	Expiry time.Time
	// Extended are further signed attributes, the plugin attributes included.
	Extended []Attribute
}

// Draft is an envelope that waits for its signature.
type Draft struct {
	mediaType       string
	suite           protocol.Suite
	scheme          Scheme
	header, payload []byte // as Envelope.signedHeader and signedPayload
}

// SealOptions is what an envelope has besides what its signature covers.
type SealOptions struct {
	// Signature is over Draft.SigningInput, r‖s for ECDSA.
	Signature []byte
	// Chain is the certificate chain, leaf first and root last.
	Chain []*x509.Certificate
	// Timestamp is an RFC 3161 TimeStampToken over Signature, nil for none. Only
	// SchemeX509 takes one.
	Timestamp []byte
	// Agent names the signing software as name/version tokens; omitted when empty.
	Agent string
}

// NewDraft makes the signed part of an envelope, byte for byte as the reference
// implementation does, and holds it to the rules that Parse applies. Errors:
// *UnsupportedError for the media type, *InvalidError for what the options ask.
func NewDraft(mediaType string, opts DraftOptions) (*Draft, error) {
	if opts.Scheme == "" {
		opts.Scheme = SchemeX509
	}
	opts.SigningTime = opts.SigningTime.UTC().Truncate(time.Second)
	opts.Expiry = opts.Expiry.UTC().Truncate(time.Second)
	if err := opts.check(); err != nil {
		return nil, err
	}
	d := &Draft{mediaType: mediaType, suite: opts.Suite, scheme: opts.Scheme}
	var err error
	switch mediaType {
	case MediaTypeJWS:
		err = d.draftJWS(opts)
	case MediaTypeCOSE:
		err = d.draftCOSE(opts)
	default:
		err = &UnsupportedError{mediaType}
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// check covers what the two formats have in common.
func (o *DraftOptions) check() error {
	switch {
	case len(o.Payload) == 0:
		return invalid("content not present")
	case o.Suite.Algorithm == "":
		return invalid("signing key is not supported")
	case o.Scheme != SchemeX509 && o.Scheme != SchemeSigningAuthority:
		return invalid("unsupported SigningScheme: `%s`", o.Scheme)
	case len(o.Extended) > maxAttributes/2:
		return invalid("%d extended attributes are too many: at most %d are allowed", len(o.Extended), maxAttributes/2)
	case !inRange(o.SigningTime) || !inRange(o.Expiry):
		return invalid("times must lie in the years 1 to 9999")
	}
	return checkTimes(o.SigningTime, o.Expiry, !o.Expiry.IsZero())
}

// timeAttribute is the name of the scheme's signing time.
func (o *DraftOptions) timeAttribute() string {
	if o.Scheme == SchemeSigningAuthority {
		return attrAuthenticTime
	}
	return attrSigningTime
}

func (d *Draft) draftJWS(opts DraftOptions) error {
	alg := ""
	for _, a := range jwsAlgorithms {
		if a.algorithm == opts.Suite.Algorithm {
			alg = a.name
		}
	}
	protected := map[string]any{
		"alg": alg, "cty": MediaTypePayload, attrScheme: opts.Scheme,
		opts.timeAttribute(): opts.SigningTime.Format(time.RFC3339),
	}
	crit := []string{attrScheme}
	if !opts.Expiry.IsZero() {
		protected[attrExpiry] = opts.Expiry.Format(time.RFC3339)
	}
	protected["crit"] = nil
	for _, attribute := range opts.Extended {
		name, ok := attribute.Key.(string)
		if !ok {
			return invalid("JWS envelope format only supports key of type string")
		}
		if _, exists := protected[name]; exists || isSystem(name) {
			return invalid("attribute key:%s repeated", name)
		}
		value, err := jsonValue(attribute.Value)
		if err != nil || !utf8.ValidString(name) {
			return invalid("attribute %q cannot be written as JSON", name)
		}
		protected[name] = value
		if attribute.Critical {
			crit = append(crit, name)
		}
	}
	if opts.Scheme == SchemeSigningAuthority {
		crit = append(crit, attrAuthenticTime)
	}
	if !opts.Expiry.IsZero() {
		crit = append(crit, attrExpiry)
	}
	protected["crit"] = crit
	// Members come out sorted, and <, > and & escaped.
	text, err := json.Marshal(protected)
	if err != nil {
		return invalid("the protected header cannot be written as JSON: %v", err)
	}
	if err := parseJWSHeader(text, new(Envelope)); err != nil {
		return err
	}
	d.header = base64.RawURLEncoding.AppendEncode(nil, text)
	d.payload = base64.RawURLEncoding.AppendEncode(nil, opts.Payload)
	return nil
}

func (d *Draft) draftCOSE(opts DraftOptions) error {
	protected := map[any]any{
		labelContentType:     MediaTypePayload,
		attrScheme:           string(opts.Scheme),
		opts.timeAttribute(): epoch(opts.SigningTime),
	}
	for _, a := range coseAlgorithms {
		if a.algorithm == opts.Suite.Algorithm {
			protected[labelAlgorithm] = a.number
		}
	}
	crit := []any{attrScheme}
	if opts.Scheme == SchemeSigningAuthority {
		crit = append(crit, attrAuthenticTime)
	}
	if !opts.Expiry.IsZero() {
		protected[attrExpiry] = epoch(opts.Expiry)
		crit = append(crit, attrExpiry)
	}
	protected[labelCritical] = nil
	for _, attribute := range opts.Extended {
		label, err := writableLabel(attribute.Key)
		if err != nil {
			return err
		}
		if _, exists := protected[label]; exists || label == labelX5Chain || label == attrSigningTime || label == attrAuthenticTime || label == attrExpiry {
			return invalid("%s already exists in the protected header", quoted(label))
		}
		value, err := cborValue(attribute.Value)
		if err != nil {
			return invalid("attribute %s cannot be written as CBOR", quoted(label))
		}
		protected[label] = value
		if attribute.Critical {
			crit = append(crit, label)
		}
	}
	protected[labelCritical] = crit
	encoded, err := deterministicCBOR.Marshal(protected)
	if err != nil {
		return invalid("the protected header cannot be written as CBOR: %v", err)
	}
	if err := strictCBOR.Wellformed(encoded); err != nil {
		return invalid("the protected header cannot be read back: %v", err)
	}
	if _, err := parseCOSEHeader(&Envelope{signedHeader: encoded}); err != nil {
		return err
	}
	d.header, d.payload = encoded, opts.Payload
	return nil
}

// epoch is a time in COSE: tag 1 around whole seconds.
func epoch(t time.Time) cbor.Tag { return cbor.Tag{Number: 1, Content: t.Unix()} }

func writableLabel(key any) (any, error) {
	switch label := key.(type) {
	case string:
		if utf8.ValidString(label) {
			return label, nil
		}
	case int64:
		return label, nil
	case int:
		return int64(label), nil
	}
	return nil, invalid("attribute key %v is neither a text string nor an integer", key)
}

var errValue = errors.New("value of a type that cannot be written")

// jsonValue accepts the values that Attribute documents.
func jsonValue(value any) (any, error) {
	switch v := value.(type) {
	case string:
		if utf8.ValidString(v) {
			return v, nil
		}
	case nil, bool, int, int64, uint64, float64, json.Number:
		return v, nil
	case RawValue:
		return json.RawMessage(v), nil
	}
	return nil, errValue
}

// cborValue accepts the values that Attribute documents.
func cborValue(value any) (any, error) {
	switch v := value.(type) {
	case string:
		if utf8.ValidString(v) {
			return v, nil
		}
	case nil, bool, int, int64, uint64:
		return v, nil
	case float64:
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			return v, nil
		}
	case json.Number:
		return cborNumber(string(v))
	case RawValue:
		return cbor.RawMessage(v), strictCBOR.Wellformed(v)
	}
	return nil, errValue
}

// cborNumber writes a whole number of up to 64 bits as an integer and any other
// as a float.
func cborNumber(text string) (any, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	if n, ok := new(big.Int).SetString(text, 10); ok {
		// The one negative number of 64 bits below int64, or a positive one.
		if n.Sign() > 0 && n.IsUint64() {
			return n.Uint64(), nil
		}
		if m := new(big.Int).Not(n); n.Sign() < 0 && m.IsUint64() {
			return cbor.RawMessage(appendHead(nil, majorNegative, m.Uint64())), nil
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// SigningInput returns the bytes to sign: the JWS signing input or the COSE
// Sig_structure.
func (d *Draft) SigningInput() []byte {
	if d.mediaType == MediaTypeJWS {
		return jwsSigningInput(d.header, d.payload)
	}
	return coseSigningInput(d.header, d.payload)
}

// Seal writes the envelope. It checks that signature, chain and draft belong to
// one algorithm, not that the signature verifies: parse and verify what it
// returns. Errors are *InvalidError.
func (d *Draft) Seal(opts SealOptions) ([]byte, error) {
	if err := d.checkSeal(opts); err != nil {
		return nil, err
	}
	chain := make([][]byte, len(opts.Chain))
	for i, cert := range opts.Chain {
		chain[i] = cert.Raw
	}
	if d.mediaType == MediaTypeJWS {
		return d.sealJWS(opts, chain)
	}
	return d.sealCOSE(opts, chain)
}

func (d *Draft) checkSeal(opts SealOptions) error {
	if len(opts.Chain) == 0 {
		return invalid("certificate chain is not present")
	}
	if len(opts.Chain) > pki.MaxChainLength {
		return invalid("certificate chain has %d certificates: at most %d are allowed", len(opts.Chain), pki.MaxChainLength)
	}
	suite, err := protocol.SuiteForKey(opts.Chain[0].PublicKey)
	if err != nil {
		return invalid("%v", err)
	}
	if suite.Algorithm != d.suite.Algorithm {
		return invalid("mismatch between signature algorithm derived from signing certificate (%s) and signing algorithm specified (%s)", suite.Algorithm, d.suite.Algorithm)
	}
	if len(opts.Signature) != suite.SignatureSize() {
		return invalid("the signature has %d bytes, %s has %d", len(opts.Signature), suite.Algorithm, suite.SignatureSize())
	}
	if len(opts.Timestamp) > 0 && d.scheme != SchemeX509 {
		return invalid("a timestamp goes only with signing scheme %s", SchemeX509)
	}
	if !utf8.ValidString(opts.Agent) {
		return invalid("the signing agent is not valid UTF-8")
	}
	return nil
}

// jwsEnvelope is a JWS envelope in the order of its members.
type jwsEnvelope struct {
	Payload   string    `json:"payload"`
	Protected string    `json:"protected"`
	Header    jwsHeader `json:"header"`
	Signature string    `json:"signature"`
}

type jwsHeader struct {
	Timestamp []byte   `json:"io.cncf.notary.timestampSignature,omitempty"`
	Chain     [][]byte `json:"x5c"`
	Agent     string   `json:"io.cncf.notary.signingAgent,omitempty"`
}

func (d *Draft) sealJWS(opts SealOptions, chain [][]byte) ([]byte, error) {
	out, err := json.Marshal(jwsEnvelope{
		Payload:   string(d.payload),
		Protected: string(d.header),
		Header:    jwsHeader{Timestamp: opts.Timestamp, Chain: chain, Agent: opts.Agent},
		Signature: base64.RawURLEncoding.EncodeToString(opts.Signature),
	})
	if err != nil {
		return nil, fmt.Errorf("writing the jws envelope: %w", err)
	}
	return out, nil
}

func (d *Draft) sealCOSE(opts SealOptions, chain [][]byte) ([]byte, error) {
	unprotected := map[any]any{labelX5Chain: chain}
	if opts.Agent != "" {
		unprotected[attrAgent] = opts.Agent
	}
	if len(opts.Timestamp) > 0 {
		unprotected[attrTimestamp] = opts.Timestamp
	}
	middle, err := deterministicCBOR.Marshal(unprotected)
	if err != nil {
		return nil, fmt.Errorf("writing the cose envelope: %w", err)
	}
	out := append([]byte(nil), coseTag...)
	out = appendBytes(out, d.header)
	out = append(out, middle...)
	out = appendBytes(out, d.payload)
	return appendBytes(out, opts.Signature), nil
}
