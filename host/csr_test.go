package host

import (
	"bytes"
	"context"
	"crypto/x509"
	"strings"
	"testing"

	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// inProcess answers requests in this process.
type inProcess struct{ protocol.Plugin }

func (p inProcess) Call(ctx context.Context, command protocol.Command, request []byte) ([]byte, error) {
	var answer bytes.Buffer
	err := protocol.Handle(ctx, p.Plugin, string(command), bytes.NewReader(request), &answer)
	return answer.Bytes(), err
}

func TestCertificateRequest(t *testing.T) {
	t.Parallel()
	subject, err := trust.ParseSubject("CN=build,O=Acme\\, Inc.,ST=WA,C=US")
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range testpki.Specs {
		t.Run(string(spec), func(t *testing.T) {
			t.Parallel()
			key := testpki.Key(t, spec)
			plugin := signer.New(signer.Options{
				Metadata: protocol.Metadata{Name: "kms", Description: "a plugin", Version: "1.0.0", URL: "https://example.com"},
				Open: func(context.Context, string, map[string]string) (signer.Key, error) {
					return signer.FromSigner(key), nil
				},
			})
			client := protocol.NewClient("kms", inProcess{plugin})
			der, err := PluginCertificateRequest(t.Context(), client, "key", nil, subject)
			if err != nil {
				t.Fatal(err)
			}
			request, err := x509.ParseCertificateRequest(der)
			if err != nil {
				t.Fatal(err)
			}
			if err := request.CheckSignature(); err != nil {
				t.Error(err)
			}
			if got := request.Subject.String(); got != `CN=build,O=Acme\, Inc.,ST=WA,C=US` {
				t.Errorf("subject %s", got)
			}
			if suite, _ := protocol.SuiteOf(spec); request.SignatureAlgorithm != requestAlgorithms[suite.Algorithm] {
				t.Errorf("signed with %v", request.SignatureAlgorithm)
			}
			want, err := x509.MarshalPKIXPublicKey(key.Public())
			if err != nil || !bytes.Equal(request.RawSubjectPublicKeyInfo, want) {
				t.Error("the request is for another key")
			}
			public, err := PluginPublicKey(t.Context(), client, "key", nil)
			if err != nil || !signer.SamePublicKey(public, key.Public()) {
				t.Errorf("got another public key, %v", err)
			}
		})
	}
}

// altered is a plugin whose answers a test changes.
type altered struct {
	*signer.Plugin
	metadata func(*protocol.Metadata)
	describe func(*protocol.DescribeKeyResponse)
	sign     func(*protocol.GenerateSignatureResponse)
}

func (a altered) GetMetadata(ctx context.Context, r *protocol.GetMetadataRequest) (*protocol.Metadata, error) {
	answer, err := a.Plugin.GetMetadata(ctx, r)
	if err == nil && a.metadata != nil {
		a.metadata(answer)
	}
	return answer, err
}

func (a altered) DescribeKey(ctx context.Context, r *protocol.DescribeKeyRequest) (*protocol.DescribeKeyResponse, error) {
	answer, err := a.Plugin.DescribeKey(ctx, r)
	if err == nil && a.describe != nil {
		a.describe(answer)
	}
	return answer, err
}

func (a altered) GenerateSignature(ctx context.Context, r *protocol.GenerateSignatureRequest) (*protocol.GenerateSignatureResponse, error) {
	answer, err := a.Plugin.GenerateSignature(ctx, r)
	if err == nil && a.sign != nil {
		a.sign(answer)
	}
	return answer, err
}

func TestCertificateRequestRefusals(t *testing.T) {
	t.Parallel()
	key := testpki.Key(t, protocol.KeySpecEC256)
	other, err := x509.MarshalPKIXPublicKey(testpki.Key(t, protocol.KeySpecEC384).Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change altered
		want   string
	}{
		"no extension": {altered{metadata: func(m *protocol.Metadata) { m.Extensions = nil }}, "does not give out public keys"},
		"no key":       {altered{describe: func(r *protocol.DescribeKeyResponse) { r.PublicKey = nil }}, "cannot be read"},
		"another key":  {altered{describe: func(r *protocol.DescribeKeyResponse) { r.PublicKey = other }}, "of type EC-384 for a key of type EC-256"},
		"bad signature": {altered{sign: func(r *protocol.GenerateSignatureResponse) { r.Signature[3] ^= 1 }},
			"signature returned by signer is invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.change.Plugin = signer.New(signer.Options{
				Metadata: protocol.Metadata{Name: "kms", Description: "a plugin", Version: "1.0.0", URL: "https://example.com"},
				Open: func(context.Context, string, map[string]string) (signer.Key, error) {
					return signer.FromSigner(key), nil
				},
			})
			subject, err := trust.ParseSubject("CN=x")
			if err != nil {
				t.Fatal(err)
			}
			_, err = PluginCertificateRequest(t.Context(), protocol.NewClient("kms", inProcess{c.change}), "key", nil, subject)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
