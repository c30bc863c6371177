package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/protocol"
)

// jwsAlgorithms pairs the algorithms with their JWS names.
var jwsAlgorithms = []struct {
	name      string
	algorithm protocol.SignatureAlgorithm
}{
	{"PS256", protocol.AlgorithmPSS256}, {"PS384", protocol.AlgorithmPSS384}, {"PS512", protocol.AlgorithmPSS512},
	{"ES256", protocol.AlgorithmECDSA256}, {"ES384", protocol.AlgorithmECDSA384}, {"ES512", protocol.AlgorithmECDSA512},
}

// Base64 without line breaks and without stray bits at the end. The decoders
// pass over line breaks by themselves, so decodeBase64 looks for them.
var (
	base64URL = base64.RawURLEncoding.Strict()
	base64Std = base64.StdEncoding.Strict()
)

var errLineBreak = errors.New("base64 text contains a line break")

// jwsMessage is the JSON of a JWS envelope, values still encoded where the
// signature covers the encoding.
type jwsMessage struct {
	payload, protected, signature []byte // base64url texts, nil when absent
	headerSeen                    bool
	chain                         [][]byte
	timestamp                     []byte
	agent                         string
}

func (p *Parser) parseJWS(data []byte) (*Envelope, error) {
	var m jwsMessage
	if err := m.read(data); err != nil {
		return nil, &SyntaxError{MediaTypeJWS, err}
	}
	e := &Envelope{MediaType: MediaTypeJWS, Timestamp: m.timestamp, Agent: m.agent, signedHeader: m.protected, signedPayload: m.payload}
	protected, err := decodeBase64(base64URL, m.protected)
	if err != nil {
		return nil, &SyntaxError{MediaTypeJWS, fmt.Errorf("protected header: %w", err)}
	}
	if e.Payload, err = decodeBase64(base64URL, m.payload); err != nil {
		return nil, &SyntaxError{MediaTypeJWS, fmt.Errorf("payload: %w", err)}
	}
	if e.Signature, err = decodeBase64(base64URL, m.signature); err != nil {
		return nil, &SyntaxError{MediaTypeJWS, fmt.Errorf("signature: %w", err)}
	}
	if len(e.Signature) == 0 {
		return nil, invalid("signature missing in jws-json envelope")
	}
	if len(e.Payload) == 0 {
		return nil, invalid("content not present")
	}
	if err := parseJWSHeader(protected, e); err != nil {
		return nil, err
	}
	if e.Certificates, err = p.certificates(m.chain); err != nil {
		return nil, err
	}
	return e, nil
}

func decodeBase64(encoding *base64.Encoding, text []byte) ([]byte, error) {
	if bytes.ContainsAny(text, "\r\n") {
		return nil, errLineBreak
	}
	out := make([]byte, encoding.DecodedLen(len(text)))
	n, err := encoding.Decode(out, text)
	return out[:n], err
}

// jsonReader reads the members of JSON objects: names unique, text in UTF-8,
// nothing after the value.
type jsonReader struct {
	*jsontext.Decoder
	data []byte
}

// decoders are used again: what a decoder keeps of the names it has seen is half
// the cost of reading a small envelope.
var decoders = sync.Pool{New: func() any { return jsontext.NewDecoder(bytes.NewBuffer(nil)) }}

// maxQuotes bounds the quotation marks in the JSON of an envelope, two a string.
// A reader remembers every name it has seen: millions of them, which fit into
// MaxSize, would take many times that memory. Real envelopes have some fifty.
const maxQuotes = 1 << 15

// newJSONReader returns a reader of data, to be released after use. The error says
// that data has too many strings.
func newJSONReader(data []byte) (jsonReader, error) {
	if bytes.Count(data, []byte{'"'}) > maxQuotes {
		return jsonReader{}, fmt.Errorf("it has more than %d strings", maxQuotes/2)
	}
	decoder := decoders.Get().(*jsontext.Decoder)
	decoder.Reset(bytes.NewBuffer(data))
	return jsonReader{decoder, data}, nil
}

// release ends the use of the reader.
func (r jsonReader) release() {
	r.Reset(bytes.NewBuffer(nil)) // lets go of data
	decoders.Put(r.Decoder)
}

