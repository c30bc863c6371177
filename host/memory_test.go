package host

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/internal/testpki"
)

// gate is a repository whose fetched signatures go to the verifier when the gate opens.
type gate struct {
	artifact.Repository
	fetched chan error
	open    <-chan struct{}
}

func (g *gate) FetchSignature(ctx context.Context, manifest, subject ocispec.Descriptor, reserve artifact.Reserve) (*artifact.Signature, error) {
	signature, err := g.Repository.FetchSignature(ctx, manifest, subject, reserve)
	g.fetched <- err
	<-g.open
	return signature, err
}

// shelved makes a layout with an artifact and an envelope of size bytes that is none.
func shelved(t *testing.T, signer *testpki.Entity, size int) (artifact.Repository, string) {
	t.Helper()
	ctx := t.Context()
	layout, err := artifact.CreateLayout(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	manifest := []byte(`{"schemaVersion":2}`)
	target := describe(string(manifest))
	if err := layout.PushManifest(ctx, target, manifest); err != nil {
		t.Fatal(err)
	}
	_, err = layout.PushSignature(ctx, artifact.PushRequest{
		MediaType: "application/jose+json", Envelope: bytes.Repeat([]byte("x"), size), Subject: target, Certificates: []*x509.Certificate{signer.Cert, signer.Issuer.Cert}, SigningTime: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return layout, target.Digest.String()
}

func TestVerifierMemory(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	v := s.verifier()
	closed := make(chan struct{})
	close(closed)
	verify := func(ctx context.Context, size int, open <-chan struct{}, fetched chan error) error {
		repo, reference := shelved(t, s.leaf, size)
		_, err := v.VerifyArtifact(ctx, &gate{repo, fetched, open}, ArtifactRequest{Reference: reference, Name: scope, Scope: scope, MaxSignatures: 1})
		return err
	}
	t.Run("MAN-12 large envelopes wait for each other, small ones do not", func(t *testing.T) {
		open, first, done := make(chan struct{}), make(chan error, 1), make(chan error, 1)
		go func() { done <- verify(t.Context(), maxLarge, open, first) }()
		if err := <-first; err != nil {
			t.Fatal(err)
		}
		hurried, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		second := make(chan error, 1)
		if err := verify(hurried, maxLarge/2, closed, second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if err := <-second; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a second large one was fetched with error %v", err)
		}
		small := make(chan error, 1)
		if err := verify(t.Context(), maxKeptEnvelope, closed, small); errorAs[*LimitError](err) == nil || <-small != nil {
			t.Errorf("a small one: error %v", err)
		}
		close(open)
		if err := <-done; errorAs[*LimitError](err) == nil {
			t.Errorf("the first large one: error %v", err)
		}
		if err := verify(t.Context(), maxLarge, closed, second); errorAs[*LimitError](err) == nil || <-second != nil {
			t.Errorf("once there is room: error %v", err)
		}
	})
}

func TestShare(t *testing.T) {
	t.Parallel()
	t.Run("MAN-12 what is asked for replaces what was", func(t *testing.T) {
		var m memory
		first, second := m.share(), m.share()
		for _, bytes := range []int64{10 * maxLarge, maxLarge, 1, maxLarge} {
			if err := first.reserve(t.Context(), bytes); err != nil {
				t.Fatal(err)
			}
		}
		first.release()
		first.release()
		if err := second.reserve(t.Context(), maxLarge); err != nil {
			t.Fatal(err)
		}
		if m.free.TryAcquire(1) {
			t.Error("there is more than the bound")
		}
	})
}
