package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
)

// resultWriter is standard output. It keeps the first error of writing: a run whose
// result did not arrive has failed, whoever wrote it.
type resultWriter struct {
	mu  sync.Mutex
	w   io.Writer
	err error
	// broken is called when nobody reads any more.
	broken func()
}

func (r *resultWriter) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, err := r.w.Write(p)
	if r.err == nil {
		r.err = err
		if errors.Is(err, syscall.EPIPE) {
			r.broken()
		}
	}
	return n, err
}

// isBroken tells whether nobody reads any more.
func (r *resultWriter) isBroken() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Is(r.err, syscall.EPIPE)
}

func (r *resultWriter) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		return nil
	}
	return fmt.Errorf("the result could not be written: %w", r.err)
}

// fileOf is the file behind a writer of this program, nil if there is none.
func fileOf(w io.Writer) *os.File {
	if result, ok := w.(*resultWriter); ok {
		w = result.w
	}
	f, _ := w.(*os.File)
	return f
}

// json prints a value as indented JSON.
func (a *app) json(value any) error {
	data, err := indented(value, "")
	if err != nil {
		return err
	}
	_, err = a.Stdout.Write(append(data, '\n'))
	return err
}

// indented is JSON for people, of lines that begin with prefix.
func indented(value any, prefix string) ([]byte, error) {
	data, err := json.MarshalIndent(value, prefix, "  ")
	return printableJSON(data), err
}

// table prints rows under a heading, columns three spaces apart.
func (a *app) table(heading []string, rows [][]string) {
	writer := tabwriter.NewWriter(a.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(writer, strings.Join(heading, "\t")+"\t")
	for _, row := range rows {
		for i := range row {
			row[i] = printable(row[i])
		}
		fmt.Fprintln(writer, strings.Join(row, "\t")+"\t")
	}
	writer.Flush()
}

// pairs lists a map by key.
func pairs(values map[string]string) [][]string {
	var rows [][]string
	for _, key := range slices.Sorted(maps.Keys(values)) {
		rows = append(rows, []string{key, values[key]})
	}
	return rows
}
