package conformance

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/protocol"
)

// unknownMembers are members that no version of the contract has.
var unknownMembers = fields{
	"com.example.conformance": map[string]any{"list": []any{1, "two", nil, true}},
	"conformanceText":         "x",
}

// hugeSize is how long, in bytes, the malformed request is that a plugin must survive.
const hugeSize = 16 << 20

// nestingDepth is how deep the nested one goes.
const nestingDepth = 100_000

// required lists the members without which a request makes no sense.
var required = map[protocol.Command][]string{
	protocol.CommandDescribeKey:       {"keyId"},
	protocol.CommandGenerateSignature: {"keyId", "keySpec", "hashAlgorithm", "payload"},
	protocol.CommandGenerateEnvelope:  {"keyId", "payloadType", "signatureEnvelopeType", "payload"},
	protocol.CommandVerifySignature:   {"signature"},
}

// request returns a well-formed request. Without a key given, commands that take
// one get the id of a key that hardly exists.
func (k *kit) request(command protocol.Command) fields {
	key := "conformance-no-key"
	if len(k.opts.Keys) > 0 {
		key = k.opts.Keys[0]
	}
	switch command {
	case protocol.CommandDescribeKey:
		return k.describeRequest(key)
	case protocol.CommandGenerateSignature:
		return k.signRequest(key, k.suite(key), []byte("payload"))
	case protocol.CommandGenerateEnvelope:
		return k.envelopeRequest(key, envelope.FormatJWS)
	case protocol.CommandVerifySignature:
		return k.verifyRequest(k.checks())
	}
	return k.base()
}

// base has what every request has.
func (k *kit) base() fields {
	request := fields{"contractVersion": protocol.ContractVersion}
	if len(k.opts.Config) > 0 {
		request["pluginConfig"] = k.opts.Config
	}
	return request
}

// keyed tells whether a request to a command is about a key that exists, if it is
// about a key at all.
func (k *kit) keyed(command protocol.Command) bool {
	return command == protocol.CommandVerifySignature || len(k.opts.Keys) > 0
}

// versions judges what happens to contract versions that the plugin does not list.
func (k *kit) versions(ctx context.Context) {
	for _, command := range k.commands() {
		good := k.request(command)
		if r := k.ask(ctx, command, good.with(fields{"contractVersion": "99.0"})); r.fault != "" {
			k.spoil("", r, "versions.major")
		} else {
			k.expect("versions.major", r.refused(protocol.CodeUnsupportedContract), sent(command, `contractVersion "99.0"`)+": the error UNSUPPORTED_CONTRACT_VERSION", r.String())
		}
		k.refuses(ctx, "versions.first", command, `contractVersion "99.0" and other members of wrong types`, wrongInAnyCase.reader(), protocol.CodeUnsupportedContract)
		for _, version := range []string{"1", "1.0.0"} {
			k.refuses(ctx, "versions.form", command, fmt.Sprintf("contractVersion %q", version), good.with(fields{"contractVersion": version}).reader(), protocol.CodeValidation)
		}
		k.refuses(ctx, "versions.absent", command, "no contractVersion", good.with(fields{"contractVersion": nil}).reader(), protocol.CodeValidation)
		k.alike(ctx, "versions.minor", command, good, fields{"contractVersion": "1.99"}, `contractVersion "1.99"`)
	}
	k.refuses(ctx, "versions.first", unknownCommand, `contractVersion "99.0"`, fields{"contractVersion": "99.0"}.reader(), protocol.CodeUnsupportedContract)
}

// wrongInAnyCase is a request of another major version whose other members are wrong
// in version 1.
var wrongInAnyCase = fields{"contractVersion": "99.0", "keyId": []any{1}, "signature": []any{1}, "pluginConfig": []any{1}}

// unknownCommand is a command of no version.
const unknownCommand protocol.Command = "conformance-no-such-command"

// alike judges that a change to a request makes no difference: both are answered,
// or both fail with the same code.
func (k *kit) alike(ctx context.Context, id string, command protocol.Command, good, change fields, what string) {
	before := k.ask(ctx, command, good)
	if before.fault != "" {
		k.spoil("", before, id)
		return
	}
	after := k.invoke(ctx, string(command), good.with(change).reader())
	if meant := after.meant(); meant != nil && before.refused(meant.Code) {
		k.misshapen(id, command, after)
		return
	}
	k.expect(id, sameKind(before, after), sent(command, what)+": as without it, "+before.String(), after.String())
}

// requests judges how the plugin takes requests that are unknown, incomplete or
// malformed.
func (k *kit) requests(ctx context.Context) {
	k.unknown(ctx)
	commands := k.commands()
	for _, command := range commands {
		k.alike(ctx, "request.unknown-members", command, k.request(command), unknownMembers, "unknown members")
		k.notObjects(ctx, command)
		k.wrongMembers(ctx, command)
	}
	k.null(ctx, commands[0])
	huge := io.MultiReader(strings.NewReader(`{"contractVersion":"1.0","keyId":"`), io.LimitReader(letters{}, hugeSize))
	k.refuses(ctx, "request.huge", commands[0], fmt.Sprintf("a string of %d MiB that does not end", hugeSize>>20), huge, protocol.CodeValidation)
	k.nested(ctx, commands[0])
	if !slices.ContainsFunc(commands, hasPayload) {
		k.leave(NotApplicable, "the plugin signs nothing", "request.base64")
	}
	k.leave(NotRun, ReasonNoKey, "request.members", "request.base64")
}

