package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

// home is an installation in which nothing is wrong.
type home struct {
	*testing.T
	dirs config.Dirs
	root *testpki.Entity
	leaf *testpki.Entity
}

const policy = `{"version":"1.0","trustPolicies":[{"name":"all","registryScopes":["*"],
"signatureVerification":{"level":"strict"},"trustStores":["ca:acme"],"trustedIdentities":["x509.subject: C=US, ST=WA, O=signet test"]}]}`

func newHome(t *testing.T) *home {
	dir := t.TempDir()
	h := &home{T: t, dirs: config.Dirs{Config: dir, Libexec: dir, Cache: filepath.Join(dir, "cache")}}
	h.root = testpki.Root(t, "root")
	h.leaf = h.root.Leaf(t, "leaf", protocol.KeySpecEC256)
	h.write("config.json", `{"signatureFormat": "jws"}`)
	h.write(trust.OCIPolicyFile, policy)
	h.write("truststore/x509/ca/acme/root.crt", string(h.root.CertPEM()))
	h.pair(h.leaf)
	return h
}

// pair makes an entity's files those of the only signing key.
func (h *home) pair(e *testpki.Entity) {
	key, cert := e.WriteFiles(h, h.dirs.Config, "pair")
	entry, _ := json.Marshal(map[string]string{"name": "build", "keyPath": key, "certPath": cert})
	h.write("signingkeys.json", fmt.Sprintf(`{"default":"build","keys":[%s]}`, entry))
}

func (h *home) path(name string) string {
	return filepath.Join(h.dirs.Config, filepath.FromSlash(name))
}

func (h *home) write(name, text string) {
	h.Helper()
	err := errors.Join(os.MkdirAll(filepath.Dir(h.path(name)), 0o700), os.WriteFile(h.path(name), []byte(text), 0o600))
	if err != nil {
		h.Fatal(err)
	}
}

// examine returns the findings that are not OK, and holds the rules for all.
func (h *home) examine(d *Doctor) []Finding {
	h.Helper()
	d.Dirs, d.DockerConfigFile = h.dirs, h.path("docker.json")
	d.LookPath = func(name string) (string, error) {
		if strings.HasSuffix(name, "absent") {
			return "", exec.ErrNotFound
		}
		return name, nil
	}
	findings := d.Examine(h.Context())
	for _, f := range findings {
		if f.Subject == "" || f.Message == "" || (f.Remedy == "") != (f.Severity == OK) && f.Severity != Note {
			h.Errorf("incomplete: %+v", f)
		}
		// GEN-12: whatever is wrong, less trust is never the answer.
		for _, loose := range []string{"skip", "audit", "permissive", "trustedIdentities", `"*"`} {
			if strings.Contains(f.Remedy, loose) {
				h.Errorf("the remedy %q loosens the policy", f.Remedy)
			}
		}
	}
	return slices.DeleteFunc(findings, func(f Finding) bool { return f.Severity == OK })
}

// finds wants one finding like that, and none that is as bad.
func (h *home) finds(d *Doctor, area Area, severity Severity, subject, message string) {
	h.Helper()
	findings := h.examine(d)
	found := 0
	for _, f := range findings {
		switch {
		case f.Area == area && f.Severity == severity && strings.Contains(f.Subject, subject) && strings.Contains(f.Message, message):
			found++
		case rank(f.Severity) >= rank(severity) && severity != Note:
			h.Errorf("besides: %+v", f)
		}
	}
	if found != 1 {
		h.Errorf("%d findings %s %s %q %q in %+v", found, area, severity, subject, message, findings)
	}
	if got := worst(findings); got != severity {
		h.Errorf("worst is %s", got)
	}
}

// worst returns the greatest severity among findings.
func worst(findings []Finding) Severity {
	most := OK
	for _, f := range findings {
		if rank(f.Severity) > rank(most) {
			most = f.Severity
		}
	}
	return most
}

func TestHealthy(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	for _, f := range h.examine(&Doctor{}) {
		if f.Severity != Note || !strings.Contains(f.Message, "no trust policy for files") {
			t.Errorf("%+v", f)
		}
	}
}

