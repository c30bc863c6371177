// Package example is the smallest useful plugin, made to be copied: a signer
// with a PEM key, and a trust check by a list of refused serial numbers.
//
// A plugin of your own needs three things: metadata that says what it can do, a
// [signer.Key] in front of your key service (for signing), and VerifySignature
// (for a trust check). Leave out what you don't need, capabilities included.
package example

import (
	"bufio"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"strings"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// ConfigDenyList is the member of the plugin configuration that names the file
// of refused serial numbers: one a line, in hexadecimal; # begins a comment.
const ConfigDenyList = "deny_list"

// Plugin signs with the PEM key that the key id names, and refuses certificates
// whose serial number is on the deny list.
type Plugin struct{ *signer.Plugin }

// New makes the plugin. What it says of itself is static: hosts ask for it
// without any configuration.
func New() *Plugin {
	return &Plugin{signer.New(signer.Options{
		Metadata: protocol.Metadata{
			Name:        "example",
			Description: "Signs with PEM keys and refuses listed certificates; an example to copy",
			Version:     "0.1.0",
			URL:         "https://github.com/signet-project/signet",
			Capabilities: []protocol.Capability{
				protocol.CapabilitySignatureGenerator,
				protocol.CapabilityRevocationCheckVerifier,
			},
		},
		Open: openKey,
	})}
}

// openKey reads the private key: the key id is the path of a PKCS#8 PEM file.
// The certificates come from the file that certificate_chain names in the plugin
// configuration; package signer reads them.
func openKey(_ context.Context, keyID string, _ map[string]string) (signer.Key, error) {
	data, err := os.ReadFile(keyID)
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeValidation, "the key id must be the path of a PEM key: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, protocol.Errorf(protocol.CodeValidation, "%s holds no PEM block", keyID)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeValidation, "%s holds no PKCS#8 private key: %w", keyID, err)
	}
	private, ok := key.(crypto.Signer)
	if !ok {
		return nil, protocol.Errorf(protocol.CodeValidation, "%s holds a key that cannot sign", keyID)
	}
	return signer.FromSigner(private), nil
}

// VerifySignature answers the revocation check: it fails when a certificate of
// the chain is on the deny list.
func (p *Plugin) VerifySignature(_ context.Context, request *protocol.VerifySignatureRequest) (*protocol.VerifySignatureResponse, error) {
	path := request.PluginConfig[ConfigDenyList]
	if path == "" {
		return nil, protocol.Errorf(protocol.CodeValidation, "name the file of refused serial numbers in the plugin configuration: %s=<path>", ConfigDenyList)
	}
	denied, err := readDenyList(path)
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeValidation, "%w", err)
	}
	result := &protocol.VerificationResult{Success: true}
	for _, der := range request.Signature.CertificateChain {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, protocol.Errorf(protocol.CodeValidation, "a certificate of the chain cannot be read: %w", err)
		}
		if denied[cert.SerialNumber.Text(16)] {
			result = &protocol.VerificationResult{Reason: fmt.Sprintf("the certificate of %s with serial number %x is on the deny list", cert.Subject, cert.SerialNumber)}
		}
	}
	return &protocol.VerifySignatureResponse{
		VerificationResults: map[protocol.Capability]*protocol.VerificationResult{
			protocol.CapabilityRevocationCheckVerifier: result,
		},
		// Attributes that the host does not know are not ours to process either.
		ProcessedAttributes: []string{},
	}, nil
}

func readDenyList(path string) (map[string]bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	denied := map[string]bool{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		serial, ok := new(big.Int).SetString(text, 16)
		if !ok {
			return nil, fmt.Errorf("%s: %q is not a serial number in hexadecimal", path, text)
		}
		denied[serial.Text(16)] = true
	}
	return denied, lines.Err()
}
