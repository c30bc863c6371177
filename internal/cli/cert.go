package cli

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/host/trust"
)

func (a *app) certCommand() *cobra.Command {
	return a.group("certificate", "Manage certificates in trust store", []string{"cert"},
		a.certAddCommand(), a.certListCommand(), a.certShowCommand(), a.certDeleteCommand(),
		a.certGenerateTestCommand(), a.certCleanupTestCommand())
}

// storeFlags adds --type and --store.
func (a *app) storeFlags(cmd *cobra.Command, required bool) *trust.StoreRef {
	ref := &trust.StoreRef{}
	cmd.Flags().StringVarP((*string)(&ref.Type), "type", "t", "", "specify trust store type, options: ca, signingAuthority, tsa")
	cmd.Flags().StringVarP(&ref.Name, "store", "s", "", "specify named store")
	if required {
		mustMark(cmd.MarkFlagRequired("type"))
		mustMark(cmd.MarkFlagRequired("store"))
	}
	a.complete(cmd, "type", func() []string {
		var types []string
		for _, t := range trust.StoreTypes {
			types = append(types, string(t))
		}
		return types
	})
	a.complete(cmd, "store", func() []string {
		entries, _ := a.stores().List(trust.StoreRef{Type: ref.Type})
		var names []string
		for _, entry := range entries {
			names = append(names, entry.Ref.Name)
		}
		return names
	})
	return ref
}

// certificateNames offers the files of the store that the flags name.
func (a *app) certificateNames(ref *trust.StoreRef) cobra.CompletionFunc {
	return completeArgs(func() []string {
		entries, _ := a.stores().List(*ref)
		names := make([]string, len(entries))
		for i, entry := range entries {
			names[i] = entry.File
		}
		return names
	})
}

func (a *app) certAddCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add --type <type> --store <name> [flags] <cert_path>...",
		Short: "Add certificates to the trust store",
		Example: a.examples(
			`Trust a certificate authority in the store "acme"`, "cert add --type ca --store acme acme-root.crt",
			`Trust a timestamp authority`, "cert add --type tsa --store acme-tsa tsa-root.crt",
		),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("missing certificate path")
			}
			return nil
		},
	}
	ref := a.storeFlags(cmd, true)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if ref.Type == "" {
			return errors.New("store type cannot be empty")
		}
		if err := trust.CheckStore(*ref); err != nil {
			return err
		}
		var added []string
		var failed strings.Builder
		for _, path := range args {
			if err := a.stores().Add(*ref, path); err != nil {
				fmt.Fprintf(&failed, "\n%s, with error %q", path, err)
				continue
			}
			added = append(added, path)
		}
		if len(added) > 0 {
			a.printf("Successfully added following certificates to named store %s of type %s:\n%s\n", ref.Name, ref.Type, strings.Join(added, "\n"))
		}
		if failed.Len() > 0 {
			return fmt.Errorf("Failed to add following certificates to named store %s of type %s:%s", ref.Name, ref.Type, failed.String())
		}
		return nil
	}
	return cmd
}

// certListView is the JSON of certificate list (spec/schemas/certificate-list.json).
type certListView struct {
	Certificates []certFileView `json:"certificates"`
}

type certFileView struct {
	Type  trust.StoreType `json:"type"`
	Store string          `json:"store"`
	File  string          `json:"file"`
}

func (a *app) certListCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "list [flags]",
		Aliases: []string{"ls"},
		Short:   "List certificates in the trust store",
		Example: a.examples(
			"List all certificates", "cert list",
			"List those of one store", "cert list --type ca --store acme",
			"List them as JSON", "cert list --output json",
		),
		Args: noArgs,
	}
	ref := a.storeFlags(cmd, false)
	a.debugFlag(cmd)
	a.outputFlag(cmd, &output, "table", "json")
	cmd.RunE = func(*cobra.Command, []string) error {
		if err := checkOutput(output, "table", "json"); err != nil {
			return err
		}
		if ref.Type != "" {
			if err := trust.CheckStore(trust.StoreRef{Type: ref.Type, Name: "any"}); err != nil {
				return err
			}
		}
		if ref.Name != "" && !trust.ValidName(ref.Name) {
			return errors.New("named store name needs to follow [a-zA-Z0-9_.-]+ format")
		}
		entries, err := a.stores().List(*ref)
		if err != nil {
			return fmt.Errorf("failed to list the trust store: %w", err)
		}
		if output == "json" {
			view := certListView{Certificates: []certFileView{}}
			for _, entry := range entries {
				view.Certificates = append(view.Certificates, certFileView{entry.Ref.Type, entry.Ref.Name, entry.File})
			}
			return a.json(view)
		}
		if len(entries) == 0 {
			return nil
		}
		var rows [][]string
		for _, entry := range entries {
			rows = append(rows, []string{string(entry.Ref.Type), entry.Ref.Name, entry.File})
		}
		a.table([]string{"STORE TYPE", "STORE NAME", "CERTIFICATE"}, rows)
		return nil
	}
	return cmd
}

// certShowView is the JSON of certificate show (spec/schemas/certificate-show.json).
type certShowView struct {
	certFileView
	Certificates []certDetailView `json:"certificates"`
}