func TestHomeless(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.dirs.Homeless = true
	h.finds(&Doctor{}, Configuration, Warning, h.dirs.Config, "depends on the current directory")
}

func TestNothing(t *testing.T) {
	t.Parallel()
	h := &home{T: t, dirs: config.Dirs{Config: filepath.Join(t.TempDir(), "none")}}
	h.dirs.Libexec = h.dirs.Config
	if findings := h.examine(&Doctor{}); worst(findings) != Note || len(findings) != 4 {
		t.Errorf("%+v", findings)
	}
	if entries, _ := os.ReadDir(h.dirs.Config); entries != nil {
		t.Error("it made", entries)
	}
}

func TestFindings(t *testing.T) {
	t.Parallel()
	day := 24 * time.Hour
	expired := testpki.Validity(time.Now().Add(-90*day), time.Now().Add(-time.Hour))
	ending := testpki.Validity(time.Now().Add(-90*day), time.Now().Add(day))
	future := testpki.Validity(time.Now().Add(day), time.Now().Add(90*day))
	cases := map[string]struct {
		spoil            func(*home)
		area             Area
		severity         Severity
		subject, message string
	}{
		"KEY-10 malformed settings":            {func(h *home) { h.write("config.json", "{") }, Configuration, Broken, "config.json", "malformed config.json"},
		"KEY-10 unknown setting":               {func(h *home) { h.write("config.json", `{"auths":{},"CredsStore":"there","signatureFormt":"jws"}`) }, Configuration, Warning, "config.json", `"signatureFormt" is not known`},
		"KEY-10 unknown setting of a registry": {func(h *home) { h.write("config.json", `{"registries":{"a.example":{"cafiles":"x"}}}`) }, Configuration, Warning, "config.json", `"registries.a.example.cafiles" is not known`},
		"REG-11 helper that is not there":      {func(h *home) { h.write("config.json", `{"credHelpers":{"a.example":"absent"}}`) }, Configuration, Broken, "config.json", "no program docker-credential-absent on PATH"},
		"REG-14 plain text":                    {func(h *home) { h.write("config.json", `{"auths":{"a.example":{"auth":"dTpw"},"b.example":{}}}`) }, Configuration, Warning, "config.json", "the credentials for a.example are stored as plain text"},
		"REG-10 Docker's helper":               {func(h *home) { h.write("docker.json", `{"credsStore":"absent"}`) }, Configuration, Broken, "docker.json", "docker-credential-absent"},
		"REG-10 Docker's malformed settings":   {func(h *home) { h.write("docker.json", `{`) }, Configuration, Broken, "docker.json", "not valid JSON"},
		"KEY-11 unknown format":                {func(h *home) { h.write("config.json", `{"signatureFormat":"pgp"}`) }, Configuration, Broken, "config.json", `"pgp" is not supported`},
		"REG-03 plain HTTP":                    {func(h *home) { h.write("config.json", `{"insecureRegistries":["a.example"]}`) }, Configuration, Note, "config.json", "a.example is spoken to by plain HTTP"},
		"REG-15 missing CA file":               {func(h *home) { h.write("config.json", `{"caFile":"none.pem"}`) }, Configuration, Broken, "config.json", "caFile none.pem"},
		"REG-15 registry's CA file":            {func(h *home) { h.write("config.json", `{"registries":{"a.example":{"caFile":"none.pem"}}}`) }, Configuration, Broken, "config.json", "a.example none.pem"},
		"REG-15 half a certificate":            {func(h *home) { h.write("config.json", `{"registries":{"a.example":{"certFile":"none.pem"}}}`) }, Configuration, Broken, "config.json", "client certificate for registry a.example"},
		"REG-15 expired certificate":           {func(h *home) { h.client(h.root.Leaf(h, "client", protocol.KeySpecEC256, expired)) }, Configuration, Broken, "client.crt", "is valid from"},
		"REG-15 ending certificate":            {func(h *home) { h.client(h.root.Leaf(h, "client", protocol.KeySpecEC256, ending)) }, Configuration, Warning, "client.crt", "expires on"},

		"TP-03 malformed policy":    {func(h *home) { h.write(trust.OCIPolicyFile, "{") }, Policies, Broken, trust.OCIPolicyFile, "malformed"},
		"TP-17 policy that is none": {func(h *home) { h.write(trust.BlobPolicyFile, `{"version":"9"}`) }, Policies, Broken, trust.BlobPolicyFile, "version"},
		"TP-33 unknown member":      {func(h *home) { h.write(trust.OCIPolicyFile, strings.Replace(policy, `"name"`, `"nam":1,"name"`, 1)) }, Policies, Warning, trust.OCIPolicyFile, `"nam"`},
		"TP-33 unknown member named like a remark": {func(h *home) {
			h.write(trust.OCIPolicyFile, strings.Replace(policy, `"name"`, `"other hosts":1,"name"`, 1))
		}, Policies, Warning, trust.OCIPolicyFile, `member "other hosts"`},
		"TP-02 legacy name": {func(h *home) {
			h.write(trust.LegacyPolicyFile, policy)
			os.Remove(h.path(trust.OCIPolicyFile))
		}, Policies, Warning, trust.LegacyPolicyFile, "deprecated"},
		"TP-33 extensions": {func(h *home) {
			h.write(trust.OCIPolicyFile, strings.Replace(policy, `"name"`, `"extensions":["threshold"],"threshold":{"signatures":1,"distinct":"identity"},"name"`, 1))
		}, Policies, Note, trust.OCIPolicyFile, "other hosts read this file without these checks"},
		"TP-11 level that logs": {func(h *home) { h.write(trust.OCIPolicyFile, strings.Replace(policy, "strict", "audit", 1)) }, Policies, Note, trust.OCIPolicyFile, "does not enforce: authenticity (log), authenticTimestamp (log), expiry (log), revocation (log)"},
		"TP-17 level skip": {func(h *home) {
			h.write(trust.BlobPolicyFile, `{"version":"1.0","trustPolicies":[{"name":"any","signatureVerification":{"level":"skip"}}]}`)
		}, Policies, Note, trust.BlobPolicyFile, "skips verification"},
		"TP-23 any identity": {func(h *home) {
			h.write(trust.OCIPolicyFile, strings.Replace(policy, `x509.subject: C=US, ST=WA, O=signet test`, `*`, 1))
		}, Policies, Note, trust.OCIPolicyFile, "trusts every identity"},

		"TS-08 missing store":      {func(h *home) { os.RemoveAll(h.path("truststore")) }, Stores, Broken, "ca:acme", `does not exist, and statement "all" of trustpolicy.oci.json`},
		"TS-08 empty store":        {func(h *home) { os.Remove(h.path("truststore/x509/ca/acme/root.crt")) }, Stores, Broken, "ca:acme", "has no certificate"},
		"TS-08 empty spare store":  {func(h *home) { os.Mkdir(h.path("truststore/x509/ca/spare"), 0o700) }, Stores, Warning, "ca:spare", "has no certificate"},
		"TS-04 broken certificate": {func(h *home) { h.write("truststore/x509/ca/acme/x.crt", "nothing") }, Stores, Broken, "ca:acme", "x.crt"},
		"GEN-10 store for nothing": {func(h *home) { h.write("truststore/x509/ca/spare/r.crt", string(h.root.CertPEM())) }, Stores, Note, "ca:spare", "grants nothing"},
		"TS-01 unknown type":       {func(h *home) { h.write("truststore/x509/cas/acme/r.crt", string(h.root.CertPEM())) }, Stores, Warning, "cas", "none of ca, signingAuthority and tsa"},
		"TS-01 file outside":       {func(h *home) { h.write("truststore/x509/ca/r.crt", string(h.root.CertPEM())) }, Stores, Warning, "r.crt", "not in a named store"},
		"TS-05 sub-directory":      {func(h *home) { h.write("truststore/x509/ca/acme/sub/r.crt", string(h.root.CertPEM())) }, Stores, Warning, "sub", "not used"},
		"TS-04 other file":         {func(h *home) { h.write("truststore/x509/ca/acme/r.txt", "x") }, Stores, Note, "r.txt", "passed over"},
		"TS-01 expired root":       {func(h *home) { h.trusts(testpki.Root(h, "old", expired)) }, Stores, Warning, "CN=old", "it expired on"},
		"TS-01 ending root":        {func(h *home) { h.trusts(testpki.Root(h, "old", ending)) }, Stores, Warning, "CN=old", "it expires on"},
		"TS-01 future root":        {func(h *home) { h.trusts(testpki.Root(h, "new", future)) }, Stores, Warning, "CN=new", "not valid before"},

		"KEY-06 malformed key list": {func(h *home) { h.write("signingkeys.json", "{") }, Keys, Broken, "signingkeys.json", "malformed"},
		"KEY-09 no default":         {func(h *home) { h.edit("signingkeys.json", `"default":"build",`, "") }, Keys, Note, "signingkeys.json", "no key is the default"},
		"KEY-05 missing key file":   {func(h *home) { os.Remove(h.path("pair.key")) }, Keys, Broken, "build", "pair.key cannot be read"},
		"KEY-05 missing chain":      {func(h *home) { os.Remove(h.path("pair.crt")) }, Keys, Broken, "build", "pair.crt cannot be read"},
		"KEY-05 no key in the file": {func(h *home) { h.write("pair.key", "x") }, Keys, Broken, "build", "pair.key cannot be used"},
		"KEY-05 half an entry":      {func(h *home) { h.write("signingkeys.json", `{"default":"a","keys":[{"name":"a","keyPath":"x"}]}`) }, Keys, Broken, "a", "names no plugin"},
		"KEY-05 another's chain": {func(h *home) {
			h.write("pair.crt", string(h.root.Leaf(h, "other", protocol.KeySpecEC384).ChainPEM()))
		}, Keys, Broken, "build", "key"},
		"CERT-01 incomplete chain": {func(h *home) { h.write("pair.crt", string(h.leaf.CertPEM())) }, Keys, Broken, "build", "chain cannot be used"},
		"CERT-01 expired chain":    {func(h *home) { h.pair(h.root.Leaf(h, "leaf", protocol.KeySpecEC256, expired)) }, Keys, Broken, "build", "is not valid"},
		"CERT-01 ending chain":     {func(h *home) { h.pair(h.root.Leaf(h, "leaf", protocol.KeySpecEC256, ending)) }, Keys, Warning, "build", "expires on"},
		"KEY-07 plugin not there": {func(h *home) {
			h.write("signingkeys.json", `{"default":"a","keys":[{"name":"a","id":"1","pluginName":"kms"}]}`)
		}, Keys, Broken, "a", "plugin kms is not installed"},

		"PLG-02 no executable": {func(h *home) { h.write("plugins/kms/readme", "") }, Plugins, Broken, "kms", ""},
		"PLG-42 plugin demanded": {func(h *home) {
			h.write(trust.OCIPolicyFile, strings.Replace(policy, `"name"`, `"extensions":["verificationPlugins"],"verificationPlugins":[{"name":"acme.check","checks":["revocation"]}],"name"`, 1))
		}, Plugins, Broken, "acme.check", `not installed, and statement "all"`},
		"PLG-02 malformed pins": {func(h *home) { h.write("plugins/plugins.lock.json", "{") }, Plugins, Broken, "plugins", "cannot be read"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t)
			c.spoil(h)
			h.finds(&Doctor{}, c.area, c.severity, c.subject, c.message)
		})
	}
}

