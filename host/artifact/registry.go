package artifact

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// manifestTypes are accepted when a reference is resolved (REG-04).
var manifestTypes = []string{
	mediaTypeDockerManifest,
	mediaTypeDockerManifestList,
	ocispec.MediaTypeImageManifest,
	ocispec.MediaTypeImageIndex,
	mediaTypeArtifactManifest,
}

// maxRemembered bounds the repositories, and the registries, that a Client remembers.
const maxRemembered = 1000

// Client holds what all registries of one run share: connections, tokens,
// credentials, and what was learned about each registry. Its zero value speaks
// HTTPS without credentials. It may be used by several goroutines at once and must not
// be copied, nor changed after its first use.
//
// A Client may live as long as a service does: it remembers at most 1000 repositories.
// When there is one more, it forgets all of them, and the tokens and what it learned
// about registries as well. Repositories that were opened before go on working.
type Client struct {
	// Transport carries the requests; nil means http.DefaultTransport. That of a client
	// of package netclient knows an organisation's authorities and has tighter bounds.
	// Failed requests are repeated on top of it (REG-18).
	Transport http.RoundTripper
	// Credentials finds what to log in to a host with, such as [CredentialStore.Get];
	// nil means nothing.
	Credentials func(ctx context.Context, host string) (Credential, error)
	// PlainHTTP tells which registries (host:port, as the user wrote it) are spoken
	// to without TLS; nil means localhost alone, see [IsLocalhost].
	PlainHTTP func(registry string) bool
	// UserAgent names the program; empty means "signet".
	UserAgent string
	// LockDir is a directory, made when it is missing, for the lock files by which
	// processes of this machine take turns at a referrers tag (MAN-15); empty means
	// that they don't.
	LockDir string
	// Warn is told, a sentence each and each one once, what is worth knowing but no
	// failure, such as what a registry warns of. It may be called by several
	// goroutines at once; nil means nobody is told.
	Warn func(message string)

	once         sync.Once
	base         *auth.Client
	retry        *retryPolicy // tests shorten its waits
	mu           sync.Mutex
	hosts        map[string]*hostClient
	repositories map[repositoryKey]*remoteRepository
	warned       map[string]bool
	tagTurns     func() *tagTurns
}

type repositoryKey struct {
	name string
	opts OpenOptions
}

// OpenOptions change how a repository in a registry is used.
type OpenOptions struct {
	// ForceReferrersTag stores signatures by the referrers tag schema, whatever
	// the registry can do (MAN-15).
	ForceReferrersTag bool
}

// IsLocalhost tells whether a registry is localhost with a port, which is
// spoken to by plain HTTP (REG-03).
func IsLocalhost(registry string) bool {
	host, _, err := net.SplitHostPort(registry)
	return err == nil && host == "localhost"
}

// Open returns the repository that ref is in. Nothing is sent yet.
func (c *Client) Open(ref Reference, opts OpenOptions) (Storage, error) {
	base := registry.Reference{Registry: ref.Registry, Repository: ref.Repository}
	if err := base.Validate(); err != nil {
		return nil, fmt.Errorf("%q does not name a repository in a registry", ref.Name())
	}
	c.once.Do(c.start)
	key := repositoryKey{ref.Name(), opts}
	c.mu.Lock()
	defer c.mu.Unlock()
	if opened, ok := c.repositories[key]; ok {
		return opened, nil
	}
	if len(c.repositories) >= maxRemembered {
		clear(c.repositories)
		clear(c.hosts) // which have tokens for each of their repositories
	}
	host := c.host(ref)
	repo := &remoteRepository{
		name:     ref.Name(),
		host:     ref.Host(),
		client:   host,
		forceTag: opts.ForceReferrersTag,
		warn:     c.warn,
		backoff:  c.retry.backoff,
		sleep:    sleep,
		lockDir:  c.LockDir,
		tagTurns: c.tagTurns,
	}
	repo.open = func(client remote.Client) *remote.Repository {
		return &remote.Repository{
			Client:               client,
			Reference:            base,
			PlainHTTP:            c.plain(ref.Registry),
			ManifestMediaTypes:   manifestTypes,
			MaxMetadataBytes:     maxMetadataSize,
			ReferrerListMaxPages: maxReferrerPages,
			HandleWarning: func(w remote.Warning) {
				c.warn(fmt.Sprintf("The registry %s says: %s", ref.Registry, oneLine(w.Text)))
			},
		}
	}
	repo.repo = repo.open(host)
	repo.listing = repo.open(&signatureQuery{host})
	repo.transfer = repo.open(host.patient(transferTimeout))
	c.repositories[key] = repo
	return repo, nil
}

