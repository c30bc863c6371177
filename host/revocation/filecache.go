package revocation

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/signet-project/signet/host/internal/wholefile"
)

// maxCacheFile bounds a cache file: two lists in base64.
const maxCacheFile = 2*maxListSize/3*4 + 1<<10

// FileCache keeps CRLs in files, in the format and under the names that other
// Notary Project tools use, so that they can share it. Every list is checked
// again when it is read.
type FileCache struct {
	// Dir is the directory, {CACHE}/crl. It is made when it is first needed.
	Dir string
}

// cached is the content of a file.
type cached struct {
	// Base and Delta are DER.
	Base  []byte `json:"baseCRL"`
	Delta []byte `json:"deltaCRL,omitempty"`
	// storedAt is when the older of the two was fetched: the file's mtime.
	storedAt time.Time
}

// path is where the list at a URL is kept.
func (f *FileCache) path(url string) string {
	name := sha256.Sum256([]byte(url))
	return filepath.Join(f.Dir, hex.EncodeToString(name[:]))
}

// load returns nil without an error when nothing is kept for the URL.
func (f *FileCache) load(url string) (*cached, error) {
	data, info, err := wholefile.ReadRegular(f.path(url), maxCacheFile, true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var content *cached
	if err == nil {
		content, err = decodeCached(data)
	}
	if err != nil {
		return nil, fmt.Errorf("CRL cache file %s: %w", f.path(url), err)
	}
	content.storedAt = info.ModTime()
	return content, nil
}

func decodeCached(data []byte) (*cached, error) {
	var content cached
	if err := json.Unmarshal(data, &content); err != nil {
		return nil, err
	}
	if len(content.Base) == 0 {
		return nil, errors.New("it has no base CRL")
	}
	if len(content.Base) > maxListSize || len(content.Delta) > maxListSize {
		return nil, errors.New("it has a CRL that is too large")
	}
	return &content, nil
}

// store keeps content for a URL. Readers see the old file or the new one, never
// a part.
func (f *FileCache) store(url string, content *cached) error {
	data, err := json.Marshal(content)
	if err != nil {
		return err
	}
	return wholefile.Replace(f.path(url), data, wholefile.Replacement{Temp: "notation-*", Modified: content.storedAt})
}
