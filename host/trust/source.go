package trust

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// The names of policy files in the configuration directory (TP-01, TP-02).
const (
	OCIPolicyFile    = "trustpolicy.oci.json"
	LegacyPolicyFile = "trustpolicy.json"
	BlobPolicyFile   = "trustpolicy.blob.json"
)

// maxPolicySize bounds a policy file, in bytes.
const maxPolicySize = 16 << 20

// PolicySource is where a verifier gets its policies from. What it returns is
// the policy in force at the time of the call.
type PolicySource interface {
	OCIPolicy(ctx context.Context) (*OCIPolicy, error)
	BlobPolicy(ctx context.Context) (*BlobPolicy, error)
}

// FilePolicies reads policies from a configuration directory.
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

// ReadOCI returns the bytes of the policy file in force and its path.
func (f FilePolicies) ReadOCI() (data []byte, path string, err error) {
	path = filepath.Join(f.Dir, OCIPolicyFile)
	data, err = f.read(path)
	if errors.Is(err, fs.ErrNotExist) {
		path = filepath.Join(f.Dir, LegacyPolicyFile)
		data, err = f.read(path)
	}
	return data, path, notPresent(err)
}

// ReadBlob returns the bytes of the blob policy file and its path.
func (f FilePolicies) ReadBlob() (data []byte, path string, err error) {
	path = filepath.Join(f.Dir, BlobPolicyFile)
	data, err = f.read(path)
	return data, path, notPresent(err)
}

// PolicyNotFoundError says that there is no policy file. It wraps fs.ErrNotExist.
type PolicyNotFoundError struct{ err error }

func (e *PolicyNotFoundError) Error() string {
	return "trust policy is not present. To create a trust policy, see: " + quickstart
}

// Unwrap returns an error that is fs.ErrNotExist.
func (e *PolicyNotFoundError) Unwrap() error { return e.err }

func notPresent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &PolicyNotFoundError{err}
	}
	return err
}

// read returns a policy file's bytes, unless it is no regular file.
func (f FilePolicies) read(path string) ([]byte, error) {
	stat := os.Lstat
	if f.AllowSymlinks {
		stat = os.Stat
	}
	info, err := stat(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return nil, fmt.Errorf("unable to read trust policy file %s: %w", path, errors.Unwrap(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("trust policy is not a regular file (symlinks are not supported): replace %s by a file. To create a trust policy, see: %s", path, quickstart)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("unable to read trust policy due to file permissions, please verify the permissions of %s", path)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxPolicySize+1))
	if err != nil {
		return nil, fmt.Errorf("unable to read trust policy file %s: %w", path, err)
	}
	if len(data) > maxPolicySize {
		return nil, fmt.Errorf("trust policy file %s is larger than %d MiB", path, maxPolicySize>>20)
	}
	return data, nil
}
