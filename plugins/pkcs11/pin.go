package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

const maxPIN = 255 // bytes, what PKCS #11 tokens can hold at most

// ErrNoTerminal is what Options.Ask answers where nobody can be asked.
var ErrNoTerminal = errors.New("no terminal")

// pinSource says where the PIN of one token comes from.
type pinSource struct {
	options Options
	// file is the pin-source, "" for none.
	file string
}

// unattended returns the PIN from the file or, without one, from the
// environment; "" when there is neither.
func (s pinSource) unattended() (string, error) {
	if s.file == "" {
		pin := strings.TrimRight(s.options.Getenv(EnvPIN), "\r\n")
		return pin, checkPIN(pin, "environment variable "+EnvPIN)
	}
	path, err := pinPath(s.file)
	if err != nil {
		return "", protocol.Errorf(protocol.CodeValidation, "pin-source: %w", err)
	}
	data, err := signer.ReadFile(path)
	if err != nil {
		return "", protocol.Errorf(protocol.CodeAccessDenied, "pin-source: %w", err)
	}
	pin := strings.TrimRight(string(data), "\r\n")
	if pin == "" {
		return "", protocol.Errorf(protocol.CodeAccessDenied, "pin-source: %s is empty", path)
	}
	return pin, checkPIN(pin, "pin-source "+path)
}

func checkPIN(pin, source string) error {
	if len(pin) > maxPIN || strings.ContainsRune(pin, 0) {
		return protocol.Errorf(protocol.CodeValidation, "%s does not hold a PIN: it is longer than %d bytes or binary", source, maxPIN)
	}
	return nil
}

// pinPath returns the path in a pin-source: a file URI or a path. Commands
// ("|program", RFC 7512, section 2.4) are not run.
func pinPath(source string) (string, error) {
	if strings.HasPrefix(source, "|") {
		return "", errors.New("commands are not run: name a file")
	}
	if len(source) < 5 || !strings.EqualFold(source[:5], "file:") {
		return source, nil
	}
	u, err := url.Parse(source)
	if err != nil || u.Path == "" || (u.Host != "" && u.Host != "localhost") || u.RawQuery != "" {
		return "", errors.New("not a file URI like file:/etc/token-pin")
	}
	return u.Path, nil
}

// ask asks for the PIN on the terminal.
func (s pinSource) ask(ctx context.Context, token string, last bool) (string, error) {
	missing := protocol.Errorf(protocol.CodeAccessDenied,
		"token %q needs a PIN: name a file by pin-source in the key id or by plugin config %s, set %s, or run on a terminal", token, ConfigPINSource, EnvPIN)
	if s.options.Ask == nil {
		return "", missing
	}
	prompt := fmt.Sprintf("PIN of token %q: ", token)
	if last {
		prompt = fmt.Sprintf("This is the LAST TRY before token %q locks.\n%s", token, prompt)
	}
	pin, err := s.options.Ask(ctx, prompt)
	switch {
	case errors.Is(err, ErrNoTerminal):
		return "", missing
	case err != nil:
		return "", fmt.Errorf("ask for the PIN of token %q: %w", token, err)
	case pin == "":
		return "", protocol.Errorf(protocol.CodeAccessDenied, "no PIN was entered for token %q", token)
	}
	return pin, checkPIN(pin, "the terminal")
}
