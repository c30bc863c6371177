package trust

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// m is a JSON object in tests.
type m = map[string]any

// statementWith returns a valid statement (of both kinds) with members set, or
// removed where the value is nil.
func statementWith(edits m) m {
	s := m{
		"name": "p", "registryScopes": []string{"reg.io/team/app"},
		"signatureVerification": m{"level": "strict"},
		"trustStores":           []string{"ca:acme"},
		"trustedIdentities":     []string{"x509.subject: C=US, ST=WA, O=acme.io"},
	}
	for name, value := range edits {
		if value == nil {
			delete(s, name)
		} else {
			s[name] = value
		}
	}
	return s
}

func documentOf(t testing.TB, statements ...m) []byte {
	t.Helper()
	data, err := json.Marshal(m{"version": "1.0", "trustPolicies": statements})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// wantText fails unless err has the text, or is nil when there is none.
func wantText(t *testing.T, err error, text string) {
	t.Helper()
	switch {
	case text == "" && err != nil:
		t.Fatalf("unexpected error: %v", err)
	case text != "" && (err == nil || !strings.Contains(err.Error(), text)):
		t.Fatalf("error %q does not have the text %q", err, text)
	case err != nil && strings.Contains(err.Error(), "\n"):
		t.Fatalf("error %q has more than one line", err)
	}
}

func mustOCI(t testing.TB, statements ...m) *OCIPolicy {
	t.Helper()
	policy, err := ParseOCIPolicy(documentOf(t, statements...))
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

func TestOCIStatements(t *testing.T) {
	t.Parallel()
	level := func(name string) m { return m{"signatureVerification": m{"level": name}} }
	override := func(level, check, action string) m {
		return m{"signatureVerification": m{"level": level, "override": m{check: action}}}
	}
	skip := func(edits m) m {
		all := m{"signatureVerification": m{"level": "skip"}, "trustStores": nil, "trustedIdentities": nil}
		for k, v := range edits {
			all[k] = v
		}
		return all
	}
	identities := func(entries ...string) m { return m{"trustedIdentities": entries} }
	prefix := `oci trust policy: trust policy statement "p" `
	tests := []struct {
		name  string
		edits m
		want  string
	}{
		{"TP-06 all members", nil, ""},
		{"TP-05 missing name", m{"name": nil}, "a trust policy statement is missing a name, every statement requires a name"},
		{"TP-08 missing level", m{"signatureVerification": nil}, prefix + "has invalid signatureVerification: signature verification level is empty or missing in the trust policy statement"},
		{"TP-08 unknown level", level("foo"), prefix + `has invalid signatureVerification: invalid signature verification level "foo"`},
		{"TP-08 level is case-sensitive", level("Strict"), `invalid signature verification level "Strict"`},
		{"TP-09 integrity", override("strict", "integrity", "log"), `"integrity" verification can not be overridden in custom signature verification`},
		{"TP-09 unknown check", override("strict", "freshness", "log"), `verification type "freshness" in custom signature verification is not supported, supported values are`},
		{"TP-09 unknown action", override("strict", "expiry", "warn"), `verification action "warn" in custom signature verification is not supported`},
		{"TP-09 expiry skip", override("strict", "expiry", "skip"), `"expiry" verification can not be skipped in custom signature verification`},
		{"TP-09 authenticity skip", override("strict", "authenticity", "skip"), `"authenticity" verification can not be skipped`},
		{"TP-09 authenticTimestamp skip", override("strict", "authenticTimestamp", "skip"), `"authenticTimestamp" verification can not be skipped`},
		{"TP-09 revocation skip", override("strict", "revocation", "skip"), ""},
		{"TP-09 with level skip", skip(override("skip", "expiry", "log")), `signature verification level "skip" can't be used to customize signature verification`},
		{"TP-10 always", m{"signatureVerification": m{"level": "strict", "verifyTimestamp": "always"}}, ""},
		{"TP-10 never", m{"signatureVerification": m{"level": "strict", "verifyTimestamp": "never"}}, prefix + `has invalid signatureVerification: verifyTimestamp must be "always" or "afterCertExpiry", but got "never"`},
		{"TP-10 never at level skip", skip(m{"signatureVerification": m{"level": "skip", "verifyTimestamp": "never"}}), `verifyTimestamp must be`},
		{"TP-11 skip", skip(nil), ""},
		{"TP-11 skip with stores", skip(m{"trustStores": []string{"ca:x"}}), prefix + "is set to skip signature verification but configured with trust stores and/or trusted identities, remove them if signature verification needs to be skipped"},
		{"TP-11 skip with identities", skip(identities("*")), "is set to skip signature verification but configured"},
		{"TP-11 no stores", m{"trustStores": nil}, prefix + "is either missing trust stores or trusted identities, both must be specified"},
		{"TP-11 no identities", m{"trustedIdentities": []string{}}, "is either missing trust stores or trusted identities"},
		{"TP-12 type", m{"trustStores": []string{"foo:x"}}, prefix + `uses an unsupported trust store type "foo" in trust store value "foo:x"`},
		{"TP-12 separator", m{"trustStores": []string{"ca"}}, prefix + `has malformed trust store value "ca". The required format is <TrustStoreType>:<TrustStoreName>`},
		{"TP-12 second entry", m{"trustStores": []string{"ca:x", "CA:y"}}, `unsupported trust store type "CA"`},
		{"TS-02 dots", m{"trustStores": []string{"ca:.."}}, prefix + `uses an unsupported trust store name ".." in trust store value "ca:..". Named store name needs to follow [a-zA-Z0-9_.-]+ format`},
		{"TS-02 dot", m{"trustStores": []string{"ca:."}}, `unsupported trust store name "."`},
		{"TS-02 separator", m{"trustStores": []string{"ca:a/b"}}, `unsupported trust store name "a/b"`},
		{"TS-02 second colon", m{"trustStores": []string{"ca:a:b"}}, `unsupported trust store name "a:b"`},
		{"TS-02 empty", m{"trustStores": []string{"ca:"}}, `unsupported trust store name ""`},
		{"TP-13 no scope", m{"registryScopes": nil}, `oci trust policy statement "p" has zero registry scopes`},
		{"TP-13 short name", m{"registryScopes": []string{"registry"}}, `registry scope "registry" is not valid, make sure it is a fully qualified repository without the scheme, protocol or tag. For example domain.com/my/repository or a local scope like local/myOCILayout`},
		{"TP-13 scheme", m{"registryScopes": []string{"https://reg.io/app"}}, `registry scope "https://reg.io/app" is not valid`},
		{"TP-13 tag", m{"registryScopes": []string{"reg.io/app:v1"}}, "is not valid"},
		{"TP-13 digest", m{"registryScopes": []string{"reg.io/app@sha256:00"}}, "is not valid"},
		{"TP-13 wildcard part", m{"registryScopes": []string{"reg.io/*"}}, `registry scope "reg.io/*" with wild card(s) is not valid`},
		{"TP-13 empty", m{"registryScopes": []string{""}}, `registry scope "" is not valid`},
		{"TP-14 port", m{"registryScopes": []string{"localhost:5000/a/b_c/d__e-f"}}, ""},
		{"TP-14 IPv6", m{"registryScopes": []string{"[::1]:5000/app"}}, "is not valid"},
		{"TP-14 uppercase repository", m{"registryScopes": []string{"reg.io/App"}}, "is not valid"},
		{"TP-14 uppercase host", m{"registryScopes": []string{"REG.io/app"}}, ""},
		{"TP-14 trailing slash", m{"registryScopes": []string{"reg.io/app/"}}, "is not valid"},
		{"TP-14 newline", m{"registryScopes": []string{"reg.io/app\n"}}, "is not valid"},
		{"TP-15 alone", m{"registryScopes": []string{"*"}}, ""},
		{"TP-15 mixed", m{"registryScopes": []string{"*", "reg.io/app"}}, `oci trust policy statement "p" uses wildcard registry scope '*', a wildcard scope cannot be used in conjunction with other scope values`},
		{"TP-15 mixed, last", m{"registryScopes": []string{"reg.io/app", "*"}}, "a wildcard scope cannot be used"},
		{"TP-16 repeat in one statement", m{"registryScopes": []string{"reg.io/a", "reg.io/a"}}, `registry scope "reg.io/a" is present in multiple oci trust policy statements, one registry scope value can only be associated with one statement`},
		{"TP-17 skip everything", skip(m{"registryScopes": []string{"*"}}), "skips verification for the wildcard registry scope"},
		{"TP-22 wildcard", identities("*"), ""},
		{"TP-22 mixed", identities("*", "x509.subject: C=US, ST=WA, O=a"), prefix + `uses a wildcard trusted identity '*', a wildcard identity cannot be used in conjunction with other values`},
		{"TP-23 empty", identities(""), prefix + "has an empty trusted identity"},
		{"TP-23 no colon", identities("x509.subject"), prefix + `has trusted identity "x509.subject" missing separator`},
		{"TP-23 no value", identities("x509.subject:"), prefix + `has trusted identity "x509.subject:" without an identity value`},
		{"TP-23 only spaces", identities("x509.subject:   "), "without an identity value"},
		{"TP-23 no prefix", identities(":x"), "without a prefix"},
		{"TP-23 other prefix without value", identities("did:"), "without an identity value"},
		{"TP-24 other prefix", identities("did:web:acme.io"), ""},
		{"TP-27 missing O", identities("x509.subject: C=US, ST=WA"), prefix + `has trusted identity "x509.subject: C=US, ST=WA" with invalid identity value: distinguished name (DN) "C=US, ST=WA" has no mandatory RDN attribute for "O", it must contain 'C', 'ST' or 'S', and 'O' RDN attributes at a minimum`},
		{"TP-32 overlap", identities("x509.subject: C=US, ST=WA, O=a, CN=y", "x509.subject: C=US, ST=WA, O=a, OU=x"), prefix + `has overlapping x509 trustedIdentities, "x509.subject: C=US, ST=WA, O=a, CN=y" overlaps with "x509.subject: C=US, ST=WA, O=a, OU=x"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseOCIPolicy(documentOf(t, statementWith(tt.edits)))
			wantText(t, err, tt.want)
			if tt.want != "" && strings.HasPrefix(tt.want, prefix) {
				s, ok := errors.AsType[*StatementError](err)
				if !ok || s.Statement != "p" || s.Kind != "oci" {
					t.Errorf("%v is not about statement p", err)
				}
			}
		})
	}
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	valid := string(documentOf(t, statementWith(nil)))
	tests := []struct{ name, document, want string }{
		{"TP-03 not JSON", `{"version":`, "malformed trust policy. To create a trust policy, see: https://notaryproject.dev/docs/quickstart/#create-a-trust-policy"},
		{"TP-03 place of the mistake", "{\n  \"version\": \"1.0\",\n  \"trustPolicies\": [}\n}", "line 3, column 21"},
		{"TP-03 empty file", ``, "malformed trust policy. To create a trust policy, see: "},
		{"TP-03 null", `null`, "the document must be an object, not null"},
		{"TP-03 array", `[]`, "the document must be an object, not an array"},
		{"TP-03 trailing text", valid + "x", "malformed trust policy."},
		{"TP-03 second document", valid + valid, "malformed trust policy."},
		{"TP-03 invalid UTF-8", "{\"version\":\"\xff\"}", "malformed trust policy."},
		{"TP-03 repeated member", `{"version":"1.0","version":"1.0"}`, "malformed trust policy."},
		{"TP-03 repeated member, other case", `{"version":"1.0","Version":"1.0"}`, `version is given twice, as "version" and as "Version"`},
		{"TP-04 missing version", `{"trustPolicies":[]}`, "oci trust policy document has empty version, version must be specified"},
		{"TP-04 other version", `{"version":"2.0"}`, `oci trust policy document uses unsupported version "2.0"`},
		{"TP-04 number", `{"version":1.0}`, "version must be a string, not the number 1.0"},
		{"TP-05 no statements", `{"version":"1.0"}`, "oci trust policy document can not have zero trust policy statements"},
		{"TP-05 empty array", `{"version":"1.0","trustPolicies":[]}`, "can not have zero trust policy statements"},
		{"TP-05 object", `{"version":"1.0","trustPolicies":{}}`, "trustPolicies must be an array, not an object"},
		{"TP-05 statement of wrong type", `{"version":"1.0","trustPolicies":["x"]}`, "trustPolicies[0] must be an object, not a string"},
		{"TP-05 two of a name", string(documentOf(t, statementWith(nil), statementWith(m{"registryScopes": []string{"a/b"}}))), `multiple oci trust policy statements use the same name "p", statement names must be unique`},
		{"TP-06 stores of wrong type", strings.Replace(valid, `["ca:acme"]`, `"ca:acme"`, 1), "trustPolicies[0].trustStores must be an array, not a string"},
		{"TP-06 store of wrong type", strings.Replace(valid, `["ca:acme"]`, `["ca:acme",7]`, 1), "trustPolicies[0].trustStores[1] must be a string, not the number 7"},
		{"TP-06 override of wrong type", strings.Replace(valid, `"level"`, `"override":{"expiry":true},"level"`, 1), "trustPolicies[0].signatureVerification.override.expiry must be a string, not true"},
		{"TP-15 two global scopes", string(documentOf(t, statementWith(m{"registryScopes": []string{"*"}}), statementWith(m{"name": "q", "registryScopes": []string{"*"}}))), `registry scope "*" is present in multiple oci trust policy statements`},
		{"TP-16 scope in two statements", string(documentOf(t, statementWith(nil), statementWith(m{"name": "q"}))), `registry scope "reg.io/team/app" is present in multiple oci trust policy statements`},
		{"TP-37 bad second statement", string(documentOf(t, statementWith(nil), statementWith(m{"name": "q", "registryScopes": []string{"a/b"}, "trustStores": []string{"foo:x"}}))), `trust policy statement "q" uses an unsupported trust store type`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			policy, err := ParseOCIPolicy([]byte(tt.document))
			wantText(t, err, tt.want)
			if policy != nil {
				t.Error("a policy together with an error")
			}
			if _, malformed := errors.AsType[*MalformedPolicyError](err); malformed != strings.Contains(err.Error(), "malformed trust policy.") {
				t.Errorf("%T for %v", err, err)
			}
		})
	}
}

func TestMembers(t *testing.T) {
	t.Parallel()
	t.Run("TP-33 unknown members warn", func(t *testing.T) {
		t.Parallel()
		policy, err := ParseOCIPolicy([]byte(`{"version":"1.0","$schema":"x","trustPolicies":[{"name":"p","registry_scopes":["x/y"],"registryScopes":["*"],"globalPolicy":7,
			"signatureVerification":{"level":"strict","levle":"audit"},"trustStores":["ca:a"],"trustedIdentities":["*"]}]}`))
		if err != nil {
			t.Fatal(err)
		}
		all := fmt.Sprint(policy.Warnings)
		for _, name := range []string{`"$schema"`, `"registry_scopes"`, `"globalPolicy"`, `"signatureVerification.levle"`} {
			if !strings.Contains(all, "member "+name) {
				t.Errorf("no warning about %s in %q", name, all)
			}
		}
		if len(policy.Warnings) != 4 {
			t.Errorf("%d warnings: %q", len(policy.Warnings), all)
		}
	})
	t.Run("TP-33 names without regard to case", func(t *testing.T) {
		t.Parallel()
		policy, err := ParseOCIPolicy([]byte(`{"VERSION":"1.0","trustpolicies":[{"NAME":"p","RegistryScopes":["*"],"signatureverification":{"Level":"audit","OVERRIDE":{"expiry":"enforce"},"VerifyTimestamp":"afterCertExpiry"},"TRUSTSTORES":["ca:a"],"trustedidentities":["*"]}]}`))
		if err != nil {
			t.Fatal(err)
		}
		s := policy.Statements[0]
		if s.Level.Name != "custom" || s.VerifyTimestamp != TimestampAfterCertExpiry || len(policy.Warnings) != 0 {
			t.Errorf("got %+v, %q", s, policy.Warnings)
		}
	})
	t.Run("TP-33 null is absent", func(t *testing.T) {
		t.Parallel()
		_, err := ParseOCIPolicy([]byte(`{"version":"1.0","trustPolicies":[{"name":"p","registryScopes":["a/b"],"signatureVerification":{"level":"skip","override":null,"verifyTimestamp":null},"trustStores":null,"trustedIdentities":null}]}`))
		wantText(t, err, "")
	})
	t.Run("TP-36 tsa only", func(t *testing.T) {
		t.Parallel()
		for level, want := range map[string]int{"strict": 1, "audit": 0} {
			policy := mustOCI(t, statementWith(m{"trustStores": []string{"tsa:x"}, "signatureVerification": m{"level": level}}))
			if len(policy.Warnings) != want {
				t.Errorf("level %s: warnings %q", level, policy.Warnings)
			}
		}
		if policy := mustOCI(t, statementWith(m{"trustStores": []string{"tsa:x", "ca:y"}})); len(policy.Warnings) != 0 {
			t.Errorf("warnings %q", policy.Warnings)
		}
	})
	t.Run("TP-10 default", func(t *testing.T) {
		t.Parallel()
		if s := mustOCI(t, statementWith(nil)).Statements[0]; s.VerifyTimestamp != TimestampAlways {
			t.Errorf("verifyTimestamp is %q", s.VerifyTimestamp)
		}
	})
	t.Run("TP-12 stores", func(t *testing.T) {
		t.Parallel()
		s := mustOCI(t, statementWith(m{"trustStores": []string{"ca:acme", "signingAuthority:x.y", "tsa:acme-tsa_1"}})).Statements[0]
		want := []StoreRef{{StoreCA, "acme"}, {StoreSigningAuthority, "x.y"}, {StoreTSA, "acme-tsa_1"}}
		if !slices.Equal(s.TrustStores, want) {
			t.Errorf("got %v", s.TrustStores)
		}
	})
}

func TestLevels(t *testing.T) {
	t.Parallel()
	checks := []Check{CheckIntegrity, CheckAuthenticity, CheckAuthenticTimestamp, CheckExpiry, CheckRevocation}
	letters := map[byte]Action{'E': ActionEnforce, 'L': ActionLog, 'S': ActionSkip}
	tests := []struct {
		name, level string
		override    map[string]string
		wantName    string
		want        string // one letter a check
	}{
		{"TP-08 strict", "strict", nil, "strict", "EEEEE"},
		{"TP-08 permissive", "permissive", nil, "permissive", "EELLL"},
		{"TP-08 audit", "audit", nil, "audit", "ELLLL"},
		{"TP-08 skip", "skip", nil, "skip", "SSSSS"},
		{"TP-09 strict relaxed", "strict", map[string]string{"expiry": "log", "revocation": "skip"}, "custom", "EEELS"},
		{"TP-09 audit hardened", "audit", map[string]string{"authenticity": "enforce", "authenticTimestamp": "enforce"}, "custom", "EEELL"},
		{"TP-09 nothing changed", "strict", map[string]string{"expiry": "enforce"}, "custom", "EEEEE"},
		{"TP-09 empty override", "permissive", map[string]string{}, "permissive", "EELLL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			level, err := newLevel(tt.level, tt.override)
			if err != nil {
				t.Fatal(err)
			}
			if level.Name != tt.wantName || level.Skip() != (tt.level == "skip") {
				t.Errorf("name %q, skip %t", level.Name, level.Skip())
			}
			for i, check := range checks {
				if got := level.Action(check); got != letters[tt.want[i]] {
					t.Errorf("%s: %s, want %c", check, got, tt.want[i])
				}
			}
			if got := level.Action("other"); got != ActionEnforce {
				t.Errorf("an unknown check: %s", got)
			}
		})
	}
	t.Run("TP-08 zero level enforces", func(t *testing.T) {
		t.Parallel()
		if (Level{}).Skip() || (Level{}).Action(CheckRevocation) != ActionEnforce {
			t.Error("the zero level waives checks")
		}
	})
}

func TestChooseOCI(t *testing.T) {
	t.Parallel()
	policy := mustOCI(t,
		statementWith(m{"name": "app", "registryScopes": []string{"reg.io/team/app", "reg.io:443/team/app"}}),
		statementWith(m{"name": "docker", "registryScopes": []string{"docker.io/library/nginx"}}),
		statementWith(m{"name": "global", "registryScopes": []string{"*"}}))
	closed := mustOCI(t, statementWith(m{"name": "app"}))
	tests := []struct {
		name, repository string
		policy           *OCIPolicy
		want             string // statement, or text of the error
	}{
		{"TP-20 exact", "reg.io/team/app", policy, "app"},
		{"TP-20 port", "reg.io:443/team/app", policy, "app"},
		{"TP-20 no case folding", "REG.io/team/app", policy, "global"},
		{"TP-20 no rewriting", "registry-1.docker.io/library/nginx", policy, "global"},
		{"TP-20 no prefix match", "reg.io/team/app/sub", policy, "global"},
		{"TP-20 unmatched", "reg.io/other", closed, `artifact "reg.io/other" has no applicable oci trust policy statement. Trust policy applicability for a given artifact is determined by registryScopes. To create a trust policy, see: https://notaryproject.dev/docs/quickstart/#create-a-trust-policy`},
		{"TP-20 star is no repository", "*", policy, `registry scope "*"`},
		{"TP-20 empty", "", policy, `registry scope ""`},
		{"TP-20 short name", "nginx", policy, `registry scope "nginx" is not valid`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := tt.policy.Statement(tt.repository)
			if err != nil {
				wantText(t, err, tt.want)
				_, none := errors.AsType[*NoStatementError](err)
				_, scope := errors.AsType[*ScopeError](err)
				if !none && !scope {
					t.Errorf("error of type %T", err)
				}
				return
			}
			if s.Name != tt.want {
				t.Errorf("got statement %q, want %q", s.Name, tt.want)
			}
		})
	}
}

func TestBlobPolicy(t *testing.T) {
	t.Parallel()
	blob := func(edits m) m {
		s := statementWith(m{"registryScopes": nil})
		for name, value := range edits {
			s[name] = value
		}
		return s
	}
	skip := m{"name": "s", "globalPolicy": true, "signatureVerification": m{"level": "skip"}, "trustStores": []string{}, "trustedIdentities": []string{}}
	errorTests := []struct {
		name       string
		statements []m
		want       string
	}{
		{"TP-07 no scopes needed", []m{blob(nil)}, ""},
		{"TP-07 globalPolicy of wrong type", []m{blob(m{"globalPolicy": "yes"})}, "trustPolicies[0].globalPolicy must be true or false, not a string"},
		{"TP-18 two global", []m{blob(m{"globalPolicy": true}), blob(m{"name": "q", "globalPolicy": true})}, "multiple blob trust policy statements have globalPolicy set to true. Only one trust policy statement can be marked as global policy"},
		{"TP-18 one false", []m{blob(m{"globalPolicy": true}), blob(m{"name": "q", "globalPolicy": false})}, ""},
		{"TP-19 global skip", []m{skip}, "global blob trust policy statement cannot have verification level set to skip"},
		{"TP-19 named skip", []m{blob(m{"name": "s", "signatureVerification": m{"level": "skip"}, "trustStores": []string{}, "trustedIdentities": []string{}})}, ""},
		{"TP-05 names", []m{blob(nil), blob(nil)}, `multiple blob trust policy statements use the same name "p"`},
		{"TP-37 bad second statement", []m{blob(nil), blob(m{"name": "q", "trustedIdentities": []string{"x"}})}, `blob trust policy: trust policy statement "q" has trusted identity "x" missing separator`},
	}
	for _, tt := range errorTests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseBlobPolicy(documentOf(t, tt.statements...))
			wantText(t, err, tt.want)
		})
	}
	t.Run("TP-33 registryScopes has no meaning", func(t *testing.T) {
		t.Parallel()
		policy, err := ParseBlobPolicy(documentOf(t, statementWith(nil)))
		if err != nil || len(policy.Warnings) != 1 || !strings.Contains(policy.Warnings[0].Text, "registryScopes") {
			t.Errorf("got %v, %v", policy, err)
		}
	})
	with, err := ParseBlobPolicy(documentOf(t, blob(m{"name": "a"}), blob(m{"name": "g", "globalPolicy": true})))
	if err != nil {
		t.Fatal(err)
	}
	without, err := ParseBlobPolicy(documentOf(t, blob(m{"name": "a"})))
	if err != nil {
		t.Fatal(err)
	}
	choices := []struct {
		name, ask string
		policy    *BlobPolicy
		want, err string
	}{
		{"TP-21 name", "a", with, "a", ""},
		{"TP-21 name of the global one", "g", with, "g", ""},
		{"TP-21 case-sensitive", "A", with, "", `no applicable blob trust policy with name "A"`},
		{"TP-21 absent does not fall back", "x", with, "", `no applicable blob trust policy with name "x"`},
		{"TP-21 global", "", with, "g", ""},
		{"TP-21 no global", "", without, "", "no global blob trust policy"},
	}
	for _, tt := range choices {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := tt.policy.Statement(tt.ask)
			if tt.err != "" {
				if _, ok := errors.AsType[*NoStatementError](err); !ok || err.Error() != tt.err {
					t.Errorf("got %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil || s.Name != tt.want {
				t.Errorf("got %v, %v", s, err)
			}
		})
	}
}

