// Package sessionwire is what both sides of a session have to agree on: the
// variables, the handshake line, the certificates and the messages of
// spec/extensions.md, Transports. It links neither go-plugin nor gRPC.
package sessionwire

const (
	// Name is how a plugin's metadata lists the transport.
	Name = "session.v1"
	// Argument is what the executable is started with, in place of a command.
	Argument = "session"
)

// The variables that a host sets for a plugin. Those that begin with PLUGIN_ are
// go-plugin's.
const (
	// CookieVariable holds Name; without it nobody means a session.
	CookieVariable = "NOTATION_PLUGIN_SESSION"
	// CertificateVariable holds the host's certificate, PEM.
	CertificateVariable = "PLUGIN_CLIENT_CERT"
	// SocketsVariable names the directory for the plugin's socket.
	SocketsVariable = "PLUGIN_UNIX_SOCKET_DIR"
	// MinPortVariable and MaxPortVariable are the range of ports, both included,
	// for a plugin that listens on TCP.
	MinPortVariable = "PLUGIN_MIN_PORT"
	MaxPortVariable = "PLUGIN_MAX_PORT"
	// VersionsVariable lists the versions of the session protocol, Version alone.
	VersionsVariable = "PLUGIN_PROTOCOL_VERSIONS"
)

// The service of spec/session.proto.
const (
	Service = "signet.session.v1.Session"
	Method  = "Call"
	// FullMethod is the path of a call.
	FullMethod = "/" + Service + "/" + Method
	// Overhead is more bytes than protobuf adds to what a message carries.
	Overhead = 1 << 10
)
