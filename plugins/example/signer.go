// Package example is the smallest useful plugin, to copy: a signer whose keys
// are PEM files, and a trust check that reads a list of certificates to deny.
//
// A plugin is a program called notation-<name>. A host starts it with a command
// as its argument and a JSON request on stdin, and reads a JSON answer from
// stdout; protocol.Serve does all of that, so what is left to write is below.
package example

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"strings"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// Plugin configuration that users set with --plugin-config name=value. Document
// yours in your own README; never take secrets this way, they end up in logs.
const (
	// ConfigKey names the PEM file of the private key; without it the key id is
	// that file.
	ConfigKey = "key"
	// ConfigDenyList names the file of denied certificates; see VerifySignature.
	ConfigDenyList = "deny_list"
)

// Plugin signs and checks. Each capability it claims is one or two methods:
// signer.Plugin brings DescribeKey and GenerateSignature (SIGNATURE_GENERATOR.RAW)
// and this package VerifySignature (SIGNATURE_VERIFIER.REVOCATION_CHECK).
type Plugin struct {
	*signer.Plugin
	getenv func(string) string
}

// New makes the plugin; getenv is os.Getenv outside of tests. Nothing may happen
// here that needs a network, credentials or configuration, because hosts ask for
// the metadata without any of them.
func New(getenv func(string) string) *Plugin {
	return &Plugin{
		Plugin: signer.New(signer.Options{
			Metadata: protocol.Metadata{
				Name:         "example", // the executable's name less "notation-"
				Description:  "Signs with a PEM key file; checks certificates against a deny list",
				Version:      "1.0.0", // SemVer without a leading v
				URL:          "https://github.com/signet-project/signet/tree/main/plugins/example",
				Capabilities: []protocol.Capability{protocol.CapabilityRevocationCheckVerifier},
			},
			Open: openKey,
		}),
		getenv: getenv,
	}
}

// openKey finds the key that the user means. Yours would make a client of your
// key service here and return a type with the methods PublicKey and Sign;
// signer.Plugin hashes the payload, and orders and checks the certificate chain,
// which the user names in the plugin configuration "certificate_chain".
func openKey(_ context.Context, keyID string, config map[string]string) (signer.Key, error) {
	path := keyID
	if config[ConfigKey] != "" {
		path = config[ConfigKey]
	}
	text, err := signer.ReadFile(path)
	if err != nil {
		// The code tells the host what kind of failure this is: VALIDATION_ERROR
		// for anything wrong in the request, such as a key that does not exist;
		// THROTTLED and TIMEOUT make the host try again. Say what to do about it.
		code := protocol.CodeValidation
		if errors.Is(err, fs.ErrPermission) {
			code = protocol.CodeAccessDenied
		}
		return nil, protocol.Errorf(code, "key %q: %w", keyID, err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, protocol.Errorf(protocol.CodeValidation, "key %q: %s is not a PEM file", keyID, path)
	}
	private, err := parseKey(block)
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeValidation, "key %q: %s: %w", keyID, path, err)
	}
	return signer.FromSigner(private), nil
}

func parseKey(block *pem.Block) (crypto.Signer, error) {
	switch {
	case block.Type == "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	case block.Type == "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case strings.Contains(block.Type, "ENCRYPTED"):
		return nil, protocol.Errorf(protocol.CodeValidation, "encrypted keys are not supported")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	private, ok := key.(crypto.Signer)
	if !ok {
		return nil, protocol.Errorf(protocol.CodeValidation, "a key of type %T cannot sign", key)
	}
	return private, nil
}
