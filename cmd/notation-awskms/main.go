// Command notation-awskms signs with keys of AWS Key Management Service.
package main

import (
	"github.com/signet-project/signet/plugins/awskms"
	"github.com/signet-project/signet/protocol/session"
)

func main() { session.Serve(awskms.New(awskms.Options{})) }
