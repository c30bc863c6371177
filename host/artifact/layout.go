package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host/internal/wholefile"
)

const (
	// maxLayoutIndex bounds index.json, which lists everything in a layout.
	maxLayoutIndex = 32 << 20
	// maxLayoutManifests bounds how many manifests of a layout are looked at.
	maxLayoutManifests = 1 << 16
	// maxLayoutDepth bounds how deep indexes may lie inside indexes.
	maxLayoutDepth = 8

	lockRetry = 20 * time.Millisecond

	// tempPrefix begins the names of files that are being written.
	tempPrefix = ".signet-"
)

// Layout is a [Repository] kept in a directory as an OCI image layout
// (image-spec, "Image Layout"; MAN-21). Archives of layouts are not read.
type Layout struct {
	// Warn is told, a sentence each, what went wrong without stopping the work. May be nil.
	Warn func(warning string)

	path string

	mu       sync.Mutex
	contents *layoutContents
}

// layoutContents is what the manifests of a layout say, as long as its index.json stays the same.
type layoutContents struct {
	index [sha256.Size]byte
	// manifests finds descriptors, signatures the signature manifests of a subject.
	manifests  map[digest.Digest]ocispec.Descriptor
	signatures map[digest.Digest][]ocispec.Descriptor
}

var _ Repository = (*Layout)(nil)

// OpenLayout opens the layout in the directory path. Nothing is created: a
// directory that is no layout is a [*LayoutError]. The end of ctx ends nothing here:
// two small files are looked at.
func OpenLayout(ctx context.Context, path string) (*Layout, error) {
	l := &Layout{path: path}
	info, err := os.Stat(path)
	if err != nil {
		return nil, l.failure(pathless(err))
	}
	if !info.IsDir() {
		return nil, l.failure(errors.New("not a directory"))
	}
	data, err := l.readFile(ocispec.ImageLayoutFile, maxMetadataSize)
	if err != nil {
		return nil, l.failure(fmt.Errorf("not an OCI layout: %s: %w", ocispec.ImageLayoutFile, err))
	}
	var layout ocispec.ImageLayout
	if err := json.Unmarshal(data, &layout); err != nil {
		return nil, l.failure(fmt.Errorf("%s is not valid JSON", ocispec.ImageLayoutFile))
	}
	if layout.Version != ocispec.ImageLayoutVersion {
		return nil, l.failure(fmt.Errorf("imageLayoutVersion %q is not supported, only %q", oneLine(layout.Version), ocispec.ImageLayoutVersion))
	}
	return l, nil
}

// CreateLayout is [OpenLayout], and makes an empty layout where the directory
// path is empty or missing.
func CreateLayout(ctx context.Context, path string) (*Layout, error) {
	entries, err := os.ReadDir(path)
	if len(entries) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return OpenLayout(ctx, path)
	}
	l := &Layout{path: path}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, l.failure(pathless(err))
	}
	index, err := newIndex().marshal()
	if err != nil {
		return nil, l.failure(err)
	}
	// Whoever makes this file makes the layout; others that are at it leave it to them.
	claim, err := os.OpenFile(filepath.Join(path, ocispec.ImageIndexFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return OpenLayout(ctx, path)
	}
	if err != nil {
		return nil, l.failure(pathless(err))
	}
	claim.Close()
	// The file that makes a layout of it comes last.
	layout := []byte(`{"imageLayoutVersion":"` + ocispec.ImageLayoutVersion + `"}`)
	err = l.writeFile(ocispec.ImageIndexFile, 0o644, bytes.NewReader(index))
	if err == nil {
		err = l.writeFile(ocispec.ImageLayoutFile, 0o644, bytes.NewReader(layout))
	}
	if err != nil {
		l.remove([]string{ocispec.ImageIndexFile})
		return nil, l.failure(err)
	}
	return l, nil
}

// Resolve finds a manifest by tag or digest and verifies that it is really there.
func (l *Layout) Resolve(_ context.Context, reference string) (ocispec.Descriptor, error) {
	if err := checkTagOrDigest(reference); err != nil {
		return ocispec.Descriptor{}, l.failure(err)
	}
	data, index, err := l.readIndex()
	if err != nil {
		return ocispec.Descriptor{}, l.failure(err)
	}
	var target ocispec.Descriptor
	if wanted, digestErr := digest.Parse(reference); digestErr == nil {
		target, err = l.findDigest(data, index, wanted)
	} else {
		target, err = findTag(index, reference)
	}
	if err == nil {
		_, err = l.read(target, MaxManifestSize)
	}
	if err != nil {
		return ocispec.Descriptor{}, l.failure(fmt.Errorf("%s: %w", reference, err))
	}
	return plain(target), nil
}

