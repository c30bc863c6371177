//go:build cgo

package pkcs11

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestClose(t *testing.T) {
	t.Run("waits for a call whose host gave up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ms, left := &modules{}, false
			abandon(t, ms, func() { time.Sleep(lastCalls / 2); left = true })
			if err := ms.close(); err != nil || !left {
				t.Errorf("%v; the call has ended: %t", err, left)
			}
		})
	})
	t.Run("not for one that is stuck", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ms, release := &modules{loaded: map[string]*module{"m": {}}}, make(chan struct{})
			abandon(t, ms, func() { <-release })
			if err := ms.close(); err == nil || len(ms.loaded) != 1 {
				t.Errorf("%v; %d modules are loaded", err, len(ms.loaded))
			}
			close(release)
		})
	})
	t.Run("keeps later calls out", func(t *testing.T) {
		ms := &modules{}
		if err := ms.close(); err != nil {
			t.Fatal(err)
		}
		_, err := within(t.Context(), ms, func() (int, error) { panic("inside a module") })
		if !errors.Is(err, errClosed) {
			t.Error(err)
		}
	})
}

// abandon makes a call and gives up on it at once.
func abandon(t *testing.T, ms *modules, call func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := within(ctx, ms, func() (int, error) { call(); return 0, nil })
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
