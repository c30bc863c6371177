//go:build !windows

package artifact

import ocispec "github.com/opencontainers/image-spec/specs-go/v1"

// lockFile is the file of a layout that writers lock. The one that is always
// there will do, since locks do not keep anyone from reading it.
const lockFile = ocispec.ImageLayoutFile
