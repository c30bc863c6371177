package artifact

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// Probe is what a registry answered to the question whether it is there.
type Probe struct {
	// Status is the HTTP status of its base endpoint (distribution-spec,
	// "Determining Support") without credentials: 401 where it wants to see some.
	Status int
	// Date is the registry's clock, to the second; zero when it does not tell.
	Date time.Time
	// Plain tells that it was spoken to without TLS.
	Plain bool
	// Credential tells that there is a credential for it. It is looked for only when
	// Status is 401.
	Credential bool
	// Denied says why the credential cannot be read or is not taken; nil when it is
	// taken, and when there is none.
	Denied error
}

// Probe asks a registry's base endpoint, and once more with what there is to log
// in with when it wants that. Errors are a [*RegistryError] when there is no answer,
// and that the name is not a registry's.
func (c *Client) Probe(ctx context.Context, registry string) (*Probe, error) {
	target, ref, err := c.target(registry)
	if err != nil {
		return nil, err
	}
	probe := &Probe{Plain: target.PlainHTTP}
	base := url.URL{Scheme: "https", Host: ref.Host(), Path: "/v2/"}
	if probe.Plain {
		base.Scheme = "http"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header = c.base.Header.Clone()
	response, err := c.base.Client.Do(request)
	if err != nil {
		return nil, registryError(ref.Host(), "ask whether it is there", err)
	}
	defer response.Body.Close()
	io.Copy(io.Discard, io.LimitReader(response.Body, maxMetadataSize)) // so that the connection is used again
	probe.Status = response.StatusCode
	probe.Date, _ = http.ParseTime(response.Header.Get("Date"))
	if probe.Status != http.StatusUnauthorized || c.base.Credential == nil {
		return probe, nil
	}
	credential, err := c.base.Credential(ctx, ref.Host())
	probe.Credential = err != nil || credential != auth.EmptyCredential
	if err != nil {
		probe.Denied = err
		return probe, nil
	}
	if probe.Credential {
		c.mu.Lock()
		target.Client = c.host(ref)
		c.mu.Unlock()
		if err := target.Ping(ctx); err != nil {
			probe.Denied = registryError(ref.Host(), "check the credentials", err)
		}
	}
	return probe, nil
}

// target is a registry as a whole, without a client yet, by its host's name.
func (c *Client) target(name string) (*remote.Registry, Reference, error) {
	target, err := remote.NewRegistry(name)
	if err != nil {
		return nil, Reference{}, errors.New("it is not a registry: give a host name, with a port if need be")
	}
	c.once.Do(c.start)
	target.PlainHTTP = c.plain(name)
	return target, Reference{Registry: name}, nil
}
