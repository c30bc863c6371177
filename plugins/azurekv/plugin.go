// Package azurekv signs with keys and certificates of Azure Key Vault and with
// keys of Azure Managed HSM. README.md says how it is used.
package azurekv

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// Options says what the plugin may reach; the zero value works. The environment
// is not among them: azidentity reads that of the process by itself.
type Options struct {
	// HTTP sends the requests to vaults and for tokens; nil means a client of its
	// own, with the proxy that the environment names and the system's CAs.
	HTTP *http.Client
	// Now is the clock by which opened keys age; nil means time.Now.
	Now func() time.Time
}

// New makes the plugin. Nothing is connected to before the first key is asked
// for.
func New(options Options) protocol.Plugin {
	if options.HTTP == nil {
		options.HTTP = newHTTPClient()
	}
	v := &vaults{options: options, known: map[vaultID]*vault{}}
	return signer.New(signer.Options{
		Metadata: protocol.Metadata{
			Name:        "azurekv",
			Description: "Signs with keys of Azure Key Vault and Managed HSM",
			Version:     pluginVersion,
			URL:         "https://github.com/signet-project/signet/tree/main/plugins/azurekv",
		},
		Open: v.open,
		Now:  options.Now,
	})
}

const pluginVersion = "1.0.0"

// vaults are the vaults in use, so that their keys share connections and logins.
type vaults struct {
	options Options

	mu    sync.Mutex
	known map[vaultID]*vault
}

// vaultID is a vault as one credential sees it.
type vaultID struct {
	url      string
	settings settings
}

const maxVaults = 64

// open reads what the key id names.
func (vs *vaults) open(ctx context.Context, keyID string, config map[string]string) (signer.Key, error) {
	name, err := parseKeyID(keyID)
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeValidation, "key id %q: %w", keyID, err)
	}
	settings, err := readSettings(config)
	if err != nil {
		return nil, err
	}
	v, err := vs.vault(name, settings)
	if failed, ok := errors.AsType[*loginError](err); ok {
		return nil, failed.answer("read key " + keyID)
	}
	if err != nil {
		return nil, err
	}
	if name.kind == kindCertificate {
		return v.readCertificate(ctx, keyID, name)
	}
	return v.readKey(ctx, keyID, name, name.version)
}

func (vs *vaults) vault(name keyName, settings settings) (*vault, error) {
	id := vaultID{name.vaultURL(), settings}
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if v := vs.known[id]; v != nil {
		return v, nil
	}
	v, err := newVault(name, settings, vs.options)
	if err != nil {
		return nil, err
	}
	if len(vs.known) >= maxVaults {
		clear(vs.known)
	}
	vs.known[id] = v
	return v, nil
}
