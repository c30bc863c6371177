package protocol

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
)

// scripted answers every call with the same thing and keeps the last request.
type scripted struct {
	answer  string
	err     error
	command Command
	request string
}

func (s *scripted) Call(_ context.Context, command Command, request []byte) ([]byte, error) {
	s.command, s.request = command, string(request)
	return []byte(s.answer), s.err
}

// edited returns a JSON object with some members set, or dropped where the
// value is dropped.
func edited(t *testing.T, object string, edit map[string]any) string {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(object), &members); err != nil {
		t.Fatal(err)
	}
	maps.Copy(members, edit)
	maps.DeleteFunc(members, func(_ string, value any) bool { return value == dropped })
	text, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var dropped any = struct{ dropped bool }{true}

const goodMetadata = `{"name":"acme","description":"d","version":"1.0.0","url":"u","supportedContractVersions":["1.0"],"capabilities":["SIGNATURE_GENERATOR.RAW"]}`

type clientCase struct {
	name string
	edit map[string]any
	want string // empty: accepted
}

// check runs cases against a good answer.
func check(t *testing.T, good string, cases []clientCase, call func(*Client) error) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := call(NewClient("acme", &scripted{answer: edited(t, good, c.edit)}))
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			failure, ok := errors.AsType[*CallError](err)
			if !ok || failure.Plugin != "acme" || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
		})
	}
}

func TestGetMetadata(t *testing.T) {
	prefix := "metadata validation failed for plugin acme: "
	versions := func(v ...string) map[string]any { return map[string]any{"supportedContractVersions": v} }
	check(t, goodMetadata, []clientCase{
		{"PLG-15 complete", nil, ""},
		{"PLG-15 no name", map[string]any{"name": dropped}, prefix + "empty name"},
		{"PLG-15 empty name", map[string]any{"name": ""}, prefix + "empty name"},
		{"PLG-15 no description", map[string]any{"description": dropped}, prefix + "empty description"},
		{"PLG-15 no version", map[string]any{"version": dropped}, prefix + "empty version"},
		{"PLG-15 no url", map[string]any{"url": dropped}, prefix + "empty url"},
		{"PLG-15 no capabilities", map[string]any{"capabilities": dropped}, prefix + "empty capabilities"},
		{"PLG-15 empty capabilities", map[string]any{"capabilities": []string{}}, prefix + "empty capabilities"},
		{"PLG-15 no contract versions", map[string]any{"supportedContractVersions": dropped}, prefix + "supported contract versions not specified"},
		{"PLG-15 null contract versions", map[string]any{"supportedContractVersions": nil}, prefix + "supported contract versions not specified"},
		{"PLG-16 another name", map[string]any{"name": "other"}, `plugin executable file name must be "notation-other" instead of "notation-acme"`},
		{"PLG-17 higher minor", versions("1.1"), `speaks contract versions ["1.1"], this host speaks 1.0`},
		{"PLG-17 lower major", versions("0.9"), "this host speaks 1.0"},
		{"PLG-17 higher major", versions("2.0"), "this host speaks 1.0"},
		{"PLG-17 one per major", versions("1.0", "2.0"), ""},
		{"PLG-17 not a version", versions("1", "v1.0", "1.0.0", "01.0", "1.x"), "this host speaks 1.0"},
		{"PLG-19 unknown capability", map[string]any{"capabilities": []string{"NEW.THING"}}, ""},
		{"PLG-33 unknown member", map[string]any{"new": map[string]any{"a": 1}}, ""},
		{"PLG-05 wrong type", map[string]any{"capabilities": "x"}, "malformed answer"},
	}, func(c *Client) error {
		_, err := c.GetMetadata(t.Context(), &GetMetadataRequest{})
		return err
	})
	t.Run("PLG-15 whole text", func(t *testing.T) {
		_, err := NewClient("acme", &scripted{answer: edited(t, goodMetadata, map[string]any{"url": ""})}).GetMetadata(t.Context(), nil)
		if err == nil || err.Error() != prefix+"empty url" {
			t.Error(err)
		}
	})
}

