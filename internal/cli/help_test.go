package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// commandRows are the commands and flags of the CLI and BLOB rows.
var commandRows = []struct{ row, command, flags string }{
	{"CLI-05", "sign", "force-referrers-tag debug expiry id key oci-layout plugin plugin-config signature-format timestamp-root-cert timestamp-url user-metadata username password insecure-registry"},
	{"CLI-13", "verify", "debug max-signatures oci-layout scope plugin-config user-metadata username password insecure-registry"},
	{"CLI-19", "list", "output debug max-signatures oci-layout username password insecure-registry"},
	{"CLI-22", "inspect", "output max-signatures debug username password insecure-registry"},
	{"CLI-28", "policy import", "force"},
	{"CLI-30", "policy show", ""},
	{"CLI-31", "key add", "plugin id default plugin-config debug"},
	{"CLI-32", "key update", "default debug"},
	{"CLI-33", "key list", "debug output"},
	{"CLI-34", "key delete", "debug"},
	{"KEY-15", "key describe", "debug output"},
	{"CLI-35", "cert add", "type store"},
	{"CLI-38", "cert list", "type store debug output"},
	{"CLI-39", "cert show", "type store debug output"},
	{"CLI-40", "cert delete", "type store all yes"},
	{"CLI-42", "cert generate-test", "bits default"},
	{"CLI-44", "cert cleanup-test", "yes"},
	{"CLI-45", "login", "username password password-stdin insecure-registry debug"},
	{"CLI-46", "logout", "debug"},
	{"REG-15", "sign", "ca-file cert-file key-file"},
	{"REG-15", "verify", "ca-file cert-file key-file"},
	{"REG-15", "list", "ca-file cert-file key-file"},
	{"REG-15", "inspect", "ca-file cert-file key-file"},
	{"REG-15", "login", "ca-file cert-file key-file"},
	{"REG-15", "doctor", "ca-file cert-file key-file"},
	{"REG-15", "plugin install", "ca-file cert-file key-file"},
	{"REG-15", "plugin publish", "ca-file cert-file key-file"},
	{"CLI-49", "doctor", "output debug log-format username password insecure-registry"},
	{"CLI-47", "version", "output"},
	{"CLI-51", "plugin install", "file url sha256sum force debug oci-layout scope withhold plugin-config max-signatures username password insecure-registry"},
	{"CLI-51", "plugin list", "debug output"},
	{"CLI-51", "plugin uninstall", "yes debug"},
	{"CLI-04", "sign", "plugin-timeout plugin-env"},
	{"CLI-04", "verify", "plugin-timeout plugin-env"},
	{"CLI-04", "blob sign", "plugin-timeout plugin-env"},
	{"CLI-04", "blob verify", "plugin-timeout plugin-env"},
	{"CLI-49", "doctor", "plugin-timeout plugin-env"},
	{"BLOB-01", "blob sign", "output force media-type signature-directory debug expiry id key plugin plugin-config signature-format timestamp-root-cert timestamp-url user-metadata"},
	{"BLOB-07", "blob verify", "output signature media-type plugin-config policy-name user-metadata debug"},
	{"BLOB-14", "blob inspect", "output debug"},
	{"BLOB-15", "blob policy init", "name trust-store trusted-identity global force"},
	{"BLOB-17", "blob policy import", "force"},
	{"BLOB-17", "blob policy show", ""},
}

var shorthands = map[string]string{
	"debug": "d", "username": "u", "password": "p", "expiry": "e", "key": "k", "user-metadata": "m", "output": "o",
	"type": "t", "store": "s", "signature": "s", "all": "a", "yes": "y", "bits": "b", "name": "n",
}

// TestCommandFor holds that a command of the tree that is made for one command line is
// what it is in the whole tree.
func TestCommandFor(t *testing.T) {
	a := newApp(Env{Args: []string{"signet"}})
	describe := func(cmd *cobra.Command) string {
		return cmd.Short + "\n" + cmd.Long + "\n" + cmd.UsageString() + cmd.Flags().FlagUsages() + fmt.Sprint(cmd.PreRun != nil)
	}
	for _, b := range a.branches() {
		whole := map[string]string{}
		eachCommand(a.rootCommand(), func(cmd *cobra.Command, path string) { whole[path] = describe(cmd) })
		seen := 0
		root := a.commandFor([]string{b.name, "--help"})
		eachCommand(root, func(cmd *cobra.Command, path string) {
			if path != "help" && cmd.Name() != "completion" {
				seen++
			}
			if want, there := whole[path]; !there || describe(cmd) != want {
				t.Errorf("%s differs:\n%s\nin the whole tree:\n%s", path, describe(cmd), want)
			}
		})
		if top, _, err := root.Find([]string{b.name}); err != nil || top.Name() != b.name || seen == 0 {
			t.Errorf("%q: %v, %d commands", b.name, err, seen)
		}
		if len(root.Commands()) > 3 {
			t.Errorf("%q: %d commands at the top", b.name, len(root.Commands()))
		}
	}
	for _, args := range [][]string{nil, {"--help"}, {"ls"}, {"sgin"}, {"help", "sign"}, {cobra.ShellCompRequestCmd, "s"}} {
		if got, want := len(a.commandFor(args).Commands()), len(a.rootCommand().Commands()); got != want {
			t.Errorf("%q: %d commands at the top, want %d", args, got, want)
		}
	}
}

