package artifact

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
	"oras.land/oras-go/v2/registry/remote/retry"
)

// maxReferrerPages bounds the pages of a referrers list.
const maxReferrerPages = 1000

// manifestTypes are accepted when a reference is resolved (REG-04).
var manifestTypes = []string{
	"application/vnd.docker.distribution.manifest.v2+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
	ocispec.MediaTypeImageManifest,
	ocispec.MediaTypeImageIndex,
	mediaTypeArtifactManifest,
}

// Client holds what all registries of one run share: connections, tokens,
// credentials. Its zero value speaks HTTPS without credentials. It may be used
// by several goroutines at once and must not be copied.
type Client struct {
	// Transport carries the requests; nil means http.DefaultTransport. Failed
	// requests are repeated on top of it (REG-18).
	Transport http.RoundTripper
	// Credentials finds what to log in with; nil means nothing.
	Credentials auth.CredentialFunc
	// PlainHTTP tells which registries (host:port) are spoken to without TLS;
	// nil means localhost alone (see IsLocalhost).
	PlainHTTP func(registry string) bool
	// UserAgent names the program.
	UserAgent string
	// Warn receives what is worth telling but no failure; nil means nowhere.
	Warn func(message string)

	once   sync.Once
	shared *auth.Client
}

// IsLocalhost tells whether a registry is localhost with a port, which is
// spoken to by plain HTTP (REG-03).
func IsLocalhost(registry string) bool {
	host, _, err := net.SplitHostPort(registry)
	return err == nil && host == "localhost"
}

// RegistryError is the failure of a registry operation.
type RegistryError struct {
	// Op says what was being done, such as "resolve reg.io/app:v1".
	Op string
	// Status is the HTTP status, or 0 when there was no response.
	Status int
	// Message holds the registry's own words, if any.
	Message string
	Err     error
}

func (e *RegistryError) Error() string {
	switch {
	case e.Status == 0:
		return fmt.Sprintf("failed to %s: %v", e.Op, e.Err)
	case e.Message == "":
		return fmt.Sprintf("failed to %s: the registry answered with HTTP status %d %s", e.Op, e.Status, http.StatusText(e.Status))
	}
	return fmt.Sprintf("failed to %s: the registry answered with HTTP status %d %s: %q", e.Op, e.Status, http.StatusText(e.Status), e.Message)
}

// Unwrap returns the client's error.
func (e *RegistryError) Unwrap() error { return e.Err }

func registryError(op string, err error) error {
	if err == nil {
		return nil
	}
	wrapped := &RegistryError{Op: op, Err: err}
	if response, ok := errors.AsType[*errcode.ErrorResponse](err); ok {
		wrapped.Status = response.StatusCode
		if len(response.Errors) > 0 {
			wrapped.Message = response.Errors.Error()
		}
	}
	return wrapped
}

// remoteRepository is a Repository in a registry.
type remoteRepository struct {
	name string
	repo *remote.Repository
	warn func(string)
}

// OpenOptions change how a repository in a registry is used.
type OpenOptions struct {
	// ForceReferrersTag stores signatures by the referrers tag schema, whatever
	// the registry can do (MAN-15).
	ForceReferrersTag bool
}

// Open returns the repository that ref is in. Nothing is sent yet.
func (c *Client) Open(ref Reference, opts OpenOptions) (Repository, error) {
	repo := &remote.Repository{
		Client:               c.auth(ref.Registry),
		Reference:            registry.Reference{Registry: ref.Registry, Repository: ref.Repository},
		PlainHTTP:            c.plain(ref.Registry),
		ManifestMediaTypes:   manifestTypes,
		MaxMetadataBytes:     4 << 20,
		ReferrerListMaxPages: maxReferrerPages,
	}
	if opts.ForceReferrersTag {
		if err := repo.SetReferrersCapability(false); err != nil {
			return nil, err
		}
	}
	warn := c.Warn
	if warn == nil {
		warn = func(string) {}
	}
	return &remoteRepository{name: ref.Name(), repo: repo, warn: warn}, nil
}

func (c *Client) plain(name string) bool {
	if c.PlainHTTP != nil {
		return c.PlainHTTP(name)
	}
	return IsLocalhost(name)
}

