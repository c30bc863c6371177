package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestEncodeManifest(t *testing.T) {
	t.Parallel()
	subject := ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest, Digest: someDigest, Size: 409,
		Annotations: map[string]string{"not": "kept"}, ArtifactType: "not kept",
	}
	req := request(t, subject, "envelope")
	var thumbprints []string
	for _, cert := range req.Certificates {
		sum := sha256.Sum256(cert.Raw)
		thumbprints = append(thumbprints, hex.EncodeToString(sum[:]))
	}
	list, _ := json.Marshal(thumbprints)
	annotation, _ := json.Marshal(string(list))
	envelope := describe(req.MediaType, req.Envelope)
	// Appendix C4.
	want := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",` +
		`"artifactType":"application/vnd.cncf.notary.signature",` +
		`"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="},` +
		`"layers":[{"mediaType":"application/jose+json","digest":"` + envelope.Digest.String() + `","size":8}],` +
		`"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + someDigest + `","size":409},` +
		`"annotations":{%s"io.cncf.notary.x509chain.thumbprint#S256":` + string(annotation) + `,"org.opencontainers.image.created":"2026-11-23T08:24:00Z"}}`

	_, got, err := encodeManifest(req, envelope, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		"MAN-01 types", "MAN-02 empty config with its data", "MAN-06 subject is what identifies the artifact",
		"MAN-07 thumbprints in order, lower case", "MAN-08 signing time in UTC", "MAN-10 order of members",
	} {
		t.Run(row, func(t *testing.T) {
			if string(got) != fmt.Sprintf(want, "") {
				t.Errorf("got\n%s\nwant\n%s", got, fmt.Sprintf(want, ""))
			}
		})
	}
	t.Run("MAN-09 annotations of a plugin are merged, reserved ones are not", func(t *testing.T) {
		req.Annotations = map[string]string{
			"a.first": "1", AnnotationThumbprints: "[]", ocispec.AnnotationCreated: "never",
			"io.cncf.notary.other": "x", "io.cncf.notaryx": "mine",
		}
		before := maps.Clone(req.Annotations)
		var warnings []string
		_, got, err := encodeManifest(req, envelope, func(w string) { warnings = append(warnings, w) })
		if err != nil {
			t.Fatal(err)
		}
		merged := fmt.Sprintf(want, `"a.first":"1",`)
		merged = strings.Replace(merged, `,"org.opencontainers`, `,"io.cncf.notaryx":"mine","org.opencontainers`, 1)
		if string(got) != merged {
			t.Errorf("got\n%s\nwant\n%s", got, merged)
		}
		if len(warnings) != 1 || !strings.Contains(warnings[0], `"io.cncf.notary.other"`) {
			t.Errorf("warnings %q", warnings)
		}
		if !maps.Equal(before, req.Annotations) {
			t.Error("the caller's annotations were changed")
		}
	})
	t.Run("MAN-12 a manifest nobody would read is not written", func(t *testing.T) {
		req.Annotations = map[string]string{"big": strings.Repeat("x", MaxManifestSize)}
		if _, _, err := encodeManifest(req, envelope, func(string) {}); !errors.Is(err, ErrTooLarge) {
			t.Errorf("got %v", err)
		}
	})
}