func TestNewBlobPolicy(t *testing.T) {
	t.Parallel()
	t.Run("BLOB-15 bytes", func(t *testing.T) {
		t.Parallel()
		data, err := NewBlobPolicy(BlobPolicyInit{Name: "p", TrustStores: []string{"ca:acme"}, TrustedIdentities: []string{"x509.subject: C=US, ST=WA, O=A&B"}, Global: true})
		want := `{
  "version": "1.0",
  "trustPolicies": [
    {
      "name": "p",
      "signatureVerification": {
        "level": "strict"
      },
      "trustStores": [
        "ca:acme"
      ],
      "trustedIdentities": [
        "x509.subject: C=US, ST=WA, O=A\u0026B"
      ],
      "globalPolicy": true
    }
  ]
}`
		if err != nil || string(data) != want {
			t.Errorf("got %s, %v", data, err)
		}
	})
	t.Run("BLOB-15 not global", func(t *testing.T) {
		t.Parallel()
		data, err := NewBlobPolicy(BlobPolicyInit{Name: "p", TrustStores: []string{"ca:acme"}, TrustedIdentities: []string{"*"}})
		if err != nil || strings.Contains(string(data), "globalPolicy") {
			t.Errorf("got %s, %v", data, err)
		}
	})
	for name, bad := range map[string]BlobPolicyInit{
		"BLOB-16 name":     {TrustStores: []string{"ca:a"}, TrustedIdentities: []string{"*"}},
		"BLOB-16 store":    {Name: "p", TrustStores: []string{"foo:a"}, TrustedIdentities: []string{"*"}},
		"BLOB-16 identity": {Name: "p", TrustStores: []string{"ca:a"}, TrustedIdentities: []string{"x509.subject: CN=x"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if data, err := NewBlobPolicy(bad); err == nil || data != nil {
				t.Errorf("got %s", data)
			}
		})
	}
}