// findTag looks for the entry that carries a tag.
func findTag(index *index, tag string) (ocispec.Descriptor, error) {
	var found ocispec.Descriptor
	for _, entry := range index.entries {
		if entry.desc.Annotations[ocispec.AnnotationRefName] != tag {
			continue
		}
		if found.Digest != "" && found.Digest != entry.desc.Digest {
			return found, errors.New("several manifests carry this tag; name the one you mean by its digest")
		}
		found = entry.desc
	}
	if found.Digest == "" {
		return found, ErrNotFound
	}
	return found, nil
}

// findDigest looks for a manifest in index.json, and then in the indexes listed there.
func (l *Layout) findDigest(data []byte, index *index, wanted digest.Digest) (ocispec.Descriptor, error) {
	for _, entry := range index.entries {
		if entry.desc.Digest == wanted {
			return entry.desc, nil
		}
	}
	contents, err := l.survey(data, index)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if found, ok := contents.manifests[wanted]; ok {
		return found, nil
	}
	return ocispec.Descriptor{}, ErrNotFound
}

// Signatures yields the signature manifests whose subject is this artifact, also
// those inside indexes. All of them have been read and have the right form.
func (l *Layout) Signatures(_ context.Context, subject ocispec.Descriptor) iter.Seq2[ocispec.Descriptor, error] {
	return func(yield func(ocispec.Descriptor, error) bool) {
		data, index, err := l.readIndex()
		var contents *layoutContents
		if err == nil {
			contents, err = l.survey(data, index)
		}
		if err != nil {
			yield(ocispec.Descriptor{}, l.failure(err))
			return
		}
		for _, manifest := range contents.signatures[subject.Digest] {
			if !yield(manifest, nil) {
				return
			}
		}
	}
}

// FetchSignature reads one signature.
func (l *Layout) FetchSignature(ctx context.Context, manifest, subject ocispec.Descriptor, reserve Reserve) (*Signature, error) {
	return fetchSignature(ctx, l, manifest, subject, reserve)
}

// ExpectSignature does nothing: nobody has to be asked.
func (l *Layout) ExpectSignature(context.Context) {}

// PushSignature adds a signature: blobs first, then, in one step and holding a
// lock, an entry without a tag in index.json. When it fails, the layout is as before.
func (l *Layout) PushSignature(ctx context.Context, request PushRequest) (ocispec.Descriptor, error) {
	manifest, err := l.push(ctx, request)
	if err != nil {
		return ocispec.Descriptor{}, &PushError{Err: l.failure(err)}
	}
	return manifest, nil
}

func (l *Layout) push(ctx context.Context, request PushRequest) (ocispec.Descriptor, error) {
	if err := request.check(); err != nil {
		return ocispec.Descriptor{}, err
	}
	envelope := describe(request.MediaType, request.Envelope)
	manifest, manifestData, err := encodeManifest(request, envelope, l.warn)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	err = l.update(ctx, func(index *index, store storeFunc) error {
		if _, err := l.read(request.Subject, MaxManifestSize); err != nil {
			return fmt.Errorf("artifact %s: %w", request.Subject.Digest, err)
		}
		if _, err := index.add(manifest); err != nil {
			return err
		}
		for _, blob := range []struct {
			desc ocispec.Descriptor
			data []byte
		}{{envelope, request.Envelope}, {emptyConfig, emptyConfig.Data}, {manifest, manifestData}} {
			if err := store(blob.desc, blob.data); err != nil {
				return err
			}
		}
		return nil
	})
	return manifest, err
}

// storeFunc stores a blob, unless it is there.
type storeFunc func(target ocispec.Descriptor, data []byte) error

// update changes index.json in one step, holding a lock. When it fails, index.json is
// as before, and what change stored is gone before others, who would rely on it, may
// change the layout.
func (l *Layout) update(ctx context.Context, change func(*index, storeFunc) error) (err error) {
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	var written []string
	defer func() {
		if err != nil {
			l.remove(written)
		}
	}()
	_, index, err := l.readIndex()
	if err != nil {
		return err
	}
	err = change(index, func(target ocispec.Descriptor, data []byte) error {
		stored, err := l.storeBlob(target, bytes.NewReader(data))
		if stored && err == nil {
			written = append(written, l.blobName(target.Digest))
		}
		return err
	})
	if err != nil {
		return err
	}
	data, err := index.marshal()
	if err != nil {
		return err
	}
	if len(data) > maxLayoutIndex {
		return fmt.Errorf("%s: %w", ocispec.ImageIndexFile, ErrTooLarge)
	}
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(filepath.Join(l.path, ocispec.ImageIndexFile)); err == nil {
		mode = info.Mode().Perm()
	}
	return l.writeFile(ocispec.ImageIndexFile, mode, bytes.NewReader(data))
}

