// Package pkcs11 signs with keys on PKCS #11 tokens: HSMs, smart cards, and
// software tokens such as SoftHSM. README.md says how it is used.
//
// The module of a token is native code, so a build without cgo answers every
// request but get-plugin-metadata with an error that says so.
package pkcs11

import (
	"cmp"
	"context"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// Plugin configuration, besides signer.ConfigCertificateChain.
const (
	// ConfigModulePath names the PKCS #11 module where the key id doesn't.
	ConfigModulePath = "module_path"
	// ConfigPINSource names the file of the PIN where the key id doesn't.
	ConfigPINSource = "pin_source"
)

// Environment variables.
const (
	// EnvModulePath names the module where neither key id nor configuration do.
	EnvModulePath = "PKCS11_MODULE_PATH"
	// EnvPIN holds the user PIN where no file is named.
	EnvPIN = "PKCS11_PIN"
)

// Options says what the plugin may reach; the zero value is a plugin without an
// environment and without anybody to ask.
type Options struct {
	// Getenv reads the environment, as os.Getenv; nil means that it is empty.
	Getenv func(name string) string
	// Ask shows prompt to the user and returns the PIN entered, or ErrNoTerminal;
	// nil means that nobody can be asked. See AskOnTerminal.
	Ask func(ctx context.Context, prompt string) (pin string, err error)
	// LockDir is a directory in which the processes of one user wait for one
	// another to log in to a token, so that they never spend several tries of a
	// wrong PIN at once; "" does without.
	LockDir string
}

// Plugin signs with keys on tokens.
type Plugin struct {
	*signer.Plugin
	options Options
	modules modules
}

// New makes the plugin. Nothing is loaded before the first key is asked for.
func New(options Options) *Plugin {
	if options.Getenv == nil {
		options.Getenv = func(string) string { return "" }
	}
	p := &Plugin{options: options}
	p.Plugin = signer.New(signer.Options{
		Metadata: protocol.Metadata{
			Name:        "pkcs11",
			Description: "Signs with keys on PKCS #11 tokens: HSMs and smart cards",
			Version:     "1.0.0",
			URL:         "https://github.com/signet-project/signet/tree/main/plugins/pkcs11",
		},
		Open: p.openKey,
	})
	return p
}

// Close logs out and finalises the modules. It waits half a second for calls under
// way to end, and fails, with nothing closed, when one does not; calls made from then
// on fail.
func (p *Plugin) Close() error { return p.modules.close() }

// location is where a key id and its configuration lead.
type location struct {
	keyID  string
	uri    *uri
	module string
	pin    pinSource
}

// locate reads a key id and its configuration.
func (p *Plugin) locate(keyID string, config map[string]string) (*location, error) {
	if err := signer.CheckConfig(config, ConfigModulePath, ConfigPINSource); err != nil {
		return nil, err
	}
	u, err := parseURI(keyID)
	if err != nil { // the key id may hold a PIN: it is not repeated
		return nil, protocol.Errorf(protocol.CodeValidation, "key id: %w", err)
	}
	l := &location{
		keyID:  keyID,
		uri:    u,
		module: cmp.Or(u.modulePath, config[ConfigModulePath], p.options.Getenv(EnvModulePath)),
		pin:    pinSource{options: p.options, file: cmp.Or(u.pinSource, config[ConfigPINSource])},
	}
	if l.module == "" {
		return nil, protocol.Errorf(protocol.CodeValidation,
			"key %s: no PKCS #11 module is named: add ?module-path=… to the key id, or set plugin config %s or %s", keyID, ConfigModulePath, EnvModulePath)
	}
	return l, nil
}

func (p *Plugin) openKey(ctx context.Context, keyID string, config map[string]string) (signer.Key, error) {
	l, err := p.locate(keyID, config)
	if err != nil {
		return nil, err
	}
	return p.modules.open(ctx, l)
}
