//go:build cgo

package pkcs11

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	cryptoki "github.com/miekg/pkcs11"
	"golang.org/x/sync/semaphore"

	"github.com/signet-project/signet/protocol"
)

// TestWaiting holds what a signature has to wait for, and has its caller give up.
func TestWaiting(t *testing.T) {
	t.Parallel()
	for name, turn := range map[string]func(*key) *semaphore.Weighted{
		"another opens the key":           func(k *key) *semaphore.Weighted { return k.turn },
		"another logs in for a signature": func(k *key) *semaphore.Weighted { return k.token.alone },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				token := newToken(&module{}, slot{})
				token.idle, token.loggedIn = []cryptoki.SessionHandle{1}, true
				k := &key{token: token, at: &location{}, turn: semaphore.NewWeighted(1), opened: &privateKey{alwaysAuthenticate: true}}
				if err := turn(k).Acquire(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() {
					_, err := k.signOnce(ctx, protocol.Suite{}, input{})
					ended <- err
				}()
				synctest.Wait()
				token.generation++ // there is no module to close the session in
				cancel()
				if err := <-ended; !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		})
	}
}
