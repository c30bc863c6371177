package trust

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// extended returns edits that add every extension.
func extended(edits m) m {
	all := m{
		"extensions":          []string{"verificationPlugins", "signaturePlugins", "threshold"},
		"verificationPlugins": []m{{"name": "com.acme.revocation", "minVersion": "1.2.0", "checks": []string{"revocation"}, "pluginConfig": m{"list": "/x"}}},
		"signaturePlugins":    []string{"com.acme.signer", "other"},
		"threshold":           m{"signatures": 2, "distinct": "root"},
		"trustedIdentities":   []string{"x509.subject: C=US, ST=WA, O=a", "x509.subject: C=US, ST=WA, O=b"},
	}
	maps.Copy(all, edits)
	return all
}

func TestExtensions(t *testing.T) {
	t.Parallel()
	two := []string{"x509.subject: C=US, ST=WA, O=a", "x509.subject: C=US, ST=WA, O=b"}
	// only returns a statement with one extension.
	only := func(name string, value any, edits m) m {
		all := m{"extensions": []string{name}, name: value, "trustedIdentities": two}
		maps.Copy(all, edits)
		return all
	}
	plugin := func(edits m) any {
		p := m{"name": "p1", "checks": []string{"revocation"}}
		maps.Copy(p, edits)
		return []m{p}
	}
	level := func(level string, override m) m {
		return m{"signatureVerification": m{"level": level, "override": override}}
	}
	skip := m{"signatureVerification": m{"level": "skip"}, "trustStores": nil, "trustedIdentities": nil}
	has := `trust policy statement "p" `
	tests := []struct {
		name  string
		edits m
		want  string
	}{
		{"EXT-2 all", extended(nil), ""},
		{"EXT-0 used, not listed", m{"threshold": m{"signatures": 1}}, has + `uses threshold without listing it: add "extensions": ["threshold"]`},
		{"EXT-0 one of two not listed", extended(m{"extensions": []string{"threshold", "verificationPlugins"}}), "uses signaturePlugins without listing it"},
		{"EXT-0 listed, not used", only("threshold", nil, nil), has + `lists the extension "threshold" but has no member "threshold"`},
		{"EXT-0 unknown extension", m{"extensions": []string{"treshold"}}, has + `lists the unknown extension "treshold", known extensions are ["verificationPlugins" "signaturePlugins" "threshold"]`},
		{"EXT-0 extension names are exact", m{"extensions": []string{"Threshold"}, "threshold": m{"signatures": 1}}, `lists the unknown extension "Threshold"`},
		{"EXT-0 listed twice", m{"extensions": []string{"signaturePlugins", "signaturePlugins"}, "signaturePlugins": "any"}, "twice"},
		{"EXT-0 empty list", m{"extensions": []string{}}, `has an empty list "extensions"`},
		{"EXT-0 list of wrong type", m{"extensions": "threshold"}, "trustPolicies[0].extensions must be an array, not a string"},
		{"EXT-0 unknown member", only("signaturePlugins", "none", m{"treshold": 1}), has + `has the unknown member "treshold", which is an error in a statement that uses extensions`},
		{"EXT-0 unknown member of signatureVerification", only("signaturePlugins", "none", m{"signatureVerification": m{"level": "strict", "overide": m{}}}), `unknown member "signatureVerification.overide"`},
		{"EXT-0 unknown member of threshold", only("threshold", m{"signatures": 1, "distinkt": "root"}, nil), `unknown member "threshold.distinkt"`},
		{"EXT-0 unknown member of a plugin", only("verificationPlugins", plugin(m{"minversion ": "1.0.0"}), nil), `unknown member "verificationPlugins[0].minversion "`},
		{"EXT-0 other kind's member", only("signaturePlugins", "none", m{"globalPolicy": true}), `unknown member "globalPolicy"`},

		{"EXT-2 no plugin", only("verificationPlugins", []m{}, nil), has + "has invalid verificationPlugins: it lists no plugin"},
		{"EXT-2 object", only("verificationPlugins", m{}, nil), "trustPolicies[0].verificationPlugins must be an array, not an object"},
		{"EXT-2 no name", only("verificationPlugins", plugin(m{"name": ""}), nil), "a plugin has no name"},
		{"EXT-2 name", only("verificationPlugins", plugin(m{"name": "../x"}), nil), `plugin name "../x" needs to follow [a-zA-Z0-9_.-]+ format`},
		{"EXT-2 dots", only("verificationPlugins", plugin(m{"name": ".."}), nil), `plugin name ".." needs`},
		{"EXT-2 twice", only("verificationPlugins", []m{{"name": "a", "checks": []string{"revocation"}}, {"name": "a", "checks": []string{"authenticity"}}}, nil), `plugin "a" is listed twice`},
		{"EXT-2 minVersion", only("verificationPlugins", plugin(m{"minVersion": "1.2"}), nil), `minVersion of plugin "p1"`},
		{"EXT-2 no checks", only("verificationPlugins", []m{{"name": "p1"}}, nil), `checks of plugin "p1": none is given, supported values are ["authenticity" "revocation"]`},
		{"EXT-2 other check", only("verificationPlugins", plugin(m{"checks": []string{"expiry"}}), nil), `"expiry" is not a check that a plugin can make`},
		{"EXT-2 capability is no check", only("verificationPlugins", plugin(m{"checks": []string{"REVOCATION_CHECK"}}), nil), `is not a check that a plugin can make`},
		{"EXT-2 check twice", only("verificationPlugins", plugin(m{"checks": []string{"revocation", "revocation"}}), nil), `"revocation" is listed twice`},
		{"EXT-2 skipped check", only("verificationPlugins", plugin(nil), level("strict", m{"revocation": "skip"})), `"revocation" is skipped by the signatureVerification of the same statement`},
		{"EXT-2 logged check", only("verificationPlugins", plugin(nil), level("audit", nil)), ""},
		{"EXT-2 configuration of wrong type", only("verificationPlugins", plugin(m{"pluginConfig": m{"a": 1}}), nil), "verificationPlugins[0].pluginConfig.a must be a string, not the number 1"},
		{"EXT-2 with level skip", only("verificationPlugins", plugin(nil), skip), "has verification level skip, with which verificationPlugins cannot be used"},

		{"EXT-2 signaturePlugins none", only("signaturePlugins", "none", nil), ""},
		{"EXT-2 signaturePlugins other text", only("signaturePlugins", "all", nil), `has invalid signaturePlugins: "all" is not a value, use "any", "none" or an array of plugin names`},
		{"EXT-2 signaturePlugins empty", only("signaturePlugins", []string{}, nil), "it is empty"},
		{"EXT-2 signaturePlugins number", only("signaturePlugins", 1, nil), `signaturePlugins must be "any", "none" or an array of plugin names, not the number 1`},
		{"EXT-2 signaturePlugins name", only("signaturePlugins", []string{"a/b"}, nil), `plugin name "a/b" needs to follow`},
		{"EXT-2 signaturePlugins twice", only("signaturePlugins", []string{"a", "a"}, nil), `plugin "a" is listed twice`},

		{"EXT-4 zero", only("threshold", m{"signatures": 0}, nil), has + "has invalid threshold: signatures must be 1 or more, not 0"},
		{"EXT-4 missing", only("threshold", m{"distinct": "root"}, nil), "signatures must be 1 or more"},
		{"EXT-4 negative", only("threshold", m{"signatures": -1}, nil), "signatures must be 1 or more, not -1"},
		{"EXT-4 fraction", only("threshold", m{"signatures": 1.5}, nil), "threshold.signatures must be a whole number, not the number 1.5"},
		{"EXT-4 text", only("threshold", m{"signatures": "2"}, nil), "threshold.signatures must be a whole number, not a string"},
		{"EXT-4 number", only("threshold", 2, nil), "trustPolicies[0].threshold must be an object, not the number 2"},
		{"EXT-4 distinct", only("threshold", m{"signatures": 1, "distinct": "key"}, nil), `distinct is "key", use "identity" or "root"`},
		{"EXT-4 default", only("threshold", m{"signatures": 2}, nil), ""},
		{"EXT-4 any identity", only("threshold", m{"signatures": 1}, m{"trustedIdentities": []string{"*"}}), "signers cannot be told apart by the trusted identity '*'"},
		{"EXT-4 more than identities", only("threshold", m{"signatures": 3}, nil), "signatures is 3 and trustedIdentities has 2"},
		{"EXT-4 with level skip", only("threshold", m{"signatures": 1}, skip), "has verification level skip, with which threshold cannot be used"},
		{"EXT-4 at audit", only("threshold", m{"signatures": 1}, level("audit", nil)), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseOCIPolicy(documentOf(t, statementWith(tt.edits)))
			wantText(t, err, tt.want)
		})
	}
	for _, name := range []string{"extensions", "threshold", "signaturePlugins", "verificationPlugins"} {
		t.Run("EXT-0 null "+name, func(t *testing.T) {
			t.Parallel()
			data := strings.Replace(string(documentOf(t, statementWith(nil))), `"name"`, `"`+name+`":null,"name"`, 1)
			_, err := ParseOCIPolicy([]byte(data))
			wantText(t, err, "trustPolicies[0]."+name+" is null: give it a value or remove it")
		})
	}
}

