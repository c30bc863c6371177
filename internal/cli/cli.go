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
	"github.com/signet-project/signet/host/plugin"
	"github.com/signet-project/signet/host/revocation"
	"github.com/signet-project/signet/host/trust"
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
}

// Run executes one command line and returns the exit status: 0 on success, 1 on
// any error, which has then been written to Stderr.
func Run(ctx context.Context, env Env) int {
	stderr, stdout := &lineWriter{w: env.Stderr}, &resultWriter{w: env.Stdout}
	env.Stderr, env.Stdout = stderr, stdout
	a := newApp(env)
	a.interrupted = ctx.Done()
	root := a.rootCommand()
	root.SetArgs(env.Args[1:])
	err := root.ExecuteContext(ctx)
	if err == nil {
		err = stdout.failure()
	}
	if err != nil {
		stderr.endLine()
		a.eprintln("Error: " + err.Error())
		if advice := a.advice(err); advice != "" && ctx.Err() == nil { // who interrupts knows why
			a.eprintln(advice)
		}
		return 1
	}
	return 0
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

// usageError is a mistake in the command line, with a line on where to look.
type usageError struct {
	error
	hint string
}

// usage marks err as a mistake in the command line of cmd.
func usage(cmd *cobra.Command, err error) error {
	return &usageError{err, fmt.Sprintf("Run '%s --help' for usage.", cmd.CommandPath())}
}

// noSuchCommand refuses arguments where a command's name should stand.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := fmt.Sprintf("Run '%s --help' for usage.", cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2 // letters, as cobra has it where it suggests by itself
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("Did you mean %s? %s", strings.Join(near, " or "), hint)
	}
	return &usageError{fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath()), hint}
}

// helpTopics lets help refuse what is no command.
func (a *app) helpTopics(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help := commandAt(root, "help")
	help.Example = a.examples("Show the help of a command", "help key add")
	help.Args = func(_ *cobra.Command, args []string) error {
		cmd, rest, err := root.Find(args)
		if err != nil {
			return err
		}
		return noSuchCommand(cmd, rest)
	}
}

// noArgs refuses arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usage(cmd, fmt.Errorf("%q takes no argument, but got %q", cmd.CommandPath(), args[0]))
}

// exactlyOne wants one argument, and has a text for none and for too many.
func exactlyOne(missing, surplus string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return errors.New(missing)
		case 1:
			return nil
		}
		return usage(cmd, fmt.Errorf("%s, but got %q", surplus, args))
	}
}

func (a *app) rootCommand() *cobra.Command {
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
	root.AddCommand(
		a.signCommand(), a.verifyCommand(), a.listCommand(), a.inspectCommand(),
		a.keyCommand(), a.certCommand(), a.policyCommand(), a.pluginCommand(),
		a.blobCommand(),
		a.loginCommand(), a.logoutCommand(), a.doctorCommand(), a.versionCommand(),
	)
	a.pluginFlags(root)
	a.formerFlags(root)
	a.helpTopics(root)
	a.completeAll(root)
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

// eprintln writes text to standard error.
func (a *app) eprintln(text string) { fmt.Fprintln(a.Stderr, a.inOurName(text)) }

// inOurName lets the command lines in a message begin as this program was called.
func (a *app) inOurName(text string) string {
	return strings.ReplaceAll(text, `"signet `, `"`+a.name+" ")
}

// debugFlag adds -d and the form of what it shows.
func (a *app) debugFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&a.debug, "debug", "d", false, "debug mode: show what is done, secrets masked")
	cmd.Flags().Var(&choice{&a.logFormat, logFormats}, "log-format", `form of what --debug shows, options: "text", "json" (one object a line)`)
	a.complete(cmd, "log-format", func() []string { return logFormats })
}

var logFormats = []string{"text", "json"}

// choice is the value of a flag with few that are good.
type choice struct {
	value *string
	among []string
}

// String returns the value.
func (c *choice) String() string {
	if c.value == nil {
		return ""
	}
	return *c.value
}

// Set takes one of the values.
func (c *choice) Set(text string) error {
	if !slices.Contains(c.among, text) {
		return fmt.Errorf("it is none of %q", c.among)
	}
	*c.value = text
	return nil
}

// Type names the kind of value in help.
func (c *choice) Type() string { return "string" }

// log is the debug log: standard error with -d, nowhere otherwise.
func (a *app) log() *slog.Logger {
	if !a.debug {
		return slog.New(slog.DiscardHandler)
	}
	if a.debugTo == nil {
		options := &slog.HandlerOptions{
			Level: slog.LevelDebug,
			ReplaceAttr: func(_ []string, attr slog.Attr) slog.Attr {
				switch attr.Value.Kind() {
				case slog.KindTime:
					return slog.String(attr.Key, attr.Value.Time().UTC().Format(time.RFC3339Nano))
				case slog.KindDuration: // as text has it: a bare number has no unit
					return slog.String(attr.Key, attr.Value.Duration().String())
				}
				return attr
			},
		}
		var handler slog.Handler = slog.NewTextHandler(a.Stderr, options)
		if a.logFormat == "json" {
			handler = slog.NewJSONHandler(a.Stderr, options)
		}
		a.debugTo = slog.New(handler)
	}
	return a.debugTo
}

// pluginOptions say how plugins are run, whatever they are run for.
func (a *app) pluginOptions() (plugin.Options, error) {
	return plugin.Options{
		Environ:     a.Environ,
		Withhold:    a.pluginRun.withheld,
		Timeout:     a.pluginRun.timeout,
		ListTimeout: a.pluginRun.timeout,
		Logger:      a.log(),
	}, a.pluginRun.check()
}

// plugins is the manager of the installed plugins.
func (a *app) plugins() (*plugin.Manager, error) {
	settings, err := a.settings()
	if err != nil {
		return nil, err
	}
	client, err := a.httpClient()
	if err != nil {
		return nil, err
	}
	options, err := a.pluginOptions()
	if err != nil {
		return nil, err
	}
	options.Terminal = a.terminal()
	options.Stderr = &limitedWriter{w: a.Stderr, left: maxPluginStderr}
	options.HTTPClient = client
	options.RequirePins = settings.RequirePins
	options.MemoryDir = a.dirs.PluginMemory()
	options.Warn = func(err error) { a.warnf("%v", err) }
	return plugin.NewManager(a.dirs.Plugins(), options), nil
}

// maxPluginStderr is how much of what plugins write to standard error is shown, in
// bytes.
const maxPluginStderr = 1 << 20

// limitedWriter passes on the beginning of what is written to it.
type limitedWriter struct {
	w    io.Writer
	left int
}

func (l *limitedWriter) Write(p []byte) (int, error) {
	shown := p[:min(len(p), l.left)]
	l.left -= len(shown)
	if _, err := l.w.Write(shown); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (a *app) stores() *trust.DirStore {
	return trust.NewDirStore(a.dirs.TrustStore(), slog.New(&warningHandler{app: a, next: a.log().Handler()}))
}

func (a *app) policies() trust.FilePolicies { return trust.FilePolicies{Dir: a.dirs.Config} }

// userAgent names the program to servers and in signatures.
func (a *app) userAgent() string { return "signet/" + Version() }

// keyValues reads the values of a repeated key=value flag (CLI-09).
func keyValues(flag string, pairs []string) (map[string]string, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	values := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		key, value, found := strings.Cut(pair, "=")
		if !found || key == "" || value == "" {
			return nil, fmt.Errorf("could not parse flag %s: key-value pair requires \"=\" as separator", flag)
		}
		values[key] = value
	}
	return values, nil
}
