package mutants

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/signet-project/signet/protocol"
)

const (
	describing = protocol.CommandDescribeKey
	generating = protocol.CommandGenerateSignature
	wrapping   = protocol.CommandGenerateEnvelope
	verifying  = protocol.CommandVerifySignature
)

// faults has the faults of each clause by name. What a fault does should be seen by
// that clause alone: hence so many of them show at one kind of request only.
var faults = map[string]map[string]Mutant{
	"metadata.answers": {
		"error": {change: metadata(func(c *call, _ map[string]any) { c.fail(protocol.CodeGeneric) })},
	},
	"metadata.members": {
		"no-url":            {change: metadata(drop("url"))},
		"empty-description": {change: metadata(set("description", ""))},
		"null-version":      {change: metadata(set("version", nil))},
		"extensions-text":   {change: metadata(set("extensions", "publicKey.v1"))},
		"no-capabilities":   {change: metadata(drop("capabilities"))},
		"url-list":          {change: metadata(set("url", []string{"https://example.com"}))},
	},
	"metadata.name":    {"other": {change: metadata(set("name", "somebody-else"))}},
	"metadata.version": {"v": {change: metadata(set("version", "v1.0.0"))}, "short": {change: metadata(set("version", "1.0"))}},
	"metadata.contract": {
		"later-minor": {change: metadata(set("supportedContractVersions", []string{"1.1"}))},
		"other-major": {change: metadata(set("supportedContractVersions", []string{"2.0"}))},
		"twice":       {change: metadata(set("supportedContractVersions", []string{"1.0", "1.1"}))},
	},
	"metadata.capabilities": {
		"unknown": {change: metadata(set("capabilities", []string{"SIGNATURE_GENERATOR.WISHFUL"}))},
		"twice":   {change: metadata(set("capabilities", slices.Concat(judging, judging)))},
	},
	"metadata.stable": {"counts": {change: metadata(func(c *call, m map[string]any) {
		m["description"] = fmt.Sprintf("process %d", os.Getpid())
		c.respond(m)
	})}},
	"metadata.empty-request": {"refused": {change: metadata(func(c *call, _ map[string]any) {
		if len(c.request) == 0 {
			c.fail(protocol.CodeValidation)
		}
	})}},
	"metadata.any-version": {"refused": {change: metadata(func(c *call, _ map[string]any) {
		if c.request["contractVersion"] == "99.0" {
			c.fail(protocol.CodeUnsupportedContract)
		}
	})}},
	"metadata.configuration": {"used": {change: metadata(func(c *call, m map[string]any) {
		if c.request["pluginConfig"] != nil {
			m["description"] = "configured"
			c.respond(m)
		}
	})}},
	"metadata.environment": {"home": {change: metadata(func(c *call, _ map[string]any) {
		if os.Getenv("SIGNET_CONFORMANCE_SECRET") == "" {
			c.fail(protocol.CodeGeneric)
		}
	})}},
	"metadata.network": {"called": {change: metadata(func(*call, map[string]any) {
		proxy, err := url.Parse(os.Getenv("HTTPS_PROXY"))
		if err != nil || proxy.Host == "" {
			return
		}
		if conn, err := net.Dial("tcp", proxy.Host); err == nil {
			conn.Close()
		}
	})}},

	"call.status": {
		"two":          {change: once(func(c *call) { c.status = 2 })},
		"error-at-0":   {change: once(func(c *call) { c.fail(protocol.CodeGeneric); c.stdout, c.stderr, c.status = c.stderr, nil, 0 })},
		"error-at-127": {change: once(func(c *call) { c.fail(protocol.CodeGeneric); c.status = 127 })},
		"crash":        {change: once(func(*call) { panic("a mutant's panic") })},
		"two-always":   {claims: signing, change: failing(func(c *call) { c.status = 2 })},
	},
	"call.stdout": {
		"log":      {change: once(func(c *call) { c.stdout = append([]byte("DEBUG: verifying\n"), c.stdout...) })},
		"trailing": {change: once(func(c *call) { c.stdout = append(c.stdout, "bye"...) })},
		"two":      {change: once(func(c *call) { c.stdout = append(c.stdout, c.stdout...) })},
		"nothing":  {change: once(func(c *call) { c.stdout = nil })},
		"list":     {change: once(func(c *call) { c.stdout = []byte("[]") })},
		"utf-8":    {change: once(func(c *call) { c.stdout = []byte("{\"processedAttributes\":[\"\xff\"]}") })},
		"duplicate": {change: once(func(c *call) {
			c.stdout = append([]byte(`{"verificationResults":{},`), bytes.TrimSpace(c.stdout)[1:]...)
		})},
	},
	"call.silent-failure": {"answer": {claims: signing, change: unknownKey(func(c *call) { c.stdout = []byte("{}") })}},
	"call.size": {
		"stdout": {change: once(func(c *call) { c.stdout = bytes.Repeat([]byte(" "), protocol.MaxMessageSize+1) })},
		"stderr": {change: once(func(c *call) { c.stderr = bytes.Repeat([]byte(" "), protocol.MaxMessageSize+1) })},
	},
	"call.time":     {"hangs": {change: once(func(*call) { time.Sleep(time.Hour) })}},
	"call.parallel": {"lock": {change: metadata(alone)}},
	"call.secrets": {
		"environment": {change: once(func(c *call) { c.stderr = []byte(strings.Join(os.Environ(), "\n")) })},
		"config": {change: on(verifying, func(c *call) {
			if config, ok := c.request["pluginConfig"].(map[string]any); ok {
				c.stderr = encode(protocol.Errorf(protocol.CodeValidation, "unknown: %v", config))
				c.stdout, c.status = nil, 1
			}
		})},
	},
	"process.left":      {"child": {notOn: "windows", change: once(func(*call) { leaveChild() })}},
	"process.terminate": {"ignored": {notOn: "windows", start: func() { signal.Ignore(syscall.SIGTERM, os.Interrupt) }}},

	"error.json": {
		"text":      {claims: signing, change: unknownKey(func(c *call) { c.stderr = []byte("no such key\n") })},
		"nothing":   {claims: signing, change: unknownKey(func(c *call) { c.stderr = nil })},
		"malformed": {claims: signing, change: unknownKey(func(c *call) { c.stderr = []byte(`{"errorCode":"VALIDATION_ERROR",}`) })},
		"members":   {claims: signing, change: unknownKey(func(c *call) { c.stderr = []byte(`{"error":"no such key"}`) })},
		"metadata":  {claims: signing, change: unknownKey(func(c *call) { c.stderr = []byte(`{"errorCode":"VALIDATION_ERROR","errorMetadata":{"a":1}}`) })},
		"prefix":    {claims: signing, change: failing(func(c *call) { c.stderr = append([]byte("error: "), c.stderr...) })},
	},
	"error.alone":   {"log": {claims: signing, change: unknownKey(func(c *call) { c.stderr = append([]byte("DEBUG: looking for the key\n"), c.stderr...) })}},
	"error.code":    {"unknown": {claims: signing, change: unknownKey(func(c *call) { c.stderr = []byte(`{"errorCode":"OUCH","errorMessage":"no"}`) })}},
	"error.message": {"none": {claims: signing, change: unknownKey(func(c *call) { c.stderr = []byte(`{"errorCode":"VALIDATION_ERROR"}`) })}},

	"command.unknown": {
		"accepted": {change: unknownCommand(func(c *call) { c.respond(map[string]any{}) })},
		"silent":   {change: unknownCommand(func(c *call) { c.stdout, c.stderr, c.status = nil, nil, 0 })},
	},
	"command.error": {
		"help":    {change: unknownCommand(func(c *call) { c.stdout, c.stderr, c.status = nil, []byte("usage: …"), 1 })},
		"two":     {change: unknownCommand(func(c *call) { c.stdout, c.stderr, c.status = nil, []byte("usage: …"), 2 })},
		"general": {change: unknownCommand(general)},
	},
	"request.unknown-members": {"refused": {change: func(c *call) {
		if c.request["com.example.conformance"] != nil {
			c.fail(protocol.CodeValidation)
		}
	}}},
	"request.empty": {
		"general":  {change: malformed(func(raw []byte) bool { return len(bytes.TrimSpace(raw)) == 0 }, general)},
		"accepted": {change: malformed(func(raw []byte) bool { return len(bytes.TrimSpace(raw)) == 0 }, accepted)},
	},
	"request.malformed": {
		"general": {change: malformed(isText, general)},
		"crash":   {change: malformed(isText, func(*call) { panic("a mutant's panic") })},
	},
	"request.object": {"general": {change: malformed(isOtherJSON, general)}, "accepted": {change: malformed(isOtherJSON, accepted)}},
	"request.one":    {"first": {change: malformed(isTwo, func(c *call) { c.repeat(first(c.raw)) })}},
	"request.members": {
		"default-key": {claims: signing, change: on(describing, func(c *call) {
			if id, _ := c.request["keyId"].(string); id == "" && c.request["contractVersion"] == "1.0" && !isList(c.request["keyId"]) {
				c.respond(map[string]any{"keyId": "default", "keySpec": "EC-256"})
			}
		})},
		"empty-payload": {claims: signing, change: on(generating, func(c *call) {
			if c.request["payload"] == "" {
				c.repeatWith(map[string]any{"payload": "cGF5bG9hZA=="})
			}
		})},
		"general": {claims: signing, change: on(generating, func(c *call) {
			if _, there := c.request["hashAlgorithm"]; c.request["contractVersion"] == "1.0" && !there {
				general(c)
			}
		})},
	},
	"request.types": {
		"general": {claims: signing, change: func(c *call) {
			if isList(c.request["keyId"]) && c.request["contractVersion"] == "1.0" {
				general(c)
			}
		}},
		"number-in-config": {claims: signing, change: func(c *call) {
			config, _ := c.request["pluginConfig"].(map[string]any)
			if _, number := config["com.example.conformance"].(float64); number {
				c.repeatWith(map[string]any{"pluginConfig": nil})
			}
		}},
	},
	"request.null": {"refused": {change: func(c *call) {
		if config, there := c.request["pluginConfig"]; there && config == nil {
			c.fail(protocol.CodeValidation)
		}
	}}},
	"request.base64": {"text": {claims: signing, change: on(generating, func(c *call) {
		payload, _ := c.request["payload"].(string)
		if _, err := base64.StdEncoding.DecodeString(payload); err != nil {
			c.repeatWith(map[string]any{"payload": []byte(payload)})
		}
	})}},
	"request.huge":    {"crash": {change: malformed(isHuge, func(*call) { panic("a mutant's panic") })}},
	"request.nesting": {"crash": {change: malformed(isNested, func(*call) { panic("a mutant's panic") })}},

	"versions.major": {
		"accepted":   {change: version("99.0", func(c *call) { c.repeatWith(map[string]any{"contractVersion": "1.0"}) })},
		"validation": {change: version("99.0", func(c *call) { c.fail(protocol.CodeValidation) })},
	},
	"versions.first": {
		"members": {change: versionOf(true, "99.0", func(c *call) { c.fail(protocol.CodeValidation) })},
		"command": {change: func(c *call) {
			if strings.Contains(string(c.command), "conformance") {
				c.fail(protocol.CodeValidation)
			}
		}},
	},
	"versions.minor":  {"refused": {change: version("1.99", func(c *call) { c.fail(protocol.CodeUnsupportedContract) })}},
	"versions.absent": {"accepted": {change: version(nil, func(c *call) { c.repeatWith(map[string]any{"contractVersion": "1.0"}) })}},
	"versions.form": {
		"accepted":    {change: version("1", func(c *call) { c.repeatWith(map[string]any{"contractVersion": "1.0"}) })},
		"unsupported": {change: version("1.0.0", func(c *call) { c.fail(protocol.CodeUnsupportedContract) })},
	},

	"verify.answers": {"error": {change: answers(verifying, func(c *call, _ map[string]any) { c.fail(protocol.CodeGeneric) })}},
	"verify.results": {
		"too-many": {change: answers(verifying, func(c *call, m map[string]any) {
			m["verificationResults"].(map[string]any)["SIGNATURE_VERIFIER.MOOD"] = map[string]any{"success": true}
			c.respond(m)
		})},
		"all": {change: answers(verifying, func(c *call, m map[string]any) {
			for _, check := range judging {
				m["verificationResults"].(map[string]any)[string(check)] = map[string]any{"success": true}
			}
			c.respond(m)
		})},
		"too-few": {change: answers(verifying, func(c *call, m map[string]any) {
			delete(m["verificationResults"].(map[string]any), "SIGNATURE_VERIFIER.REVOCATION_CHECK")
			c.respond(m)
		})},
	},
	"verify.reason": {"none": {change: answers(verifying, func(c *call, m map[string]any) {
		for _, result := range m["verificationResults"].(map[string]any) {
			delete(result.(map[string]any), "reason")
		}
		c.respond(m)
	})}},
	"verify.processed": {"too-many": {change: answers(verifying, set("processedAttributes", []string{"com.example.dream"}))}},
	"answer.members": {
		"success-text": {change: once(func(c *call) {
			m := c.answer()
			for _, result := range m["verificationResults"].(map[string]any) {
				result.(map[string]any)["success"] = "true"
			}
			c.respond(m)
		})},
		"signature-text": {claims: signing, change: answers(generating, set("signature", "no base64!"))},
		"key-id-number":  {claims: signing, change: answers(describing, set("keyId", 1))},
	},
}

