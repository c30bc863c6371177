package cli

import (
	"cmp"
	"context"
	"crypto/x509"
	"net/http"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/host/netclient"
	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/host/revocation"
)

// settings reads config.json, once a run.
func (a *app) settings() (*config.Settings, error) {
	if a.loaded != nil {
		return a.loaded, nil
	}
	settings, err := config.LoadSettings(a.dirs.Config)
	if err == nil {
		a.loaded = settings
	}
	return settings, err
}

// network returns the settings and, made once a run, the way to every server: through
// the proxies of the environment, trusting the organisation's certificate authorities.
func (a *app) network() (*config.Settings, *http.Client, error) {
	settings, err := a.settings()
	if err == nil && a.http == nil {
		a.http, err = a.newClient(settings, netclient.Certificate{})
	}
	return settings, a.http, err
}

// newClient makes an HTTP client by the settings and --ca-file.
func (a *app) newClient(settings *config.Settings, certificate netclient.Certificate) (*http.Client, error) {
	options := netclient.Options{Env: a.getenv, CAFile: cmp.Or(a.caFile, settings.CAFile), Certificate: certificate, Hosts: map[string]netclient.Host{}}
	for name, registry := range settings.Registries {
		options.Hosts[name] = netclient.Host{
			CAFile:      registry.CAFile,
			Certificate: netclient.Certificate{CertFile: registry.CertFile, KeyFile: registry.KeyFile},
		}
	}
	client, err := netclient.New(options)
	if err != nil {
		return nil, err
	}
	if a.debug {
		client.Transport = artifact.NewLogTransport(client.Transport, a.log())
	}
	return client, nil
}

// revocationChecker is shared by all verifications of a run.
func (a *app) revocationChecker() (*revocation.Checker, error) {
	if a.revocation != nil {
		return a.revocation, nil
	}
	settings, client, err := a.network()
	if err != nil {
		return nil, err
	}
	a.revocation = &revocation.Checker{
		HTTPClient:  client,
		OCSPTimeout: settings.OCSPTimeout.Duration(),
		CRLTimeout:  settings.CRLTimeout.Duration(),
		MaxAge:      settings.RevocationMaxAge.Duration(),
		Cache:       &revocation.FileCache{Dir: a.dirs.CRLCache()},
		UserAgent:   a.userAgent(),
		Warn: func(error) {
			a.warnf("CRL cache error discarded. Enable debug log through '-d' for error details.")
		},
		Now:    a.Now,
		Logger: a.log(),
	}
	return a.revocation, nil
}

// checkAuthority judges the chain of a timestamp authority while signing.
func (a *app) checkAuthority(ctx context.Context, chain []*x509.Certificate) error {
	checker, err := a.revocationChecker()
	if err != nil {
		return err
	}
	return checker.Check(ctx, revocation.Request{Chain: chain, Purpose: pki.Timestamping}).Err()
}
