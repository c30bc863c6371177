package grpcserver

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/signet-project/signet/protocol/internal/sessionwire"
)

const limit = 1 << 20

// serve serves methods that take and give protobuf's BytesValue, to a client with the
// settings returned, at the address returned, until end is called.
func serve(t testing.TB) (address string, client *tls.Config, end func()) {
	t.Helper()
	certificate, err := sessionwire.NewCertificate(x509.ExtKeyUsageServerAuth)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cancelled, staying := make(chan bool, 1), make(chan bool)
	server := &Server{Limit: limit, TLS: &tls.Config{Certificates: []tls.Certificate{certificate}}, Methods: map[string]Method{
		"/test/Echo": func(_ context.Context, message []byte) ([]byte, error) { return message, nil },
		"/test/Fail": func(context.Context, []byte) ([]byte, error) { return nil, errors.New("no 100% luck, 你\n") },
		"/test/Long": func(context.Context, []byte) ([]byte, error) { return make([]byte, limit+1), nil },
		"/test/Wait": func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			cancelled <- true
			return nil, context.Cause(ctx)
		},
		"/test/Waited": func(context.Context, []byte) ([]byte, error) { <-cancelled; return nil, nil },
		"/test/Stay": func(ctx context.Context, _ []byte) ([]byte, error) {
			staying <- true
			<-ctx.Done()
			return nil, nil
		},
		"/test/Stayed": func(context.Context, []byte) ([]byte, error) { <-staying; return nil, nil },
		"/test/Until": func(ctx context.Context, _ []byte) ([]byte, error) {
			deadline, ok := ctx.Deadline()
			if left := time.Until(deadline); !ok || left > time.Hour || left < time.Minute {
				return nil, errors.New("another deadline")
			}
			return nil, nil
		},
	}}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener) }()
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		server.Wait(time.Minute)
	})
	t.Cleanup(end)
	return listener.Addr().String(), &tls.Config{RootCAs: roots, ServerName: sessionwire.Localhost, NextProtos: []string{"h2"}}, end
}

// dial returns a connection by grpc-go.
func dial(t *testing.T) (conn *grpc.ClientConn, end func()) {
	t.Helper()
	address, config, end := serve(t)
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(config)), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(2*limit)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, end
}

// TestServer makes calls by grpc-go, which knows nothing of this module.
func TestServer(t *testing.T) {
	t.Parallel()
	conn, _ := dial(t)
	call := func(ctx context.Context, method string, size int, options ...grpc.CallOption) (*wrapperspb.BytesValue, error) {
		answer := new(wrapperspb.BytesValue)
		return answer, conn.Invoke(ctx, method, wrapperspb.Bytes(bytes.Repeat([]byte("x"), size)), answer, options...)
	}
	for _, size := range []int{0, 1, 100, 16 << 10, 500_000, limit - 4} {
		if answer, err := call(t.Context(), "/test/Echo", size); err != nil || len(answer.Value) != size {
			t.Errorf("%d bytes: %d came back, %v", size, len(answer.Value), err)
		}
	}
	for name, c := range map[string]struct {
		method  string
		size    int
		code    codes.Code
		message string
		options []grpc.CallOption
	}{
		"an error":             {"/test/Fail", 1, codes.Unknown, "no 100% luck, 你\n", nil},
		"a long message":       {"/test/Echo", limit, codes.ResourceExhausted, "the message is too long", nil},
		"a long answer":        {"/test/Long", 1, codes.ResourceExhausted, "the answer has 1048577 bytes", nil},
		"no such method":       {"/test/Other", 1, codes.Unimplemented, "there is no method /test/Other", nil},
		"a long name":          {"/test/" + strings.Repeat("x", 60_000), 1, codes.Unimplemented, "there is no method /test/" + strings.Repeat("x", maxReason-len("there is no method /test/")), nil},
		"a compressed message": {"/test/Echo", 1000, codes.Unimplemented, "got a compressed message", []grpc.CallOption{grpc.UseCompressor(gzip.Name)}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := call(t.Context(), c.method, c.size, c.options...)
			if got := status.Convert(err); got.Code() != c.code || got.Message() != c.message {
				t.Error(err)
			}
		})
	}
	t.Run("a call that is given up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		if _, err := call(ctx, "/test/Wait", 1); status.Code(err) != codes.Canceled {
			t.Error(err)
		}
		if _, err := call(t.Context(), "/test/Waited", 1); err != nil {
			t.Error(err)
		}
	})
	t.Run("a deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
		defer cancel()
		if _, err := call(ctx, "/test/Until", 1); err != nil {
			t.Error(err)
		}
	})
	t.Run("many at a time", func(t *testing.T) {
		var calls sync.WaitGroup
		for i := range 100 {
			calls.Go(func() {
				if answer, err := call(t.Context(), "/test/Echo", 7000*i); err != nil || len(answer.Value) != 7000*i {
					t.Errorf("%d bytes of %d, %v", len(answer.Value), 7000*i, err)
				}
			})
		}
		calls.Wait()
	})
}

