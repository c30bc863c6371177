// Command notation-example is the example plugin.
package main

import (
	"os"

	"github.com/signet-project/signet/plugins/example"
	"github.com/signet-project/signet/protocol/session"
)

func main() { session.Serve(example.New(os.Getenv)) }