func TestExtensionFields(t *testing.T) {
	t.Parallel()
	policy := mustOCI(t, statementWith(extended(nil)))
	s := policy.Statements[0]
	if len(policy.Warnings) != 1 || !policy.Warnings[0].OtherHosts || !strings.Contains(policy.Warnings[0].Text, "other hosts read this file without these checks") {
		t.Errorf("warnings %q", policy.Warnings)
	}
	if len(s.VerificationPlugins) != 1 {
		t.Fatalf("plugins %v", s.VerificationPlugins)
	}
	p := s.VerificationPlugins[0]
	if p.Name != "com.acme.revocation" || p.MinVersion != "1.2.0" || !slices.Equal(p.Checks, []Check{CheckRevocation}) || p.PluginConfig["list"] != "/x" {
		t.Errorf("plugin %+v", p)
	}
	if !s.SignaturePlugins.Allow("other") || s.SignaturePlugins.Allow("third") || s.SignaturePlugins.Allow("Other") || s.SignaturePlugins.String() != "com.acme.signer, other" {
		t.Errorf("signature plugins %v", s.SignaturePlugins)
	}
	if *s.Threshold != (Threshold{Signatures: 2, Distinct: DistinctRoot}) || len(s.Extensions) != 3 {
		t.Errorf("threshold %v, extensions %v", s.Threshold, s.Extensions)
	}
	defaults := mustOCI(t, statementWith(extended(m{"signaturePlugins": "none", "threshold": m{"signatures": 1}}))).Statements[0]
	if defaults.SignaturePlugins.Allow("other") || defaults.SignaturePlugins.String() != "none" || defaults.Threshold.Distinct != DistinctIdentity {
		t.Errorf("got %v, %v", defaults.SignaturePlugins, defaults.Threshold)
	}
	blob, err := ParseBlobPolicy(documentOf(t, statementWith(extended(m{"registryScopes": nil}))))
	if err != nil || blob.Statements[0].Threshold == nil {
		t.Errorf("blob policy: %v, %v", blob, err)
	}
}
