package sessionclient_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/session/sessionclient"
	"github.com/signet-project/signet/protocol/stdio"
)

// hostileVariable makes the test binary a plugin that speaks HTTP/2 as its value
// says; pidsVariable names the file for its process id.
const (
	hostileVariable = "SIGNET_TEST_HOSTILE"
	pidsVariable    = "SIGNET_TEST_PIDS"
)

// message is the frame of a message that is so long, as it says.
func message(flag byte, length uint32, content string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flag}, length), content...)
}

// goodAnswer is the frame of a describe-key response for key k.
var goodAnswer = func() []byte {
	const answer = `{"keyId":"k","keySpec":"EC-256"}`
	return message(0, 2+uint32(len(answer)), string([]byte{1<<3 | 2, byte(len(answer))})+answer)
}()

// limit is the bound on answers in TestHostileServers.
const limit = 1 << 20

// misbehaviors are answers to calls, but for those to the health check.
var misbehaviors = map[string]func(*stream){
	"good": func(s *stream) {
		s.headers(false, ":status", "200", "content-type", "application/grpc+proto")
		s.data(false, goodAnswer)
		s.headers(true, "grpc-status", "0", "grpc-message", "fine")
	},
	"no trailers": func(s *stream) {
		s.headers(false, ":status", "200", "content-type", "application/grpc", "grpc-status", "0")
		s.data(true, goodAnswer)
	},
	"trailers without a status": func(s *stream) {
		s.headers(false, ":status", "200", "content-type", "application/grpc")
		s.data(false, goodAnswer)
		s.headers(true, "hello", "there")
	},
	"two statuses": func(s *stream) {
		s.start(goodAnswer)
		s.headers(true, "grpc-status", "0", "grpc-status", "13")
	},
	"nothing but headers": func(s *stream) {
		s.headers(true, ":status", "200", "content-type", "application/grpc", "grpc-status", "7", "grpc-message", "go%20away%0a100%25 %zz %")
	},
	"no message": func(s *stream) {
		s.start(nil)
		s.headers(true, "grpc-status", "0")
	},
	"compressed": func(s *stream) { s.start(message(1, 3, "abc")) },
	"flag":       func(s *stream) { s.start(message(9, 3, "abc")) },
	"two messages": func(s *stream) {
		s.start(append(bytes.Clone(goodAnswer), goodAnswer...))
		s.headers(true, "grpc-status", "0")
	},
	"cut prefix": func(s *stream) {
		s.start([]byte{0, 0})
		s.headers(true, "grpc-status", "0")
	},
	"cut message": func(s *stream) {
		s.start(message(0, 100, "0123456789"))
		s.headers(true, "grpc-status", "0")
	},
	"huge message": func(s *stream) { s.start(message(0, math.MaxUint32, "abc")) },
	"endless body": func(s *stream) {
		s.start(message(0, limit/4, ""))
		for range 32 { // within the window, and then it waits
			s.data(false, make([]byte, 16<<10))
		}
	},
	"body beyond the window": func(s *stream) {
		go io.Copy(io.Discard, s.conn) // or the host would wait until it may write
		s.start(message(0, limit, ""))
		for chunk := make([]byte, 16<<10); s.write(func() error { return s.framer.WriteData(s.id, false, chunk) }); {
		}
	},
	"endless headers": func(s *stream) { s.endless(":status", "200") },
	"endless trailers": func(s *stream) {
		s.start(goodAnswer)
		s.endless("grpc-status", "0")
	},
	"large headers": func(s *stream) {
		fields := []string{":status", "200", "content-type", "application/grpc"}
		for i := range 100 {
			fields = append(fields, fmt.Sprintf("x-%d", i), strings.Repeat("x", 1000))
		}
		s.headers(false, fields...)
	},
	"endless 1xx": func(s *stream) {
		for s.headers(false, ":status", "103", "link", strings.Repeat("x", 1000)) {
		}
	},
	"unknown status": func(s *stream) { s.trailersOnly("99") },
	"no number":      func(s *stream) { s.trailersOnly("fine") },
	"text page": func(s *stream) {
		s.headers(false, ":status", "503", "content-type", "text/plain")
		s.data(true, []byte("come back later"))
	},
	"page with status 200": func(s *stream) {
		s.headers(false, ":status", "200", "content-type", "application/grpcweb")
		s.data(true, []byte("hello"))
	},
	"lies about its length": func(s *stream) {
		s.headers(false, ":status", "200", "content-type", "application/grpc", "content-length", "5000")
		s.data(false, goodAnswer)
		s.headers(true, "grpc-status", "0")
	},
	"no such status": func(s *stream) { s.headers(true, "content-type", "application/grpc", "grpc-status", "0") },
	"reset":          func(s *stream) { s.write(func() error { return s.framer.WriteRSTStream(s.id, http2.ErrCodeInternal) }) },
	"refuses": func(s *stream) {
		s.write(func() error { return s.framer.WriteRSTStream(s.id, http2.ErrCodeRefusedStream) })
	},
	"breaks HTTP/2":      func(s *stream) { s.write(func() error { return s.framer.WriteData(s.id+100, false, []byte("hello")) }) },
	"closes":             func(s *stream) { s.conn.Close() },
	"malformed protobuf": func(s *stream) { s.start(message(0, 1, "\xff")); s.headers(true, "grpc-status", "0") },
	"answers nothing":    func(*stream) {},
	"floods, and reads nothing": func(s *stream) {
		for s.write(func() error { return s.framer.WritePing(false, [8]byte{}) }) {
		}
	},
}

