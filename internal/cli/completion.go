package cli

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/signet-project/signet/host/trust"
)

// The endings of the names of files that are offered.
var (
	certificateFiles = []string{"pem", "crt", "cer"}
	keyFiles         = []string{"pem", "key"}
	jsonFiles        = []string{"json"}
)

// flagFiles are the flags that name files, with the endings to offer; none for all.
var flagFiles = map[string][]string{
	"timestamp-root-cert": certificateFiles, "ca-file": certificateFiles, "cert-file": certificateFiles, "certificate-chain": certificateFiles,
	"key-file": keyFiles, "policy": jsonFiles, "signature": {"sig"},
	"from-file": nil, "resume": nil, "out": nil,
}

// argumentFiles are the commands whose arguments are files, likewise.
var argumentFiles = map[string][]string{
	"blob sign": nil, "blob verify": nil, "blob inspect": {"sig"}, "certificate add": certificateFiles,
	"policy import": jsonFiles, "blob policy import": jsonFiles,
}

// completeAll offers values for every flag and argument that does not have any yet:
// files where files are meant, and nothing where a shell can know nothing.
func (a *app) completeAll(root *cobra.Command) {
	values := map[string]func(context.Context) []string{"policy-name": a.blobStatements, "scope": a.scopes}
	eachCommand(root, func(cmd *cobra.Command, path string) {
		cmd.Flags().VisitAll(func(flag *pflag.Flag) {
			if _, done := cmd.GetFlagCompletionFunc(flag.Name); done || flag.NoOptDefVal != "" {
				return
			}
			offer := cobra.CompletionFunc(cobra.NoFileCompletions)
			if flag.Name == "signature-directory" || flag.Name == "build-dir" {
				offer = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)
			}
			if endings, ok := flagFiles[flag.Name]; ok {
				offer = fileCompletions(endings)
			}
			if list := values[flag.Name]; list != nil {
				offer = completeArgs(func() []string { return list(cmd.Context()) })
			}
			mustMark(cmd.RegisterFlagCompletionFunc(flag.Name, offer))
		})
		if cmd.ValidArgsFunction != nil || cmd.HasSubCommands() {
			return
		}
		cmd.ValidArgsFunction = cobra.NoFileCompletions
		if endings, ok := argumentFiles[path]; ok {
			cmd.ValidArgsFunction = fileCompletions(endings)
		}
		if cmd.Flags().Lookup("oci-layout") != nil {
			cmd.ValidArgsFunction = completeLayout
		}
	})
}

// eachCommand visits the commands below root with their paths, as "blob sign".
func eachCommand(root *cobra.Command, visit func(cmd *cobra.Command, path string)) {
	for _, cmd := range root.Commands() {
		visit(cmd, cmd.CommandPath()[len(cmd.Root().Name())+1:])
		eachCommand(cmd, visit)
	}
}

func fileCompletions(endings []string) cobra.CompletionFunc {
	if len(endings) == 0 {
		return cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)
	}
	return cobra.FixedCompletions(endings, cobra.ShellCompDirectiveFilterFileExt)
}

// completeLayout offers directories for references into OCI layouts; what is in a
// registry is not asked for.
func completeLayout(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	if layout, err := cmd.Flags().GetBool("oci-layout"); err == nil && layout {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// blobStatements lists the statements of the blob policy, for completion.
func (a *app) blobStatements(ctx context.Context) []string {
	policy, err := a.policies().BlobPolicy(ctx)
	if err != nil {
		return nil
	}
	return collect(policy.Statements, func(s *trust.Statement) []string { return []string{s.Name} })
}

// scopes lists the repositories that the policy for artifacts names, for completion.
func (a *app) scopes(ctx context.Context) []string {
	policy, err := a.policies().OCIPolicy(ctx)
	if err != nil {
		return nil
	}
	return collect(policy.Statements, func(s *trust.Statement) []string {
		if len(s.RegistryScopes) == 1 && s.RegistryScopes[0] == "*" {
			return nil
		}
		return s.RegistryScopes
	})
}

func collect(statements []*trust.Statement, names func(*trust.Statement) []string) []string {
	var all []string
	for _, statement := range statements {
		all = append(all, names(statement)...)
	}
	return all
}

// complete offers values for a flag on the shell's request.
func (a *app) complete(cmd *cobra.Command, flag string, values func() []string) {
	mustMark(cmd.RegisterFlagCompletionFunc(flag, completeArgs(values)))
}

// completeArgs offers values, and no files.
func completeArgs(values func() []string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return values(), cobra.ShellCompDirectiveNoFileComp
	}
}
