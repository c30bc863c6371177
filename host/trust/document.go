package trust

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// MalformedPolicyError says that a policy file is not the JSON it should be (TP-03).
type MalformedPolicyError struct {
	// Err tells what is wrong and where; nil when the text of Error says it all.
	Err error
}

// Error begins with the text that scripts know and ends with the reason.
func (e *MalformedPolicyError) Error() string {
	if e.Err == nil {
		return "malformed trust policy. To create a trust policy, see: " + quickstart
	}
	return fmt.Sprintf("malformed trust policy. To create a trust policy, see: %s (%v)", quickstart, e.Err)
}

// Unwrap returns the reason.
func (e *MalformedPolicyError) Unwrap() error { return e.Err }

// object reads the members of one JSON object. Names are matched without regard
// to case (TP-33); a member that nobody takes is unknown. The first mistake
// stays in err, so that a caller may take all members and look once.
type object struct {
	path    string // where the object is in the document, for messages
	members []member
	err     *error // shared by the objects of one document
}

type member struct {
	name  string
	value jsontext.Value
	taken bool
}

// readDocument checks that data is one JSON value without repeated names, and
// returns it as an object.
func readDocument(data []byte) (*object, error) {
	decoder := jsontext.NewDecoder(bytes.NewReader(data))
	value, err := decoder.ReadValue()
	if err == nil {
		value = value.Clone()
		if _, err = decoder.ReadToken(); err == io.EOF {
			err = nil
		} else if err == nil {
			err = errors.New("more text follows the document")
		}
	}
	if err != nil {
		return nil, explainSyntax(err, data)
	}
	root := &object{err: new(error)}
	root.read(value)
	return root, *root.err
}

// explainSyntax turns a reader's error into a place and a reason.
func explainSyntax(err error, data []byte) error {
	if errors.Is(err, io.EOF) {
		return errors.New("the document is empty")
	}
	syntax, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok {
		return err
	}
	before := data[:min(int(syntax.ByteOffset), len(data))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n')
	reason := strings.TrimPrefix(syntax.Err.Error(), "jsontext: ")
	return fmt.Errorf("line %d, column %d: %s", line, column, reason)
}

// fail keeps the first mistake of a document.
func (o *object) fail(format string, args ...any) {
	if *o.err == nil {
		*o.err = fmt.Errorf(format, args...)
	}
}

// at is the path of a member.
func (o *object) at(name string) string {
	if o.path == "" {
		return name
	}
	return o.path + "." + name
}

// read splits a value into members. The value was checked by readDocument.
func (o *object) read(value jsontext.Value) {
	if value.Kind() != '{' {
		where := o.path
		if where == "" {
			where = "the document"
		}
		o.fail("%s must be an object, not %s", where, kindName(value))
		return
	}
	decoder := jsontext.NewDecoder(bytes.NewReader(value))
	decoder.ReadToken() // the opening brace
	for decoder.PeekKind() == '"' {
		name, err := decoder.ReadToken()
		if err != nil {
			o.fail("%s: %v", o.path, err)
			return
		}
		text := name.String()
		value, err := decoder.ReadValue()
		if err != nil {
			o.fail("%s: %v", o.at(text), err)
			return
		}
		o.members = append(o.members, member{name: text, value: value.Clone()})
	}
}

// take returns the value of a member, or nil when it is absent.
func (o *object) take(name string) jsontext.Value {
	var found *member
	for i := range o.members {
		m := &o.members[i]
		if !strings.EqualFold(m.name, name) {
			continue
		}
		if found != nil {
			o.fail("%s is given twice, as %q and as %q: remove one", o.at(name), found.name, m.name)
		}
		found = m
		m.taken = true
	}
	if found == nil {
		return nil
	}
	return found.value
}

// unknown lists the members that nobody took, in their order.
func (o *object) unknown() []string {
	var names []string
	for _, m := range o.members {
		if !m.taken {
			names = append(names, m.name)
		}
	}
	return names
}

// text takes a string; "" when absent or null.
func (o *object) text(name string) string {
	return take[string](o, name, '"', "a string")
}

// flag takes a boolean; false when absent or null.
func (o *object) flag(name string) bool {
	return take[bool](o, name, 't', "true or false")
}

// texts takes an array of strings; nil when absent or null.
func (o *object) texts(name string) []string {
	var out []string
	for i, value := range o.array(name) {
		if value.Kind() != '"' {
			o.fail("%s[%d] must be a string, not %s", o.at(name), i, kindName(value))
			return nil
		}
		out = append(out, stringOf(value))
	}
	return out
}

// textMap takes an object whose members are strings; nil when absent or null.
func (o *object) textMap(name string) map[string]string {
	child := o.child(name)
	if child == nil {
		return nil
	}
	out := make(map[string]string, len(child.members))
	for _, m := range child.members {
		if m.value.Kind() != '"' {
			o.fail("%s must be a string, not %s", child.at(m.name), kindName(m.value))
			return nil
		}
		out[m.name] = stringOf(m.value)
	}
	return out
}

// child takes an object; nil when absent or null.
func (o *object) child(name string) *object {
	value := o.take(name)
	if value == nil || value.Kind() == 'n' {
		return nil
	}
	child := &object{path: o.at(name), err: o.err}
	child.read(value)
	return child
}

// children takes an array of objects.
func (o *object) children(name string) []*object {
	var out []*object
	for i, value := range o.array(name) {
		child := &object{path: fmt.Sprintf("%s[%d]", o.at(name), i), err: o.err}
		child.read(value)
		out = append(out, child)
	}
	return out
}

// array takes an array's elements; nil when absent or null.
func (o *object) array(name string) []jsontext.Value {
	value := o.take(name)
	if value == nil || value.Kind() == 'n' {
		return nil
	}
	if value.Kind() != '[' {
		o.fail("%s must be an array, not %s", o.at(name), kindName(value))
		return nil
	}
	var out []jsontext.Value
	decoder := jsontext.NewDecoder(bytes.NewReader(value))
	decoder.ReadToken() // the opening bracket
	for decoder.PeekKind() != ']' {
		element, err := decoder.ReadValue()
		if err != nil {
			o.fail("%s: %v", o.at(name), err)
			return nil
		}
		out = append(out, element.Clone())
	}
	return out
}

// take decodes a member of a simple type; kind 't' stands for both booleans.
func take[T any](o *object, name string, kind jsontext.Kind, want string) T {
	var out T
	value := o.take(name)
	if value == nil || value.Kind() == 'n' {
		return out
	}
	have := value.Kind()
	if have == 'f' {
		have = 't'
	}
	if have != kind || json.Unmarshal(value, &out) != nil {
		o.fail("%s must be %s, not %s", o.at(name), want, kindName(value))
	}
	return out
}

// stringOf decodes a value of kind string that is known to be well-formed.
func stringOf(value jsontext.Value) string {
	text, err := jsontext.AppendUnquote(nil, value)
	if err != nil {
		return ""
	}
	return string(text)
}

// kindName says what a value is.
func kindName(value jsontext.Value) string {
	switch value.Kind() {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case '0':
		return "the number " + shorten(string(value))
	case 'n':
		return "null"
	}
	return string(value) // true or false
}

func shorten(s string) string {
	if len(s) > 32 {
		return s[:32] + "…"
	}
	return s
}