// auth returns the authenticating client; one for all registries, so that
// tokens and connections are shared. A token service on the loopback interface
// is believed only when the registry itself is there.
func (c *Client) auth(name string) *auth.Client {
	c.once.Do(func() {
		base := c.Transport
		if base == nil {
			base = http.DefaultTransport
		}
		c.shared = &auth.Client{
			Client:     &http.Client{Transport: retry.NewTransport(base), CheckRedirect: checkRedirect},
			Cache:      auth.NewCache(),
			ClientID:   "notation",
			Credential: c.Credentials,
		}
		if c.UserAgent != "" {
			c.shared.SetUserAgent(c.UserAgent)
		}
	})
	if !isLoopback(name) {
		return c.shared
	}
	local := *c.shared
	local.BlockedRealmPrefixes = []netip.Prefix{}
	return &local
}

func isLoopback(registry string) bool {
	host, _, err := net.SplitHostPort(registry)
	if err != nil {
		host = registry
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && address.IsLoopback()
}

// checkRedirect bounds redirects and refuses to leave TLS (REG-16). Go's client
// itself drops the Authorization header when the host changes.
func checkRedirect(request *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	if via[0].URL.Scheme == "https" && request.URL.Scheme != "https" {
		return fmt.Errorf("the registry redirects from https to %s, which is refused", request.URL.Scheme)
	}
	return nil
}

func (r *remoteRepository) Resolve(ctx context.Context, reference string) (ocispec.Descriptor, error) {
	desc, err := r.repo.Resolve(ctx, reference)
	if err != nil {
		return ocispec.Descriptor{}, registryError("resolve "+joinReference(r.name, reference), err)
	}
	if IsDigest(reference) && desc.Digest.String() != reference {
		return ocispec.Descriptor{}, fmt.Errorf("user input digest %s does not match the resolved digest %s", reference, desc.Digest)
	}
	return desc, nil
}

func joinReference(name, reference string) string {
	if IsDigest(reference) {
		return name + "@" + reference
	}
	return name + ":" + reference
}

// errStop ends a listing whose reader wants no more.
var errStop = errors.New("stop")

func (r *remoteRepository) Signatures(ctx context.Context, subject ocispec.Descriptor) iter.Seq2[ocispec.Descriptor, error] {
	return func(yield func(ocispec.Descriptor, error) bool) {
		err := r.repo.Referrers(ctx, subject, TypeSignature, func(page []ocispec.Descriptor) error {
			for _, desc := range page {
				if isSignature(desc) && !yield(desc, nil) {
					return errStop
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(ocispec.Descriptor{}, registryError("list the signatures of "+joinReference(r.name, subject.Digest.String()), err))
		}
	}
}

func (r *remoteRepository) FetchSignature(ctx context.Context, manifest, subject ocispec.Descriptor) (*Signature, error) {
	return fetchSignature(ctx, r.repo.Manifests(), r.repo.Blobs(), manifest, subject)
}

// indexGC is the text of MAN-16.
const indexGC = "Removal of outdated referrers index from remote registry failed. Garbage collection may be required."

// PushSignature stores the signature; where the registry has no Referrers API,
// the index at the fallback tag is brought up to date too. That the index it
// replaces cannot be removed is no failure (MAN-16).
func (r *remoteRepository) PushSignature(ctx context.Context, request PushRequest) (ocispec.Descriptor, error) {
	desc, err := pushSignature(ctx, r.repo.Blobs(), r.repo.Manifests(), request)
	if cleanup, ok := errors.AsType[*remote.ReferrersError](err); ok && cleanup.IsReferrersIndexDelete() {
		desc, _, err = newManifest(request)
		r.warn(indexGC)
	}
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("failed to push signature to registry with error: %w", registryError("push", err))
	}
	return desc, nil
}

// Registry returns a registry to log in to.
func (c *Client) Registry(name string) (*remote.Registry, error) {
	reg, err := remote.NewRegistry(name)
	if err != nil {
		return nil, fmt.Errorf("%q is not a registry: give a host name, with a port if need be", name)
	}
	client := *c.auth(name)
	client.Credential = nil
	reg.Client, reg.PlainHTTP = &client, c.plain(name)
	return reg, nil
}

// DescribeError words an error of the registry client: what was being done, the
// HTTP status and the registry's own words.
func DescribeError(op string, err error) error { return registryError(op, err) }
