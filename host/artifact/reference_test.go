package artifact

import (
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/signet-project/signet/spec/vectors"
)

const someDigest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

func TestParseReference(t *testing.T) {
	t.Parallel()
	good := map[string]struct {
		text string
		want Reference
	}{
		"REG-01 tag":                       {"localhost:5000/net-monitor:v1", Reference{"localhost:5000", "net-monitor", "v1"}},
		"REG-01 digest":                    {"reg.io/team/app@" + someDigest, Reference{"reg.io", "team/app", someDigest}},
		"REG-02 tag@digest drops the tag":  {"reg.io/app:v1@" + someDigest, Reference{"reg.io", "app", someDigest}},
		"REG-02 separators":                {"reg.io/a.b_c__d---e/f:V-1.0_x", Reference{"reg.io", "a.b_c__d---e/f", "V-1.0_x"}},
		"REG-02 longest tag":               {"reg.io/app:" + strings.Repeat("t", 128), Reference{"reg.io", "app", strings.Repeat("t", 128)}},
		"TP-20 registry keeps its letters": {"Reg.IO/app:v1", Reference{"Reg.IO", "app", "v1"}},
		"REG-01 address of IPv6":           {"[::1]:5000/app:v1", Reference{"[::1]:5000", "app", "v1"}},
	}
	for name, c := range good {
		t.Run(name, func(t *testing.T) {
			got, err := ParseReference(c.text)
			if err != nil || got != c.want {
				t.Fatalf("got %+v, %v", got, err)
			}
		})
	}
	bad := map[string]string{
		"REG-01 short name":          "ubuntu",
		"REG-01 no tag":              "reg.io/app",
		"REG-01 empty tag":           "reg.io/app:",
		"REG-01 empty digest":        "reg.io/app@",
		"REG-01 empty repository":    "reg.io/:v1",
		"REG-01 empty registry":      "/app:v1",
		"REG-01 scheme":              "https://reg.io/app:v1",
		"REG-01 user info":           "user:secret@reg.io/app:v1",
		"REG-02 upper case":          "reg.io/App:v1",
		"REG-02 climbing path":       "reg.io/../app:v1",
		"REG-02 too long tag":        "reg.io/app:" + strings.Repeat("t", 129),
		"REG-02 tag with line break": "reg.io/app:v1\n",
		"REG-02 short digest":        "reg.io/app@sha256:abc",
		"REG-02 unknown algorithm":   "reg.io/app@md5:d41d8cd98f00b204e9800998ecf8427e",
	}
	for name, text := range bad {
		t.Run(name, func(t *testing.T) {
			_, err := ParseReference(text)
			if refused, ok := errors.AsType[*ReferenceError](err); !ok || refused.Input != text {
				t.Fatalf("got %v", err)
			}
			const ending = "Expecting <registry>/<repository>:<tag> or <registry>/<repository>@<digest>"
			if !strings.HasSuffix(err.Error(), ending) || strings.ContainsAny(err.Error(), "\n") {
				t.Errorf("text %q", err)
			}
		})
	}
	t.Run("REG-02 docker.io is contacted elsewhere and named as written", func(t *testing.T) {
		ref, err := ParseReference("docker.io/library/alpine:3")
		if err != nil {
			t.Fatal(err)
		}
		if ref.Host() != "registry-1.docker.io" || ref.Name() != "docker.io/library/alpine" || ref.String() != "docker.io/library/alpine:3" {
			t.Errorf("host %s, name %s, %s", ref.Host(), ref.Name(), ref)
		}
	})
	t.Run("REG-01 tag or digest", func(t *testing.T) {
		if !(Reference{Reference: "v1"}).IsTag() || (Reference{Reference: someDigest}).IsTag() {
			t.Error("IsTag is wrong")
		}
	})
}

