// Package session is the plugin's side of the transport that serves many calls in
// one process, by hashicorp/go-plugin: one gRPC method carries a command and the
// JSON messages of the contract. It is an extension, offered in the metadata and
// described in spec/extensions.md, Transports. The host's side is package
// sessionclient.
//
// Linking go-plugin makes the start of a process 3 to 4 ms longer, for stdio
// calls too. A plugin that is rarely asked for several signatures at once can do
// without, by protocol.Serve.
package session

import (
	"context"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/signet-project/signet/protocol/internal/sessionwire"
)

const (
	// Name is how a plugin's metadata lists the transport.
	Name = sessionwire.Name
	// Argument is what the executable is started with, in place of a command.
	Argument = sessionwire.Argument

	// stdioName is how the metadata lists the contract's own transport.
	stdioName = "stdio"
)

// handshake is what go-plugin compares before anything else.
var handshake = goplugin.HandshakeConfig{
	ProtocolVersion:  1,
	MagicCookieKey:   sessionwire.CookieVariable,
	MagicCookieValue: Name,
}

// answerer answers requests.
type answerer interface {
	answer(ctx context.Context, q *sessionwire.Request) *sessionwire.Response
}

// service is spec/session.proto's.
var service = grpc.ServiceDesc{
	ServiceName: sessionwire.Service,
	HandlerType: (*answerer)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: sessionwire.Method,
		Handler: func(server any, ctx context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			q := new(sessionwire.Request)
			if err := read(q); err != nil {
				return nil, err
			}
			return server.(answerer).answer(ctx, q), nil
		},
	}},
	Metadata: "session.proto",
}

// connector is the plugin as go-plugin sees it.
type connector struct {
	goplugin.NetRPCUnsupportedPlugin
	answerer answerer
}

// GRPCServer implements [goplugin.GRPCPlugin].
func (c *connector) GRPCServer(_ *goplugin.GRPCBroker, server *grpc.Server) error {
	server.RegisterService(&service, c.answerer)
	return nil
}

// GRPCClient implements [goplugin.GRPCPlugin]. It is for hosts.
func (*connector) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, connection *grpc.ClientConn) (any, error) {
	return connection, nil
}

// plugins is the one plugin of a session; its name is never told.
func plugins(a answerer) goplugin.PluginSet {
	return goplugin.PluginSet{Argument: &connector{answerer: a}}
}
