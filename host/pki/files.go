package pki

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/signet-project/signet/protocol"
)

// ErrNoCertificates says that a file holds no certificate.
var ErrNoCertificates = errors.New("no x509 certificates were found")

// errCutPEM reports a block that Go's decoder would silently pass over.
var errCutPEM = errors.New("a PEM block is malformed or cut off")

var pemBegin = []byte("-----BEGIN ")

// ParseCertificates reads the certificates of a trust store file: PEM blocks,
// whatever their type says, or DER certificates one after the other. Errors:
// ErrNoCertificates, a malformed PEM block, or a certificate that does not
// parse.
func ParseCertificates(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	blocks, err := decodePEM(data)
	if err != nil {
		return nil, err
	}
	for _, block := range blocks {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if len(blocks) == 0 {
		if certs, err = x509.ParseCertificates(data); err != nil {
			return nil, err
		}
	}
	if len(certs) == 0 {
		return nil, ErrNoCertificates
	}
	return certs, nil
}

// ParseCertificateChain reads the certificate file of a signing pair: the PEM
// blocks of type CERTIFICATE in their order; other blocks are passed over and
// DER is not accepted. Errors are those of ParseCertificates.
func ParseCertificateChain(data []byte) ([]*x509.Certificate, error) {
	blocks, err := decodePEM(data)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for _, block := range blocks {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("%w: expected PEM blocks of type CERTIFICATE, leaf first", ErrNoCertificates)
	}
	return certs, nil
}

// ParsePrivateKey reads the key file of a signing pair: the first PEM block of
// type PRIVATE KEY (PKCS#8), EC PRIVATE KEY or RSA PRIVATE KEY, unencrypted.
// EC parameters and certificates before it are passed over. The key must be of
// a supported type and size.
func ParsePrivateKey(data []byte) (crypto.Signer, error) {
	blocks, err := decodePEM(data)
	if err != nil {
		return nil, err
	}
	if len(blocks) == 0 {
		return nil, errors.New("no PEM data found in the key file")
	}
	for _, block := range blocks {
		if block.Type == "EC PARAMETERS" || block.Type == "CERTIFICATE" {
			continue
		}
		return parseKeyBlock(block)
	}
	return nil, errors.New("no private key found in the key file")
}

func parseKeyBlock(block *pem.Block) (crypto.Signer, error) {
	if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
		return nil, errors.New("the private key is encrypted: only unencrypted key files are supported")
	}
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("unsupported PEM block type: %s", block.Type)
	}
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("key type %T cannot sign", key)
	}
	if _, err := protocol.SuiteForKey(signer.Public()); err != nil {
		return nil, err
	}
	return signer, nil
}

// decodePEM returns every PEM block of a file, none when it is not PEM. Text
// between blocks is allowed; a block that begins and cannot be decoded is an
// error, so that half a file never passes for a whole one.
func decodePEM(data []byte) ([]*pem.Block, error) {
	var blocks []*pem.Block
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		blocks = append(blocks, block)
	}
	if begun := countPEMBegins(data); begun > len(blocks) && (len(blocks) > 0 || bytes.HasPrefix(bytes.TrimSpace(data), pemBegin)) {
		return nil, errCutPEM
	}
	return blocks, nil
}

// countPEMBegins counts the lines that open a PEM block.
func countPEMBegins(data []byte) int {
	count := bytes.Count(data, append([]byte("\n"), pemBegin...))
	if bytes.HasPrefix(data, pemBegin) {
		count++
	}
	return count
}

// Fingerprint is the SHA-256 of a certificate's DER in lower-case hexadecimal.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}
