// Command notation-pkcs11 signs with keys on PKCS #11 tokens.
package main

import (
	"os"

	"github.com/signet-project/signet/plugins/pkcs11"
	"github.com/signet-project/signet/protocol/session"
)

func main() {
	session.Serve(pkcs11.New(pkcs11.Options{Getenv: os.Getenv, Ask: pkcs11.AskOnTerminal, LockDir: os.TempDir()}))
}
