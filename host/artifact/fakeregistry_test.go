package artifact

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

// fakeRegistry is a registry in memory that speaks as much of distribution-spec 1.1
// as signatures need, and lacks or breaks of it what a test says.
type fakeRegistry struct {
	server *httptest.Server

	// What the registry can do. Set before the first request.
	referrersAPI  bool
	pageSize      int
	filterHeader  string // value of OCI-Filters-Applied
	filters       bool   // whether it filters by artifact type
	deleteStatus  int    // answer to DELETE instead of deleting
	authorization func(r *http.Request) (challenge string)
	// hook may answer a request itself; it is called with the lock free.
	hook func(w http.ResponseWriter, r *http.Request) bool
	// after is called with the lock free once a request was served.
	after func(r *http.Request)

	mu        sync.Mutex
	blobs     map[string][]byte
	manifests map[string]storedManifest
	tags      map[string]string
	requests  []*http.Request
	uploads   int
}

type storedManifest struct {
	mediaType string
	data      []byte
}

func newFakeRegistry(t testing.TB, change ...func(*fakeRegistry)) *fakeRegistry {
	f := &fakeRegistry{
		referrersAPI: true, filters: true, filterHeader: "artifactType",
		blobs: map[string][]byte{}, manifests: map[string]storedManifest{}, tags: map[string]string{},
	}
	for _, c := range change {
		c(f)
	}
	f.server = httptest.NewServer(f)
	t.Cleanup(f.server.Close)
	return f
}

func withoutReferrersAPI(f *fakeRegistry) { f.referrersAPI = false }

// host is the registry's name; by 127.0.0.1, which is not localhost to REG-03.
func (f *fakeRegistry) host() string { return strings.TrimPrefix(f.server.URL, "http://") }

func (f *fakeRegistry) ref(reference string) Reference {
	return Reference{Registry: f.host(), Repository: "team/app", Reference: reference}
}

// client speaks plain HTTP to the registry and does not wait between attempts.
func (f *fakeRegistry) client(change ...func(*Client)) *Client {
	c := &Client{
		PlainHTTP: func(string) bool { return true },
		retry:     &retryPolicy{now: time.Now, backoff: func(int) time.Duration { return 0 }},
	}
	for _, change := range change {
		change(c)
	}
	return c
}

