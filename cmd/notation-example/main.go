// Command notation-example is the example plugin.
package main

import (
	"github.com/signet-project/signet/plugins/example"
	"github.com/signet-project/signet/protocol"
)

func main() { protocol.Serve(example.New()) }
