package trust

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/signet-project/signet/host/internal/wholefile"
	"github.com/signet-project/signet/host/pki"
)

// StoreType says what the certificates of a trust store may anchor.
type StoreType string

// The types of trust store.
const (
	// StoreCA anchors signatures of the signing scheme notary.x509.
	StoreCA StoreType = "ca"
	// StoreSigningAuthority anchors signatures of notary.x509.signingAuthority.
	StoreSigningAuthority StoreType = "signingAuthority"
	// StoreTSA anchors timestamp countersignatures.
	StoreTSA StoreType = "tsa"
)

// StoreTypes lists the types in the order in which listings show them.
var StoreTypes = []StoreType{StoreCA, StoreSigningAuthority, StoreTSA}

// StoreRef names a trust store, as "ca:acme" does in a trust policy.
type StoreRef struct {
	Type StoreType
	Name string
}

// String returns "type:name".
func (r StoreRef) String() string { return string(r.Type) + ":" + r.Name }

// Store is where a verifier gets trusted certificates from. Implementations
// may be used by several goroutines at once.
type Store interface {
	// Certificates returns what the named store holds now; at least one
	// certificate, or an error. The slice and what it points to are shared:
	// nobody may change them.
	Certificates(ctx context.Context, ref StoreRef) ([]*x509.Certificate, error)
}

var namePattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-zA-Z0-9_.-]+$`) })

// ValidName tells whether a name of a store may become part of a path (TS-02).
func ValidName(name string) bool {
	return namePattern().MatchString(name) && name != "." && name != ".."
}

// StoreError says that a trust store is missing or empty, which the user can
// mend by adding certificates (TS-08). It wraps fs.ErrNotExist.
type StoreError struct {
	Ref StoreRef
	// Missing is true when the store does not exist, false when it is empty.
	Missing bool
}

// Error names the store.
func (e *StoreError) Error() string {
	if e.Missing {
		return fmt.Sprintf("the trust store %q of type %q does not exist", e.Ref.Name, e.Ref.Type)
	}
	return fmt.Sprintf("no x509 certificates were found in trust store %q of type %q", e.Ref.Name, e.Ref.Type)
}

// Unwrap returns fs.ErrNotExist.
func (e *StoreError) Unwrap() error { return fs.ErrNotExist }

// StoreAccessError says that a trust store is there and its directory cannot be read
// (TS-03).
type StoreAccessError struct {
	Ref StoreRef
	// Err is an error of the file system, or that it is no directory.
	Err error
}

// Error names the store and the reason.
func (e *StoreAccessError) Error() string {
	return fmt.Sprintf("failed to access the trust store %q of type %q: %v", e.Ref.Name, e.Ref.Type, e.Err)
}

// Unwrap returns the reason.
func (e *StoreAccessError) Unwrap() error { return e.Err }

// CertificateFileError says that one file of a trust store cannot be used,
// which fails the whole store (TS-03, TS-04).
type CertificateFileError struct {
	Ref  StoreRef
	File string // its name within the store
	// Err is that the file cannot be read or parsed, is not a regular one, or
	// a *UntrustedCertificateError.
	Err error
}

// Error names the file, the store and the reason.
func (e *CertificateFileError) Error() string {
	place := fmt.Sprintf("%s in trust store %s of type %s", e.File, e.Ref.Name, e.Ref.Type)
	rule, broken := errors.AsType[*UntrustedCertificateError](e.Err)
	switch {
	case errors.Is(e.Err, wholefile.ErrNotRegular):
		return fmt.Sprintf("trusted certificate %s is not a regular file (directories or symlinks are not supported)", place)
	case broken && rule.Type == StoreTSA:
		return fmt.Sprintf("trusted certificate %s is invalid: %v", place, rule)
	case broken:
		return fmt.Sprintf("failed to validate the trusted certificate %s: %v", place, rule)
	}
	return fmt.Sprintf("failed to read the trusted certificate %s: %v", place, e.Err)
}

// Unwrap returns the reason.
func (e *CertificateFileError) Unwrap() error { return e.Err }

// UntrustedCertificateError says that a certificate may not be in a trust store
// of that type (TS-06, TS-07).
type UntrustedCertificateError struct {
	Type    StoreType
	Subject string
}

// Error names the certificate and the rule.
func (e *UntrustedCertificateError) Error() string {
	if e.Type == StoreTSA {
		return fmt.Sprintf("certificate with subject %q is not a root CA certificate: only self-signed CA certificates can anchor timestamps", e.Subject)
	}
	return fmt.Sprintf("certificate with subject %q is not a CA certificate or self-signed signing certificate", e.Subject)
}

// checkTrusted holds the rules on a store's certificates (TS-06, TS-07).
func checkTrusted(cert *x509.Certificate, kind StoreType) error {
	ok := pki.IsCA(cert) || pki.IsSelfSigned(cert)
	if kind == StoreTSA {
		ok = pki.IsCA(cert) && pki.IsSelfSigned(cert)
	}
	if !ok {
		return &UntrustedCertificateError{kind, pki.DisplayName(cert.RawSubject)}
	}
	return nil
}

// maxCertificateFile bounds one file of a trust store, in bytes.
const maxCertificateFile = 16 << 20

// DirStore is a Store of directories: dir/x509/{type}/{name}/{file} (TS-01). It
// parses a store once, and again when the inode, size, mode or times of its
// directory or of a file in it have changed; what changed less than 2 s before
// it was read is read again. Make it with NewDirStore.
type DirStore struct {
	// AllowSymlinks lets stores and certificate files be symbolic links, as
	// mounted configuration has them; names that begin with two dots are then
	// passed over. By default a link is refused (TS-03). Set it before use.
	AllowSymlinks bool
	// Now is the clock; nil means time.Now. Set it before use.
	Now func() time.Time

	dir string
	log *slog.Logger

	mu     sync.Mutex
	stores map[StoreRef]*cachedStore // the stores that could be read
}

// cachedStore is what a store held when its directory and files looked so. It
// never changes.
type cachedStore struct {
	path  string
	dir   snapshot
	files []cachedFile
	certs []*x509.Certificate // of all files
}

type cachedFile struct {
	path  string
	seen  snapshot
	certs []*x509.Certificate
}

// NewDirStore returns the trust store below dir, usually {CFG}/truststore. log
// receives warnings about what is passed over; nil means nowhere.
func NewDirStore(dir string, log *slog.Logger) *DirStore {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &DirStore{dir: dir, log: log, stores: map[StoreRef]*cachedStore{}}
}

// Path returns the directory of a named store.
func (s *DirStore) Path(ref StoreRef) string {
	return filepath.Join(s.dir, "x509", string(ref.Type), ref.Name)
}

// Certificates reads a named store: every regular .pem, .crt or .cer file in it
// (TS-03..08). One such file that cannot be read fails the whole store. Errors
// are *StoreError, *StoreAccessError, *CertificateFileError, or that the reference is
// not one.
func (s *DirStore) Certificates(_ context.Context, ref StoreRef) ([]*x509.Certificate, error) {
	if !slices.Contains(StoreTypes, ref.Type) {
		return nil, fmt.Errorf("unsupported trust store type: %s", ref.Type)
	}
	if !ValidName(ref.Name) {
		return nil, fmt.Errorf("trust store name needs to follow [a-zA-Z0-9_.-]+ format, %s is invalid", ref.Name)
	}
	s.mu.Lock()
	cached := s.stores[ref]
	s.mu.Unlock()
	if cached != nil && s.current(cached) {
		return cached.certs, nil
	}
	loaded, err := s.load(ref, cached)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.stores[ref] = loaded
	s.mu.Unlock()
	return loaded.certs, nil
}

// current tells whether nothing has changed since a store was read.
func (s *DirStore) current(cached *cachedStore) bool {
	look := lookFunc(s.AllowSymlinks)
	now, err := look(cached.path)
	if err != nil || !cached.dir.holds(now) {
		return false
	}
	for i := range cached.files {
		now, err := look(cached.files[i].path)
		if err != nil || !cached.files[i].seen.holds(now) {
			return false
		}
	}
	return true
}

// load reads a store, but not those files that look as they did before.
func (s *DirStore) load(ref StoreRef, before *cachedStore) (*cachedStore, error) {
	dir, paths, err := s.list(ref)
	if err != nil {
		return nil, err
	}
	loaded := &cachedStore{path: s.Path(ref), dir: dir}
	for _, path := range paths {
		file, err := s.readFile(path, ref.Type, before)
		if err != nil {
			return nil, &CertificateFileError{ref, filepath.Base(path), err}
		}
		loaded.files = append(loaded.files, file)
		loaded.certs = append(loaded.certs, file.certs...)
	}
	if len(loaded.certs) == 0 {
		return nil, &StoreError{Ref: ref}
	}
	loaded.certs = slices.Clip(loaded.certs)
	return loaded, nil
}

// list returns the files of a store that count, sorted by name, and how its
// directory looked before.
func (s *DirStore) list(ref StoreRef) (snapshot, []string, error) {
	entries, dir, err := s.readDir(ref)
	if err != nil {
		return snapshot{}, nil, err
	}
	var paths []string
	for _, entry := range entries {
		path := filepath.Join(s.Path(ref), entry.Name())
		mode := entry.Type()
		if mode&fs.ModeSymlink != 0 && s.AllowSymlinks {
			if strings.HasPrefix(entry.Name(), "..") {
				continue
			}
			if info, err := os.Stat(path); err == nil {
				mode = info.Mode().Type()
			}
		}
		switch {
		case mode.IsDir():
			s.warnDirectory(path)
		case !isCertificateName(entry.Name()):
			s.log.Debug("file in trust store passed over: its name does not end in .pem, .crt or .cer", "file", path)
		default:
			paths = append(paths, path)
		}
	}
	return dir, paths, nil
}

// readDir returns the entries of a store's directory, sorted by name.
func (s *DirStore) readDir(ref StoreRef) ([]fs.DirEntry, snapshot, error) {
	now := s.now()
	path := s.Path(ref)
	before, err := statFunc(s.AllowSymlinks)(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, snapshot{}, &StoreError{Ref: ref, Missing: true}
	case err != nil:
		return nil, snapshot{}, &StoreAccessError{ref, err}
	case !before.IsDir():
		return nil, snapshot{}, &StoreAccessError{ref, fmt.Errorf("%s is not a regular directory (symlinks are not supported)", path)}
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, snapshot{}, &StoreAccessError{ref, err}
	}
	defer dir.Close()
	info, err := dir.Stat()
	if err == nil && !os.SameFile(before, info) {
		err = fmt.Errorf("%s was replaced while it was opened: try again", path)
	}
	if err != nil {
		return nil, snapshot{}, &StoreAccessError{ref, err}
	}
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return nil, snapshot{}, &StoreAccessError{ref, err}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, newSnapshot(info, now), nil
}

// warnDirectory remarks on certificates that are not used (TS-05).
func (s *DirStore) warnDirectory(path string) {
	if s.AllowSymlinks && strings.HasPrefix(filepath.Base(path), "..") {
		return
	}
	entries, _ := os.ReadDir(path)
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return isCertificateName(e.Name()) }) {
		s.log.Warn("certificates in a sub-directory of a trust store are not used; move them up", "directory", path)
	}
}

func isCertificateName(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".pem", ".crt", ".cer":
		return true
	}
	return false
}

// readFile returns the certificates of one file.
func (s *DirStore) readFile(path string, kind StoreType, before *cachedStore) (cachedFile, error) {
	if before != nil {
		i := slices.IndexFunc(before.files, func(f cachedFile) bool { return f.path == path })
		if i >= 0 {
			if now, err := lookFunc(s.AllowSymlinks)(path); err == nil && before.files[i].seen.holds(now) {
				return before.files[i], nil
			}
		}
	}
	now := s.now()
	data, info, err := wholefile.ReadRegular(path, maxCertificateFile, s.AllowSymlinks)
	if err != nil {
		return cachedFile{}, err
	}
	certs, err := parseTrusted(data, kind)
	if err != nil {
		return cachedFile{}, err
	}
	return cachedFile{path, newSnapshot(info, now), certs}, nil
}

// parseTrusted reads the content of a certificate file and checks that each of
// its certificates may be in a store of that type.
func parseTrusted(data []byte, kind StoreType) ([]*x509.Certificate, error) {
	certs, err := pki.ParseCertificates(data)
	if err != nil {
		return nil, err
	}
	for _, cert := range certs {
		if err := checkTrusted(cert, kind); err != nil {
			return nil, err
		}
	}
	return certs, nil
}

func (s *DirStore) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}
