// Package vault signs with keys of the transit engine of HashiCorp Vault and
// OpenBao. README.md says how it is used.
package vault

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// Options says what the plugin may reach; the zero value works.
type Options struct {
	// Getenv reads the environment, as os.Getenv; nil means that it is empty.
	Getenv func(name string) string
	// Now is the clock by which tokens expire; nil means time.Now.
	Now func() time.Time
}

// New makes the plugin. Nothing is connected to before the first key is asked
// for.
func New(options Options) protocol.Plugin {
	if options.Getenv == nil {
		options.Getenv = func(string) string { return "" }
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	s := &servers{options: options, known: map[string]*server{}}
	return signer.New(signer.Options{
		Metadata: protocol.Metadata{
			Name:        "vault",
			Description: "Signs with transit keys of HashiCorp Vault and OpenBao",
			Version:     "1.0.0",
			URL:         "https://github.com/signet-project/signet/tree/main/plugins/vault",
		},
		Open: s.open,
		Now:  options.Now,
	})
}

// servers are the servers in use, by plugin configuration, so that keys with the
// same configuration share connections and a login.
type servers struct {
	options Options

	mu    sync.Mutex
	known map[string]*server
}

const maxServers = 64

// open reads key id and configuration; the key itself is read when it is needed.
func (ss *servers) open(_ context.Context, keyID string, config map[string]string) (signer.Key, error) {
	path, err := parseKeyID(keyID)
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeValidation, "key id %q: %w", keyID, err)
	}
	s, err := ss.server(config)
	if err != nil {
		return nil, err
	}
	return &key{server: s, id: keyID, path: path, turn: semaphore.NewWeighted(1), ownChain: config[signer.ConfigCertificateChain] == ""}, nil
}

func (ss *servers) server(config map[string]string) (*server, error) {
	id, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if s := ss.known[string(id)]; s != nil {
		return s, nil
	}
	settings, err := readSettings(config, ss.options.Getenv)
	if err != nil {
		return nil, err
	}
	s, err := newServer(settings, ss.options.Now)
	if err != nil {
		return nil, err
	}
	if len(ss.known) >= maxServers {
		clear(ss.known)
	}
	ss.known[string(id)] = s
	return s, nil
}