// The policies of the specification's examples, as Appendix C5 has them.
func TestExamples(t *testing.T) {
	t.Parallel()
	t.Run("TP-06 example", func(t *testing.T) {
		t.Parallel()
		policy, err := ParseOCIPolicy([]byte(`{"version":"1.0","trustPolicies":[{"name":"p","registryScopes":["reg.io/team/app"],"signatureVerification":{"level":"strict","override":{"expiry":"log","revocation":"skip"},"verifyTimestamp":"afterCertExpiry"},"trustStores":["ca:acme","tsa:acme-tsa"],"trustedIdentities":["x509.subject: C=US, ST=WA, O=acme.io, CN=Builder"]}]}`))
		if err != nil || len(policy.Warnings) != 0 {
			t.Fatal(policy, err)
		}
		s := policy.Statements[0]
		if !s.SignaturePlugins.Allow("any.plugin") || s.Threshold != nil || s.Extensions != nil || s.VerificationPlugins != nil {
			t.Errorf("extensions in a statement without: %+v", s)
		}
	})
	t.Run("TP-07 example", func(t *testing.T) {
		t.Parallel()
		policy, err := ParseBlobPolicy([]byte(`{"version":"1.0","trustPolicies":[{"name":"p","globalPolicy":true,"signatureVerification":{"level":"strict"},"trustStores":["ca:acme"],"trustedIdentities":["*"]}]}`))
		if err != nil || len(policy.Warnings) != 0 || !policy.Statements[0].GlobalPolicy || !policy.Statements[0].Identities.Any() {
			t.Fatal(policy, err)
		}
	})
}