// TestEnd ends a server while a call is running: it has no answer, and its context ends.
func TestEnd(t *testing.T) {
	t.Parallel()
	for range 20 {
		conn, end := dial(t)
		running := make(chan error)
		go func() {
			running <- conn.Invoke(t.Context(), "/test/Stay", wrapperspb.Bytes(nil), new(wrapperspb.BytesValue))
		}()
		if err := conn.Invoke(t.Context(), "/test/Stayed", wrapperspb.Bytes(nil), new(wrapperspb.BytesValue)); err != nil {
			t.Fatal(err)
		}
		end()
		if err := <-running; status.Code(err) != codes.Unavailable {
			t.Error(err)
		}
	}
}

// TestHTTP makes calls by net/http, which sends what grpc-go would not.
func TestHTTP(t *testing.T) {
	t.Parallel()
	address, config, _ := serve(t)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	for name, c := range map[string]struct{ kind, sent, want string }{
		"no content type":      {"", "", `POST of content type "" is not gRPC`},
		"another content type": {"application/grpcweb", "", `POST of content type "application/grpcweb" is not gRPC`},
		"nothing":              {"application/grpc", "", "got no message"},
		"half a prefix":        {"application/grpc", "\x00\x00", "got a message that is cut short"},
		"half a message":       {"application/grpc+proto", "\x00\x00\x00\x00\x02x", "got 1 bytes of a message of 2"},
		"an unknown flag":      {"application/grpc;x", "\x09\x00\x00\x00\x00", "got a message of the unknown flag 9"},
		"two messages":         {"application/grpc", "\x00\x00\x00\x00\x00x", "got more than one message"},
	} {
		t.Run(name, func(t *testing.T) {
			response, err := client.Post("https://"+address+"/test/Echo", c.kind, strings.NewReader(c.sent))
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if got := response.Header.Get("Grpc-Message"); response.Header.Get("Grpc-Status") != "13" || got != escape(c.want) {
				t.Errorf("%v", response.Header)
			}
		})
	}
	t.Run("trailers", func(t *testing.T) {
		request, err := http.NewRequestWithContext(t.Context(), "POST", "https://"+address+"/test/Echo", struct{ io.Reader }{strings.NewReader("\x00\x00\x00\x00\x01x")})
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/grpc")
		request.Trailer = http.Header{"Any": {"thing"}}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if got, err := io.ReadAll(response.Body); err != nil || string(got) != "\x00\x00\x00\x00\x01x" || response.Trailer.Get("Grpc-Status") != "0" {
			t.Errorf("%q, %v, %v", got, err, response.Trailer)
		}
	})
}

func TestParseTimeout(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"1H": time.Hour, "2M": 2 * time.Minute, "3S": 3 * time.Second, "4m": 4 * time.Millisecond, "5u": 5 * time.Microsecond, "6n": 6,
		"00000001S": time.Second, "0m": 0, "99999999H": 1 << 62,
	} {
		if got, ok := parseTimeout(text); got != want || !ok {
			t.Errorf("%s: %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"S", "1", "1s", "-1S", "+1S", "1 S", "100000000S", "1.5S"} {
		if got, ok := parseTimeout(text); ok {
			t.Errorf("%q: %v", text, got)
		}
	}
}
