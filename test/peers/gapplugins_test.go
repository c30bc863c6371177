package peers

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/dir"
	"github.com/notaryproject/notation-go/plugin"
	"github.com/notaryproject/notation-go/plugin/proto"
	notationsigner "github.com/notaryproject/notation-go/signer"
	framework "github.com/notaryproject/notation-plugin-framework-go/plugin"
	"github.com/notaryproject/tspclient-go"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/pki"
	hostplugin "github.com/signet-project/signet/host/plugin"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/internal/testtsa"
	"github.com/signet-project/signet/protocol"
)

// pluginName is what the plugin of a probe is called.
const pluginName = "probe"

// plugged is a signature that names a plugin, with what it takes to verify it.
type plugged struct {
	config, plugins, record string
	at                      *place
}

// newPlugged installs a plugin and has a signature name it.
func newPlugged(t *testing.T, script testplugin.Script, attributes ...envelope.Attribute) *plugged {
	t.Helper()
	root := testpki.Root(t, "root")
	p := &plugged{config: newConfig(t, root, "ca:peers"), plugins: t.TempDir(), record: filepath.Join(t.TempDir(), "calls"), at: locally(t)}
	script.Record = p.record
	testplugin.Install(t, p.plugins, pluginName, script)
	attributes = append(attributes, envelope.Attribute{Key: "io.cncf.notary.verificationPlugin", Value: pluginName, Critical: true})
	sign(t, p.at, crafted{key: root.Leaf(t, "signer", protocol.KeySpecEC256), attributes: attributes})
	return p
}

// byPeer has notation-go verify, bySignet signet.
func (p *plugged) byPeer(t *testing.T) error {
	t.Helper()
	_, err := peer{config: p.config, plugins: p.plugins}.outcome(t, p.at, nil)
	return err
}

func (p *plugged) bySignet(t *testing.T) error {
	t.Helper()
	_, err := library{config: p.config, plugins: p.plugins}.outcome(t, p.at, nil)
	return err
}

// told has both verify and returns what the plugin was told by a command.
func (p *plugged) told(t *testing.T, command protocol.Command) (theirs, ours json.RawMessage) {
	t.Helper()
	last := func(err error) json.RawMessage {
		if err != nil {
			t.Fatal(err)
		}
		records := testplugin.Records(t, p.record)
		for _, record := range slices.Backward(records) {
			if record.Command == command {
				return record.Request
			}
		}
		t.Fatalf("the plugin was not called: %+v", records)
		return nil
	}
	theirs = last(p.byPeer(t))
	if err := os.Remove(p.record); err != nil {
		t.Fatal(err)
	}
	return theirs, last(p.bySignet(t))
}

var mustUnderstand = envelope.Attribute{Key: "com.example.must", Value: "x", Critical: true}

// skippedPlugin has the policy skip revocation, all that the plugin can check.
func skippedPlugin(t *testing.T) (theirs, ours string) {
	p := newPlugged(t, testplugin.Script{Capabilities: []protocol.Capability{protocol.CapabilityRevocationCheckVerifier}}, mustUnderstand)
	path := filepath.Join(p.config, "trustpolicy.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	skipping := strings.Replace(string(data), `"level":"strict"`, `"level":"strict","override":{"revocation":"skip"}`, 1)
	if skipping == string(data) {
		t.Fatalf("not strict: %s", data)
	}
	write(t, path, []byte(skipping))
	return said(p.byPeer(t)), said(p.bySignet(t))
}

// unprocessedTold shows the attributes that the plugin is to process.
func unprocessedTold(t *testing.T) (theirs, ours string) {
	p := newPlugged(t, testplugin.Script{}, mustUnderstand, envelope.Attribute{Key: "com.example.may", Value: "x"})
	say := func(request json.RawMessage) string {
		var r struct {
			Signature struct{ UnprocessedAttributes []string }
		}
		decode(t, request, &r)
		return strings.Join(slices.Sorted(slices.Values(r.Signature.UnprocessedAttributes)), ", ")
	}
	told, toldByUs := p.told(t, protocol.CommandVerifySignature)
	return say(told), say(toldByUs)
}

// criticalTold shows the critical attributes that the plugin is told.
func criticalTold(t *testing.T) (theirs, ours string) {
	p := newPlugged(t, testplugin.Script{})
	say := func(request json.RawMessage) string {
		var r struct {
			Signature struct {
				CriticalAttributes    map[string]json.RawMessage
				UnprocessedAttributes json.RawMessage
			}
		}
		decode(t, request, &r)
		var members []string
		for _, name := range slices.Sorted(maps.Keys(r.Signature.CriticalAttributes)) {
			if name == "expiry" {
				name += " " + string(r.Signature.CriticalAttributes[name])
			}
			members = append(members, name)
		}
		return strings.Join(members, ", ") + "; unprocessedAttributes " + string(r.Signature.UnprocessedAttributes)
	}
	told, toldByUs := p.told(t, protocol.CommandVerifySignature)
	return say(told), say(toldByUs)
}

// metadataRequest shows the first request that a plugin gets.
func metadataRequest(t *testing.T) (theirs, ours string) {
	told, toldByUs := newPlugged(t, testplugin.Script{}).told(t, protocol.CommandGetMetadata)
	return "`" + string(bytes.TrimSpace(told)) + "`", "`" + string(bytes.TrimSpace(toldByUs)) + "`"
}

func decode(t *testing.T, data []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%v: %s", err, data)
	}
}

