// Package signer holds what every plugin that signs with keys of a key service
// needs: [Plugin] turns a small [Key] into the answers of describe-key and
// generate-signature, and the functions beside it order certificate chains, convert
// signatures and keep what a key service answers within bounds.
//
// A new backend writes one function that opens a key, and one type with two
// methods:
//
//	protocol.Serve(signer.New(signer.Options{
//		Metadata: protocol.Metadata{Name: "acme", Description: "…", Version: "1.0.0", URL: "…"},
//		Open: func(ctx context.Context, keyID string, config map[string]string) (signer.Key, error) { … },
//	}))
package signer