func TestParseLayoutReference(t *testing.T) {
	t.Parallel()
	good := map[string]struct {
		text string
		want LayoutReference
	}{
		"CLI-12 tag":                      {"dir/layout:v1", LayoutReference{"dir/layout", "v1"}},
		"CLI-12 digest":                   {"dir/layout@" + someDigest, LayoutReference{"dir/layout", someDigest}},
		"CLI-12 drive letter and tag":     {`C:\dir\layout:v1`, LayoutReference{`C:\dir\layout`, "v1"}},
		"CLI-12 drive letter and digest":  {`C:\layout@` + someDigest, LayoutReference{`C:\layout`, someDigest}},
		"CLI-12 drive letter and slashes": {"C:/dir/layout:v1", LayoutReference{"C:/dir/layout", "v1"}},
		"CLI-12 colon in a directory":     {"/a:b/layout:v1", LayoutReference{"/a:b/layout", "v1"}},
		"CLI-12 at sign in a directory":   {"/me@corp/layout:v1", LayoutReference{"/me@corp/layout", "v1"}},
		"CLI-12 at sign and digest":       {"/me@corp/layout@" + someDigest, LayoutReference{"/me@corp/layout", someDigest}},
	}
	for name, c := range good {
		t.Run(name, func(t *testing.T) {
			got, err := ParseLayoutReference(c.text)
			if err != nil || got != c.want {
				t.Fatalf("got %+v, %v", got, err)
			}
			if got.String() != c.text {
				t.Errorf("String %q", got)
			}
		})
	}
	for name, text := range map[string]string{
		"CLI-12 empty":            "",
		"CLI-12 no reference":     "dir/layout",
		"CLI-12 only a drive":     `C:\dir\layout`,
		"CLI-12 drive by slashes": "C:/dir/layout",
		"CLI-12 no path":          ":v1",
		"CLI-12 no path, digest":  "@" + someDigest,
		"CLI-12 empty tag":        "layout:",
		"CLI-12 empty digest":     "layout@",
		"CLI-12 bad digest":       "layout@sha256:abc",
		"CLI-12 bad tag":          "layout:a b",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := ParseLayoutReference(text); err == nil {
				t.Fatalf("accepted as %+v", got)
			} else if _, ok := errors.AsType[*ReferenceError](err); !ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

func FuzzParseReference(f *testing.F) {
	for _, seed := range []string{"ubuntu", "reg.io/app:v1", "reg.io/app:v1@" + someDigest, "[::1]:5000/a/b@" + someDigest, "docker.io/x:y", "a/b@c:d", "/:@"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := ParseReference(text)
		if err != nil {
			return
		}
		again, err := ParseReference(ref.String())
		if err != nil || again != ref {
			t.Errorf("%q became %+v, then %+v, %v", text, ref, again, err)
		}
		if !strings.HasPrefix(text, ref.Name()) {
			t.Errorf("%q is named %q", text, ref.Name())
		}
		if checkTagOrDigest(ref.Reference) != nil {
			t.Errorf("%q refers to %q", text, ref.Reference)
		}
	})
}

func FuzzParseLayoutReference(f *testing.F) {
	for _, seed := range []string{"layout:v1", "layout@" + someDigest, `C:\layout:v1`, "/me@corp/layout:v1", ":", "@", "a@b:c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := ParseLayoutReference(text)
		if err != nil {
			return
		}
		if ref.String() != text || ref.Path == "" || checkTagOrDigest(ref.Reference) != nil {
			t.Errorf("%q became %+v", text, ref)
		}
	})
}

func FuzzDecodeManifest(f *testing.F) {
	subject := describe("application/vnd.oci.image.manifest.v1+json", []byte("x"))
	envelope := describe(mediaTypeJWS, []byte("y"))
	f.Add(false, signatureJSON(subject, envelope, nil))
	f.Add(false, signatureJSON(subject, envelope, func(m map[string]any) { m["layers"] = nil }))
	f.Add(true, []byte(`{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","artifactType":"application/vnd.cncf.notary.signature","blobs":[{"mediaType":"application/cose","digest":"`+someDigest+`","size":1}],"subject":{"digest":"`+someDigest+`"}}`))
	f.Add(false, []byte(`{"subject":null,"annotations":{"a":"b"}}`))
	all, err := vectors.All()
	if err != nil {
		f.Fatal(err)
	}
	for _, v := range all {
		if v.Manifest != nil {
			f.Add(v.Manifest.MediaType == mediaTypeArtifactManifest, v.Manifest.Data)
		}
	}
	f.Fuzz(func(t *testing.T, artifactManifest bool, data []byte) {
		mediaType := "application/vnd.oci.image.manifest.v1+json"
		if artifactManifest {
			mediaType = mediaTypeArtifactManifest
		}
		decoded, err := decodeManifest(mediaType, data)
		if err != nil {
			if !errors.Is(err, ErrNotSignature) && !errors.Is(err, ErrSubjectMismatch) {
				t.Errorf("error of no kind: %v", err)
			}
			return
		}
		if !isEnvelopeType(decoded.envelope.MediaType) {
			t.Errorf("envelope %q", decoded.envelope.MediaType)
		}
		if thumbprints, ok := Thumbprints(decoded.annotations); ok {
			for _, thumbprint := range thumbprints {
				if digest.NewDigestFromEncoded(digest.SHA256, thumbprint).Validate() != nil {
					t.Errorf("thumbprint %q", thumbprint)
				}
			}
		}
	})
}

func FuzzParseIndex(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"a","digest":"` + someDigest + `","size":1,"x":{"y":[1.0]}}],"z":1}`))
	f.Add([]byte(`{"manifests":[{},{"digest":"x"}]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed, err := parseIndex(data)
		if err != nil {
			return
		}
		written, err := parsed.marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseIndex(written)
		if err != nil || len(again.entries) != len(parsed.entries) {
			t.Fatalf("%s became %s: %v", data, written, err)
		}
	})
}
