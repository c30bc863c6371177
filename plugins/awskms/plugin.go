// Package awskms signs with asymmetric keys of AWS Key Management Service.
// README.md says how it is used.
package awskms

import (
	"context"
	"sync"
	"time"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// version is that of the plugin; requests carry it in their user agent.
const version = "1.0.0"

// Options says what the plugin may reach; the zero value works. The AWS SDK
// reads environment, shared files and clock by itself.
type Options struct {
	// Now is the clock by which opened keys age; nil means time.Now.
	Now func() time.Time
}

// New makes the plugin. Nothing is connected to before the first key is asked
// for.
func New(options Options) protocol.Plugin {
	s := &services{known: map[settings]*service{}}
	return signer.New(signer.Options{
		Metadata: protocol.Metadata{
			Name:        "awskms",
			Description: "Signs with keys of AWS Key Management Service",
			Version:     version,
			URL:         "https://github.com/signet-project/signet/tree/main/plugins/awskms",
		},
		Open: s.open,
		Now:  options.Now,
	})
}

// services are those in use, by settings, so that keys with the same settings
// share connections and credentials.
type services struct {
	mu    sync.Mutex
	known map[settings]*service
}

const maxServices = 64

// open reads key id and configuration; the key itself is read when it is needed.
func (ss *services) open(ctx context.Context, keyID string, config map[string]string) (signer.Key, error) {
	id, err := parseKeyID(keyID)
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeValidation, "key id %q: %w", keyID, err)
	}
	settings, err := readSettings(config, id.region)
	if err != nil {
		return nil, err
	}
	service, err := ss.service(ctx, settings)
	if err != nil {
		return nil, err
	}
	return &key{
		service: service,
		id:      keyID,
		denied:  func() { ss.forget(settings, service) },
	}, nil
}

func (ss *services) service(ctx context.Context, of settings) (*service, error) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if s := ss.known[of]; s != nil {
		return s, nil
	}
	s, err := connect(ctx, of)
	if err != nil {
		return nil, err
	}
	if len(ss.known) >= maxServices {
		clear(ss.known)
	}
	ss.known[of] = s
	return s, nil
}

// forget makes the next key with these settings look for credentials anew.
func (ss *services) forget(of settings, s *service) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.known[of] == s {
		delete(ss.known, of)
	}
}
