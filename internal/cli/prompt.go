package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

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

// answer is what was read.
type answer struct {
	text string
	err  error
}

// begin reads in the background.
func begin(read func() (string, error)) <-chan answer {
	answered := make(chan answer, 1)
	go func() {
		text, err := read()
		answered <- answer{text, err}
	}()
	return answered
}

// wait waits for what is read, and gives up when the run is interrupted: a read from a
// terminal does not end by itself then.
func (a *app) wait(answered <-chan answer) (string, error) {
	select {
	case got := <-answered:
		return got.text, got.err
	case <-a.interrupted:
		a.printf("\n")
		return "", errInterrupted
	}
}

// await reads, unless the run is interrupted.
func (a *app) await(read func() (string, error)) (string, error) { return a.wait(begin(read)) }

// terminal is standard input if that is a terminal, else nil.
func (a *app) terminal() *os.File {
	if file, ok := a.Stdin.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return file
	}
	return nil
}

// readSecret prompts for a secret, without echo where the input is a terminal.
func (a *app) readSecret(prompt string, input *bufio.Reader) (string, error) {
	if terminal := a.terminal(); terminal != nil {
		return a.readHidden(prompt, int(terminal.Fd()))
	}
	a.printf("%s", prompt)
	secret, err := a.await(func() (string, error) { return readAllLine(input) })
	a.printf("\n")
	return secret, err
}

// readHidden prompts for a line from a terminal without echo, which is on again however
// that ends. The prompt comes when it is off: whoever interrupts at once would otherwise
// have it turned off after it was turned on again.
func (a *app) readHidden(prompt string, terminal int) (string, error) {
	before, err := term.GetState(terminal)
	if err != nil {
		return "", err
	}
	answered := begin(func() (string, error) {
		secret, err := term.ReadPassword(terminal)
		return string(secret), err
	})
	for range 1000 { // a terminal that had no echo before looks as it did
		now, err := term.GetState(terminal)
		if err != nil || *now != *before || len(answered) > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	a.printf("%s", prompt)
	secret, err := a.wait(answered)
	if errors.Is(err, errInterrupted) {
		return "", errors.Join(err, term.Restore(terminal, before))
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
