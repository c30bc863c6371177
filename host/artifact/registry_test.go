package artifact

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// brokenCredentials fails as a malformed configuration does, quoting a secret.
func brokenCredentials(context.Context, string) (Credential, error) {
	return Credential{}, errors.New("auth 'hunter2' does not conform")
}

func TestResolve(t *testing.T) {
	t.Parallel()
	f := newFakeRegistry(t)
	want := image(f)
	repo := f.open(t)
	t.Run("REG-04 tag by HEAD with all manifest types", func(t *testing.T) {
		got, err := repo.Resolve(t.Context(), "v1")
		if err != nil || !same(got, want) {
			t.Fatalf("got %+v, %v", got, err)
		}
		request := f.requests[len(f.requests)-1]
		accept := strings.Split(request.Header.Get("Accept"), ", ")
		slices.Sort(accept)
		all := slices.Clone(manifestTypes)
		slices.Sort(all)
		if request.Method != http.MethodHead || !slices.Equal(accept, all) {
			t.Errorf("%s with %v", request.Method, accept)
		}
	})
	t.Run("GEN-04 any kind of manifest", func(t *testing.T) {
		for _, mediaType := range append(slices.Clone(manifestTypes), "application/vnd.example+json") {
			want := f.put(mediaType, "any", []byte(`{"schemaVersion":2,"x":"`+mediaType+`"}`))
			if got, err := repo.Resolve(t.Context(), "any"); err != nil || !same(got, want) {
				t.Errorf("%s: got %+v, %v", mediaType, got, err)
			}
		}
	})
	t.Run("MAN-22 artifact must exist", func(t *testing.T) {
		for _, reference := range []string{"none", "sha256:" + strings.Repeat("0", 64)} {
			_, err := repo.Resolve(t.Context(), reference)
			if failed, ok := errors.AsType[*RegistryError](err); !ok || !errors.Is(err, ErrNotFound) || failed.Status != 404 {
				t.Errorf("%s: got %v", reference, err)
			}
		}
	})
	t.Run("MAN-22 nothing but tags and digests", func(t *testing.T) {
		before := len(f.seen())
		for _, reference := range []string{"", "../x", "a/b:c", "sha256:abc", "v1?x"} {
			if _, err := repo.Resolve(t.Context(), reference); err == nil {
				t.Errorf("%q was resolved", reference)
			}
		}
		if len(f.seen()) != before {
			t.Error("requests were sent")
		}
	})
	t.Run("MAN-22 registry answers with another digest", func(t *testing.T) {
		f := newFakeRegistry(t)
		want := image(f)
		f.hook = func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Type", want.MediaType)
			w.Header().Set("Docker-Content-Digest", someDigest)
			w.Header().Set("Content-Length", "5")
			return true
		}
		_, err := f.open(t).Resolve(t.Context(), want.Digest.String())
		mismatch, ok := errors.AsType[*DigestMismatchError](err)
		if !ok || mismatch.Requested != want.Digest || mismatch.Resolved != someDigest {
			t.Fatalf("got %v", err)
		}
		if text := fmt.Sprintf("user input digest %s does not match the resolved digest %s", want.Digest, someDigest); err.Error() != text {
			t.Errorf("text %q", err)
		}
	})
	t.Run("REG-04 tag without a digest in the answer", func(t *testing.T) {
		f := newFakeRegistry(t)
		f.hook = func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
			w.Header().Set("Content-Length", "5")
			return true
		}
		if got, err := f.open(t).Resolve(t.Context(), "v1"); err == nil {
			t.Errorf("resolved to %+v", got)
		}
	})
	t.Run("CLI-49 status and words of the registry", func(t *testing.T) {
		f := newFakeRegistry(t, func(f *fakeRegistry) {
			f.hook = func(w http.ResponseWriter, r *http.Request) bool {
				registryFault(w, 403, "DENIED", "pull\nfirst")
				return true
			}
		})
		for d, err := range f.open(t).Signatures(t.Context(), want) {
			failed, ok := errors.AsType[*RegistryError](err)
			if !ok || failed.Status != 403 || failed.Message != "DENIED: pull first" || failed.Registry != f.host() {
				t.Errorf("got %+v, %v", d, err)
			}
			if text := err.Error(); strings.Contains(text, "\n") || !strings.Contains(text, "HTTP status 403 Forbidden") {
				t.Errorf("text %q", text)
			}
		}
	})
	t.Run("CLI-49 warnings of the registry, once", func(t *testing.T) {
		f := newFakeRegistry(t, func(f *fakeRegistry) {
			f.hook = func(w http.ResponseWriter, r *http.Request) bool {
				w.Header().Add("Warning", `299 - "moving\tsoon"`)
				return false
			}
		})
		image(f)
		var warnings []string
		repo := f.open(t, func(c *Client) { c.Warn = func(w string) { warnings = append(warnings, w) } })
		for range 3 {
			if _, err := repo.Resolve(t.Context(), "v1"); err != nil {
				t.Fatal(err)
			}
		}
		if len(warnings) != 1 || !strings.HasSuffix(warnings[0], "says: moving soon") {
			t.Errorf("warnings %q", warnings)
		}
	})
}

// addSignatures stores n signature manifests of subject.
func addSignatures(f *fakeRegistry, subject ocispec.Descriptor, n int) []ocispec.Descriptor {
	var all []ocispec.Descriptor
	for i := range n {
		envelope := f.putBlob([]byte(fmt.Sprintf("envelope %d", i)))
		envelope.MediaType = mediaTypeJWS
		d := f.put(ocispec.MediaTypeImageManifest, "", signatureJSON(subject, envelope, func(m map[string]any) {
			m["annotations"] = map[string]string{"n": fmt.Sprint(i)}
		}))
		d.ArtifactType = TypeSignature
		all = append(all, d)
	}
	return all
}

func referrersTag(subject ocispec.Descriptor) string {
	return strings.ReplaceAll(subject.Digest.String(), ":", "-")
}

