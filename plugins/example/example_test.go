package example

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
	"github.com/signet-project/signet/protocol/stdio"
)

func TestMain(m *testing.M) {
	if strings.HasPrefix(filepath.Base(os.Args[0]), protocol.BinaryPrefix) {
		protocol.Serve(New(os.Getenv))
	}
	os.Exit(m.Run())
}

func noEnv(string) string { return "" }

// client is a host's view of the plugin in a process of its own.
func client(t *testing.T, env ...string) *protocol.Client {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "notation-example")
	if filepath.Ext(self) == ".exe" {
		path += ".exe"
	}
	if err := os.Link(self, path); err != nil {
		data, err := os.ReadFile(self)
		if err == nil {
			err = os.WriteFile(path, data, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return protocol.NewClient("example", &stdio.Transport{Path: path, Env: append([]string{}, env...)})
}

func wantCode(t *testing.T, err error, code protocol.ErrorCode, text string) {
	t.Helper()
	failure, ok := errors.AsType[*protocol.Error](err)
	if !ok || failure.Code != code || !strings.Contains(failure.Message, text) {
		t.Errorf("error %v, want %s with %q", err, code, text)
	}
}

func TestMetadata(t *testing.T) {
	t.Run("PLG-76 empty request, empty environment", func(t *testing.T) {
		metadata, err := client(t).GetMetadata(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(metadata.Capabilities) != 2 || metadata.Capabilities[0] != protocol.CapabilityRevocationCheckVerifier || metadata.Capabilities[1] != protocol.CapabilitySignatureGenerator {
			t.Error(metadata.Capabilities)
		}
	})
	t.Run("PLG-76 request {}", func(t *testing.T) {
		var out bytes.Buffer
		if err := protocol.Handle(t.Context(), New(noEnv), "get-plugin-metadata", strings.NewReader("{}"), &out); err != nil {
			t.Error(err)
		}
	})
}

func TestSign(t *testing.T) {
	dir := t.TempDir()
	plugin := client(t)
	root := testpki.Root(t, "root")
	for _, spec := range []protocol.KeySpec{protocol.KeySpecEC256, protocol.KeySpecEC521, protocol.KeySpecRSA2048} {
		t.Run("PLG-22 PLG-25 "+string(spec), func(t *testing.T) {
			leaf := root.Leaf(t, "leaf", spec)
			keyPath, chainPath := leaf.WriteFiles(t, dir, string(spec))
			config := map[string]string{signer.ConfigCertificateChain: chainPath}
			described, err := plugin.DescribeKey(t.Context(), &protocol.DescribeKeyRequest{KeyID: keyPath, PluginConfig: config})
			if err != nil || described.KeySpec != spec {
				t.Fatalf("%+v, %v", described, err)
			}
			suite, _ := protocol.SuiteOf(spec)
			config[ConfigKey] = keyPath // now the key id is but a name
			signed, err := plugin.GenerateSignature(t.Context(), &protocol.GenerateSignatureRequest{
				KeyID: "release", KeySpec: spec, Hash: suite.Hash, Payload: []byte("payload"), PluginConfig: config})
			if err != nil {
				t.Fatal(err)
			}
			if err := signer.Verify(leaf.Cert.PublicKey, suite, signer.Digest(suite, []byte("payload")), signed.Signature); err != nil {
				t.Error(err)
			}
			if len(signed.CertificateChain) != 2 {
				t.Errorf("%d certificates", len(signed.CertificateChain))
			}
		})
	}
}

func TestKeyFiles(t *testing.T) {
	write := func(blockType string, der []byte) string {
		path := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	sec1, err := x509.MarshalECPrivateKey(testpki.FreshKey(t, protocol.KeySpecEC256).(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := x509.MarshalPKCS1PrivateKey(testpki.Key(t, protocol.KeySpecRSA2048).(*rsa.PrivateKey))
	notPEM := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(notPEM, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, path, want string }{
		{"SEC 1", write("EC PRIVATE KEY", sec1), ""},
		{"PKCS#1", write("RSA PRIVATE KEY", pkcs1), ""},
		{"absent", filepath.Join(t.TempDir(), "none"), "key "},
		{"not PEM", notPEM, "is not a PEM file"},
		{"encrypted", write("ENCRYPTED PRIVATE KEY", sec1), "encrypted keys are not supported"},
		{"garbage", write("PRIVATE KEY", []byte{1}), "key "},
	} {
		t.Run("PLG-12 "+c.name, func(t *testing.T) {
			_, err := New(noEnv).DescribeKey(t.Context(), &protocol.DescribeKeyRequest{KeyID: c.path})
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantCode(t, err, protocol.CodeValidation, c.want)
		})
	}
}

func TestDenyList(t *testing.T) {
	leaf := testpki.Root(t, "root").Intermediate(t, "intermediate").Leaf(t, "leaf", protocol.KeySpecEC256)
	serial := fmt.Sprintf("%X", leaf.Cert.SerialNumber)
	list := func(text string) string {
		path := filepath.Join(t.TempDir(), "denied")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	request := func(path string) *protocol.VerifySignatureRequest {
		q := &protocol.VerifySignatureRequest{
			Signature: protocol.Signature{
				CriticalAttributes: protocol.CriticalAttributes{ContentType: "c", SigningScheme: "notary.x509"},
				CertificateChain:   leaf.RawChain(),
			},
			TrustPolicy: protocol.TrustPolicy{SignatureVerification: []protocol.Capability{protocol.CapabilityRevocationCheckVerifier}},
		}
		if path != "" {
			q.PluginConfig = map[string]string{ConfigDenyList: path}
		}
		return q
	}
	for _, c := range []struct {
		name, list string
		success    bool
	}{
		{"empty list", "", true},
		{"another serial", "0A1B # stolen\n\n", true},
		{"leaf", "0A1B\n" + serial + "\n", false},
		{"as openssl prints it", "serial=" + serial, false},
		{"lower case, leading zeros", "00" + strings.ToLower(serial) + " # why", false},
		{"colons", "0" + serial[:1] + ":" + serial[1:], false},
		{"intermediate", fmt.Sprintf("%x", leaf.Issuer.Cert.SerialNumber), false},
		{"in a comment only", "# " + serial, true},
	} {
		t.Run("PLG-48 "+c.name, func(t *testing.T) {
			answer, err := New(noEnv).VerifySignature(t.Context(), request(list(c.list)))
			if err != nil {
				t.Fatal(err)
			}
			result := answer.VerificationResults[protocol.CapabilityRevocationCheckVerifier]
			if result == nil || result.Success != c.success || (result.Reason == "") != c.success {
				t.Errorf("%+v", result)
			}
		})
	}
	t.Run("PLG-48 list from the environment, in a process", func(t *testing.T) {
		answer, err := client(t, EnvDenyList+"="+list(serial)).VerifySignature(t.Context(), request(""))
		if err != nil || answer.VerificationResults[protocol.CapabilityRevocationCheckVerifier].Success {
			t.Errorf("%+v, %v", answer, err)
		}
	})
	for name, q := range map[string]*protocol.VerifySignatureRequest{
		"no deny list":            request(""),
		"deny list":               request("/does/not/exist"),
		"line 2":                  request(list("0A\nhello\n")),
		"does not do SIGNATURE_V": {TrustPolicy: protocol.TrustPolicy{SignatureVerification: []protocol.Capability{protocol.CapabilityTrustedIdentityVerifier}}, PluginConfig: map[string]string{ConfigDenyList: list("")}},
	} {
		t.Run("PLG-12 "+name, func(t *testing.T) {
			_, err := New(noEnv).VerifySignature(t.Context(), q)
			wantCode(t, err, protocol.CodeValidation, name)
		})
	}
}

func TestStartedByHand(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Args = []string{"notation-example"}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.HasPrefix(string(out), "notation-example 1.0.0 - ") {
		t.Errorf("%s, %v", out, err)
	}
}

func FuzzReadDenyList(f *testing.F) {
	f.Add([]byte("0A:1b # c\nserial=FF\n"))
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "denied")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		denied, err := readDenyList(path)
		if err != nil && denied != nil {
			t.Error("a list besides an error")
		}
	})
}
