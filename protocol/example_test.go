package protocol_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/stdio"
)

// A host calls the plugin notation-acme: each call starts its executable, here the
// test binary itself, which then is a plugin by protocol.Serve.
func ExampleClient() {
	path, err := os.Executable()
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	client := protocol.NewClient("acme", &stdio.Transport{Path: path, Env: append(os.Environ(), "SIGNET_TEST_SERVE=1")})
	metadata, err := client.GetMetadata(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(metadata.Name, metadata.Version, metadata.Capabilities)
	key, err := client.DescribeKey(ctx, &protocol.DescribeKeyRequest{KeyID: "build"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(key.KeyID, key.KeySpec)

	// What the plugin answers as a failure comes with its code.
	_, err = client.DescribeKey(ctx, &protocol.DescribeKeyRequest{KeyID: "fail"})
	if answer, ok := errors.AsType[*protocol.Error](err); ok {
		fmt.Println(answer.Code)
	}
	fmt.Println(err)
	// Output:
	// acme 1.2.3 [SIGNATURE_GENERATOR.RAW]
	// build EC-256
	// ACCESS_DENIED
	// plugin acme: describe-key: ACCESS_DENIED: no
}
