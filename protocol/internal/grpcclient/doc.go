// Package grpcclient is as much of a gRPC client as a host of plugins needs: calls
// over one connection that it is given, on the HTTP/2 of net/http. What it does not
// do, by intent, is what would send a call twice, or go by compression, proxies,
// resolvers and balancers.
//
// The protocol is that of PROTOCOL-HTTP2.md in the repository of gRPC; comments
// name its sections. The server is not trusted: what it sends is bounded, and
// whatever it does not do ends with the context of the call.
package grpcclient
