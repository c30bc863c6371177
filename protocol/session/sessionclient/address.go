package sessionclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/signet-project/signet/protocol/internal/grpcclient"
	"github.com/signet-project/signet/protocol/internal/sessionwire"
)

// The range of ports for plugins that listen on TCP: go-plugin's.
const (
	minPort = "10000"
	maxPort = "25000"
)

// environment is that of a plugin's process: the one given and what a session
// needs. What go-plugin reads must not come from the environment that a host is
// started in, such as that of a host which is a plugin itself.
func environment(given []string, sockets string, own tls.Certificate) []string {
	given = slices.DeleteFunc(slices.Clone(given), func(entry string) bool { return strings.HasPrefix(entry, "PLUGIN_") })
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate[0]})
	return append(given,
		sessionwire.CookieVariable+"="+sessionwire.Name,
		sessionwire.MinPortVariable+"="+minPort,
		sessionwire.MaxPortVariable+"="+maxPort,
		sessionwire.VersionsVariable+"="+sessionwire.Version,
		sessionwire.SocketsVariable+"="+sockets,
		sessionwire.CertificateVariable+"="+string(certificate))
}

// checkAddress makes sure that a plugin listens on a socket in the directory made
// for it or on the loopback interface.
func checkAddress(h *sessionwire.Handshake, sockets string) error {
	switch h.Network {
	case "unix":
		if filepath.Dir(h.Address) == filepath.Clean(sockets) {
			return nil
		}
	case "tcp":
		host, _, err := net.SplitHostPort(h.Address)
		if err == nil && net.ParseIP(host).IsLoopback() {
			return nil
		}
	}
	return errors.New("it listens at an address that is neither in the directory for its socket nor on the loopback interface")
}

// hostTLS is the host's side of mutual TLS with the plugin that has that one
// certificate.
func hostTLS(own tls.Certificate, theirs *x509.Certificate) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(theirs)
	return &tls.Config{
		Certificates: []tls.Certificate{own},
		RootCAs:      roots,
		ServerName:   sessionwire.Localhost,
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{grpcclient.NextProto},
		VerifyConnection: func(state tls.ConnectionState) error {
			if !bytes.Equal(state.PeerCertificates[0].Raw, theirs.Raw) {
				return errors.New("it shows another certificate than its handshake has")
			}
			return nil
		},
	}
}

// dialer connects to the plugin. Connections end with the process, even if
// something that it left behind held them.
func (c *child) dialer(h *sessionwire.Handshake, config *tls.Config) grpcclient.Dial {
	return func(ctx context.Context) (*tls.Conn, error) {
		socket, err := new(net.Dialer).DialContext(ctx, h.Network, h.Address)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(c.run.alive, func() { socket.Close() })
		conn := tls.Client(socket, config)
		if err := conn.HandshakeContext(ctx); err != nil {
			socket.Close()
			return nil, err
		}
		return conn, nil
	}
}

// socketParent is where the directory of the socket is made: the system's
// directory for temporary files, as long as its path leaves room for a name.
func socketParent() string {
	const longest = 60 // of the 104 bytes that the shortest limit is
	dir := os.TempDir()
	if runtime.GOOS != "windows" && len(filepath.Clean(dir)) > longest {
		return "/tmp"
	}
	return dir
}