// members calls do with the name of each member of the object that comes next;
// do reads the value.
func (r jsonReader) members(do func(name string) error) error {
	if r.PeekKind() != jsontext.KindBeginObject {
		return r.unexpected("an object")
	}
	if _, err := r.ReadToken(); err != nil {
		return err
	}
	for r.PeekKind() != jsontext.KindEndObject {
		name, err := r.ReadToken()
		if err != nil {
			return err
		}
		if err := do(name.String()); err != nil {
			return err
		}
	}
	_, err := r.ReadToken()
	return err
}

// unexpected reports a value that is not of the type that belongs there, or the
// syntax error that hides behind it.
func (r jsonReader) unexpected(want string) error {
	if err := r.SkipValue(); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return fmt.Errorf("%s is not %s", r.place(), want)
}

// place names the value just read.
func (r jsonReader) place() string {
	if pointer := r.StackPointer(); pointer != "" {
		return fmt.Sprintf("%q", string(pointer))
	}
	return "the JSON value"
}

// text reads a string and returns its contents, without a copy where the JSON
// has no escapes.
func (r jsonReader) text() ([]byte, error) {
	if r.PeekKind() != jsontext.KindString {
		return nil, r.unexpected("a string")
	}
	value, err := r.ReadValue()
	if err != nil {
		return nil, err
	}
	if bytes.IndexByte(value, '\\') >= 0 {
		return jsontext.AppendUnquote([]byte{}, value)
	}
	end := int(r.InputOffset())
	return r.data[end-len(value)+1 : end-1], nil
}

// end checks that nothing follows.
func (r jsonReader) end() error {
	if _, err := r.ReadToken(); err != io.EOF {
		if err == nil {
			err = errors.New("data after the end of the JSON value")
		}
		return err
	}
	return nil
}