// general and accepted are two wrong ways to take a request that makes no sense.
func general(c *call)  { c.fail(protocol.CodeGeneric) }
func accepted(c *call) { c.respond(map[string]any{}) }

// on makes a fault of one command.
func on(command protocol.Command, change func(*call)) func(*call) {
	return func(c *call) {
		if c.command == command {
			change(c)
		}
	}
}

// answers makes a fault of one command's good answers.
func answers(command protocol.Command, change func(c *call, members map[string]any)) func(*call) {
	return on(command, func(c *call) {
		if members := c.answer(); members != nil {
			change(c, members)
		}
	})
}

func metadata(change func(c *call, members map[string]any)) func(*call) {
	return answers(protocol.CommandGetMetadata, change)
}

func set(member string, value any) func(*call, map[string]any) {
	return func(c *call, members map[string]any) {
		members[member] = value
		c.respond(members)
	}
}

func drop(member string) func(*call, map[string]any) {
	return func(c *call, members map[string]any) {
		delete(members, member)
		c.respond(members)
	}
}

// once makes a fault that shows at one kind of well-formed request: that to verify
// a signature with an attribute nobody knows.
func once(change func(*call)) func(*call) {
	return answers(verifying, func(c *call, _ map[string]any) {
		signature, _ := c.request["signature"].(map[string]any)
		if names, _ := signature["unprocessedAttributes"].([]any); len(names) > 0 {
			change(c)
		}
	})
}

