package session

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	"github.com/signet-project/signet/protocol"
)

// localhost is the name in the certificates of both sides.
const localhost = "localhost"

// Both sides of mutual TLS make a key and a certificate for one session, as
// go-plugin's AutoMTLS does. What that makes for a host has a key of P-521, with
// which BoringSSL, and so gRPC in Python, Ruby or C++, has nothing to do; so the
// certificates here are ours.

// hostTLS is the host's side, and its certificate as PEM. go-plugin adds the
// plugin's certificate, which the handshake names, to the roots: until then nobody is
// trusted.
func hostTLS() (config *tls.Config, certificate string, err error) {
	own, err := newCertificate(x509.ExtKeyUsageClientAuth)
	if err != nil {
		return nil, "", err
	}
	config = &tls.Config{
		Certificates: []tls.Certificate{own},
		RootCAs:      x509.NewCertPool(),
		ServerName:   localhost,
		MinVersion:   tls.VersionTLS12,
	}
	return config, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate[0]})), nil
}

// pluginTLS is the plugin's side, and its certificate as DER; host is the
// certificate of the only host it talks to, PEM.
func pluginTLS(host string) (config *tls.Config, certificate []byte, err error) {
	hosts := x509.NewCertPool()
	if !hosts.AppendCertsFromPEM([]byte(host)) {
		return nil, nil, protocol.Errorf(protocol.CodeValidation, "the host gave no certificate in %s: a session needs mutual TLS", clientCertificate)
	}
	own, err := newCertificate(x509.ExtKeyUsageServerAuth)
	if err != nil {
		return nil, nil, err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{own},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    hosts,
		MinVersion:   tls.VersionTLS12,
	}, own.Certificate[0], nil
}

// newCertificate makes a key and a self-signed certificate for it.
func newCertificate(usage x509.ExtKeyUsage) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a key for the session: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: localhost},
		DNSNames:              []string{localhost},
		NotBefore:             now.Add(-time.Minute),
		NotAfter:              now.AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{usage},
		BasicConstraintsValid: true,
		IsCA:                  true, // each is the root that the other side trusts
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a certificate for the session: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