// client makes an entity the client certificate for a registry.
func (h *home) client(e *testpki.Entity) {
	key, cert := e.WriteFiles(h, h.dirs.Config, "client")
	settings, _ := json.Marshal(map[string]any{"registries": map[string]any{"a.example": map[string]string{"certFile": cert, "keyFile": key}}})
	h.write("config.json", string(settings))
}

// trusts puts a certificate into the store.
func (h *home) trusts(e *testpki.Entity) {
	h.write("truststore/x509/ca/acme/another.crt", string(e.CertPEM()))
}

func (h *home) edit(name, old, new string) {
	data, err := os.ReadFile(h.path(name))
	if err != nil || !strings.Contains(string(data), old) {
		h.Fatal(err, string(data))
	}
	h.write(name, strings.Replace(string(data), old, new, 1))
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		newHome(t).finds(&Doctor{}, Files, Note, "", "not examined on Windows")
		return
	}
	for name, c := range map[string]struct {
		file    string
		mode    os.FileMode
		area    Area
		message string
	}{
		"GEN-11 policy":       {trust.OCIPolicyFile, 0o620, Files, "can write it (mode 0620)"},
		"GEN-11 store":        {"truststore/x509/ca/acme", 0o777, Files, "can write it (mode 0777)"},
		"GEN-11 certificate":  {"truststore/x509/ca/acme/root.crt", 0o602, Files, "can write it (mode 0602)"},
		"GEN-11 key list":     {"signingkeys.json", 0o666, Files, "can write it (mode 0666)"},
		"GEN-11 a secret key": {"pair.key", 0o644, Keys, "can read the private key build (mode 0644)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t)
			if err := os.Chmod(h.path(c.file), c.mode); err != nil {
				t.Fatal(err)
			}
			h.finds(&Doctor{}, c.area, Warning, h.path(c.file), c.message)
		})
	}
}