type certDetailView struct {
	Issuer      string    `json:"issuer"`
	Subject     string    `json:"subject"`
	Serial      string    `json:"serialNumber"`
	ValidFrom   time.Time `json:"validFrom"`
	ValidTo     time.Time `json:"validTo"`
	IsCA        bool      `json:"isCA"`
	Fingerprint string    `json:"SHA256Fingerprint"`
}

func (a *app) certShowCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "show --type <type> --store <name> [flags] <cert_fileName>",
		Short: "Show certificate details in the trust store",
		Example: a.examples(
			"Show a certificate of a trust store", "cert show --type ca --store acme acme-root.crt",
			"Show it as JSON", "cert show --type ca --store acme --output json acme-root.crt",
		),
		Args: exactlyOne("missing certificate file name", "show requires exactly one certificate file name"),
	}
	ref := a.storeFlags(cmd, true)
	a.debugFlag(cmd)
	a.outputFlag(cmd, &output, "text", "json")
	cmd.ValidArgsFunction = a.certificateNames(ref)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if err := checkOutput(output, "text", "json"); err != nil {
			return err
		}
		certs, err := a.stores().Show(*ref, args[0])
		if err != nil {
			return fmt.Errorf("failed to show details of certificate %s, with error: %w", args[0], reason(err))
		}
		if output == "json" {
			return a.json(viewCertFile(certFileView{ref.Type, ref.Name, args[0]}, certs))
		}
		line := strings.Repeat("-", 80)
		a.printf("Certificate details\n%s\n", line)
		for i, cert := range certs {
			if i > 0 {
				a.printf("%s\n", line)
			}
			const layout = "2006-01-02 15:04:05 +0000 UTC"
			a.printf("Issuer: %s\nSubject: %s\n", printable(displayName(cert.RawIssuer)), printable(displayName(cert.RawSubject)))
			a.printf("Valid from: %s\nValid to: %s\n", cert.NotBefore.UTC().Format(layout), cert.NotAfter.UTC().Format(layout))
			a.printf("IsCA: %t\nSHA256 Thumbprint: %s\n", cert.IsCA, pki.Fingerprint(cert))
		}
		return nil
	}
	return cmd
}

func viewCertFile(file certFileView, certs []*x509.Certificate) *certShowView {
	view := &certShowView{certFileView: file}
	for _, cert := range certs {
		view.Certificates = append(view.Certificates, certDetailView{
			Issuer: displayName(cert.RawIssuer), Subject: displayName(cert.RawSubject),
			Serial: cert.SerialNumber.Text(16), ValidFrom: shownTime(cert.NotBefore), ValidTo: shownTime(cert.NotAfter),
			IsCA: cert.IsCA, Fingerprint: pki.Fingerprint(cert),
		})
	}
	return view
}

func (a *app) certDeleteCommand() *cobra.Command {
	var all, yes bool
	cmd := &cobra.Command{
		Use:        "delete --type <type> --store <name> [flags] (--all | <cert_fileName>)",
		Short:      "Delete certificates from the trust store",
		SuggestFor: []string{"remove", "rm"},
		Example: a.examples(
			"Delete a certificate from a trust store", "cert delete --type ca --store acme acme-root.crt",
			"Delete a trust store with all its certificates", "cert delete --type ca --store acme --all",
		),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return errors.New("delete takes one certificate file name, or --all")
			}
			return nil
		},
	}
	ref := a.storeFlags(cmd, true)
	cmd.Flags().BoolVarP(&all, "all", "a", false, "delete all certificates in the named store")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not prompt for confirmation")
	cmd.ValidArgsFunction = a.certificateNames(ref)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		switch {
		case all && len(args) > 0:
			return errors.New("to delete all certificates, do not name one; to delete one, leave out --all")
		case !all && len(args) == 0:
			return errors.New("delete requires either the certificate file name that will be deleted or the --all flag")
		}
		if err := trust.CheckStore(*ref); err != nil {
			return err
		}
		if all {
			return a.deleteAll(*ref, yes)
		}
		if err := trust.CheckFileName(args[0]); err != nil {
			return err
		}
		confirmed, err := a.confirm(fmt.Sprintf("Are you sure you want to delete %q in %q of type %q?", args[0], ref.Name, ref.Type), yes)
		if err != nil || !confirmed {
			return err
		}
		if err := a.stores().Delete(*ref, args[0]); err != nil {
			return fmt.Errorf("failed to delete the certificate file: %w", reason(err))
		}
		a.printf("Successfully deleted %s from trust store %s of type %s\n", args[0], ref.Name, ref.Type)
		return nil
	}
	return cmd
}

func (a *app) deleteAll(ref trust.StoreRef, yes bool) error {
	confirmed, err := a.confirm(fmt.Sprintf("Are you sure you want to delete all certificates in %q of type %q?", ref.Name, ref.Type), yes)
	if err != nil || !confirmed {
		return err
	}
	deleted, err := a.stores().DeleteAll(ref)
	path := a.stores().Path(ref)
	if err != nil {
		for _, name := range deleted {
			a.printf("Successfully deleted %s\n", filepath.Join(path, name))
		}
		return fmt.Errorf("failed to delete the named trust store %s of type %s: %w", ref.Name, ref.Type, reason(err))
	}
	a.printf("Successfully deleted %s\n", path)
	return nil
}

// reason words a file error for people.
func reason(err error) error {
	if missing, ok := errors.AsType[*fs.PathError](err); ok && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s does not exist", missing.Path)
	}
	return err
}
