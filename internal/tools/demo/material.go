package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/oci"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/protocol"
)

// makeSigner writes name.key, name.crt (the chain) and name-root.crt.
func makeSigner(dir, name string) error {
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	root := template(name+" root", 1)
	root.IsCA, root.BasicConstraintsValid, root.KeyUsage = true, true, x509.KeyUsageCertSign
	leaf := template(name+" signer", 2)
	leaf.KeyUsage, leaf.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	if err != nil {
		return err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, leafKey.Public(), rootKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		return err
	}
	rootPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER})
	leafPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leafDER})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	return errors.Join(
		os.WriteFile(filepath.Join(dir, name+".key"), keyPEM, 0o600),
		os.WriteFile(filepath.Join(dir, name+".crt"), append(leafPEM, rootPEM...), 0o600),
		os.WriteFile(filepath.Join(dir, name+"-root.crt"), rootPEM, 0o600),
	)
}

func template(commonName string, serial int64) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{Country: []string{"US"}, Province: []string{"WA"}, Organization: []string{"signet demo"}, CommonName: commonName},
		NotBefore:    now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
	}
}

// makeLayout packs a file into a new OCI layout and returns the digest of its
// manifest, which depends on nothing but the content.
func makeLayout(path, content string) (string, error) {
	ctx := context.Background()
	store, err := oci.New(path)
	if err != nil {
		return "", err
	}
	layer := ocispec.Descriptor{MediaType: "text/plain", Digest: digest.FromString(content), Size: int64(len(content))}
	if err := store.Push(ctx, layer, strings.NewReader(content)); err != nil {
		return "", err
	}
	desc, err := oras.PackManifest(ctx, store, oras.PackManifestVersion1_1, "application/vnd.example.text", oras.PackManifestOptions{
		Layers:              []ocispec.Descriptor{layer},
		ManifestAnnotations: map[string]string{ocispec.AnnotationCreated: "2026-01-01T00:00:00Z"},
	})
	if err != nil {
		return "", err
	}
	return desc.Digest.String(), store.Tag(ctx, desc, "v1")
}

// eachSignature calls fn with every signature of the only tagged artifact.
func eachSignature(path string, fn func(*artifact.Signature) error) error {
	ctx := context.Background()
	repo, err := artifact.OpenLayout(ctx, path)
	if err != nil {
		return err
	}
	subject, err := repo.Resolve(ctx, "v1")
	if err != nil {
		return err
	}
	for desc, err := range repo.Signatures(ctx, subject) {
		if err != nil {
			return err
		}
		signature, err := repo.FetchSignature(ctx, desc, subject, nil)
		if err != nil {
			return err
		}
		if err := fn(signature); err != nil {
			return err
		}
	}
	return nil
}

// attach stores an envelope beside the artifact of a layout.
func attach(path, mediaType string, data []byte) error {
	ctx := context.Background()
	repo, err := artifact.OpenLayout(ctx, path)
	if err != nil {
		return err
	}
	subject, err := repo.Resolve(ctx, "v1")
	if err != nil {
		return err
	}
	env, err := envelope.Parse(mediaType, data)
	if err != nil {
		return err
	}
	_, err = repo.PushSignature(ctx, artifact.PushRequest{
		MediaType: mediaType, Envelope: data, Subject: subject, Certificates: env.Certificates, SigningTime: env.SigningTime,
	})
	return err
}

// moveSignatures attaches the signatures of one layout's artifact to another's.
func moveSignatures(from, to string) error {
	return eachSignature(from, func(s *artifact.Signature) error { return attach(to, s.MediaType, s.Envelope) })
}

// flipSignatures attaches damaged copies of a layout's signatures to the same
// artifact in a new layout.
func flipSignatures(from, to string) error {
	if _, err := makeLayout(to, "hello, world\n"); err != nil {
		return err
	}
	return eachSignature(from, func(s *artifact.Signature) error {
		env, err := envelope.Parse(s.MediaType, s.Envelope)
		if err != nil {
			return err
		}
		return attach(to, s.MediaType, damage(s, env))
	})
}

// damage flips a bit of the signature value inside an envelope.
func damage(s *artifact.Signature, env *envelope.Envelope) []byte {
	data := append([]byte{}, s.Envelope...)
	if s.MediaType == envelope.MediaTypeCOSE {
		data[len(data)-len(env.Signature)] ^= 1 // the signature ends the array
		return data
	}
	var jws map[string]json.RawMessage
	if json.Unmarshal(data, &jws) != nil {
		return data
	}
	value := jws["signature"]
	if value[1] == 'A' {
		value[1] = 'B'
	} else {
		value[1] = 'A'
	}
	damaged, _ := json.Marshal(jws) // cannot fail: it was JSON before
	return damaged
}

// signDemanding signs with the demo key and marks a verification plugin as
// required.
func signDemanding(dir, layout, artifactDigest string) error {
	keyPEM, err := os.ReadFile(filepath.Join(dir, "demo.key"))
	if err != nil {
		return err
	}
	key, err := pki.ParsePrivateKey(keyPEM)
	if err != nil {
		return err
	}
	certPEM, err := os.ReadFile(filepath.Join(dir, "demo.crt"))
	if err != nil {
		return err
	}
	chain, err := pki.ParseCertificateChain(certPEM)
	if err != nil {
		return err
	}
	repo, err := artifact.OpenLayout(context.Background(), layout)
	if err != nil {
		return err
	}
	target, err := repo.Resolve(context.Background(), artifactDigest)
	if err != nil {
		return err
	}
	data, err := demanding(key, chain, target)
	if err != nil {
		return err
	}
	return attach(layout, envelope.MediaTypeJWS, data)
}

func demanding(key crypto.Signer, chain []*x509.Certificate, target ocispec.Descriptor) ([]byte, error) {
	payload, err := envelope.MarshalPayload(envelope.MediaTypeJWS, ocispec.Descriptor{MediaType: target.MediaType, Digest: target.Digest, Size: target.Size})
	if err != nil {
		return nil, err
	}
	suite, err := protocol.SuiteForKey(key.Public())
	if err != nil {
		return nil, err
	}
	draft, err := envelope.NewDraft(envelope.MediaTypeJWS, envelope.DraftOptions{
		Payload: payload, Suite: suite, Scheme: envelope.SchemeX509, SigningTime: time.Now(),
		Extended: []envelope.Attribute{{Key: "io.cncf.notary.verificationPlugin", Value: "com.example.missing", Critical: true}},
	})
	if err != nil {
		return nil, err
	}
	signature, err := pki.Sign(key, draft.SigningInput())
	if err != nil {
		return nil, err
	}
	return draft.Seal(envelope.SealOptions{Signature: signature, Chain: chain, Agent: "demo"})
}