func (m *jwsMessage) read(data []byte) error {
	r, err := newJSONReader(data)
	if err != nil {
		return err
	}
	defer r.release()
	err = r.members(func(name string) (err error) {
		switch name {
		case "payload":
			m.payload, err = r.text()
		case "protected":
			m.protected, err = r.text()
		case "signature":
			m.signature, err = r.text()
		case "header":
			m.headerSeen = true
			err = r.members(func(name string) error { return m.readUnprotected(r, name) })
		default:
			err = fmt.Errorf("unknown member %q: only payload, protected, header and signature are allowed", name)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, member := range []struct {
		name string
		seen bool
	}{{"payload", m.payload != nil}, {"protected", m.protected != nil}, {"header", m.headerSeen}, {"signature", m.signature != nil}} {
		if !member.seen {
			return fmt.Errorf("member %q is missing", member.name)
		}
	}
	return r.end()
}

// readUnprotected reads one unprotected header and passes over unknown ones.
func (m *jwsMessage) readUnprotected(r jsonReader, name string) (err error) {
	kind := r.PeekKind()
	switch {
	case name == attrTimestamp && kind != jsontext.KindNull:
		var text []byte
		if text, err = r.text(); err != nil || len(text) == 0 {
			return err
		}
		if m.timestamp, err = decodeBase64(base64Std, text); err != nil {
			return fmt.Errorf("%s: %w", attrTimestamp, err)
		}
		return nil
	case name == "x5c" && kind != jsontext.KindNull:
		return m.readChain(r)
	case name == attrAgent && kind == jsontext.KindString:
		agent, err := r.text()
		m.agent = string(agent)
		return err
	}
	if err := checkVariant(name, "x5c", attrTimestamp, attrAgent); err != nil {
		return err
	}
	return r.SkipValue()
}

func (m *jwsMessage) readChain(r jsonReader) error {
	if r.PeekKind() != jsontext.KindBeginArray {
		return r.unexpected("an array")
	}
	if _, err := r.ReadToken(); err != nil {
		return err
	}
	m.chain = make([][]byte, 0, 4)
	for r.PeekKind() != jsontext.KindEndArray {
		text, err := r.text()
		if err != nil {
			return err
		}
		if len(m.chain) > pki.MaxChainLength {
			return fmt.Errorf("x5c has more than %d certificates", pki.MaxChainLength)
		}
		der, err := decodeBase64(base64Std, text)
		if err != nil {
			return fmt.Errorf("x5c: %w", err)
		}
		m.chain = append(m.chain, der)
	}
	_, err := r.ReadToken()
	return err
}

// parseJWSHeader reads the JSON of a protected header into e.
func parseJWSHeader(data []byte, e *Envelope) error {
	h := header{format: FormatJWS}
	var alg string
	r, err := newJSONReader(data)
	if err != nil {
		return invalid("jws envelope protected header can't be decoded: %v", err)
	}
	defer r.release()
	err = r.members(func(name string) (err error) {
		switch name {
		case "alg":
			alg, err = r.str()
		case "cty":
			h.contentType, err = r.str()
		case "crit":
			err = r.criticalNames(&h)
		case attrScheme:
			h.scheme, err = r.str()
		case attrSigningTime:
			h.signingTime, err = r.time()
		case attrAuthenticTime:
			h.authenticTime, err = r.time()
		case attrExpiry:
			h.expiry, err = r.time()
		default:
			err = r.extended(&h, name)
		}
		return err
	})
	if err == nil {
		err = r.end()
	}
	if err != nil {
		if _, ok := errors.AsType[*InvalidError](err); ok {
			return err
		}
		return invalid("jws envelope protected header can't be decoded: %v", err)
	}
	for _, a := range jwsAlgorithms {
		if a.name == alg {
			h.algorithm = a.algorithm
		}
	}
	if h.algorithm == "" {
		return invalid("signature algorithm %q is not supported", alg)
	}
	return h.fill(e)
}

func (r jsonReader) str() (string, error) {
	text, err := r.text()
	return string(text), err
}

// time reads an RFC 3339 time.
func (r jsonReader) time() (*time.Time, error) {
	text, err := r.text()
	if err != nil {
		return nil, err
	}
	var t time.Time
	// The parser of package time also takes a comma and an hour of one digit.
	strict := len(text) >= len("2006-01-02T15:04:05Z") && text[13] == ':' && bytes.IndexByte(text, ',') < 0
	if err := t.UnmarshalText(text); err != nil || !strict || !inRange(t.UTC()) {
		return nil, fmt.Errorf("%s is not an RFC 3339 time", r.place())
	}
	t = t.UTC()
	return &t, nil
}

func (r jsonReader) criticalNames(h *header) error {
	if r.PeekKind() != jsontext.KindBeginArray {
		return r.unexpected("an array")
	}
	if _, err := r.ReadToken(); err != nil {
		return err
	}
	h.criticalPresent = true
	h.critical = make([]any, 0, 4)
	for r.PeekKind() != jsontext.KindEndArray {
		name, err := r.str()
		if err != nil {
			return err
		}
		if len(h.critical) == maxAttributes {
			return fmt.Errorf("crit has more than %d names", maxAttributes)
		}
		h.critical = append(h.critical, name)
	}
	_, err := r.ReadToken()
	return err
}

// extended reads an attribute that has no field in header.
func (r jsonReader) extended(h *header, name string) error {
	if err := checkVariant(name, "alg", "cty", "crit"); err != nil {
		return err
	}
	if err := checkVariant(name, variants...); err != nil {
		return err
	}
	if len(h.extended) == maxAttributes {
		return fmt.Errorf("it has more than %d extended attributes", maxAttributes)
	}
	value, err := r.value()
	if err != nil {
		return err
	}
	h.extended = append(h.extended, Attribute{Key: name, Value: value})
	return nil
}

// value reads any value the way Attribute documents.
func (r jsonReader) value() (any, error) {
	switch r.PeekKind() {
	case jsontext.KindString:
		return r.str()
	case jsontext.KindNumber:
		value, err := r.ReadValue()
		return json.Number(value), err
	case jsontext.KindTrue, jsontext.KindFalse:
		token, err := r.ReadToken()
		if err != nil {
			return nil, err
		}
		return token.Bool(), nil
	case jsontext.KindNull:
		return nil, r.SkipValue()
	}
	value, err := r.ReadValue()
	return RawValue(bytes.Clone(value)), err
}

// jwsSigningInput is what a JWS signature covers (RFC 7515, section 5.1).
func jwsSigningInput(protected, payload []byte) []byte {
	out := make([]byte, 0, len(protected)+1+len(payload))
	out = append(out, protected...)
	out = append(out, '.')
	return append(out, payload...)
}