func TestCheckDensity(t *testing.T) {
	t.Parallel()
	t.Run("MAN-12 real lists pass", func(t *testing.T) {
		entry := ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageManifest, ArtifactType: TypeSignature, Digest: someDigest, Size: 7,
			Platform: &ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v7", OSFeatures: []string{"a", "b"}}, URLs: []string{"a", "b"},
			Annotations: map[string]string{"a": "1", "b": "2", "c": "3", AnnotationThumbprints: `["` + strings.Repeat("0", 64) + `"]`},
		}
		data, err := json.Marshal(ocispec.Index{Manifests: slices.Repeat([]ocispec.Descriptor{entry}, 1000)})
		if err == nil {
			err = checkDensity(data)
		}
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("MAN-12 a list of zeros is not decoded", func(t *testing.T) {
		data := []byte(`{"manifests":[` + strings.Repeat("0,", MaxManifestSize/2) + `0]}`)
		const want = "which no list of descriptors has"
		if _, err := decodeManifest(ocispec.MediaTypeImageManifest, data); !errors.Is(err, ErrNotSignature) || !strings.Contains(err.Error(), want) {
			t.Errorf("as a signature manifest: %v", err)
		}
		if _, err := parseIndex(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("as an index: %v", err)
		}
	})
}

func TestThumbprints(t *testing.T) {
	t.Parallel()
	a, b := strings.Repeat("aB", 32), strings.Repeat("01", 32)
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"MAN-07 any case":          {`["` + a + `","` + b + `"]`, []string{strings.ToLower(a), b}},
		"MAN-19 not JSON":          {`x`, nil},
		"MAN-19 empty":             {`[]`, nil},
		"MAN-19 null":              {`null`, nil},
		"MAN-19 one is too short":  {`["` + a + `","ab"]`, nil},
		"MAN-19 one is no hex":     {`["` + strings.Repeat("zz", 32) + `"]`, nil},
		"MAN-19 not text":          {`[1]`, nil},
		"MAN-19 more than a chain": {`["` + strings.Repeat(a+`","`, 100) + a + `"]`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := Thumbprints(map[string]string{AnnotationThumbprints: c.text})
			if ok != (c.want != nil) || !slices.Equal(got, c.want) {
				t.Errorf("got %v, %v", got, ok)
			}
		})
	}
	t.Run("MAN-19 absent", func(t *testing.T) {
		if _, ok := Thumbprints(nil); ok {
			t.Error("found")
		}
	})
}

// candidate is a stored signature manifest that is or is not one.
type candidate struct {
	mediaType string
	change    func(m map[string]any)
	want      error // nil: accepted
}