// lock keeps other writers, those of other processes too, from the layout until the
// function returned is called. Everyone who writes files into it holds the lock, but for
// [CreateLayout], whose layout nobody has opened yet.
func (l *Layout) lock(ctx context.Context) (unlock func(), err error) {
	fail := func(err error) (func(), error) {
		return nil, fmt.Errorf("cannot lock %s: %w", lockFile, pathless(err))
	}
	root, err := os.OpenRoot(l.path)
	if err != nil {
		return fail(err)
	}
	defer root.Close()
	const flag = os.O_RDONLY | wholefile.OpenNonblock
	file, err := root.OpenFile(lockFile, os.O_CREATE|flag, 0o600)
	if err != nil {
		return fail(err)
	}
	defer file.Close()
	// The lock itself goes by path, where there may be a link by now.
	lock := flock.New(filepath.Join(l.path, lockFile), flock.SetFlag(flag))
	if _, err := lock.TryLockContext(ctx, lockRetry); err != nil {
		return fail(err)
	}
	if !isOn(lock, file) {
		lock.Unlock()
		return fail(errors.New("it was replaced meanwhile: try again"))
	}
	removeLeftovers(root)
	return func() { lock.Unlock() }, nil
}

// isOn tells whether a lock is on that very file, a regular one.
func isOn(lock *flock.Flock, file *os.File) bool {
	locked, lockErr := lock.Stat()
	info, err := file.Stat()
	return lockErr == nil && err == nil && os.SameFile(locked, info) && info.Mode().IsRegular()
}

// removeLeftovers deletes the temporary files of writers that were killed. It is called
// under the lock, so that no writer is at work.
func removeLeftovers(root *os.Root) {
	entries, _ := fs.ReadDir(root.FS(), ".")
	for _, entry := range entries {
		if entry.Type().IsRegular() && strings.HasPrefix(entry.Name(), tempPrefix) {
			root.Remove(entry.Name())
		}
	}
}

// storeBlob stores what target describes, unless it is there, and tells whether
// it was not. Nothing is stored that is something else.
func (l *Layout) storeBlob(target ocispec.Descriptor, content io.Reader) (stored bool, err error) {
	if l.holds(target) {
		return false, nil
	}
	return true, l.writeFile(l.blobName(target.Digest), 0o644, newVerifier(content, target))
}

// holds tells whether a blob is there and whole.
func (l *Layout) holds(target ocispec.Descriptor) bool {
	file, err := l.openFile(l.blobName(target.Digest))
	if err != nil {
		return false
	}
	defer file.Close()
	_, err = io.Copy(io.Discard, newVerifier(file, target))
	return err == nil
}

// survey reads the manifests of the layout, unless index.json is as it was the last time.
func (l *Layout) survey(data []byte, index *index) (*layoutContents, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := sha256.Sum256(data)
	if l.contents != nil && l.contents.index == sum {
		return l.contents, nil
	}
	contents := &layoutContents{
		index:      sum,
		manifests:  map[digest.Digest]ocispec.Descriptor{},
		signatures: map[digest.Digest][]ocispec.Descriptor{},
	}
	if err := l.surveyIndex(contents, index, 0); err != nil {
		return nil, err
	}
	l.contents = contents
	return contents, nil
}

