package artifact

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2/registry"
)

// Reference names an artifact in a registry (REG-01).
type Reference struct {
	// Registry is the host with its port, as the user wrote it.
	Registry string
	// Repository is the path in the registry.
	Repository string
	// Reference is a tag or a digest.
	Reference string
}

// ParseReference reads <registry>/<repository>:<tag> or
// <registry>/<repository>@<digest>; of both, the digest counts.
func ParseReference(s string) (Reference, error) {
	const expecting = "Expecting <registry>/<repository>:<tag> or <registry>/<repository>@<digest>"
	ref, err := registry.ParseReference(s)
	if err != nil {
		return Reference{}, fmt.Errorf("%q: %w. %s", s, err, expecting)
	}
	if ref.Reference == "" {
		return Reference{}, fmt.Errorf("%q: invalid reference: no tag or digest. %s", s, expecting)
	}
	return Reference{Registry: ref.Registry, Repository: ref.Repository, Reference: ref.Reference}, nil
}

// Name returns registry/repository as the user wrote it: what trust policy
// scopes are compared with (TP-20).
func (r Reference) Name() string { return r.Registry + "/" + r.Repository }

// IsTag tells whether the reference can point to something else tomorrow.
func (r Reference) IsTag() bool { return !IsDigest(r.Reference) }

// IsDigest tells whether a tag-or-digest is a digest.
func IsDigest(reference string) bool { return digest.Digest(reference).Validate() == nil }

// LayoutReference names an artifact in an OCI layout on disk.
type LayoutReference struct {
	// Path of the layout's directory.
	Path string
	// Reference is a tag or a digest.
	Reference string
}

// IsTag tells whether the reference can point to something else tomorrow.
func (r LayoutReference) IsTag() bool { return !IsDigest(r.Reference) }

// ParseLayoutReference reads <path>:<tag> or <path>@<digest> (CLI-12). On
// Windows a colon after a single letter belongs to the path.
func ParseLayoutReference(s string) (LayoutReference, error) {
	return parseLayoutReference(s, runtime.GOOS == "windows")
}

func parseLayoutReference(s string, windows bool) (LayoutReference, error) {
	const expecting = "Expecting <path>:<tag> or <path>@<digest>"
	if i := strings.LastIndex(s, "@"); i >= 0 {
		if IsDigest(s[i+1:]) {
			return layoutReference(s, s[:i], s[i+1:])
		}
		return LayoutReference{}, fmt.Errorf("%q: invalid reference: %q is not a digest. %s", s, s[i+1:], expecting)
	}
	i := strings.LastIndex(s, ":")
	if i < 0 || (windows && i == 1) {
		return LayoutReference{}, fmt.Errorf("%q: invalid reference: no tag or digest. %s", s, expecting)
	}
	return layoutReference(s, s[:i], s[i+1:])
}

func layoutReference(s, path, reference string) (LayoutReference, error) {
	if path == "" || reference == "" || strings.ContainsAny(reference, `/\`) {
		return LayoutReference{}, fmt.Errorf("%q: invalid reference. Expecting <path>:<tag> or <path>@<digest>", s)
	}
	return LayoutReference{Path: path, Reference: reference}, nil
}
