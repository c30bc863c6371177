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
	line, err := bufio.NewReader(a.Stdin).ReadString('\n')
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
		secret, err := term.ReadPassword(int(terminal.Fd()))
		a.printf("\n")
		return string(secret), err
	}
	secret, err := readAllLine(input)
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
