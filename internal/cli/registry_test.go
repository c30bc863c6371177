package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"
)

// testRegistry is a registry in memory: what signatures need of distribution-spec
// 1.1, for one repository.
type testRegistry struct {
	noReferrers bool
	// basic wants user:pass; token wants a bearer token, for which the identity
	// token "identity" is taken.
	basic, token bool
	// liar answers every manifest with another digest than its own.
	liar bool
	// tls speaks TLS, as localhost, registry.test and 127.0.0.1; mutual wants a client
	// certificate besides. There are tls-ca.pem, client.key and client.crt then.
	tls, mutual bool
	// limited answers every second request with 429, drowning every one.
	limited, drowning bool
	// storage is where blobs are redirected to; empty for nowhere.
	storage string
	url     string

	mu       sync.Mutex
	contents map[string]content
	tags     map[string]string
	requests []string
	before   func(*http.Request) // see beforeEach

	connections atomic.Int32 // opened so far
}

// registryKey is the key of a script's registry.
type registryKey struct{}

func scriptRegistry(ts *testscript.TestScript, args []string) error {
	r := &testRegistry{
		noReferrers: slices.Contains(args, "noreferrers"), basic: slices.Contains(args, "basic"), token: slices.Contains(args, "token"),
		liar: slices.Contains(args, "liar"),
		tls:  slices.Contains(args, "tls"), mutual: slices.Contains(args, "mutual"),
		limited: slices.Contains(args, "limited"), drowning: slices.Contains(args, "drowning"),
		contents: map[string]content{}, tags: map[string]string{},
	}
	manifest := r.addArtifact("v1", "in a registry\n")
	if slices.Contains(args, "redirect") {
		stop := r.startStorage()
		ts.Defer(stop)
	}
	if r.tls || r.mutual {
		stop, err := r.startTLS(ts)
		if err != nil {
			return err
		}
		ts.Defer(stop)
	} else {
		ts.Defer(r.start())
	}
	_, address, _ := strings.Cut(r.url, "://")
	_, port, _ := strings.Cut(address, ":")
	ts.Setenv("REGISTRY_IP", address)
	ts.Setenv("REGISTRY", "localhost:"+port)
	ts.Setenv("DIGEST", manifest)
	ts.Value(registryKey{}).(*registryBox).registry = r
	return nil
}

// start serves the registry at r.url until the function returned is called.
func (r *testRegistry) start() (stop func()) {
	server := httptest.NewUnstartedServer(r)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			r.connections.Add(1)
		}
	}
	server.Start()
	r.url = server.URL
	return server.Close
}

// addArtifact adds an artifact made of text and returns its digest.
func (r *testRegistry) addArtifact(tag, text string) string {
	manifest, blobs := newArtifact(text)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range append(blobs, manifest) {
		r.contents[c.desc.Digest.String()] = c
	}
	r.tags[tag] = manifest.desc.Digest.String()
	return r.tags[tag]
}

// beforeEach has do called with each request, by several goroutines at once.
func (r *testRegistry) beforeEach(do func(*http.Request)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before = do
}

// answered counts the requests since the last script looked.
func (r *testRegistry) answered() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.requests)
}

// name is the repository's, as users write it.
func (r *testRegistry) name() string {
	_, port, _ := strings.Cut(strings.TrimPrefix(r.url, "http://"), ":")
	return "localhost:" + port + "/team/app"
}

type registryBox struct{ registry *testRegistry }

func scriptRequests(ts *testscript.TestScript, _ []string) error {
	r := ts.Value(registryKey{}).(*registryBox).registry
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintln(ts.Stdout(), strings.Join(r.requests, "\n"))
	r.requests = nil
	return nil
}

func (r *testRegistry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	before := r.before
	r.mu.Unlock()
	if before != nil {
		before(q)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	scheme, _, _ := strings.Cut(q.Header.Get("Authorization"), " ")
	r.requests = append(r.requests, strings.TrimSpace(q.Method+" "+q.URL.Path+" "+scheme))
	if r.drowning || r.limited && len(r.requests)%2 == 1 {
		w.Header().Set("Retry-After", "0")
		fault(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "slow down")
		return
	}
	if q.URL.Path == "/token" {
		r.grant(w, q)
		return
	}
	if !r.authorized(w, q) {
		return
	}
	path := strings.TrimPrefix(q.URL.Path, "/v2/")
	if path == "" {
		return
	}
	parts := strings.Split(path, "/")
	last, kind := parts[len(parts)-1], parts[max(len(parts)-2, 0)]
	switch {
	case !strings.HasPrefix(path, "team/app/"):
		fault(w, http.StatusNotFound, "NAME_UNKNOWN", "no such repository")
	case kind == "manifests" && q.Method == http.MethodPut:
		r.putManifest(w, q, last)
	case q.Method == http.MethodPost:
		w.Header().Set("Location", q.URL.Path+"1?_state=upload-secret")
		w.WriteHeader(http.StatusAccepted)
	case kind == "uploads" && q.Method == http.MethodPut:
		data, _ := io.ReadAll(q.Body)
		r.put("application/octet-stream", data)
		w.WriteHeader(http.StatusCreated)
	case kind == "blobs" && r.storage != "":
		http.Redirect(w, q, r.storage+q.URL.Path, http.StatusTemporaryRedirect)
	case kind == "manifests" || kind == "blobs":
		r.get(w, q, last)
	case kind == "referrers" && !r.noReferrers:
		r.referrers(w, last)
	default:
		http.NotFound(w, q)
	}
}

func fault(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message)
}

