package artifact

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// index is an OCI index that can be added to without losing anything others put
// into it: members and entries it does not know are kept byte for byte.
type index struct {
	members map[string]json.RawMessage
	entries []indexEntry
}

// indexEntry is an entry as it was written, and the descriptor that it is; the empty
// one, which nobody looks for, if it has no digest.
type indexEntry struct {
	raw  json.RawMessage
	desc ocispec.Descriptor
}

func newIndex() *index {
	mediaType, _ := json.Marshal(ocispec.MediaTypeImageIndex)
	return &index{members: map[string]json.RawMessage{"schemaVersion": json.RawMessage("2"), "mediaType": mediaType}}
}

// parseIndex reads an index.
func parseIndex(data []byte) (*index, error) {
	if err := checkDensity(data); err != nil {
		return nil, err
	}
	result := &index{}
	if err := json.Unmarshal(data, &result.members); err != nil {
		return nil, fmt.Errorf("the index is not valid JSON: %w", err)
	}
	if result.members == nil {
		return nil, errors.New("the index is not a JSON object")
	}
	var raws []json.RawMessage
	if manifests, ok := result.members["manifests"]; ok {
		if err := json.Unmarshal(manifests, &raws); err != nil {
			return nil, fmt.Errorf("the manifests of the index are not an array: %w", err)
		}
	}
	delete(result.members, "manifests")
	for _, raw := range raws {
		entry := indexEntry{raw: raw}
		if err := json.Unmarshal(raw, &entry.desc); err != nil {
			return nil, fmt.Errorf("an entry of the index is not a descriptor: %w", err)
		}
		if entry.desc.Digest == "" {
			entry.desc = ocispec.Descriptor{}
		}
		result.entries = append(result.entries, entry)
	}
	return result, nil
}

// manifests lists what in the index can be signed as an artifact, each once.
func (x *index) manifests() ([]ocispec.Descriptor, error) {
	var list []ocispec.Descriptor
	listed := make(map[digest.Digest]bool, len(x.entries))
	for _, entry := range x.entries {
		if !isManifestType(entry.desc.MediaType) || listed[entry.desc.Digest] {
			continue
		}
		if err := checkSize(entry.desc, MaxManifestSize); err != nil {
			return nil, fmt.Errorf("an entry: %w", err)
		}
		listed[entry.desc.Digest] = true
		list = append(list, plain(entry.desc))
	}
	return list, nil
}

// readMembers is [Repository.Manifests] for any store.
func readMembers(ctx context.Context, from store, target ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	if !isIndexType(target.MediaType) {
		return nil, nil
	}
	bad := func(err error) ([]ocispec.Descriptor, error) {
		if failed, ok := errors.AsType[*RegistryError](err); ok {
			return nil, failed
		}
		return nil, fmt.Errorf("index %s: %w", target.Digest, err)
	}
	if err := checkSize(target, MaxManifestSize); err != nil {
		return bad(err)
	}
	data, err := from.readManifest(ctx, "index", target)
	if err != nil {
		return bad(err)
	}
	index, err := parseIndex(data)
	if err != nil {
		return bad(err)
	}
	members, err := index.manifests()
	if err != nil {
		return bad(err)
	}
	return members, nil
}

// isIndexType tells whether content of this media type lists manifests.
func isIndexType(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == mediaTypeDockerManifestList
}

// add puts a descriptor at the end and reports whether the index changed. An
// entry for the same content that says anything else about it is replaced.
func (x *index) add(desc ocispec.Descriptor) (bool, error) {
	raw, err := json.Marshal(desc)
	if err != nil {
		return false, err
	}
	changed, found := false, false
	x.entries = slices.DeleteFunc(x.entries, func(old indexEntry) bool {
		if !same(old.desc, desc) {
			return false
		}
		if !found && equalDescriptions(old.desc, desc) {
			found = true
			return false
		}
		changed = true
		return true
	})
	if found {
		return changed, nil
	}
	x.entries = append(x.entries, indexEntry{raw: raw, desc: desc})
	return true, nil
}

// addMissing adds those entries of other whose content x does not list; entries without
// a digest stay where they are.
func (x *index) addMissing(other *index) bool {
	type identity struct {
		mediaType, digest string
		size              int64
	}
	of := func(d ocispec.Descriptor) identity { return identity{d.MediaType, d.Digest.String(), d.Size} }
	listed := make(map[identity]bool, len(x.entries))
	for _, entry := range x.entries {
		listed[of(entry.desc)] = true
	}
	changed := false
	for _, entry := range other.entries {
		if id := of(entry.desc); !listed[id] && entry.desc.Digest != "" {
			listed[id], changed = true, true
			x.entries = append(x.entries, entry)
		}
	}
	return changed
}

// lists tells whether there is an entry for this content.
func (x *index) lists(desc ocispec.Descriptor) bool {
	return slices.ContainsFunc(x.entries, func(e indexEntry) bool { return same(e.desc, desc) })
}

// tag gives a tag to the entry of a manifest and takes it from any other. A
// manifest that has another tag already gets a second entry.
func (x *index) tag(desc ocispec.Descriptor, tag string) error {
	given := false
	for i, entry := range x.entries {
		refName := entry.desc.Annotations[ocispec.AnnotationRefName]
		var err error
		switch {
		case same(entry.desc, desc) && !given && (refName == "" || refName == tag):
			given = true
			x.entries[i], err = entry.tagged(tag)
		case refName == tag:
			x.entries[i], err = entry.tagged("")
		}
		if err != nil {
			return err
		}
	}
	if given {
		return nil
	}
	raw, err := json.Marshal(desc)
	if err != nil {
		return err
	}
	entry, err := indexEntry{raw: raw, desc: desc}.tagged(tag)
	x.entries = append(x.entries, entry)
	return err
}

// tagged returns the entry with a tag, or without one when tag is empty.
func (e indexEntry) tagged(tag string) (indexEntry, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(e.raw, &members); err != nil {
		return e, err
	}
	annotations := maps.Clone(e.desc.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[ocispec.AnnotationRefName] = tag
	delete(members, "annotations")
	if tag == "" {
		delete(annotations, ocispec.AnnotationRefName)
	}
	if len(annotations) > 0 {
		encoded, err := json.Marshal(annotations)
		if err != nil {
			return e, err
		}
		members["annotations"] = encoded
	}
	raw, err := json.Marshal(members)
	if err != nil {
		return e, err
	}
	e.raw, e.desc.Annotations = raw, annotations
	return e, nil
}

// equalDescriptions compares descriptors of the same content by what a reader filters by.
func equalDescriptions(a, b ocispec.Descriptor) bool {
	return a.ArtifactType == b.ArtifactType && maps.Equal(a.Annotations, b.Annotations)
}

// marshal writes the index with its members in the order of the OCI image-spec,
// unknown ones last.
func (x *index) marshal() ([]byte, error) {
	raws := make([][]byte, len(x.entries))
	for i, entry := range x.entries {
		raws[i] = entry.raw
	}
	members := maps.Clone(x.members)
	members["manifests"] = fmt.Appendf(nil, "[%s]", bytes.Join(raws, []byte(",")))
	order := []string{"schemaVersion", "mediaType", "artifactType", "manifests", "subject", "annotations"}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(order, name) {
			order = append(order, name)
		}
	}
	var out bytes.Buffer
	out.WriteByte('{')
	for _, name := range order {
		value, ok := members[name]
		if !ok {
			continue
		}
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		key, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		out.Write(key)
		out.WriteByte(':')
		out.Write(value)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}
