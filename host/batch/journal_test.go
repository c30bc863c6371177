package batch

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const basis = "sha256:b"

func line(t *testing.T, reference string, final bool, basis string) string {
	t.Helper()
	data, err := json.Marshal(Verdict{Reference: reference, Basis: basis, Result: "verified", Final: final})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// open opens a journal and returns the references it has verdicts for.
func open(t *testing.T, path string) (*Journal, []string) {
	t.Helper()
	journal, verdicts, err := OpenJournal(path, basis, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return journal, slices.Sorted(maps.Keys(verdicts))
}

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.jsonl")
	journal, known := open(t, path)
	if len(known) != 0 {
		t.Fatal(known)
	}
	var want string
	for _, entry := range []string{line(t, "a", true, basis), line(t, "b", false, basis), line(t, "c", true, "sha256:other"), line(t, "d", true, basis)} {
		if err := journal.Append([]byte(entry)); err != nil {
			t.Fatal(err)
		}
		want += entry + "\n"
	}
	if _, _, err := OpenJournal(path, basis, time.Now); err == nil || !strings.Contains(err.Error(), "another run") {
		t.Errorf("opened twice: %v", err)
	}
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
	t.Run("final verdicts on the same basis count", func(t *testing.T) {
		journal, known := open(t, path)
		defer journal.Close()
		if !slices.Equal(known, []string{"a", "d"}) {
			t.Error(known)
		}
	})
	t.Run("what is written can be read", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "long.jsonl")
		journal, _ := open(t, path)
		longest := line(t, "long", true, basis)
		longest += strings.Repeat(" ", MaxRecord-1-len(longest))
		if err := journal.Append([]byte(longest)); err != nil {
			t.Fatal(err)
		}
		if err := journal.Append([]byte(longest + " ")); err == nil || !strings.Contains(err.Error(), "too long") {
			t.Errorf("one more byte: error %v", err)
		}
		if err := errors.Join(journal.Append([]byte(line(t, "next", true, basis))), journal.Close()); err != nil {
			t.Fatal(err)
		}
		journal, known := open(t, path)
		defer journal.Close()
		if !slices.Equal(known, []string{"long", "next"}) {
			t.Error(known)
		}
	})
	t.Run("whatever is cut off at the end, the lines before it count", func(t *testing.T) {
		for size := range len(want) {
			if err := os.WriteFile(path, []byte(want[:size]), 0o600); err != nil {
				t.Fatal(err)
			}
			journal, _ := open(t, path)
			if err := journal.Append([]byte(line(t, "e", true, basis))); err != nil {
				t.Fatal(err)
			}
			if err := journal.Close(); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			whole := want[:strings.LastIndexByte(want[:size], '\n')+1]
			if string(got) != whole+line(t, "e", true, basis)+"\n" {
				t.Fatalf("cut after %d bytes, the file is\n%s", size, got)
			}
		}
	})
}

func TestNotAJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for name, text := range map[string]string{
		"text":              "registry.example/app:v1\n",
		"text without end":  "registry.example/app:v1",
		"other JSON":        "{\"version\":\"1.0\"}\n",
		"JSON without end":  `{"auths":{}}`,
		"no reference":      "{\"result\":\"verified\"}\n",
		"a blank line":      line(t, "a", true, basis) + "\n\n",
		"broken in between": line(t, "a", true, basis) + "\n{\"ref\n" + line(t, "b", true, basis) + "\n",
		"zeros":             line(t, "a", true, basis) + "\n" + strings.Repeat("\x00", 100),
		"an endless line":   "{" + strings.Repeat(" ", MaxRecord),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, _, err := OpenJournal(path, basis, time.Now); err == nil || !strings.Contains(err.Error(), "line ") {
				t.Errorf("error %v", err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != text {
				t.Errorf("the file was changed: %v", err)
			}
		})
	}
	if _, _, err := OpenJournal(t.TempDir(), basis, time.Now); err == nil {
		t.Error("a directory is taken for a journal")
	}
}

func TestJournalSync(t *testing.T) {
	now := time.Unix(1000, 0)
	journal, _, err := OpenJournal(filepath.Join(t.TempDir(), "results.jsonl"), basis, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	var synced []time.Time
	for i := range 6 {
		if err := journal.Append(fmt.Appendf(nil, "%d", i)); err != nil {
			t.Fatal(err)
		}
		synced = append(synced, journal.synced)
		now = now.Add(400 * time.Millisecond)
	}
	if len(slices.Compact(synced)) != 2 {
		t.Errorf("put on the disk at %v", synced)
	}
}