func TestQuoted(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"/etc/a-b_c.d":     "/etc/a-b_c.d",
		"a b":              "'a b'",
		"$(touch x)`y`\"z": "'$(touch x)`y`\"z'",
		"it's; rm x":       `'it'\''s; rm x'`,
	} {
		if got := quoted(name); got != want {
			t.Errorf("%s becomes %s, not %s", name, got, want)
		}
	}
	t.Run("GEN-11 a remedy has no command that a name brings", func(t *testing.T) {
		h := newHome(t)
		h.write("signingkeys.json", `{"default":"a","keys":[{"name":"a","id":"1","pluginName":"kms"},{"name":"$(touch x)","id":"1","pluginName":"kms"}]}`)
		told := 0
		for _, finding := range h.examine(&Doctor{}) {
			if strings.Contains(finding.Remedy, "touch") {
				told++
				if !strings.Contains(finding.Remedy, "key delete '$(touch x)'") {
					t.Errorf("remedy %s", finding.Remedy)
				}
			}
		}
		if told != 1 {
			t.Errorf("%d remedies are about it", told)
		}
	})
}

// TestSettingsOrder holds that the same settings give the same findings in the same order.
func TestSettingsOrder(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	registries, subjects := map[string]any{}, []string{}
	for i := range 8 {
		name := fmt.Sprintf("registry%d.example", i)
		registries[name] = map[string]string{"caFile": "none.pem"}
		subjects = append(subjects, name)
	}
	settings, _ := json.Marshal(map[string]any{"registries": registries})
	h.write("config.json", string(settings))
	var found []string
	for _, f := range h.examine(&Doctor{}) {
		if f.Area == Configuration && f.Severity == Broken {
			_, rest, _ := strings.Cut(f.Message, "caFile of registry ")
			name, _, _ := strings.Cut(rest, " ")
			found = append(found, name)
		}
	}
	if !slices.Equal(found, subjects) {
		t.Errorf("found %q", found)
	}
}