func putIndex(f *fakeRegistry, tag string, list ...ocispec.Descriptor) ocispec.Descriptor {
	x := newIndex()
	for _, d := range list {
		if _, err := x.add(d); err != nil {
			panic(err)
		}
	}
	data, err := x.marshal()
	if err != nil {
		panic(err)
	}
	return f.put(ocispec.MediaTypeImageIndex, tag, data)
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	t.Run("MAN-13 pages are followed as they are needed", func(t *testing.T) {
		f := newFakeRegistry(t, func(f *fakeRegistry) { f.pageSize = 2 })
		subject := image(f)
		want := addSignatures(f, subject, 5)
		repo := f.open(t)
		if got := digests(mustCollect(t, repo, subject)); !slices.Equal(got, digests(want)) {
			t.Errorf("got %v", got)
		}
		if n := f.count("GET /referrers/"); n != 3 {
			t.Errorf("%d pages", n)
		}
		if got := f.requests[0].URL.Query().Get("artifactType"); got != TypeSignature {
			t.Errorf("asked for %q", got)
		}
		for range repo.Signatures(t.Context(), subject) {
			break
		}
		if n := f.count("GET /referrers/"); n != 4 {
			t.Errorf("%d pages for one signature", n-3)
		}
	})
	t.Run("MAN-19 annotations come with the list", func(t *testing.T) {
		f := newFakeRegistry(t)
		subject := image(f)
		addSignatures(f, subject, 1)
		if got := mustCollect(t, f.open(t), subject); got[0].Annotations["n"] != "0" {
			t.Errorf("got %+v", got)
		}
		if f.count("GET /blobs/") != 0 {
			t.Error("an envelope was downloaded")
		}
	})
	for name, change := range map[string]func(*fakeRegistry){
		"MAN-13 registry does not filter":              func(f *fakeRegistry) { f.filters, f.filterHeader = false, "" },
		"MAN-13 registry says it filters and does not": func(f *fakeRegistry) { f.filters = false },
		"MAN-13 registry filters by something else":    func(f *fakeRegistry) { f.filters, f.filterHeader = false, "other" },
		"MAN-14 other types at the fallback tag":       withoutReferrersAPI,
		"MAN-14 answer with another type of content":   func(f *fakeRegistry) { f.referrersAPI = false; f.hook = answer(200, "text/html", "<html>") },
		"MAN-14 not found without a reason":            func(f *fakeRegistry) { f.referrersAPI = false; f.hook = answer(404, "text/plain", "no") },
		"MAN-14 not found for a reason that is not NAME_": func(f *fakeRegistry) {
			f.referrersAPI = false
			f.hook = answer(404, "application/json", `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeRegistry(t, change)
			subject := image(f)
			want := addSignatures(f, subject, 2)
			other := f.put(ocispec.MediaTypeImageManifest, "", signatureJSON(subject, subject, func(m map[string]any) { m["artifactType"] = "application/x" }))
			other.ArtifactType = "application/x"
			putIndex(f, referrersTag(subject), append(want, other)...)
			if got := digests(mustCollect(t, f.open(t), subject)); !slices.Equal(got, digests(want)) {
				t.Errorf("got %v", got)
			}
		})
	}
	t.Run("MAN-14 absent tag means no signatures", func(t *testing.T) {
		f := newFakeRegistry(t, withoutReferrersAPI)
		if got := mustCollect(t, f.open(t), image(f)); len(got) != 0 {
			t.Errorf("got %v", got)
		}
	})
	t.Run("MAN-14 unknown repository is an error", func(t *testing.T) {
		f := newFakeRegistry(t, func(f *fakeRegistry) {
			f.hook = answer(404, "application/json", `{"errors":[{"code":"NAME_UNKNOWN","message":"no such repository"}]}`)
		})
		_, err := collect(t.Context(), f.open(t), image(f))
		if !errors.Is(err, ErrNotFound) || f.count("GET /manifests/") != 0 {
			t.Errorf("got %v, requests %v", err, f.seen())
		}
	})
	t.Run("MAN-13 endless pages end", func(t *testing.T) {
		f := newFakeRegistry(t, func(f *fakeRegistry) {
			f.hook = func(w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
				w.Header().Set("Link", "<"+r.URL.String()+`>; rel="next"`)
				fmt.Fprint(w, `{"schemaVersion":2,"manifests":[]}`)
				return true
			}
		})
		if _, err := collect(t.Context(), f.open(t), image(f)); err == nil || len(f.seen()) != maxReferrerPages {
			t.Errorf("got %v after %d pages", err, len(f.seen()))
		}
	})
	t.Run("MAN-13 pages stay with the registry", func(t *testing.T) {
		elsewhere := newFakeRegistry(t)
		f := newFakeRegistry(t, func(f *fakeRegistry) {
			f.hook = func(w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
				w.Header().Set("Link", "<"+elsewhere.server.URL+`/x>; rel="next"`)
				fmt.Fprint(w, `{"schemaVersion":2,"manifests":[]}`)
				return true
			}
		})
		if _, err := collect(t.Context(), f.open(t), image(f)); err == nil || len(elsewhere.seen()) != 0 {
			t.Errorf("got %v, elsewhere %v", err, elsewhere.seen())
		}
	})
	t.Run("REG-09 a list beyond 4 MiB is refused", func(t *testing.T) {
		f := newFakeRegistry(t, func(f *fakeRegistry) {
			f.hook = answer(200, ocispec.MediaTypeImageIndex, `{"schemaVersion":2,"x":"`+strings.Repeat("x", maxMetadataSize)+`","manifests":[]}`)
		})
		if _, err := collect(t.Context(), f.open(t), image(f)); err == nil {
			t.Error("it was read")
		}
	})
	t.Run("REG-09 a list that would fill memory is refused", func(t *testing.T) {
		dense := `{"schemaVersion":2,"manifests":[` + strings.Repeat("{},", 100_000) + `{}]}`
		for name, change := range map[string]func(*fakeRegistry){"from the API": func(*fakeRegistry) {}, "at the tag": withoutReferrersAPI} {
			f := newFakeRegistry(t, change)
			subject := image(f)
			f.put(ocispec.MediaTypeImageIndex, strings.Replace(subject.Digest.String(), ":", "-", 1), []byte(dense))
			f.hook = func(w http.ResponseWriter, r *http.Request) bool {
				return f.referrersAPI && strings.Contains(r.URL.Path, "/referrers/") && answer(200, ocispec.MediaTypeImageIndex, dense)(w, r)
			}
			if _, err := collect(t.Context(), f.open(t), subject); err == nil || !strings.Contains(err.Error(), "which no list of descriptors has") {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("MAN-13 registry that takes the config's media type for the artifact type", func(t *testing.T) {
		f := newFakeRegistry(t)
		subject := image(f)
		repo := f.open(t)
		desc := mustPush(t, repo, request(t, subject, "one"))
		signature, other := desc, desc
		signature.ArtifactType, other.ArtifactType = ocispec.MediaTypeEmptyJSON, ocispec.MediaTypeEmptyJSON
		other.Digest, other.Annotations = someDigest, map[string]string{"org.example": "SBOM"}
		list, err := json.Marshal(ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{other, signature}})
		if err != nil {
			t.Fatal(err)
		}
		f.hook = func(w http.ResponseWriter, r *http.Request) bool {
			return strings.Contains(r.URL.Path, "/referrers/") && answer(200, ocispec.MediaTypeImageIndex, string(list))(w, r)
		}
		got := mustCollect(t, repo, subject)
		if len(got) != 1 || got[0].Digest != desc.Digest {
			t.Fatalf("got %v", got)
		}
		if _, err := repo.FetchSignature(t.Context(), got[0], subject, nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("MAN-12 of a description of megabytes little is kept", func(t *testing.T) {
		f := newFakeRegistry(t)
		subject := image(f)
		repo := f.open(t)
		desc := mustPush(t, repo, request(t, subject, "one"))
		long := strings.Repeat("x", 1<<19)
		fat := ocispec.Descriptor{
			MediaType: long, Digest: digest.Digest("sha256:" + long), ArtifactType: TypeSignature, Annotations: map[string]string{"a": long}, URLs: []string{long},
		}
		list, err := json.Marshal(ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{fat, desc}})
		if err != nil {
			t.Fatal(err)
		}
		f.hook = answer(200, ocispec.MediaTypeImageIndex, string(list))
		got := mustCollect(t, repo, subject)
		if len(got) != 2 || got[1].Digest != desc.Digest || len(got[1].Annotations) == 0 {
			t.Fatalf("got %d", len(got))
		}
		if kept, err := json.Marshal(got[0]); err != nil || len(kept) > 1000 {
			t.Errorf("%d bytes are kept, error %v", len(kept), err)
		}
		_, err = repo.FetchSignature(t.Context(), got[0], subject, nil)
		if bad, ok := errors.AsType[*CandidateError](err); !ok || len(bad.Error()) > 1000 {
			t.Errorf("error %.1000v", err)
		}
	})
	t.Run("MAN-03 listed by a registry that knows legacy signatures", func(t *testing.T) {
		f := newFakeRegistry(t)
		subject := image(f)
		envelope := f.putBlob([]byte("old"))
		envelope.MediaType = mediaTypeJWS
		f.put(ocispec.MediaTypeImageManifest, "", signatureJSON(subject, envelope, func(m map[string]any) {
			delete(m, "artifactType")
			m["config"] = ocispec.Descriptor{MediaType: TypeSignature, Digest: envelope.Digest, Size: envelope.Size}
		}))
		repo := f.open(t)
		got := mustCollect(t, repo, subject)
		if len(got) != 1 {
			t.Fatalf("got %v", got)
		}
		if _, err := repo.FetchSignature(t.Context(), got[0], subject, nil); err != nil {
			t.Error(err)
		}
	})
}

// answer replies to requests of the Referrers API.
func answer(status int, contentType, body string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/referrers/") {
			return false
		}
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		fmt.Fprint(w, body)
		return true
	}
}

func TestPushSignature(t *testing.T) {
	t.Parallel()
	t.Run("MAN-18 envelope, config, manifest", func(t *testing.T) {
		f := newFakeRegistry(t)
		subject := image(f)
		repo := f.open(t)
		desc := mustPush(t, repo, request(t, subject, "envelope"))
		want := []string{
			"POST /blobs/uploads/", "PUT /blobs/uploads/1",
			"HEAD /blobs/" + emptyConfig.Digest.String(), "POST /blobs/uploads/", "PUT /blobs/uploads/2",
			"PUT /manifests/" + desc.Digest.String(),
		}
		if got := f.seen(); !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
		t.Run("REG-17 upload in two steps", func(t *testing.T) {
			put := f.requests[1]
			if put.Header.Get("Content-Type") != "application/octet-stream" || put.URL.Query().Get("digest") == "" || put.URL.Query().Get("_state") == "" {
				t.Errorf("%s %s", put.URL, put.Header)
			}
		})
		t.Run("MAN-15 with the Referrers API no tag is written", func(t *testing.T) {
			if len(f.tags) != 1 {
				t.Errorf("tags %v", f.tags)
			}
		})
		t.Run("MAN-01 what was stored is what was described", func(t *testing.T) {
			if data := f.manifest(desc.Digest); int64(len(data)) != desc.Size || desc.ArtifactType != TypeSignature {
				t.Errorf("%+v for %s", desc, data)
			}
			signature, err := repo.FetchSignature(t.Context(), mustCollect(t, repo, subject)[0], subject, nil)
			if err != nil || string(signature.Envelope) != "envelope" || signature.MediaType != mediaTypeJWS {
				t.Errorf("got %+v, %v", signature, err)
			}
			if _, ok := Thumbprints(signature.Annotations); !ok {
				t.Error("no thumbprints")
			}
		})
		t.Run("MAN-02 config that is there is not pushed again", func(t *testing.T) {
			before := f.count("POST /blobs/uploads/")
			mustPush(t, repo, request(t, subject, "another"))
			if n := f.count("POST /blobs/uploads/") - before; n != 1 {
				t.Errorf("%d uploads", n)
			}
		})
		t.Run("MAN-02 whether it is there is asked once, and ahead if that is wanted", func(t *testing.T) {
			asked := "HEAD /blobs/" + emptyConfig.Digest.String()
			before := f.count(asked)
			repo := f.open(t)
			repo.ExpectSignature(t.Context())
			if n := f.count(asked) - before; n != 1 {
				t.Errorf("asked %d times ahead", n)
			}
			repo.ExpectSignature(t.Context())
			mustPush(t, repo, request(t, subject, "one more"))
			if n := f.count(asked) - before; n != 1 {
				t.Errorf("asked %d times", n)
			}
		})
		t.Run("GEN-01 artifact and tags are as before", func(t *testing.T) {
			if got := f.manifest(subject.Digest); string(got) != imageManifest || f.tags["v1"] != subject.Digest.String() {
				t.Errorf("got %s, %v", got, f.tags)
			}
		})
	})
	t.Run("MAN-02 config that has gone is pushed again", func(t *testing.T) {
		config := emptyConfig.Digest.String()
		f := newFakeRegistry(t, func(f *fakeRegistry) {
			f.hook = func(w http.ResponseWriter, r *http.Request) bool {
				f.mu.Lock()
				defer f.mu.Unlock()
				if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/manifests/") || f.blobs[config] != nil {
					return false
				}
				registryFault(w, 400, "MANIFEST_BLOB_UNKNOWN", "no such blob")
				return true
			}
		})
		subject := image(f)
		repo := f.open(t)
		mustPush(t, repo, request(t, subject, "envelope"))
		f.mu.Lock()
		delete(f.blobs, config)
		f.mu.Unlock()
		mustPush(t, repo, request(t, subject, "another"))
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.blobs[config] == nil {
			t.Error("it was not")
		}
	})
	t.Run("MAN-18 failure", func(t *testing.T) {
		for _, failing := range []string{"POST /v2/team/app/blobs/uploads/", "PUT /v2/team/app/blobs/uploads/1", "PUT /v2/team/app/blobs/uploads/2", "PUT /v2/team/app/manifests/"} {
			f := newFakeRegistry(t, func(f *fakeRegistry) {
				f.hook = func(w http.ResponseWriter, r *http.Request) bool {
					if !strings.HasPrefix(r.Method+" "+r.URL.Path, failing) {
						return false
					}
					registryFault(w, 403, "DENIED", "no push")
					return true
				}
			})
			subject := image(f)
			repo := f.open(t)
			_, err := repo.PushSignature(t.Context(), request(t, subject, "envelope"))
			if _, ok := errors.AsType[*PushError](err); !ok || !strings.HasPrefix(err.Error(), "failed to push signature to registry with error: ") {
				t.Fatalf("%s: got %v", failing, err)
			}
			if failed, ok := errors.AsType[*RegistryError](err); !ok || failed.Status != 403 || failed.Message != "DENIED: no push" {
				t.Errorf("%s: got %v", failing, err)
			}
			if got := mustCollect(t, repo, subject); len(got) != 0 {
				t.Errorf("%s: half done: %v", failing, got)
			}
		}
	})
	t.Run("MAN-06 requests that cannot be signatures are refused at once", func(t *testing.T) {
		f := newFakeRegistry(t)
		for name, change := range map[string]func(*PushRequest){
			"media type":   func(r *PushRequest) { r.MediaType = "text/plain" },
			"certificates": func(r *PushRequest) { r.Certificates = nil },
			"time":         func(r *PushRequest) { r.SigningTime = time.Time{} },
			"subject":      func(r *PushRequest) { r.Subject.Digest = "x" },
			"size":         func(r *PushRequest) { r.Envelope = make([]byte, MaxEnvelopeSize+1) },
		} {
			req := request(t, image(f), "envelope")
			change(&req)
			if _, err := f.open(t).PushSignature(t.Context(), req); err == nil {
				t.Errorf("%s was accepted", name)
			}
		}
		if len(f.seen()) != 0 {
			t.Errorf("requests %v", f.seen())
		}
	})
	t.Run("GEN-03 copied signatures stay valid", func(t *testing.T) {
		from, to := newFakeRegistry(t), newFakeRegistry(t)
		subject := image(from)
		mustPush(t, from.open(t), request(t, subject, "envelope"))
		to.blobs, to.manifests = from.blobs, from.manifests
		repo, err := to.client().Open(Reference{Registry: to.host(), Repository: "other/name"}, OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		list := mustCollect(t, repo, subject)
		if len(list) != 1 {
			t.Fatalf("got %v", list)
		}
		if _, err := repo.FetchSignature(t.Context(), list[0], subject, nil); err != nil {
			t.Error(err)
		}
		for _, stored := range from.manifests {
			if strings.Contains(string(stored.data), from.host()) || strings.Contains(string(stored.data), "team/app") {
				t.Errorf("a location in %s", stored.data)
			}
		}
	})
}

func TestReferrersTag(t *testing.T) {
	t.Parallel()
	t.Run("MAN-15 fallback tag", func(t *testing.T) {
		f := newFakeRegistry(t, withoutReferrersAPI)
		subject := image(f)
		repo := f.open(t)
		first := mustPush(t, repo, request(t, subject, "one"))
		second := mustPush(t, repo, request(t, subject, "two"))
		index := f.tagged(t, referrersTag(subject))
		if got := digests(index.Manifests); !slices.Equal(got, digests([]ocispec.Descriptor{first, second})) {
			t.Fatalf("got %v", got)
		}
		entry := index.Manifests[0]
		if entry.ArtifactType != TypeSignature || entry.MediaType != first.MediaType || entry.Size != first.Size || entry.Annotations[AnnotationThumbprints] == "" {
			t.Errorf("entry %+v", entry)
		}
		if index.MediaType != ocispec.MediaTypeImageIndex || index.SchemaVersion != 2 {
			t.Errorf("index %+v", index)
		}
		if got := digests(mustCollect(t, repo, subject)); len(got) != 2 {
			t.Errorf("listed %v", got)
		}
		t.Run("MAN-16 superseded index is deleted", func(t *testing.T) {
			if f.count("DELETE /manifests/") != 1 || len(f.manifests) != 4 { // artifact, two signatures, one index
				t.Errorf("%d manifests after %v", len(f.manifests), f.seen())
			}
		})
		t.Run("GEN-01 artifact and its tag are as before", func(t *testing.T) {
			if f.tags["v1"] != subject.Digest.String() || len(f.tags) != 2 {
				t.Errorf("tags %v", f.tags)
			}
		})
	})
	t.Run("MAN-15 forced", func(t *testing.T) {
		f := newFakeRegistry(t)
		subject := image(f)
		repo, err := f.client().Open(f.ref(""), OpenOptions{ForceReferrersTag: true})
		if err != nil {
			t.Fatal(err)
		}
		desc := mustPush(t, repo, request(t, subject, "one"))
		if got := f.tagged(t, referrersTag(subject)).Manifests; len(got) != 1 || got[0].Digest != desc.Digest {
			t.Errorf("got %v", got)
		}
	})
	t.Run("MAN-15 what others put into the index is kept", func(t *testing.T) {
		f := newFakeRegistry(t, withoutReferrersAPI)
		subject := image(f)
		data := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","x-unknown":[1.50],"manifests":[{"mediaType":"m","digest":"` + someDigest + `","size":7,"x-extra":{"k":1.0}},{"mediaType":"m","digest":"` + someDigest + `","size":7,"x-extra":2}],"annotations":{"a":"b"}}`
		f.put(ocispec.MediaTypeImageIndex, referrersTag(subject), []byte(data))
		mustPush(t, f.open(t), request(t, subject, "one"))
		got := string(f.manifests[f.tags[referrersTag(subject)]].data)
		for _, part := range []string{`"x-unknown":[1.50]`, `"x-extra":{"k":1.0}`, `"annotations":{"a":"b"}`} {
			if !strings.Contains(got, part) {
				t.Errorf("%s is gone from %s", part, got)
			}
		}
	})
	t.Run("MAN-15 entry that is there is not repeated, and set right", func(t *testing.T) {
		f := newFakeRegistry(t, withoutReferrersAPI)
		subject := image(f)
		req := request(t, subject, "one")
		desc := mustPush(t, f.open(t), req)
		wrong := plain(desc)
		wrong.ArtifactType = "application/x"
		putIndex(f, referrersTag(subject), wrong)
		mustPush(t, f.open(t), req)
		mustPush(t, f.open(t), req)
		if got := f.tagged(t, referrersTag(subject)).Manifests; len(got) != 1 || got[0].ArtifactType != TypeSignature {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("MAN-15 lost updates are put back", func(t *testing.T) {
		f := newFakeRegistry(t, withoutReferrersAPI)
		subject := image(f)
		tag := referrersTag(subject)
		olds := addSignatures(f, subject, 2)
		putIndex(f, tag, olds[0])
		overwritten := false
		f.after = func(r *http.Request) {
			// Somebody who had read before we wrote writes after us, once.
			if !overwritten && r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, tag) {
				overwritten = true
				putIndex(f, tag, olds[1])
			}
		}
		desc := mustPush(t, f.open(t), request(t, subject, "mine"))
		want := digests([]ocispec.Descriptor{olds[0], olds[1], desc})
		if got := digests(f.tagged(t, tag).Manifests); !overwritten || !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
	t.Run("MAN-15 lost to somebody who had read before we wrote", func(t *testing.T) {
		f := newFakeRegistry(t, withoutReferrersAPI)
		subject := image(f)
		tag := referrersTag(subject)
		other := addSignatures(f, subject, 1)
		repo := f.open(t).(*remoteRepository)
		var waits []time.Duration
		repo.sleep = func(_ context.Context, wait time.Duration) error {
			if waits = append(waits, wait); len(waits) == 1 {
				putIndex(f, tag, other...) // by somebody who had read before we wrote
			}
			return nil
		}
		desc := mustPush(t, repo, request(t, subject, "mine"))
		if len(waits) != 2 || waits[0] <= 0 || waits[0] > maxSettle {
			t.Errorf("waits %v", waits)
		}
		if got := digests(f.tagged(t, tag).Manifests); !slices.Equal(got, digests(append(other, desc))) {
			t.Errorf("got %v", got)
		}
	})
	t.Run("MAN-15 parallel pushes of several processes lose nothing", func(t *testing.T) {
		f := newFakeRegistry(t, withoutReferrersAPI)
		subject := image(f)
		locks := filepath.Join(t.TempDir(), "cache", "locks")
		var wg sync.WaitGroup
		for i := range 12 {
			// Clients share nothing but the directory.
			repo := f.open(t, func(c *Client) { c.LockDir = locks })
			req := request(t, subject, fmt.Sprintf("envelope %d", i))
			wg.Go(func() {
				if _, err := repo.PushSignature(t.Context(), req); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := f.tagged(t, referrersTag(subject)).Manifests; len(got) != 12 {
			t.Errorf("%d signatures", len(got))
		}
	})
	t.Run("MAN-15 who waits for another push gives up in time", func(t *testing.T) {
		repo := newFakeRegistry(t).open(t).(*remoteRepository)
		unlock, err := repo.lockTag(t.Context(), "sha256-x")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := repo.lockTag(ctx, "sha256-x"); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		unlock()
		if unlock, err = repo.lockTag(t.Context(), "sha256-x"); err != nil {
			t.Fatal(err)
		}
		unlock()
	})
	t.Run("MAN-15 pushes to a repository that was opened anew wait, too", func(t *testing.T) {
		f := newFakeRegistry(t)
		client := f.client()
		before := second(client.Open(f.ref(""), OpenOptions{})).(*remoteRepository)
		clear(client.repositories)
		after := second(client.Open(f.ref(""), OpenOptions{})).(*remoteRepository)
		unlock, err := before.lockTag(t.Context(), "sha256-x")
		if err != nil || before == after {
			t.Fatal(err)
		}
		defer unlock()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := after.lockTag(ctx, "sha256-x"); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Run("MAN-15 no directory for locks is a warning", func(t *testing.T) {
		f := newFakeRegistry(t, withoutReferrersAPI)
		subject := image(f)
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var warnings []string
		repo := f.open(t, func(c *Client) { c.LockDir = file; c.Warn = func(w string) { warnings = append(warnings, w) } })
		mustPush(t, repo, request(t, subject, "one"))
		if len(warnings) != 1 || !strings.Contains(warnings[0], "not kept waiting") {
			t.Errorf("warnings %q", warnings)
		}
	})
	t.Run("MAN-15 tag deleted with its index by somebody else is put back", func(t *testing.T) {
		f := newFakeRegistry(t, withoutReferrersAPI)
		subject := image(f)
		tag := referrersTag(subject)
		old := addSignatures(f, subject, 1)
		putIndex(f, tag, old...)
		once := sync.Once{}
		f.after = func(r *http.Request) {
			if r.Method == http.MethodDelete {
				once.Do(func() {
					f.mu.Lock()
					delete(f.tags, tag)
					f.mu.Unlock()
				})
			}
		}
		desc := mustPush(t, f.open(t), request(t, subject, "mine"))
		if got := digests(f.tagged(t, tag).Manifests); !slices.Equal(got, digests(append(old, desc))) {
			t.Errorf("got %v", got)
		}
	})
	t.Run("MAN-15 parallel pushes of one process lose nothing", func(t *testing.T) {
		f := newFakeRegistry(t, withoutReferrersAPI)
		subject := image(f)
		client := f.client()
		var wg sync.WaitGroup
		for i := range 12 {
			req := request(t, subject, fmt.Sprintf("envelope %d", i))
			wg.Go(func() {
				repo, err := client.Open(f.ref(""), OpenOptions{})
				if err == nil {
					_, err = repo.PushSignature(t.Context(), req)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := f.tagged(t, referrersTag(subject)).Manifests; len(got) != 12 {
			t.Errorf("%d signatures", len(got))
		}
	})
	t.Run("MAN-15 others who never stop are an error", func(t *testing.T) {
		f := newFakeRegistry(t, withoutReferrersAPI)
		subject := image(f)
		tag := referrersTag(subject)
		f.after = func(r *http.Request) {
			if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, tag) {
				putIndex(f, tag)
			}
		}
		_, err := f.open(t).PushSignature(t.Context(), request(t, subject, "mine"))
		if _, ok := errors.AsType[*PushError](err); !ok || !strings.Contains(err.Error(), "sign again later") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("MAN-15 index too large to be read is not written over", func(t *testing.T) {
		f := newFakeRegistry(t, withoutReferrersAPI)
		subject := image(f)
		tag := referrersTag(subject)
		big := f.put(ocispec.MediaTypeImageIndex, tag, []byte(`{"manifests":[],"x":"`+strings.Repeat("x", maxMetadataSize)+`"}`))
		_, err := f.open(t).PushSignature(t.Context(), request(t, subject, "mine"))
		if !errors.Is(err, ErrTooLarge) || f.tags[tag] != big.Digest.String() {
			t.Errorf("got %v", err)
		}
	})
	t.Run("MAN-16 failing to delete is a warning", func(t *testing.T) {
		f := newFakeRegistry(t, withoutReferrersAPI, func(f *fakeRegistry) { f.deleteStatus = http.StatusMethodNotAllowed })
		subject := image(f)
		var warnings []string
		repo := f.open(t, func(c *Client) { c.Warn = func(w string) { warnings = append(warnings, w) } })
		mustPush(t, repo, request(t, subject, "one"))
		mustPush(t, repo, request(t, subject, "two"))
		const want = "Removal of outdated referrers index from remote registry failed. Garbage collection may be required."
		if !slices.Equal(warnings, []string{want}) || len(f.tagged(t, referrersTag(subject)).Manifests) != 2 {
			t.Errorf("warnings %q", warnings)
		}
	})
}

func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		registry string
		want     bool
	}{
		"REG-03 localhost with a port": {"localhost:5000", true},
		"REG-03 localhost alone":       {"localhost", false},
		"REG-03 loopback address":      {"127.0.0.1:5000", false},
		"REG-03 looks like localhost":  {"localhost.example.com:5000", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := IsLocalhost(c.registry); got != c.want || new(Client).plain(c.registry) != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
	t.Run("REG-03 the caller decides by the name as written", func(t *testing.T) {
		f := newFakeRegistry(t)
		image(f)
		var asked []string
		var mu sync.Mutex
		client := f.client(func(c *Client) {
			c.PlainHTTP = func(name string) bool {
				mu.Lock()
				defer mu.Unlock()
				asked = append(asked, name)
				return true
			}
		})
		repo, err := client.Open(f.ref(""), OpenOptions{})
		if err == nil {
			_, err = repo.Resolve(t.Context(), "v1")
		}
		if err != nil || !slices.Contains(asked, f.host()) {
			t.Errorf("asked for %v, %v", asked, err)
		}
	})
	t.Run("GEN-08 TLS unless told otherwise", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		first := make(chan byte, 1)
		go func() {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			listener.Close()
			defer connection.Close()
			var b [1]byte
			connection.Read(b[:])
			first <- b[0]
		}()
		client := &Client{retry: &retryPolicy{now: time.Now, backoff: func(int) time.Duration { return 0 }}}
		repo, err := client.Open(Reference{Registry: listener.Addr().String(), Repository: "app"}, OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := repo.Resolve(t.Context(), "v1"); err == nil {
			t.Error("resolved")
		}
		if got := <-first; got != 0x16 { // a TLS handshake record
			t.Errorf("first byte %#x", got)
		}
	})
}

func TestRetry(t *testing.T) {
	t.Parallel()
	for _, status := range []int{408, 429, 500, 502, 503, 504} {
		t.Run(fmt.Sprintf("REG-18 repeated after %d", status), func(t *testing.T) {
			var n atomic.Int32
			f := newFakeRegistry(t, func(f *fakeRegistry) {
				f.hook = func(w http.ResponseWriter, r *http.Request) bool {
					if n.Add(1) > 2 {
						return false
					}
					w.WriteHeader(status)
					return true
				}
			})
			image(f)
			if _, err := f.open(t).Resolve(t.Context(), "v1"); err != nil || n.Load() != 3 {
				t.Errorf("%d requests, %v", n.Load(), err)
			}
		})
	}
	for status, want := range map[int]int32{503: maxRetries + 1, 501: 1, 404: 1, 400: 1} {
		t.Run(fmt.Sprintf("REG-18 bounded for %d", status), func(t *testing.T) {
			var n atomic.Int32
			f := newFakeRegistry(t, func(f *fakeRegistry) {
				f.hook = func(w http.ResponseWriter, r *http.Request) bool {
					n.Add(1)
					w.WriteHeader(status)
					return true
				}
			})
			_, err := f.open(t).Resolve(t.Context(), "v1")
			if failed, ok := errors.AsType[*RegistryError](err); !ok || failed.Status != status || n.Load() != want {
				t.Errorf("%d requests, %v", n.Load(), err)
			}
		})
	}
	t.Run("REG-18 bodies are sent again", func(t *testing.T) {
		var n atomic.Int32
		f := newFakeRegistry(t, func(f *fakeRegistry) {
			f.hook = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPut || n.Add(1)%2 == 0 {
					return false
				}
				w.WriteHeader(http.StatusBadGateway)
				return true
			}
		})
		subject := image(f)
		mustPush(t, f.open(t), request(t, subject, "envelope"))
	})
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	policy := &retryPolicy{now: func() time.Time { return now }, backoff: func(int) time.Duration { return time.Millisecond }}
	for name, c := range map[string]struct {
		header string
		want   time.Duration
	}{
		"REG-18 no Retry-After":             {"", time.Millisecond},
		"REG-18 Retry-After in seconds":     {"7", 7 * time.Second},
		"REG-18 Retry-After as a date":      {now.Add(9 * time.Second).Format(http.TimeFormat), 9 * time.Second},
		"REG-18 Retry-After in the past":    {now.Add(-time.Hour).Format(http.TimeFormat), 0},
		"REG-18 Retry-After is nonsense":    {"soon", time.Millisecond},
		"REG-18 Retry-After beyond reason":  {"3600", -1},
		"REG-18 Retry-After beyond integer": {"99999999999999999999", time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			response := &http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {c.header}}}
			if got, err := policy.Retry(0, response, nil); got != c.want || err != nil {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	t.Run("REG-18 backoff grows and varies", func(t *testing.T) {
		backoff := newRetryPolicy().backoff
		for attempt := range maxRetries {
			base := 250 * time.Millisecond << attempt
			if got := backoff(attempt); got < base*3/4 || got > base*5/4 {
				t.Errorf("attempt %d waits %v", attempt, got)
			}
		}
	})
	t.Run("REG-18 waiting ends with the context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := newFakeRegistry(t, func(f *fakeRegistry) {
			f.hook = func(w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("Retry-After", "30")
				w.WriteHeader(503)
				time.AfterFunc(0, cancel)
				return true
			}
		})
		if _, err := f.open(t).Resolve(ctx, "v1"); !errors.Is(err, context.Canceled) || len(f.seen()) > 1 {
			t.Errorf("got %v after %d requests", err, len(f.seen()))
		}
	})
	t.Run("REG-18 broken connections", func(t *testing.T) {
		for err, want := range map[error]bool{
			context.Canceled: false, context.DeadlineExceeded: false, errors.New("refused"): false,
			&net.DNSError{IsTimeout: true}: true,
		} {
			if transient(nil, err) != want {
				t.Errorf("%v: not %v", err, want)
			}
		}
	})
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	t.Run("REG-16 credentials stay with their host", func(t *testing.T) {
		for _, status := range []int{301, 302, 307, 308} {
			storage := newFakeRegistry(t)
			data := []byte("the envelope")
			f := newFakeRegistry(t, func(f *fakeRegistry) {
				f.authorization = basicAuth("user", "secret")
				f.hook = func(w http.ResponseWriter, r *http.Request) bool {
					if !strings.Contains(r.URL.Path, "/blobs/") || r.Header.Get("Authorization") == "" {
						return false
					}
					http.Redirect(w, r, storage.server.URL+r.URL.Path, status)
					return true
				}
			})
			subject := image(f)
			envelope := storage.putBlob(data)
			envelope.MediaType = mediaTypeJWS
			manifest := f.put(ocispec.MediaTypeImageManifest, "", signatureJSON(subject, envelope, nil))
			got, err := f.open(t, password("user", "secret")).FetchSignature(t.Context(), manifest, subject, nil)
			if err != nil || string(got.Envelope) != string(data) {
				t.Fatalf("%d: got %+v, %v", status, got, err)
			}
			for _, r := range storage.requests {
				if r.Header.Get("Authorization") != "" {
					t.Errorf("%d: the credentials went to the storage", status)
				}
			}
		}
	})
	t.Run("REG-16 a login asked for elsewhere gets no credentials", func(t *testing.T) {
		thief := newFakeRegistry(t, func(f *fakeRegistry) { f.authorization = basicAuth("user", "secret") })
		f := newFakeRegistry(t, func(f *fakeRegistry) {
			f.hook = func(w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, thief.server.URL+r.URL.Path, http.StatusTemporaryRedirect)
				return true
			}
		})
		if _, err := f.open(t, password("user", "secret")).Resolve(t.Context(), "v1"); err == nil {
			t.Error("resolved")
		}
		for _, r := range thief.requests {
			if r.Header.Get("Authorization") != "" {
				t.Error("the credentials went elsewhere")
			}
		}
	})
	t.Run("REG-16 no way from https to http", func(t *testing.T) {
		plain := newFakeRegistry(t)
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, plain.server.URL+r.URL.Path, http.StatusTemporaryRedirect)
		}))
		defer server.Close()
		client := &Client{Transport: server.Client().Transport}
		repo, err := client.Open(Reference{Registry: strings.TrimPrefix(server.URL, "https://"), Repository: "app"}, OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = repo.Resolve(t.Context(), "v1")
		if err == nil || !strings.Contains(err.Error(), "from https to http is refused") || len(plain.seen()) != 0 {
			t.Errorf("got %v, plain %v", err, plain.seen())
		}
	})
	t.Run("REG-16 uploads stay with the registry", func(t *testing.T) {
		thief := newFakeRegistry(t)
		f := newFakeRegistry(t, func(f *fakeRegistry) {
			f.authorization = basicAuth("user", "secret")
			f.hook = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPost || r.Header.Get("Authorization") == "" {
					return false
				}
				w.Header().Set("Location", thief.server.URL+"/upload?token=hidden")
				w.WriteHeader(http.StatusAccepted)
				return true
			}
		})
		subject := image(f)
		_, err := f.open(t, password("user", "secret")).PushSignature(t.Context(), request(t, subject, "envelope"))
		if err == nil || len(thief.seen()) != 0 || strings.Contains(err.Error(), "hidden") {
			t.Errorf("got %v, elsewhere %v", err, thief.seen())
		}
	})
	t.Run("REG-16 credentials over plain HTTP are not silent", func(t *testing.T) {
		var warnings []string
		guarded := guardCredentials(
			func(context.Context, string) (Credential, error) { return NewCredential("u", "p"), nil },
			func(string) bool { return true },
			func(w string) { warnings = append(warnings, w) },
		)
		for _, host := range []string{"localhost:5000", "127.0.0.1:5000", "[::1]:5000"} {
			guarded(t.Context(), host)
		}
		if len(warnings) != 0 {
			t.Errorf("warnings %q", warnings)
		}
		guarded(t.Context(), "reg.example.com:5000")
		if len(warnings) != 1 || !strings.Contains(warnings[0], "reg.example.com:5000") {
			t.Errorf("warnings %q", warnings)
		}
	})
	t.Run("REG-16 redirects end", func(t *testing.T) {
		f := newFakeRegistry(t, func(f *fakeRegistry) {
			f.hook = func(w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
				return true
			}
		})
		if _, err := f.open(t).Resolve(t.Context(), "v1"); err == nil || len(f.seen()) > maxRedirects+1 {
			t.Errorf("got %v after %d requests", err, len(f.seen()))
		}
	})
}

func TestIndex(t *testing.T) {
	t.Parallel()
	t.Run("MAN-15 duplicates of what is added go", func(t *testing.T) {
		x := newIndex()
		desc := describe("m", []byte("x"))
		desc.Annotations = map[string]string{"a": "b"}
		raw, _ := json.Marshal(desc)
		entry := indexEntry{raw: raw, desc: desc}
		x.entries = []indexEntry{entry, entry}
		if changed, err := x.add(desc); err != nil || !changed || len(x.entries) != 1 {
			t.Errorf("changed %v, %d entries, %v", changed, len(x.entries), err)
		}
		if changed, _ := x.add(desc); changed {
			t.Error("changed again")
		}
	})
	t.Run("MAN-15 not an index", func(t *testing.T) {
		for _, data := range []string{"", "null", "[]", `{"manifests":{}}`, `{"manifests":[1]}`} {
			if _, err := parseIndex([]byte(data)); err == nil {
				t.Errorf("%q was accepted", data)
			}
		}
	})
}

// TestClientBound opens more repositories than a client remembers.
func TestClientBound(t *testing.T) {
	t.Parallel()
	tokens := newTokenServer(t, func(*tokenServer) {})
	f := newFakeRegistry(t, func(f *fakeRegistry) { f.authorization = tokens.bearer })
	want := image(f)
	client := f.client(password("user", "secret"))
	first := second(client.Open(f.ref(""), OpenOptions{}))
	resolve := func(repo Repository) {
		t.Helper()
		if got, err := repo.Resolve(t.Context(), "v1"); err != nil || !same(got, want) {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	resolve(first)
	for i := range 2 * maxRemembered {
		second(client.Open(Reference{Registry: fmt.Sprintf("r%d.example", i), Repository: "app"}, OpenOptions{}))
		client.host(Reference{Registry: fmt.Sprintf("probed%d.example", i)})
		if len(client.repositories) > maxRemembered || len(client.hosts) > maxRemembered {
			t.Fatalf("%d repositories, %d registries", len(client.repositories), len(client.hosts))
		}
	}
	resolve(first)
	if asked := len(tokens.forms); asked != 1 {
		t.Errorf("a repository that was open had to ask for %d tokens", asked)
	}
	again := second(client.Open(f.ref(""), OpenOptions{}))
	if again == first {
		t.Error("nothing was forgotten")
	}
	resolve(again)
	if asked := len(tokens.forms); asked != 2 {
		t.Errorf("%d tokens; those of what was forgotten are kept", asked)
	}
}
