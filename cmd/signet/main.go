// Command signet signs and verifies container images, other OCI artifacts and
// plain files by the Notary Project specifications.
package main

import (
	"io"
	"log"
	"os"

	"github.com/signet-project/signet/internal/cli"
)

func main() {
	log.SetOutput(io.Discard) // remarks of net/http on servers; errors tell what matters
	ctx, received := untilSignal()
	home, _ := os.UserHomeDir() // without one the directories are below the current one
	status := cli.Run(ctx, cli.Env{
		Args:    os.Args,
		Stdin:   os.Stdin,
		Stdout:  output(os.Stdout),
		Stderr:  output(os.Stderr),
		Environ: os.Environ(),
		Home:    home,
	})
	if status != 0 {
		endBySignal(received(), status)
	}
	os.Exit(status)
}