func TestContractVersionSent(t *testing.T) {
	transport := &scripted{}
	client := NewClient("acme", transport)
	ctx := t.Context()
	for name, call := range map[string]func(){
		"get-plugin-metadata": func() { client.GetMetadata(ctx, nil) },
		"describe-key":        func() { client.DescribeKey(ctx, nil) },
		"generate-signature":  func() { client.GenerateSignature(ctx, nil) },
		"generate-envelope":   func() { client.GenerateEnvelope(ctx, nil) },
		"verify-signature":    func() { client.VerifySignature(ctx, nil) },
	} {
		t.Run("PLG-06 PLG-08 "+name, func(t *testing.T) {
			call()
			if string(transport.command) != name || !strings.HasPrefix(transport.request, `{"contractVersion":"1.0"`) {
				t.Errorf("%s: %s", transport.command, transport.request)
			}
		})
	}
	t.Run("PLG-17 negotiated", func(t *testing.T) {
		for want, supported := range map[string][]string{"1.0": {"2.3", "1.0", "0.7"}} {
			if got, err := negotiate(supported); err != nil || got != want {
				t.Errorf("%q, %v", got, err)
			}
		}
	})
	t.Run("the caller's request stays as it is", func(t *testing.T) {
		request := &DescribeKeyRequest{KeyID: "k"}
		client.DescribeKey(ctx, request)
		if request.ContractVersion != "" {
			t.Error("changed")
		}
	})
}

func TestDescribeKey(t *testing.T) {
	check(t, `{"keyId":"k","keySpec":"EC-256"}`, []clientCase{
		{"PLG-22 good", nil, ""},
		{"PLG-22 another key", map[string]any{"keyId": "a"}, `plugin acme: describe-key: keyID in describeKey response "a" does not match request "k"`},
		{"PLG-22 no key id", map[string]any{"keyId": dropped}, `keyID in describeKey response "" does not match request "k"`},
		{"PLG-22 unknown spec", map[string]any{"keySpec": "EC-224"}, "unknown key spec"},
		{"PLG-22 no spec", map[string]any{"keySpec": dropped}, "unknown key spec"},
	}, func(c *Client) error {
		_, err := c.DescribeKey(t.Context(), &DescribeKeyRequest{KeyID: "k"})
		return err
	})
}

func TestGenerateSignature(t *testing.T) {
	good := `{"keyId":"k","signature":"AQ==","signingAlgorithm":"ECDSA-SHA-256","certificateChain":["AQ==","Ag=="]}`
	request := &GenerateSignatureRequest{KeyID: "k", KeySpec: KeySpecEC256, Hash: HashSHA256, Payload: []byte("x")}
	check(t, good, []clientCase{
		{"PLG-25 good", nil, ""},
		{"PLG-26 another key", map[string]any{"keyId": "a"}, `"a" does not match request "k"`},
		{"PLG-26 unknown algorithm", map[string]any{"signingAlgorithm": "RS256"}, `signingAlgorithm "RS256" in generateSignature response is not supported`},
		{"PLG-26 algorithm of another key spec", map[string]any{"signingAlgorithm": "ECDSA-SHA-384"}, "does not go with key spec EC-256"},
		{"PLG-26 no signature", map[string]any{"signature": ""}, "no signature"},
		{"PLG-26 no chain", map[string]any{"certificateChain": []string{}}, "no certificate chain"},
		{"PLG-26 empty certificate", map[string]any{"certificateChain": []string{"AQ==", ""}}, "empty certificate"},
		{"PLG-25 signature not base64", map[string]any{"signature": "*"}, "malformed answer"},
	}, func(c *Client) error {
		_, err := c.GenerateSignature(t.Context(), request)
		return err
	})
	t.Run("csr without chain", func(t *testing.T) {
		csr := *request
		csr.Purpose = PurposeCSR
		client := NewClient("acme", &scripted{answer: edited(t, good, map[string]any{"certificateChain": []string{}})})
		if _, err := client.GenerateSignature(t.Context(), &csr); err != nil {
			t.Error(err)
		}
	})
}

func TestGenerateEnvelope(t *testing.T) {
	good := `{"signatureEnvelope":"AQ==","signatureEnvelopeType":"application/jose+json","annotations":{"a":"b"}}`
	check(t, good, []clientCase{
		{"PLG-28 good", nil, ""},
		{"PLG-28 another type", map[string]any{"signatureEnvelopeType": "application/cose"}, `"application/cose" does not match request "application/jose+json"`},
		{"PLG-28 no envelope", map[string]any{"signatureEnvelope": ""}, "no signature envelope"},
		{"PLG-28 annotations of another type", map[string]any{"annotations": map[string]any{"a": 1}}, "malformed answer"},
	}, func(c *Client) error {
		_, err := c.GenerateEnvelope(t.Context(), &GenerateEnvelopeRequest{KeyID: "k", SignatureEnvelopeType: "application/jose+json"})
		return err
	})
	t.Run("PLG-28 missing annotations are empty", func(t *testing.T) {
		client := NewClient("acme", &scripted{answer: edited(t, good, map[string]any{"annotations": dropped})})
		answer, err := client.GenerateEnvelope(t.Context(), &GenerateEnvelopeRequest{SignatureEnvelopeType: "application/jose+json"})
		if err != nil || answer.Annotations == nil || len(answer.Annotations) != 0 {
			t.Errorf("%+v, %v", answer, err)
		}
	})
}

