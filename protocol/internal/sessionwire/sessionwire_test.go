package sessionwire

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
)

func TestHandshake(t *testing.T) {
	own, err := NewCertificate(x509.ExtKeyUsageServerAuth)
	if err != nil {
		t.Fatal(err)
	}
	good := Handshake{Network: "unix", Address: "/tmp/plugin-dir1/x", Certificate: own.Certificate[0]}
	for _, end := range []string{"", "\n", "\r\n"} {
		h, certificate, err := ParseHandshake(good.String() + end)
		if err != nil || h.Network != good.Network || h.Address != good.Address || !bytes.Equal(certificate.Raw, good.Certificate) {
			t.Errorf("%+v, %v", h, err)
		}
	}
	line := good.String()
	certificate := base64.RawStdEncoding.EncodeToString(good.Certificate)
	for name, c := range map[string]struct{ line, want string }{
		"nothing":                {"", "it wrote no handshake"},
		"text":                   {"hello\x1b[2J", `its handshake has 1 of 6 fields: "hello\x1b[2J"`},
		"a field too many":       {line + "|true", "its handshake has 7 of 6 fields"},
		"a field too few":        {"1|1|unix|/x|grpc", "its handshake has 5 of 6 fields"},
		"long":                   {strings.Repeat("x", MaxHandshake+1), "its handshake is longer than 16384 bytes"},
		"version of go-plugin":   {"2" + line[1:], `field 1 of its handshake, the version of go-plugin's protocol, is "2" and not 1`},
		"space":                  {" " + line, `field 1 of its handshake, the version of go-plugin's protocol, is " 1" and not 1`},
		"version":                {"1|9" + line[3:], `field 2 of its handshake, the version of the session protocol, is "9" and not 1`},
		"network":                {strings.Replace(line, "unix", "udp", 1), `field 3 of its handshake, the network, is "udp" and not unix or tcp`},
		"no address":             {"1|1|unix||grpc|" + certificate, "field 4 of its handshake, the address, is empty"},
		"protocol":               {strings.Replace(line, "grpc", "netrpc", 1), `field 5 of its handshake, the protocol, is "netrpc" and not grpc`},
		"no certificate":         {"1|1|unix|/x|grpc|", "field 6 of its handshake, the certificate, is empty"},
		"certificate of text":    {"1|1|unix|/x|grpc|hello!", "field 6 of its handshake, the certificate, is not base64"},
		"padding":                {"1|1|unix|/x|grpc|QQ==", "field 6 of its handshake, the certificate, is not base64"},
		"certificate and spaces": {line + " ", "field 6 of its handshake, the certificate, is not base64"},
		"no certificate at all":  {"1|1|unix|/x|grpc|QUJD", "field 6 of its handshake, the certificate, cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := ParseHandshake(c.line); err == nil || !strings.HasPrefix(err.Error(), c.want) || len(err.Error()) > 300 {
				t.Error(err)
			}
		})
	}
}

// taggedRequest and taggedResponse are the messages of spec/session.proto as protobuf
// takes them.
type taggedRequest struct {
	Command string `protobuf:"bytes,1,opt,name=command,proto3"`
	Request []byte `protobuf:"bytes,2,opt,name=request,proto3"`
}

func (r *taggedRequest) Reset()         { *r = taggedRequest{} }
func (r *taggedRequest) String() string { return r.Command }
func (*taggedRequest) ProtoMessage()    {}

type taggedResponse struct {
	Response []byte `protobuf:"bytes,1,opt,name=response,proto3"`
	Error    []byte `protobuf:"bytes,2,opt,name=error,proto3"`
}

func (r *taggedResponse) Reset()         { *r = taggedResponse{} }
func (r *taggedResponse) String() string { return string(r.Response) }
func (*taggedResponse) ProtoMessage()    {}