func (l *Layout) surveyIndex(contents *layoutContents, index *index, depth int) error {
	for _, entry := range index.entries {
		desc := entry.desc
		if _, known := contents.manifests[desc.Digest]; known || !isManifestType(desc.MediaType) {
			continue
		}
		if len(contents.manifests) == maxLayoutManifests {
			return fmt.Errorf("more than %d manifests: %w", maxLayoutManifests, ErrTooLarge)
		}
		if !isIndexType(desc.MediaType) {
			l.surveyManifest(contents, desc)
			continue
		}
		data, err := l.read(desc, MaxManifestSize)
		if err != nil {
			continue // nothing in it can be read from here; Resolve says why
		}
		contents.manifests[desc.Digest] = plain(desc)
		if inner, err := parseIndex(data); err == nil && depth < maxLayoutDepth {
			if err := l.surveyIndex(contents, inner, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// surveyManifest notes a manifest and, if it is a signature, whose. What the
// entry says of its content is believed only as far as the content agrees.
func (l *Layout) surveyManifest(contents *layoutContents, desc ocispec.Descriptor) {
	if desc.MediaType == mediaTypeDockerManifest || desc.ArtifactType != "" && desc.ArtifactType != TypeSignature {
		contents.manifests[desc.Digest] = plain(desc)
		return
	}
	var decoded *signatureManifest
	data, err := l.read(desc, MaxManifestSize)
	if err == nil {
		contents.manifests[desc.Digest] = plain(desc)
		decoded, err = decodeManifest(desc.MediaType, data)
	}
	if err != nil {
		if desc.ArtifactType == TypeSignature {
			l.warn(fmt.Sprintf("The signature manifest %s in OCI layout %s is skipped: %v.", oneLine(desc.Digest.String()), l.path, err))
		}
		return
	}
	found := plain(desc)
	found.ArtifactType = TypeSignature
	found.Annotations = boundedAnnotations(decoded.annotations)
	contents.signatures[decoded.subject.Digest] = append(contents.signatures[decoded.subject.Digest], found)
}

// readIndex returns index.json, raw and parsed.
func (l *Layout) readIndex() ([]byte, *index, error) {
	data, err := l.readFile(ocispec.ImageIndexFile, maxLayoutIndex)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", ocispec.ImageIndexFile, err)
	}
	index, err := parseIndex(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", ocispec.ImageIndexFile, err)
	}
	return data, index, nil
}

// Manifests lists the manifests of an index.
func (l *Layout) Manifests(ctx context.Context, index ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	members, err := readMembers(ctx, l, index)
	if err != nil {
		return nil, l.failure(err)
	}
	return members, nil
}

func (l *Layout) readManifest(_ context.Context, _ string, target ocispec.Descriptor) ([]byte, error) {
	return l.read(target, MaxManifestSize)
}

func (l *Layout) readBlob(_ context.Context, target ocispec.Descriptor) ([]byte, error) {
	return l.read(target, MaxEnvelopeSize)
}

// read returns the content of a descriptor once its size and digest are verified.
func (l *Layout) read(target ocispec.Descriptor, limit int64) ([]byte, error) {
	if err := checkSize(target, limit); err != nil {
		return nil, err
	}
	data, err := l.readFile(l.blobName(target.Digest), limit)
	if err != nil {
		return nil, err
	}
	if int64(len(data)) != target.Size || target.Digest.Algorithm().FromBytes(data) != target.Digest {
		return nil, ErrContentMismatch
	}
	return data, nil
}

// openFile opens a regular file of the layout. Links that lead out of it are not
// followed, but for those that stand for a single blob: build tools make such, and
// what a blob holds is told by its digest, wherever it is.
func (l *Layout) openFile(name string) (*os.File, error) {
	root, err := os.OpenRoot(l.path)
	if err != nil {
		return nil, pathless(err)
	}
	defer root.Close()
	stat, open := root.Stat, root.Open
	if info, err := root.Lstat(name); err == nil && info.Mode().Type() == fs.ModeSymlink && path.Dir(path.Dir(name)) == ocispec.ImageBlobsDir {
		in := func(name string) string { return filepath.Join(l.path, filepath.FromSlash(name)) }
		stat = func(name string) (fs.FileInfo, error) { return os.Stat(in(name)) }
		open = func(name string) (*os.File, error) { return os.Open(in(name)) }
	}
	info, err := stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, pathless(err)
	}
	// Opening anything else, such as a pipe, could wait forever.
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	file, err := open(name)
	if err != nil {
		return nil, pathless(err)
	}
	return file, nil
}

// readFile reads a regular file of the layout, at most limit bytes of it.
func (l *Layout) readFile(name string, limit int64) ([]byte, error) {
	file, err := l.openFile(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, pathless(err)
	}
	if int64(len(data)) > limit {
		return nil, ErrTooLarge
	}
	return data, nil
}

// writeFile puts a whole file in its place in one step, and makes the directories
// it is in. A link that leads out of the layout is an error.
func (l *Layout) writeFile(name string, mode fs.FileMode, content io.Reader) (err error) {
	root, err := os.OpenRoot(l.path)
	if err != nil {
		return pathless(err)
	}
	defer root.Close()
	temp, err := os.CreateTemp(l.path, tempPrefix+"*")
	if err != nil {
		return pathless(err)
	}
	defer func() {
		if err != nil {
			temp.Close()
			os.Remove(temp.Name())
			err = pathless(err)
		}
	}()
	if _, err := io.Copy(temp, content); err != nil {
		return err
	}
	// By its name it could be a link by now, put there by somebody who shares the layout.
	if err := temp.Chmod(mode); err != nil {
		return err
	}
	if err := temp.Sync(); err != nil {
		return err
	}
	if err := temp.Close(); err != nil {
		return err
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return root.Rename(filepath.Base(temp.Name()), name)
}

// remove takes files away that were written in vain.
func (l *Layout) remove(names []string) {
	root, err := os.OpenRoot(l.path)
	if err != nil {
		return
	}
	defer root.Close()
	for _, name := range names {
		root.Remove(name)
	}
}

func (l *Layout) blobName(d digest.Digest) string {
	return filepath.Join(ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

func (l *Layout) failure(err error) error { return &LayoutError{Path: l.path, Err: err} }

func (l *Layout) warn(text string) {
	if l.Warn != nil {
		l.Warn(text)
	}
}

// pathless drops the path from a file system error, where the message has it already.
func pathless(err error) error {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s: %w", failed.Op, failed.Err)
	}
	return err
}