func candidates(envelope ocispec.Descriptor) map[string]candidate {
	const img = ocispec.MediaTypeImageManifest
	layers := func(list ...ocispec.Descriptor) func(map[string]any) {
		return func(m map[string]any) { m["layers"] = list }
	}
	with := func(change func(d *ocispec.Descriptor)) ocispec.Descriptor {
		d := envelope
		change(&d)
		return d
	}
	return map[string]candidate{
		"MAN-01 image manifest": {img, nil, nil},
		"MAN-03 legacy config media type": {img, func(m map[string]any) {
			delete(m, "artifactType")
			m["config"] = with(func(d *ocispec.Descriptor) { d.MediaType = TypeSignature })
		}, nil},
		"MAN-04 signature type with another config": {img, func(m map[string]any) {
			m["config"] = with(func(d *ocispec.Descriptor) { d.MediaType = "application/vnd.oci.image.config.v1+json" })
		}, ErrNotSignature},
		"MAN-04 signature type with the legacy config": {img, func(m map[string]any) {
			m["config"] = with(func(d *ocispec.Descriptor) { d.MediaType = TypeSignature })
		}, ErrNotSignature},
		"MAN-04 another artifact type": {img, func(m map[string]any) { m["artifactType"] = "application/x" }, ErrNotSignature},
		"MAN-04 other type with legacy config": {img, func(m map[string]any) {
			m["artifactType"] = "application/x"
			m["config"] = with(func(d *ocispec.Descriptor) { d.MediaType = TypeSignature })
		}, ErrNotSignature},
		"MAN-05 two layers":            {img, layers(envelope, envelope), ErrNotSignature},
		"MAN-05 no layer":              {img, layers(), ErrNotSignature},
		"MAN-05 unknown envelope type": {img, layers(with(func(d *ocispec.Descriptor) { d.MediaType = "text/plain" })), ErrNotSignature},
		"MAN-05 COSE":                  {img, layers(with(func(d *ocispec.Descriptor) { d.MediaType = mediaTypeCOSE })), nil},
		"MAN-05 not JSON":              {img, func(m map[string]any) { m["layers"] = "x" }, ErrNotSignature},
		"MAN-05 media type inside differs": {img, func(m map[string]any) {
			m["mediaType"] = mediaTypeArtifactManifest
		}, ErrNotSignature},
		"MAN-12 media type of a megabyte":    {img, func(m map[string]any) { m["mediaType"] = strings.Repeat("x", 1<<20) }, ErrNotSignature},
		"MAN-12 artifact type of a megabyte": {img, func(m map[string]any) { m["artifactType"] = strings.Repeat("x", 1<<20) }, ErrNotSignature},
		"MAN-12 layer's type of a megabyte":  {img, layers(with(func(d *ocispec.Descriptor) { d.MediaType = strings.Repeat("x", 1<<20) })), ErrNotSignature},
		"MAN-12 subject of a megabyte": {img, func(m map[string]any) {
			m["subject"] = ocispec.Descriptor{MediaType: img, Digest: digest.Digest(strings.Repeat("x", 1<<20))}
		}, ErrSubjectMismatch},
		"MAN-12 layers that would fill memory": {img, func(m map[string]any) { m["layers"] = make([]int, 100_000) }, ErrNotSignature},
		"MAN-12 layers that say nothing":       {img, func(m map[string]any) { m["layers"] = make([]struct{}, 100_000) }, ErrNotSignature},
		"MAN-11 artifact manifest": {mediaTypeArtifactManifest, func(m map[string]any) {
			m["mediaType"] = mediaTypeArtifactManifest
			m["blobs"] = m["layers"]
			delete(m, "layers")
			delete(m, "config")
		}, nil},
		"MAN-11 artifact manifest with two blobs": {mediaTypeArtifactManifest, func(m map[string]any) {
			m["mediaType"] = mediaTypeArtifactManifest
			m["blobs"] = []ocispec.Descriptor{envelope, envelope}
		}, ErrNotSignature},
		"MAN-12 envelope declared too large": {img, layers(with(func(d *ocispec.Descriptor) { d.Size = MaxEnvelopeSize + 1 })), ErrTooLarge},
		"MAN-12 envelope of negative size":   {img, layers(with(func(d *ocispec.Descriptor) { d.Size = -1 })), ErrTooLarge},
		"MAN-20 envelope of another size":    {img, layers(with(func(d *ocispec.Descriptor) { d.Size++ })), ErrContentMismatch},
		"MAN-20 envelope that is missing":    {img, layers(with(func(d *ocispec.Descriptor) { d.Digest = digest.Digest("sha256:00" + someDigest[9:]) })), ErrNotFound},
		"MAN-20 digest that is none":         {img, layers(with(func(d *ocispec.Descriptor) { d.Digest = "sha256:../../etc/passwd" })), ErrNotSignature},
		"MAN-23 no subject":                  {img, func(m map[string]any) { delete(m, "subject") }, ErrSubjectMismatch},
		"MAN-23 subject of another digest": {img, func(m map[string]any) {
			m["subject"] = ocispec.Descriptor{MediaType: img, Digest: someDigest, Size: int64(len(imageManifest))}
		}, ErrSubjectMismatch},
		"MAN-23 subject of another size": {img, func(m map[string]any) {
			d := describe(img, []byte(imageManifest))
			d.Size++
			m["subject"] = d
		}, ErrSubjectMismatch},
		"MAN-23 subject of another type": {img, func(m map[string]any) {
			m["subject"] = describe(ocispec.MediaTypeImageIndex, []byte(imageManifest))
		}, ErrSubjectMismatch},
	}
}