func TestCommands(t *testing.T) {
	root := newApp(Env{Args: []string{"signet"}}).rootCommand()
	for _, c := range commandRows {
		t.Run(c.row+" "+c.command, func(t *testing.T) {
			cmd, rest, err := root.Find(strings.Fields(c.command))
			if err != nil || len(rest) != 0 {
				t.Fatal(err, rest)
			}
			for name := range strings.FieldsSeq(c.flags) {
				flag := cmd.Flags().Lookup(name)
				if flag == nil || flag.Usage == "" || flag.Hidden {
					t.Fatalf("no flag --%s", name)
				}
				if flag.Shorthand != shorthands[name] {
					t.Errorf("--%s has the shorthand %q, not %q", name, flag.Shorthand, shorthands[name])
				}
			}
		})
	}
}

// leaves are the commands that do something.
func leaves(cmd *cobra.Command, visit func(*cobra.Command)) {
	for _, child := range cmd.Commands() {
		leaves(child, visit)
	}
	if !cmd.HasSubCommands() {
		visit(cmd)
	}
}

func TestHelp(t *testing.T) {
	t.Run("CLI-02 every command has help with examples that parse", func(t *testing.T) {
		root := newApp(Env{Args: []string{"signet"}}).rootCommand()
		leaves(root, func(cmd *cobra.Command) {
			if cmd.Short == "" || cmd.Example == "" {
				t.Errorf("%s has no description or no example", cmd.CommandPath())
			}
			for line := range strings.Lines(cmd.Example) {
				if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
					checkExample(t, cmd, line)
				}
			}
			cmd.Flags().VisitAll(func(flag *pflag.Flag) {
				if flag.Usage == "" {
					t.Errorf("%s --%s has no text", cmd.CommandPath(), flag.Name)
				}
			})
		})
	})
	t.Run("CLI-02 examples name the program as it was called", func(t *testing.T) {
		leaves(newApp(Env{Args: []string{"/usr/bin/notation"}}).rootCommand(), func(cmd *cobra.Command) {
			if strings.Contains(cmd.Example+cmd.Long, "signet ") {
				t.Error(cmd.CommandPath(), cmd.Example, cmd.Long)
			}
		})
	})
}

// TestCompletion wants every flag and argument to offer something, or nothing on
// purpose: what names a file offers files, and nothing else does.
func TestCompletion(t *testing.T) {
	root := newApp(Env{Args: []string{"signet"}, Environ: []string{"NOTATION_CONFIG=" + t.TempDir()}}).rootCommand()
	fileWords := regexp.MustCompile(`(?i)\bfile\b|filepath|directory`)
	leaves(root, func(cmd *cobra.Command) {
		t.Run("CLI-01 "+strings.TrimPrefix(cmd.CommandPath(), "signet "), func(t *testing.T) {
			if cmd.ValidArgsFunction == nil {
				t.Error("arguments offer the shell's files by chance")
			}
			cmd.Flags().VisitAll(func(flag *pflag.Flag) {
				offer, ok := cmd.GetFlagCompletionFunc(flag.Name)
				if flag.NoOptDefVal != "" { // true or false
					return
				}
				if !ok {
					t.Fatalf("--%s offers the shell's files by chance", flag.Name)
				}
				_, directive := offer(cmd, nil, "")
				files := directive&cobra.ShellCompDirectiveNoFileComp == 0
				if files != fileWords.MatchString(flag.Usage) && !strings.Contains(flag.Usage, "config.json") {
					t.Errorf("--%s (%s) offers files: %t", flag.Name, flag.Usage, files)
				}
			})
		})
	})
	for _, table := range []map[string][]string{flagFiles, argumentFiles} {
		for name := range table {
			known := false
			eachCommand(root, func(cmd *cobra.Command, path string) {
				known = known || path == name || cmd.Flags().Lookup(name) != nil
			})
			if !known {
				t.Errorf("there is no %s", name)
			}
		}
	}
}

