package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// jwsEdits change parts of a JWS envelope that attributes do not reach.
type jwsEdits struct {
	// protected and header change the members of the protected and the unprotected
	// header.
	protected, header func(*object)
	// protectedText replaces the JSON of the protected header.
	protectedText string
	// encode makes the texts that are signed from the protected header and the
	// payload; nil means base64url without padding.
	encode func([]byte) string
	// input makes the bytes to be signed from those texts.
	input func(protected, payload string) []byte
	// envelope changes the members of the envelope, after signing.
	envelope func(*object)
}

// object is a JSON object with its members in order, some of them perhaps twice.
type object []member

type member struct {
	name  string
	value any
}

// set gives a member a value, and adds it if it is not there.
func (o *object) set(name string, value any) {
	for i := range *o {
		if (*o)[i].name == name {
			(*o)[i].value = value
			return
		}
	}
	o.add(name, value)
}

// add adds a member, whatever there is.
func (o *object) add(name string, value any) { *o = append(*o, member{name, value}) }

// get returns a member's value, which must be there and of type T.
func get[T any](o object, name string) T {
	for _, m := range o {
		if m.name == name {
			return m.value.(T)
		}
	}
	panic("no member " + name)
}

func (o *object) drop(name string) {
	kept := (*o)[:0]
	for _, m := range *o {
		if m.name != name {
			kept = append(kept, m)
		}
	}
	*o = kept
}

// rename gives a member another name.
func (o *object) rename(from, to string) {
	for i := range *o {
		if (*o)[i].name == from {
			(*o)[i].name = to
		}
	}
}

// MarshalJSON writes the members in their order. Raw values are not looked at,
// so that they may be invalid; then encode has to be called directly.
func (o object) MarshalJSON() ([]byte, error) { return o.encode(), nil }

func (o object) encode() []byte {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			out.WriteByte(',')
		}
		out.Write(jsonValue(m.name))
		out.WriteByte(':')
		out.Write(jsonValue(m.value))
	}
	out.WriteByte('}')
	return out.Bytes()
}

// jsonValue encodes what attributes and members may hold.
func jsonValue(value any) []byte {
	switch value := value.(type) {
	case encoded:
		return value
	case object:
		return value.encode()
	case time.Time:
		return jsonValue(value.Format(time.RFC3339))
	default:
		return must(json.Marshal(value))
	}
}

func base64URL(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// fromURL decodes a text that this program has encoded.
func fromURL(text string) []byte { return must(base64.RawURLEncoding.DecodeString(text)) }

// protectedJWS is the JSON of the protected header.
func (s *scene) protectedJWS() []byte {
	if s.jws.protectedText != "" {
		return []byte(s.jws.protectedText)
	}
	var header object
	for _, m := range []member{{"alg", s.suite.jws}, {"cty", s.contentType}} {
		if m.value != nil {
			header = append(header, m)
		}
	}
	if s.critical != nil {
		header.add("crit", s.critical)
	}
	for _, a := range s.attributes {
		header.add(a.key.(string), a.value)
	}
	if s.jws.protected != nil {
		s.jws.protected(&header)
	}
	return header.encode()
}

func (s *scene) encodeJWS() []byte {
	encode, input := s.jws.encode, s.jws.input
	if encode == nil {
		encode = base64URL
	}
	if input == nil {
		input = func(protected, payload string) []byte { return []byte(protected + "." + payload) }
	}
	protected, payload := encode(s.protectedJWS()), encode(s.payload)
	signature := s.sign(input(protected, payload))

	header := object{{"x5c", s.chain}}
	if s.token != nil {
		header.add(attrTimestamp, s.token(signature))
	}
	if s.agent != nil {
		header.add(attrAgent, s.agent)
	}
	if s.jws.header != nil {
		s.jws.header(&header)
	}
	envelope := object{{"payload", payload}, {"protected", protected}, {"header", header}, {"signature", base64URL(signature)}}
	if s.jws.envelope != nil {
		s.jws.envelope(&envelope)
	}
	return envelope.encode()
}

// padded pads a base64 text.
func padded(text string) string { return text + strings.Repeat("=", -len(text)&3) }
