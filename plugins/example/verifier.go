package example

import (
	"context"
	"crypto/x509"
	"fmt"
	"math/big"
	"os"
	"strings"

	"github.com/signet-project/signet/protocol"
)

// EnvDenyList is the environment variable that names the file of denied
// certificates where no plugin configuration does.
const EnvDenyList = "NOTATION_EXAMPLE_DENY_LIST"

// VerifySignature fails the revocation check of a signature when a certificate
// of its chain is on the deny list. By the time a host asks, it has made sure
// that the signature is intact and its chain ends in a trusted root.
//
// The list is a text file with a serial number a line, in hexadecimal as
// "openssl x509 -serial" prints it; colons, empty lines and what follows a # are
// ignored.
func (p *Plugin) VerifySignature(_ context.Context, request *protocol.VerifySignatureRequest) (*protocol.VerifySignatureResponse, error) {
	path := request.PluginConfig[ConfigDenyList]
	if path == "" {
		path = p.getenv(EnvDenyList)
	}
	if path == "" {
		// Without its list a check knows nothing, and must not say "success".
		return nil, protocol.Errorf(protocol.CodeValidation, "no deny list: name its file in plugin config %s or in %s", ConfigDenyList, EnvDenyList)
	}
	denied, err := readDenyList(path)
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeValidation, "deny list: %w", err)
	}
	// Answer just the checks asked for: the trust policy may skip some.
	results := map[protocol.Capability]*protocol.VerificationResult{}
	for _, check := range request.TrustPolicy.SignatureVerification {
		if check != protocol.CapabilityRevocationCheckVerifier {
			return nil, protocol.Errorf(protocol.CodeValidation, "this plugin does not do %s", check)
		}
		if results[check], err = judge(request.Signature.CertificateChain, denied); err != nil {
			return nil, err
		}
	}
	// request.Signature.UnprocessedAttributes names critical attributes that the
	// host does not know. A plugin that understands some lists them as
	// ProcessedAttributes; this one knows none, and then the host fails.
	return &protocol.VerifySignatureResponse{VerificationResults: results}, nil
}

// judge looks for a denied certificate in a chain.
func judge(chain [][]byte, denied map[string]bool) (*protocol.VerificationResult, error) {
	for _, der := range chain {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, protocol.Errorf(protocol.CodeValidation, "certificateChain: %w", err)
		}
		if serial := cert.SerialNumber.Text(16); denied[serial] {
			return &protocol.VerificationResult{
				// A reason is required for a failure; users read it.
				Reason: fmt.Sprintf("certificate %q with serial number %s is on the deny list", cert.Subject, serial),
			}, nil
		}
	}
	return &protocol.VerificationResult{Success: true}, nil
}

// readDenyList returns the serial numbers of a list in one spelling. A line that
// makes no sense is an error: ignoring it would let a certificate through.
func readDenyList(path string) (map[string]bool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	denied := map[string]bool{}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line, _, _ = strings.Cut(line, "#")
		line = strings.ReplaceAll(strings.TrimSpace(line), ":", "")
		if line == "" {
			continue
		}
		serial, ok := new(big.Int).SetString(strings.TrimPrefix(line, "serial="), 16)
		if !ok {
			return nil, fmt.Errorf("%s, line %d: not a serial number in hexadecimal", path, number)
		}
		denied[serial.Text(16)] = true
	}
	return denied, nil
}
