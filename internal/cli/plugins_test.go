package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/protocol"
)

// place is a configuration and a layout in which command lines are run in this
// process; its plugins are processes of their own.
type place struct {
	t      *testing.T
	dir    string
	signer *testpki.Entity
	digest string
}

func newPlace(t *testing.T) *place {
	p := &place{t: t, dir: t.TempDir()}
	root := testpki.Root(t, "acme root")
	p.signer = root.Leaf(t, "acme", protocol.KeySpecEC256)
	p.signer.WriteFiles(t, p.dir, "acme")
	p.write("root.crt", root.CertPEM())
	p.write("config/trustpolicy.oci.json", []byte(worldPolicy))
	p.must("cert", "add", "-t", "ca", "-s", "acme", p.path("root.crt"))
	manifest, err := makeLayout(p.path("layout"), "hello\n")
	if err != nil {
		t.Fatal(err)
	}
	p.digest = manifest
	return p
}

func (p *place) path(name string) string { return filepath.Join(p.dir, filepath.FromSlash(name)) }

func (p *place) write(name string, data []byte) {
	p.t.Helper()
	if err := os.MkdirAll(filepath.Dir(p.path(name)), 0o700); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(p.path(name), data, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// run runs a command line.
func (p *place) run(args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = Run(p.t.Context(), Env{
		Args: append([]string{"signet"}, args...), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
		Environ: []string{"NOTATION_CONFIG=" + p.path("config"), "NOTATION_CACHE=" + p.path("cache"), "DOCKER_CONFIG=" + p.path("docker")},
	})
	return status, out.String(), errs.String()
}

func (p *place) must(args ...string) string {
	p.t.Helper()
	status, out, errs := p.run(args...)
	if status != 0 {
		p.t.Fatalf("%q: %s", args, errs)
	}
	return out
}

func (p *place) plugin(name string, script testplugin.Script) {
	testplugin.Install(p.t, p.path("config/plugins"), name, script)
}

// refused wants a command line to fail with one line that matches, and the
// files to be left as they were.
func (p *place) refused(pattern string, args ...string) {
	p.t.Helper()
	before, err := listing(p.dir)
	if err != nil {
		p.t.Fatal(err)
	}
	status, out, errs := p.run(args...)
	after, err := listing(p.dir)
	if err != nil {
		p.t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^Error: .*$`).FindAllString(errs, -1)
	switch {
	case status != 1 || len(lines) != 1 || out != "":
		p.t.Errorf("status %d, stdout %q, stderr %.500q", status, out, errs)
	case !regexp.MustCompile(pattern).MatchString(errs):
		p.t.Errorf("…%q does not match %q", errs[max(0, len(errs)-1000):], pattern)
	case strings.Contains(errs, "panic"):
		p.t.Error(errs)
	case before != after:
		p.t.Error("files changed:", difference(before, after))
	}
}

// signing makes a script of a plugin that signs, with other replies to a command.
func (p *place) signing(command protocol.Command, reply testplugin.Reply) testplugin.Script {
	return testplugin.Script{
		Key: p.path("acme.key"), Chain: p.path("acme.crt"),
		Replies: map[protocol.Command]testplugin.Reply{command: reply},
	}
}

const (
	metadata  = protocol.CommandGetMetadata
	describe  = protocol.CommandDescribeKey
	generate  = protocol.CommandGenerateSignature
	envelopes = protocol.CommandGenerateEnvelope
	verifying = protocol.CommandVerifySignature
)

// TestSigningAnswers holds what plugins can answer wrong while signing: nothing
// is signed, and one line says that the plugin is at fault and how.
func TestSigningAnswers(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	other := testpki.Root(t, "other root").Leaf(t, "other", protocol.KeySpecEC256)
	bigger := testpki.Root(t, "bigger root").Leaf(t, "bigger", protocol.KeySpecEC384)
	chain := func(ders ...[]byte) []any {
		var list []any
		for _, der := range ders {
			list = append(list, base64.StdEncoding.EncodeToString(der))
		}
		return list
	}
	set := func(pairs ...any) testplugin.Reply {
		members := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			members[pairs[i].(string)] = pairs[i+1]
		}
		return testplugin.Reply{Set: members}
	}
	failure := func(code protocol.ErrorCode, message string) testplugin.Reply {
		return testplugin.Reply{Error: &protocol.Error{Code: code, Message: message}}
	}
	for _, c := range []struct {
		name    string
		command protocol.Command
		reply   testplugin.Reply
		want    string // after "failed to sign with the plugin bad: "
	}{
		{"PLG-05 no answer", describe, testplugin.Reply{Mute: true}, `describe-key: `},
		{"PLG-05 text after the answer", describe, testplugin.Reply{After: "done\n"}, `describe-key: `},
		{"PLG-05 text before the answer", describe, testplugin.Reply{Before: "hello "}, `describe-key: `},
		{"PLG-05 two answers", describe, testplugin.Reply{After: "{}"}, `describe-key: `},
		{"PLG-05 another kind of JSON", generate, testplugin.Reply{Stdout: "[1]"}, `generate-signature: `},
		{"PLG-05 not JSON at all", metadata, testplugin.Reply{Stdout: "usage: notation-bad"}, `get-plugin-metadata: `},
		{"PLG-07 too much on stdout", generate, testplugin.Reply{FloodStdout: protocol.MaxMessageSize}, `generate-signature: wrote more than 67108864 bytes to stdout`},
		{"PLG-07 too much on stderr", describe, testplugin.Reply{FloodStderr: protocol.MaxMessageSize + 1}, `describe-key: wrote more than 67108864 bytes to stderr`},
		{"PLG-10 exit 1 without JSON", describe, testplugin.Reply{Mute: true, Exit: 1, Stderr: "out of luck\n"}, `describe-key: .*exit status 1: out of luck`},
		{"PLG-10 exit 2 with JSON", describe, testplugin.Reply{Exit: 2, Error: &protocol.Error{Code: protocol.CodeAccessDenied, Message: "no"}}, `describe-key: .*exit status 2`},
		{"PLG-10 killed", generate, testplugin.Reply{Mute: true, Kill: true}, `generate-signature: .*(signal: killed|exit status 1)`},
		{"PLG-11 error message shown", describe, failure(protocol.CodeValidation, "there is no key 1"), `describe-key: VALIDATION_ERROR: there is no key 1$`},
		{"PLG-11 error on several lines shown on one", describe, failure(protocol.CodeGeneric, "one\ntwo\x1b[31m"), `describe-key: ERROR: one two`},
		{"PLG-11 empty error", describe, testplugin.Reply{Mute: true, Exit: 1, Stderr: "{}"}, `describe-key: `},
		{"PLG-12 access denied", generate, failure(protocol.CodeAccessDenied, "no right to use the key"), `generate-signature: ACCESS_DENIED: no right to use the key$`},
		{"PLG-12 contract refused", metadata, failure(protocol.CodeUnsupportedContract, "only 2.0"), `get-plugin-metadata: UNSUPPORTED_CONTRACT_VERSION: only 2.0$`},
		{"PLG-12 unknown code", describe, failure("OUT_OF_COFFEE", "later"), `describe-key: ERROR: later$`},
		{"PLG-15 no name", metadata, testplugin.Reply{Drop: []string{"name"}}, `get-plugin-metadata: metadata validation failed for plugin bad: empty name`},
		{"PLG-15 no description", metadata, set("description", ""), `get-plugin-metadata: metadata validation failed for plugin bad: empty description`},
		{"PLG-15 no version", metadata, testplugin.Reply{Drop: []string{"version"}}, `get-plugin-metadata: metadata validation failed for plugin bad: empty version`},
		{"PLG-15 no url", metadata, testplugin.Reply{Drop: []string{"url"}}, `get-plugin-metadata: metadata validation failed for plugin bad: empty url`},
		{"PLG-15 no capabilities", metadata, set("capabilities", []string{}), `get-plugin-metadata: metadata validation failed for plugin bad: empty capabilities`},
		{"PLG-15 no contract versions", metadata, testplugin.Reply{Drop: []string{"supportedContractVersions"}}, `get-plugin-metadata: metadata validation failed for plugin bad: supported contract versions not specified`},
		{"PLG-16 another name", metadata, set("name", "good"), `get-plugin-metadata: plugin executable file name must be "notation-good(.exe)?" instead of "notation-bad(.exe)?"`},
		{"PLG-17 a higher minor version", metadata, set("supportedContractVersions", []string{"1.1"}), `get-plugin-metadata: the plugin speaks contract versions \["1.1"\], this host speaks 1.0: install a version of the plugin for that contract$`},
		{"PLG-17 another major version", metadata, set("supportedContractVersions", []string{"2.0"}), `get-plugin-metadata: the plugin speaks contract versions \["2.0"\], this host speaks 1.0: `},
		{"PLG-19 unknown capabilities alone", metadata, set("capabilities", []string{"SIGNATURE_GENERATOR.QUANTUM"}), `plugin does not have signing capabilities`},
		{"PLG-22 another key id", describe, set("keyId", "2"), `describe-key: keyID in describeKey response "2" does not match request "1"`},
		{"PLG-22 unknown key spec", describe, set("keySpec", "RSA-1024"), `describe-key: unknown key spec`},
		{"PLG-22 no key spec", describe, testplugin.Reply{Drop: []string{"keySpec"}}, `describe-key: unknown key spec`},
		{"PLG-26 another key id", generate, set("keyId", "2"), `generate-signature: `},
		{"PLG-26 unknown algorithm", generate, set("signingAlgorithm", "ED25519"), `generate-signature: .*ED25519`},
		{"PLG-26 algorithm of another key", generate, set("signingAlgorithm", "RSASSA-PSS-SHA-256"), `generate-signature: .*RSASSA-PSS-SHA-256`},
		{"PLG-26 no signature", generate, set("signature", ""), `generate-signature: `},
		{"PLG-26 signature not base64", generate, set("signature", "%%%"), `generate-signature: `},
		{"PLG-26 wrong signature", generate, set("signature", strings.Repeat("AAAA", 21)+"AA=="), `generate-signature returned a signature that its leaf certificate does not verify`},
		{"PLG-26 no chain", generate, set("certificateChain", []string{}), `generate-signature: `},
		{"PLG-26 unreadable certificate", generate, set("certificateChain", chain([]byte("no DER"))), `generate-signature returned certificate 1 of the chain in a form that cannot be read`},
		{"PLG-26 chain of another key", generate, set("certificateChain", chain(other.RawChain()...)), `generate-signature returned a signature that its leaf certificate does not verify`},
		{"PLG-26 chain of another key spec", generate, set("certificateChain", chain(bigger.RawChain()...)), `generate-signature returned a leaf certificate with a key of type EC-384 where describe-key said EC-256`},
		{"PLG-26 chain without root", generate, set("certificateChain", chain(p.signer.Cert.Raw)), `generate-signature returned an unusable certificate chain: `},
		{"PLG-26 chain upside down", generate, set("certificateChain", chain(p.signer.Issuer.Cert.Raw, p.signer.Cert.Raw)), `generate-signature returned `},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := *p
			q.t = t
			q.plugin("bad", p.signing(c.command, c.reply))
			q.refused(`(?m)^Error: failed to sign with the plugin bad: `+c.want, "sign", "--oci-layout", "--plugin", "bad", "--id", "1", p.path("layout")+"@"+p.digest)
		})
	}
	t.Run("PLG-33 unknown members are no matter", func(t *testing.T) {
		q := *p
		q.t = t
		q.plugin("bad", p.signing(describe, set("color", "green")))
		q.must("sign", "--oci-layout", "--plugin", "bad", "--id", "1", p.path("layout")+"@"+p.digest)
	})
}

// TestEnvelopeAnswers is the same for plugins that make whole envelopes.
func TestEnvelopeAnswers(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for _, c := range []struct {
		name   string
		reply  testplugin.Reply
		config string // for the function "envelope"
		want   string
	}{
		{"PLG-28 another envelope type", testplugin.Reply{Func: "envelope", Set: map[string]any{"signatureEnvelopeType": "application/cose"}}, "", `generate-envelope: `},
		{"PLG-28 no envelope", testplugin.Reply{Func: "envelope", Drop: []string{"signatureEnvelope"}}, "", `generate-envelope: `},
		{"PLG-29 junk", testplugin.Reply{Func: "envelope", Set: map[string]any{"signatureEnvelope": "e30="}}, "", `generate-envelope returned an envelope that cannot be read: `},
		{"PLG-29 broken signature", testplugin.Reply{Func: "envelope"}, "broken=1", ``},
		{"PLG-29 size changed", testplugin.Reply{Func: "envelope"}, "size=1", `generate-envelope changed the payload: `},
		{"PLG-29 annotation dropped", testplugin.Reply{Func: "envelope"}, "note=other", `generate-envelope changed the payload: `},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := *p
			q.t = t
			q.plugin("maker", testplugin.Script{
				Capabilities: []protocol.Capability{protocol.CapabilityEnvelopeGenerator},
				Replies:      map[protocol.Command]testplugin.Reply{envelopes: c.reply},
			})
			args := []string{"sign", "--oci-layout", "--plugin", "maker", "--id", "1", "--plugin-config", "pem=" + p.path("acme"), "-m", "build=1"}
			if c.config != "" {
				args = append(args, "--plugin-config", c.config)
			}
			q.refused(`(?m)^Error: (failed to sign with the plugin maker|generated signature failed verification): `+c.want, append(args, p.path("layout")+"@"+p.digest)...)
		})
	}
}

// TestVerificationPlugins holds what the plugin that a signature names can
// answer, or what can be wrong with it.
func TestVerificationPlugins(t *testing.T) {
	t.Parallel()
	const strict, audit = "strict", "audit"
	type world struct {
		level  string
		forge  []string // further attributes of the signature
		plugin *testplugin.Script
	}
	results := func(members string) testplugin.Reply {
		return testplugin.Reply{Stdout: `{"verificationResults":` + members + `,"processedAttributes":[]}`}
	}
	answering := func(reply testplugin.Reply) *testplugin.Script {
		return &testplugin.Script{Replies: map[protocol.Command]testplugin.Reply{verifying: reply}}
	}
	const both = `{"SIGNATURE_VERIFIER.TRUSTED_IDENTITY":{"success":true},"SIGNATURE_VERIFIER.REVOCATION_CHECK":{"success":true}}`
	for _, c := range []struct {
		name  string
		world world
		want  string // empty for success
	}{
		{"PLG-40 not installed", world{strict, nil, nil}, `does not count: error while locating the verification plugin "check", make sure the plugin is installed successfully before verifying the signature\. error: `},
		{"PLG-40 not installed, at audit", world{audit, nil, nil}, `error while locating the verification plugin "check"`},
		{"PLG-41 version is not SemVer", world{strict, nil, &testplugin.Script{Version: "1.0"}}, `plugin check has pluginVersion 1.0 which is not in valid semver format`},
		{"PLG-42 version too low", world{strict, []string{"minversion=1.0.1"}, &testplugin.Script{}}, `found plugin check with version 1.0.0 but signature verification needs plugin version greater than or equal to 1.0.1`},
		{"PLG-42 a prerelease is lower", world{strict, []string{"minversion=1.0.0"}, &testplugin.Script{Version: "1.0.0-rc"}}, `version 1.0.0-rc but signature verification needs`},
		{"PLG-43 no verifier", world{strict, nil, &testplugin.Script{Capabilities: []protocol.Capability{protocol.CapabilitySignatureGenerator}}}, `digital signature requires plugin "check" with signature verification capabilities`},
		{"PLG-46 critical attribute processed", world{strict, []string{"critical:com.acme.x=1"}, &testplugin.Script{}}, ``},
		{"PLG-51 critical attribute not processed", world{strict, []string{"critical:com.acme.x=1"}, answering(results(both))}, `failed to verify with plugin check: .*com.acme.x`},
		{"PLG-51 processed what nobody asked for", world{strict, nil, answering(testplugin.Reply{Stdout: `{"verificationResults":` + both + `,"processedAttributes":["y"]}`})}, `failed to verify with plugin check: `},
		{"PLG-49 a result missing", world{strict, nil, answering(results(`{"SIGNATURE_VERIFIER.TRUSTED_IDENTITY":{"success":true}}`))}, `failed to verify with plugin check: `},
		{"PLG-49 a result too many", world{strict, nil, answering(results(strings.TrimSuffix(both, "}") + `,"SIGNATURE_VERIFIER.OTHER":{"success":true}}`))}, `failed to verify with plugin check: `},
		{"PLG-50 no reason", world{strict, nil, answering(results(strings.Replace(both, "true", "false", 1)))}, `failed to verify with plugin check: `},
		{"PLG-52 identity refused", world{strict, nil, answering(results(strings.Replace(both, "true", `false,"reason":"not ours"`, 1)))}, `trusted identify verification by plugin "check" failed with reason "not ours"`},
		{"PLG-52 identity refused, logged", world{audit, nil, answering(results(strings.Replace(both, "true", `false,"reason":"not ours"`, 1)))}, ``},
		{"PLG-05 nonsense", world{strict, nil, answering(testplugin.Reply{Stdout: "fine"})}, `failed to verify with plugin check: `},
		{"VER-30 a crash fails at audit", world{audit, nil, answering(testplugin.Reply{Mute: true, Exit: 3})}, `failed to verify with plugin check: .*exit status 3`},
		{"PLG-11 its error is shown", world{strict, nil, answering(testplugin.Reply{Error: &protocol.Error{Code: protocol.CodeAccessDenied, Message: "service closed"}})}, `failed to verify with plugin check: verify-signature: ACCESS_DENIED: service closed`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			p.write("config/trustpolicy.oci.json", []byte(strings.Replace(worldPolicy, "strict", c.world.level, 1)))
			p.forge(append([]string{"plugin=check"}, c.world.forge...)...)
			if c.world.plugin != nil {
				p.plugin("check", *c.world.plugin)
			}
			args := []string{"verify", "--oci-layout", "--scope", "a/b", p.path("layout") + "@" + p.digest}
			if c.want == "" {
				p.must(args...)
				return
			}
			p.refused(c.want, args...)
		})
	}
	t.Run("PLG-04 a hostile name from a signature", func(t *testing.T) {
		t.Parallel()
		for _, name := range []string{"../x", "..", ".", "a/b", `a\b`, "/etc/passwd", "x y", "\x1b[31m"} {
			p := newPlace(t)
			p.plugin("../x", testplugin.Script{Record: p.path("calls")})
			p.forge("plugin=" + name)
			p.refused(`error while locating the verification plugin ".*error: plugin name ".*" is not valid`, "verify", "--oci-layout", "--scope", "a/b", p.path("layout")+"@"+p.digest)
			if calls := testplugin.Records(t, p.path("calls")); len(calls) != 0 {
				t.Error(calls)
			}
		}
	})
	t.Run("PLG-40 nothing is run for a chain that is not anchored", func(t *testing.T) {
		t.Parallel()
		for _, level := range []string{strict, audit} {
			p := newPlace(t)
			stranger := testpki.Root(t, "stranger root").Leaf(t, "stranger", protocol.KeySpecEC256)
			stranger.WriteFiles(t, p.dir, "acme")
			p.write("config/trustpolicy.oci.json", []byte(strings.Replace(worldPolicy, "strict", level, 1)))
			p.forge("plugin=check")
			p.plugin("check", testplugin.Script{Record: p.path("calls")})
			p.refused(`does not count`, "verify", "--oci-layout", "--scope", "a/b", p.path("layout")+"@"+p.digest)
			if calls := testplugin.Records(t, p.path("calls")); len(calls) != 0 {
				t.Error(calls)
			}
		}
	})
	t.Run("PLG-56 PLG-44 what the plugin is asked", func(t *testing.T) {
		t.Parallel()
		p := newPlace(t)
		p.forge("plugin=check", "minversion=1.0.0", "critical:com.acme.x=1", "noncritical:com.acme.y=2", "expiry=1h")
		p.plugin("check", testplugin.Script{Record: p.path("calls")})
		p.must("verify", "--oci-layout", "--scope", "a/b", "--plugin-config", "list=/tmp/x", p.path("layout")+"@"+p.digest)
		calls := testplugin.Records(t, p.path("calls"))
		if len(calls) != 2 || calls[0].Command != metadata || calls[1].Command != verifying {
			t.Fatal(calls)
		}
		var request protocol.VerifySignatureRequest
		if err := json.Unmarshal(calls[1].Request, &request); err != nil {
			t.Fatal(err)
		}
		critical := request.Signature.CriticalAttributes
		if _, err := time.Parse(time.RFC3339, critical.Expiry); err != nil || critical.VerificationPlugin != "check" || critical.VerificationPluginMinVersion != "1.0.0" {
			t.Error(critical, err)
		}
		if len(critical.ExtendedAttributes) != 1 || critical.ExtendedAttributes["com.acme.x"] != "1" || len(request.Signature.UnprocessedAttributes) != 1 {
			t.Error(critical.ExtendedAttributes, request.Signature.UnprocessedAttributes)
		}
		for _, call := range calls {
			if !strings.Contains(string(call.Request), `"pluginConfig":{"list":"/tmp/x"}`) || !strings.Contains(string(call.Request), `"contractVersion":"1.0"`) {
				t.Error(string(call.Request))
			}
		}
	})
}

// forge puts a signature by acme into the layout.
func (p *place) forge(pairs ...string) {
	p.t.Helper()
	if _, err := forge(p.t.Context(), p.path("layout"), p.path("acme"), pairs); err != nil {
		p.t.Fatal(err)
	}
}