// unknown judges what becomes of a command that nobody knows.
func (k *kit) unknown(ctx context.Context) {
	r := k.invoke(ctx, string(unknownCommand), k.base().reader())
	failed := r.Exchange != nil && r.Stopped == nil && r.Code != 0
	if !k.expect("command.unknown", failed, "an exit status other than 0", r.String()) {
		k.leave(NotRun, "command.unknown does not hold", "command.error")
		return
	}
	if meant := r.meant(); meant != nil && meant.Code == protocol.CodeValidation {
		k.misshapen("command.error", unknownCommand, r)
		return
	}
	k.expect("command.error", r.refused(protocol.CodeValidation), "the error VALIDATION_ERROR", r.String())
}

// null judges that a member that is null is taken as one that is absent. Where there
// is a configuration, get-plugin-metadata alone is asked without: other commands might
// turn to services that nobody meant.
func (k *kit) null(ctx context.Context, command protocol.Command) {
	commands := []protocol.Command{protocol.CommandGetMetadata}
	if len(k.opts.Config) == 0 {
		commands = append(commands, command)
	}
	for _, command := range commands {
		k.alike(ctx, "request.null", command, k.request(command).with(fields{"pluginConfig": nil}), fields{"pluginConfig": jsontext.Value("null")}, "pluginConfig null")
	}
}

// letters is an endless text.
type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

// notObjects sends what is no request at all.
func (k *kit) notObjects(ctx context.Context, command protocol.Command) {
	good := string(k.request(command).encode())
	for _, c := range []struct{ id, what, stdin string }{
		{"request.empty", "nothing on stdin", ""},
		{"request.empty", "a line feed on stdin", "\n"},
		{"request.malformed", "text that is not JSON", "hello"},
		{"request.malformed", "a request cut off", good[:len(good)-1]},
		{"request.malformed", "a request with a comma too many", good[:len(good)-1] + ",}"},
		{"request.object", "null", "null"},
		{"request.object", "a list", "[" + good + "]"},
		{"request.object", "a string", `"hello"`},
		{"request.one", "two requests", good + "\n" + good},
	} {
		k.refuses(ctx, c.id, command, c.what, strings.NewReader(c.stdin), protocol.CodeValidation)
	}
}

// wrongMembers sends requests with one member wrong.
func (k *kit) wrongMembers(ctx context.Context, command protocol.Command) {
	good := k.request(command)
	refuses := func(id, what string, change fields) {
		k.refuses(ctx, id, command, what, good.with(change).reader(), protocol.CodeValidation)
	}
	refuses("request.types", "a number as contractVersion", fields{"contractVersion": 1.0})
	refuses("request.types", "a list as pluginConfig", fields{"pluginConfig": []string{"a"}})
	refuses("request.types", "a number in pluginConfig", fields{"pluginConfig": map[string]int{"com.example.conformance": 1}})
	for _, member := range required[command] {
		// Where there is no key, anything is refused, and shows nothing.
		if command != protocol.CommandDescribeKey && !k.keyed(command) {
			break
		}
		refuses("request.types", "a list as "+member, fields{member: []any{1}})
		refuses("request.members", "no "+member, fields{member: nil})
		if _, text := good[member].(string); text || member == "payload" {
			refuses("request.members", "an empty "+member, fields{member: ""})
		}
	}
	if hasPayload(command) && k.keyed(command) {
		refuses("request.base64", "a payload that is not base64", fields{"payload": "*** no base64 ***"})
	}
	if command == protocol.CommandVerifySignature {
		for _, member := range []string{"criticalAttributes", "certificateChain"} {
			signature := maps.Clone(good["signature"].(map[string]any))
			delete(signature, member)
			refuses("request.members", "no signature."+member, fields{"signature": signature})
		}
	}
}

func hasPayload(command protocol.Command) bool {
	return slices.Contains(required[command], "payload")
}

// nested sends a well-formed request with an unknown member that no recursive
// parser gets to the end of. It may be refused.
func (k *kit) nested(ctx context.Context, command protocol.Command) {
	good := k.request(command).encode()
	request := slices.Concat(good[:len(good)-1], []byte(`,"conformance":`),
		bytes.Repeat([]byte("["), nestingDepth), bytes.Repeat([]byte("]"), nestingDepth), []byte("}"))
	r := k.invoke(ctx, string(command), bytes.NewReader(request))
	if r.meant() != nil {
		k.misshapen("request.nesting", command, r)
		return
	}
	k.expect("request.nesting", r.fault == "", fmt.Sprintf("%s: an answer or an error", sent(command, fmt.Sprintf("an unknown member of %d levels", nestingDepth))), r.String())
}
