package vault

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestWaiting has a server that does not answer a login, and callers who wait for it.
func TestWaiting(t *testing.T) {
	t.Parallel()
	asked, release := make(chan struct{}), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-release
		w.WriteHeader(http.StatusForbidden)
	}))
	defer slow.Close()
	getenv := environ("VAULT_ADDR="+slow.URL, "VAULT_AUTH_METHOD=approle", "VAULT_ROLE_ID=r", patience)
	all := &servers{options: Options{Getenv: getenv, Now: time.Now}, known: map[string]*server{}}
	open := func(name string) *key {
		k, err := all.open(t.Context(), "transit/keys/"+name, nil)
		if err != nil {
			t.Fatal(err)
		}
		return k.(*key)
	}
	one, other := open("one"), open("other")
	answered := make(chan error)
	go func() {
		_, err := one.read(t.Context())
		answered <- err
	}()
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, k := range map[string]*key{"the same key": one, "another key of the server": other} {
		if _, err := k.read(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	close(release)
	if err := <-answered; err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("who did not give up: %v", err)
	}
}
