package trust

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

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

// Store is where a verifier gets trusted certificates from.
type Store interface {
	// Certificates returns what the named store holds now; at least one
	// certificate, or an error.
	Certificates(ctx context.Context, ref StoreRef) ([]*x509.Certificate, error)
}

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9_.-]+$`)

// ValidName tells whether a name of a store may become part of a path (TS-02).
func ValidName(name string) bool {
	return namePattern.MatchString(name) && name != "." && name != ".."
}

// StoreError is a failure of a trust store that the user can mend by adding
// certificates (TS-08).
type StoreError struct {
	Ref StoreRef
	// Missing is true when the store does not exist, false when it is empty.
	Missing bool
}

func (e *StoreError) Error() string {
	if e.Missing {
		return fmt.Sprintf("the trust store %q of type %q does not exist", e.Ref.Name, e.Ref.Type)
	}
	return fmt.Sprintf("no x509 certificates were found in trust store %q of type %q", e.Ref.Name, e.Ref.Type)
}

// maxCertificateFile bounds one file of a trust store, in bytes.
const maxCertificateFile = 16 << 20

// settled is how old a file's last change must be before what was read from it
// is believed without reading it again: within the granularity of file times
// two changes can look like one.
const settled = 2 * time.Second

// DirStore is a Store of directories: Dir/x509/{type}/{name}/{file} (TS-01). It
// reads a file once and again when its inode, size or times have changed. It
// may be used by several goroutines at once; make it with NewDirStore.
type DirStore struct {
	dir string
	log *slog.Logger
	now func() time.Time

	mu    sync.Mutex
	files map[string]cachedFile // by path; bounded by the certificate files there are
}

// cachedFile is what a file held when it looked like info. A file that looks
// the same (inode, size, times, settled) holds the same bytes, and that bytes
// parse to these certificates does not age.
type cachedFile struct {
	info  fs.FileInfo
	certs []*x509.Certificate
}

// NewDirStore returns the trust store below dir, usually {CFG}/truststore. log
// receives warnings about files that are passed over; nil means nowhere.
func NewDirStore(dir string, log *slog.Logger) *DirStore {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &DirStore{dir: dir, log: log, now: time.Now, files: map[string]cachedFile{}}
}

// Path returns the directory of a named store.
func (s *DirStore) Path(ref StoreRef) string {
	return filepath.Join(s.dir, "x509", string(ref.Type), ref.Name)
}

// Certificates reads a named store: every regular .pem, .crt or .cer file in it
// (TS-03..08). One such file that cannot be read fails the whole store.
func (s *DirStore) Certificates(_ context.Context, ref StoreRef) ([]*x509.Certificate, error) {
	if !slices.Contains(StoreTypes, ref.Type) {
		return nil, fmt.Errorf("unsupported trust store type: %s", ref.Type)
	}
	if !ValidName(ref.Name) {
		return nil, fmt.Errorf("trust store name needs to follow [a-zA-Z0-9_.-]+ format, %q is invalid", ref.Name)
	}
	files, err := s.certificateFiles(ref)
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for _, path := range files {
		certs, err := s.readFile(path, ref.Type)
		if err != nil {
			return nil, err
		}
		all = append(all, certs...)
	}
	if len(all) == 0 {
		return nil, &StoreError{Ref: ref}
	}
	return all, nil
}

// certificateFiles lists the files of a store that count, sorted by name.
func (s *DirStore) certificateFiles(ref StoreRef) ([]string, error) {
	path := s.Path(ref)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &StoreError{Ref: ref, Missing: true}
	case err != nil:
		return nil, fmt.Errorf("failed to access the trust store %q of type %q: %w", ref.Name, ref.Type, err)
	case !info.IsDir():
		return nil, fmt.Errorf("the trust store %s is not a regular directory (symlinks are not supported)", path)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("failed to access the trust store %q of type %q: %w", ref.Name, ref.Type, err)
	}
	var files []string
	for _, entry := range entries {
		file := filepath.Join(path, entry.Name())
		switch {
		case entry.IsDir():
			if holdsCertificates(file) {
				s.log.Warn("certificates in a sub-directory of a trust store are not used; move them up", "directory", file)
			}
		case !isCertificateName(entry.Name()):
			s.log.Debug("file in trust store passed over: its name does not end in .pem, .crt or .cer", "file", file)
		case !entry.Type().IsRegular():
			return nil, fmt.Errorf("trusted certificate %s is not a regular file (directories and symlinks are not supported)", file)
		default:
			files = append(files, file)
		}
	}
	return files, nil
}

func holdsCertificates(dir string) bool {
	entries, _ := os.ReadDir(dir)
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return isCertificateName(e.Name()) })
}

func isCertificateName(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".pem", ".crt", ".cer":
		return true
	}
	return false
}

// readFile returns the certificates of one file, from memory when it has not
// changed.
func (s *DirStore) readFile(path string, kind StoreType) ([]*x509.Certificate, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("failed to read the trusted certificate %s: %w", path, err)
	}
	s.mu.Lock()
	cached, ok := s.files[path]
	s.mu.Unlock()
	if ok && s.unchanged(cached.info, info) {
		return cached.certs, nil
	}
	data, info, err := readRegular(path, maxCertificateFile)
	if err != nil {
		return nil, fmt.Errorf("failed to read the trusted certificate %s: %w", path, err)
	}
	certs, err := pki.ParseCertificates(data)
	if err != nil {
		return nil, fmt.Errorf("failed to read the trusted certificate %s: %w", path, err)
	}
	for _, cert := range certs {
		if err := checkTrusted(cert, kind); err != nil {
			return nil, fmt.Errorf("trusted certificate %s: %w", path, err)
		}
	}
	s.mu.Lock()
	s.files[path] = cachedFile{info, certs}
	s.mu.Unlock()
	return certs, nil
}

// unchanged tells whether a file that looked like before and looks like after
// holds the same bytes.
func (s *DirStore) unchanged(before, after fs.FileInfo) bool {
	return os.SameFile(before, after) && before.Size() == after.Size() && before.Mode() == after.Mode() &&
		before.ModTime().Equal(after.ModTime()) && changeTime(before).Equal(changeTime(after)) &&
		s.now().Sub(after.ModTime()) >= settled && s.now().Sub(changeTime(after)) >= settled
}

// readRegular reads a regular file of at most limit bytes. The file opened is
// checked to be the one looked at.
func readRegular(path string, limit int64) ([]byte, fs.FileInfo, error) {
	before, err := os.Lstat(path)
	if err != nil {
		return nil, nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, nil, errors.New("not a regular file (directories and symlinks are not supported)")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !os.SameFile(before, info) {
		return nil, nil, errors.New("the file was replaced while it was read")
	}
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, nil, err
	}
	if int64(len(data)) > limit {
		return nil, nil, fmt.Errorf("larger than %d bytes", limit)
	}
	return data, info, nil
}

// checkTrusted holds the rules on a store's certificates (TS-06, TS-07).
func checkTrusted(cert *x509.Certificate, kind StoreType) error {
	name, err := pki.FormatName(cert.RawSubject)
	if err != nil {
		name = cert.Subject.String()
	}
	if kind == StoreTSA {
		if !pki.IsCA(cert) || !pki.IsSelfSigned(cert) {
			return fmt.Errorf("certificate with subject %q from trust store of type 'tsa' is not a root CA certificate: only self-signed CA certificates can anchor timestamps", name)
		}
		return nil
	}
	if !pki.IsCA(cert) && !pki.IsSelfSigned(cert) {
		return fmt.Errorf("certificate with subject %q is not a CA certificate or self-signed signing certificate", name)
	}
	return nil
}
