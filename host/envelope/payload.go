package envelope

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// payloadJWS writes a descriptor with its members sorted by name, payloadCOSE in
// the order of the OCI descriptor: each as the reference does in that format.
type payloadJWS struct {
	Target struct {
		Annotations  map[string]string `json:"annotations,omitempty"`
		ArtifactType string            `json:"artifactType,omitempty"`
		Digest       digest.Digest     `json:"digest"`
		MediaType    string            `json:"mediaType"`
		Size         int64             `json:"size"`
	} `json:"targetArtifact"`
}

type payloadCOSE struct {
	Target struct {
		MediaType    string            `json:"mediaType"`
		Digest       digest.Digest     `json:"digest"`
		Size         int64             `json:"size"`
		Annotations  map[string]string `json:"annotations,omitempty"`
		ArtifactType string            `json:"artifactType,omitempty"`
	} `json:"targetArtifact"`
}

// MarshalPayload writes the payload for a target artifact: its media type,
// digest, size, annotations and artifact type, and no other member of the
// descriptor. The order of members goes by the envelope's media type; what an
// envelope plugin is sent has the order of MediaTypeCOSE. Errors:
// *UnsupportedError, or *InvalidError for a descriptor that Target would refuse.
func MarshalPayload(mediaType string, target ocispec.Descriptor) ([]byte, error) {
	if err := checkTarget(target); err != nil {
		return nil, err
	}
	for name, value := range target.Annotations {
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return nil, invalid("annotation %q is not valid UTF-8", name)
		}
	}
	if !utf8.ValidString(target.MediaType) || !utf8.ValidString(target.ArtifactType) {
		return nil, invalid("the media type of the target artifact is not valid UTF-8")
	}
	switch mediaType {
	case MediaTypeJWS:
		var p payloadJWS
		p.Target.Annotations, p.Target.ArtifactType = target.Annotations, target.ArtifactType
		p.Target.Digest, p.Target.MediaType, p.Target.Size = target.Digest, target.MediaType, target.Size
		return json.Marshal(p)
	case MediaTypeCOSE:
		var p payloadCOSE
		p.Target.Annotations, p.Target.ArtifactType = target.Annotations, target.ArtifactType
		p.Target.Digest, p.Target.MediaType, p.Target.Size = target.Digest, target.MediaType, target.Size
		return json.Marshal(p)
	}
	return nil, &UnsupportedError{mediaType}
}

// checkTarget checks the members that a payload must have.
func checkTarget(target ocispec.Descriptor) error {
	if target.MediaType == "" || target.Digest == "" {
		return invalid("the payload's targetArtifact must have mediaType, digest and size")
	}
	if target.Size < 0 {
		return invalid("the payload's targetArtifact has a negative size")
	}
	// A digest of an algorithm this program lacks is still well-formed.
	if isSHA256(target.Digest) {
		return nil
	}
	if err := target.Digest.Validate(); err != nil && !errors.Is(err, digest.ErrDigestUnsupported) {
		return invalid("the payload's targetArtifact has a malformed digest: %v", err)
	}
	return nil
}

// isSHA256 tells of a well-formed digest of the usual algorithm that it is one, without
// the expressions that Validate matches.
func isSHA256(d digest.Digest) bool {
	encoded, ok := strings.CutPrefix(string(d), "sha256:")
	if !ok || len(encoded) != 2*sha256.Size {
		return false
	}
	for _, c := range []byte(encoded) {
		if (c < '0' || '9' < c) && (c < 'a' || 'f' < c) {
			return false
		}
	}
	return true
}

// targetMembers are the members of targetArtifact that Target reads, descriptorMembers
// all those an OCI descriptor may have.
var (
	targetMembers     = []string{"mediaType", "digest", "size", "annotations", "artifactType"}
	descriptorMembers = append(slices.Clone(targetMembers), "urls", "data", "platform")
)

// Target reads the descriptor of the signed artifact out of the payload: its
// media type, digest, size (exactly), annotations and artifact type. Members it
// does not know are ignored. The error is an *InvalidError.
func (e *Envelope) Target() (ocispec.Descriptor, error) {
	target, _, err := readPayload(e.Payload)
	return target, err
}

