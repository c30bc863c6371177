package session

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"

	"github.com/signet-project/signet/protocol"
)

// identity is who a plugin is in one session: a key and a certificate that are
// made for it, and the certificate of the only host it talks to.
type identity struct {
	certificate []byte // DER
	tls         *tls.Config
}

// newIdentity makes the plugin's side of mutual TLS; host is the host's
// certificate, PEM.
func newIdentity(host string) (*identity, error) {
	hosts := x509.NewCertPool()
	if !hosts.AppendCertsFromPEM([]byte(host)) {
		return nil, protocol.Errorf(protocol.CodeValidation, "the host gave no certificate in %s: a session needs mutual TLS", clientCertificate)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key for the session: %w", err)
	}
	const name = "localhost" // what go-plugin's hosts expect
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		NotBefore:    now.Add(-time.Minute),
		NotAfter:     now.AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate for the session: %w", err)
	}
	return &identity{certificate: der, tls: &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    hosts,
		MinVersion:   tls.VersionTLS13,
	}}, nil
}

// config implements what go-plugin calls a TLS provider.
func (i *identity) config() (*tls.Config, error) { return i.tls, nil }