// failing makes a fault of every error.
func failing(change func(*call)) func(*call) {
	return func(c *call) {
		if c.failure() != "" {
			change(c)
		}
	}
}

// unknownKey makes a fault of the error for a key that does not exist.
func unknownKey(change func(*call)) func(*call) {
	return on(describing, func(c *call) {
		id, _ := c.request["keyId"].(string)
		if strings.HasSuffix(id, "no-such-key") && c.failure() == protocol.CodeValidation {
			change(c)
		}
	})
}

func unknownCommand(change func(*call)) func(*call) {
	return func(c *call) {
		if strings.Contains(string(c.command), "conformance") && c.request["contractVersion"] == "1.0" {
			change(c)
		}
	}
}

// malformed makes a fault of requests of a kind.
func malformed(kind func(raw []byte) bool, change func(*call)) func(*call) {
	return func(c *call) {
		if c.command != protocol.CommandGetMetadata && kind(c.raw) {
			change(c)
		}
	}
}

func isHuge(raw []byte) bool   { return len(raw) > 10<<20 }
func isNested(raw []byte) bool { return bytes.Contains(raw, []byte("[[[[[[[[")) }
func isList(value any) bool    { _, ok := value.([]any); return ok }

// first returns the first JSON value in a text; nil when there is none.
func first(raw []byte) []byte {
	var value json.RawMessage
	_ = json.NewDecoder(bytes.NewReader(raw)).Decode(&value)
	return value
}

