package sessionwire

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

const (
	// CoreVersion is the version of go-plugin's own protocol.
	CoreVersion = "1"
	// Version is that of what is spoken over it.
	Version = "1"
	// protocol is the one of go-plugin's two that sessions use.
	protocol = "grpc"
	// MaxHandshake bounds the line that a plugin introduces itself with, in bytes.
	MaxHandshake = 16 << 10
	// maxQuote is how much of what is not understood an error repeats, in bytes.
	maxQuote = 100
)

// Handshake is the line that a plugin writes to stdout once it listens.
type Handshake struct {
	// Network is "unix" or "tcp", Address the path of the socket or address and
	// port.
	Network, Address string
	// Certificate is the plugin's, DER.
	Certificate []byte
}

// String returns the line, without a line feed.
func (h *Handshake) String() string {
	return strings.Join([]string{CoreVersion, Version, h.Network, h.Address, protocol, base64.RawStdEncoding.EncodeToString(h.Certificate)}, "|")
}

// ParseHandshake reads the first line that a plugin wrote, with or without the
// line's end. Errors say what is wrong with it in one line, and stand behind the
// plugin's name. Whether the address may be connected to is not looked at.
func ParseHandshake(line string) (*Handshake, *x509.Certificate, error) {
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	switch {
	case line == "":
		return nil, nil, errors.New("it wrote no handshake")
	case len(line) > MaxHandshake:
		return nil, nil, fmt.Errorf("its handshake is longer than %d bytes: %s", MaxHandshake, quote(line))
	}
	fields := strings.Split(line, "|")
	if len(fields) != 6 {
		return nil, nil, fmt.Errorf("its handshake has %d of 6 fields: %s", len(fields), quote(line))
	}
	for _, f := range []struct {
		number int
		name   string
		want   []string
	}{
		{1, "version of go-plugin's protocol", []string{CoreVersion}},
		{2, "version of the session protocol", []string{Version}},
		{3, "network", []string{"unix", "tcp"}},
		{5, "protocol", []string{protocol}},
	} {
		if got := fields[f.number-1]; got != f.want[0] && got != f.want[len(f.want)-1] {
			return nil, nil, fmt.Errorf("field %d of its handshake, the %s, is %s and not %s", f.number, f.name, quote(got), strings.Join(f.want, " or "))
		}
	}
	if fields[3] == "" {
		return nil, nil, errors.New("field 4 of its handshake, the address, is empty")
	}
	if fields[5] == "" {
		return nil, nil, errors.New("field 6 of its handshake, the certificate, is empty: a session needs mutual TLS")
	}
	der, err := base64.RawStdEncoding.Strict().DecodeString(fields[5])
	if err != nil {
		return nil, nil, fmt.Errorf("field 6 of its handshake, the certificate, is not base64 without padding: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("field 6 of its handshake, the certificate, cannot be read: %w", err)
	}
	return &Handshake{Network: fields[2], Address: fields[3], Certificate: der}, certificate, nil
}

// quote returns the beginning of a text that need not be one.
func quote(text string) string {
	if len(text) > maxQuote {
		return fmt.Sprintf("%q…", text[:maxQuote])
	}
	return fmt.Sprintf("%q", text)
}
