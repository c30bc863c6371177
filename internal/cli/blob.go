package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"os"
	"path/filepath"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/host/envelope"
)

func (a *app) blobCommand() *cobra.Command {
	return a.group("blob", "Sign, verify and inspect files and their signatures", nil,
		a.blobSignCommand(), a.blobVerifyCommand(), a.blobInspectCommand(),
		a.group("policy", "Manage blob trust policy configuration", nil,
			a.policyInitCommand(blobPolicy), a.policyImportCommand(blobPolicy), a.policyShowCommand(blobPolicy)))
}

// maxSignatureFile bounds a signature file, in bytes.
const maxSignatureFile = 32 << 20

// blobSignView is the JSON of blob sign (spec/schemas/blob-sign.json).
type blobSignView struct {
	Blob          string             `json:"blob"`
	SignatureFile string             `json:"signatureFile"`
	Format        string             `json:"signatureEnvelopeType"`
	Signed        ocispec.Descriptor `json:"signedArtifact"`
}

func (a *app) blobSignCommand() *cobra.Command {
	var force bool
	var mediaType, directory, output string
	cmd := &cobra.Command{
		Use:   "sign [flags] <blob_path>",
		Short: "Produce a detached signature for a given file",
		Example: a.examples(
			"Sign a file; the signature is written beside it", "blob sign --key build ./release.tar.gz",
			"Write the signature elsewhere", "blob sign --signature-directory ./signatures ./release.tar.gz",
			"Get digest and signature file as JSON", "blob sign --force --output json ./release.tar.gz",
		),
		Args: a.argument("file path to the blob artifact", "blob sign"),
	}
	signing := a.signerFlags(cmd)
	a.debugFlag(cmd)
	a.outputFlag(cmd, &output, "text", "json")
	cmd.Flags().BoolVar(&force, "force", false, "override the existing signature file, never prompt")
	cmd.Flags().StringVar(&mediaType, "media-type", "application/octet-stream", "media type of the blob")
	cmd.Flags().StringVar(&directory, "signature-directory", "", "directory where the blob signature needs to be placed (default: beside the blob)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkOutput(output, "text", "json"); err != nil {
			return err
		}
		if err := checkMediaType(mediaType); err != nil {
			return err
		}
		if directory == "" && cmd.Flags().Changed("signature-directory") {
			return errors.New("signature directory cannot be empty")
		}
		blob, err := openBlob(args[0])
		if err != nil {
			return err
		}
		defer blob.Close()
		if directory == "" {
			directory = filepath.Dir(args[0])
		}
		path := filepath.Join(directory, fmt.Sprintf("%s.%s.sig", filepath.Base(args[0]), signing.format))
		signer, end, err := a.signer(cmd.Context(), signing, cmd.Flags().Changed, host.KindBlob, 1)
		if err != nil {
			return err
		}
		defer end()
		if confirmed, err := a.confirmSignature(path, force, output); err != nil || !confirmed {
			return err
		}
		signed, err := signer.SignBlob(cmd.Context(), blob, mediaType)
		if err != nil {
			return err
		}
		if err := config.WriteFile(path, signed.Signature, 0o600); err != nil {
			return fmt.Errorf("failed to write signature to file: %w", err)
		}
		if output == "json" {
			return a.json(&blobSignView{Blob: args[0], SignatureFile: path, Format: signed.Envelope.MediaType, Signed: signed.Blob})
		}
		a.printf("Successfully signed %s\n", args[0])
		a.printf("Signature file written to %s\n", path)
		return nil
	}
	return cmd
}

// openBlob opens a file for reading, which may be a pipe, but no directory.
func openBlob(path string) (*os.File, error) {
	if path == "" {
		return nil, errors.New("blob path cannot be empty")
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a directory: name a file", path)
	}
	return os.Open(path)
}

// confirmSignature asks before a signature file is replaced (BLOB-05). A question
// has no place in JSON.
func (a *app) confirmSignature(path string, force bool, output string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil { // a directory on the way is none, or closed
		return false, fmt.Errorf("failed to write signature to file: %w", err)
	}
	if force {
		a.warnf("existing signature file will be overwritten")
		return true, nil
	}
	if output == "json" {
		return false, fmt.Errorf("signature file %s already exists: use --force to overwrite it", path)
	}
	return a.confirm("The signature file already exists, do you want to overwrite it?", false)
}

// checkMediaType holds BLOB-06.
func checkMediaType(mediaType string) error {
	if mediaType == "" {
		return errors.New("--media-type is set but with empty value")
	}
	parsed, _, err := mime.ParseMediaType(mediaType)
	if err != nil || !strings.Contains(parsed, "/") {
		return fmt.Errorf("invalid media-type %q: write type/subtype, such as application/octet-stream", mediaType)
	}
	return nil
}

