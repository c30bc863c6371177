package pkcs11

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
)

// AskOnTerminal is the Options.Ask of a plugin process: it writes prompt to the
// terminal that controls the process, whatever the standard streams are, and
// reads a line without showing it. Without a terminal, or in the background of
// one, the error is ErrNoTerminal.
func AskOnTerminal(ctx context.Context, prompt string) (string, error) {
	in, out, err := openTerminal()
	if err != nil {
		return "", ErrNoTerminal
	}
	defer out.Close()
	show, err := hideInput(in) // before the prompt: some type ahead
	if err != nil {
		in.Close()
		return "", ErrNoTerminal
	}
	reading := false
	defer func() {
		show()
		if !reading {
			in.Close()
		}
	}()
	if _, err := io.WriteString(out, prompt); err != nil {
		return "", ErrNoTerminal
	}
	defer io.WriteString(out, "\n")
	type line struct {
		text string
		err  error
	}
	entered := make(chan line, 1)
	reading = true
	go func() { // stays in its read when ctx ends first; in stays open then
		text, err := readLine(in)
		entered <- line{text, err}
	}()
	select {
	case l := <-entered:
		reading = false
		return l.text, l.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// readLine reads up to the end of a line or of the input.
func readLine(in *os.File) (string, error) {
	var text []byte
	buffer := make([]byte, 256)
	for len(text) <= maxPIN+2 {
		n, err := in.Read(buffer)
		text = append(text, buffer[:n]...)
		before, _, ended := strings.Cut(string(text), "\n")
		if ended || errors.Is(err, io.EOF) {
			return strings.TrimRight(before, "\r"), nil
		}
		if err != nil {
			return "", err
		}
	}
	return string(text), nil // too long, as the caller will find
}
