// Command notation-azurekv signs with keys of Azure Key Vault and Managed HSM.
package main

import (
	"github.com/signet-project/signet/plugins/azurekv"
	"github.com/signet-project/signet/protocol/session"
)

func main() { session.Serve(azurekv.New(azurekv.Options{})) }