// checkFetch compares what FetchSignature made of a candidate.
func checkFetch(t *testing.T, c candidate, envelope []byte, got *Signature, err error) {
	t.Helper()
	if c.want == nil {
		if err != nil || string(got.Envelope) != string(envelope) || !isEnvelopeType(got.MediaType) {
			t.Fatalf("got %+v, %v", got, err)
		}
		return
	}
	bad, ok := errors.AsType[*CandidateError](err)
	if !ok || !errors.Is(err, c.want) || bad.Manifest == "" {
		t.Fatalf("got %v", err)
	}
	if text := err.Error(); strings.ContainsAny(text, "\n") || len(text) > 2000 {
		t.Errorf("text of %d bytes: %.2000q", len(text), text)
	}
}

func TestFetchSignature(t *testing.T) {
	t.Parallel()
	f := newFakeRegistry(t)
	subject := image(f)
	content := []byte("the envelope")
	envelope := f.putBlob(content)
	envelope.MediaType = mediaTypeJWS
	repo := f.open(t)
	for name, c := range candidates(envelope) {
		t.Run(name, func(t *testing.T) {
			manifest := f.put(c.mediaType, "", signatureJSON(subject, envelope, c.change))
			got, err := repo.FetchSignature(t.Context(), manifest, subject, nil)
			checkFetch(t, c, content, got, err)
		})
	}
	good := f.put(ocispec.MediaTypeImageManifest, "", signatureJSON(subject, envelope, func(m map[string]any) {
		m["annotations"] = map[string]string{"k": "v"}
	}))
	t.Run("MAN-20 what is returned", func(t *testing.T) {
		got, err := repo.FetchSignature(t.Context(), good, subject, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got.Annotations["k"] != "v" || !same(got.Subject, subject) || got.Manifest.Digest != good.Digest {
			t.Errorf("got %+v", got)
		}
	})
	refused := map[string]struct {
		change func(d *ocispec.Descriptor)
		want   error
	}{
		"MAN-12 manifest declared too large":  {func(d *ocispec.Descriptor) { d.Size = MaxManifestSize + 1 }, ErrTooLarge},
		"MAN-12 manifest of negative size":    {func(d *ocispec.Descriptor) { d.Size = -1 }, ErrTooLarge},
		"MAN-05 listed as an index":           {func(d *ocispec.Descriptor) { d.MediaType = ocispec.MediaTypeImageIndex }, ErrNotSignature},
		"MAN-20 listed under no digest":       {func(d *ocispec.Descriptor) { d.Digest = "../x" }, ErrNotSignature},
		"MAN-20 listed with another size":     {func(d *ocispec.Descriptor) { d.Size++ }, ErrContentMismatch},
		"MAN-20 listed and not there":         {func(d *ocispec.Descriptor) { d.Digest = someDigest }, ErrNotFound},
		"MAN-20 listed with another type":     {func(d *ocispec.Descriptor) { d.MediaType = mediaTypeArtifactManifest }, ErrContentMismatch},
		"MAN-12 nothing fetched when refused": {func(d *ocispec.Descriptor) { d.Size = 1 << 62 }, ErrTooLarge},
	}
	for name, c := range refused {
		t.Run(name, func(t *testing.T) {
			listed, before := good, len(f.seen())
			c.change(&listed)
			_, err := repo.FetchSignature(t.Context(), listed, subject, nil)
			if _, ok := errors.AsType[*CandidateError](err); !ok || !errors.Is(err, c.want) {
				t.Fatalf("got %v", err)
			}
			if errors.Is(err, ErrTooLarge) && len(f.seen()) != before {
				t.Error("it was fetched all the same")
			}
		})
	}
}

func TestFetchSignatureOfHostileRegistry(t *testing.T) {
	t.Parallel()
	// The registry answers GET of one path by the given content.
	serve := func(t *testing.T, f *fakeRegistry, path string, status int, header http.Header, body string) {
		f.hook = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, path) {
				return false
			}
			for k, v := range header {
				w.Header()[k] = v
			}
			w.WriteHeader(status)
			w.Write([]byte(body))
			return true
		}
	}
	setup := func(t *testing.T) (f *fakeRegistry, subject, manifest, envelope ocispec.Descriptor) {
		f = newFakeRegistry(t)
		subject = image(f)
		envelope = f.putBlob([]byte("the envelope"))
		envelope.MediaType = mediaTypeJWS
		return f, subject, f.put(ocispec.MediaTypeImageManifest, "", signatureJSON(subject, envelope, nil)), envelope
	}
	t.Run("MAN-20 corrupt blob", func(t *testing.T) {
		f, subject, manifest, envelope := setup(t)
		serve(t, f, envelope.Digest.String(), 200, nil, "the envelopE")
		_, err := f.open(t).FetchSignature(t.Context(), manifest, subject, nil)
		if _, ok := errors.AsType[*CandidateError](err); !ok || !errors.Is(err, ErrContentMismatch) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("MAN-20 corrupt manifest", func(t *testing.T) {
		f, subject, manifest, envelope := setup(t)
		other := signatureJSON(subject, envelope, nil)
		other[len(other)-2] ^= 1
		serve(t, f, manifest.Digest.String(), 200, http.Header{"Content-Type": {manifest.MediaType}}, string(other))
		_, err := f.open(t).FetchSignature(t.Context(), manifest, subject, nil)
		if _, ok := errors.AsType[*CandidateError](err); !ok || !errors.Is(err, ErrContentMismatch) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("MAN-22 registry names another digest", func(t *testing.T) {
		f, subject, manifest, envelope := setup(t)
		serve(t, f, envelope.Digest.String(), 200, http.Header{"Docker-Content-Digest": {someDigest}}, "the envelope")
		_, err := f.open(t).FetchSignature(t.Context(), manifest, subject, nil)
		if _, ok := errors.AsType[*CandidateError](err); !ok {
			t.Errorf("got %v", err)
		}
		if _, ok := errors.AsType[*DigestMismatchError](err); !ok {
			t.Errorf("got %v", err)
		}
	})
	for status, row := range map[int]string{
		403: "CLI-49 refused", 500: "CLI-49 broken registry", 401: "CLI-49 not logged in",
	} {
		t.Run(fmt.Sprintf("%s is no fault of the candidate", row), func(t *testing.T) {
			f, subject, manifest, envelope := setup(t)
			serve(t, f, envelope.Digest.String(), status, nil, `{"errors":[{"code":"DENIED","message":"quota\u001b[31m of blobs"}]}`)
			_, err := f.open(t).FetchSignature(t.Context(), manifest, subject, nil)
			failed, ok := errors.AsType[*RegistryError](err)
			if !ok || failed.Status != status {
				t.Fatalf("got %v", err)
			}
			if _, ok := errors.AsType[*CandidateError](err); ok {
				t.Errorf("it is a bad candidate, too: %v", err)
			}
			if failed.Message != "DENIED: quota [31m of blobs" || !strings.Contains(err.Error(), failed.Message) {
				t.Errorf("message %q of %q", failed.Message, err)
			}
		})
	}
	t.Run("CLI-49 no connection is no fault of the candidate", func(t *testing.T) {
		f, subject, manifest, _ := setup(t)
		repo := f.open(t)
		f.server.Close()
		_, err := repo.FetchSignature(t.Context(), manifest, subject, nil)
		if failed, ok := errors.AsType[*RegistryError](err); !ok || failed.Status != 0 || strings.Contains(err.Error(), "http://") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("CLI-49 unreadable credentials are no fault of the candidate", func(t *testing.T) {
		f, subject, manifest, _ := setup(t)
		f.authorization = func(*http.Request) string { return `Basic realm="x"` }
		repo := f.open(t, func(c *Client) { c.Credentials = brokenCredentials })
		_, err := repo.FetchSignature(t.Context(), manifest, subject, nil)
		if _, ok := errors.AsType[*RegistryError](err); !ok || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v", err)
		}
	})
}
