package testservers

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

func TestSoftHSM(t *testing.T) {
	t.Parallel()
	h := SoftHSM(t)
	h.Tool(t, "--keypairgen", "--key-type", "EC:prime256v1", "--label", "smoke", "--id", "01")
	if objects := h.Tool(t, "--list-objects"); !strings.Contains(objects, "smoke") {
		t.Errorf("the new key is not listed:\n%s", objects)
	}
}

func TestOpenBao(t *testing.T) {
	t.Parallel()
	bao := OpenBao(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, bao.Addr+"/v1/auth/token/lookup-self", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Vault-Token", bao.Token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct{ Data struct{ Policies []string } }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK || len(answer.Data.Policies) == 0 || answer.Data.Policies[0] != "root" {
		t.Errorf("the token is not the root token: %s, %v", response.Status, answer)
	}
}

// TestLocalKMS makes sure that the emulator signs as KMS does.
func TestLocalKMS(t *testing.T) {
	t.Parallel()
	k := LocalKMS(t)
	arn := k.CreateKey(t, "RSA_2048", "SIGN_VERIFY")
	decode := func(text any) []byte {
		data, err := base64.StdEncoding.DecodeString(text.(string))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	public, err := x509.ParsePKIXPublicKey(decode(k.Do(t, "GetPublicKey", map[string]any{"KeyId": arn})["PublicKey"]))
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("smoke"))
	signed := k.Do(t, "Sign", map[string]any{"KeyId": arn, "Message": digest[:], "MessageType": "DIGEST", "SigningAlgorithm": "RSASSA_PSS_SHA_256"})
	options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
	if err := rsa.VerifyPSS(public.(*rsa.PublicKey), crypto.SHA256, digest[:], decode(signed["Signature"]), options); err != nil {
		t.Error(err)
	}
}

func TestMoto(t *testing.T) {
	t.Parallel()
	m := StartMoto(t)
	id, secret := m.User(t, "smoke", "kms:Sign")
	if id == "" || secret == "" {
		t.Error("no access key")
	}
	if arn := m.Role(t, "smoke", `{"Version": "2012-10-17", "Statement": []}`, "kms:Sign"); !strings.HasSuffix(arn, ":role/smoke") {
		t.Errorf("ARN %q", arn)
	}
	m.Enforce(t)
	response, err := http.Get(m.URL + "/?Action=ListUsers&Version=2010-05-08")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		t.Error("a request that nobody signed is answered")
	}
}