// TestHostileServers is about plugins that open a session and do as they please then.
func TestHostileServers(t *testing.T) {
	t.Parallel()
	const broken = "crashed, and again when the call was repeated: it broke the connection ("
	for mode, want := range map[string]string{
		"good":                      "",
		"no trailers":               "answered with 0 gRPC statuses, not one",
		"trailers without a status": "answered with 0 gRPC statuses, not one",
		"two statuses":              "answered with 2 gRPC statuses, not one",
		"nothing but headers":       "answered with gRPC status PermissionDenied: go away 100% %zz %",
		"no message":                "answered with no message",
		"compressed":                "answered with a compressed message",
		"flag":                      "answered with a message of the unknown flag 9",
		"two messages":              "answered with more than one message",
		"cut prefix":                "answered with a message that is cut short",
		"cut message":               "answered with 10 bytes of a message of 100",
		"huge message":              "answered with more than 1048576 bytes",
		"endless body":              "answered with more than one message",
		"endless headers":           broken,
		"endless trailers":          broken,
		"large headers":             broken,
		"endless 1xx":               "broke off the call: ",
		"unknown status":            "answered with gRPC status 99: ",
		"no number":                 `answered with "fine" as its gRPC status, which is no number`,
		"text page":                 `answered with HTTP status 503 and content type "text/plain", which is not gRPC`,
		"page with status 200":      `answered with HTTP status 200 and content type "application/grpcweb", which is not gRPC`,
		"lies about its length":     "answered with another length than it told",
		"no such status":            "broke off the call: ",
		"reset":                     "broke off the call: HTTP/2 error code 2",
		"refuses":                   broken,
		"breaks HTTP/2":             broken,
		"closes":                    broken,
		"malformed protobuf":        "answered with a malformed protobuf message",
		"answers nothing":           "no answer within 3s",
		"floods, and reads nothing": "no answer within 3s",
	} {
		t.Run("PLG-07 "+mode, func(t *testing.T) {
			t.Parallel()
			p := hostile(t, mode)
			p.MaxOutput = limit
			if strings.HasPrefix(want, "no answer") {
				p.Timeout = 3 * time.Second
			}
			began := time.Now()
			err := p.describe(t.Context(), "k")
			if text := fmt.Sprint(err); (err == nil) != (want == "") || err != nil && !strings.Contains(text, want) || strings.Contains(text, "\n") {
				t.Error(err)
			}
			late := is(err, func(*stdio.TimeoutError) bool { return true })
			if time.Since(began) > patience/2 && !late {
				t.Error("it took", time.Since(began))
			}
			if !late && want != broken && err != nil && !is(err, func(*protocol.AnswerError) bool { return true }) {
				t.Errorf("%T", err)
			}
			p.Close()
			processes := 1
			if want == broken {
				processes = 2
			}
			if opened, _ := p.count(); opened != processes || len(p.noted(t)) != processes {
				t.Errorf("%d processes were started: %v", opened, p.noted(t))
			}
			p.noneLeft(t)
		})
	}
}

