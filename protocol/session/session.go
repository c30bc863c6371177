// Package session reaches a plugin that serves many calls in one process, by
// hashicorp/go-plugin: one gRPC method carries a command and the JSON messages of
// the contract. It is an extension, offered in the metadata and described in
// spec/extensions.md, Transports. [Serve] is the plugin's side, [Transport] the
// host's.
//
// Linking go-plugin makes the start of a process 3 to 4 ms longer, for stdio
// calls too. A plugin that is rarely asked for several signatures at once can do
// without, by protocol.Serve.
package session

import (
	"context"
	"fmt"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

const (
	// Name is how a plugin's metadata lists the transport.
	Name = "session.v1"
	// Argument is what the executable is started with, in place of a command.
	Argument = "session"

	// stdioName is how the metadata lists the contract's own transport.
	stdioName = "stdio"
)

// handshake is what go-plugin compares before anything else.
var handshake = goplugin.HandshakeConfig{
	ProtocolVersion:  1,
	MagicCookieKey:   "NOTATION_PLUGIN_SESSION",
	MagicCookieValue: Name,
}

const (
	// handshakeFormat is the line a plugin writes to stdout once it listens: the
	// versions of go-plugin's protocol and of ours, network, address, and its
	// certificate as base64 DER without padding.
	handshakeFormat = "1|1|%s|%s|grpc|%s\n"
	// clientCertificate is the variable that holds the host's certificate, PEM.
	clientCertificate = "PLUGIN_CLIENT_CERT"

	serviceName = "signet.session.v1.Session"
	methodName  = "Call"
	fullMethod  = "/" + serviceName + "/" + methodName
	// messageOverhead is more than protobuf adds to a message.
	messageOverhead = 1 << 10
)

// request and response are the messages of spec/session.proto, in the form of
// struct tags that protobuf takes as well as generated code.
type request struct {
	Command string `protobuf:"bytes,1,opt,name=command,proto3"`
	Request []byte `protobuf:"bytes,2,opt,name=request,proto3"`
}

func (r *request) Reset()         { *r = request{} }
func (r *request) String() string { return fmt.Sprintf("%s, %d bytes", r.Command, len(r.Request)) }
func (*request) ProtoMessage()    {}

// response has one of its fields only: neither is ever empty when it is there.
type response struct {
	Response []byte `protobuf:"bytes,1,opt,name=response,proto3"`
	Error    []byte `protobuf:"bytes,2,opt,name=error,proto3"`
}

func (r *response) Reset() { *r = response{} }
func (r *response) String() string {
	return fmt.Sprintf("%d bytes, error of %d bytes", len(r.Response), len(r.Error))
}
func (*response) ProtoMessage() {}

// answerer answers requests on the plugin's side.
type answerer interface {
	answer(ctx context.Context, q *request) *response
}

// service is spec/session.proto's.
var service = grpc.ServiceDesc{
	ServiceName: serviceName,
	HandlerType: (*answerer)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: methodName,
		Handler: func(server any, ctx context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			q := new(request)
			if err := read(q); err != nil {
				return nil, err
			}
			return server.(answerer).answer(ctx, q), nil
		},
	}},
	Metadata: "session.proto",
}

// connector is the plugin as go-plugin sees it: on the plugin's side it registers
// the service, on the host's side it gives the connection.
type connector struct {
	goplugin.NetRPCUnsupportedPlugin
	answerer answerer
}

// GRPCServer implements [goplugin.GRPCPlugin].
func (c *connector) GRPCServer(_ *goplugin.GRPCBroker, server *grpc.Server) error {
	server.RegisterService(&service, c.answerer)
	return nil
}

// GRPCClient implements [goplugin.GRPCPlugin].
func (*connector) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, connection *grpc.ClientConn) (any, error) {
	return connection, nil
}

// plugins is the one plugin of a session, under the name that Dispense takes.
func plugins(a answerer) goplugin.PluginSet {
	return goplugin.PluginSet{Argument: &connector{answerer: a}}
}
