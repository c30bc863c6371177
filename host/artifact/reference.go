package artifact

import (
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2/registry"
)

// Reference names an artifact in a registry: <registry>/<repository>:<tag> or
// <registry>/<repository>@<digest>.
type Reference struct {
	// Registry is the host, with its port if any, as it was written.
	Registry string
	// Repository is the path inside the registry.
	Repository string
	// Reference is a tag, or a digest in the form "sha256:<hex>".
	Reference string
}

// ReferenceError says why a text is not a reference.
type ReferenceError struct {
	// Input is the text.
	Input string
	// Reason says what is wrong with it.
	Reason string

	expecting string
}

// Error quotes the text, with the reason and the form that is expected.
func (e *ReferenceError) Error() string {
	return fmt.Sprintf("%q: invalid reference: %s. Expecting %s", e.Input, e.Reason, e.expecting)
}

// ParseReference reads the name of an artifact in a registry (REG-01, REG-02).
// It has to be fully qualified, with a tag or a digest; of a tag together with a
// digest only the digest counts. Errors are [*ReferenceError].
func ParseReference(text string) (Reference, error) {
	fail := func(reason string, args ...any) (Reference, error) {
		return Reference{}, &ReferenceError{
			Input: text, Reason: fmt.Sprintf(reason, args...),
			expecting: "<registry>/<repository>:<tag> or <registry>/<repository>@<digest>",
		}
	}
	host, path, found := strings.Cut(text, "/")
	if !found {
		return fail("missing registry or repository")
	}
	ref := Reference{Registry: host}
	if (registry.Reference{Registry: host}).ValidateRegistry() != nil {
		return fail("invalid registry %q", host)
	}
	path, digestText, hasDigest := strings.Cut(path, "@")
	path, tag, hasTag := strings.Cut(path, ":")
	ref.Repository = path
	if (registry.Reference{Repository: path}).ValidateRepository() != nil {
		return fail("invalid repository %q", path)
	}
	switch {
	case hasDigest:
		if !IsDigest(digestText) {
			return fail("invalid digest %q", digestText)
		}
		ref.Reference = digestText
	case hasTag:
		if !isTag(tag) {
			return fail("invalid tag %q", tag)
		}
		ref.Reference = tag
	default:
		return fail("no tag or digest")
	}
	return ref, nil
}

// Name is <registry>/<repository> byte for byte as the user wrote it: what the
// scopes of a trust policy are compared with (TP-20).
func (r Reference) Name() string { return r.Registry + "/" + r.Repository }

// Host is the host that is contacted for Registry: registry-1.docker.io for
// docker.io, else the same (REG-02).
func (r Reference) Host() string { return registry.Reference{Registry: r.Registry}.Host() }

// IsTag tells whether the reference can point to something else tomorrow.
func (r Reference) IsTag() bool { return !IsDigest(r.Reference) }

// String is the reference in full.
func (r Reference) String() string { return JoinReference(r.Name(), r.Reference) }

// IsDigest tells whether a tag-or-digest is a digest.
func IsDigest(reference string) bool {
	_, err := digest.Parse(reference)
	return err == nil
}

// JoinReference writes a repository or layout with a tag or digest as users do:
// name:tag or name@digest.
func JoinReference(name, reference string) string {
	if IsDigest(reference) {
		return name + "@" + reference
	}
	return name + ":" + reference
}

// LayoutReference names an artifact in an OCI layout: <path>:<tag> or <path>@<digest>.
type LayoutReference struct {
	// Path is the layout's directory.
	Path string
	// Reference is a tag, or a digest in the form "sha256:<hex>".
	Reference string
}

// ParseLayoutReference reads the name of an artifact in an OCI layout (CLI-12). The
// colon of a Windows drive is part of the path. Errors are [*ReferenceError].
func ParseLayoutReference(text string) (LayoutReference, error) {
	fail := func(reason string, args ...any) (LayoutReference, error) {
		return LayoutReference{}, &ReferenceError{
			Input: text, Reason: fmt.Sprintf(reason, args...),
			expecting: "<file_path>:<tag> or <file_path>@<digest>",
		}
	}
	const missingPath = "missing oci-layout file path"
	// No digest has a separator in it: such an @ belongs to a directory's name.
	if i := strings.LastIndexByte(text, '@'); i >= 0 && !strings.ContainsAny(text[i:], `/\`) {
		path, digestText := text[:i], text[i+1:]
		switch {
		case path == "":
			return fail(missingPath)
		case digestText == "":
			return fail("missing tag or digest")
		case !IsDigest(digestText):
			return fail("invalid digest %q", digestText)
		}
		return LayoutReference{Path: path, Reference: digestText}, nil
	}
	i := strings.LastIndexByte(text, ':')
	if i < 0 || i+1 == len(text) || strings.ContainsAny(text[i:], `/\`) {
		return fail("missing tag or digest")
	}
	path, tag := text[:i], text[i+1:]
	if path == "" {
		return fail(missingPath)
	}
	if !isTag(tag) {
		return fail("invalid tag %q", tag)
	}
	return LayoutReference{Path: path, Reference: tag}, nil
}

// IsTag tells whether the reference can point to something else tomorrow.
func (r LayoutReference) IsTag() bool { return !IsDigest(r.Reference) }

// String is the reference in full.
func (r LayoutReference) String() string { return JoinReference(r.Path, r.Reference) }

// isTag tells whether a text is a tag as the OCI distribution specification has it:
// [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}. An expression with such a bound takes longer to
// compile than all else that is done with a reference.
func isTag(text string) bool {
	const maxTag = 128
	if text == "" || len(text) > maxTag || text[0] == '.' || text[0] == '-' {
		return false
	}
	for _, c := range []byte(text) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '.', c == '-':
		default:
			return false
		}
	}
	return true
}

// checkTagOrDigest refuses what is neither, before it becomes part of a URL.
func checkTagOrDigest(reference string) error {
	if !isTag(reference) && !IsDigest(reference) {
		return fmt.Errorf("%q is neither a tag nor a digest", reference)
	}
	return nil
}