func FuzzParsePolicy(f *testing.F) {
	f.Add(documentOf(f, statementWith(nil)))
	f.Add(documentOf(f, statementWith(extended(nil))))
	f.Add(documentOf(f, statementWith(m{"globalPolicy": true, "signatureVerification": m{"level": "audit", "override": m{"expiry": "enforce"}, "verifyTimestamp": "always"}})))
	f.Add([]byte(`{"Version":"1.0","trustPolicies":[{"NAME":null,"signaturePlugins":[[]],"threshold":{"signatures":1e9}}]}`))
	f.Add([]byte(`{"version":"1.0","version":[`))
	f.Add([]byte("\xef\xbb\xbf{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		oci, ociErr := ParseOCIPolicy(data)
		blob, blobErr := ParseBlobPolicy(data)
		if (oci == nil) != (ociErr != nil) || (blob == nil) != (blobErr != nil) {
			t.Fatal("a policy and an error, or neither")
		}
		if oci != nil {
			for _, s := range oci.Statements {
				checkStatement(t, s)
				for _, scope := range s.RegistryScopes {
					if scope == "*" {
						scope = "some.where/else"
					}
					if _, err := oci.Statement(scope); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if blob != nil {
			for _, s := range blob.Statements {
				checkStatement(t, s)
				if got, err := blob.Statement(s.Name); err != nil || got != s {
					t.Fatal(got, err)
				}
			}
		}
	})
}

// checkStatement holds what every parsed statement promises.
func checkStatement(t *testing.T, s *Statement) {
	t.Helper()
	if s.Name == "" || s.Level.Skip() != (len(s.TrustStores) == 0) || s.Level.Skip() != (len(s.TrustedIdentities) == 0) {
		t.Fatalf("statement %+v", s)
	}
	for _, ref := range s.TrustStores {
		if CheckStore(ref) != nil {
			t.Fatalf("store %v", ref)
		}
	}
	if (len(s.VerificationPlugins) > 0 || s.Threshold != nil || s.SignaturePlugins.String() != "any") && len(s.Extensions) == 0 {
		t.Fatal("an extension that is not listed")
	}
	if s.Threshold != nil && (s.Threshold.Signatures < 1 || s.Identities.Any()) {
		t.Fatalf("threshold %+v", s.Threshold)
	}
}