// TestLeaf is not parallel: it sets a variable of the environment.
func TestLeaf(t *testing.T) {
	t.Run("REG-15 client certificate that tls does not parse", func(t *testing.T) {
		t.Setenv("GODEBUG", "x509keypairleaf=0")
		h := newHome(t)
		h.client(h.root.Leaf(h, "client", protocol.KeySpecEC256, testpki.Validity(time.Now().Add(-48*time.Hour), time.Now().Add(-time.Hour))))
		h.finds(&Doctor{}, Configuration, Broken, "client.crt", "is valid from")
	})
}

// registry is a server that answers the base endpoint.
type registry struct {
	status int
	clock  time.Duration // ahead of ours
	user   string        // wanted
}

func (r registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	w.Header().Set("Date", time.Now().Add(r.clock).UTC().Format(http.TimeFormat))
	if user, _, _ := q.BasicAuth(); r.user != "" && user != r.user {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.WriteHeader(r.status)
}

func TestRegistries(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		registry registry
		user     string
		severity Severity
		area     Area
		message  string
	}{
		"REG-07 in order":            {registry{status: 200}, "", Note, "", ""},
		"REG-07 wants to see":        {registry{status: 200, user: "u"}, "", Note, Registries, "wants to see credentials"},
		"REG-07 takes credentials":   {registry{status: 200, user: "u"}, "u", Note, "", ""},
		"REG-07 refuses credentials": {registry{status: 200, user: "u"}, "v", Broken, Registries, "does not take the credentials at hand: failed to check the credentials: registry 127.0.0.1:"},
		"CLI-49 no registry":         {registry{status: 404}, "", Broken, Registries, "HTTP status 404 Not Found"},
		"CLI-49 clock behind":        {registry{status: 200, clock: 2 * time.Minute}, "", Warning, Clock, "behind the registry's"},
		"CLI-49 clock ahead":         {registry{status: 200, clock: -2 * time.Hour}, "", Broken, Clock, "ahead of the registry's"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(c.registry)
			t.Cleanup(server.Close)
			h := newHome(t)
			client := &artifact.Client{PlainHTTP: func(string) bool { return true }}
			if c.user != "" {
				client.Credentials = func(context.Context, string) (artifact.Credential, error) {
					return artifact.NewCredential(c.user, "p"), nil
				}
			}
			d := &Doctor{
				Client:     func() (*artifact.Client, error) { return client, nil },
				Registries: []string{strings.TrimPrefix(server.URL, "http://")},
				Now:        time.Now,
			}
			if c.area != "" {
				h.finds(d, c.area, c.severity, "127.0.0.1:", c.message)
				return
			}
			for _, f := range h.examine(d) {
				if f.Area == Registries || f.Area == Clock {
					t.Errorf("%+v", f)
				}
			}
		})
	}
	t.Run("CLI-49 nobody there, and no name", func(t *testing.T) {
		t.Parallel()
		h := newHome(t)
		client := func() (*artifact.Client, error) { return &artifact.Client{}, nil }
		h.finds(&Doctor{Client: client, Registries: []string{"localhost:1"}}, Registries, Broken, "localhost:1", "registry localhost:1: ")
		h.finds(&Doctor{Client: client, Registries: []string{"a b"}}, Registries, Broken, "a b", "not a registry")
		failing := func() (*artifact.Client, error) { return nil, errors.New("no way") }
		h.finds(&Doctor{Client: failing, Registries: []string{"a"}}, Registries, Broken, "", "no way")
	})
}

func TestOrder(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.write("config.json", `{"x":1,"insecureRegistries":["a"],"signatureFormat":"pgp"}`)
	var got []string
	for _, f := range (&Doctor{Dirs: h.dirs}).Examine(context.Background()) {
		if f.Area == Configuration {
			got = append(got, string(f.Severity))
		}
	}
	if !slices.Equal(got, []string{"error", "warning", "note"}) {
		t.Error(got)
	}
}

// TestSettings holds that every setting is known, so that none draws a warning.
func TestSettings(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	settings := map[string]any{}
	if err := json.Unmarshal(must(json.Marshal(config.Settings{})), &settings); err != nil {
		t.Fatal(err)
	}
	if len(settings) < 9 {
		t.Fatal(slices.Collect(maps.Keys(settings)))
	}
	for name := range settings {
		settings[name] = nil
	}
	h.write("config.json", string(must(json.Marshal(settings))))
	for _, f := range h.examine(&Doctor{}) {
		if f.Area == Configuration {
			t.Errorf("%+v", f)
		}
	}
}

func must(data []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return data
}
