package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/natefinch/atomic"

	"crypto/x509"

	"github.com/signet-project/signet/host/pki"
)

// CheckStore refuses an unknown type or an unusable name (CLI-37).
func CheckStore(ref StoreRef) error {
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
	if name == "" || name == "." || name == ".." || filepath.Base(name) != name {
		return fmt.Errorf("%q is not the name of a certificate file in a trust store: give the file name without a path", name)
	}
	return nil
}

// Add copies a certificate file into a named store, under its base name, after
// checking every certificate in it (CLI-35..37). Nothing is replaced.
func (s *DirStore) Add(ref StoreRef, path string) error {
	if err := CheckStore(ref); err != nil {
		return err
	}
	data, _, err := readRegular(path, maxCertificateFile)
	if err != nil {
		return err
	}
	certs, err := pki.ParseCertificates(data)
	if err != nil {
		return err
	}
	for _, cert := range certs {
		if err := checkTrusted(cert, ref.Type); err != nil {
			return err
		}
	}
	if !isCertificateName(path) {
		return errors.New("the file name must end in .pem, .crt or .cer: rename the file")
	}
	if err := os.MkdirAll(s.Path(ref), 0o700); err != nil {
		return err
	}
	target := filepath.Join(s.Path(ref), filepath.Base(path))
	if _, err := os.Lstat(target); err == nil {
		return errors.New("certificate already exists in the Trust Store")
	}
	return writeNew(target, data)
}

// writeNew writes a file of mode 0600 that is there whole or not at all.
func writeNew(target string, data []byte) error {
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
		return err
	}
	return atomic.ReplaceFile(temp.Name(), target)
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
			ref := StoreRef{kind, store.Name()}
			if !store.IsDir() || (match.Name != "" && match.Name != ref.Name) {
				continue
			}
			files, err := os.ReadDir(s.Path(ref))
			if err != nil {
				return nil, err
			}
			for _, file := range files {
				if file.Type().IsRegular() && isCertificateName(file.Name()) {
					entries = append(entries, Entry{ref, file.Name()})
				}
			}
		}
	}
	return entries, nil
}

// Show reads the certificates of one file of a store, a chain leaf first (CLI-39).
func (s *DirStore) Show(ref StoreRef, name string) ([]*x509.Certificate, error) {
	if err := errors.Join(CheckStore(ref), CheckFileName(name)); err != nil {
		return nil, err
	}
	data, _, err := readRegular(filepath.Join(s.Path(ref), name), maxCertificateFile)
	if err != nil {
		return nil, err
	}
	certs, err := pki.ParseCertificates(data)
	if err != nil {
		return nil, err
	}
	return leafFirst(certs), nil
}

// leafFirst turns a chain that is stored root first around.
func leafFirst(certs []*x509.Certificate) []*x509.Certificate {
	for i := range len(certs) - 1 {
		if string(certs[i+1].RawIssuer) != string(certs[i].RawSubject) {
			return certs
		}
	}
	if len(certs) > 1 {
		slices.Reverse(certs)
	}
	return certs
}

// Delete removes one file from a store, and the store once it is empty (CLI-40).
func (s *DirStore) Delete(ref StoreRef, name string) error {
	if err := errors.Join(CheckStore(ref), CheckFileName(name)); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(s.Path(ref), name)); err != nil {
		return err
	}
	os.Remove(s.Path(ref)) // fails while other files are there, which is right
	return nil
}

// DeleteAll removes a store with all its files. Of several failures each is
// told; what could be removed is in deleted.
func (s *DirStore) DeleteAll(ref StoreRef) (deleted []string, err error) {
	if err := CheckStore(ref); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(s.Path(ref))
	if err != nil {
		return nil, err
	}
	var failures []error
	for _, entry := range entries {
		if err := os.Remove(filepath.Join(s.Path(ref), entry.Name())); err != nil {
			failures = append(failures, err)
			continue
		}
		deleted = append(deleted, entry.Name())
	}
	if len(failures) == 0 {
		return deleted, os.Remove(s.Path(ref))
	}
	return deleted, errors.Join(failures...)
}
