package sessionclient_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// rawVariable makes the test binary a plugin that knows go-plugin and
// spec/extensions.md, and nothing of this module.
const rawVariable = "SIGNET_TEST_RAW"

func serveRaw(mode string) {
	if mode == "no TLS" {
		os.Unsetenv("PLUGIN_CLIENT_CERT")
	}
	out := os.Stdout
	if mode == "other certificate" {
		out = swapCertificate()
	}
	os.Stdout = out
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: goplugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "NOTATION_PLUGIN_SESSION", MagicCookieValue: "session.v1"},
		Plugins:         goplugin.PluginSet{"any": rawPlugin{mode: mode}},
		GRPCServer:      goplugin.DefaultGRPCServer,
		Logger:          hclog.NewNullLogger(),
	})
	os.Exit(0)
}

// swapCertificate returns a stdout whose handshake line tells the certificate of
// somebody else.
func swapCertificate() *os.File {
	read, write, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	real := os.Stdout
	go func() {
		var line string
		fmt.Fscanln(read, &line)
		at := len(line) - 20 // in the signature
		swapped := byte('A')
		if line[at] == swapped {
			swapped = 'B'
		}
		fmt.Fprintln(real, line[:at]+string(swapped)+line[at+1:])
	}()
	return write
}

type rawPlugin struct {
	goplugin.NetRPCUnsupportedPlugin
	mode string
}

func (p rawPlugin) GRPCServer(_ *goplugin.GRPCBroker, server *grpc.Server) error {
	if p.mode == "no service" {
		return nil
	}
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "signet.session.v1.Session",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Call", Handler: func(_ any, _ context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			// The first field is the command's name, as it is in this message.
			command := new(wrapperspb.StringValue)
			if err := read(command); err != nil {
				return nil, err
			}
			return p.answer(command.Value)
		}}},
	}, p)
	return nil
}

func (rawPlugin) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}

// answer makes a message whose first field is the response.
func (p rawPlugin) answer(command string) (any, error) {
	response := func(text string) (any, error) { return wrapperspb.String(text), nil }
	// The second field of bytes, by its tag.
	failure := func(text string) *wrapperspb.StringValue {
		m := new(wrapperspb.StringValue)
		m.ProtoReflect().SetUnknown(append([]byte{2<<3 | 2, byte(len(text))}, text...))
		return m
	}
	switch p.mode {
	case "status":
		return nil, status.Error(codes.PermissionDenied, "go away")
	case "unavailable":
		return nil, status.Error(codes.Unavailable, "go away")
	case "malformed error":
		return failure("oops"), nil
	case "prints":
		// go-plugin has put pipes in place of both, which are full by now unless
		// somebody reads them.
		for range 1 << 10 {
			fmt.Fprintln(os.Stdout, strings.Repeat("out", 100))
			fmt.Fprintln(os.Stderr, strings.Repeat("err", 100))
		}
	case "empty":
		return response("")
	case "null":
		return response("null")
	case "both":
		m := failure(`{"errorMessage":"oops"}`)
		m.Value = "{}"
		return m, nil
	case "wrong key":
		return response(`{"keyId":"other","keySpec":"EC-256"}`)
	case "garbage protobuf":
		m := new(wrapperspb.StringValue)
		m.ProtoReflect().SetUnknown([]byte{0xff})
		return m, nil
	}
	if command != "describe-key" {
		return nil, status.Error(codes.InvalidArgument, command)
	}
	return response(`{"keyId":"k","keySpec":"EC-256"}`)
}