func (f *fakeRegistry) open(t testing.TB, change ...func(*Client)) Repository {
	t.Helper()
	repo, err := f.client(change...).Open(f.ref(""), OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

// seen lists "METHOD path" of the requests so far, without the repository's prefix.
func (f *fakeRegistry) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for _, r := range f.requests {
		list = append(list, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/v2/team/app"))
	}
	return list
}

func (f *fakeRegistry) count(prefix string) int {
	n := 0
	for _, line := range f.seen() {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

// put stores a manifest, under a tag if there is one.
func (f *fakeRegistry) put(mediaType, tag string, data []byte) ocispec.Descriptor {
	f.mu.Lock()
	defer f.mu.Unlock()
	desc := describe(mediaType, data)
	f.manifests[desc.Digest.String()] = storedManifest{mediaType, data}
	if tag != "" {
		f.tags[tag] = desc.Digest.String()
	}
	return desc
}

func (f *fakeRegistry) putBlob(data []byte) ocispec.Descriptor {
	f.mu.Lock()
	defer f.mu.Unlock()
	desc := describe("application/octet-stream", data)
	f.blobs[desc.Digest.String()] = data
	return desc
}

func (f *fakeRegistry) manifest(d digest.Digest) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.manifests[d.String()].data
}

// tagged returns the index at a tag.
func (f *fakeRegistry) tagged(t testing.TB, tag string) ocispec.Index {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	var index ocispec.Index
	stored, ok := f.manifests[f.tags[tag]]
	if !ok {
		t.Fatalf("no tag %s", tag)
	}
	if err := json.Unmarshal(stored.data, &index); err != nil {
		t.Fatal(err)
	}
	return index
}

func (f *fakeRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, r.Clone(context.WithoutCancel(r.Context())))
	f.mu.Unlock()
	if f.hook != nil && f.hook(w, r) {
		return
	}
	if f.authorization != nil {
		if challenge := f.authorization(r); challenge != "" {
			w.Header().Set("WWW-Authenticate", challenge)
			registryFault(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
			return
		}
	}
	f.serve(w, r)
	if f.after != nil {
		f.after(r)
	}
}

func registryFault(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message)
}

func (f *fakeRegistry) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path, ok := strings.CutPrefix(r.URL.Path, "/v2/")
	if !ok {
		http.NotFound(w, r)
		return
	}
	if path == "" {
		w.WriteHeader(http.StatusOK)
		return
	}
	parts := strings.Split(path, "/")
	last, kind := parts[len(parts)-1], parts[len(parts)-2]
	switch {
	case kind == "manifests":
		f.serveManifest(w, r, last)
	case strings.HasSuffix(path, "/blobs/uploads/") && r.Method == http.MethodPost:
		f.uploads++
		w.Header().Set("Location", fmt.Sprintf("%s%d?_state=upload-secret", r.URL.Path, f.uploads))
		w.WriteHeader(http.StatusAccepted)
	case kind == "uploads" && r.Method == http.MethodPut:
		data, _ := io.ReadAll(r.Body)
		if d := r.URL.Query().Get("digest"); d != digest.FromBytes(data).String() || r.URL.Query().Get("_state") == "" {
			registryFault(w, http.StatusBadRequest, "DIGEST_INVALID", "digest does not match")
			return
		}
		f.blobs[digest.FromBytes(data).String()] = data
		w.WriteHeader(http.StatusCreated)
	case kind == "blobs":
		data, ok := f.blobs[last]
		if !ok {
			registryFault(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown")
			return
		}
		f.content(w, r, "application/octet-stream", last, data)
	case kind == "referrers" && f.referrersAPI:
		f.serveReferrers(w, r, last)
	default:
		http.NotFound(w, r)
	}
}

func (f *fakeRegistry) content(w http.ResponseWriter, r *http.Request, mediaType, d string, data []byte) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Docker-Content-Digest", d)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	if r.Method != http.MethodHead {
		w.Write(data)
	}
}

func (f *fakeRegistry) serveManifest(w http.ResponseWriter, r *http.Request, reference string) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		d := reference
		if tagged, ok := f.tags[reference]; ok {
			d = tagged
		}
		stored, ok := f.manifests[d]
		if !ok {
			registryFault(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
			return
		}
		f.content(w, r, stored.mediaType, d, stored.data)
	case http.MethodPut:
		data, _ := io.ReadAll(r.Body)
		var m struct{ Subject *ocispec.Descriptor }
		if err := json.Unmarshal(data, &m); err != nil {
			registryFault(w, http.StatusBadRequest, "MANIFEST_INVALID", "not JSON")
			return
		}
		d := digest.FromBytes(data).String()
		f.manifests[d] = storedManifest{r.Header.Get("Content-Type"), data}
		if reference != d {
			f.tags[reference] = d
		}
		if f.referrersAPI && m.Subject != nil {
			w.Header().Set("OCI-Subject", m.Subject.Digest.String())
		}
		w.Header().Set("Docker-Content-Digest", d)
		w.WriteHeader(http.StatusCreated)
	case http.MethodDelete:
		if f.deleteStatus != 0 {
			registryFault(w, f.deleteStatus, "UNSUPPORTED", "the operation is unsupported")
			return
		}
		if _, ok := f.manifests[reference]; !ok {
			registryFault(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
			return
		}
		delete(f.manifests, reference)
		for tag, d := range f.tags {
			if d == reference {
				delete(f.tags, tag) // as distribution does
			}
		}
		w.WriteHeader(http.StatusAccepted)
	}
}