// extraResult has the plugin answer for revocation although it can only tell
// identities.
func extraResult(t *testing.T) (theirs, ours string) {
	return answering(t, `{"verificationResults":{"SIGNATURE_VERIFIER.TRUSTED_IDENTITY":{"success":true},"SIGNATURE_VERIFIER.REVOCATION_CHECK":{"success":true}},"processedAttributes":[]}`)
}

// extraAttribute has the plugin process what nobody wrote.
func extraAttribute(t *testing.T) (theirs, ours string) {
	return answering(t, `{"verificationResults":{"SIGNATURE_VERIFIER.TRUSTED_IDENTITY":{"success":true}},"processedAttributes":["com.example.none"]}`)
}

// answering has a plugin that tells identities give an answer to verify-signature.
func answering(t *testing.T, answer string) (theirs, ours string) {
	t.Helper()
	p := newPlugged(t, testplugin.Script{
		Capabilities: []protocol.Capability{protocol.CapabilityTrustedIdentityVerifier},
		Replies:      map[protocol.Command]testplugin.Reply{protocol.CommandVerifySignature: {Stdout: answer}},
	})
	return said(p.byPeer(t)), said(p.bySignet(t))
}

// installed is a plugin as each implementation sees it.
type installed struct {
	directory string
	theirs    *plugin.CLIManager
	ours      *hostplugin.Manager
}

