package trust

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"github.com/signet-project/signet/host/internal/filestate"
	"github.com/signet-project/signet/host/internal/wholefile"
)

// The names of policy files in the configuration directory (TP-01, TP-02).
const (
	OCIPolicyFile    = "trustpolicy.oci.json"
	LegacyPolicyFile = "trustpolicy.json"
	BlobPolicyFile   = "trustpolicy.blob.json"
)

// MaxPolicySize bounds a policy file, in bytes.
const MaxPolicySize = 4 << 20

// PolicySource is where a verifier gets its policies from. What it returns is
// the policy in force at the time of the call. Implementations may be used by
// several goroutines at once.
type PolicySource interface {
	OCIPolicy(ctx context.Context) (*OCIPolicy, error)
	BlobPolicy(ctx context.Context) (*BlobPolicy, error)
}

// FilePolicies reads policies from a configuration directory, anew each time;
// PolicyCache is the PolicySource for more than one verification. Errors are
// *PolicyNotFoundError, *PolicyFileError and those of ParseOCIPolicy.
type FilePolicies struct {
	Dir string
	// AllowSymlinks lets policy files be symbolic links, as mounted
	// configuration has them. By default a link is refused (TP-03).
	AllowSymlinks bool
}

// OCIPolicy reads trustpolicy.oci.json, or else the legacy trustpolicy.json.
func (f FilePolicies) OCIPolicy(context.Context) (*OCIPolicy, error) {
	data, _, err := f.ReadOCI()
	if err != nil {
		return nil, err
	}
	return ParseOCIPolicy(data)
}

// BlobPolicy reads trustpolicy.blob.json.
func (f FilePolicies) BlobPolicy(context.Context) (*BlobPolicy, error) {
	data, _, err := f.ReadBlob()
	if err != nil {
		return nil, err
	}
	return ParseBlobPolicy(data)
}

// ReadOCI returns the bytes of the policy file in force and its path; with an
// error, the path of the file that it is about.
func (f FilePolicies) ReadOCI() (data []byte, path string, err error) {
	data, path, _, err = f.read(ociFiles)
	return data, path, err
}

// ReadBlob returns the bytes of the blob policy file and its path.
func (f FilePolicies) ReadBlob() (data []byte, path string, err error) {
	data, path, _, err = f.read(blobFiles)
	return data, path, err
}

// The files of a policy, of which the first that is there counts.
var (
	ociFiles  = []string{OCIPolicyFile, LegacyPolicyFile}
	blobFiles = []string{BlobPolicyFile}
)

// read returns the content of the first of the files that is there.
func (f FilePolicies) read(names []string) (data []byte, path string, info fs.FileInfo, err error) {
	for _, name := range names {
		path = filepath.Join(f.Dir, name)
		data, info, err = wholefile.ReadRegular(path, MaxPolicySize, f.AllowSymlinks)
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return data, path, info, policyError(path, err)
}

// look returns how the first of the files looks that is there.
func (f FilePolicies) look(names []string) (now filestate.State, err error) {
	for _, name := range names {
		now, err = lookFunc(f.AllowSymlinks)(filepath.Join(f.Dir, name))
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return now, err
}

// PolicyNotFoundError says that there is no policy file. It wraps fs.ErrNotExist.
type PolicyNotFoundError struct{ err error }

// Error says how to get a policy (TP-03).
func (e *PolicyNotFoundError) Error() string {
	return "trust policy is not present. To create a trust policy, see: " + quickstart
}

// Unwrap returns an error that is fs.ErrNotExist.
func (e *PolicyNotFoundError) Unwrap() error { return e.err }

// PolicyFileError says that a policy file is there and cannot be used.
type PolicyFileError struct {
	Path string
	// Err is fs.ErrPermission, that the file is not a regular one, or another
	// error of the file system.
	Err error
}

// Error says what is wrong with the file (TP-03).
func (e *PolicyFileError) Error() string {
	switch {
	case errors.Is(e.Err, wholefile.ErrNotRegular):
		return "trust policy is not a regular file (symlinks are not supported). To create a trust policy, see: " + quickstart
	case errors.Is(e.Err, fs.ErrPermission):
		return fmt.Sprintf("unable to read trust policy due to file permissions, please verify the permissions of %s", e.Path)
	}
	return fmt.Sprintf("unable to read trust policy: %v", e.Err)
}

// Unwrap returns the error of the file system.
func (e *PolicyFileError) Unwrap() error { return e.Err }

func policyError(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return &PolicyNotFoundError{err}
	}
	return &PolicyFileError{path, err}
}

// PolicyCache is a PolicySource that parses the policies of a configuration
// directory once, and again when a file's inode, size, mode or times have
// changed. A file changed less than 2 s before it was read is read again. An
// error is never kept. It may be used by several goroutines at once.
type PolicyCache struct {
	files FilePolicies
	now   func() time.Time
	oci   cachedPolicy[*OCIPolicy]
	blob  cachedPolicy[*BlobPolicy]
}

// NewPolicyCache returns a cache in front of files. now is the clock; nil
// means time.Now.
func NewPolicyCache(files FilePolicies, now func() time.Time) *PolicyCache {
	if now == nil {
		now = time.Now
	}
	return &PolicyCache{files: files, now: now}
}

// OCIPolicy returns the OCI policy in force. It is shared: nobody may change it.
func (c *PolicyCache) OCIPolicy(context.Context) (*OCIPolicy, error) {
	return c.oci.get(c, ociFiles, ParseOCIPolicy)
}

// BlobPolicy returns the blob policy in force. It is shared: nobody may change it.
func (c *PolicyCache) BlobPolicy(context.Context) (*BlobPolicy, error) {
	return c.blob.get(c, blobFiles, ParseBlobPolicy)
}

// cachedPolicy is a parsed policy and how its file looked. A file of another
// name has another inode, so the name need not be kept.
type cachedPolicy[P any] struct {
	mu     sync.Mutex
	seen   snapshot
	policy P
}

func (c *cachedPolicy[P]) get(cache *PolicyCache, names []string, parse func([]byte) (P, error)) (P, error) {
	var none P
	state, err := cache.files.look(names)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && c.seen.holds(state) {
		return c.policy, nil
	}
	now := cache.now()
	data, _, info, err := cache.files.read(names)
	if err != nil {
		return none, err
	}
	policy, err := parse(data)
	if err != nil {
		return none, err
	}
	c.seen, c.policy = newSnapshot(info, now), policy
	return policy, nil
}