func (a *app) blobVerifyCommand() *cobra.Command {
	var signaturePath, mediaType, policy string
	var pluginConfig, metadata []string
	cmd := &cobra.Command{
		Use:   "verify [flags] --signature <signature_path> <blob_path>",
		Short: "Verify a signature associated with a file",
		Example: a.examples(
			"Verify a file by the global policy statement", "blob verify --signature ./release.tar.gz.jws.sig ./release.tar.gz",
			"Verify a file by a named statement", "blob verify --policy-name releases --signature ./release.tar.gz.jws.sig ./release.tar.gz",
		),
		Args: a.argument("path to the blob artifact", "blob verify"),
	}
	a.debugFlag(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&signaturePath, "signature", "s", "", "filepath of the signature to be verified")
	flags.StringVar(&mediaType, "media-type", "", "media type of the blob to verify")
	flags.StringVar(&policy, "policy-name", "", "policy name to verify against. If not provided, the global policy is used if exists")
	pluginConfigFlag(cmd, &pluginConfig)
	flags.StringArrayVarP(&metadata, "user-metadata", "m", nil, "user defined {key}={value} pairs that must be present in the signature for successful verification if provided")
	report := a.reportFlags(cmd, "text", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkOutput(report.output, "text", "json"); err != nil {
			return err
		}
		if flags.Changed("media-type") {
			if err := checkMediaType(mediaType); err != nil {
				return err
			}
		}
		configuration, err := keyValues("plugin-config", pluginConfig)
		if err != nil {
			return err
		}
		required, err := keyValues("user-metadata", metadata)
		if err != nil {
			return err
		}
		signature, format, err := readSignature(signaturePath)
		if err != nil {
			return err
		}
		blob, err := openBlob(args[0])
		if err != nil {
			return err
		}
		defer blob.Close()
		verifier, err := a.verifier()
		if err != nil {
			return err
		}
		outcome, err := verifier.VerifyBlob(cmd.Context(), blob, host.BlobRequest{
			Name: args[0], Policy: policy, MediaType: mediaType,
			Signature: signature, SignatureType: format.MediaType(), UserMetadata: required, PluginConfig: configuration,
		})
		return a.report(report, outcome, err)
	}
	return cmd
}

// readSignature reads a signature file; its name says the format (BLOB-08).
func readSignature(path string) ([]byte, envelope.Format, error) {
	if path == "" {
		return nil, "", errors.New("filepath of the signature cannot be empty")
	}
	data, err := config.ReadFile(path, maxSignatureFile)
	if _, ok := errors.AsType[*config.SizeError](err); ok {
		return nil, "", fmt.Errorf("signature file %s is larger than %d MiB", path, maxSignatureFile>>20)
	}
	if err != nil {
		return nil, "", fmt.Errorf("failed to read signature file: %w", err)
	}
	format, err := signatureFormat(filepath.Base(path), data)
	return data, format, err
}

// signatureFormat finds the envelope format of a file name (BLOB-08, BLOB-09).
func signatureFormat(name string, data []byte) (envelope.Format, error) {
	formats := []envelope.Format{envelope.FormatJWS, envelope.FormatCOSE}
	if !strings.Contains(name, ".") {
		for _, format := range formats {
			if _, err := envelope.Parse(format.MediaType(), data); err == nil {
				return format, nil
			}
		}
		return "", fmt.Errorf("signature file %s is neither a JWS nor a COSE signature envelope", name)
	}
	parts := strings.Split(name, ".")
	if !strings.EqualFold(parts[len(parts)-1], "sig") {
		return "", fmt.Errorf("invalid signature filename %s. The file extension must be .sig", name)
	}
	if len(parts) < 3 {
		return "", fmt.Errorf("invalid signature filename %s. A valid signature file name must contain signature format and .sig file extension", name)
	}
	part := parts[len(parts)-2]
	for _, format := range formats {
		if strings.EqualFold(part, string(format)) {
			return format, nil
		}
	}
	return "", fmt.Errorf("signature format %q not supported\nSupported signature envelope formats are %q and %q", part, envelope.FormatJWS, envelope.FormatCOSE)
}

func (a *app) blobInspectCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "inspect [flags] <signature_path>",
		Short: "Inspect a signature associated with a file",
		Example: a.examples(
			"Show a signature as a tree", "blob inspect ./release.tar.gz.jws.sig",
			"Show it as JSON", "blob inspect --output json ./release.tar.gz.jws.sig",
		),
		Args: a.argument("signature path", "blob inspect"),
		RunE: func(_ *cobra.Command, args []string) error {
			if output != "tree" && output != "json" {
				return &usageError{fmt.Errorf("unrecognized output format %s", output), "Formats are: tree, json"}
			}
			data, format, err := readSignature(args[0])
			if err != nil {
				return err
			}
			view, err := viewSignature("", format.MediaType(), data)
			if err != nil {
				return err
			}
			if output == "json" {
				return a.json(view)
			}
			root := newNode(args[0])
			view.addTo(root)
			root.print(a.Stdout)
			return nil
		},
	}
	a.debugFlag(cmd)
	a.outputFlag(cmd, &output, "tree", "json")
	return cmd
}
