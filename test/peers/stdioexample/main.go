// Command stdioexample is the example plugin without sessions, which benchmarks
// compare with the one that has them. It is installed as notation-example.
package main

import (
	"os"

	"github.com/signet-project/signet/plugins/example"
	"github.com/signet-project/signet/protocol"
)

func main() { protocol.Serve(example.New(os.Getenv)) }
