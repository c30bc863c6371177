package main

import (
	"fmt"
	"slices"
	"strings"
)

// payloads is about what the payload says.
var payloads = []scenario{
	{"ENV-03", "payload is not JSON", integrity, both, payload(`targetArtifact`)},
	{"ENV-03", "payload is an array", integrity, both, payload(`[` + payloadOf(artifact) + `]`)},
	{"ENV-03", "payload without targetArtifact", integrity, both, payload(`{"artifact":{}}`)},
	{"ENV-03", "targetArtifact is null", integrity, both, payload(`{"targetArtifact":null}`)},
	{"ENV-03", "no media type", integrity, both, target(func(o *object) { o.drop("mediaType") })},
	{"ENV-03", "no digest", integrity, both, target(func(o *object) { o.drop("digest") })},
	{"ENV-03", "no size", integrity, both, target(func(o *object) { o.drop("size") })},
	{"ENV-03", "malformed digest", integrity, both, target(func(o *object) { o.set("digest", strings.TrimPrefix(artifact.Digest, "sha256:")) })},
	{"ENV-03", "size is a text", integrity, both, target(func(o *object) { o.set("size", fmt.Sprint(artifact.Size)) })},
	{"ENV-03", "negative size", integrity, both, target(func(o *object) { o.set("size", -artifact.Size) })},
	{"ENV-03", "value after the end of the payload", integrity, both, payload(payloadOf(artifact) + `{}`)},
	{"ENV-48", "targetArtifact twice", integrity, both, payload(strings.Replace(payloadOf(artifact), `{`, `{"targetArtifact":{},`, 1))},
	{"ENV-48", "digest twice", integrity, both, target(func(o *object) { o.add("digest", artifact.Digest) })},
	{"ENV-48", "digest in capitals beside the right one", integrity, both, target(func(o *object) { o.add("Digest", digestOf(nil)) })},
	{"ENV-08", "size with an exponent", integrity, both, target(func(o *object) {
		o.set("size", encoded(fmt.Sprintf("%d.%02de2", artifact.Size/100, artifact.Size%100)))
	})},
	{"ENV-08", "size with a fraction", integrity, both, target(func(o *object) { o.set("size", encoded(fmt.Sprintf("%d.0", artifact.Size))) })},
	{"ENV-08", "size that is right modulo 2^64", integrity, both, target(func(o *object) { o.set("size", encoded(fmt.Sprint("184467440737095", 51616+artifact.Size))) })},
	{"ENV-05", "artifact type", valid, both, target(func(o *object) { o.add("artifactType", "application/vnd.example.vectors") })},
	{"ENV-04", "user metadata", valid, both, target(func(o *object) { o.add("annotations", object{{"com.example.build", "42"}, {"note", "<é> & 'ü'"}}) })},
	{"ENV-04", "annotation that is a number", integrity, both, target(func(o *object) { o.add("annotations", object{{"com.example.build", 42}}) })},
	{"ENV-07", "members in another order, with spaces", valid, both, func(s *scene) {
		members := targetOf()
		slices.Reverse(members)
		text := strings.NewReplacer(",", ",\n  ", ":", ": ").Replace(string(object{{"targetArtifact", members}}.encode()))
		s.payload = []byte(strings.Replace(text, "sha256: ", "sha256:", 1))
	}},
	{"ENV-07", "characters escaped", valid, both, payload(strings.NewReplacer("mediaType", `\u006dediaType`, "+json", `\u002bjson`).Replace(payloadOf(artifact)))},
	{"ENV-50", "unknown members in the payload", valid, both, func(s *scene) {
		members := targetOf()
		members.add("com.example.note", []int{1})
		s.payload = object{{"targetArtifact", members}, {"com.example.note", nil}}.encode()
	}},
	{"VER-11", "signature for another digest", integrity, both, otherArtifact("digest", digestOf([]byte("other")))},
	{"VER-11", "signature for another size", integrity, both, otherArtifact("size", artifact.Size+1)},
	{"VER-11", "signature for another media type", integrity, both, otherArtifact("mediaType", "application/vnd.oci.image.index.v1+json")},
	{"VER-11", "signature for another digest algorithm", integrity, both, otherArtifact("digest", digest512(artifact.Data))},
	{"VER-11", "signature for another artifact, at level audit", integrity, both, func(s *scene) {
		otherArtifact("digest", digestOf([]byte("other")))(s)
		s.level("audit")
	}},
}

func payload(text string) func(*scene) { return func(s *scene) { s.payload = []byte(text) } }

// targetOf is the targetArtifact that describes the artifact.
func targetOf() object {
	return object{{"digest", artifact.Digest}, {"mediaType", artifact.MediaType}, {"size", artifact.Size}}
}

// target changes the members of targetArtifact.
func target(edit func(*object)) func(*scene) {
	return func(s *scene) {
		members := targetOf()
		edit(&members)
		s.payload = object{{"targetArtifact", members}}.encode()
	}
}

func otherArtifact(member string, value any) func(*scene) {
	return target(func(o *object) { o.set(member, value) })
}
