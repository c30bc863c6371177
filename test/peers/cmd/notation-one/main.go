// Command notation-one signs or verifies one artifact in a registry, with
// notation-go for its library and the configuration of the notation CLI: what signet
// is measured against. It prints little and takes few flags.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/dir"
	"github.com/notaryproject/notation-go/plugin"
	"github.com/notaryproject/notation-go/registry"
	"github.com/notaryproject/notation-go/signer"
	"github.com/notaryproject/notation-go/verifier"
	orasregistry "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if path := os.Getenv("NOTATION_CONFIG"); path != "" {
		dir.UserConfigDir = path
	}
	if path := os.Getenv("NOTATION_LIBEXEC"); path != "" {
		dir.UserLibexecDir = path
	}
	command := ""
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	switch command {
	case "version":
		fmt.Println("notation-one: notation-go v1.3.2")
		return nil
	case "sign":
		return sign(ctx, args)
	case "verify":
		return verify(ctx, args)
	}
	return errors.New("use: notation-one version | sign (-key FILE -certs FILE | -plugin NAME -id ID [-config KEY=VALUE]) [-format MEDIA-TYPE] REFERENCE | verify REFERENCE")
}

// open finds an artifact's repository; one at localhost is spoken to by plain HTTP.
func open(args []string) (registry.Repository, orasregistry.Reference, error) {
	if len(args) != 1 {
		return nil, orasregistry.Reference{}, errors.New("one reference is wanted")
	}
	ref, err := orasregistry.ParseReference(args[0])
	if err != nil {
		return nil, ref, err
	}
	repository, err := remote.NewRepository(ref.Registry + "/" + ref.Repository)
	if err != nil {
		return nil, ref, err
	}
	repository.PlainHTTP = strings.HasPrefix(ref.Registry, "localhost:")
	return registry.NewRepository(repository), ref, nil
}

func verify(ctx context.Context, args []string) error {
	repository, ref, err := open(args)
	if err != nil {
		return err
	}
	check, err := verifier.NewFromConfig()
	if err != nil {
		return err
	}
	desc, _, err := notation.Verify(ctx, check, repository, notation.VerifyOptions{ArtifactReference: ref.String(), MaxSignatureAttempts: 100})
	if err != nil {
		return err
	}
	fmt.Printf("Successfully verified signature for %s/%s@%s\n", ref.Registry, ref.Repository, desc.Digest)
	return nil
}

func sign(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("sign", flag.ContinueOnError)
	key, certs := flags.String("key", "", "private key, PEM"), flags.String("certs", "", "certificate chain, PEM")
	name, id := flags.String("plugin", "", "name of a plugin"), flags.String("id", "", "its key")
	format := flags.String("format", "application/jose+json", "media type of the envelope")
	config := map[string]string{}
	flags.Func("config", "configuration for the plugin", func(pair string) error {
		name, value, _ := strings.Cut(pair, "=")
		config[name] = value
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	repository, ref, err := open(flags.Args())
	if err != nil {
		return err
	}
	by, err := newSigner(ctx, *key, *certs, *name, *id, config)
	if err != nil {
		return err
	}
	desc, err := notation.Sign(ctx, by, repository, notation.SignOptions{
		SignerSignOptions: notation.SignerSignOptions{SignatureMediaType: *format}, ArtifactReference: ref.Reference,
	})
	if err != nil {
		return err
	}
	fmt.Printf("Successfully signed %s/%s@%s\n", ref.Registry, ref.Repository, desc.Digest)
	return nil
}

func newSigner(ctx context.Context, key, certs, name, id string, config map[string]string) (notation.Signer, error) {
	if name == "" {
		return signer.NewGenericSignerFromFiles(key, certs)
	}
	found, err := plugin.NewCLIManager(dir.PluginFS()).Get(ctx, name)
	if err != nil {
		return nil, err
	}
	return signer.NewPluginSigner(found, id, config)
}
