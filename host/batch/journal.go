package batch

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host/internal/wholefile"
)

const (
	// MaxRecord bounds a line of a journal with its line feed, in bytes.
	MaxRecord = 16 << 20
	// syncInterval is how long lines may be in the operating system's hands only.
	// The death of the process loses none of them, a power failure these.
	syncInterval = time.Second
)

// Verdict is the part of a result that a later run resumes from. In a journal each
// line is a JSON object that has at least these members.
type Verdict struct {
	// Reference is the entry's, as in the list.
	Reference string `json:"reference"`
	// Basis identifies what the result rests on: the operation, its settings, and the
	// trust material. A result with another basis is not resumed from.
	Basis string `json:"basis"`
	// Result says what came of it.
	Result string `json:"result"`
	// Final tells that another try would come to the same.
	Final bool `json:"final"`
	// Error says what was wrong; empty if nothing was.
	Error string `json:"error,omitempty"`
	// Artifact is what Reference was resolved to; nil if unknown.
	Artifact *ocispec.Descriptor `json:"artifact,omitempty"`
}

// errLocked says that another process holds the lock.
var errLocked = errors.New("locked")

// Journal is a file of results, one JSON object a line, that only grows. One
// process at a time can have it open.
type Journal struct {
	path   string
	file   *os.File
	now    func() time.Time
	synced time.Time
}

// OpenJournal opens the file at path, makes it if it is missing, and returns the
// final verdicts in it that rest on basis, by reference. The beginning of a line that
// a killed run left at the end is removed. A file that is no journal is left as it
// is and is an error, as is one that another process has open. now is the clock.
func OpenJournal(path, basis string, now func() time.Time) (*Journal, map[string]Verdict, error) {
	fail := func(err error) (*Journal, map[string]Verdict, error) {
		return nil, nil, fmt.Errorf("results file %s: %w", path, err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fail(wholefile.Pathless(err))
	}
	j := &Journal{path: path, file: file, now: now}
	verdicts, err := j.load(basis)
	if err != nil {
		j.close()
		return fail(wholefile.Pathless(err))
	}
	return j, verdicts, nil
}

// load takes the lock, reads what is there and gets ready to write behind it.
func (j *Journal) load(basis string) (map[string]Verdict, error) {
	info, err := j.file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // a pipe would be waited for, a device read without end
		return nil, errors.New("not a regular file")
	}
	switch err := lockFile(j.file); {
	case errors.Is(err, errLocked):
		return nil, errors.New("another run is writing to it: give each run, or each shard, a file of its own")
	case err != nil && !errors.Is(err, errors.ErrUnsupported):
		return nil, fmt.Errorf("it cannot be locked: %w", err)
	}
	verdicts, end, err := readVerdicts(j.file, basis)
	if err != nil {
		return nil, err
	}
	return verdicts, j.cut(end)
}

// cut drops what follows the last whole line, and makes ready to write there.
func (j *Journal) cut(end int64) error {
	info, err := j.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() != end {
		if err := j.file.Truncate(end); err != nil {
			return err
		}
	}
	_, err = j.file.Seek(end, io.SeekStart)
	return err
}

// Append writes one line: a JSON object without a line feed in it. One that is too
// long to be read again is an error and is not written.
func (j *Journal) Append(line []byte) error {
	if len(line) >= MaxRecord {
		return fmt.Errorf("results file %s: a result of %d bytes is too long for it: at most %d are read again", j.path, len(line), MaxRecord)
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("results file %s: %w", j.path, wholefile.Pathless(err))
	}
	if now := j.now(); now.Sub(j.synced) >= syncInterval {
		j.synced = now
		return j.sync()
	}
	return nil
}

func (j *Journal) sync() error {
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("results file %s: %w", j.path, wholefile.Pathless(err))
	}
	return nil
}

// Close makes sure that what was appended is on the disk.
func (j *Journal) Close() error {
	return errors.Join(j.sync(), j.close())
}

func (j *Journal) close() error {
	unlockFile(j.file)
	return j.file.Close()
}

// Same tells whether another open file is the journal's.
func (j *Journal) Same(other *os.File) bool {
	ours, err := j.file.Stat()
	if err != nil {
		return false
	}
	theirs, err := other.Stat()
	return err == nil && os.SameFile(ours, theirs)
}

// readVerdicts reads a journal and tells where its last whole line ends.
func readVerdicts(file io.Reader, basis string) (verdicts map[string]Verdict, end int64, err error) {
	verdicts = map[string]Verdict{}
	lines := bufio.NewReaderSize(file, 64<<10)
	for number := 1; ; number++ {
		line, err := readLine(lines)
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return nil, 0, fmt.Errorf("line %d: %w", number, err)
		case err != nil && isBeginning(line):
			return verdicts, end, nil
		}
		var verdict Verdict
		if json.Unmarshal(line, &verdict) != nil || verdict.Reference == "" || verdict.Result == "" {
			return nil, 0, fmt.Errorf("line %d is not a result of an earlier run: nothing was changed", number)
		}
		if err != nil { // only the line feed is missing
			return verdicts, end, nil
		}
		end += int64(len(line))
		if verdict.Final && verdict.Basis == basis {
			verdict.Basis = basis // one text for all
			verdicts[verdict.Reference] = verdict
		}
	}
}

// isBeginning tells whether a text that no line feed ends may be what a killed run wrote
// of a line. A whole JSON object is none: it may be all there is of another file.
func isBeginning(text []byte) bool {
	return len(text) == 0 || text[0] == '{' && !json.Valid(text)
}

// readLine returns a line with its line feed; with io.EOF, the rest without one.
func readLine(from *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := from.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > MaxRecord {
			return nil, fmt.Errorf("longer than %d bytes", MaxRecord)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.Clone(line), err
		}
	}
}
