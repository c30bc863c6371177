package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// confirm asks a yes-or-no question. Any line but y or yes cancels, with a word
// about it; the end of input cancels silently (CLI-29).
func (a *app) confirm(question string, assumeYes bool) (bool, error) {
	if assumeYes {
		return true, nil
	}
	a.printf("%s [y/N] ", question)
	line, err := a.await(func() (string, error) { return bufio.NewReader(a.Stdin).ReadString('\n') })
	if errors.Is(err, errInterrupted) {
		return false, err
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	if err != nil && line == "" {
		return false, nil
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true, nil
	}
	a.printf("Operation cancelled.\n")
	return false, nil
}

// errInterrupted says that the user ended the run.
var errInterrupted = errors.New("interrupted")

// isInterrupted tells whether the run is to end.
func (a *app) isInterrupted() bool {
	select {
	case <-a.interrupted:
		return true
	default:
		return false
	}
}

// await reads, and gives up when the run is interrupted: a read from a terminal
// does not end by itself then.
func (a *app) await(read func() (string, error)) (string, error) {
	type answer struct {
		text string
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		text, err := read()
		answered <- answer{text, err}
	}()
	select {
	case got := <-answered:
		return got.text, got.err
	case <-a.interrupted:
		a.printf("\n")
		return "", errInterrupted
	}
}

// terminal is standard input if that is a terminal, else nil.
func (a *app) terminal() *os.File {
	if file, ok := a.Stdin.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return file
	}
	return nil
}

// readSecret prompts for a secret, without echo where the input is a terminal.
func (a *app) readSecret(prompt string, input *bufio.Reader) (string, error) {
	a.printf("%s", prompt)
	if terminal := a.terminal(); terminal != nil {
		return a.readHidden(int(terminal.Fd()))
	}
	secret, err := a.await(func() (string, error) { return readAllLine(input) })
	a.printf("\n")
	return secret, err
}

// readHidden reads a line from a terminal without echo, which is on again however
// that ends.
func (a *app) readHidden(terminal int) (string, error) {
	state, err := term.GetState(terminal)
	if err != nil {
		return "", err
	}
	secret, err := a.await(func() (string, error) {
		secret, err := term.ReadPassword(terminal)
		return string(secret), err
	})
	if errors.Is(err, errInterrupted) {
		return "", errors.Join(err, term.Restore(terminal, state))
	}
	a.printf("\n")
	return secret, err
}

// readAllLine reads input to its end and drops the last end of line.
func readAllLine(input io.Reader) (string, error) {
	const limit = 64 << 10
	data, err := io.ReadAll(io.LimitReader(input, limit+1))
	if err != nil {
		return "", err
	}
	if len(data) > limit {
		return "", fmt.Errorf("the input is longer than %d bytes", limit)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"), nil
}