// TestHostileOpening is about plugins that write a handshake and do not open a
// session then.
func TestHostileOpening(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]string{
		"no ALPN":         "does not offer HTTP/2 by ALPN",
		"garbage":         "does not answer a health check",
		"page":            "does not answer a health check",
		"ends":            "no connection to it",
		"another":         "shows another certificate than its handshake has",
		"TLS 1.1":         "no connection to it",
		"garbage for TLS": "no connection to it",
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			p := hostile(t, mode)
			err := p.describe(t.Context(), "k")
			if !is(err, func(*sessionclient.HandshakeError) bool { return true }) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Error(err)
			}
			if opened, _ := p.count(); opened != 1 {
				t.Errorf("%d processes were started", opened)
			}
		})
	}
}

// TestFlowControl is about a plugin that does not wait until it may send more. How
// far it gets depends.
func TestFlowControl(t *testing.T) {
	t.Parallel()
	p := hostile(t, "body beyond the window")
	p.MaxOutput = limit
	if err := p.describe(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), "answered with more than one message") && !strings.Contains(err.Error(), "broke the connection") {
		t.Error(err)
	}
}

// TestReconnect is about plugins whose library closes connections that nobody uses:
// the process lives on.
func TestReconnect(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"goes away after each call", "goes away, and stays connected"} {
		t.Run(mode, func(t *testing.T) {
			p := hostile(t, mode)
			for range 5 {
				if err := p.describe(t.Context(), "k"); err != nil {
					t.Error(err)
				}
			}
			if opened, _ := p.count(); opened != 1 {
				t.Errorf("%d processes were started", opened)
			}
		})
	}
}

func hostile(t *testing.T, mode string) *plugin {
	p := install(t, testplugin.Script{Session: &testplugin.Session{}})
	p.program.Env = []string{hostileVariable + "=" + mode, pidsVariable + "=" + p.file("pids")}
	return p
}

// serveHostile is the main function of such a plugin.
func serveHostile(mode string) {
	pids, err := os.OpenFile(os.Getenv(pidsVariable), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(pids, os.Getpid())
	pids.Close()
	own := certificate()
	told := own
	if mode == "another" {
		// It is signed by the one that is told.
		own = certificateBy(&told)
	}
	listener, err := listen()
	if err != nil {
		panic(err)
	}
	fmt.Printf("1|1|%s|%s|grpc|%s\n", listener.Addr().Network(), listener.Addr(), base64.RawStdEncoding.EncodeToString(told.Certificate[0]))
	go func() {
		config := &tls.Config{Certificates: []tls.Certificate{own}, NextProtos: []string{"h2"}}
		switch mode {
		case "no ALPN":
			config.NextProtos = nil
		case "TLS 1.1":
			config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		}
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if mode == "garbage for TLS" {
				io.WriteString(conn, "220 mail.example.com ESMTP\r\n")
				continue
			}
			if mode == "ends" {
				conn.Close()
				continue
			}
			go serveConn(tls.Server(conn, config), mode)
		}
	}()
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

func listen() (net.Listener, error) {
	if runtime.GOOS == "windows" {
		return net.Listen("tcp", "127.0.0.1:0")
	}
	return net.Listen("unix", filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "hostile"))
}