// wordless are the commands that have no result but a line of text, or whose
// result is a file as it is.
var wordless = []string{
	"key add", "key update", "key delete", "key csr", "key export-public", "certificate add", "certificate delete", "certificate generate-test", "certificate cleanup-test",
	"policy init", "policy import", "policy show", "blob policy init", "blob policy import", "blob policy show",
	"plugin install", "plugin uninstall", "plugin pin", "plugin withhold", "login", "logout", "help",
}

// TestJSON wants JSON of each command that has a result, and a schema for it: named
// after the command, or as said here.
func TestJSON(t *testing.T) {
	named := map[string]string{"verify": "verify-output", "blob verify": "verify-output", "sign": "result-line"}
	leaves(newApp(Env{Args: []string{"signet"}}).rootCommand(), func(cmd *cobra.Command) {
		path := strings.TrimPrefix(cmd.CommandPath(), "signet ")
		if slices.Contains(wordless, path) {
			return
		}
		flag := cmd.Flags().Lookup("output")
		if flag == nil || !strings.Contains(flag.Usage, `"json`) {
			t.Errorf("%s has no --output json", path)
		}
		schema := cmp.Or(named[path], strings.ReplaceAll(path, " ", "-"))
		if _, err := os.Stat(filepath.Join(schemaDir, schema+".json")); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	})
}

// checkExample wants an example to be a command line of its command.
func checkExample(t *testing.T, of *cobra.Command, line string) {
	if cmd := checkLine(t, line); cmd.CommandPath() != of.CommandPath() {
		t.Errorf("%q is an example of %s, not of %s", line, cmd.CommandPath(), of.CommandPath())
	}
}

// checkLine wants a command line to parse, and returns its command.
func checkLine(t *testing.T, line string) *cobra.Command {
	t.Helper()
	// A fresh tree: flags keep what was parsed.
	fresh := newApp(Env{Args: []string{"signet"}}).rootCommand()
	fresh.InitDefaultCompletionCmd()
	cmd, rest, err := fresh.Find(shellWords(line)[1:])
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil {
		err = errors.Join(cmd.ValidateRequiredFlags(), cmd.ValidateFlagGroups(), cmd.ValidateArgs(cmd.Flags().Args()))
	}
	if err != nil {
		t.Errorf("%q: %v", line, err)
	}
	return cmd
}

// shellWords splits a line as a shell does, up to a comment or whatever else is not of
// its first command. Variables stay as they are.
func shellWords(line string) []string {
	var words []string
	word, quote := "", rune(0)
	begun := false
	end := func() {
		if begun {
			words = append(words, word)
		}
		word, begun = "", false
	}
	for _, r := range line {
		switch {
		case r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, begun = r, true
		case quote != 0:
			word += string(r)
		case r == ' ':
			end()
		case !begun && strings.ContainsRune("#>|&", r):
			return words
		default:
			word, begun = word+string(r), true
		}
	}
	end()
	return words
}

func TestShellWords(t *testing.T) {
	for line, want := range map[string][]string{
		`a  b "c d" e='f "g'h ""`: {"a", "b", "c d", `e=f "gh`, ""},
		"a b#c # d":               {"a", "b#c"},
		"a @<b> > c":              {"a", "@<b>"},
		"a && b":                  {"a"},
		"a | b":                   {"a"},
	} {
		if got := shellWords(line); !slices.Equal(got, want) {
			t.Errorf("%q: %q, not %q", line, got, want)
		}
	}
}

// TestPages wants every command line of signet in the documents to parse.
func TestPages(t *testing.T) {
	lines := 0
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, entry fs.DirEntry, err error) error {
		if entry != nil && entry.IsDir() && (slices.Contains([]string{"bin", "dist", "testdata"}, entry.Name()) || strings.HasPrefix(entry.Name(), ".") && entry.Name() != "..") {
			return filepath.SkipDir
		}
		if err != nil || filepath.Ext(path) != ".md" || filepath.Base(filepath.Dir(path)) == "cli" { // whose examples are those of the help
			return err
		}
		data, err := os.ReadFile(path)
		for _, line := range commandLines(string(data)) {
			lines++
			t.Run("CLI-02 "+filepath.Base(path), func(t *testing.T) { checkLine(t, line) })
		}
		return err
	})
	if err != nil || lines < 60 {
		t.Errorf("%d command lines, %v", lines, err)
	}
}

// commandLines finds what a page has a shell do with signet, lines that go on put together.
func commandLines(page string) []string {
	var lines []string
	fenced := false
	page = regexp.MustCompile(`\\\r?\n`).ReplaceAllString(page, "")
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		if code := strings.TrimSpace(line); strings.HasPrefix(code, "signet ") && (fenced || strings.HasPrefix(line, "    ")) {
			lines = append(lines, code)
		}
	}
	return lines
}
