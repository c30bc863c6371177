// Command localkms serves the KMS emulator github.com/nsmithuk/local-kms:
//
//	localkms ADDRESS REGION FOLDER
//
// ADDRESS is a loopback address, FOLDER where keys are kept. Other than the
// emulator's own command it listens on nothing else and answers GET /health; and
// it runs in FIPS 140-3 mode (go.mod), as KMS does: Go's longest RSASSA-PSS salt,
// which the emulator asks for, is then as long as the hash.
package main

import (
	"log"
	"net/http"
	"os"

	localkms "github.com/nsmithuk/local-kms/src"
	"github.com/nsmithuk/local-kms/src/config"
	"github.com/nsmithuk/local-kms/src/data"
)

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: localkms ADDRESS REGION FOLDER")
	}
	config.AWSAccountId, config.AWSRegion = "111122223333", os.Args[2]
	database := data.NewDatabase(os.Args[3])
	http.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { localkms.HandleRequest(w, r, database) })
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}
