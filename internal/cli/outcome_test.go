package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/revocation"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

// conforms holds a value, as JSON, against a schema of spec/schemas.
func conforms(t *testing.T, schema string, value any) {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(schema, data); err != nil {
		t.Error(err)
	}
}

// schemaDir is where the schemas are; scripts run elsewhere.
var schemaDir, _ = filepath.Abs(filepath.Join("..", "..", "spec", "schemas"))

// schemaBase begins the $id of every schema.
const schemaBase = "https://signet-project.github.io/spec/schemas/"

// validate holds one JSON document against a schema of spec/schemas.
func validate(schema string, data []byte) error {
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	compiler.UseLoader(schemaLoader{})
	compiled, err := compiler.Compile(schemaBase + schema)
	if err != nil {
		return err
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return err
	}
	if err := compiled.Validate(document); err != nil {
		return fmt.Errorf("%s: %v\n%s", schema, err, data)
	}
	return nil
}

// schemaLoader finds schemas, which may refer to each other, by their $id.
type schemaLoader struct{}

func (schemaLoader) Load(url string) (any, error) {
	file, err := os.Open(filepath.Join(schemaDir, strings.TrimPrefix(url, schemaBase)))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return jsonschema.UnmarshalJSON(file)
}

func scriptSchema(ts *testscript.TestScript, args []string) error {
	return validate(args[0]+".json", []byte(ts.ReadFile(args[1])))
}

// fullOutcome has something to say about everything.
func fullOutcome(t *testing.T) *host.Outcome {
	leaf := testpki.Root(t, "Root").Leaf(t, "Signer", protocol.KeySpecEC256)
	now := time.Now()
	report := revocation.Report{Certificates: []revocation.CertificateReport{{
		Certificate: leaf.Cert, Result: revocation.ResultRevoked, Method: revocation.MethodCRL, Server: "http://crl.example/a",
		Age:        revocation.Age{ThisUpdate: now, NextUpdate: now.Add(time.Hour), FetchedAt: now, Cached: true},
		Revocation: &revocation.Revocation{Time: now, Reason: revocation.ReasonKeyCompromise},
		Attempts:   []revocation.Attempt{{Method: revocation.MethodOCSP, URL: "http://ocsp.example", Err: errors.New("no answer")}},
	}}}
	good := &host.SignatureOutcome{
		Digest:   digest.FromString("signature").String(),
		Envelope: &envelope.Envelope{Scheme: envelope.SchemeX509, Algorithm: "ECDSA-SHA-256", SigningTime: now, Expiry: now, Certificates: leaf.Chain()},
		Target:   ocispec.Descriptor{Annotations: map[string]string{"k": "v"}},
		Checks: []host.CheckResult{
			{Check: trust.CheckIntegrity, Action: trust.ActionEnforce, Status: host.StatusPassed, Duration: time.Millisecond},
			{Check: trust.CheckAuthenticity, Action: trust.ActionEnforce, Status: host.StatusPassed, Detail: "decided by plugin acme"},
			{Check: trust.CheckExpiry, Action: trust.ActionLog, Status: host.StatusFailed, Err: errors.New("expired")},
			{Check: trust.CheckAuthenticTimestamp, Action: trust.ActionEnforce, Status: host.StatusPassed},
			{Check: trust.CheckRevocation, Action: trust.ActionSkip, Status: host.StatusSkipped},
		},
		Anchor: leaf.Issuer.Cert, Identity: "x509.subject: CN=Signer", Revocation: &report,
		Timestamp: &host.TimestampOutcome{Lower: now, Upper: now, Chain: leaf.Chain(), Revocation: report},
		Plugins:   []host.PluginUse{{Name: "acme", Version: "1.0.0", Required: true}},
	}
	bad := &host.SignatureOutcome{Digest: digest.FromString("other").String(), Checks: good.Checks, Err: errors.New("cannot be read")}
	return &host.Outcome{
		Reference: "registry.example/app@sha256:00", Artifact: ocispec.Descriptor{MediaType: "a/b", Digest: digest.FromString("x"), Size: 1},
		Statement: "all", Level: "strict", Signatures: []*host.SignatureOutcome{bad, good}, Verified: []*host.SignatureOutcome{good},
	}
}