// CheckUnchanged checks the payload of an envelope that a plugin generated
// against the descriptor it was asked to sign: the same media type, digest and
// size, the annotations kept, further ones allowed, and no member that a payload
// or a descriptor does not have (plugin-extensibility.md, generate-envelope).
// The error is an *InvalidError.
func (e *Envelope) CheckUnchanged(requested ocispec.Descriptor) error {
	target, unknown, err := readPayload(e.Payload)
	if err != nil {
		return err
	}
	same := target.MediaType == requested.MediaType && target.Digest == requested.Digest && target.Size == requested.Size
	if target.ArtifactType != "" && requested.ArtifactType != "" && target.ArtifactType != requested.ArtifactType {
		same = false
	}
	for name, value := range requested.Annotations {
		if kept, ok := target.Annotations[name]; !ok || kept != value {
			same = false
		}
	}
	if !same {
		return invalid("during signing descriptor subject has changed from %s to %s", describe(requested), describe(target))
	}
	if len(unknown) > 0 {
		return invalid("during signing, following unknown attributes were added to subject descriptor: %+q", unknown)
	}
	return nil
}

// describe renders the signed members of a descriptor for a message.
func describe(d ocispec.Descriptor) string {
	return fmt.Sprintf("{mediaType:%q digest:%q size:%d annotations:%q}", d.MediaType, d.Digest, d.Size, d.Annotations)
}

// readPayload reads a payload and lists the members it does not know, those of
// an OCI descriptor excepted.
func readPayload(payload []byte) (target ocispec.Descriptor, unknown []string, err error) {
	r, err := newJSONReader(payload)
	if err != nil {
		return ocispec.Descriptor{}, nil, invalid("the payload cannot be decoded: %v", err)
	}
	defer r.release()
	targetSeen, sizeSeen := false, false
	err = r.members(func(name string) error {
		if name == "targetArtifact" {
			targetSeen = true
			return r.members(func(name string) (err error) {
				sizeSeen = sizeSeen || name == "size"
				if !slices.Contains(descriptorMembers, name) {
					unknown = append(unknown, name)
				}
				return r.targetMember(name, &target)
			})
		}
		unknown = append(unknown, name)
		return r.skipUnknown(name, "targetArtifact")
	})
	if err == nil {
		err = r.end()
	}
	switch {
	case err != nil:
		err = invalid("the payload cannot be decoded: %v", err)
	case !targetSeen:
		err = invalid("the payload has no targetArtifact")
	case !sizeSeen:
		err = invalid("the payload's targetArtifact must have mediaType, digest and size")
	default:
		err = checkTarget(target)
	}
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	return target, unknown, nil
}

// skipUnknown passes over a member, unless its name is a case variant of a
// known one.
func (r jsonReader) skipUnknown(name string, known ...string) error {
	if err := checkVariant(name, known...); err != nil {
		return err
	}
	return r.SkipValue()
}

// targetMember reads one member of targetArtifact. An optional one may be null.
func (r jsonReader) targetMember(name string, target *ocispec.Descriptor) (err error) {
	switch name {
	case "mediaType":
		target.MediaType, err = r.str()
	case "digest":
		var text string
		text, err = r.str()
		target.Digest = digest.Digest(text)
	case "size":
		target.Size, err = r.exactInt()
	case "artifactType":
		if r.PeekKind() == jsontext.KindNull {
			return r.SkipValue()
		}
		target.ArtifactType, err = r.str()
	case "annotations":
		if r.PeekKind() == jsontext.KindNull {
			return r.SkipValue()
		}
		target.Annotations = make(map[string]string)
		return r.members(func(name string) error {
			value, err := r.str()
			target.Annotations[name] = value
			return err
		})
	default:
		return r.skipUnknown(name, targetMembers...)
	}
	return err
}

// exactInt reads an integer without a detour through floating point.
func (r jsonReader) exactInt() (int64, error) {
	if r.PeekKind() != jsontext.KindNumber {
		return 0, r.unexpected("an integer")
	}
	value, err := r.ReadValue()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is not an integer of 64 bits", r.place())
	}
	return n, nil
}