// certificate makes one for localhost that may sign others.
func certificate() tls.Certificate { return certificateBy(nil) }

func certificateBy(issuer *tls.Certificate) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IsCA: issuer == nil, BasicConstraintsValid: true,
	}
	parent, signer := template, any(key)
	if issuer != nil {
		if parent, err = x509.ParseCertificate(issuer.Certificate[0]); err != nil {
			panic(err)
		}
		signer = issuer.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// stream is one call to a hostile plugin.
type stream struct {
	conn   net.Conn
	framer *http2.Framer
	block  *bytes.Buffer
	hpack  *hpack.Encoder
	id     uint32
}

// serveConn answers the calls of a connection, one after the other.
func serveConn(conn net.Conn, mode string) {
	switch mode {
	case "garbage":
		io.WriteString(conn, strings.Repeat("garbage ", 1000))
		return
	case "page":
		io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
		return
	}
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	s := &stream{conn: conn, framer: http2.NewFramer(conn, conn), block: new(bytes.Buffer)}
	s.hpack = hpack.NewEncoder(s.block)
	s.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	s.framer.WriteSettings()
	paths := map[uint32]string{}
	for {
		frame, err := s.framer.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				s.framer.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			paths[frame.StreamID] = frame.PseudoValue("path")
		case *http2.DataFrame:
			if frame.StreamEnded() {
				s.id = frame.StreamID
				s.answer(paths[s.id], mode)
			}
		}
	}
}

func (s *stream) answer(path, mode string) {
	switch {
	case strings.HasPrefix(path, "/grpc.health"):
		s.start(message(0, 2, "\x08\x01"))
		s.headers(true, "grpc-status", "0")
	case !strings.HasPrefix(path, "/signet"):
		s.trailersOnly("12")
	case strings.HasPrefix(mode, "goes away"):
		s.framer.WriteGoAway(s.id, http2.ErrCodeNo, nil) // ahead of the answer, so that the host surely saw it
		misbehaviors["good"](s)
		if mode == "goes away after each call" {
			s.conn.(*tls.Conn).CloseWrite() // and reads on, lest the answer is lost
		}
	default:
		misbehaviors[mode](s)
	}
}

// headers sends headers or trailers: names and values.
func (s *stream) headers(end bool, fields ...string) bool {
	for i := 0; i < len(fields); i += 2 {
		s.hpack.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	defer s.block.Reset()
	first := s.block.Next(16 << 10)
	ok := s.write(func() error {
		return s.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: first, EndStream: end, EndHeaders: s.block.Len() == 0})
	})
	for s.block.Len() > 0 {
		next := s.block.Next(16 << 10)
		ok = s.write(func() error { return s.framer.WriteContinuation(s.id, s.block.Len() == 0, next) })
	}
	return ok
}

// endless sends a field, and never ends the headers.
func (s *stream) endless(name, value string) {
	s.hpack.WriteField(hpack.HeaderField{Name: name, Value: value})
	s.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: bytes.Clone(s.block.Bytes())})
	for {
		s.block.Reset()
		s.hpack.WriteField(hpack.HeaderField{Name: "x", Value: strings.Repeat("x", 1000), Sensitive: true})
		if !s.write(func() error { return s.framer.WriteContinuation(s.id, false, s.block.Bytes()) }) {
			return
		}
	}
}

func (s *stream) start(data []byte) {
	s.headers(false, ":status", "200", "content-type", "application/grpc")
	if len(data) > 0 {
		s.data(false, data)
	}
}

func (s *stream) trailersOnly(status string) {
	s.headers(true, ":status", "200", "content-type", "application/grpc", "grpc-status", status)
}

func (s *stream) data(end bool, data []byte) {
	s.write(func() error { return s.framer.WriteData(s.id, end, data) })
}

func (s *stream) write(frame func() error) bool { return frame() == nil }
