package main

import (
	"slices"
	"strings"
)

const typeArtifact = "application/vnd.oci.artifact.manifest.v1+json"

// manifests is about signature manifests, most of which come with a JWS envelope
// alone: the format makes no difference to them.
var manifests = []scenario{
	{"MAN-01", "manifest without fault", valid, both, stored(func(m *manifest) {})},
	{"MAN-01", "media type of an index", notSignature, []string{jws}, stored(func(m *manifest) {
		m.mediaType = "application/vnd.oci.image.index.v1+json"
		m.members.set("mediaType", m.mediaType)
	})},
	{"MAN-01", "another media type inside than outside", notSignature, []string{jws}, stored(func(m *manifest) { m.members.set("mediaType", "application/vnd.oci.image.index.v1+json") })},
	{"MAN-01", "media type of Docker", notSignature, []string{jws}, stored(func(m *manifest) {
		m.mediaType = "application/vnd.docker.distribution.manifest.v2+json"
		m.members.set("mediaType", m.mediaType)
	})},
	{"MAN-01", "not JSON", notSignature, []string{jws}, stored(func(m *manifest) { m.bytes = func(data []byte) []byte { return data[:len(data)-1] } })},
	{"MAN-01", "array", notSignature, []string{jws}, stored(func(m *manifest) {
		m.bytes = func(data []byte) []byte { return slices.Concat([]byte("["), data, []byte("]")) }
	})},
	{"MAN-03", "legacy manifest, type in the config", valid, both, stored(func(m *manifest) {
		m.members.drop("artifactType")
		m.change("config", func(o *object) { o.set("mediaType", typeSignature) })
	})},
	{"MAN-03", "neither artifact type nor config of signatures", notSignature, []string{jws}, stored(func(m *manifest) { m.members.drop("artifactType") })},
	{"MAN-04", "another artifact type", notSignature, []string{jws}, stored(func(m *manifest) { m.members.set("artifactType", "application/vnd.example.vectors") })},
	{"MAN-04", "artifact type in capitals", notSignature, []string{jws}, stored(func(m *manifest) { m.members.set("artifactType", strings.ToUpper(typeSignature)) })},
	{"MAN-04", "artifact type of signatures, config of an image", notSignature, []string{jws}, stored(func(m *manifest) {
		m.change("config", func(o *object) { o.set("mediaType", "application/vnd.oci.image.config.v1+json") })
	})},
	{"MAN-04", "artifact type and config both of signatures", notSignature, []string{jws}, stored(func(m *manifest) {
		m.change("config", func(o *object) { o.set("mediaType", typeSignature) })
	})},
	{"MAN-04", "another artifact type, config of signatures", notSignature, []string{jws}, stored(func(m *manifest) {
		m.members.set("artifactType", "application/vnd.example.vectors")
		m.change("config", func(o *object) { o.set("mediaType", typeSignature) })
	})},
	{"MAN-05", "two layers", notSignature, both, stored(func(m *manifest) {
		m.members.set("layers", []object{*m.layer(), *m.layer()})
	})},
	{"MAN-05", "no layer", notSignature, []string{jws}, stored(func(m *manifest) { m.members.set("layers", []object{}) })},
	{"MAN-05", "no layers member", notSignature, []string{jws}, stored(func(m *manifest) { m.members.drop("layers") })},
	{"MAN-05", "layer of another media type", notSignature, both, stored(func(m *manifest) { m.layer().set("mediaType", "application/json") })},
	{"MAN-05", "layer without a media type", notSignature, []string{jws}, stored(func(m *manifest) { m.layer().drop("mediaType") })},
	{"MAN-05", "layer with the media type of the other format", malformed, both, stored(func(m *manifest) {
		other := map[string]string{typeJWS: typeCOSE, typeCOSE: typeJWS}
		m.layer().set("mediaType", other[get[string](*m.layer(), "mediaType")])
	})},
	{"MAN-06", "no subject", notSignature, []string{jws}, stored(func(m *manifest) { m.members.drop("subject") })},
	{"MAN-23", "subject with another digest", notSignature, []string{jws}, subject("digest", digestOf([]byte("other")))},
	{"MAN-23", "subject with another size", notSignature, []string{jws}, subject("size", artifact.Size+1)},
	{"MAN-23", "subject with another media type", notSignature, []string{jws}, subject("mediaType", "application/vnd.oci.image.index.v1+json")},
	{"MAN-07", "thumbprints in capitals", valid, both, annotation(strings.ToUpper(thumbprints(leaf.RawChain())))},
	{"MAN-07", "no annotations", valid, both, stored(func(m *manifest) { m.members.drop("annotations") })},
	{"MAN-07", "thumbprints that are no JSON", valid, []string{jws}, annotation("ab")},
	{"MAN-09", "annotations of others", valid, []string{jws}, stored(func(m *manifest) {
		m.change("annotations", func(o *object) { o.set("com.example.note", "x"); o.set("io.cncf.notary.example", "y") })
	})},
	{"MAN-09", "annotation that is a number", notSignature, []string{jws}, stored(func(m *manifest) {
		m.change("annotations", func(o *object) { o.set("com.example.note", 1) })
	})},
	{"MAN-10", "members in another order", valid, []string{jws}, stored(func(m *manifest) { slices.Reverse(m.members) })},
	{"MAN-10", "unknown member", valid, []string{jws}, stored(func(m *manifest) { m.members.add("com.example.note", 1) })},
	{"MAN-11", "retired artifact manifest", valid, both, retired(func(*manifest) {})},
	{"MAN-11", "retired artifact manifest of another type", notSignature, []string{jws}, retired(func(m *manifest) { m.members.set("artifactType", "application/vnd.example.vectors") })},
	{"MAN-11", "retired artifact manifest with two blobs", notSignature, []string{jws}, retired(func(m *manifest) {
		blobs := get[[]object](m.members, "blobs")
		m.members.set("blobs", append(blobs, blobs[0]))
	})},
	{"MAN-12", "envelope said to be larger than 32 MiB", notSignature, both, stored(func(m *manifest) { m.layer().set("size", 32<<20+1) })},
	{"MAN-19", "thumbprints of others", authenticity, both, annotation(thumbprints(stranger.RawChain()))},
	{"MAN-19", "thumbprints of others, at level audit", valid, both, func(s *scene) {
		annotation(thumbprints(stranger.RawChain()))(s)
		s.level("audit")
	}},
	{"MAN-20", "envelope with another digest", notSignature, both, stored(func(m *manifest) { m.layer().set("digest", digestOf([]byte("other"))) })},
	{"MAN-20", "envelope with another size", notSignature, []string{jws}, stored(func(m *manifest) { m.layer().set("size", get[int](*m.layer(), "size")-1) })},
	{"MAN-20", "envelope with a malformed digest", notSignature, []string{jws}, stored(func(m *manifest) { m.layer().set("digest", "sha256:zz") })},
	{"MAN-20", "envelope by its SHA-512", valid, []string{jws}, func(s *scene) {
		s.manifest = func(m *manifest) { m.layer().set("digest", digest512(s.envelope())) }
	}},
	{"VER-10", "tampered envelope in a manifest without fault", integrity, []string{jws}, func(s *scene) {
		resigned(func(value []byte) []byte { value[7] ^= 1; return value })(s)
		s.manifest = func(*manifest) {}
	}},
}

// stored changes the signature manifest.
func stored(edit func(*manifest)) func(*scene) { return func(s *scene) { s.manifest = edit } }

func subject(member string, value any) func(*scene) {
	return stored(func(m *manifest) { m.change("subject", func(o *object) { o.set(member, value) }) })
}

func annotation(thumbprints string) func(*scene) {
	return stored(func(m *manifest) {
		m.change("annotations", func(o *object) { o.set("io.cncf.notary.x509chain.thumbprint#S256", thumbprints) })
	})
}

// retired makes the manifest one of the type that OCI has given up.
func retired(edit func(*manifest)) func(*scene) {
	return stored(func(m *manifest) {
		m.mediaType = typeArtifact
		m.members.set("mediaType", typeArtifact)
		m.members.rename("layers", "blobs")
		m.members.drop("config")
		m.members.drop("schemaVersion")
		edit(m)
	})
}