func (r *testRegistry) grant(w http.ResponseWriter, q *http.Request) {
	if q.ParseForm() != nil || q.Form.Get("refresh_token") != "identity" || q.Form.Get("client_id") != "notation" {
		fault(w, http.StatusUnauthorized, "UNAUTHORIZED", "bad token")
		return
	}
	fmt.Fprint(w, `{"access_token":"bearer-secret"}`)
}

func (r *testRegistry) authorized(w http.ResponseWriter, q *http.Request) bool {
	user, password, _ := q.BasicAuth()
	switch {
	case r.basic && (user != "user" || password != "p4ssw0rd"):
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
	case r.token && q.Header.Get("Authorization") != "Bearer bearer-secret":
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+map[bool]string{true: "https", false: "http"}[q.TLS != nil]+`://`+q.Host+`/token",service="test"`)
	default:
		return true
	}
	fault(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	return false
}

func (r *testRegistry) put(mediaType string, data []byte) string {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	r.contents[desc.Digest.String()] = content{desc, data}
	return desc.Digest.String()
}

func (r *testRegistry) putManifest(w http.ResponseWriter, q *http.Request, reference string) {
	data, _ := io.ReadAll(q.Body)
	stored := r.put(q.Header.Get("Content-Type"), data)
	if reference != stored {
		r.tags[reference] = stored
	}
	var manifest ocispec.Manifest
	if json.Unmarshal(data, &manifest) == nil && manifest.Subject != nil && !r.noReferrers {
		w.Header().Set("OCI-Subject", manifest.Subject.Digest.String())
	}
	w.Header().Set("Docker-Content-Digest", stored)
	w.WriteHeader(http.StatusCreated)
}

func (r *testRegistry) get(w http.ResponseWriter, q *http.Request, reference string) {
	if tagged := r.tags[reference]; tagged != "" {
		reference = tagged
	}
	found, ok := r.contents[reference]
	if !ok {
		fault(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
		return
	}
	w.Header().Set("Content-Type", found.desc.MediaType)
	w.Header().Set("Docker-Content-Digest", reference)
	if r.liar {
		w.Header().Set("Docker-Content-Digest", digest.FromString(reference).String())
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(found.data)))
	if q.Method != http.MethodHead {
		w.Write(found.data)
	}
}

func (r *testRegistry) referrers(w http.ResponseWriter, subject string) {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	for _, c := range r.contents {
		var manifest ocispec.Manifest
		if json.Unmarshal(c.data, &manifest) == nil && manifest.Subject != nil && manifest.Subject.Digest.String() == subject {
			desc := c.desc
			desc.ArtifactType, desc.Annotations = manifest.ArtifactType, manifest.Annotations
			index.Manifests = append(index.Manifests, desc)
		}
	}
	slices.SortFunc(index.Manifests, func(a, b ocispec.Descriptor) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
	w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
	json.NewEncoder(w).Encode(index)
}

// runCredentialHelper is docker-credential-fake: it keeps credentials in the
// file $HELPER_FILE.
func runCredentialHelper() {
	path := os.Getenv("HELPER_FILE")
	type entry struct{ ServerURL, Username, Secret string }
	stored := map[string]entry{}
	if data, err := os.ReadFile(path); err == nil {
		json.Unmarshal(data, &stored)
	}
	input, _ := io.ReadAll(os.Stdin)
	switch os.Args[1] {
	case "get":
		found, ok := stored[string(input)]
		if !ok {
			fmt.Println("credentials not found in native keychain")
			os.Exit(1)
		}
		json.NewEncoder(os.Stdout).Encode(found)
	case "store":
		var e entry
		if json.Unmarshal(input, &e) != nil {
			os.Exit(1)
		}
		stored[e.ServerURL] = e
	case "erase":
		delete(stored, string(input))
	}
	data, _ := json.Marshal(stored)
	os.WriteFile(path, data, 0o600)
}