func (f *fakeRegistry) serveReferrers(w http.ResponseWriter, r *http.Request, subject string) {
	artifactType := r.URL.Query().Get("artifactType")
	var all []ocispec.Descriptor
	for d, stored := range f.manifests {
		var m struct {
			ArtifactType string
			Config       *ocispec.Descriptor
			Subject      *ocispec.Descriptor
			Annotations  map[string]string
		}
		if json.Unmarshal(stored.data, &m) != nil || m.Subject == nil || m.Subject.Digest.String() != subject {
			continue
		}
		if m.ArtifactType == "" && m.Config != nil {
			m.ArtifactType = m.Config.MediaType
		}
		if f.filters && artifactType != "" && artifactType != m.ArtifactType {
			continue
		}
		all = append(all, ocispec.Descriptor{
			MediaType: stored.mediaType, Digest: digest.Digest(d), Size: int64(len(stored.data)),
			ArtifactType: m.ArtifactType, Annotations: m.Annotations,
		})
	}
	slices.SortFunc(all, func(a, b ocispec.Descriptor) int { return strings.Compare(a.Digest.String(), b.Digest.String()) })
	start, _ := strconv.Atoi(r.URL.Query().Get("last"))
	page := all[min(start, len(all)):]
	if f.pageSize > 0 && len(page) > f.pageSize {
		page = page[:f.pageSize]
		query := r.URL.Query()
		query.Set("last", strconv.Itoa(start+f.pageSize))
		w.Header().Set("Link", "<"+r.URL.Path+"?"+query.Encode()+`>; rel="next"`)
	}
	if f.filterHeader != "" && artifactType != "" {
		w.Header().Set("OCI-Filters-Applied", f.filterHeader)
	}
	w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
	json.NewEncoder(w).Encode(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: append([]ocispec.Descriptor{}, page...)})
}

// What signatures are made of in these tests.

const imageManifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}`

func request(t testing.TB, subject ocispec.Descriptor, envelope string) PushRequest {
	t.Helper()
	leaf := testpki.Root(t, "root").Leaf(t, "leaf", protocol.KeySpecEC256)
	return PushRequest{
		MediaType:    mediaTypeJWS,
		Envelope:     []byte(envelope),
		Subject:      subject,
		Certificates: leaf.Chain(),
		SigningTime:  time.Date(2026, 11, 23, 10, 24, 0, 0, time.FixedZone("", 2*3600)),
	}
}

func image(f *fakeRegistry) ocispec.Descriptor {
	return f.put(ocispec.MediaTypeImageManifest, "v1", []byte(imageManifest))
}

// collect drains Signatures.
func collect(ctx context.Context, repo Repository, subject ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	var all []ocispec.Descriptor
	for d, err := range repo.Signatures(ctx, subject) {
		if err != nil {
			return all, err
		}
		all = append(all, d)
	}
	return all, nil
}

func mustCollect(t testing.TB, repo Repository, subject ocispec.Descriptor) []ocispec.Descriptor {
	t.Helper()
	all, err := collect(t.Context(), repo, subject)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func mustPush(t testing.TB, repo Repository, request PushRequest) ocispec.Descriptor {
	t.Helper()
	desc, err := repo.PushSignature(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	return desc
}

func digests(list []ocispec.Descriptor) []string {
	var all []string
	for _, d := range list {
		all = append(all, d.Digest.String())
	}
	slices.Sort(all)
	return all
}

func password(user, secret string) func(*Client) {
	return func(c *Client) {
		c.Credentials = func(context.Context, string) (Credential, error) { return NewCredential(user, secret), nil }
	}
}

// signatureJSON is a signature manifest, changed as a test wants.
func signatureJSON(subject, envelope ocispec.Descriptor, change func(m map[string]any)) []byte {
	m := map[string]any{
		"schemaVersion": 2,
		"mediaType":     ocispec.MediaTypeImageManifest,
		"artifactType":  TypeSignature,
		"config":        ocispec.DescriptorEmptyJSON,
		"layers":        []ocispec.Descriptor{envelope},
		"subject":       subject,
	}
	if change != nil {
		change(m)
	}
	data, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return data
}
