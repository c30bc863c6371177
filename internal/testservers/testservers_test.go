package testservers

import (
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
