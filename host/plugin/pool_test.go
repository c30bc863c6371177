package plugin

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/protocol"
)

func TestPool(t *testing.T) {
	t.Parallel()
	// ask gets a client and calls it.
	ask := func(t *testing.T, pool *Pool, signatures int) {
		t.Helper()
		client, err := pool.GetFor(t.Context(), "x", signatures)
		if err == nil {
			_, err = client.DescribeKey(t.Context(), &protocol.DescribeKeyRequest{KeyID: "k"})
		}
		if err != nil {
			t.Error(err)
		}
	}
	script := testplugin.Script{Replies: map[protocol.Command]testplugin.Reply{
		protocol.CommandDescribeKey: {Raw: []byte(`{"keyId":"k","keySpec":"EC-256"}`)},
	}}
	// described lists the processes that were asked to describe a key, 0 for each
	// that was started for the call.
	described := func(t *testing.T, record string) (pids []int) {
		for _, r := range testplugin.Records(t, record) {
			switch {
			case r.Command != protocol.CommandDescribeKey:
			case r.Session:
				pids = append(pids, r.Pid)
			default:
				pids = append(pids, 0)
			}
		}
		return pids
	}
	t.Run("few signatures: a process each; from the fourth on, one for all", func(t *testing.T) {
		m, record := sessions(t, Options{}, script)
		pool := m.NewPool()
		for range 6 {
			ask(t, pool, 1)
		}
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
		if got := described(t, record); len(got) != 6 || got[0] != 0 || got[2] != 0 || got[3] == 0 || got[4] != got[3] || got[5] != got[3] {
			t.Errorf("processes %v", got)
		}
	})
	t.Run("many signatures announced: one from the start, also for many at once", func(t *testing.T) {
		m, record := sessions(t, Options{}, script)
		pool := m.NewPool()
		var running sync.WaitGroup
		for range 8 {
			running.Go(func() { ask(t, pool, SessionWorth) })
		}
		running.Wait()
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
		got := described(t, record)
		for _, pid := range got {
			if pid == 0 || pid != got[0] {
				t.Errorf("processes %v", got)
			}
		}
	})
	t.Run("closed, nothing is left", func(t *testing.T) {
		m, _ := sessions(t, Options{}, script)
		pool := m.NewPool()
		client, err := pool.GetFor(t.Context(), "x", SessionWorth)
		if err != nil {
			t.Fatal(err)
		}
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
		if _, err := client.GetMetadata(t.Context(), nil); err == nil {
			t.Error("a call of a session that has ended")
		}
	})
	t.Run("who waits for a plugin that another opens gives up in time, and waits for no other plugin", func(t *testing.T) {
		m, _ := sessions(t, Options{}, script)
		pool := m.NewPool()
		defer pool.Close()
		var once sync.Once
		m.step = func(step string) {
			if step != "about to run" {
				return
			}
			once.Do(func() {
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if _, err := pool.GetFor(ctx, "x", SessionWorth); !errors.Is(err, context.Canceled) {
					t.Error("a caller who gave up:", err)
				}
				if _, err := pool.GetFor(t.Context(), "y", SessionWorth); err == nil || errors.Is(err, context.Canceled) {
					t.Error("a plugin that is not there:", err)
				}
			})
		}
		ask(t, pool, SessionWorth)
		once.Do(func() { t.Error("the plugin did not run") })
	})
	t.Run("a plugin that is not there", func(t *testing.T) {
		m, _ := sessions(t, Options{}, script)
		pool := m.NewPool()
		defer pool.Close()
		for _, signatures := range []int{1, SessionWorth} {
			if _, err := pool.GetFor(t.Context(), "y", signatures); err == nil {
				t.Error("no error")
			}
		}
	})
}