// marshal is what protobuf makes of a message.
func marshal(t testing.TB, message protoadapt.MessageV1) []byte {
	data, err := proto.Marshal(protoadapt.MessageV2Of(message))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestMessages compares what is sent with what protobuf sends.
func TestMessages(t *testing.T) {
	for _, q := range []Request{{}, {Command: "describe-key"}, {Request: []byte("{}")}, {Command: "x", Request: make([]byte, 70_000)}} {
		if got, want := q.Encode(), marshal(t, &taggedRequest{q.Command, q.Request}); !bytes.Equal(got, want) {
			t.Errorf("%x, want %x", got, want)
		}
		r := Response{Response: []byte(q.Command), Error: q.Request}
		if got, want := r.Encode(), marshal(t, &taggedResponse{r.Response, r.Error}); !bytes.Equal(got, want) {
			t.Errorf("%x, want %x", got, want)
		}
	}
	var o Output
	if err := o.Decode([]byte("\x08\x02\x12\x03abc")); err != nil || !o.Stderr || string(o.Data) != "abc" {
		t.Errorf("%+v, %v", o, err)
	}
	if err := o.Decode([]byte("\x08\x01\x12\x01x")); err != nil || o.Stderr || string(o.Data) != "x" {
		t.Errorf("%+v, %v", o, err)
	}
}

func FuzzParseHandshake(f *testing.F) {
	own, err := NewCertificate(x509.ExtKeyUsageServerAuth)
	if err != nil {
		f.Fatal(err)
	}
	for _, network := range []string{"unix", "tcp"} {
		f.Add((&Handshake{Network: network, Address: "127.0.0.1:10000", Certificate: own.Certificate[0]}).String() + "\n")
	}
	f.Add("1|1|unix|/tmp/x|grpc|QUJD\n")
	f.Fuzz(func(t *testing.T, line string) {
		h, certificate, err := ParseHandshake(line)
		if err != nil {
			if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) {
				t.Errorf("%q", err)
			}
			return
		}
		if got := strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"); h.String() != got || !bytes.Equal(certificate.Raw, h.Certificate) {
			t.Errorf("%q reads as %q", got, h)
		}
	})
}

// FuzzDecode compares what is read with what protobuf reads of the same bytes, groups
// aside.
func FuzzDecode(f *testing.F) {
	for _, r := range []taggedResponse{{Response: []byte("{}")}, {Error: []byte(`{"errorCode":"ERROR"}`)}, {Response: []byte("{}"), Error: []byte("x")}} {
		f.Add(marshal(f, &r))
	}
	f.Add([]byte{3 << 3, 0x96, 1, 4<<3 | 1, 1, 2, 3, 4, 5, 6, 7, 8, 5<<3 | 5, 1, 2, 3, 4, 1 << 3, 7, 1<<3 | 2, 2, '{', '}'})
	f.Add([]byte{1<<3 | 2, 2, 0xff, 0xfe})
	f.Fuzz(func(t *testing.T, data []byte) {
		compare := func(err error, want protoadapt.MessageV1, same func() bool) {
			wantErr := proto.Unmarshal(data, protoadapt.MessageV2Of(want))
			switch {
			case err != nil && wantErr == nil && hasGroup(data):
			case (err == nil) != (wantErr == nil):
				t.Fatalf("%T: %v, want %v", want, err, wantErr)
			case err == nil && !same():
				t.Errorf("%+v", want)
			}
		}
		var q Request
		var wantQ taggedRequest
		compare(q.Decode(data), &wantQ, func() bool { return q.Command == wantQ.Command && bytes.Equal(q.Request, wantQ.Request) })
		var r Response
		var wantR taggedResponse
		compare(r.Decode(data), &wantR, func() bool { return bytes.Equal(r.Response, wantR.Response) && bytes.Equal(r.Error, wantR.Error) })
	})
}

func hasGroup(data []byte) bool {
	for len(data) > 0 {
		_, kind, n := protowire.ConsumeField(data)
		if n < 0 || kind == protowire.StartGroupType {
			return kind == protowire.StartGroupType
		}
		data = data[n:]
	}
	return false
}
