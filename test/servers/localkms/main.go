// Command localkms serves the KMS emulator github.com/nsmithuk/local-kms on a
// loopback address, keys in memory:
//
//	localkms ADDRESS REGION FOLDER
//
// It is built in FIPS 140-3 mode, as KMS is: RSASSA-PSS salts are then as long as
// the hash, and not as long as they can be.
//
//go:debug fips140=on
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
	config.AWSAccountId, config.AWSRegion, config.DatabasePath = "111122223333", os.Args[2], os.Args[3]
	database := data.NewDatabase(config.DatabasePath)
	defer database.Close()
	log.Fatal(http.ListenAndServe(os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		localkms.HandleRequest(w, r, database)
	})))
}