// host returns the client for a registry's host. It is called with c.mu held.
func (c *Client) host(ref Reference) *hostClient {
	if known := c.hosts[ref.Registry]; known != nil {
		return known
	}
	if len(c.hosts) >= maxRemembered {
		clear(c.hosts)
	}
	base := *c.base
	base.Cache = auth.NewCache()
	c.hosts[ref.Registry] = newHostClient(ref.Host(), &base)
	return c.hosts[ref.Registry]
}

func (c *Client) start() {
	transport := c.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	if c.retry == nil {
		c.retry = newRetryPolicy()
	}
	c.base = &auth.Client{
		Client:     newHTTPClient(transport, c.retry),
		ClientID:   clientID,
		Credential: guardCredentials(c.Credentials, c.plain, c.warn),
	}
	c.base.SetUserAgent(cmp.Or(c.UserAgent, "signet"))
	c.hosts = map[string]*hostClient{}
	c.repositories = map[repositoryKey]*remoteRepository{}
	c.warned = map[string]bool{}
	c.tagTurns = sync.OnceValue(newTagTurns)
}

func (c *Client) plain(name string) bool {
	if c.PlainHTTP != nil {
		return c.PlainHTTP(name)
	}
	return IsLocalhost(name)
}

// warn passes a warning on, unless it was before.
func (c *Client) warn(message string) {
	c.mu.Lock()
	// A registry must not fill our memory with its warnings.
	known := c.warned[message] || len(c.warned) >= 1000
	if !known {
		c.warned[message] = true
	}
	c.mu.Unlock()
	if !known && c.Warn != nil {
		c.Warn(message)
	}
}

// remoteRepository is a [Repository] in a registry.
type remoteRepository struct {
	name, host string
	client     *hostClient
	// repo is for reading, listing for listing signatures; that one learns whether
	// the registry has the Referrers API. transfer is for blobs that may be large.
	repo     *remote.Repository
	listing  *remote.Repository
	transfer *remote.Repository
	open     func(remote.Client) *remote.Repository
	forceTag bool
	warn     func(string)
	backoff  retryBackoff
	sleep    func(context.Context, time.Duration) error
	lockDir  string
	tagTurns func() *tagTurns
	// config is what is known of the config of signature manifests.
	config atomic.Int32
}

var _ Repository = (*remoteRepository)(nil)

// Resolve asks for a manifest's descriptor by HEAD.
func (r *remoteRepository) Resolve(ctx context.Context, reference string) (ocispec.Descriptor, error) {
	if err := checkTagOrDigest(reference); err != nil {
		return ocispec.Descriptor{}, err
	}
	desc, err := r.repo.Manifests().Resolve(ctx, reference)
	if mismatch, ok := errors.AsType[*DigestMismatchError](err); ok {
		return ocispec.Descriptor{}, mismatch
	}
	if err != nil {
		return ocispec.Descriptor{}, registryError(r.host, "resolve "+JoinReference(r.name, reference), err)
	}
	if IsDigest(reference) && desc.Digest.String() != reference {
		return ocispec.Descriptor{}, &DigestMismatchError{Requested: digest.Digest(reference), Resolved: desc.Digest}
	}
	return plain(desc), nil
}

// errStop ends a listing whose reader wants no more.
var errStop = errors.New("stop")

