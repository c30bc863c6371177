package cli

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/protocol"
)

// forgery is a signature that a well-behaved signer does not make.
type forgery struct {
	target ocispec.Descriptor
	format envelope.Format
	scheme envelope.Scheme
	time   time.Time
	expiry time.Time
	extra  []envelope.Attribute
	agent  string
	broken bool // the signature is over something else
}

// set understands NAME=VALUE: format, scheme, time and expiry (see
// parseTime), plugin and minversion, agent, digest, broken, and critical:ATTRIBUTE or
// noncritical:ATTRIBUTE.
func (f *forgery) set(name, value string) error {
	var err error
	switch name {
	case "format":
		f.format = envelope.Format(value)
	case "scheme":
		f.scheme = envelope.Scheme(value)
	case "time":
		f.time, err = parseTime(value)
	case "expiry":
		f.expiry, err = parseTime(value)
	case "plugin":
		f.extra = append(f.extra, envelope.Attribute{Key: "io.cncf.notary.verificationPlugin", Value: value, Critical: true})
	case "minversion":
		f.extra = append(f.extra, envelope.Attribute{Key: "io.cncf.notary.verificationPluginMinVersion", Value: value, Critical: true})
	case "agent":
		f.agent = value
	case "note":
		f.target.Annotations = map[string]string{"note": value}
	case "size":
		_, err = fmt.Sscan(value, &f.target.Size)
	case "broken":
		f.broken = true
	default:
		kind, attribute, _ := strings.Cut(name, ":")
		f.extra = append(f.extra, envelope.Attribute{Key: attribute, Value: value, Critical: kind == "critical"})
	}
	return err
}

// parseTime reads a duration from now, or a time with an @ before it.
func parseTime(text string) (time.Time, error) {
	if at, ok := strings.CutPrefix(text, "@"); ok {
		return time.Parse(time.RFC3339, at)
	}
	offset, err := time.ParseDuration(text)
	return time.Now().Add(offset), err
}

// seal makes the envelope with a key and chain.
func (f *forgery) seal(key signFunc, chain []*x509.Certificate) ([]byte, error) {
	suite, err := protocol.SuiteForKey(chain[0].PublicKey)
	if err != nil {
		return nil, err
	}
	payload, err := envelope.MarshalPayload(f.format.MediaType(), f.target)
	if err != nil {
		return nil, err
	}
	draft, err := envelope.NewDraft(f.format.MediaType(), envelope.DraftOptions{
		Payload: payload, Suite: suite, Scheme: f.scheme, SigningTime: f.time, Expiry: f.expiry, Extended: f.extra,
	})
	if err != nil {
		return nil, err
	}
	message := draft.SigningInput()
	if f.broken {
		message = append(message, "!"...)
	}
	signature, err := key(message)
	if err != nil {
		return nil, err
	}
	return draft.Seal(envelope.SealOptions{Signature: signature, Chain: chain, Agent: f.agent})
}

type signFunc func(message []byte) ([]byte, error)

// readSigner reads the PEM files path.key and path.crt.
func readSigner(path string) (signFunc, []*x509.Certificate, error) {
	keyPEM, err := os.ReadFile(path + ".key")
	if err != nil {
		return nil, nil, err
	}
	certPEM, err := os.ReadFile(path + ".crt")
	if err != nil {
		return nil, nil, err
	}
	key, err := pki.ParsePrivateKey(keyPEM)
	if err != nil {
		return nil, nil, err
	}
	chain, err := pki.ParseCertificateChain(certPEM)
	return func(message []byte) ([]byte, error) { return pki.Sign(key, message) }, chain, err
}

// scriptForge signs the artifact v1 of a layout: forge LAYOUT KEY [NAME=VALUE]...,
// and sets FORGED to the signature manifest's digest.
func scriptForge(ts *testscript.TestScript, args []string) error {
	manifest, err := forge(context.Background(), ts.MkAbs(args[0]), ts.MkAbs(args[1]), args[2:])
	ts.Setenv("FORGED", manifest)
	return err
}

// forge adds a signature by the key of signer.key and signer.crt to a layout.
func forge(ctx context.Context, layout, signer string, pairs []string) (manifest string, err error) {
	repo, err := artifact.OpenLayout(ctx, layout)
	if err != nil {
		return "", err
	}
	target, err := repo.Resolve(ctx, "v1")
	if err != nil {
		return "", err
	}
	f := &forgery{target: target, format: envelope.FormatJWS, scheme: envelope.SchemeX509, time: time.Now(), agent: "forge/1"}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		if err := f.set(name, value); err != nil {
			return "", err
		}
	}
	key, chain, err := readSigner(signer)
	if err != nil {
		return "", err
	}
	data, err := f.seal(key, chain)
	if err != nil {
		return "", err
	}
	pushed, err := repo.PushSignature(ctx, artifact.PushRequest{
		MediaType: f.format.MediaType(), Envelope: data, Subject: target, Certificates: chain, SigningTime: f.time,
	})
	return pushed.Digest.String(), err
}

func scriptPushJunk(ts *testscript.TestScript, args []string) error {
	ctx := context.Background()
	repo, err := artifact.OpenLayout(ctx, ts.MkAbs(args[0]))
	if err != nil {
		return err
	}
	target, err := repo.Resolve(ctx, "v1")
	if err != nil {
		return err
	}
	_, chain, err := readSigner(ts.MkAbs(args[1]))
	if err != nil {
		return err
	}
	_, err = repo.PushSignature(ctx, artifact.PushRequest{
		MediaType: envelope.MediaTypeJWS, Envelope: []byte("{}"), Subject: target, SigningTime: time.Now(), Certificates: chain,
	})
	return err
}

// pluginFuncs run in the process of test plugins.
var pluginFuncs = map[string]testplugin.Func{
	// envelope answers generate-envelope. The plugin config names key and chain
	// as PEM files, and what else forgery.set knows.
	"envelope": makeEnvelope,
}

func makeEnvelope(_ protocol.Command, data []byte) ([]byte, error) {
	var request protocol.GenerateEnvelopeRequest
	if err := json.Unmarshal(data, &request); err != nil {
		return nil, err
	}
	var payload struct{ TargetArtifact ocispec.Descriptor }
	if err := json.Unmarshal(request.Payload, &payload); err != nil {
		return nil, err
	}
	format, _ := envelope.FormatOf(request.SignatureEnvelopeType)
	f := &forgery{target: payload.TargetArtifact, format: format, scheme: envelope.SchemeX509, time: time.Now(), agent: "maker/1"}
	if request.ExpiryDurationInSeconds > 0 {
		f.expiry = f.time.Add(time.Duration(request.ExpiryDurationInSeconds) * time.Second)
	}
	for name, value := range request.PluginConfig {
		if name != "pem" {
			if err := f.set(name, value); err != nil {
				return nil, err
			}
		}
	}
	key, chain, err := readSigner(request.PluginConfig["pem"])
	if err != nil {
		return nil, err
	}
	sealed, err := f.seal(key, chain)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{
		"signatureEnvelope":     base64.StdEncoding.EncodeToString(sealed),
		"signatureEnvelopeType": request.SignatureEnvelopeType,
		"annotations":           map[string]string{"com.example.maker": "yes"},
	})
}
