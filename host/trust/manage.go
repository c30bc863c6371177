package trust

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/signet-project/signet/host/internal/wholefile"
	"github.com/signet-project/signet/host/pki"
)

// ErrCertificateExists says that a store has a file of that name already (CLI-37).
var ErrCertificateExists = errors.New("certificate already exists in the Trust Store")

// CheckStore refuses an unknown type or an unusable name (CLI-37).
func CheckStore(ref StoreRef) error {
	if ref.Type == "" {
		return errors.New("store type cannot be empty")
	}
	if !slices.Contains(StoreTypes, ref.Type) {
		return fmt.Errorf("unsupported store type: %s", ref.Type)
	}
	if !ValidName(ref.Name) {
		return errors.New("named store name needs to follow [a-zA-Z0-9_.-]+ format")
	}
	return nil
}

// CheckFileName refuses what is not the plain name of a file in a store (CLI-41).
func CheckFileName(name string) error {
	if name == "." || strings.ContainsAny(name, `/\`) || !filepath.IsLocal(name) {
		return fmt.Errorf("%q is not the name of a certificate file in a trust store: give the file name without a path", name)
	}
	return nil
}

// checkFile is CheckStore and CheckFileName.
func checkFile(ref StoreRef, name string) error {
	if err := CheckStore(ref); err != nil {
		return err
	}
	return CheckFileName(name)
}

// Add copies a certificate file into a named store, under its base name and
// with mode 0600, after checking every certificate in it (CLI-35..37). The copy
// is there whole or not at all, as is a store that it would be the first in, and nothing
// is ever replaced: then the error is ErrCertificateExists. Other errors are a *UntrustedCertificateError, and that
// the file cannot be read, parsed or written.
func (s *DirStore) Add(ref StoreRef, path string) error {
	if err := CheckStore(ref); err != nil {
		return err
	}
	data, _, err := wholefile.ReadRegular(path, maxCertificateFile, true)
	if errors.Is(err, wholefile.ErrNotRegular) {
		return fmt.Errorf("%s is %w", path, err)
	}
	if err != nil {
		return err
	}
	if _, err := parseTrusted(data, ref.Type); err != nil {
		return err
	}
	if !isCertificateName(path) {
		return errors.New("the file name must end in .pem, .crt or .cer for the certificate to be found: rename the file")
	}
	if err := s.refuseLink(ref); err != nil {
		return err
	}
	_, err = os.Lstat(s.Path(ref))
	created := errors.Is(err, fs.ErrNotExist)
	if err := os.MkdirAll(s.Path(ref), 0o700); err != nil {
		return err
	}
	err = writeNew(filepath.Join(s.Path(ref), filepath.Base(path)), data)
	if err != nil && created {
		os.Remove(s.Path(ref)) // stays if somebody else has put a certificate there
	}
	return err
}

// refuseLink keeps a store that is a link from being written through (TS-03).
func (s *DirStore) refuseLink(ref StoreRef) error {
	info, err := os.Lstat(s.Path(ref))
	if err == nil && !info.IsDir() {
		return fmt.Errorf("the trust store %s of type %s with path %s is not a regular directory (symlinks are not supported)", ref.Name, ref.Type, s.Path(ref))
	}
	return nil
}

// writeNew writes a file of mode 0600 that is there whole or not at all, unless
// there is one already.
func writeNew(target string, data []byte) error {
	if _, err := os.Lstat(target); err == nil {
		return ErrCertificateExists
	}
	temp, err := os.CreateTemp(filepath.Dir(target), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(data)
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", target, wholefile.Pathless(err))
	}
	// Unlike a rename, a link fails when someone else was faster.
	err = os.Link(temp.Name(), target)
	if errors.Is(err, fs.ErrExist) {
		return ErrCertificateExists
	}
	if err != nil { // a file system without hard links
		return os.Rename(temp.Name(), target)
	}
	return nil
}

// Entry is one certificate file of a store.
type Entry struct {
	Ref  StoreRef
	File string
}

// List returns the certificate files of the stores that match: an empty type or
// name matches all. Entries are ordered by type, name and file (CLI-38).
func (s *DirStore) List(match StoreRef) ([]Entry, error) {
	var entries []Entry
	for _, kind := range StoreTypes {
		if match.Type != "" && match.Type != kind {
			continue
		}
		stores, err := os.ReadDir(filepath.Join(s.dir, "x509", string(kind)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, store := range stores {
			if !store.IsDir() || (match.Name != "" && match.Name != store.Name()) {
				continue
			}
			files, err := s.files(StoreRef{kind, store.Name()})
			if err != nil {
				return nil, err
			}
			entries = append(entries, files...)
		}
	}
	return entries, nil
}

// files lists the certificate files of one store, ordered by name.
func (s *DirStore) files(ref StoreRef) ([]Entry, error) {
	files, err := os.ReadDir(s.Path(ref))
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, file := range files {
		if file.Type().IsRegular() && isCertificateName(file.Name()) {
			entries = append(entries, Entry{ref, file.Name()})
		}
	}
	return entries, nil
}

// Show reads the certificates of one file of a store, a chain leaf first (CLI-39).
func (s *DirStore) Show(ref StoreRef, name string) ([]*x509.Certificate, error) {
	if err := checkFile(ref, name); err != nil {
		return nil, err
	}
	data, _, err := wholefile.ReadRegular(filepath.Join(s.Path(ref), name), maxCertificateFile, s.AllowSymlinks)
	if errors.Is(err, wholefile.ErrNotRegular) {
		return nil, &CertificateFileError{ref, name, err}
	}
	if err != nil {
		return nil, err
	}
	certs, err := pki.ParseCertificates(data)
	if err != nil {
		return nil, err
	}
	return leafFirst(certs), nil
}

// leafFirst orders the certificates of one chain from leaf to root. What is
// not one chain is left as it is.
func leafFirst(certs []*x509.Certificate) []*x509.Certificate {
	issues := func(issuer, cert *x509.Certificate) bool {
		return issuer != cert && bytes.Equal(issuer.RawSubject, cert.RawIssuer) && !bytes.Equal(cert.RawSubject, cert.RawIssuer)
	}
	var leaf *x509.Certificate
	for _, cert := range certs {
		if !slices.ContainsFunc(certs, func(below *x509.Certificate) bool { return issues(cert, below) }) {
			if leaf != nil {
				return certs
			}
			leaf = cert
		}
	}
	var chain []*x509.Certificate
	for next := leaf; next != nil && len(chain) < len(certs); {
		chain = append(chain, next)
		i := slices.IndexFunc(certs, func(above *x509.Certificate) bool { return issues(above, next) })
		if i < 0 {
			break
		}
		next = certs[i]
	}
	if len(chain) != len(certs) {
		return certs
	}
	return chain
}

// Delete removes one file from a store, and the store once it is empty (CLI-40).
func (s *DirStore) Delete(ref StoreRef, name string) error {
	if err := checkFile(ref, name); err != nil {
		return err
	}
	if err := s.refuseLink(ref); err != nil {
		return err
	}
	path := filepath.Join(s.Path(ref), name)
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return &CertificateFileError{ref, name, wholefile.ErrNotRegular}
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	os.Remove(s.Path(ref)) // fails while other files are there, which is right
	return nil
}

// FileFailure is a file that could not be deleted.
type FileFailure struct {
	File string // its name within the store
	Err  error
}

// DeleteError lists what DeleteAll could not delete (CLI-40).
type DeleteError struct {
	Ref    StoreRef
	Failed []FileFailure
}

// Error lists the files with their reasons, on one line.
func (e *DeleteError) Error() string {
	parts := make([]string, len(e.Failed))
	for i, f := range e.Failed {
		parts[i] = fmt.Sprintf("%s was not deleted: %v", f.File, f.Err)
	}
	return strings.Join(parts, "; ")
}

// Unwrap returns the reasons.
func (e *DeleteError) Unwrap() []error {
	errs := make([]error, len(e.Failed))
	for i, f := range e.Failed {
		errs[i] = f.Err
	}
	return errs
}

// DeleteAll removes a store with all that is in it. deleted names what was
// removed, also together with a *DeleteError, which names what was not. Other
// errors are a *StoreError when there is no such store, and that it cannot be
// accessed.
func (s *DirStore) DeleteAll(ref StoreRef) (deleted []string, err error) {
	if err := CheckStore(ref); err != nil {
		return nil, err
	}
	if err := s.refuseLink(ref); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(s.Path(ref))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &StoreError{Ref: ref, Missing: true}
	}
	if err != nil {
		return nil, &StoreAccessError{ref, err}
	}
	failure := &DeleteError{Ref: ref}
	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(s.Path(ref), entry.Name())); err != nil {
			failure.Failed = append(failure.Failed, FileFailure{entry.Name(), err})
			continue
		}
		deleted = append(deleted, entry.Name())
	}
	if len(failure.Failed) > 0 {
		return deleted, failure
	}
	return deleted, os.Remove(s.Path(ref))
}
