// Package cli is the command line: it parses flags, calls the host's flows and
// renders what they return.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/host/revocation"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/protocol/stdio"
)

// Env is what the command line takes from its process.
type Env struct {
	// Args are the process's, the program's name first.
	Args   []string
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// Environ lists the environment as os.Environ does.
	Environ []string
	// Home is the user's home directory; may be empty.
	Home string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Exit statuses of runs that came to an early end, as shells give them: 128 and the
// number of a signal.
const (
	// StatusInterrupted: Ctrl-C ended a plugin that had the terminal.
	StatusInterrupted = 130
	// StatusBrokenPipe: nobody reads standard output any more. Nothing was said of it.
	StatusBrokenPipe = 141
)

// Run executes one command line and returns the exit status: 0 on success, 1 on any
// error, which has then been written to Stderr, or one of those above. When ctx is done
// the run ends early.
func Run(ctx context.Context, env Env) int {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stderr, stdout := &lineWriter{w: env.Stderr}, &resultWriter{w: env.Stdout, broken: cancel}
	env.Stderr, env.Stdout = stderr, stdout
	a := newApp(env)
	a.dirs = a.dirs.Absolute()
	a.interrupted = ctx.Done()
	root := a.commandFor(env.Args[1:])
	root.SetArgs(env.Args[1:])
	err := root.ExecuteContext(ctx)
	if err == nil {
		err = stdout.failure()
	}
	switch {
	case err == nil:
		return 0
	case stdout.isBroken():
		return StatusBrokenPipe
	}
	if (ctx.Err() != nil || errors.Is(err, stdio.ErrInterrupted)) && !errors.Is(err, errInterrupted) {
		err = errInterrupted // whatever failed for that reason
	}
	stderr.endLine()
	a.eprintln("Error: " + err.Error())
	switch {
	case ctx.Err() != nil: // who did it needs no advice
		return 1
	case errors.Is(err, errInterrupted):
		return StatusInterrupted
	}
	if advice := a.advice(err); advice != "" {
		a.eprintln(advice)
	}
	return 1
}

// Command is the tree of commands that Run executes, for what is made of their help.
func Command(env Env) *cobra.Command { return newApp(env).rootCommand() }

// app is one run of the program.
type app struct {
	Env
	// name is how the program was called: notation through a link of that name.
	name    string
	dirs    config.Dirs
	debug   bool
	debugTo *slog.Logger
	// logFormat is text or json.
	logFormat string
	// interrupted is closed when the run is to end; nil for never.
	interrupted <-chan struct{}
	// pluginRun is what --plugin-timeout and --plugin-env say.
	pluginRun pluginRun
	// caFile is what --ca-file names.
	caFile string
	// What a run makes once, when it is first needed.
	loaded     *config.Settings
	http       *http.Client
	revocation *revocation.Checker
}

func newApp(env Env) *app {
	if env.Now == nil {
		env.Now = time.Now
	}
	a := &app{Env: env, name: "signet", logFormat: logFormats[0]}
	if base := strings.TrimSuffix(filepath.Base(env.Args[0]), ".exe"); base == "notation" {
		a.name = base
	}
	a.dirs = config.DirsFrom(a.getenv, runtime.GOOS, env.Home)
	return a
}

// getenv looks up an environment variable; of several the last one counts.
func (a *app) getenv(name string) string {
	value := ""
	for _, entry := range a.Environ {
		if k, v, ok := strings.Cut(entry, "="); ok && k == name {
			value = v
		}
	}
	return value
}

// branch is a command of the top level that is yet to be made.
type branch struct {
	name string
	make func() *cobra.Command
}

// branches lists the top level.
func (a *app) branches() []branch {
	return []branch{
		{"sign", a.signCommand}, {"verify", a.verifyCommand}, {"list", a.listCommand}, {"inspect", a.inspectCommand},
		{"key", a.keyCommand}, {"certificate", a.certCommand}, {"policy", a.policyCommand}, {"plugin", a.pluginCommand},
		{"blob", a.blobCommand},
		{"login", a.loginCommand}, {"logout", a.logoutCommand}, {"doctor", a.doctorCommand}, {"version", a.versionCommand},
	}
}

// rootCommand is the whole tree of commands.
func (a *app) rootCommand() *cobra.Command {
	root := a.root(a.branches())
	a.helpTopics(root)
	a.completeAll(root)
	return root
}

// commandFor is the tree of commands as far as a command line can come to them: when it
// begins with the name of one, the flags of all others, and what helps to write command
// lines, would take a seventh of the shortest runs.
func (a *app) commandFor(args []string) *cobra.Command {
	all := a.branches()
	i := slices.IndexFunc(all, func(b branch) bool { return len(args) > 0 && b.name == args[0] })
	if i < 0 {
		return a.rootCommand()
	}
	root := a.root(all[i : i+1])
	root.CompletionOptions.DisableDefaultCmd = true // which is another command
	return root
}

// root is the program with some commands.
func (a *app) root(branches []branch) *cobra.Command {
	root := &cobra.Command{
		Use:   a.name,
		Short: a.title(),
		Long: a.title() + `

Keys live in plugins or files, trust in policies and trust stores below
` + a.dirs.Config + `.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, err) })
	root.SetIn(a.Stdin)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	for _, b := range branches {
		cmd := b.make()
		if b.name != "version" && b.name != "doctor" { // the one needs nothing, the other says it itself
			cmd.PersistentPreRun = a.warnHomeless
		}
		root.AddCommand(cmd)
	}
	a.pluginFlags(root)
	a.formerFlags(root)
	return root
}

// title is the first line of help and version.
func (a *app) title() string {
	return strings.ToUpper(a.name[:1]) + a.name[1:] + " - a tool to sign and verify artifacts"
}

// group makes a command that only holds others.
func (a *app) group(use, short string, aliases []string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Aliases: aliases,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	return cmd
}

// printf writes text to standard output. What signatures, registries and plugins
// put into it cannot steer the terminal.
func (a *app) printf(format string, args ...any) {
	io.WriteString(a.Stdout, printableText(fmt.Sprintf(format, args...)))
}

// warnf writes a warning to standard error.
func (a *app) warnf(format string, args ...any) {
	a.eprintln(fmt.Sprintf("Warning: "+format, args...))
}

// warnHomeless warns before a command runs that takes what it trusts from wherever it was
// called.
func (a *app) warnHomeless(cmd *cobra.Command, _ []string) {
	if a.dirs.Homeless && !cmd.HasSubCommands() {
		a.warnf("no home directory is known, so that trust policies, trust stores, keys and plugins are those in %s. Set NOTATION_CONFIG to the directory that is meant.", a.dirs.Config)
	}
}

// eprintln writes text to standard error.
func (a *app) eprintln(text string) { fmt.Fprintln(a.Stderr, a.inOurName(text)) }

// inOurName lets the command lines in a message begin as this program was called.
func (a *app) inOurName(text string) string {
	return strings.ReplaceAll(text, `"signet `, `"`+a.name+" ")
}

func (a *app) stores() *trust.DirStore {
	stores := trust.NewDirStore(a.dirs.TrustStore(), slog.New(&warningHandler{app: a, next: a.log().Handler()}))
	stores.Now = a.Now
	return stores
}

func (a *app) policies() trust.FilePolicies { return trust.FilePolicies{Dir: a.dirs.Config} }

// userAgent names the program to servers and in signatures.
func (a *app) userAgent() string { return "signet/" + Version() }

// examples renders pairs of description and command line for help.
func (a *app) examples(pairs ...string) string {
	text := ""
	for i := 0; i+1 < len(pairs); i += 2 {
		if i > 0 {
			text += "\n\n"
		}
		text += "  # " + pairs[i] + "\n  " + a.name + " " + pairs[i+1]
	}
	return text
}
