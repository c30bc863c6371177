package protocol

import (
	stdjson "encoding/json"
	"reflect"
	"strings"
	"testing"
)

// TestWireJSON pins the exact JSON of every message: order of members, members
// left out, and that a message read back is the same.
func TestWireJSON(t *testing.T) {
	config := map[string]string{"b": "2", "a": "1 <&>"}
	for _, c := range []struct {
		name    string
		message any
		want    string
	}{
		{"PLG-08 get-plugin-metadata request", &GetMetadataRequest{ContractVersion: "1.0"}, `{"contractVersion":"1.0"}`},
		{"PLG-09 get-plugin-metadata request with config", &GetMetadataRequest{ContractVersion: "1.0", PluginConfig: config},
			`{"contractVersion":"1.0","pluginConfig":{"a":"1 <&>","b":"2"}}`},
		{"PLG-15 metadata", &Metadata{Name: "n", Description: "d", Version: "1.0.0", URL: "u", SupportedContractVersions: []string{"1.0"}, Capabilities: []Capability{CapabilitySignatureGenerator}},
			`{"name":"n","description":"d","version":"1.0.0","url":"u","supportedContractVersions":["1.0"],"capabilities":["SIGNATURE_GENERATOR.RAW"]}`},
		{"PLG-15 metadata with extensions", &Metadata{Name: "n", Description: "d", Version: "1.0.0", URL: "u", SupportedContractVersions: []string{"1.0"}, Capabilities: []Capability{}, Transports: []string{"stdio"}, Extensions: []Extension{ExtensionPublicKey}},
			`{"name":"n","description":"d","version":"1.0.0","url":"u","supportedContractVersions":["1.0"],"capabilities":[],"transports":["stdio"],"extensions":["publicKey.v1"]}`},
		{"PLG-22 describe-key request", &DescribeKeyRequest{ContractVersion: "1.0", KeyID: "k"}, `{"contractVersion":"1.0","keyId":"k"}`},
		{"PLG-09 describe-key request with config", &DescribeKeyRequest{ContractVersion: "1.0", KeyID: "k", PluginConfig: config},
			`{"contractVersion":"1.0","keyId":"k","pluginConfig":{"a":"1 <&>","b":"2"}}`},
		{"PLG-22 describe-key response", &DescribeKeyResponse{KeyID: "k", KeySpec: KeySpecEC256}, `{"keyId":"k","keySpec":"EC-256"}`},
		{"describe-key response with public key", &DescribeKeyResponse{KeyID: "k", KeySpec: KeySpecEC256, PublicKey: []byte{1, 2}},
			`{"keyId":"k","keySpec":"EC-256","publicKey":"AQI="}`},
		{"PLG-24 generate-signature request", &GenerateSignatureRequest{ContractVersion: "1.0", KeyID: "k", KeySpec: KeySpecRSA2048, Hash: HashSHA256, Payload: []byte("hi")},
			`{"contractVersion":"1.0","keyId":"k","keySpec":"RSA-2048","hashAlgorithm":"SHA-256","payload":"aGk="}`},
		{"PLG-24 generate-signature request, all members", &GenerateSignatureRequest{ContractVersion: "1.0", KeyID: "k", KeySpec: KeySpecRSA2048, Hash: HashSHA256, Payload: []byte("hi"), Purpose: PurposeCSR, PluginConfig: config},
			`{"contractVersion":"1.0","keyId":"k","keySpec":"RSA-2048","hashAlgorithm":"SHA-256","payload":"aGk=","purpose":"csr","pluginConfig":{"a":"1 <&>","b":"2"}}`},
		{"PLG-25 generate-signature response", &GenerateSignatureResponse{KeyID: "k", Signature: []byte{0xff, 0xfe}, SigningAlgorithm: AlgorithmPSS256, CertificateChain: [][]byte{{1}, {2}}},
			`{"keyId":"k","signature":"//4=","signingAlgorithm":"RSASSA-PSS-SHA-256","certificateChain":["AQ==","Ag=="]}`},
		{"PLG-27 generate-envelope request without expiry", &GenerateEnvelopeRequest{ContractVersion: "1.0", KeyID: "k", PayloadType: "p", SignatureEnvelopeType: "e", Payload: []byte("{}")},
			`{"contractVersion":"1.0","keyId":"k","payloadType":"p","signatureEnvelopeType":"e","payload":"e30="}`},
		{"PLG-27 generate-envelope request", &GenerateEnvelopeRequest{ContractVersion: "1.0", KeyID: "k", PayloadType: "p", SignatureEnvelopeType: "e", Payload: []byte("{}"), ExpiryDurationInSeconds: 60, PluginConfig: config},
			`{"contractVersion":"1.0","keyId":"k","payloadType":"p","signatureEnvelopeType":"e","payload":"e30=","expiryDurationInSeconds":60,"pluginConfig":{"a":"1 <&>","b":"2"}}`},
		{"PLG-28 generate-envelope response", &GenerateEnvelopeResponse{SignatureEnvelope: []byte("x"), SignatureEnvelopeType: "e", Annotations: map[string]string{"a": "b"}},
			`{"signatureEnvelope":"eA==","signatureEnvelopeType":"e","annotations":{"a":"b"}}`},
		{"PLG-44 PLG-45 verify-signature request, smallest", &VerifySignatureRequest{ContractVersion: "1.0",
			Signature:   Signature{CriticalAttributes: CriticalAttributes{ContentType: "c", SigningScheme: "s"}, UnprocessedAttributes: []string{}, CertificateChain: [][]byte{}},
			TrustPolicy: TrustPolicy{TrustedIdentities: []string{}, SignatureVerification: []Capability{}}},
			`{"contractVersion":"1.0","signature":{"criticalAttributes":{"contentType":"c","signingScheme":"s"},"unprocessedAttributes":[],"certificateChain":[]},"trustPolicy":{"trustedIdentities":[],"signatureVerification":[]}}`},
		{"PLG-44 PLG-45 PLG-46 verify-signature request, all members", &VerifySignatureRequest{ContractVersion: "1.0",
			Signature: Signature{
				CriticalAttributes: CriticalAttributes{ContentType: "c", SigningScheme: "s", Expiry: "2022-10-06T07:01:20Z", AuthenticSigningTime: "2022-04-06T07:01:20Z", VerificationPlugin: "p", VerificationPluginMinVersion: "1.0.0",
					ExtendedAttributes: map[string]any{"text": "v", "number": stdjson.Number("9007199254740993"), "null": nil}},
				UnprocessedAttributes: []string{"null", "number", "text"}, CertificateChain: [][]byte{{1}}},
			TrustPolicy:  TrustPolicy{TrustedIdentities: []string{"*", "other.prefix:x"}, SignatureVerification: []Capability{CapabilityRevocationCheckVerifier}},
			Artifact:     &Artifact{Reference: "r", MediaType: "m", Digest: "sha256:00", Size: 9007199254740993},
			PluginConfig: config},
			`{"contractVersion":"1.0","signature":{"criticalAttributes":{"contentType":"c","signingScheme":"s","expiry":"2022-10-06T07:01:20Z","authenticSigningTime":"2022-04-06T07:01:20Z","verificationPlugin":"p","verificationPluginMinVersion":"1.0.0","extendedAttributes":{"null":null,"number":9007199254740993,"text":"v"}},"unprocessedAttributes":["null","number","text"],"certificateChain":["AQ=="]},"trustPolicy":{"trustedIdentities":["*","other.prefix:x"],"signatureVerification":["SIGNATURE_VERIFIER.REVOCATION_CHECK"]},"artifact":{"reference":"r","mediaType":"m","digest":"sha256:00","size":9007199254740993},"pluginConfig":{"a":"1 <&>","b":"2"}}`},
		{"PLG-48 verify-signature response", &VerifySignatureResponse{VerificationResults: map[Capability]*VerificationResult{
			CapabilityTrustedIdentityVerifier: {Success: true}, CapabilityRevocationCheckVerifier: {Reason: "revoked"}}, ProcessedAttributes: []string{"a"}},
			`{"verificationResults":{"SIGNATURE_VERIFIER.REVOCATION_CHECK":{"success":false,"reason":"revoked"},"SIGNATURE_VERIFIER.TRUSTED_IDENTITY":{"success":true}},"processedAttributes":["a"]}`},
		{"PLG-11 error", &Error{Code: CodeAccessDenied, Message: "m", Metadata: map[string]string{"a": "b"}}, `{"errorCode":"ACCESS_DENIED","errorMessage":"m","errorMetadata":{"a":"b"}}`},
		{"PLG-11 error with a code alone", &Error{Code: CodeTimeout}, `{"errorCode":"TIMEOUT"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := encode(c.message)
			if err != nil || string(got) != c.want {
				t.Fatalf("\ngot  %s\nwant %s\n%v", got, c.want, err)
			}
			back := reflect.New(reflect.TypeOf(c.message).Elem()).Interface()
			if err := decode(got, back); err != nil || !reflect.DeepEqual(back, c.message) {
				t.Errorf("read back %+v, %v", back, err)
			}
		})
	}
	t.Run("PLG-44 lists and maps are never null", func(t *testing.T) {
		for want, message := range map[string]any{
			`{"contractVersion":"","signature":{"criticalAttributes":{"contentType":"","signingScheme":""},"unprocessedAttributes":[],"certificateChain":[]},"trustPolicy":{"trustedIdentities":[],"signatureVerification":[]}}`: &VerifySignatureRequest{},
			`{"verificationResults":{},"processedAttributes":[]}`:                     &VerifySignatureResponse{},
			`{"keyId":"","signature":"","signingAlgorithm":"","certificateChain":[]}`: &GenerateSignatureResponse{},
		} {
			if got, err := encode(message); err != nil || string(got) != want {
				t.Errorf("got %s, %v", got, err)
			}
		}
	})
}

func TestDecodeStrictly(t *testing.T) {
	deep := strings.Repeat(`{"x":`, maxDepth) + "1" + strings.Repeat("}", maxDepth)
	for _, c := range []struct{ name, text, want string }{
		{"PLG-33 unknown members", `{"keyId":"k","keySpec":"EC-256","new":{"a":[1,null,{}]}}`, ""},
		{"PLG-05 white space", " \t\r\n{\"keyId\":\"k\"}\n", ""},
		{"null counts as absent", `{"keyId":null}`, ""},
		{"as deep as allowed", deep, ""},
		{"deeper", `{"x":` + deep + `}`, "nested deeper"},
		{"very deep list", `{"x":` + strings.Repeat("[", 1<<20), "nested deeper"},
		{"empty", "", "no JSON at all"},
		{"spaces", " \n", "no JSON at all"},
		{"null", "null", "but a null"},
		{"list", "[]", "but a list"},
		{"string", `"x"`, "but a string"},
		{"number", "1", "but a number"},
		{"boolean", "true", "but a boolean"},
		{"cut off", `{"keyId":"k"`, "EOF"},
		{"trailing text", `{} x`, "more text after"},
		{"two documents", `{}{}`, "more text after"},
		{"duplicate member", `{"keyId":"k","keyId":"k"}`, "duplicate"},
		{"duplicate by escape", `{"keyId":"k","key\u0049d":"l"}`, "duplicate"},
		{"duplicate member unknown to us", `{"x":{"a":1,"a":2}}`, "duplicate"},
		{"other case is another member", `{"keyId":"k","KEYID":"l"}`, ""},
		{"invalid UTF-8", "{\"keyId\":\"\xff\"}", "UTF-8"},
		{"byte order mark", "\xef\xbb\xbf{}", ""},
		{"lone surrogate", `{"keyId":"\ud800"}`, "surrogate"},
		{"comment", `{} // c`, "more text after"},
		{"number for string", `{"keyId":1}`, "string"},
		{"list for string", `{"keyId":[]}`, "string"},
		{"bad base64", `{"publicKey":"?"}`, "base64"},
		{"base64 without padding", `{"publicKey":"AQ"}`, "base64"},
		{"base64 with line feed", `{"publicKey":"AQ\n=="}`, "illegal character"},
		{"base64url", `{"publicKey":"__-_"}`, "base64"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var message DescribeKeyResponse
			err := decode([]byte(c.text), &message)
			switch {
			case c.name == "byte order mark":
				if err == nil {
					t.Error("accepted")
				}
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error %v, want %q", err, c.want)
			case message.KeyID == "l":
				t.Error("a member of another case was read")
			}
		})
	}
}

func TestParseError(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       *Error // nil for malformed
	}{
		{"PLG-11 all members", `{"errorCode":"TIMEOUT","errorMessage":"m","errorMetadata":{"a":"b"}}`, &Error{Code: CodeTimeout, Message: "m", Metadata: map[string]string{"a": "b"}}},
		{"PLG-11 code alone", `{"errorCode":"THROTTLED"}`, &Error{Code: CodeThrottled}},
		{"PLG-11 message alone", `{"errorMessage":"m"}`, &Error{Code: CodeGeneric, Message: "m"}},
		{"PLG-11 metadata alone", `{"errorMetadata":{"a":"b"}}`, &Error{Code: CodeGeneric, Metadata: map[string]string{"a": "b"}}},
		{"PLG-11 all three absent", `{"message":"m"}`, nil},
		{"PLG-11 not JSON", `failed`, nil},
		{"PLG-12 unknown code", `{"errorCode":"NEW_CODE","errorMessage":"m"}`, &Error{Code: CodeGeneric, Message: "m"}},
		{"PLG-12 code of another type", `{"errorCode":7}`, nil},
		{"PLG-33 unknown member", `{"errorCode":"ERROR","hint":[1]}`, &Error{Code: CodeGeneric}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseError([]byte(c.text))
			if (err != nil) != (c.want == nil) || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	for _, code := range []ErrorCode{CodeValidation, CodeUnsupportedContract, CodeAccessDenied, CodeTimeout, CodeThrottled, CodeGeneric} {
		t.Run("PLG-12 "+string(code), func(t *testing.T) {
			data, _ := encode(&Error{Code: code})
			got, err := ParseError(data)
			if err != nil || got.Code != code || !code.Known() {
				t.Errorf("%+v, %v", got, err)
			}
			if code.Retryable() != (code == CodeTimeout || code == CodeThrottled) {
				t.Error("retryable")
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"contractVersion":"1.0","signature":{"criticalAttributes":{"contentType":"c","signingScheme":"s","extendedAttributes":{"a":1e400,"b":null}},"unprocessedAttributes":[],"certificateChain":["AQ=="]},"trustPolicy":{"trustedIdentities":["*"],"signatureVerification":[]}}`))
	f.Add([]byte(`{"errorCode":"ERROR","errorMetadata":{"a":"b"}}`))
	f.Add([]byte(`{"verificationResults":{"x":{"success":true}},"processedAttributes":["a"]}`))
	f.Add([]byte(`[[[[`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, message := range []any{
			&GetMetadataRequest{}, &Metadata{}, &DescribeKeyRequest{}, &DescribeKeyResponse{}, &GenerateSignatureRequest{}, &GenerateSignatureResponse{},
			&GenerateEnvelopeRequest{}, &GenerateEnvelopeResponse{}, &VerifySignatureRequest{}, &VerifySignatureResponse{}, &Error{},
		} {
			if decode(data, message) != nil {
				continue
			}
			// What was accepted can be written, and says the same when read again.
			text, err := encode(message)
			if err != nil {
				t.Fatalf("%T: %v", message, err)
			}
			again := reflect.New(reflect.TypeOf(message).Elem()).Interface()
			if err := decode(text, again); err != nil {
				t.Fatalf("%T: %s: %v", message, text, err)
			}
			if second, err := encode(again); err != nil || string(second) != string(text) {
				t.Fatalf("%T: %s became %s, %v", message, text, second, err)
			}
		}
	})
}
