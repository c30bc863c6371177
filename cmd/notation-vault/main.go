// Command notation-vault signs with transit keys of HashiCorp Vault and OpenBao.
package main

import (
	"os"

	"github.com/signet-project/signet/plugins/vault"
	"github.com/signet-project/signet/protocol/session"
)

func main() { session.Serve(vault.New(vault.Options{Getenv: os.Getenv})) }