func TestOutcomeJSON(t *testing.T) {
	t.Parallel()
	outcome := fullOutcome(t)
	conforms(t, "verify-output.json", viewOutcome(outcome, nil))
	conforms(t, "verify-output.json", viewOutcome(&host.Outcome{Statement: "none", Level: "skip", Skipped: true}, nil))
	view := viewOutcome(outcome, errors.New("no"))
	if view.Result != "failed" || view.Error != "no" || view.Signatures[0].Counted || !view.Signatures[1].Counted {
		t.Errorf("view %+v", view)
	}
	conforms(t, "verify-output.json", view)
}

func TestOutcomeText(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	viewOutcome(fullOutcome(t), nil).tree().print(&out)
	for _, want := range []string{
		"trust policy statement: all (strict)", "reason: cannot be read", "expiry: failed (log): expired", "authenticity: passed (enforce): decided by plugin acme",
		"plugin: acme 1.0.0, required by the trust policy", "OCSP http://ocsp.example: no answer", "revocation: skipped (skip)",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	policy, err := trust.ParseOCIPolicy([]byte(`{"version":"1.0","trustPolicies":[{
		"name":"all","registryScopes":["*"],"trustStores":["ca:missing","tsa:time"],"trustedIdentities":["x509.subject: C=US, ST=WA, O=a","x509.subject: C=US, ST=WA, O=b"],
		"signatureVerification":{"level":"permissive","verifyTimestamp":"afterCertExpiry"},
		"extensions":["verificationPlugins","signaturePlugins","threshold"],
		"verificationPlugins":[{"name":"acme","minVersion":"1.2.0","checks":["revocation"]}],"signaturePlugins":"none","threshold":{"signatures":2}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	statement, err := policy.Statement("registry.example/app")
	if err != nil {
		t.Fatal(err)
	}
	stores := trust.NewDirStore(t.TempDir(), nil)
	_, cert := testpki.Root(t, "root").WriteFiles(t, t.TempDir(), "root")
	if err := stores.Add(trust.StoreRef{Type: trust.StoreTSA, Name: "time"}, cert); err != nil {
		t.Fatal(err)
	}
	view := explain(t.Context(), stores, "registry.example/app", statement)
	conforms(t, "policy-explain.json", view)
	var out bytes.Buffer
	view.tree().print(&out)
	for _, want := range []string{
		"revocation: log, a failure is a warning", "by: plugin acme 1.2.0 besides", "by the timestamp once a certificate has expired",
		"threshold: 2 signatures, distinct by identity", "plugins that a signature may call for: none", `ca:missing: `, "tsa:time: 1 certificate\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

// TestShownTimes holds that no time of a certificate keeps what is known of a
// signature from being written as JSON.
func TestShownTimes(t *testing.T) {
	t.Parallel()
	leaf := testpki.Root(t, "root").Leaf(t, "leaf", protocol.KeySpecEC256).Cert
	for name, c := range map[string]struct {
		at   time.Time
		want string
	}{
		"UTC":                    {time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), "2030-01-02T03:04:05Z"},
		"an offset of a day":     {time.Date(2030, 1, 2, 0, 0, 0, 0, time.FixedZone("", 24*3600)), "2030-01-01T00:00:00Z"},
		"west of the last day":   {time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -3600)), "9999-12-31T23:59:59Z"},
		"east of the first year": {time.Date(0, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600)), "0000-01-01T00:00:00Z"},
	} {
		t.Run("CLI-25 "+name, func(t *testing.T) {
			cert := *leaf
			cert.NotAfter = c.at
			data, err := json.Marshal(viewCertificate(&cert))
			if err != nil || !strings.Contains(string(data), `"expiry":"`+c.want+`"`) {
				t.Errorf("%s, error %v", data, err)
			}
			if data, err := json.Marshal(optionalTime(c.at)); err != nil || string(data) != `"`+c.want+`"` {
				t.Errorf("%s, error %v", data, err)
			}
		})
	}
}
