package protocol

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth bounds the nesting of a message. The deepest one of contract 1.0 has
// five levels; the rest is room for members not known yet.
const maxDepth = 64

var (
	marshalOptions = json.JoinOptions(
		json.Deterministic(true),
		json.WithMarshalers(json.MarshalToFunc(writeNumber)),
	)
	unmarshalOptions = json.WithUnmarshalers(json.UnmarshalFromFunc(readNumber))
)

// encode writes a message as one line of JSON: members in the order of the Go
// fields, maps sorted by key, lists and maps never null.
func encode(message any) ([]byte, error) {
	return json.Marshal(message, marshalOptions)
}

// decode reads one message strictly: exactly one JSON object and nothing after
// it, valid UTF-8, no member twice, member names by exact case, bounded nesting,
// every value of its member's type (null counts as absent). Unknown members are
// ignored, as the contract demands. Numbers in untyped places become
// encoding/json.Number, so that none loses digits.
func decode(data []byte, message any) error {
	if err := checkObject(data); err != nil {
		return err
	}
	return json.Unmarshal(data, message, unmarshalOptions)
}

// checkObject makes sure that data is one well-formed JSON object of bounded depth.
func checkObject(data []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(data))
	switch kind := d.PeekKind(); kind {
	case '{':
	case '}', ']', 0:
		if len(bytes.TrimSpace(data)) == 0 {
			return errors.New("no JSON at all")
		}
	default:
		return fmt.Errorf("not a JSON object but a %s", kindName(kind))
	}
	for {
		if _, err := d.ReadToken(); err != nil {
			return err
		}
		switch depth := d.StackDepth(); {
		case depth > maxDepth:
			return fmt.Errorf("JSON nested deeper than %d levels", maxDepth)
		case depth == 0:
			if _, err := d.ReadToken(); err != io.EOF {
				return errors.New("more text after the JSON object")
			}
			return nil
		}
	}
}

func kindName(kind jsontext.Kind) string {
	switch kind {
	case '"':
		return "string"
	case '0':
		return "number"
	case 't', 'f':
		return "boolean"
	case '[':
		return "list"
	}
	return kind.String()
}

// readNumber keeps a number met in an untyped place as its text.
func readNumber(d *jsontext.Decoder, value *any) error {
	if d.PeekKind() != '0' {
		return errors.ErrUnsupported
	}
	raw, err := d.ReadValue()
	*value = stdjson.Number(raw)
	return err
}

func writeNumber(e *jsontext.Encoder, number stdjson.Number) error {
	return e.WriteValue(jsontext.Value(number))
}

// ParseError reads the JSON that a failing plugin writes to stderr. At least one
// of its three members has to be present, an unknown or absent code is taken as
// [CodeGeneric] (plugin-extensibility.md, Plugin contract).
func ParseError(data []byte) (*Error, error) {
	var e Error
	if err := decode(data, &e); err != nil {
		return nil, err
	}
	if e.Code == "" && e.Message == "" && e.Metadata == nil {
		return nil, errors.New("none of errorCode, errorMessage and errorMetadata present")
	}
	if !e.Code.Known() {
		e.Code = CodeGeneric
	}
	return &e, nil
}
