// Package session is the plugin's side of the transport that serves many calls in
// one process: one gRPC method carries a command and the JSON messages of the contract.
// It is an extension, offered in the metadata and described in spec/extensions.md,
// Transports, by the protocol of hashicorp/go-plugin. The host's side is package
// sessionclient.
//
// Linking it makes the start of a process longer by about a tenth, for stdio calls too. A
// plugin that is rarely asked for several signatures at once can do without, by
// protocol.Serve.
package session

import "github.com/signet-project/signet/protocol/internal/sessionwire"

const (
	// Name is how a plugin's metadata lists the transport.
	Name = sessionwire.Name
	// Argument is what the executable is started with, in place of a command.
	Argument = sessionwire.Argument

	// stdioName is how the metadata lists the contract's own transport.
	stdioName = "stdio"
)
