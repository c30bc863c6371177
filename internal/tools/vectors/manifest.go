package main

import "github.com/signet-project/signet/spec/vectors"

// manifest is a signature manifest in the making.
type manifest struct {
	mediaType string
	members   object
	// bytes changes the finished manifest.
	bytes func([]byte) []byte
}

// newManifest is the signature manifest for an envelope, as the specification has
// it.
func newManifest(envelope vectors.Content) *manifest {
	return &manifest{mediaType: typeImage, members: object{
		{"schemaVersion", 2},
		{"mediaType", typeImage},
		{"artifactType", typeSignature},
		{"config", descriptor(typeEmpty, []byte("{}"))},
		{"layers", []object{descriptor(envelope.MediaType, envelope.Data)}},
		{"subject", object{{"mediaType", artifact.MediaType}, {"digest", artifact.Digest}, {"size", artifact.Size}}},
		{"annotations", object{
			{"io.cncf.notary.x509chain.thumbprint#S256", thumbprints(leaf.RawChain())},
			{"org.opencontainers.image.created", "2026-05-01T08:00:00Z"},
		}},
	}}
}

func descriptor(mediaType string, data []byte) object {
	return object{{"mediaType", mediaType}, {"digest", digestOf(data)}, {"size", len(data)}}
}

// thumbprints is the value of the annotation for a chain.
func thumbprints(chain [][]byte) string {
	list := make([]string, len(chain))
	for i, der := range chain {
		list[i] = digestOf(der)[len("sha256:"):]
	}
	return string(jsonValue(list))
}

// layer returns the one layer, to be changed.
func (m *manifest) layer() *object { return &get[[]object](m.members, "layers")[0] }

// change changes a member that is an object.
func (m *manifest) change(name string, edit func(*object)) {
	o := get[object](m.members, name)
	edit(&o)
	m.members.set(name, o)
}

func (m *manifest) content() vectors.Content {
	data := m.members.encode()
	if m.bytes != nil {
		data = m.bytes(data)
	}
	return vectors.Content{MediaType: m.mediaType, Data: data}
}
