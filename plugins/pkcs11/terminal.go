package pkcs11

import (
	"context"
	"io"

	"golang.org/x/term"
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
	state, err := term.GetState(int(in.Fd()))
	if err != nil {
		in.Close()
		return "", ErrNoTerminal
	}
	if _, err := io.WriteString(out, prompt); err != nil {
		in.Close()
		return "", ErrNoTerminal
	}
	type line struct {
		text []byte
		err  error
	}
	entered := make(chan line, 1)
	go func() {
		text, err := term.ReadPassword(int(in.Fd()))
		entered <- line{text, err}
	}()
	select {
	case l := <-entered:
		in.Close()
		_, _ = io.WriteString(out, "\n")
		return string(l.text), l.err
	case <-ctx.Done():
		// The goroutine stays in its read, so in stays open; the terminal must
		// show again what is typed.
		_ = term.Restore(int(in.Fd()), state)
		_, _ = io.WriteString(out, "\n")
		return "", ctx.Err()
	}
}