func TestVerifySignature(t *testing.T) {
	request := &VerifySignatureRequest{
		Signature:   Signature{UnprocessedAttributes: []string{"a", "b"}},
		TrustPolicy: TrustPolicy{SignatureVerification: []Capability{CapabilityRevocationCheckVerifier}},
	}
	const name = string(CapabilityRevocationCheckVerifier)
	results := func(r map[string]any) map[string]any { return map[string]any{"verificationResults": r} }
	processed := func(names ...string) map[string]any { return map[string]any{"processedAttributes": names} }
	check(t, `{"verificationResults":{"`+name+`":{"success":true}},"processedAttributes":["b","a"]}`, []clientCase{
		{"PLG-48 good", nil, ""},
		{"PLG-49 missing result", results(map[string]any{}), "no result for"},
		{"PLG-49 null result", results(map[string]any{name: nil}), "no result for"},
		{"PLG-49 no results at all", map[string]any{"verificationResults": dropped}, "no result for"},
		{"PLG-49 extra result", results(map[string]any{name: map[string]any{"success": true}, "SIGNATURE_VERIFIER.TRUSTED_IDENTITY": map[string]any{"success": true}}), "was not asked for"},
		{"PLG-50 failure with reason", results(map[string]any{name: map[string]any{"success": false, "reason": "r"}}), ""},
		{"PLG-50 failure without reason", results(map[string]any{name: map[string]any{"success": false}}), "without a reason"},
		{"PLG-50 neither success nor reason", results(map[string]any{name: map[string]any{}}), "without a reason"},
		{"PLG-50 success as text", results(map[string]any{name: map[string]any{"success": "true"}}), "malformed answer"},
		{"PLG-51 one missing", processed("a"), `does not list attribute "b" as processed`},
		{"PLG-51 none", map[string]any{"processedAttributes": dropped}, "does not list attribute"},
		{"PLG-51 bogus", processed("a", "b", "c"), `lists attribute "c" as processed, which`},
	}, func(c *Client) error {
		_, err := c.VerifySignature(t.Context(), request)
		return err
	})
	t.Run("PLG-51 null for none", func(t *testing.T) {
		client := NewClient("acme", &scripted{answer: `{"verificationResults":{},"processedAttributes":null}`})
		if _, err := client.VerifySignature(t.Context(), &VerifySignatureRequest{}); err != nil {
			t.Error(err)
		}
	})
	for kind, value := range map[string]any{"boolean": true, "list": []any{1}, "object": map[string]any{}, "bytes": []byte{1}} {
		t.Run("PLG-46 "+kind, func(t *testing.T) {
			transport := &scripted{}
			q := &VerifySignatureRequest{Signature: Signature{CriticalAttributes: CriticalAttributes{ExtendedAttributes: map[string]any{"x": value}}}}
			_, err := NewClient("acme", transport).VerifySignature(t.Context(), q)
			if err == nil || transport.request != "" {
				t.Errorf("sent %s, error %v", transport.request, err)
			}
		})
	}
}

func TestCallErrors(t *testing.T) {
	t.Run("PLG-11 the plugin's own", func(t *testing.T) {
		_, err := NewClient("acme", &scripted{err: Errorf(CodeAccessDenied, "no right to use key k")}).DescribeKey(t.Context(), &DescribeKeyRequest{KeyID: "k"})
		if err == nil || err.Error() != "plugin acme: describe-key: ACCESS_DENIED: no right to use key k" {
			t.Error(err)
		}
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != CodeAccessDenied {
			t.Error("not an *Error")
		}
	})
	t.Run("an error document as answer is not the plugin's own", func(t *testing.T) {
		_, err := NewClient("acme", &scripted{answer: `{"errorCode":"THROTTLED"}`}).DescribeKey(t.Context(), &DescribeKeyRequest{KeyID: "k"})
		if _, own := errors.AsType[*Error](err); own {
			t.Error("would be retried")
		}
		if _, malformed := errors.AsType[*AnswerError](err); !malformed {
			t.Error(err)
		}
	})
	t.Run("request that is not UTF-8", func(t *testing.T) {
		if _, err := NewClient("acme", &scripted{}).DescribeKey(t.Context(), &DescribeKeyRequest{KeyID: "\xff"}); err == nil {
			t.Error("sent")
		}
	})
}
