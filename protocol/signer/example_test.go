package signer_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log"
	"strings"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// The whole of a plugin whose key service is a key in memory. A service of your own
// has a type with the methods PublicKey and Sign in place of signer.FromSigner.
func ExampleNew() {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	plugin := signer.New(signer.Options{
		Metadata: protocol.Metadata{Name: "acme", Description: "Signs with Acme's keys", Version: "1.0.0", URL: "https://acme.example"},
		Open: func(_ context.Context, keyID string, _ map[string]string) (signer.Key, error) {
			if keyID != "build" {
				return nil, protocol.Errorf(protocol.CodeValidation, "there is no key %q", keyID)
			}
			return signer.FromSigner(private), nil
		},
	})

	// protocol.Serve(plugin) is the main function of notation-acme. This is one call
	// of what it serves.
	request := strings.NewReader(`{"contractVersion": "1.0", "keyId": "build"}`)
	var response bytes.Buffer
	if err := protocol.Handle(context.Background(), plugin, "describe-key", request, &response); err != nil {
		log.Fatal(err)
	}
	var key protocol.DescribeKeyResponse
	if err := json.Unmarshal(response.Bytes(), &key); err != nil {
		log.Fatal(err)
	}
	fmt.Println(key.KeyID, key.KeySpec)
	// Output: build EC-256
}