func newInstalled(t *testing.T) *installed {
	t.Helper()
	directory := filepath.Join(t.TempDir(), "plugins")
	if err := os.Mkdir(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	return &installed{directory, plugin.NewCLIManager(dir.NewSysFS(directory)), hostplugin.NewManager(directory, hostplugin.Options{Environ: os.Environ()})}
}

// metadata asks for the metadata of a plugin.
func (i *installed) metadata(t *testing.T, name string) (theirs, ours error) {
	t.Helper()
	found, theirs := i.theirs.Get(t.Context(), name)
	if theirs == nil {
		_, theirs = found.GetMetadata(t.Context(), &framework.GetMetadataRequest{})
	}
	client, ours := i.ours.Get(t.Context(), name)
	if ours == nil {
		_, ours = client.GetMetadata(t.Context(), &protocol.GetMetadataRequest{})
	}
	return theirs, ours
}

// statusTwo finds out whose error a plugin's is that breaks the contract.
func statusTwo(t *testing.T) (theirs, ours string) {
	i := newInstalled(t)
	testplugin.Install(t, i.directory, pluginName, testplugin.Script{Any: &testplugin.Reply{
		Error: &protocol.Error{Code: protocol.CodeAccessDenied, Message: "no"}, Exit: 2,
	}})
	say := func(itsOwn bool) string {
		if itsOwn {
			return "taken for the plugin's error"
		}
		return "a broken plugin"
	}
	their, our := i.metadata(t, pluginName)
	if their == nil || our == nil {
		t.Fatalf("no error: %v, %v", their, our)
	}
	_, itsOwn := errors.AsType[proto.RequestError](their)
	_, itsOwnForUs := errors.AsType[*protocol.Error](our)
	return say(itsOwn), say(itsOwnForUs)
}

// linkedPlugin runs a plugin whose executable is elsewhere.
func linkedPlugin(t *testing.T) (theirs, ours string) {
	i := newInstalled(t)
	elsewhere := testplugin.Build(t, t.TempDir(), pluginName, testplugin.Script{Name: pluginName})
	link := filepath.Join(i.directory, pluginName, filepath.Base(elsewhere))
	err := os.Mkdir(filepath.Dir(link), 0o755)
	if err == nil {
		err = os.Symlink(elsewhere, link)
	}
	if err != nil {
		t.Fatal(err)
	}
	their, our := i.metadata(t, pluginName)
	return said(their), said(our)
}

// pluginCalledDots looks for a plugin outside the directory of plugins.
func pluginCalledDots(t *testing.T) (theirs, ours string) {
	i := newInstalled(t)
	const name = "../x"
	path := filepath.Join(i.directory, name, protocol.BinaryPrefix+name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, their := i.theirs.Get(t.Context(), name)
	_, our := i.ours.Get(t.Context(), name)
	return said(their), said(our)
}

// otherAlgorithm has a plugin sign well and say that it used another algorithm.
func otherAlgorithm(t *testing.T) (theirs, ours string) {
	i := newInstalled(t)
	keyPath, chainPath := testpki.SelfSigned(t, "signer", protocol.KeySpecEC256).WriteFiles(t, t.TempDir(), "signer")
	testplugin.Install(t, i.directory, pluginName, testplugin.Script{Key: keyPath, Chain: chainPath, Replies: map[protocol.Command]testplugin.Reply{
		protocol.CommandGenerateSignature: {Set: map[string]any{"signingAlgorithm": "RSASSA-PSS-SHA-256"}},
	}})
	their, our := i.sign(t, nil, nil, nil)
	return said(their), said(our)
}

// sign has both sign through the plugin, countersigned if that is asked for.
func (i *installed) sign(t *testing.T, config map[string]string, theirs tspclient.Timestamper, ours host.Timestamper) (theirErr, ourErr error) {
	t.Helper()
	const id = "key"
	found, err := i.theirs.Get(t.Context(), pluginName)
	if err != nil {
		t.Fatal(err)
	}
	their, err := notationsigner.NewPluginSigner(found, id, config)
	if err != nil {
		t.Fatal(err)
	}
	_, _, theirErr = their.Sign(t.Context(), anyArtifact, notation.SignerSignOptions{SignatureMediaType: envelope.MediaTypeJWS, Timestamper: theirs})

	client, err := i.ours.Get(t.Context(), pluginName)
	if err != nil {
		t.Fatal(err)
	}
	key, err := host.NewPluginKey(t.Context(), client, id, config, host.KindArtifact)
	if err != nil {
		t.Fatal(err)
	}
	own := &host.Signer{Key: key, Agent: "signet/test", Timestamper: ours}
	_, ourErr = own.SignArtifact(t.Context(), &described{artifact: anyArtifact}, anyArtifact.Digest.String())
	return theirErr, ourErr
}

// badCountersignature has a plugin make an envelope with a countersignature that no
// time-stamping authority may make.
func badCountersignature(t *testing.T) (theirs, ours string) {
	i, config := newEnvelopeMaker(t)
	root := testpki.Root(t, "root")
	good := root.TSA(t, "tsa", protocol.KeySpecEC256)
	if their, our := i.sign(t, stampedBy(t, config, good), nil, nil); their != nil || our != nil {
		t.Fatalf("a good countersignature: %v, %v", their, our)
	}
	their, our := i.sign(t, stampedBy(t, config, root.Leaf(t, "no tsa", protocol.KeySpecEC256)), nil, nil)
	return said(their), said(our)
}

// uselessFlags asks both for a countersignature that they cannot get into an
// envelope of somebody else.
func uselessFlags(t *testing.T) (theirs, ours string) {
	i, config := newEnvelopeMaker(t)
	authority := new(deadAuthority)
	their, our := i.sign(t, config, authority, authority.us())
	say := func(err error) string {
		switch {
		case err != nil:
			return "refused"
		case authority.asked:
			t.Error("the authority was asked")
		}
		return "signed without one"
	}
	return say(their), say(our)
}

// deadAuthority is a time-stamping authority that never answers.
type deadAuthority struct{ asked bool }

func (d *deadAuthority) Timestamp(context.Context, *tspclient.Request) (*tspclient.Response, error) {
	d.asked = true
	return nil, errors.New("dead")
}

func (d *deadAuthority) us() host.Timestamper { return (*deadAuthorityForUs)(d) }

type deadAuthorityForUs deadAuthority

func (d *deadAuthorityForUs) Timestamp(context.Context, []byte, crypto.Hash) ([]byte, error) {
	d.asked = true
	return nil, errors.New("dead")
}

// newEnvelopeMaker installs a plugin that makes envelopes, and the configuration
// that it needs.
func newEnvelopeMaker(t *testing.T) (*installed, map[string]string) {
	t.Helper()
	i := newInstalled(t)
	keyPath, chainPath := testpki.SelfSigned(t, "signer", protocol.KeySpecEC256).WriteFiles(t, t.TempDir(), "signer")
	testplugin.Install(t, i.directory, pluginName, testplugin.Script{
		Capabilities: []protocol.Capability{protocol.CapabilityEnvelopeGenerator},
		Replies:      map[protocol.Command]testplugin.Reply{protocol.CommandGenerateEnvelope: {Func: makesEnvelopes}},
	})
	return i, map[string]string{"key": keyPath, "chain": chainPath}
}

// stampedBy adds the authority that is to countersign to a configuration.
func stampedBy(t *testing.T, config map[string]string, authority *testpki.Entity) map[string]string {
	t.Helper()
	with := maps.Clone(config)
	with["tsaKey"], with["tsaChain"] = authority.WriteFiles(t, t.TempDir(), "tsa")
	return with
}

// makesEnvelopes names what answers generate-envelope in a plugin's process.
const makesEnvelopes = "envelope"

// makeEnvelope signs with the key, and countersigns with the authority, that the
// plugin's configuration names.
func makeEnvelope(_ protocol.Command, data []byte) ([]byte, error) {
	var request protocol.GenerateEnvelopeRequest
	if err := json.Unmarshal(data, &request); err != nil {
		return nil, err
	}
	signer, err := readEntity(request.PluginConfig["key"], request.PluginConfig["chain"])
	if err != nil {
		return nil, err
	}
	suite, err := protocol.SuiteForKey(signer.Key.Public())
	if err != nil {
		return nil, err
	}
	draft, err := envelope.NewDraft(request.SignatureEnvelopeType, envelope.DraftOptions{
		Payload: request.Payload, Suite: suite, Scheme: envelope.SchemeX509, SigningTime: time.Now().Truncate(time.Second),
	})
	if err != nil {
		return nil, err
	}
	sealing := envelope.SealOptions{Chain: signer.Chain()}
	if sealing.Signature, err = pki.Sign(signer.Key, draft.SigningInput()); err != nil {
		return nil, err
	}
	if request.PluginConfig["tsaKey"] != "" {
		authority, err := readEntity(request.PluginConfig["tsaKey"], request.PluginConfig["tsaChain"])
		if err != nil {
			return nil, err
		}
		if sealing.Timestamp, err = testtsa.Make(testtsa.Options{Signer: authority}, sealing.Signature, crypto.SHA256); err != nil {
			return nil, err
		}
	}
	sealed, err := draft.Seal(sealing)
	if err != nil {
		return nil, err
	}
	return json.Marshal(protocol.GenerateEnvelopeResponse{SignatureEnvelope: sealed, SignatureEnvelopeType: request.SignatureEnvelopeType, Annotations: map[string]string{}})
}

// readEntity reads what WriteFiles wrote.
func readEntity(keyPath, chainPath string) (*testpki.Entity, error) {
	keyData, keyErr := os.ReadFile(keyPath)
	chainData, chainErr := os.ReadFile(chainPath)
	if err := errors.Join(keyErr, chainErr); err != nil {
		return nil, err
	}
	key, keyErr := pki.ParsePrivateKey(keyData)
	chain, chainErr := pki.ParseCertificateChain(chainData)
	if err := errors.Join(keyErr, chainErr); err != nil {
		return nil, err
	}
	return entityOf(key, chain), nil
}

// entityOf links the certificates of a chain.
func entityOf(key crypto.Signer, chain []*x509.Certificate) *testpki.Entity {
	var issuer *testpki.Entity
	for _, cert := range slices.Backward(chain) {
		issuer = &testpki.Entity{Cert: cert, Issuer: issuer}
	}
	issuer.Key = key
	return issuer
}
