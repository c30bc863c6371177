package testservers

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"
)

// KMS is an AWS KMS as an emulator has it.
type KMS struct {
	// URL is the endpoint, http://127.0.0.1:port.
	URL string
	// Region is where the keys are.
	Region string
}

// LocalKMS starts local-kms for the time of the test: real keys of all types, any
// credentials, nobody denied anything. It signs digests as digests, with a salt as
// long as the hash; moto does neither.
func LocalKMS(t testing.TB) *KMS {
	t.Helper()
	paths := provisioned(t, "localkms")
	address := freeAddress(t)
	k := &KMS{URL: "http://" + address, Region: "us-east-2"}
	s := start(t, "local-kms", nil, paths["localkms"], address, k.Region, t.TempDir())
	s.await(t, http.DefaultClient, k.URL+"/health")
	return k
}

// Do sends a request of the KMS API, "CreateKey" for example, and returns the
// answer's JSON object. The test fails when the request does.
func (k *KMS) Do(t testing.TB, action string, body map[string]any) map[string]any {
	t.Helper()
	encoded, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, k.URL, bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	request.Header.Set("X-Amz-Target", "TrentService."+action)
	request.Header.Set("Authorization", unsigned("kms", k.Region))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer map[string]any
	_ = json.NewDecoder(response.Body).Decode(&answer) // may be empty
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %v", action, response.Status, answer)
	}
	return answer
}

// CreateKey makes a key of a spec and a usage of KMS and returns its ARN.
func (k *KMS) CreateKey(t testing.TB, spec, usage string) string {
	t.Helper()
	answer := k.Do(t, "CreateKey", map[string]any{"KeySpec": spec, "KeyUsage": usage})
	return answer["KeyMetadata"].(map[string]any)["Arn"].(string)
}

// unsigned is the header by which emulators tell service and region, of a
// request that nobody signed.
func unsigned(service, region string) string {
	return "AWS4-HMAC-SHA256 Credential=test/20260101/" + region + "/" + service + "/aws4_request, SignedHeaders=host, Signature=none"
}
