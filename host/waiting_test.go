package host

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/protocol"
)

// sluice lets calls through once it is open.
type sluice chan struct{}

func (g sluice) pass(ctx context.Context) error {
	select {
	case <-g:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// slowPlugin describes its key once the sluice is open.
type slowPlugin struct{ sluice }

func (p slowPlugin) Call(ctx context.Context, command protocol.Command, _ []byte) ([]byte, error) {
	if command == protocol.CommandGetMetadata {
		return []byte(`{"name":"slow","description":"d","version":"1.0.0","url":"u","supportedContractVersions":["1.0"],"capabilities":["SIGNATURE_GENERATOR.RAW"]}`), nil
	}
	return []byte(`{"keyId":"k","keySpec":"EC-256"}`), p.pass(ctx)
}

// slowKey signs once the sluice is open.
type slowKey struct {
	Key
	sluice
}

func (k slowKey) Seal(ctx context.Context, request SealRequest) (*Sealed, error) {
	if err := k.pass(ctx); err != nil {
		return nil, err
	}
	return k.Key.Seal(ctx, request)
}

// TestWaiting has three callers ask for the same at the same time. The one that waits
// gives up, then the one that is being answered; the last gets what it asked for.
func TestWaiting(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T, open sluice) func(context.Context) error{
		"the algorithms of a plugin's key": func(t *testing.T, open sluice) func(context.Context) error {
			key, err := NewPluginKey(t.Context(), protocol.NewClient("slow", slowPlugin{open}), "k", nil, KindArtifact)
			if err != nil {
				t.Fatal(err)
			}
			return func(ctx context.Context) error {
				suite, err := key.Suite(ctx)
				if err == nil && suite.KeySpec != protocol.KeySpecEC256 {
					t.Errorf("suite %+v", suite)
				}
				return err
			}
		},
		"the first signature of a batch": func(t *testing.T, open sluice) func(context.Context) error {
			signer := testSigner(t)
			key := &firstAlone{Key: slowKey{signer.Key, open}, signer: signer, turn: semaphore.NewWeighted(1)}
			return func(ctx context.Context) error {
				_, err := key.Seal(ctx, SealRequest{Format: envelope.FormatJWS, Payload: []byte("{}"), SigningTime: time.Now()})
				return err
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				open := make(sluice)
				ask := start(t, open)
				var cancel [3]context.CancelFunc
				var answer [3]chan error
				for i := range 3 {
					var ctx context.Context
					ctx, cancel[i] = context.WithCancel(t.Context())
					answer[i] = make(chan error, 1)
					go func() { answer[i] <- ask(ctx) }()
					synctest.Wait()
				}
				for _, i := range []int{1, 0} {
					cancel[i]()
					if err := <-answer[i]; !errors.Is(err, context.Canceled) {
						t.Errorf("caller %d, who gave up: %v", i, err)
					}
				}
				synctest.Wait()
				if len(answer[2]) != 0 {
					t.Fatalf("caller 2 shares the fate of another: %v", <-answer[2])
				}
				close(open)
				if err := <-answer[2]; err != nil {
					t.Errorf("caller 2: %v", err)
				}
				cancel[2]()
			})
		})
	}
}
