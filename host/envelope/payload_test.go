package envelope

import (
	"errors"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// wrap is a payload around the members of targetArtifact.
func wrap(members string) string { return `{"targetArtifact":{` + members + `}}` }

const members = `"mediaType":"a/b","digest":"` + someDig + `","size":5`

func target(payload string) (ocispec.Descriptor, error) {
	return (&Envelope{Payload: []byte(payload)}).Target()
}

func TestTarget(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		payload string
		want    string
	}{
		{"ENV-03 no targetArtifact", `{}`, "no targetArtifact"},
		{"ENV-03 no object", `[]`, "is not an object"},
		{"ENV-03 no JSON", `x`, "cannot be decoded"},
		{"ENV-03 empty", ``, "cannot be decoded"},
		{"ENV-03 trailing data", wrap(members) + `{}`, "after the end"},
		{"ENV-03 targetArtifact null", `{"targetArtifact":null}`, "is not an object"},
		{"ENV-03 mediaType missing", wrap(`"digest":"` + someDig + `","size":5`), "must have mediaType, digest and size"},
		{"ENV-03 mediaType empty", wrap(`"mediaType":"","digest":"` + someDig + `","size":5`), "must have mediaType, digest and size"},
		{"ENV-03 digest missing", wrap(`"mediaType":"a/b","size":5`), "must have mediaType, digest and size"},
		{"ENV-03 digest malformed", wrap(`"mediaType":"a/b","digest":"sha256:00","size":5`), "malformed digest"},
		{"ENV-03 digest without algorithm", wrap(`"mediaType":"a/b","digest":"00","size":5`), "malformed digest"},
		{"ENV-03 size missing", wrap(`"mediaType":"a/b","digest":"` + someDig + `"`), "must have mediaType, digest and size"},
		{"ENV-03 size negative", wrap(`"mediaType":"a/b","digest":"` + someDig + `","size":-1`), "negative size"},
		{"ENV-03 size null", wrap(`"mediaType":"a/b","digest":"` + someDig + `","size":null`), "is not an integer"},
		{"ENV-03 size as text", wrap(`"mediaType":"a/b","digest":"` + someDig + `","size":"5"`), "is not an integer"},
		{"ENV-08 size with a fraction", wrap(`"mediaType":"a/b","digest":"` + someDig + `","size":5.0`), "is not an integer of 64 bits"},
		{"ENV-08 size with an exponent", wrap(`"mediaType":"a/b","digest":"` + someDig + `","size":5e3`), "is not an integer of 64 bits"},
		{"ENV-08 size over int64", wrap(`"mediaType":"a/b","digest":"` + someDig + `","size":9223372036854775808`), "is not an integer of 64 bits"},
		{"ENV-50 unknown members without end", wrap(members + "," + manyNames()), "it has more than 16384 strings"},
		{"ENV-04 annotations no object", wrap(members + `,"annotations":[]`), "is not an object"},
		{"ENV-04 annotation no string", wrap(members + `,"annotations":{"a":1}`), "is not a string"},
		{"ENV-05 artifactType no string", wrap(members + `,"artifactType":1`), "is not a string"},
		{"ENV-48 duplicate targetArtifact", `{"targetArtifact":{` + members + `},"targetArtifact":{` + members + `}}`, "duplicate object member name"},
		{"ENV-48 duplicate digest", wrap(members + `,"digest":"x"`), "duplicate object member name"},
		{"ENV-48 duplicate annotation", wrap(members + `,"annotations":{"a":"1","a":"2"}`), "duplicate object member name"},
		{"ENV-48 case variant of targetArtifact", `{"targetartifact":{},"targetArtifact":{` + members + `}}`, `it must be written "targetArtifact"`},
		{"ENV-48 case variant of digest", wrap(members + `,"Digest":"x"`), `it must be written "digest"`},
		{"ENV-48 case variant by folding", wrap(members + `,"ſize":6`), `it must be written "size"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := target(c.payload)
			if _, ok := errors.AsType[*InvalidError](err); !ok || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
	t.Run("ENV-03 all members", func(t *testing.T) {
		t.Parallel()
		d, err := target(wrap(members + `,"annotations":{"k":"v"},"artifactType":"x/y"`))
		if err != nil || d.MediaType != "a/b" || d.Digest != someDig || d.Size != 5 || d.Annotations["k"] != "v" || d.ArtifactType != "x/y" {
			t.Fatalf("got %+v, %v", d, err)
		}
	})
	t.Run("ENV-07 any order", func(t *testing.T) {
		t.Parallel()
		d, err := target(wrap(`"size" : 5, "digest":"` + someDig + `","mediaType":"a/b"`))
		if err != nil || d.Size != 5 {
			t.Fatalf("got %+v, %v", d, err)
		}
	})
	t.Run("ENV-08 size over 2^53", func(t *testing.T) {
		t.Parallel()
		for _, mediaType := range formats {
			want := plainTarget
			want.Size = 9007199254740993
			payload, err := MarshalPayload(mediaType, want)
			if err != nil {
				t.Fatal(err)
			}
			if d, err := target(string(payload)); err != nil || d.Size != want.Size {
				t.Fatalf("got %d, %v", d.Size, err)
			}
		}
	})
	t.Run("ENV-50 unknown members", func(t *testing.T) {
		t.Parallel()
		d, err := target(`{"x":{"y":[1]},"targetArtifact":{"urls":["u"],"data":"AA==","platform":{},"z":1,` + members + `,"annotations":null,"artifactType":null}}`)
		if err != nil || d.URLs != nil || d.Data != nil || d.Annotations != nil {
			t.Fatalf("got %+v, %v", d, err)
		}
	})
	t.Run("ENV-03 digest of an algorithm not linked in", func(t *testing.T) {
		t.Parallel()
		if _, err := target(wrap(`"mediaType":"a/b","digest":"blake3:` + strings.Repeat("0", 64) + `","size":5`)); err != nil {
			t.Fatal(err)
		}
	})
}

func TestMarshalPayload(t *testing.T) {
	t.Parallel()
	t.Run("ENV-05 artifactType is kept, other members are not", func(t *testing.T) {
		t.Parallel()
		d := plainTarget
		d.ArtifactType, d.URLs, d.Data, d.Platform = "x/y", []string{"u"}, []byte{1}, &ocispec.Platform{OS: "linux"}
		for mediaType, want := range map[string]string{
			MediaTypeJWS:  wrap(`"artifactType":"x/y","digest":"` + someDig + `","mediaType":"application/octet-stream","size":5`),
			MediaTypeCOSE: wrap(`"mediaType":"application/octet-stream","digest":"` + someDig + `","size":5,"artifactType":"x/y"`),
		} {
			if got, err := MarshalPayload(mediaType, d); err != nil || string(got) != want {
				t.Errorf("got %s, %v", got, err)
			}
		}
	})
	for name, edit := range map[string]func(d *ocispec.Descriptor){
		"ENV-03 no media type":              func(d *ocispec.Descriptor) { d.MediaType = "" },
		"ENV-03 no digest":                  func(d *ocispec.Descriptor) { d.Digest = "" },
		"ENV-03 malformed digest":           func(d *ocispec.Descriptor) { d.Digest = "sha256:0" },
		"ENV-03 negative size":              func(d *ocispec.Descriptor) { d.Size = -1 },
		"ENV-04 annotation of broken UTF-8": func(d *ocispec.Descriptor) { d.Annotations = map[string]string{"a": "\xff"} },
		"ENV-03 media type of broken UTF-8": func(d *ocispec.Descriptor) { d.MediaType = "a/\xff" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := plainTarget
			edit(&d)
			for _, mediaType := range formats {
				if _, err := MarshalPayload(mediaType, d); err == nil {
					t.Errorf("%s accepted", mediaType)
				}
			}
		})
	}
	t.Run("ENV-49 unknown format", func(t *testing.T) {
		t.Parallel()
		_, err := MarshalPayload("text/plain", plainTarget)
		if _, ok := errors.AsType[*UnsupportedError](err); !ok {
			t.Fatalf("got %v", err)
		}
	})
}

func TestCheckUnchanged(t *testing.T) {
	t.Parallel()
	asked := ocispec.Descriptor{MediaType: "a/b", Digest: someDig, Size: 5, Annotations: map[string]string{"k": "v"}, ArtifactType: "x/y"}
	const kept = `,"annotations":{"k":"v"}`
	const changed = "during signing descriptor subject has changed from "
	const unknown = "during signing, following unknown attributes were added to subject descriptor: "
	for _, c := range []struct {
		name    string
		payload string
		want    string // "" when it passes
	}{
		{"PLG-29 unchanged", wrap(members + kept), ""},
		{"PLG-29 annotations added", wrap(members + `,"annotations":{"k":"v","more":"x"}`), ""},
		{"PLG-29 artifactType kept", wrap(members + kept + `,"artifactType":"x/y"`), ""},
		{"PLG-29 media type changed", wrap(strings.Replace(members, "a/b", "a/c", 1) + kept), changed},
		{"PLG-29 digest changed", wrap(strings.Replace(members, "sha256:2c", "sha256:2d", 1) + kept), changed},
		{"PLG-29 size changed", wrap(strings.Replace(members, ":5", ":6", 1) + kept), changed},
		{"PLG-29 annotation changed", wrap(members + `,"annotations":{"k":"w"}`), changed},
		{"PLG-29 annotation dropped", wrap(members), changed},
		{"PLG-29 artifactType changed", wrap(members + kept + `,"artifactType":"x/z"`), changed},
		{"PLG-29 malformed", `{`, "cannot be decoded"},
		{"PLG-30 members of a descriptor", wrap(members + kept + `,"urls":["u"],"data":"AA==","platform":{"os":"linux"}`), ""},
		{"PLG-30 unknown member", wrap(members + kept + `,"extra":1`), unknown + `["extra"]`},
		{"PLG-30 unknown member of the payload", `{"extra":1,"targetArtifact":{` + members + kept + `}}`, unknown + `["extra"]`},
		{"PLG-30 targetArtifact inside itself", wrap(members + kept + `,"targetArtifact":{}`), unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := (&Envelope{Payload: []byte(c.payload)}).CheckUnchanged(asked)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if _, ok := errors.AsType[*InvalidError](err); !ok || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}
