package doctor

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/host/internal/wholefile"
	"github.com/signet-project/signet/host/pki"
)

// keys examines the key list. No plugin is asked for its keys: that may need the
// network.
func (e *examination) keys() {
	keys, err := config.NewSigningKeys(e.Dirs.Config).Load()
	if err != nil {
		e.add(Keys, Broken, "signingkeys.json", err.Error(), remedyFor(err, "mend the file in "+e.Dirs.Config))
		return
	}
	if len(keys.Keys) == 0 {
		e.add(Keys, Note, "signingkeys.json", "there is no signing key", fmt.Sprintf("to sign, run: %s key add, or for a try: %s cert generate-test", e.Program, e.Program))
		return
	}
	if keys.Default == "" {
		e.add(Keys, Note, "signingkeys.json", "no key is the default, so that --key is needed to sign", fmt.Sprintf("to choose one, run: %s key update --default <name>", e.Program))
	}
	for _, key := range keys.Keys {
		if key.Local() {
			e.localKey(key)
		} else {
			e.pluginKey(key)
		}
	}
}

func (e *examination) pluginKey(key config.Key) {
	if !slices.Contains(e.installed, key.PluginName) {
		e.add(Keys, Broken, key.Name, fmt.Sprintf("its plugin %s is not installed", key.PluginName), fmt.Sprintf("run: %s plugin install, or if the key is not used any more: %s key delete %s", e.Program, e.Program, quoted(key.Name)))
		return
	}
	e.add(Keys, OK, key.Name, fmt.Sprintf("key %s of plugin %s; whether the plugin finds it tells: %s key describe %s", key.ID, key.PluginName, e.Program, quoted(key.Name)), "")
}

// localKey examines a pair of files.
func (e *examination) localKey(key config.Key) {
	chain, err := loadPair(key)
	if err != nil {
		e.add(Keys, Broken, key.Name, err.Error(), remedyFor(err, fmt.Sprintf("put the file back, or delete the entry and add the key anew: %s key delete %s", e.Program, quoted(key.Name))))
		return
	}
	e.secret(Keys, key.KeyPath, "the private key "+key.Name)
	if err := pki.CheckChain(chain, pki.CodeSigning); err != nil {
		e.add(Keys, Broken, key.Name, fmt.Sprintf("its certificate chain cannot be used to sign: %v", err), "put the whole chain into "+key.CertPath+", the signing certificate first and the root last")
		return
	}
	renew := "get a new certificate for the key and put it with its chain into " + key.CertPath
	now := e.Now()
	if err := pki.CheckValidity(chain, now); err != nil {
		e.add(Keys, Broken, key.Name, err.Error(), renew)
		return
	}
	for _, cert := range chain {
		if endsSoon(cert, now) {
			e.add(Keys, Warning, key.Name, fmt.Sprintf("of its certificate chain, %s expires on %s", shown(cert), day(cert.NotAfter)), renew)
			return
		}
	}
	e.add(Keys, OK, key.Name, fmt.Sprintf("key and certificate chain fit together and are valid until %s", firstExpiry(chain).UTC().Format(time.RFC3339)), "")
}

// loadPair reads a private key with its chain and holds them together.
func loadPair(key config.Key) ([]*x509.Certificate, error) {
	if key.KeyPath == "" || key.CertPath == "" {
		return nil, errors.New("its entry names no plugin, and not both a key file and a certificate file")
	}
	data, err := wholefile.Read(key.KeyPath, maxFileSize)
	if err != nil {
		return nil, fmt.Errorf("its key file %s cannot be read: %w", key.KeyPath, reason(err))
	}
	private, err := pki.ParsePrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("its key file %s cannot be used: %w", key.KeyPath, err)
	}
	if data, err = wholefile.Read(key.CertPath, maxFileSize); err != nil {
		return nil, fmt.Errorf("its certificate file %s cannot be read: %w", key.CertPath, reason(err))
	}
	chain, err := pki.ParseCertificateChain(data)
	if err != nil {
		return nil, fmt.Errorf("its certificate file %s cannot be used: %w", key.CertPath, err)
	}
	if err := pki.CheckKeyPair(private, chain[0]); err != nil {
		return nil, err
	}
	return chain, nil
}

// firstExpiry is when the first of the certificates ends to be valid.
func firstExpiry(certs []*x509.Certificate) time.Time {
	first := certs[0].NotAfter
	for _, cert := range certs {
		if cert.NotAfter.Before(first) {
			first = cert.NotAfter
		}
	}
	return first
}

func shown(cert *x509.Certificate) string { return pki.DisplayName(cert.RawSubject) }