// Signatures asks the Referrers API, or, where there is none, reads the index at
// the referrers tag (MAN-13, MAN-14).
func (r *remoteRepository) Signatures(ctx context.Context, subject ocispec.Descriptor) iter.Seq2[ocispec.Descriptor, error] {
	return func(yield func(ocispec.Descriptor, error) bool) {
		err := r.listing.Referrers(ctx, subject, "", func(page []ocispec.Descriptor) error {
			for _, desc := range page {
				// A registry may claim to have filtered when it has not.
				if isSignature(desc) && !yield(listed(desc), nil) {
					return errStop
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(ocispec.Descriptor{}, registryError(r.host, "list the signatures of "+JoinReference(r.name, subject.Digest.String()), err))
		}
	}
}

// isSignature tells whether a listed manifest is said to be a signature. Some
// registries take the config's media type for the artifact type; then the
// annotation that signatures have tells them from other artifacts.
func isSignature(desc ocispec.Descriptor) bool {
	return desc.ArtifactType == TypeSignature ||
		desc.ArtifactType == ocispec.MediaTypeEmptyJSON && desc.Annotations[AnnotationThumbprints] != ""
}

// signatureQuery asks the Referrers API for signatures alone (MAN-13). What is no
// signature is told by isSignature, which knows more than a comparison of types.
type signatureQuery struct{ client remote.Client }

// Do sends the request. A list is read into memory, so that its connection is free
// while the list is worked through.
func (q *signatureQuery) Do(request *http.Request) (*http.Response, error) {
	// The registry makes the queries for all pages but the first.
	if strings.Contains(request.URL.Path, "/referrers/") && request.URL.RawQuery == "" {
		request = request.Clone(request.Context())
		request.URL.RawQuery = url.Values{"artifactType": {TypeSignature}}.Encode()
	}
	response, err := q.client.Do(request)
	if err != nil || request.Method != http.MethodGet || response.StatusCode != http.StatusOK {
		return response, err
	}
	return response, buffer(response)
}

// buffer reads a list and refuses one that would take much more memory decoded.
func buffer(response *http.Response) error {
	data, err := io.ReadAll(io.LimitReader(response.Body, maxMetadataSize+1))
	response.Body.Close()
	if err != nil {
		return err
	}
	response.Body = io.NopCloser(bytes.NewReader(data))
	return checkDensity(data)
}

// FetchSignature reads one signature.
func (r *remoteRepository) FetchSignature(ctx context.Context, manifest, subject ocispec.Descriptor, reserve Reserve) (*Signature, error) {
	return fetchSignature(ctx, r, manifest, subject, reserve)
}

// Manifests lists the manifests of an index.
func (r *remoteRepository) Manifests(ctx context.Context, index ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	return readMembers(ctx, r, index)
}

func (r *remoteRepository) readManifest(ctx context.Context, what string, target ocispec.Descriptor) ([]byte, error) {
	return r.read(ctx, r.repo.Manifests(), "fetch "+what, target)
}

func (r *remoteRepository) readBlob(ctx context.Context, target ocispec.Descriptor) ([]byte, error) {
	return r.read(ctx, r.repo.Blobs(), "fetch signature envelope", target)
}

func (r *remoteRepository) read(ctx context.Context, from content.Fetcher, op string, target ocispec.Descriptor) ([]byte, error) {
	data, err := fetchAll(ctx, from, target)
	switch {
	case err == nil:
		return data, nil
	case isRegistryFailure(err):
		return nil, registryError(r.host, fmt.Sprintf("%s %s", op, JoinReference(r.name, target.Digest.String())), err)
	case errors.Is(err, errdef.ErrNotFound):
		return nil, ErrNotFound
	}
	return nil, fmt.Errorf("%w: %w", ErrContentMismatch, err)
}

// fetchAll reads what target describes and verifies it (MAN-20).
func fetchAll(ctx context.Context, from content.Fetcher, target ocispec.Descriptor) ([]byte, error) {
	body, err := from.Fetch(ctx, target)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return content.ReadAll(body, target)
}

// PushSignature stores the signature: the envelope, the config, then the
// manifest, so that whoever sees the manifest finds the rest (MAN-18); last,
// where the registry does not do it itself, the index at the referrers tag.
func (r *remoteRepository) PushSignature(ctx context.Context, request PushRequest) (ocispec.Descriptor, error) {
	manifest, err := r.push(ctx, request)
	if err != nil {
		return ocispec.Descriptor{}, &PushError{Err: err}
	}
	return manifest, nil
}

func (r *remoteRepository) push(ctx context.Context, request PushRequest) (ocispec.Descriptor, error) {
	if err := request.check(); err != nil {
		return ocispec.Descriptor{}, err
	}
	envelope := describe(request.MediaType, request.Envelope)
	manifest, data, err := encodeManifest(request, envelope, r.warn)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	ctx = r.toPush(ctx)
	if err := r.repo.Blobs().Push(ctx, envelope, bytes.NewReader(request.Envelope)); err != nil {
		return ocispec.Descriptor{}, r.failure("push the envelope", err)
	}
	if err := r.ensureConfig(ctx); err != nil {
		return ocispec.Descriptor{}, r.failure("push the config", err)
	}
	listed, err := r.pushManifest(ctx, manifest, bytes.NewReader(data))
	if lacksBlob(err) { // the config that was there is gone
		r.config.Store(configMissing)
		if err = r.ensureConfig(ctx); err == nil {
			listed, err = r.pushManifest(ctx, manifest, bytes.NewReader(data))
		}
	}
	if err != nil {
		return ocispec.Descriptor{}, r.failure("push the signature manifest", err)
	}
	if listed && !r.forceTag {
		return manifest, nil
	}
	return manifest, r.addToReferrersTag(ctx, plain(request.Subject), manifest)
}

// toPush asks for one token for all that pushing takes, if the token server wants to know
// what for (REG-07).
func (r *remoteRepository) toPush(ctx context.Context) context.Context {
	return auth.AppendRepositoryScope(ctx, r.repo.Reference, auth.ActionPull, auth.ActionPush)
}

// What is known of the config that the signature manifests of a repository share.
const (
	configUnknown int32 = iota
	configMissing
	configThere
)

// ExpectSignature looks for the config, while the signature is being made.
func (r *remoteRepository) ExpectSignature(ctx context.Context) {
	_ = r.findConfig(r.toPush(ctx))
}

// findConfig finds out whether the config is there, if that is not known.
func (r *remoteRepository) findConfig(ctx context.Context) error {
	if r.config.Load() != configUnknown {
		return nil
	}
	exists, err := r.repo.Blobs().Exists(ctx, emptyConfig)
	switch {
	case err != nil:
		return err
	case exists:
		r.config.Store(configThere)
	default:
		r.config.Store(configMissing)
	}
	return nil
}

// ensureConfig stores the config unless it is there.
func (r *remoteRepository) ensureConfig(ctx context.Context) error {
	if err := r.findConfig(ctx); err != nil || r.config.Load() == configThere {
		return err
	}
	err := r.repo.Blobs().Push(ctx, emptyConfig, bytes.NewReader(emptyConfig.Data))
	if err == nil {
		r.config.Store(configThere)
	}
	return err
}

// lacksBlob tells whether a manifest was refused since what it names is not there.
func lacksBlob(err error) bool {
	response, ok := errors.AsType[*errcode.ErrorResponse](err)
	return ok && slices.ContainsFunc(response.Errors, func(e errcode.Error) bool {
		return e.Code == errcode.ErrorCodeManifestBlobUnknown || e.Code == errcode.ErrorCodeBlobUnknown
	})
}

// pushManifest stores a manifest and tells whether the registry took notice of
// its subject, which is to say that it has the Referrers API (MAN-15).
func (r *remoteRepository) pushManifest(ctx context.Context, manifest ocispec.Descriptor, data io.Reader) (bool, error) {
	watch := &subjectWatch{client: r.client}
	err := r.writer(watch).Manifests().Push(ctx, manifest, data)
	return watch.seen, err
}

// writer returns a repository that stores and deletes manifests and does
// nothing else: keeping the index at the referrers tag is up to us.
func (r *remoteRepository) writer(client remote.Client) *remote.Repository {
	repo := r.open(client)
	// With the Referrers API, oras leaves the index alone. Setting this fails only where
	// it has been set to something else before.
	_ = repo.SetReferrersCapability(true)
	return repo
}

// subjectWatch looks out for the header that acknowledges a manifest's subject.
type subjectWatch struct {
	client remote.Client
	seen   bool
}

// Do sends the request.
func (w *subjectWatch) Do(request *http.Request) (*http.Response, error) {
	response, err := w.client.Do(request)
	if err == nil && response.Header.Get("OCI-Subject") != "" {
		w.seen = true
	}
	return response, err
}

func (r *remoteRepository) failure(op string, err error) error {
	return registryError(r.host, op+" to "+r.name, err)
}