func isTwo(raw []byte) bool { return first(raw) != nil && !json.Valid(raw) }

func isText(raw []byte) bool {
	return len(bytes.TrimSpace(raw)) > 0 && !isHuge(raw) && !isNested(raw) && first(raw) == nil
}

func isOtherJSON(raw []byte) bool { return json.Valid(raw) && bytes.TrimSpace(raw)[0] != '{' }

// version makes a fault of requests with a contract version, or with none, that are
// good otherwise.
func version(wanted any, change func(*call)) func(*call) {
	return versionOf(false, wanted, change)
}

// versionOf makes a fault of requests with a contract version that are good otherwise,
// or that are wrong in every member.
func versionOf(wrong bool, wanted any, change func(*call)) func(*call) {
	return func(c *call) {
		known := c.command != protocol.CommandGetMetadata && !strings.Contains(string(c.command), "conformance")
		if known && c.request != nil && c.request["contractVersion"] == wanted && isList(c.request["keyId"]) == wrong {
			change(c)
		}
	}
}

// alone lets one process at a time answer; the others fail.
func alone(c *call, _ map[string]any) {
	path := filepath.Join(filepath.Dir(os.Args[0]), c.name+".lock")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		c.fail(protocol.CodeGeneric)
		return
	}
	time.Sleep(300 * time.Millisecond) // long enough for another to come
	file.Close()
	os.Remove(path)
}

// sleepCommand is the argument of the process that is left behind.
const sleepCommand = "mutant-sleep"

func leaveChild() {
	if err := exec.Command(os.Args[0], sleepCommand).Start(); err != nil {
		panic(err)
	}
}

func sleep() {
	time.Sleep(time.Minute)
	os.Exit(0)
}
